"""What processes that serve HTTP share: the server, its connections, errors, delivery of objects."""
