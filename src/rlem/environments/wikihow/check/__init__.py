"""Recorded material of the original held against ours: ``rlem env check wikihow``."""
