"""Features: what a request asks for of the hypercube, instead of whole fields.

`read_feature` makes a typed feature of the value of a request's key `feature`, or says everything that is
wrong with it. Nothing here knows a grid, a field or an archive.
"""

from polytope_server.features.geometry import Point, Ring
from polytope_server.features.limits import DEFAULT_LIMITS, FeatureLimits
from polytope_server.features.model import (
    BoundingBox,
    Circle,
    Feature,
    Frame,
    Points,
    Polygon,
    Position,
    TimeSeries,
    Trajectory,
    VerticalProfile,
)
from polytope_server.features.reading import FEATURE_TYPES, read_feature
from polytope_server.features.spans import select_archived

__all__ = [
    "DEFAULT_LIMITS",
    "FEATURE_TYPES",
    "BoundingBox",
    "Circle",
    "Feature",
    "FeatureLimits",
    "Frame",
    "Point",
    "Points",
    "Polygon",
    "Position",
    "Ring",
    "TimeSeries",
    "Trajectory",
    "VerticalProfile",
    "read_feature",
    "select_archived",
]
