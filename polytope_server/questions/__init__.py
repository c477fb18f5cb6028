"""Questions that only the data can answer: frontends ask, and workers answer, outside of queue and limits.

They go by notices, so they need no other service and no port. A frontend calls all workers; those that have
room offer to answer, and the first of them gets the question. Notices may be lost, and workers be busy or of
an earlier version: a question may stay without an answer, and those who ask can do without.
"""

LARGEST = 256 << 10
"""Characters of a question or an answer as JSON (ASCII)."""
