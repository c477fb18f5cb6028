"""`python -m polytope_server` is `polytope-server`."""

import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    if sys.argv[1:] == ["healthcheck"]:
        # It runs every few seconds beside the server: nothing else is imported for it.
        from polytope_server.runtime.management.healthcheck import check

        return check()
    from polytope_server.commands.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
