"""`python -m polytope_server.frontend` is `polytope-server frontend`."""

import sys

from polytope_server.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["frontend", *sys.argv[1:]]))
