"""Values of many fields, a bounded number of them at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from polytope_server.datasource.polytope.arrays import Floats
from polytope_server.datasource.polytope.jump import Jump, Location
from polytope_server.datasource.polytope.points import Block

#: Values that are in memory at a time (several copies of 8 bytes), and fields that GribJump is asked for.
MAX_VALUES, MAX_FIELDS = 1 << 18, 4096


@dataclass(frozen=True)
class Reader:
    """Reads fields that are on one grid."""

    jump: Jump
    md5: str

    def matrix(self, fields: Sequence[Location], block: Block) -> Floats:
        """The values of some points of some fields: a row for each field. They must fit into memory."""
        rows = np.empty((len(fields), block.size))
        for start in range(0, len(fields), MAX_FIELDS):
            part = fields[start : start + MAX_FIELDS]
            found = self.jump.extract([(field, block.pairs) for field in part], self.md5)
            for n, values in enumerate(found, start):
                rows[n] = block.arranged(values)
        return rows

    def stream(self, wanted: Iterable[tuple[Location, Block]]) -> Iterator[Floats]:
        """The values of one block after the other, each of a field."""
        batch: list[tuple[Location, Block]] = []
        size = 0
        for field, block in wanted:
            # GribJump takes a field only once at a time.
            full = size + block.extracted > MAX_VALUES or len(batch) == MAX_FIELDS
            if batch and (full or field is batch[-1][0]):
                yield from self._extract(batch)
                batch, size = [], 0
            batch.append((field, block))
            size += block.extracted
        if batch:
            yield from self._extract(batch)

    def _extract(self, batch: Sequence[tuple[Location, Block]]) -> Iterator[Floats]:
        found = self.jump.extract([(field, block.pairs) for field, block in batch], self.md5)
        return (block.arranged(values) for values, (_, block) in zip(found, batch, strict=True))
