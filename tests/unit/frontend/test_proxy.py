from typing import Any

import pytest

from polytope_server.frontend.proxy import ForwardedHeaders, client_address


async def forwarded(**headers: str) -> dict[str, Any]:
    """The scope that the application sees behind a proxy that sends these headers."""
    seen: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope)

    pairs = [(f"x-forwarded-{name}".encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "scheme": "http",
        "headers": [(b"host", b"inner:5000"), *pairs],
        "client": ("10.0.0.1", 4711),
        "root_path": "",
    }
    await ForwardedHeaders(app)(scope, None, None)  # type: ignore[arg-type]
    return {**seen[0], "host": dict(seen[0]["headers"])[b"host"].decode()}


async def test_scheme_host_and_client_are_those_of_the_outside() -> None:
    scope = await forwarded(proto="https", host="polytope.example", **{"for": "192.0.2.7"})
    assert (scope["scheme"], scope["host"]) == ("https", "polytope.example")
    assert scope["client"] == ("192.0.2.7", 0)


async def test_of_several_hops_the_nearest_counts() -> None:
    scope = await forwarded(host="forged, polytope.example", **{"for": "10.9.9.9, 192.0.2.7"})
    assert (scope["host"], scope["client"][0]) == ("polytope.example", "192.0.2.7")


@pytest.mark.parametrize("host", ["polytope.example", "polytope.example:80"])
async def test_a_port_is_added_to_the_host(host: str) -> None:
    assert (await forwarded(host=host, port="8443"))["host"] == "polytope.example:8443"


async def test_a_prefix_becomes_the_root_path() -> None:
    assert (await forwarded(prefix="/data/"))["root_path"] == "/data"


async def test_odd_values_change_nothing() -> None:
    scope = await forwarded(proto="gopher", port="x", prefix="data")
    assert (scope["scheme"], scope["host"], scope["root_path"]) == ("http", "inner:5000", "")


@pytest.mark.parametrize("host", ["user@polytope.example", "polytope.example/path", "a b", "[::1", "\xe9"])
async def test_a_host_that_is_none_is_not_that_of_the_outside(host: str) -> None:
    assert (await forwarded(host=host))["host"] == "inner:5000"


async def test_what_is_not_http_passes_through() -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope)

    await ForwardedHeaders(app)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:5678", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:0DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
    ],
)
def test_a_client_has_one_address_whatever_its_port(text: str, address: str) -> None:
    assert client_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown",
        "_hidden",
        "192.0.2.1:x",
        "192.0.2.1:123456",
        "192.0.2.256",
        "192.0.2.1:80:80",
        "[2001:db8::1",
        "[2001:db8::1]443",
        "[2001:db8::1]:x",
        "2001:db8::1:443:x",
        "3221225985",
        "192.0.2.1, 192.0.2.2",
        "\u0661.1.1.1",
    ],
)
async def test_what_is_no_address_leaves_that_of_the_proxy(text: str) -> None:
    assert client_address(text) is None
    if text.isascii() and "," not in text:
        assert (await forwarded(**{"for": text}))["client"] == ("10.0.0.1", 4711)


async def test_a_client_is_the_same_for_every_connection_it_makes() -> None:
    seen = {(await forwarded(**{"for": f"192.0.2.7:{port}"}))["client"] for port in (1024, 1025, 65535)}
    assert seen == {("192.0.2.7", 0)}
