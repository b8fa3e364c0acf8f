"""Task ranges ``A:B``, understood by every environment."""

from __future__ import annotations

import re

from rlem.core.errors import UsageError

_RANGE = re.compile(r"(\d{1,9}):(\d{1,9})", re.ASCII)


def parse_range(spec: str, count: int) -> range | None:
    """Numbers A up to, not including, B of a range ``A:B``; None where the text is no range.

    Errors: UsageError unless 0 <= A < B <= ``count``.

    >>> parse_range("500:510", 6910), parse_range("test", 6910)
    (range(500, 510), None)
    """
    match = _RANGE.fullmatch(spec)
    if match is None:
        return None
    start, stop = int(match[1]), int(match[2])
    if not start < stop <= count:
        raise UsageError(f"task range {spec!r} does not fit; allowed: A:B with 0 <= A < B <= {count}")
    return range(start, stop)
