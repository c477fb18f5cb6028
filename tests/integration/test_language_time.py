"""The time that reading a request takes: a process of its own can be given up."""

from __future__ import annotations

import json
import subprocess
import sys

TEXTS = {
    "spaces in a value": "a=x{}y".format(" " * 400_000),
    "spaces before a slash": "a=x{}/y".format(" " * 400_000),
    "a quote that never ends": "a='{}".format("b=" * 200_000),
    "pairs without end": "a=b," * 100_000,
    "digits": "a: {}".format("9" * 400_000),
    "digits behind a point": "a: 0.{}".format("9" * 400_000),
    "JSON that never ends": "[" + "1," * 100_000,
    "brackets": "a: {}".format("[{" * 200_000),
    "letters that are no ASCII": "a: {}".format("é\u2028ß" * 50_000),
    "slashes": "a: {}".format("/" * 400_000),
    "words of ranges": "a: {}1".format("1/to/" * 80_000),
    "periods": "step: {}".format("1-" * 200_000),
}
_PROGRAM = """
import json, resource, sys
from polytope_server.language import RequestError, coerce, parse
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
for text in json.load(sys.stdin):
    try:
        coerce(parse(text))
    except RequestError:
        pass
"""


def test_no_text_costs_the_square_of_its_length() -> None:
    """With the square of the length each would be minutes, and the kernel would end the process."""
    texts = json.dumps(list(TEXTS.values()))
    subprocess.run([sys.executable, "-c", _PROGRAM], input=texts, text=True, check=True)
