"""The grid service: which grid the fields of a request have, for servers that cannot find it themselves."""
