from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from polytope_server.authorization.ldap import LDAPSettings, role_of
from polytope_server.config import load
from polytope_server.settings import ConfigurationError, backend_settings

LEAST = {"url": "ldap://ldap.example.org", "search_base": "ou=people,dc=example,dc=org"}
BIND = {"ldap_user": "cn=reader,dc=example,dc=org", "ldap_password": "hunter2"}


def settings(**keys: Any) -> LDAPSettings:
    return LDAPSettings.model_validate({**LEAST, **keys})


def test_the_keys_of_an_earlier_server_are_enough() -> None:
    found = settings(filter="OU=Polytope", **BIND, **{"username-attribute": "ecmwf-uid"})
    assert found.user_filter == "(&(objectClass=person)(cn={username}))"
    assert (found.group_attribute, found.nested_groups, found.verify) == ("memberOf", None, True)
    assert found.username_attribute == "ecmwf-uid"
    assert settings(ldap_user="", ldap_password="").ldap_user is None


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("ldap://Host.example.org", "ldap://host.example.org:389"),
        ("ldaps://host", "ldaps://host:636"),
        ("LDAPS://host:1636/", "ldaps://host:1636"),
        ("host.example.org", "ldap://host.example.org:389"),
        ("host:1389", "ldap://host:1389"),
        ("ldap://[::1]:1389", "ldap://[::1]:1389"),
    ],
)
def test_addresses(given: str, url: str) -> None:
    assert settings(url=given).url == url


@pytest.mark.parametrize(
    "url",
    [
        *("", "ldap://", "http://host", "ldapi:///run/slapd", "ldap://host:x", "ldap://host:0"),
        *("ldap://u:hunter2@host", "ldap://host/dc=example", "ldap://host?cn", "ldap://host:70000"),
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="address") as caught:
        settings(url=url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("user_filter", "(uid=alice)", r"must compare an attribute with {username}, for example \(uid="),
        ("user_filter", "{username}", "must compare an attribute"),
        ("user_filter", "(uid=*{username}*)", "must compare an attribute"),
        ("user_filter", "(uid>={username})", "must compare an attribute"),
        ("user_filter", "(&(uid={username})", "is no LDAP filter, for example"),
        ("user_filter", "(uid={username}))", "is no LDAP filter, for example"),
        ("group_attribute", "member of", "pattern"),
        ("attributes", {"email": "mail)(x=*"}, "pattern"),
        ("nested_groups", "yes", "'follow' or 'in-chain'"),
        ("timeout", 0, "greater than 0"),
        ("connections", 0, "greater than or equal to 1"),
        ("connections", 1000, "less than or equal to 64"),
        ("search_base", "", "at least 1"),
        ("ca_file", "/no/such/file", r"holds no certificates that can be read \(FileNotFoundError\)"),
        ("ldap_user", "cn=reader", "give both, or none"),
        ("ldap_password", "hunter2", "give both, or none"),
    ],
)
def test_a_wrong_value_is_explained(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        settings(**{key: value})
    assert "hunter2" not in str(caught.value)


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("-----BEGIN NOTHING-----\n")
    with pytest.raises(ValidationError, match="holds no certificates that can be read"):
        settings(ca_file=file)


def test_start_tls_is_for_ldap_only() -> None:
    with pytest.raises(ValidationError, match="'start_tls' is for ldap:// only"):
        settings(url="ldaps://host", start_tls=True)


def test_a_dn_without_password_is_not_an_anonymous_bind() -> None:
    with pytest.raises(ValidationError, match="give both, or none"):
        settings(ldap_user="cn=reader,dc=example,dc=org", ldap_password="")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, []),
        (BIND, ["password travels in clear text"]),
        ({**BIND, "start_tls": True}, []),
        ({**BIND, "url": "ldaps://host"}, []),
        ({**BIND, "start_tls": True, "verify": False}, ["certificate of the server is not checked"]),
        ({**BIND, "ldap_user": "reader", "start_tls": True}, ["ldap_user is no DN"]),
        ({**BIND, "ldap_user": "reader@example.org", "start_tls": True}, []),
        ({**BIND, "ldap_user": "EXAMPLE\\reader", "start_tls": True}, []),
    ],
)
def test_warnings(keys: dict[str, Any], words: list[str]) -> None:
    found = settings(**keys).warnings()
    assert len(found) == len(words)
    for text, word in zip(found, words, strict=True):
        assert word in text
        assert "hunter2" not in text


def test_config_check_tells_them(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "authentication: {r: {authorizers: {directory: {type: ldap, url: 'ldap://host', search_base: dc=org,"
        " ldap_user: cn=reader, ldap_password: hunter2}}}}"
    )
    (warning,) = [text for text in load([file]).warnings if "authorizers" in text]
    assert warning.endswith(
        "authentication.r.authorizers.directory: the password travels in clear text: use ldaps://, or set "
        "start_tls"
    )


def test_a_configuration_error_names_the_key_and_not_the_password() -> None:
    keys = {**LEAST, "ldap_password": "hunter2", "usr_filter": "x"}
    with pytest.raises(ConfigurationError, match=r"p\.usr_filter: .*did you mean 'user_filter'") as caught:
        backend_settings("authorizer", "ldap", keys, "p")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("group", "role"),
    [
        ("CN=forecasters,OU=groups,DC=example,DC=org", "forecasters"),
        ("cn=in,cn=Users,dc=example", "in"),
        (r"CN=Doe\, John \"x\",OU=x", 'Doe, John "x"'),
        (r"cn=a\2Cb\5C,dc=x", "a,b\\"),
        (r"cn=Gr\C3\BCn,dc=x", "Grün"),
        (r"cn=\20x\20,dc=x", " x "),
        (r"uid=1+cn=both,dc=x", "both"),
        ('cn=of #1 = "x"; <y>,dc=x', 'of #1 = "x"; <y>'),
        (r"cn=a\+b,dc=x", "a+b"),
        ("ou=unit,cn=no,dc=x", None),
        ("ou=unit+uid=1,cn=no,dc=x", None),
        ("forecasters", "forecasters"),
        ("urn:mace:example.org:forecasters", "urn:mace:example.org:forecasters"),
    ],
)
def test_roles_of_groups(group: str, role: str | None) -> None:
    assert role_of(group) == role
