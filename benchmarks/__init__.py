"""Figures of the server, each against a floor that is measured in the same run."""
