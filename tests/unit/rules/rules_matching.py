"""Section 13.1, which data source takes a request, and what it is given."""

from rules_rows import FDB, FEATURES, FIELD, POINT, Row, invalid, refused, taken

OD = {"class": "od"}

MATCHING: tuple[Row, ...] = (
    # The order of the steps
    refused(
        "13.1-roles-come-first",
        "roles: {test: [x]}, match: {class: rd}, defaults: {stream: oper}",
        OD,
        "Skipping datasource a: user not authorized.",
    ),
    taken(
        "13.1-the-first-that-takes-it",
        "- {name: a, type: echo, match: {class: rd}}\n- {name: b, type: echo}\n- {name: c, type: echo}",
        OD,
        OD,
        by="b",
    ),
    refused(
        "13.1-all-reasons-and-each-once",
        "- {name: a, type: echo, match: {class: rd}}\n"
        "- {name: b, type: echo, roles: {test: [x]}}\n"
        "- {name: c, type: echo, match: {class: rd}}",
        OD,
        "request:\nSkipping datasource a, c: key 'class' : 'od' not in ['rd']\n"
        "Skipping datasource b: user not authorized.",
    ),
    # defaults
    taken("13.1-defaults-of-absent-keys", "defaults: {expver: 1}", OD, {**OD, "expver": "0001"}),
    taken("13.1-defaults-leave-what-is-given", "defaults: {class: rd}", OD, OD),
    taken(
        "13.1-defaults-are-coerced",
        "defaults: {date: -1, step: 90m, model: IFS, number: 1/2}",
        {},
        {"date": "20260228", "step": "1h30m", "model": "ifs", "number": "1/2"},
    ),
    taken(
        "13.1-defaults-fulfil-rules",
        "defaults: {stream: oper}, match: {stream: oper}",
        {},
        {"stream": "oper"},
    ),
    refused(
        "13.1-defaults-break-rules",
        "defaults: {stream: wave}, match: {stream: oper}",
        {},
        "'wave' not in ['oper']",
    ),
    refused("13.1-defaults-are-there", "defaults: {x: 1}, match: {x: []}", {}, "key 'x' is not accepted"),
    invalid("13.1-defaults-wrong", "defaults: {step: x}", "defaults.step", "'x' is not accepted"),
    # feature
    taken(
        "13.1-feature-for-polytope",
        f"- {FEATURES}",
        {**FIELD, "feature": POINT},
        {**FIELD, "feature": POINT, "step": "0/to/6"},
        by="features",
    ),
    refused("13.1-feature-missing", f"- {FEATURES}", {**FIELD, "step": 0}, "needs the key 'feature'"),
    refused(
        "13.1-feature-for-others",
        f"- {FDB}",
        {**FIELD, "feature": POINT},
        "does not accept the key 'feature'",
    ),
    taken(
        "13.1-feature-chooses-the-source",
        f"- {FDB}\n- {FEATURES}",
        {**FIELD, "feature": POINT},
        {**FIELD, "feature": POINT, "step": "0/to/6"},
        by="features",
    ),
    taken(
        "13.1-feature-without-chooses-the-other",
        f"- {FEATURES}\n- {FDB}",
        {**FIELD, "step": 0},
        {**FIELD, "step": "0"},
        by="fdb",
    ),
    # Of this server: what a feature asks for through its axes is judged by the rules for these keys.
    refused(
        "13.1-feature-within-the-rules",
        f"- {FEATURES[:-1]}, match: {{step: 0/to/3}}}}",
        {**FIELD, "feature": POINT},
        "key 'step' : '4', '5', '6' not in ['0/to/3']",
    ),
    # Rules: an empty list
    taken("13.1-empty-list-absent", "match: {number: []}", OD, OD),
    refused("13.1-empty-list-present", "match: {number: []}", {"number": 1}, "key 'number' is not accepted"),
    refused("13.1-empty-list-null", "match: {x: []}", {"x": None}, "key 'x' is not accepted"),
    refused("13.1-empty-list-date", "match: {date: []}", {"date": 0}, "key 'date' is not accepted"),
    # A key that is missing
    refused(
        "13.1-missing-key",
        "match: {class: [od, rd]}",
        {},
        "request does not contain key 'class', expected one of ['od', 'rd']",
    ),
    refused(
        "13.1-missing-date",
        'match: {date: [">1d"]}',
        OD,
        "request does not contain key 'date', expected one of ['>1d']",
    ),
    # Subsets
    taken("13.1-subset-one", "match: {class: [od, rd]}", OD, OD),
    taken("13.1-subset-all", "match: {class: [od, rd]}", {"class": ["rd", "od"]}, {"class": "rd/od"}),
    taken("13.1-subset-rule-as-one-value", "match: {class: od}", OD, OD),
    refused("13.1-subset-other", "match: {class: [od, rd]}", {"class": "ea"}, "'ea' not in ['od', 'rd']"),
    refused(
        "13.1-subset-in-part", "match: {class: [od, rd]}", {"class": "od/ea"}, "key 'class' : 'ea' not in"
    ),
    refused("13.1-subset-no-part-of-a-word", "match: {class: [od]}", {"class": "o"}, "'o' not in ['od']"),
    taken("13.1-subset-of-a-range", "match: {step: 0/to/24}", {"step": "6/12"}, {"step": "6/12"}),
    taken(
        "13.1-subset-range-in-a-range",
        "match: {step: [0/to/24/by/6]}",
        {"step": "0/to/24/by/12"},
        {"step": "0/to/24/by/12"},
    ),
    refused(
        "13.1-subset-range-between",
        "match: {step: [0/to/24/by/6]}",
        {"step": "0/to/24/by/3"},
        "key 'step' : '3', '9', '15', '21' not in ['0/to/24/by/6']",
    ),
    # The earlier server took the range for step 2.
    refused(
        "13.1-subset-range-beyond", "match: {step: 0/to/24}", {"step": "0/to/120/by/6"}, "and 11 more not in"
    ),
    taken(
        "13.1-subset-of-a-key-without-rules",
        "match: {levelist: [500, 850]}",
        {"levelist": [850, 500]},
        {"levelist": "850/500"},
    ),
    refused(
        "13.1-subset-of-a-key-without-rules-in-part",
        "match: {levelist: [500, 850]}",
        {"levelist": "500/1000"},
        "'1000' not in ['500', '850']",
    ),
    taken("13.1-allowed-values-are-coerced", "match: {expver: 1}", {"expver": "0001"}, {"expver": "0001"}),
    taken("13.1-allowed-times-are-coerced", 'match: {time: ["00:00", 12]}', {"time": 0}, {"time": "0000"}),
    taken("13.1-allowed-steps-are-coerced", "match: {step: [2h]}", {"step": "120m"}, {"step": "2"}),
    taken("13.1-allowed-models-are-coerced", "match: {model: IFS}", {"model": "ifs"}, {"model": "ifs"}),
    # Values of rules are read as those of requests. YAML, and earlier servers, took them for an octal number,
    # for minutes and for false.
    taken("13.1-allowed-expver-as-written", "match: {expver: 0010}", {"expver": "0010"}, {"expver": "0010"}),
    refused("13.1-allowed-expver-is-not-octal", "match: {expver: [0010]}", {"expver": 8}, "not in ['0010']"),
    taken("13.1-allowed-time-as-written", "match: {time: [12:00, 0600]}", {"time": 6}, {"time": "0600"}),
    taken("13.1-allowed-word-as-written", "match: {stream: no}", {"stream": "no"}, {"stream": "no"}),
    taken(
        "13.1-defaults-as-written",
        "defaults: {expver: 0010, time: 0600}",
        {},
        {"expver": "0010", "time": "0600"},
    ),
    taken("13.1-patch-as-written", "patch: {expver: 0010, x: 010}", {}, {"expver": "0010", "x": "010"}),
    taken("13.1-patch-numbers", "patch: {x: 10, y: 1.5, z: true}", {}, {"x": 10, "y": 1.5, "z": True}),
    invalid("13.1-patch-infinity", "patch: {x: .inf}", "patch.x"),
    # MARS reads classes in either case, so the rule does.
    taken("13.1-allowed-in-either-case", "match: {Class: OD}", {"CLASS": "Od"}, {"class": "Od"}),
    invalid("13.1-allowed-wrong", "match: {step: [x]}", "match.step", "'x' is not accepted; expected hours"),
    invalid("13.1-allowed-a-mapping", "match: {class: {a: 1}}", "match.class"),
    # On success
    taken("13.1-patch-overwrites", "patch: {expver: 79}", {"expver": 1}, {"expver": "0079"}),
    taken("13.1-patch-adds", "patch: {stream: oper}", OD, {**OD, "stream": "oper"}),
    taken("13.1-patch-after-rules", "patch: {class: xx}, match: {class: od}", OD, {"class": "xx"}),
    taken("13.1-patch-over-defaults", "patch: {x: 1}, defaults: {x: 2}", {}, {"x": 1}),
    taken("13.1-patch-lists", "patch: {param: [2t, msl]}", {}, {"param": "2t/msl"}),
    invalid("13.1-patch-wrong", "patch: {step: x}", "patch.step", "'x' is not accepted"),
    taken(
        "13.1-lists-are-joined",
        "match: {}",
        {"step": [0, "6h"], "levelist": [500, 850.0], "param": ["2t", "msl"]},
        {"step": "0/6", "levelist": "500/850", "param": "2t/msl"},
    ),
    taken(
        "13.1-patch-and-defaults-of-the-winner-only",
        "- {name: a, type: echo, match: {class: rd}, defaults: {x: 1}, patch: {y: 1}}\n"
        "- {name: b, type: echo, match: {x: []}, defaults: {z: 2}, patch: {class: ea}}",
        OD,
        {"class": "ea", "z": 2},
        by="b",
    ),
)
