"""From an earlier server's configuration: the report, the file that is written, the table and its page."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from polytope_server.commands import main as cli
from polytope_server.config import Configuration, load
from polytope_server.config.migration import page
from polytope_server.config.migration.rules import Rule, Verdict, table
from polytope_server.settings import backends

pytestmark = pytest.mark.usefixtures("real_backends")
HERE = Path(__file__).parent
EARLIER = HERE / "earlier"
DOCS = HERE.parents[2] / "docs"
FILES = sorted(file.name for file in EARLIER.iterdir())


@pytest.fixture
def migrate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the command on a text or on files; exit status and report."""

    def run(text: str, *arguments: str) -> tuple[int, str]:
        file = tmp_path / "earlier.yaml"
        file.write_text(text)
        status = cli.main(["config", "migrate", str(file), *arguments])
        return status, capsys.readouterr().out.replace(f"{tmp_path}/", "")

    return run


@pytest.fixture
def written(migrate: Callable[..., tuple[int, str]], tmp_path: Path) -> Callable[[str], str]:
    """The configuration that a text becomes."""

    def write(text: str) -> str:
        file = tmp_path / "new.yaml"
        migrate(text, "--write", str(file))
        return file.read_text()

    return write


def section_of(report: str, title: str) -> str:
    """The part of the report under a title."""
    return next((part for part in report.split("\n\n") if part.startswith(title)), "")


