"""The ``rlem`` command: parse, call, print; no logic."""
