"""Clients of systems that several concerns use. They know none of these concerns."""
