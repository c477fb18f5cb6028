"""`python -m polytope_server.broker` is `polytope-server broker`."""

import sys

from polytope_server.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["broker", *sys.argv[1:]]))
