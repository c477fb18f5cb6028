"""Addresses in every section: what is none is refused by `config check`, and not found out at night."""

from __future__ import annotations

import pytest

from polytope_server.settings.addresses import Parts, is_host, is_server, parts_of
from polytope_server.settings.problems import ConfigurationError


@pytest.mark.parametrize(
    "text",
    ["localhost", "s3", "my_redis", "a.b-c.example.org", "a.example.org.", "127.0.0.1", "0.0.0.0",
     "::", "::1", "[::1]", "2001:db8::1", "fe80::1%eth0", "bücher.example",
     "cache.${DOMAIN}"],
)  # fmt: skip
def test_hosts(text: str) -> None:
    assert is_host(text)


@pytest.mark.parametrize(
    "text",
    ["", "a b", "http:", "http://x", "x:80", "x/y", "a..b", "-a", "a-", ".a", "1.2.3.4.5", "256.1.1.1",
       "1234", "[x]", "[127.0.0.1]", "[::1", "::1]", "u@h", "a,b", "*", "x" * 254, "a\n",
     "[::1]:80"],
)  # fmt: skip
def test_what_is_no_host(text: str) -> None:
    assert not is_host(text)


@pytest.mark.parametrize("text", ["a", "a:1", "$HOST:$PORT", "a:${PORT}", "[::1]:65535", "127.0.0.1:80"])
def test_servers(text: str) -> None:
    assert is_server(text)


@pytest.mark.parametrize("text", ["a:", "a:0", "a:65536", "a:x", "a:1:2", "http:", ":80", "a:1 ", "::1:80x"])
def test_what_is_no_server(text: str) -> None:
    assert not is_server(text)


def test_the_parts_of_an_address() -> None:
    assert parts_of("https://a.example:443/b/c?d=e/f") == Parts("https", "a.example:443", "/b/c", "?d=e/f")
    assert parts_of("a:80") == Parts("", "a:80", "", "")


@pytest.mark.parametrize(
    "address",
    ["http://http://x", "https://", "http:///x", "http://u:p@x", "http://x#y",
     "http://x y", "http://x:0", "http://x:99999", "http://x//http://y", "http:/x", "://x", "http//x", "http://x\\y"],
)  # fmt: skip
def test_what_is_no_address(address: str) -> None:
    assert parts_of(address) is None


STORE = "staging: {polytope: {token: 0123456789abcdef0123456789abcdef, %s}}"
DATABASE = "identity: {sql: {realm: r, url: '%s'}}"
SOURCE = "datasources: {d: {type: http, url: '%s'}}"
REALM = "authentication: {r: {%s: {x: {%s}}}}"
#: Every key that names a server, and a value that it takes.
KEYS = {
    "staging: {s3: {host: '%s'}}": ["s3", "http://s3:9000", "https://s3.example.org/path", "[::1]:9000"],
    "staging: {s3: {host: s3, url: '%s'}}": ["https://data.example.org/s3"],
    STORE % "host: '%s'": ["localhost", "::", "store"],
    STORE % "bind_to: '%s'": ["0.0.0.0", "::"],
    STORE % "url: '%s'": ["https://x.example/base/"],
    "caching: {memcached: {host: '%s'}}": ["memcached", "127.0.0.1", "::1"],
    "caching: {redis: {host: '%s'}}": ["redis"],
    "caching: {redis: {url: '%s'}}": ["redis://redis", "rediss://:pass%%40word@r.example:6380/0?a=b", "redis://"],
    "caching: {mongodb: {uri: '%s'}}": [
        "mongodb://localhost:27017",
        "mongodb://u:p%%40@a,b:27018/?replicaSet=x",
        "mongodb+srv://cluster.example.org/",
        "mongodb://%%2Ftmp%%2Fmongodb.sock",
    ],
    "request_store: {mongodb: {uri: '%s'}}": ["mongodb://[::1]:27017"],
    "queue: {rabbitmq: {host: '%s'}}": ["rabbitmq", "2001:db8::1"],
    "notices: {rabbitmq: {host: '%s'}}": ["rabbitmq"],
    "notices: {postgresql: {url: '%s'}}": ["postgresql://u:p@h:5432/d"],
    DATABASE: ["postgresql://h1,h2/d", "postgresql:///d?host=/run/postgresql", "postgresql://[::1]/d"],
    "frontend: {public_url: '%s'}": ["https://polytope.example.org/prefix/"],
    "frontend: {bind_to: '%s'}": ["localhost", "0.0.0.0", "::"],
    "frontend: {management: {host: '%s'}}": ["127.0.0.1"],
    "testrunner: {url: '%s'}": ["http://localhost:5000"],
    "authentication: {auth-o-tron: {secret: 0123456789abcdef0123456789abcdef, url: '%s'}}": [
        "http://auth-o-tron-svc:8080",
        "auth-o-tron-svc:8080",
    ],
    REALM % ("authenticators", "type: ecmwfapi, url: '%s'"): ["https://api.ecmwf.int/v1"],
    REALM % ("authenticators", "type: jwt, client_id: c, cert_url: '%s'"): ["https://x.example/certs?a=b"],
    REALM % ("authorizers", "type: ldap, search_base: o=x, url: '%s'"): ["ldaps://a", "ldap", "[::1]"],
    SOURCE: ["https://data.example.org/api?x=y"],
}  # fmt: skip
#: Slips of the pen, for all of them.
NO_ADDRESSES = ["http://http://x", "{0}://{0}://x", "{0}://a b", "{0}://x:99999", "a b", "http:x:y:z"]


@pytest.fixture
def refused(config):
    """Whether a configuration is refused."""

    def is_refused(text: str) -> bool:
        try:
            config(text)
        except ConfigurationError:
            return True
        return False

    return is_refused


def test_values_that_are_addresses_are_accepted(refused) -> None:
    written = [(text % value).replace("%%", "%") for text, values in KEYS.items() for value in values]
    assert [text for text in written if refused(text)] == []


def test_values_that_are_none_are_refused(refused) -> None:
    accepted = []
    for text, (value, *_) in KEYS.items():
        scheme = value.partition("://")[0] if "://" in value else "http"
        written = [text % slip.format(scheme) for slip in NO_ADDRESSES]
        accepted += [text for text in written if not refused(text)]
    assert accepted == []


def test_an_empty_address_to_listen_on_is_every_address(config):
    settings = config("frontend: {bind_to: ''}\n" + STORE % "bind_to: ''").settings
    assert settings.frontend.bind_to == "0.0.0.0"
