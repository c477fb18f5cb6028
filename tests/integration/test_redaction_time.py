"""The time that redaction takes: a process of its own can be given up."""

from __future__ import annotations

import json
import subprocess
import sys

#: What begins a credential, or looks so, and what may be repeated behind it.
_BEGINNINGS = r"""
password=|password=\"|token="|token='|"token": "|('token', b'|secret: |api_key|authorization: |basic |
'authorization': '|(b'authorization', b'|authorization|bearer+|mongodb://|eyJaaaaaa|$argon2|sealed.v1.|/01234567
""".replace("\n", "").split("|")
_PIECES = ["\\", '"', "'", '\\"', "\\\\'", *"aA .=:,}@/\n", "a ", "a.", "b'", "%3D"]
_PROGRAM = """
import json, resource, sys
from polytope_server.redaction import Redactor
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
redactor = Redactor(["a secret"])
for text in json.load(sys.stdin):
    redactor.redact(text)
"""


def test_no_line_costs_the_square_of_its_length() -> None:
    """With the square of the length many of these would be seconds; the kernel would end the process."""
    size = 32 << 10
    texts = [f"{begin}{piece * (size // len(piece))}" * 2 for begin in _BEGINNINGS for piece in _PIECES]
    texts += [f"{begin}{piece}" * (size // (len(begin) + 1)) for begin in _BEGINNINGS for piece in _PIECES]
    subprocess.run([sys.executable, "-c", _PROGRAM], input=json.dumps(texts), text=True, check=True)
