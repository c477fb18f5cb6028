"""Section 13, what all data sources have."""

from rules_rows import Row, invalid, refused, taken

OD = {"class": "od"}
SECTIONS = """
datasources:
  base: {type: echo, match: {class: od}, defaults: {stream: oper}}
  later: {match: {class: rd}, patch: {expver: 7}}
  child: {parents: [base]}
  heir: {parents: [base, later]}
  own: {parents: [base], match: {class: ea}}
  both: {type: echo, match: {class: [od]}}
"""
GENERIC: tuple[Row, ...] = (
    # type, name, parents: how the section of a data source comes about
    invalid("13-type-missing", "- {name: a}", "no data source 'a'"),
    invalid(
        "13-type-unknown",
        "- {name: a, type: ecko}",
        "datasources[0].type: datasource 'ecko' is not known",
        "available: dummy, echo",
    ),
    taken("13-name-of-a-section", "- base", OD, {**OD, "stream": "oper"}, by="base", sections=SECTIONS),
    invalid("13-name-of-no-section", "- bass", "no data source 'bass'; did you mean", sections=SECTIONS),
    taken(
        "13-name-with-keys-of-the-collection",
        "- {name: base, defaults: {stream: wave}}",
        OD,
        {**OD, "stream": "wave"},
        by="base",
        sections=SECTIONS,
    ),
    taken(
        "13-parents-are-inherited",
        "- child",
        OD,
        {**OD, "stream": "oper"},
        by="child",
        sections=SECTIONS,
    ),
    taken(
        "13-parents-later-ones-win",
        "- heir",
        {"class": "rd"},
        {"class": "rd", "stream": "oper", "expver": "0007"},
        by="heir",
        sections=SECTIONS,
    ),
    taken(
        "13-parents-own-keys-win",
        "- own",
        {"class": "ea"},
        {"class": "ea", "stream": "oper"},
        by="own",
        sections=SECTIONS,
    ),
    taken(
        "13-parents-lists-are-joined",
        "- {name: both, match: {class: [rd]}}",
        {"class": "od/rd"},
        {"class": "od/rd"},
        by="both",
        sections=SECTIONS,
    ),
    invalid("13-parents-unknown", "- {name: a, type: echo, parents: [x]}", "no data source 'x'"),
    invalid(
        "13-parents-in-a-circle",
        "- one",
        "parents form a circle: one -> two -> one",
        sections="datasources: {one: {type: echo, parents: [two]}, two: {parents: [one]}}",
    ),
    # roles
    taken("13-roles-empty-admit-all", "roles: {}", OD, OD),
    taken("13-roles-of-the-realm", "roles: {test: [x, staff]}", OD, OD, roles=("staff",)),
    taken("13-roles-as-one-text", "roles: {test: staff}", OD, OD, roles=("staff",)),
    refused("13-roles-other", "roles: {test: [x]}", OD, "user not authorized.", roles=("staff",)),
    refused(
        "13-roles-of-another-realm",
        "roles: {test: [staff]}",
        OD,
        "user not authorized.",
        realm="other",
        roles=("staff",),
    ),
    # Of this server: a role of all who are in a realm, and roles of whichever realm.
    taken("13-roles-any", "roles: {test: any}", OD, OD),
    refused("13-roles-any-of-another-realm", "roles: {test: any}", OD, "not authorized", realm="other"),
    taken("13-roles-without-realms", "roles: [staff]", OD, OD, realm="other", roles=("staff",)),
    # repr
    refused(
        "13-repr-is-what-users-read",
        "repr: the archive, match: {class: od}",
        {"class": "rd"},
        "No matching datasource found for request:\nSkipping datasource the archive: key 'class'",
    ),
    refused(
        "13-repr-else-the-name", "match: {class: od}", {"class": "rd"}, "Skipping datasource a: key 'class'"
    ),
    # The contract of a data source: which verbs it has
    taken("13-archive", "roles: {}", OD, OD, verb="archive"),
    refused(
        "13-archive-where-none-can",
        "- {name: a, type: dummy}",
        OD,
        "Transfer type archive not supported",
        verb="archive",
    ),
    # The earlier server chose a data source that cannot archive, and failed in the worker.
    taken(
        "13-archive-passes-over-those-that-cannot",
        "- {name: a, type: dummy}\n- {name: b, type: echo}",
        OD,
        OD,
        by="b",
        verb="archive",
    ),
    refused(
        "13-archive-only-reasons-of-those-that-can",
        "- {name: a, type: dummy}\n- {name: b, type: echo, match: {class: rd}}",
        OD,
        "found for request:\nSkipping datasource b: key 'class'",
        verb="archive",
    ),
)
