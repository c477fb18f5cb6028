"""Media types of results, and the extension that the name of a result has for each: the one table of them."""

from __future__ import annotations

GRIB = "application/x-grib"
COVERAGE_JSON = "application/prs.coverage+json"
OCTET_STREAM = "application/octet-stream"

#: Names of objects, links in logs (which are masked) and files of staging go by these extensions.
EXTENSIONS = {GRIB: "grib", COVERAGE_JSON: "covjson", OCTET_STREAM: "bin"}
_TYPES = {extension: media_type for media_type, extension in EXTENSIONS.items()}


def extension(media_type: str) -> str:
    """The extension for results of a media type; one that is not in the table has that of plain bytes."""
    return EXTENSIONS.get(media_type, EXTENSIONS[OCTET_STREAM])


def media_type(extension: str) -> str:
    """The media type of results with an extension, without the dot."""
    return _TYPES.get(extension, OCTET_STREAM)
