"""The frontend process.

Its core is what submissions, polls, lists, uploads and revocations mean, for every API: these modules know
neither HTTP nor a framework. `v1` is the REST API, in Falcon. `app`, `concurrency` and `proxy` are around the
APIs; `server` runs them under gunicorn. `composition` makes all parts of a configuration.
"""
