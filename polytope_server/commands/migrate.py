"""`polytope-server config migrate`: what becomes of an earlier server's configuration."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path

from polytope_server.commands import options
from polytope_server.config.loading import SYSTEM_FILE
from polytope_server.config.migration.acceptance import Migration, migrated
from polytope_server.config.migration.chart import LOGINS, Chart, chart_of
from polytope_server.config.migration.rules import Verdict
from polytope_server.settings.nodes import FileError, Node, merge, read

NOTHING, DECIDE, UNREADABLE = 0, 1, 2
HELP = "say what becomes of an earlier server's configuration, and write one for this server"
_TITLES = {
    Verdict.REFUSED: "Refused: not accepted any more",
    Verdict.NEEDED: "Needed: new, and must be given",
    Verdict.LACKING: "Left out, as it is not accepted as it stands",
    Verdict.UNKNOWN: "Unknown, to the earlier server and to this one",
    Verdict.CHANGED: "Accepted, with another meaning",
    Verdict.RENAMED: "Accepted, under a new name",
    Verdict.ABSENT: "Not given, and the default is another one",
    Verdict.IDLE: "Accepted, without effect",
    Verdict.CHART: "Values of the earlier chart, and no keys of the server",
    Verdict.OWN: "Keys of this server",
    Verdict.SAME: "Accepted, as it was",
}
_REASON = "first mend in the old file what is listed above, or write numbers in place of variables"
_WITHOUT_TEXT = (Verdict.SAME, Verdict.OWN)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    options.add_files(parser)
    parser.add_argument("file", metavar="FILE", type=Path, nargs="*", help="the same as -f FILE")
    parser.add_argument(
        *("-w", "--write"), metavar="FILE", type=Path,
        help="write a configuration for this server into a new file, secrets included; - is standard output, "
        "and the report goes to standard error then",
    )  # fmt: skip
    parser.add_argument(
        *("-c", "--chart"), metavar="FILE", type=_name_file,
        help="write values for the Helm chart of this server into a new file, and its secrets into another "
        "one beside it (.secrets)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def _name_file(text: str) -> Path:
    """A file, for argparse: two files cannot both be standard output."""
    if text == "-":
        raise argparse.ArgumentTypeError("a file is needed, for there is another one beside it")
    return Path(text)


def run(chosen: argparse.Namespace) -> int:
    """0 if there is nothing to do, 1 if a person must decide something, 2 if the files cannot be read."""
    files = [*chosen.files, *chosen.file] or [SYSTEM_FILE]
    try:
        migration = migrated(_read_files(files))
    except FileError as error:
        print(error, file=sys.stderr)
        return UNREADABLE
    report = sys.stderr if str(chosen.write) == "-" else sys.stdout
    chart = _make_chart(chosen, migration)
    print("\n".join(_format_report(migration, chart, chosen.chart)), file=report)
    if not _write_files(_choose_texts(chosen, migration, chart)):
        return UNREADABLE
    return DECIDE if _count_decisions(migration, chart) else NOTHING


def _read_files(files: Sequence[Path]) -> Node:
    # Without an environment: variables are to stand in the new file as they did in the old one.
    documents = [node for file in files for node in read(file, {})]
    return reduce(merge, documents, Node({}))


def _make_chart(chosen: argparse.Namespace, migration: Migration) -> Chart | None:
    if chosen.chart is None or migration.configuration is None:
        return None
    return chart_of(migration.root, migration.configuration)


def _choose_texts(
    chosen: argparse.Namespace, migration: Migration, chart: Chart | None
) -> dict[Path, str | None]:
    """What to write into which file; None if it would be what `config check` does not accept."""
    texts: dict[Path, str | None] = {}
    if chosen.write is not None:
        texts[chosen.write] = None if migration.problems else migration.text
    if chosen.chart is not None:
        texts[chosen.chart] = chart.text if chart else None
    if chart is not None and chart.variables:
        texts[_name_secrets_file(chosen.chart)] = "".join(_format_secrets(chart))
    return texts


def _name_secrets_file(chart: Path) -> Path:
    return chart.with_suffix(".secrets")


def _format_secrets(chart: Chart) -> Iterator[str]:
    """Lines that `kubectl create secret generic --from-env-file` reads."""
    for name, value in chart.variables.items():
        yield f"# not in the old file\n# {name}=\n" if value is None else f"{name}={value}\n"


def _write_files(texts: Mapping[Path, str | None]) -> bool:
    for file, text in texts.items():
        try:
            if text is None:
                print(f"{file}: is not written: {_REASON}", file=sys.stderr)
                return False
            _write_file(file, text)
        except OSError as error:
            print(f"{file}: cannot be written: {error.strerror}", file=sys.stderr)
            return False
    return True


def _write_file(file: Path, text: str) -> None:
    if str(file) == "-":
        sys.stdout.write(text)
        return
    # It holds secrets, so it is for its owner only; and no file is overwritten, be it the old configuration.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)


def _count_decisions(migration: Migration, chart: Chart | None) -> int:
    """What a person must decide, mend or fill in."""
    remarks = [remark for remark in chart.remarks if remark.decide] if chart else []
    unknown = [name for name, value in chart.variables.items() if value is None] if chart else []
    decisions = [finding for finding in migration.findings if finding.decide]
    return len(decisions) + len(migration.problems) + len(remarks) + len(unknown)


def _format_report(migration: Migration, chart: Chart | None, values: Path) -> Iterator[str]:
    for verdict, title in _TITLES.items():
        found = [finding for finding in migration.findings if finding.now is verdict]
        if not found:
            continue
        yield f"{title} ({len(found)}):"
        if verdict in _WITHOUT_TEXT:
            yield f"  {', '.join(finding.key for finding in found)}"
        for finding in found if verdict not in _WITHOUT_TEXT else ():
            place = f" ({finding.origin})" if finding.origin is not None else ""
            mark = "DECIDE " if finding.decide and verdict is not Verdict.REFUSED else ""
            yield f"  {finding.key}{place}: {mark}{finding.text}".removesuffix(": ")
        yield ""
    if migration.problems:
        yield f"To be mended in the old file ({len(migration.problems)}):"
        yield from (f"  {problem}" for problem in migration.problems)
        yield ""
    if chart is not None:
        yield from _format_chart(chart, values)
    decisions = _count_decisions(migration, chart)
    yield f"{decisions} to decide." if decisions else "Nothing to decide."


def _format_chart(chart: Chart, values: Path) -> Iterator[str]:
    if chart.remarks:
        yield f"Values of the chart ({len(chart.remarks)}):"
        yield from (
            f"  {remark.key}: {'DECIDE ' if remark.decide else ''}{remark.text}" for remark in chart.remarks
        )
        yield ""
    commands = list(_list_commands(chart, values))
    if commands:
        yield f"Secrets to make, unless they exist in that namespace ({len(commands)}):"
        yield from (f"  {command}" for command in commands)
        yield ""
    unknown = [name for name, value in chart.variables.items() if value is None]
    if unknown:
        yield f"Of these the old file has no value; fill them in before ({len(unknown)}):"
        yield f"  {', '.join(unknown)}"
        yield ""


def _list_commands(chart: Chart, values: Path) -> Iterator[str]:
    if chart.variables:
        file = _name_secrets_file(values)
        begin = f"kubectl -n {shlex.quote(chart.namespace)} create secret generic {LOGINS}"
        yield f"{begin} --from-env-file={shlex.quote(str(file))}"
    yield from chart.commands
