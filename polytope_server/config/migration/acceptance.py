"""Brings an earlier configuration into a form that `config check` accepts, or says what is in the way."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from polytope_server.config.loading import FILES_VARIABLE, Configuration, load
from polytope_server.config.migration.findings import Finding, examine, replaced, with_left_out
from polytope_server.config.migration.plain_users import with_users
from polytope_server.config.migration.rewriting import rewritten
from polytope_server.config.migration.rules import Verdict
from polytope_server.config.migration.trees import with_value
from polytope_server.settings.nodes import Node
from polytope_server.settings.problems import ConfigurationError, dotted

#: What `load` says of a key that it does not know, see :class:`polytope_server.settings.problems.Problem`.
_UNKNOWN = re.compile(r"(?P<key>[^:]+): (?:value .*: )?unknown key; (?P<meant>.*)")
#: Each time something is left out, other mistakes may come to light.
_ROUNDS = 20
#: Sections whose parts can be left out: without them less is possible, and never more.
_PARTS = (("datasources",), ("collections",), ("federation",))
_PARTS_OF_REALM = ("authenticators", "authorizers")


@dataclass(frozen=True)
class Migration:
    """An earlier configuration in this server's form.

    `findings` say what becomes of each key. `problems` are those that a person must mend in the old file.
    `configuration` has variables as they stand in the file. It is None with problems, and where a variable
    stands in place of a number.
    """

    root: Node
    findings: list[Finding]
    problems: list[str]
    configuration: Configuration | None

    @property
    def text(self) -> str:
        """The new configuration as YAML, secrets included."""
        return rewritten(self.root, self.findings)


def migrated(earlier: Node) -> Migration:
    """What becomes of an earlier configuration, with all parts that this server accepts."""
    root, changed = with_users(_as_the_chart_wrote_it(earlier))
    findings = replaced(examine(root), changed)
    for _ in range(_ROUNDS):
        problems, _ = _check(rewritten(root, findings), _environment())
        before = findings
        findings = _leave_out(root, findings, problems)
        if findings == before:
            break
    _, configuration = _check(rewritten(root, findings), {})
    return Migration(root, findings, problems, None if problems else configuration)


def _as_the_chart_wrote_it(earlier: Node) -> Node:
    """With what the earlier chart itself changed in the configuration that its pods read."""
    enabled, staging = earlier.child("seaweedfs", "enabled"), earlier.child("staging")
    if staging is None or enabled is None or enabled.value is not True:
        return earlier
    for name in ("s3", "s3_boto3"):
        if staging.child(name) is not None:
            earlier = with_value(earlier, ("staging", name, "host"), Node("seaweedfs-s3", staging.origin))
    return earlier


def _leave_out(root: Node, findings: list[Finding], problems: list[str]) -> list[Finding]:
    unknown = {found["key"]: found["meant"] for found in map(_UNKNOWN.fullmatch, problems) if found}
    if unknown:
        return with_left_out(root, findings, Verdict.UNKNOWN, unknown)
    lacking: dict[str, str] = {}
    for part in map(dotted, _parts_of(root)):
        said = [problem.removeprefix(part) for problem in problems if _is_about(problem, part)]
        if said:
            lacking[part] = "; ".join(text.lstrip(".: ") for text in said)
    return with_left_out(root, findings, Verdict.LACKING, lacking)


def _parts_of(root: Node) -> Iterator[tuple[str, ...]]:
    realms = [("authentication", str(realm)) for realm, _ in _children(root, ("authentication",))]
    yield from (realm for realm in realms if realm[-1] == "auth-o-tron")
    sections: Iterable[tuple[str, ...]] = (
        *_PARTS,
        *((*realm, key) for realm in realms for key in _PARTS_OF_REALM),
    )
    for section in sections:
        yield from ((*section, str(name)) for name, _ in _children(root, section))


def _children(root: Node, path: tuple[str, ...]) -> Iterator[tuple[object, Node]]:
    return (root.child(*path) or Node({})).children()


def _is_about(problem: str, part: str) -> bool:
    return problem.startswith(tuple(f"{part}{end}" for end in ".[:"))


def _environment() -> dict[str, str]:
    """As `config check` sees it, without further files."""
    return {name: value for name, value in os.environ.items() if name != FILES_VARIABLE}


def _check(text: str, environ: Mapping[str, str]) -> tuple[list[str], Configuration | None]:
    """What is wrong with a configuration, without the file and the line; or the configuration."""
    with tempfile.TemporaryDirectory() as folder:
        # In the folder only the account of this process can read it.
        file = Path(folder) / "config.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            return [], load([file], environ=environ, system_file=Path(folder) / "none")
        except ConfigurationError as error:
            return [
                re.sub(rf"^{re.escape(str(file))}(:\d+)*: ", "", problem) for problem in error.problems
            ], None
