"""A demonstration of the whole server on one machine: an FDB with synthesised weather, and a client.

`make demo` retrieves a few fields and features, and draws them; `make run` leaves the server running.
"""
