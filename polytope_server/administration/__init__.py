"""What an operator does with users and API keys at the command line: `polytope-server users` and `keys`."""
