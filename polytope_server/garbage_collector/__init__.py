"""The garbage collector process: removes what is old, too much, or orphaned."""
