"""Each process as a module of its own: `python -m polytope_server.NAME`."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["frontend", "broker", "worker", "garbage_collector"])
def test_each_process_is_a_module_of_its_own(name: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("frontend: {prot: 5000}\n")
    command = [sys.executable, "-m", f"polytope_server.{name}", "-f", str(tmp_path / "c.yaml")]
    done = subprocess.run([*command, "--data", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "frontend.prot" in done.stderr
