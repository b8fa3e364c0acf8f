"""``python -m rlem``: the command line."""

from rlem.cli.main import run

run()
