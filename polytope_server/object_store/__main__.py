"""`python -m polytope_server.object_store` is `polytope-server object-store`."""

import sys

from polytope_server.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["object-store", *sys.argv[1:]]))
