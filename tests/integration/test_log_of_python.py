"""What Python itself writes when a process goes wrong, as lines of the log."""

import json
import subprocess
import sys

import pytest

SEED = "seed-of-the-tests-4711"
ENDINGS = {
    "exception": "raise ValueError('ends with SEED')",
    "thread": "threading.Thread(target=lambda: int('SEED')).start()",
    "warning": "warnings.warn('warns of SEED')",
    "task": "asyncio.run(forgotten())",
}


@pytest.mark.parametrize("name", ENDINGS)
def test_what_python_itself_writes_is_a_line_of_the_log(name: str) -> None:
    script = f"""
import asyncio, gc, threading, warnings
from polytope_server.runtime import log
from polytope_server.settings.root import LoggingSettings
from polytope_server.redaction import redactor
redactor.learn(["{SEED}"])
log.configure(LoggingSettings(), "worker")
async def forgotten():
    task = asyncio.ensure_future(asyncio.to_thread(int, "SEED"))
    await asyncio.wait([task])
    del task
    gc.collect()
{ENDINGS[name]}
""".replace("SEED", SEED)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert SEED not in done.stderr
    line = json.loads(done.stderr)
    assert "***" in line["message"] + line.get("exception", "")
