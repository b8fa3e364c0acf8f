"""How much of one advice a single source may make.

An experience is made by its sources in the shares of their visits. The experiences of one advice of k
exemplars may add up to at most ``share * k`` of any one source, the owner's own ("") excepted.
"""

from __future__ import annotations

from collections.abc import Iterable

from rlem.memory.experience import Recalled

OWN = ""
"""The source of what the owner's own program recorded without naming one."""

_ROUNDING = 1e-9


def limit_influence(found: Iterable[Recalled], exemplars: int, share: float) -> list[Recalled]:
    """Those of the experiences found, best first, that may stand together: each one that would bring a source
    over its share of so many exemplars is left out."""
    allowed = share * exemplars + _ROUNDING
    taken: dict[str, float] = {}
    kept = []
    for item in found:
        sources = item.experience.sources
        visits = sum(sources.values())
        made = {source: count / visits for source, count in sources.items() if source != OWN}
        if all(taken.get(source, 0.0) + part <= allowed for source, part in made.items()):
            kept.append(item)
            for source, part in made.items():
                taken[source] = taken.get(source, 0.0) + part
    return kept
