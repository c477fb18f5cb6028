"""`python -m polytope_server.worker` is `polytope-server worker`."""

import sys

from polytope_server.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["worker", *sys.argv[1:]]))