def loaded(file: Path) -> Configuration:
    return load([file], environ={}, system_file=file.parent / "none")


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_is_accepted(name: str, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    assert cli.main(["config", "migrate", str(EARLIER / name), "--write", str(new)]) == 1
    assert loaded(new).refusals == {}
    assert stat.S_IMODE(new.stat().st_mode) == 0o600


def test_what_is_written_means_what_the_old_one_did(tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    cli.main(["config", "migrate", str(EARLIER / "first.yaml"), "--write", str(new)])
    before, after = loaded(EARLIER / "first.yaml"), loaded(new)
    assert after.collections == before.collections
    sections = (
        "identity",
        "api_keys",
        "authentication",
        "admin",
        "request_store",
        "queue",
        "caching",
        "staging",
    )
    for section in sections:
        assert getattr(after.settings, section) == getattr(before.settings, section)


@pytest.mark.parametrize("name", FILES)
def test_no_secret_is_in_the_report(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = set(re.findall(r"earlier-[\w-]+", (EARLIER / name).read_text()))
    assert secrets or name == "cloud.yaml"
    cli.main(["config", "migrate", str(EARLIER / name)])
    printed = capsys.readouterr()
    assert not [secret for secret in secrets if secret in printed.out + printed.err]


@pytest.mark.parametrize("name", FILES)
def test_no_comment_of_the_written_file_holds_a_secret(name: str, tmp_path: Path) -> None:
    secrets = set(re.findall(r"earlier-[\w-]+", (EARLIER / name).read_text()))
    new = tmp_path / "new.yaml"
    cli.main(["config", "migrate", str(EARLIER / name), "--write", str(new)])
    comments = [line for line in new.read_text().splitlines() if line.strip().startswith("#")]
    assert comments
    assert not [secret for secret in secrets if secret in "\n".join(comments)]


@pytest.mark.parametrize("name", FILES)
def test_every_key_of_a_realistic_file_is_in_the_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["config", "migrate", str(EARLIER / name)])
    report = capsys.readouterr().out
    assert section_of(report, "Keys of this server") == ""
    assert "To be mended" not in report
    assert ("Unknown" in report) == (name == "cloud.yaml")


def test_a_configuration_with_nothing_to_decide_ends_with_0(migrate: Callable[..., tuple[int, str]]) -> None:
    text = "frontend: {port: 5000, server: gunicorn}\nqueue: {local: {}}"
    status, report = migrate(text)
    assert status == 0
    assert "frontend.port" in section_of(report, "Accepted, as it was")
    assert section_of(report, "Accepted, without effect").splitlines()[1] == (
        "  frontend.server (earlier.yaml:1): It is always gunicorn, with `frontend.workers` processes."
    )
    assert "request_store: The earlier server took MongoDB" in section_of(report, "Not given")
    assert report.endswith("Nothing to decide.\n")


def test_what_cannot_be_read_ends_with_2(
    migrate: Callable[..., tuple[int, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert migrate("a: [")[0] == 2
    assert cli.main(["config", "migrate", str(tmp_path / "missing.yaml")]) == 2
    assert "missing.yaml: cannot be read" in capsys.readouterr().err


def test_no_file_is_overwritten(
    migrate: Callable[..., tuple[int, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert migrate("queue: {local: {}}", "--write", str(tmp_path / "earlier.yaml"))[0] == 2
    assert (tmp_path / "earlier.yaml").read_text() == "queue: {local: {}}"


def test_the_configuration_can_go_to_standard_output_and_the_report_to_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["config", "migrate", str(EARLIER / "first.yaml"), "--write", "-"])
    printed = capsys.readouterr()
    (tmp_path / "new.yaml").write_text(printed.out)
    assert loaded(tmp_path / "new.yaml").settings.identity
    assert "to decide." in printed.err


def test_files_are_merged_before_they_are_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a", "queue: {sqs: {}}"), ("b", "queue: {sqs: null, rabbitmq: {}}")):
        (tmp_path / name).write_text(text)
    assert cli.main(["config", "migrate", "-f", str(tmp_path / "a"), "-f", str(tmp_path / "b")]) == 1
    report = capsys.readouterr().out
    assert "queue.sqs" not in report
    assert f"queue.rabbitmq ({tmp_path}/b:1)" in report


def test_an_unknown_key_is_left_out_and_reported(
    migrate: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    text = "frontend: {prot: 80, port: 5000}\nfrontent: {}"
    status, report = migrate(text, "--write", str(tmp_path / "new.yaml"))
    unknown = section_of(report, "Unknown")
    assert status == 1
    assert "frontend.prot (earlier.yaml:1): DECIDE did you mean 'port'?" in unknown
    assert "frontent (earlier.yaml:2): DECIDE did you mean 'frontend'?" in unknown
    assert yaml.safe_load((tmp_path / "new.yaml").read_text()) == {"frontend": {"port": 5000}}


def test_an_unknown_key_within_a_back_end_is_left_out(written: Callable[[str], str]) -> None:
    text = """
authentication:
  r: {authenticators: {k: {type: ecmwfapi, url: "https://a", tokken_in: header}}}
request_store: {mongodb: {uri: "mongodb://h", replicas: 3}}
"""
    new = yaml.safe_load(written(text))
    assert new["authentication"]["r"]["authenticators"]["k"] == {"type": "ecmwfapi", "url": "https://a"}
    assert new["request_store"] == {"mongodb": {"uri": "mongodb://h"}}


def test_what_is_not_accepted_is_not_written(
    migrate: Callable[..., tuple[int, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a limit or a rule that is wrong, the server would allow more than the operator wants."""
    files = [tmp_path / "new.yaml", tmp_path / "values.yaml"]
    text = "garbage-collector: {age: soon}"
    for option, file in zip(("--write", "--chart"), files, strict=True):
        assert migrate(text, option, str(file))[0] == 2
        assert not file.exists()
    assert cli.main(["config", "migrate", str(tmp_path / "earlier.yaml"), "--write", "-"]) == 2
    assert capsys.readouterr().out == ""


def test_a_value_that_is_not_accepted_is_something_to_decide(
    migrate: Callable[..., tuple[int, str]],
) -> None:
    status, report = migrate("garbage-collector: {age: soon}")
    assert status == 1
    assert "  garbage-collector.age: value 'soon': a duration" in section_of(report, "To be mended")


def test_a_key_of_this_server_stays(migrate: Callable[..., tuple[int, str]]) -> None:
    status, report = migrate("frontend: {workers: 4}")
    assert status == 0
    assert "frontend.workers" in section_of(report, "Keys of this server")


def test_variables_and_home_stay_as_they_are(
    written: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_TESTS", "expanded")
    text = "staging: {s3: {access_key: a, secret_key: $SECRET_OF_TESTS}}\nlogging: {defaults: {x: ~/a}}"
    assert yaml.safe_load(written(text)) == yaml.safe_load(text)


def test_a_renamed_back_end_has_its_new_name(written: Callable[[str], str]) -> None:
    assert yaml.safe_load(written("caching: {globalvar: {}}\nstaging: {s3_boto3: {bucket: results}}")) == {
        "caching": {"memory": {}},
        "staging": {"s3": {"bucket": "results"}},
    }


def test_a_secret_that_is_needed_is_made_anew_each_time(
    written: Callable[[str], str], tmp_path: Path
) -> None:
    text = "staging: {polytope: {host: store}}\nqueue: {rabbitmq: {}}"
    first = yaml.safe_load(written(text))
    (tmp_path / "new.yaml").unlink()
    second = yaml.safe_load(written(text))
    for new in (first, second):
        assert len(new["staging"]["polytope"]["token"]) == len(new["secrets"]["keys"][0]) == 64
    assert first["secrets"] != second["secrets"]


@pytest.mark.parametrize("section", ["{}", "null", ""])
def test_a_secret_is_made_in_a_section_without_keys(written: Callable[[str], str], section: str) -> None:
    new = yaml.safe_load(written(f"staging:\n  polytope: {section}\n"))
    assert len(new["staging"]["polytope"]["token"]) == 64


def test_texts_of_several_lines_stay(written: Callable[[str], str]) -> None:
    text = (
        'logging: {level: INFO, defaults: {a: "x\\n  y: 1\\n# z\\n", b: \''
        + "long " * 60
        + "'}, mode: console}"
    )
    assert yaml.safe_load(written(text)) == yaml.safe_load(text)


def test_a_secret_in_a_file_is_not_needed_again(
    migrate: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text("k" * 32)
    _, report = migrate(f"queue: {{rabbitmq: {{}}}}\nsecrets: {{file: {tmp_path}/keys}}")
    assert section_of(report, "Needed") == ""


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data source `unbuilt` of earlier servers, which this one has not."""
    rules = (*table(), Rule("datasources.*:unbuilt", Verdict.REFUSED, "Not part of this version."))
    for module in ("rules", "findings"):
        monkeypatch.setattr(f"polytope_server.config.migration.{module}.table", lambda: rules)


def test_data_sources_of_mars_keep_their_keys(written: Callable[[str], str]) -> None:
    text = (
        "datasources:\n"
        "  a: {type: mars, protocol: remote, command: /opt/mars, tmp_dir: /data, use_file_io: true,\n"
        "    timeout: 60, mars_error_filter: E, fdb_config: {type: local}, config: [{name: databridge}]}\n"
        "  b: {type: webmars, url: 'https://api.example.org/v1', override_email: w@example.org}\n"
        "collections: {c: {roles: {r: [x]}, datasources: [a, b]}}\n"
    )
    assert yaml.safe_load(written(text)) == yaml.safe_load(text)


SOURCES = """
datasources:
  base: {type: unbuilt, match: {class: [od]}}
  child: {parents: [base]}
  words: {type: echo}
collections:
  both: {roles: {r: [a]}, datasources: [child, {name: words, patch: {a: b}}]}
  none: {roles: {r: [a]}, datasources: [child]}
"""


@pytest.mark.usefixtures("unbuilt")
def test_data_sources_that_are_not_built_leave_their_collections(written: Callable[[str], str]) -> None:
    text = written(SOURCES)
    new = yaml.safe_load(text)
    assert list(new["datasources"]) == ["words"]
    assert new["collections"] == {
        "both": {"roles": {"r": ["a"]}, "datasources": [{"name": "words", "patch": {"a": "b"}}]}
    }
    assert "DECIDE both: without its data sources child" in text
    assert "DECIDE none: left out, as it has no data source any more (it had child)." in text


@pytest.mark.usefixtures("unbuilt")
def test_other_keys_of_collections_are_judged_beside_a_data_source_that_is_gone(
    written: Callable[[str], str],
) -> None:
    text = written(
        "datasources: {old: {type: unbuilt}, words: {type: echo}}\n"
        "collections:\n"
        "  a: {roles: {r: [x]}, datasources: [words], foo: 1}\n"
        "  b: {roles: {r: [x]}, datasources: [old, words], foo: 2}\n"
    )
    kept = {"roles": {"r": ["x"]}, "datasources": ["words"]}
    assert yaml.safe_load(text)["collections"] == {"a": kept, "b": kept}
    assert text.count("DECIDE foo: left out") == 2


def test_keys_that_a_collection_overrides_are_judged_by_the_type_of_the_data_source(
    migrate: Callable[..., tuple[int, str]],
) -> None:
    text = "datasources: {a: {type: fdb, fdb_config: {}}}\n"
    _, report = migrate(f"{text}collections: {{c: {{roles: x, datasources: [{{name: a, fdb_home: /x}}]}}}}")
    assert "collections.c.datasources[0].fdb_home" in section_of(report, "Accepted, without effect")


@pytest.mark.parametrize(("size", "changed"), [("1.5G", True), ("10G", False)])
def test_a_rule_for_some_values_does_not_count_for_others(
    migrate: Callable[..., tuple[int, str]], size: str, changed: bool
) -> None:
    _, report = migrate(f"garbage-collector: {{threshold: {size}}}")
    assert ("garbage-collector.threshold" in section_of(report, "Accepted, with another")) == changed
    assert ("garbage-collector.threshold" in section_of(report, "Accepted, as it was")) != changed


def test_an_own_name_of_one_rule_is_told_once(migrate: Callable[..., tuple[int, str]]) -> None:
    _, report = migrate("request_store: {mongodb: {uri: 'mongodb://h', collection: c}}")
    assert report.count("Requests of the earlier server") == 1


def test_host_and_port_of_the_first_public_version_name_the_server() -> None:
    settings = loaded(EARLIER / "first.yaml").settings
    for concern, section in (("request_store", settings.request_store), ("caching", settings.caching)):
        kind = backends.load(concern, "mongodb").Settings
        assert kind.model_validate(section["mongodb"]).uri == "mongodb://mongodb:27017"


# -- the table ---------------------------------------------------------------------------------------


def test_each_key_has_one_rule() -> None:
    keys = [rule.key for rule in table()]
    assert len(keys) == len(set(keys))


def test_what_needs_a_person_says_what_to_do() -> None:
    assert [rule.key for rule in table() if rule.needs_decision and not rule.text] == []
    assert [rule.key for rule in table() if (rule.now is Verdict.RENAMED) != bool(rule.to)] == []


@pytest.mark.parametrize("name", FILES)
def test_the_table_agrees_with_the_loader_on_what_has_no_effect(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the loader accepts as idle is idle in the table, and nothing else is."""
    new = tmp_path / "new.yaml"
    cli.main(["config", "migrate", str(EARLIER / name), "--write", str(new)])
    assert [warning for warning in loaded(new).warnings if warning.endswith("no effect")] == []
    idle = re.findall(r"  (\S+) \(", section_of(capsys.readouterr().out, "Accepted, without effect"))
    # Written in again, alone, each is said to have no effect.
    warned = []
    for document in yaml.safe_load_all((EARLIER / name).read_text()):
        alone = tmp_path / "alone.yaml"
        alone.write_text(yaml.safe_dump({key: document[key] for key in document if _is_simple(key, idle)}))
        warned += [line.split(": ")[1] for line in loaded(alone).warnings if line.endswith("no effect")]
    assert set(warned) == {key for key in idle if _is_simple(key.partition(".")[0], idle)}


def _is_simple(section: str, idle: list[str]) -> bool:
    """Sections that load alone, and hold idle keys."""
    return section not in ("datasources", "authentication") and any(
        key.partition(".")[0] == section for key in idle
    )


def test_the_page_is_the_generated_one() -> None:
    assert (DOCS / "migration.md").read_text() == page.page(), (
        "run: python -m polytope_server.config.migration.page > docs/migration.md"
    )
