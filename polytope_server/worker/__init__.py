"""The worker process: fetches data and streams them into staging."""
