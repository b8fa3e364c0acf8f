"""``rlem`` and ``python -m rlem``: the command line."""

from __future__ import annotations

import sys


def run() -> None:
    """Entry point of the installed command. Loading takes a moment, in which Ctrl-C is heard as well."""
    try:
        from rlem.cli.main import main
    except KeyboardInterrupt:
        print("\nrlem: stopped.", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(main())


if __name__ == "__main__":
    run()
