"""Frozen types, errors, clock and seeds. Standard library only."""
