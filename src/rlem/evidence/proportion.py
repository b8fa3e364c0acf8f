"""The interval of a share: so many of so many."""

from __future__ import annotations

import math
from statistics import NormalDist

from rlem.core.errors import UsageError


def share_interval(count: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the chance behind ``count`` of ``total`` (n) independent yes-or-no outcomes.

        (p + z^2 / 2n  -+  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),    p = count / n

    Outcomes that share a cause (decisions of one episode) make it too narrow. Nothing of nothing: (0, 1).
    Source: Wilson 1927. Errors: UsageError for a count outside 0 to total, a confidence outside (0, 1).

    >>> [round(end, 3) for end in share_interval(0, 10)]
    [0.0, 0.278]
    """
    if not 0 <= count <= total:
        raise UsageError(f"{count} of {total} is no share: the count must be between 0 and the total")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence={confidence} is not possible: it must lie between 0 and 1")
    if total == 0:
        return 0.0, 1.0
    share, square = count / total, NormalDist().inv_cdf((1 + confidence) / 2) ** 2 / total
    middle = share + square / 2
    half = math.sqrt(square * (share * (1 - share) + square / 4))
    # Rounding must not leave an end beyond what was seen.
    low = 0.0 if count == 0 else (middle - half) / (1 + square)
    high = 1.0 if count == total else (middle + half) / (1 + square)
    return low, high
