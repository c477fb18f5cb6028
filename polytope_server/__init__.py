"""Polytope server: REST access to the hypercubes of weather and climate archives."""

__version__ = "2.0.0.dev0"
