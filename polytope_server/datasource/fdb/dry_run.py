"""A dry run of an archive: each of its fields must be found again by the keys that the FDB files it under.

An FDB takes what it cannot find again: a parameter without a number, a value that no request may have, a
second field with the same keys, which replaces the first. Only the FDB knows under which keys it files a
message. So the headers of the messages are archived into an empty FDB with the same schema, in a temporary
folder, and asked for again before anything of the real one becomes visible.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

from polytope_server.datasource import DataSourceError
from polytope_server.datasource.fdb import grib
from polytope_server.datasource.fdb.configuration import PARTS
from polytope_server.datasource.fdb.faults import user_fault
from polytope_server.datasource.fdb.selection import Selection, filed_keys
from polytope_server.datasource.working_folder import WorkingFolder
from polytope_server.language import CoercionRules, RequestError, coerce

#: Messages that are checked together: what a bad upload wastes of the store, and what is on disk at a time.
_BATCH = 1000
PREFIX = "polytope-fdb-dry-run-"
#: Keys of a configuration that say how fields are filed, and not where.
_FILING = ("schema", "select")


class DryRun:
    """The fields of one upload, in an FDB of their own for the time of the block."""

    def __init__(
        self,
        config: Mapping[str, Any],
        rules: CoercionRules,
        select: Callable[[Mapping[str, Any]], Selection],
        abandon: Callable[[Any], None],
    ) -> None:
        """`config` is that of the real FDB.

        `rules` and `select` make of a request what the FDB is asked for. `abandon` keeps an FDB object that
        cannot be flushed from being destroyed, which would end the process.
        """
        self._config = config
        self._rules = rules
        self._select = select
        self._abandon = abandon
        self._working = WorkingFolder(PREFIX)
        self._writer: Any = None
        self._batch: list[Mapping[str, str]] = []
        self._known: set[bytes] = set()
        #: The values of each key by which the FDB files the fields so far.
        self.filed: Selection = {}
        #: How many fields were added.
        self.count = 0

    def __enter__(self) -> Self:
        self._working.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._end_batch()
        self._working.__exit__(*error)

    def add(self, field: grib.Field) -> None:
        """Archive a field. RuntimeError of pyfdb, DataSourceError as in :meth:`check`."""
        if self._writer is None:
            self._writer = self._open()
        self._writer.archive(field.header)
        self._batch.append(field.keys)
        self.count += 1
        if len(self._batch) == _BATCH:
            self.check()

    def check(self) -> None:
        """DataSourceError unless every field since the last check can be asked for, and no two are one."""
        if self._writer is None:
            return
        self._writer.flush()
        # An FDB object does not see what was archived after its first look.
        reader = self._open()
        fields = [filed_keys(element) for element in reader.list({})]
        for keys in fields:
            self._ask_for(reader, keys)
        if len(fields) < len(self._batch):
            raise _twice(self._keys_of_two())
        for keys in fields:
            self._remember(keys)
        self._end_batch()

    def _open(self) -> Any:
        import pyfdb

        return pyfdb.FDB(_relocated(self._config, self._working.path / "fdb"))

    def _ask_for(self, fdb: Any, keys: Mapping[str, str]) -> None:
        """Do what becomes of a request with these keys, from its submission on."""
        try:
            found = [filed_keys(element) for element in fdb.inspect(self._select(coerce(keys, self._rules)))]
        except (DataSourceError, RequestError) as error:
            raise _unreachable(keys, str(error)) from None
        except RuntimeError as error:
            if reason := user_fault(str(error)):
                raise _unreachable(keys, reason) from None
            raise
        if found != [keys]:
            raise _unreachable(keys, "a request with these keys does not find it")

    def _keys_of_two(self) -> Mapping[str, str]:
        """The keys that two messages of the batch have in common, as the first of them has them."""
        spelled = [
            tuple(sorted((key, grib.canonical(key, keys[key])) for key in keys)) for keys in self._batch
        ]
        return self._batch[spelled.index(Counter(spelled).most_common(1)[0][0])]

    def _remember(self, keys: Mapping[str, str]) -> None:
        digest = blake2b(repr(sorted(keys.items())).encode(), digest_size=16).digest()
        if digest in self._known:
            raise _twice(keys)
        self._known.add(digest)
        for key, value in keys.items():
            values = self.filed.setdefault(key, [])
            if value not in values:
                values.append(value)

    def _end_batch(self) -> None:
        """Give up the FDB of this batch, so that the next one begins with an empty one."""
        writer, self._writer = self._writer, None
        self._batch.clear()
        try:
            # SIGABRT: destroying an object that cannot flush what it holds ends the process.
            writer.flush()
        except (RuntimeError, MemoryError):
            self._abandon(writer)
        del writer
        shutil.rmtree(self._working.path / "fdb", ignore_errors=True)


def _relocated(config: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The configuration of an FDB that files fields like that of `config`, below `root`."""
    kept = {key: config[key] for key in _FILING if key in config}
    for key in PARTS:
        if key in config:
            parts = [_relocated(part, root / str(number)) for number, part in enumerate(config[key])]
            return {**kept, "type": config["type"], key: parts}
    root.mkdir(parents=True, exist_ok=True)
    spaces = [{"handler": "Default", "roots": [{"path": str(root)}]}]
    return {**kept, "type": "local", "engine": "toc", "spaces": spaces}


def _unreachable(keys: Mapping[str, str], reason: str) -> DataSourceError:
    return DataSourceError(f"the field {_listed(keys)} could not be retrieved once it is archived: {reason}")


def _twice(keys: Mapping[str, str]) -> DataSourceError:
    return DataSourceError(
        f"two messages of the upload are filed under the same keys, and one would replace the other: "
        f"{_listed(keys)}"
    )


def _listed(keys: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in keys.items())
