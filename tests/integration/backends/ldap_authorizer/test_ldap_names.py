"""Names of users and groups in an LDAP directory: hostile, odd, missing, ambiguous."""

import pytest
from directory_users import ALICE, Make

from polytope_server.authorization import NoSuchUserError
from polytope_server.user import User
from testbed.services import LDAP


async def test_a_user_without_groups_has_no_roles(make: Make) -> None:
    authorizer = await make(attributes={"name": "uid"})
    assert await authorizer.roles(User("carol", "r")) == ([], {"name": "carol"})


async def test_the_filter_is_part_of_a_groups_dn(ldap: LDAP, make: Make) -> None:
    assert await (await make(filter="cn=staff,ou=groups")).roles(ALICE) == (["staff"], {})
    assert await (await make(filter="elsewhere")).roles(ALICE) == ([], {})
    # Groups that it leaves out lead to others none the less.
    authorizer = await make(filter="cn=everybody", nested_groups="follow")
    assert await authorizer.roles(ALICE) == (["everybody"], {})


HOSTILE = [
    *("*", "a*", "alice*", "*lice", "**", "(", ")", "\\", "\0", "alice\0", "\0alice"),
    *(")(uid=*", "alice)(cn=*", "*)(objectClass=*", "alice)(|(cn=alice", "x)(|(cn=alice))", "&", "|", "!"),
    *("\\61lice", "\\2a", "al\\69ce", "cn=alice", "alice,ou=people", "alice,ou=people,dc=example,dc=org"),
    *("alice+sn=Tester", '"alice"', "<alice>", "alice;", "#alice", " alice", "alice ", "al  ice", "\talice"),
    *(
        "älice",
        "alicé",
        "ａｌｉｃｅ",
        "a\u0301lice",
        "alice\u200b",
        "\ud800",
        "\ud83d",
        "🦊",
        "x" * 300,
        "x" * 100_000,
    ),
    *("{username}", "{0}", "%s", "$alice", "alice\nuid: bob", "alice\r\n"),
]


@pytest.mark.parametrize("user_filter", ["(&(objectClass=person)(cn={username}))", "(uid={username})"])
async def test_no_name_is_taken_for_a_filter(
    make: Make, user_filter: str, caplog: pytest.LogCaptureFixture
) -> None:
    authorizer = await make(user_filter=user_filter, connections=1, all_users=False)
    for name in HOSTILE:
        assert await authorizer.roles(User(name, "r")) == ([], {}), name
    # None of them found several users, as one that was part of the filter would.
    assert "more than one entry" not in caplog.text
    assert (await authorizer.roles(ALICE))[0] == ["staff", "forecasters"]


ODD = ["we(i)rd*na\\me", 'Q, "R" + <S>; T=U', "#hash", "Zoë Müller", "🦊", "\\2a", "{username}", "z" * 200]


async def test_odd_names_of_users_and_groups_are_found(ldap: LDAP, make: Make) -> None:
    authorizer = await make(nested_groups="follow")
    for name in ODD:
        ldap.add_group(f"over {name}", ldap.add_group(f"of {name}", ldap.add_user(name)))
        assert await authorizer.roles(User(name, "r")) == ([f"of {name}", f"over {name}"], {})


async def test_two_entries_for_one_name_are_no_user(
    ldap: LDAP, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        ldap.add_group(f"of twin {number}", ldap.add_user(f"twin {number}", uid="twin"))
    authorizer = await make(user_filter="(uid={username})")
    assert await authorizer.roles(User("twin", "r")) == ([], {})
    assert "more than one entry for the user 'twin'" in caplog.text
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_name_that_is_spelt_differently_is_told_to_the_operator(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    assert await (await make()).roles(User("Alice", "r")) == ([], {})
    assert "spells the user 'Alice' differently" in caplog.text


async def test_who_has_no_entry_is_no_user_of_the_realm_or_another_kind_of_user(make: Make) -> None:
    stranger = User("stranger", "r")
    with pytest.raises(NoSuchUserError):
        await (await make()).roles(stranger)
    assert await (await make(all_users=False)).roles(stranger) == ([], {})


async def test_the_attribute_compared_may_have_text_around_it(ldap: LDAP, make: Make) -> None:
    authorizer = await make(user_filter="(|(mail={username}@example.org)(telephoneNumber={username}))")
    assert (await authorizer.roles(ALICE))[0] == ["staff", "forecasters"]
    with pytest.raises(NoSuchUserError):
        await authorizer.roles(User("alice@example.org", "r"))


@pytest.mark.parametrize(
    ("path", "attributes"),
    [
        ("ldap-name", {"ldap-name": "alice"}),
        ("claims.uid", {"claims.uid": "alice", "claims": '{"uid": "bob"}'}),
        ("claims.ids.uid", {"claims": '{"ids": {"uid": "alice"}}'}),
    ],
)
async def test_the_name_can_be_in_an_attribute_of_the_user(
    make: Make, path: str, attributes: dict[str, str]
) -> None:
    authorizer = await make(**{"username-attribute": path})
    assert (await authorizer.roles(User("bob", "r", attributes=attributes)))[0] == ["staff", "forecasters"]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"other": "alice"},
        {"claims": "alice"},
        {"claims": '["alice"]'},
        {"claims": '{"uid": 1}'},
        {"claims": '{"uid": {"uid": "alice"}}'},
        {"claims": '{"uid": ""}'},
        {"claims": "[" * 100_000},
    ],
)
async def test_without_that_attribute_there_is_no_user(make: Make, attributes: dict[str, str]) -> None:
    authorizer = await make(**{"username-attribute": "claims.uid"})
    assert await authorizer.roles(User("alice", "r", attributes=attributes)) == ([], {})


async def test_values_that_are_no_short_text_are_no_attributes(ldap: LDAP, make: Make) -> None:
    ldap.add_user(
        "values", description="x" * 1025, title="a\nb", jpegPhoto=b"\xff\xfe", street="Main Street 1"
    )
    attributes = {name: name for name in ("description", "title", "jpegPhoto", "street")}
    authorizer = await make(attributes=attributes)
    assert await authorizer.roles(User("values", "r")) == ([], {"street": "Main Street 1"})
