"""The experience memory: an append-only episode log, and the experiences derived from it."""
