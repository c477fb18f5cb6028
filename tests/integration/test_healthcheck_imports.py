"""What the health check of a container imports."""

from __future__ import annotations

import subprocess
import sys


def test_the_health_check_imports_nothing_else() -> None:
    """It runs every few seconds on each container."""
    code = (
        "import sys; sys.argv = ['polytope-server', 'healthcheck'];"
        "from polytope_server.__main__ import main; main();"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    answer = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "['__main__', 'polytope_server']"
