"""From an earlier server's configuration to this one: `polytope-server config migrate`.

`rules.yaml` says what becomes of each key; the report, the configuration that is written, and the table in
docs/migration.md all come from it.
"""
