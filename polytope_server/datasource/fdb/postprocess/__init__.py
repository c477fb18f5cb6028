"""Post-processing of fields as MARS does it: other grids, cut-outs, rotations, truncations, packings.

ECMWF's library MIR does it, in the child processes of a worker (`engine`, `stream`, `weights`). What a
request asks for is read and checked without it (`recipe`, `values`), so that a frontend does not need it.
"""
