"""What fields are: their grid, the name and units of their parameter; read of one header and remembered."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from polytope_server import grids
from polytope_server.datasource import DataSourceError, TemporaryError
from polytope_server.datasource.polytope import published
from polytope_server.datasource.polytope.headers import opened, read_header
from polytope_server.datasource.polytope.jump import Location

logger = logging.getLogger(__name__)

#: Kinds of fields that are remembered.
_MOST = 4096
#: Grids that are, and their rows together. A row takes 56 bytes; without a closed form each point is a row.
_MOST_GRIDS, _MOST_ROWS = 64, 8_000_000
#: Keys whose values share a grid and a parameter.
_RUNNING = frozenset({"date", "time", "step", "number", "levelist", "hdate", "year", "month"})


@dataclass(frozen=True)
class Parameter:
    """One parameter, as ecCodes names it."""

    id: str
    short_name: str
    name: str
    units: str


@dataclass(frozen=True)
class Kind:
    """What all fields with the same keys (but for times, levels and members) have in common."""

    parameter: Parameter
    grid_type: str
    md5: str
    size: int
    #: None if neither it nor the configuration says where its points are.
    grid: grids.RowGrid | None = field(default=None, compare=False, repr=False)


class Kinds:
    """Kinds of fields and their grids, read once of the fields themselves."""

    def __init__(self, name: str, mappers: Sequence[Mapping[str, object]] = ()) -> None:
        """`mappers` are those of `axis_config`, which must agree with the fields."""
        self._name = name
        self._mappers = mappers
        self._kinds: OrderedDict[tuple[tuple[str, str], ...], Kind] = OrderedDict()
        self._grids: OrderedDict[str, grids.RowGrid | None] = OrderedDict()

    def read(self, keys: Mapping[str, str], location: Location) -> Kind:
        """What a field is: by its keys if one like it was seen before, otherwise by its header."""
        identity = tuple(sorted((key, value) for key, value in keys.items() if key not in _RUNNING))
        if identity not in self._kinds:
            self._remember(identity, location)
        self._kinds.move_to_end(identity)
        return self._kinds[identity]

    def forget(self) -> None:
        """Read headers again: a model may have changed its grid."""
        self._kinds.clear()

    def _remember(self, identity: tuple[tuple[str, str], ...], location: Location) -> None:
        import eccodes

        try:
            header = read_header(location.path, location.offset, location.length)
            with opened(header) as handle:
                kind = _read_kind(handle)
                if kind.md5 not in self._grids:
                    self._make_room()
                    self._grids[kind.md5] = self._find_grid(kind, handle)
        except OSError as error:
            logger.error("data source %s: %s", self._name, error)
            raise TemporaryError(f"{self._name} cannot read the data at the moment.") from None
        except (ValueError, eccodes.CodesInternalError) as error:
            logger.error("data source %s: %s", self._name, error)
            raise DataSourceError("a field of the archive cannot be read") from None
        self._kinds[identity] = replace(kind, grid=self._grids[kind.md5])
        while len(self._kinds) > _MOST:
            self._kinds.popitem(last=False)

    def _make_room(self) -> None:
        """Forget grids, and the kinds that have them, until there is room for one more."""
        while self._grids and (len(self._grids) >= _MOST_GRIDS or self._count_rows() > _MOST_ROWS):
            forgotten, _ = self._grids.popitem(last=False)
            for identity in [identity for identity, kind in self._kinds.items() if kind.md5 == forgotten]:
                del self._kinds[identity]

    def _count_rows(self) -> int:
        return sum(len(grid.rows.latitudes) for grid in self._grids.values() if grid)

    def _find_grid(self, kind: Kind, handle: int) -> grids.RowGrid | None:
        """The grid of a field: by arithmetic, else by coordinates, of ecCodes or of the published library."""
        mappers = [mapper for mapper in self._mappers if mapper.get("md5_hash") == kind.md5]
        makers: Sequence[Callable[[], grids.RowGrid | None]] = (
            *(partial(grids.from_mapper, mapper) for mapper in mappers),
            partial(grids.from_message, handle),
            partial(grids.from_coordinates, handle),
            *(partial(published.read_grid, mapper) for mapper in mappers),
        )
        return next((grid for make in makers if (grid := make()) and self._fits(grid, kind)), None)

    def _fits(self, grid: grids.RowGrid, kind: Kind) -> bool:
        if grid.size != kind.size:
            logger.warning("data source %s: the mapper for %s has %d points, its fields have %d",
                           self._name, kind.md5, grid.size, kind.size)  # fmt: skip
        return grid.size == kind.size


def _read_kind(handle: int) -> Kind:
    import eccodes

    texts = {
        key: eccodes.codes_get_string(handle, key)
        for key in ("paramId", "shortName", "name", "units", "gridType", "md5GridSection")
    }
    parameter = Parameter(texts["paramId"], texts["shortName"], texts["name"], texts["units"])
    size = int(eccodes.codes_get_long(handle, "numberOfDataPoints"))
    return Kind(parameter, texts["gridType"], texts["md5GridSection"], size)
