"""The data source `polytope`: features of fields, as CoverageJSON."""
