"""The command line: `polytope-server` and its subcommands."""
