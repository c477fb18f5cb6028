"""MIR's own command line, which what the server makes is compared with, and fields for it."""

import subprocess

import eccodes
import numpy as np
from fdb_fields import message

from testbed import mir


def run_mir(messages, weights, folder, *, flags=(), **options):
    """What `mir` makes of messages, with options such as grid="1/1", and flags such as uv2uv."""
    taken, made = folder / "taken.grib", folder / "made.grib"
    taken.write_bytes(b"".join(messages))
    made.unlink(missing_ok=True)
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [mir.program(), *given, *(f"--{flag}" for flag in flags), str(taken), str(made)]
    subprocess.run(command, env=mir.environment(weights), check=True, capture_output=True, timeout=200)
    return made.read_bytes()


def changed(values=None, base=None, **keys):
    """A message of the tests with other keys, and other values."""
    handle = eccodes.codes_new_from_message(bytes(base or message()))
    try:
        for key, value in keys.items():
            eccodes.codes_set(handle, key, value)
        if values is not None:
            eccodes.codes_set_values(handle, values)
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def noise(seed, base=None, mean=0.0):
    """Values for all points of a message: none of two components follows from the other."""
    return mean + np.random.default_rng(seed).normal(scale=5, size=len(values_of(base or message())))


def wind(step=0, first=165, second=166):
    """The two components of a vector."""
    return tuple(changed(noise(number), paramId=number, stepRange=step) for number in (first, second))


def spectral(param, truncation=63, step=0):
    """Spherical harmonics of a smooth field on a pressure level."""
    handle = eccodes.codes_grib_new_from_samples("sh_pl_grib2")
    keys = {"J": truncation, "K": truncation, "M": truncation, "tablesVersion": 33}
    keys |= {"setLocalDefinition": 1, "localDefinitionNumber": 1, "class": "od", "type": "fc"}
    keys |= {"stream": "oper", "expver": "0001", "dataDate": 20260101, "dataTime": 0, "stepRange": step}
    keys |= {"paramId": param, "level": 500}
    try:
        for key, value in keys.items():
            eccodes.codes_set(handle, key, value)
        count = (truncation + 1) * (truncation + 2)
        coefficients = np.random.default_rng(param).normal(size=count) * 1e-5
        # The first wave number has no imaginary parts; nor is there a mean vorticity.
        coefficients[1 : 2 * (truncation + 1) : 2] = 0
        coefficients[0] = 0
        eccodes.codes_set_values(handle, coefficients)
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def field_of_edition_1():
    """A temperature at the surface on the classic grid N128."""
    handle = eccodes.codes_grib_new_from_samples("reduced_gg_pl_128_grib1")
    keys = {"setLocalDefinition": 1, "localDefinitionNumber": 1, "class": "od", "type": "fc"}
    keys |= {"stream": "oper", "expver": "0001", "dataDate": 20260101, "dataTime": 0, "step": 0}
    keys |= {"paramId": 167, "indicatorOfTypeOfLevel": 1, "level": 0}
    try:
        for key, value in keys.items():
            eccodes.codes_set(handle, key, value)
        points = eccodes.codes_get_size(handle, "values")
        eccodes.codes_set_values(handle, np.random.default_rng(1).normal(280, 5, points))
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def split(data):
    """The messages in some bytes."""
    messages = []
    while data:
        handle = eccodes.codes_new_from_message(data)
        length = eccodes.codes_get(handle, "totalLength")
        eccodes.codes_release(handle)
        messages.append(data[:length])
        data = data[length:]
    return messages


def look(data, *keys):
    """The values of keys of one message."""
    handle = eccodes.codes_new_from_message(bytes(data))
    try:
        return tuple(eccodes.codes_get(handle, key) for key in keys)
    finally:
        eccodes.codes_release(handle)


def values_of(data):
    """The values of one message."""
    handle = eccodes.codes_new_from_message(bytes(data))
    try:
        return eccodes.codes_get_values(handle)
    finally:
        eccodes.codes_release(handle)
