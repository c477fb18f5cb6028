"""GRIB messages of any kind, made by ecCodes from its samples."""

from __future__ import annotations

from typing import Any

import eccodes

LABEL = {"dataDate": 20260101, "dataTime": 0, "class": "od", "type": "fc", "stream": "oper", "expver": "0001"}


def encode(values: list[float] | None = None, edition: int = 2, **keys: Any) -> bytes:
    """A message: a regular grid, labels of an operational forecast, and `keys` of ecCodes in order."""
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_pl_grib{edition}")
    try:
        if edition == 2:
            eccodes.codes_set(handle, "tablesVersion", 33)
            eccodes.codes_set(handle, "setLocalDefinition", 1)
        eccodes.codes_set(handle, "localDefinitionNumber", 1)
        for key, value in (LABEL | keys).items():
            eccodes.codes_set(handle, key, value)
        if values is not None:
            eccodes.codes_set_values(handle, values)
        return bytes(eccodes.codes_get_message(handle))
    finally:
        eccodes.codes_release(handle)


def encode_member(number: int, values: list[float] | None = None, **keys: Any) -> bytes:
    """The same for a member of an ensemble, in edition 2."""
    template = {"productDefinitionTemplateNumber": 1, "numberOfForecastsInEnsemble": 51}
    return encode(values, stream="enfo", type="pf", **template, perturbationNumber=number, **keys)


def joined(first: bytes, *others: bytes) -> bytes:
    """One edition 2 message with the fields of several: sections 4 to 7 are repeated."""
    body = first[16:-4] + b"".join(_from_product_definition(other) for other in others)
    return first[:8] + (len(body) + 20).to_bytes(8, "big") + body + b"7777"


def _from_product_definition(message: bytes) -> bytes:
    position = 16
    while message[position + 4] != 4:
        position += int.from_bytes(message[position : position + 4], "big")
    return message[position:-4]
