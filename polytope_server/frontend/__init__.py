"""The frontend process: REST API v1, Falcon under gunicorn."""
