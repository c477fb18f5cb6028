"""`python -m polytope_server.garbage_collector` is `polytope-server garbage-collector`."""

import sys

from polytope_server.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["garbage-collector", *sys.argv[1:]]))
