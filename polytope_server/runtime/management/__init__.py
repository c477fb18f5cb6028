"""The management port of a process: liveness, readiness, metrics. For operators, never for users.

Light on purpose: `polytope-server healthcheck` starts every few seconds, and imports what is imported here.
"""

#: The port of a process whose configuration names none, in the environment; the container images set it.
VARIABLE = "POLYTOPE_MANAGEMENT_PORT"
