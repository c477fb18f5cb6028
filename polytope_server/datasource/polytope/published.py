"""Grids whose points only the published library knows: a `mapper` of `options.axis_config` describes them.

Of the library (polytope-python) its mappers are used. They say where the points of a grid are; which of
them a feature chooses is found as for all other grids. So results have one form, points and labels are
right, and what the library prints is not seen.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from polytope_server import grids
from polytope_server.datasource.polytope.arrays import Floats

logger = logging.getLogger(__name__)


def read_grid(mapper: Mapping[str, Any]) -> grids.RowGrid | None:
    """The grid that a mapper describes; None if the library is not installed, or cannot say it."""
    kind = mapper.get("type")
    try:
        points = _find_points(mapper)
    except ImportError as error:
        logger.error("a mapper of the type %s needs the package polytope-python: %s", kind, error)
        return None
    except Exception as error:
        # It raises what happens to be raised: KeyError, AttributeError, ValueError, those of eckit.
        logger.error("the mapper of the type %s cannot be used: %r", kind, error)
        return None
    return grids.scattered(points[:, 0], points[:, 1], mapper.get("md5_hash"))


def _find_points(mapper: Mapping[str, Any]) -> Floats:
    with _silenced():
        from polytope_feature.datacube.transformations.datacube_mappers import datacube_mappers
        from polytope_feature.options import MapperConfig

        made = datacube_mappers.DatacubeMapper("values", MapperConfig.model_validate(dict(mapper)))
        if not made.is_irregular:
            raise ValueError("it has rows, and is not what the fields have")
        points = np.asarray(made._final_transformation.grid_latlon_points(), float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"its points have the shape {points.shape}")
    return points


@contextmanager
def _silenced() -> Iterator[None]:
    """What is written to the standard output goes nowhere: that of Python, and of the libraries below."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
