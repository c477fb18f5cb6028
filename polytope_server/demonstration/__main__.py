"""`python -m polytope_server.demonstration`."""

from polytope_server.demonstration.run import main

if __name__ == "__main__":
    raise SystemExit(main())
