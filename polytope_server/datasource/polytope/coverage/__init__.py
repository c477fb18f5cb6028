"""CoverageJSON, written while the values come."""
