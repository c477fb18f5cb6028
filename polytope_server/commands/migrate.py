"""`polytope-server config migrate`: what becomes of an earlier server's configuration."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path

from polytope_server.commands import options
from polytope_server.config.loading import SYSTEM_FILE, load
from polytope_server.config.migration.findings import Finding, examine, with_unknown
from polytope_server.config.migration.rewriting import rewritten
from polytope_server.config.migration.rules import Verdict
from polytope_server.settings.nodes import FileError, Node, merge, read
from polytope_server.settings.problems import ConfigurationError

NOTHING, DECIDE, UNREADABLE = 0, 1, 2
HELP = "say what becomes of an earlier server's configuration, and write one for this server"
_TITLES = {
    Verdict.REFUSED: "Refused: not accepted any more",
    Verdict.NEEDED: "Needed: new, and must be given",
    Verdict.UNKNOWN: "Unknown, to the earlier server and to this one",
    Verdict.CHANGED: "Accepted, with another meaning",
    Verdict.RENAMED: "Accepted, under a new name",
    Verdict.ABSENT: "Not given, and the default is another one",
    Verdict.IDLE: "Accepted, without effect",
    Verdict.OWN: "Keys of this server",
    Verdict.SAME: "Accepted, as it was",
}
_WITHOUT_TEXT = (Verdict.SAME, Verdict.OWN)
#: What `load` says of a key that it does not know, see :class:`polytope_server.settings.problems.Problem`.
_UNKNOWN = re.compile(r"(?P<key>[^:]+): (?:value .*: )?unknown key; (?P<meant>.*)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    options.add_files(parser)
    parser.add_argument("file", metavar="FILE", type=Path, nargs="*", help="the same as -f FILE")
    parser.add_argument(
        *("-w", "--write"), metavar="FILE", type=Path,
        help="write a configuration for this server into a new file, secrets included; - is standard output, "
        "and the report goes to standard error then",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """0 if there is nothing to do, 1 if a person must decide something, 2 if the files cannot be read."""
    files = [*chosen.files, *chosen.file] or [SYSTEM_FILE]
    try:
        root = _read_files(files)
    except FileError as error:
        print(error, file=sys.stderr)
        return UNREADABLE
    findings, problems = _judge_keys(root)
    report = sys.stderr if str(chosen.write) == "-" else sys.stdout
    print("\n".join(_format_report(findings, problems)), file=report)
    if chosen.write is not None:
        try:
            _write_file(chosen.write, rewritten(root, findings))
        except OSError as error:
            print(f"{chosen.write}: cannot be written: {error.strerror}", file=sys.stderr)
            return UNREADABLE
    return DECIDE if problems or any(finding.decide for finding in findings) else NOTHING


def _read_files(files: Sequence[Path]) -> Node:
    # Without an environment: variables are to stand in the new file as they did in the old one.
    documents = [node for file in files for node in read(file, {})]
    return reduce(merge, documents, Node({}))


def _judge_keys(root: Node) -> tuple[list[Finding], list[str]]:
    """The findings, and what `config check` says against the configuration that is written by them."""
    findings = examine(root)
    problems = _find_problems(rewritten(root, findings))
    unknown = {found["key"]: found["meant"] for found in map(_UNKNOWN.fullmatch, problems) if found}
    if not unknown:
        return findings, problems
    findings = with_unknown(root, findings, unknown)
    return findings, _find_problems(rewritten(root, findings))


def _find_problems(text: str) -> list[str]:
    """What is wrong with a configuration, without the file and the line."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        _write_file(file, text)
        try:
            load([file], system_file=Path(folder) / "none")
        except ConfigurationError as error:
            return [re.sub(rf"^{re.escape(str(file))}(:\d+)*: ", "", problem) for problem in error.problems]
    return []


def _write_file(file: Path, text: str) -> None:
    if str(file) == "-":
        sys.stdout.write(text)
        return
    # It holds secrets, so it is for its owner only; and no file is overwritten, be it the old configuration.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)


def _format_report(findings: Sequence[Finding], problems: Sequence[str]) -> Iterator[str]:
    for verdict, title in _TITLES.items():
        found = [finding for finding in findings if finding.now is verdict]
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
    if problems:
        yield f"Still to be mended by hand ({len(problems)}):"
        yield from (f"  {problem}" for problem in problems)
        yield ""
    decisions = sum(finding.decide for finding in findings) + len(problems)
    yield f"{decisions} to decide." if decisions else "Nothing to decide."
