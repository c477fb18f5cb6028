"""`python -m polytope_server` is `polytope-server`."""

import sys

from polytope_server.cli import main

if __name__ == "__main__":
    sys.exit(main())
