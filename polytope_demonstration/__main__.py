"""`python -m polytope_demonstration`."""

from polytope_demonstration.run import main

if __name__ == "__main__":
    raise SystemExit(main())
