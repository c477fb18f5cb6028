"""Starts whole servers, and the real services that they use, for tests and benchmarks."""
