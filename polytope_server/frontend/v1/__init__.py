"""REST API v1: turns calls into what the core of the frontend does, and what that says into answers."""
