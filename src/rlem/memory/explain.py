"""Where a value comes from: every visit in the log that went into it, with its target."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from rlem.core.types import Episode
from rlem.memory.config import MemoryConfig
from rlem.memory.store import Store
from rlem.memory.table import ExperienceTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What one visit added to the value of one action.

    ``reward``: the immediate one; ``target``: what the value was moved towards, as learned then; ``return_``:
    the discounted rewards from there to the end of the episode (its Monte-Carlo return); ``n``: how many
    targets the action had by then.
    """

    episode: Episode
    step: int
    reward: float
    target: float
    return_: float
    n: int


def visits(
    store: Store, config: MemoryConfig, keys: Collection[str]
) -> dict[tuple[str, str], list[Contribution]]:
    """The visits behind all actions of these experiences, by (key, action), in the order of learning.

    Where values bootstrap, the whole log is replayed, once.
    """
    table = ExperienceTable(config)
    with store.read():
        episodes: Iterable[Episode] = store.episodes()
        if table.learner.local:
            names = {name for key in keys for name in store.episodes_of(key)}
            found = [episode for episode in map(store.episode, names) if episode is not None]
            episodes = sorted(found, key=lambda episode: (episode.sequence, episode.id))
        return _learned(table, episodes, keys)


def _learned(
    table: ExperienceTable, episodes: Iterable[Episode], keys: Collection[str]
) -> dict[tuple[str, str], list[Contribution]]:
    found: dict[tuple[str, str], list[Contribution]] = {}

    def note(episode: Episode, step: int, target: float) -> None:
        item = episode.transitions[step]
        if item.situation.key not in keys:
            return
        ahead = 0.0
        for later in reversed(episode.transitions[step:]):
            if later.action is not None:
                ahead = later.reward + table.config.values.discount * ahead
        known = found.setdefault((item.situation.key, item.action or ""), [])
        known.append(
            Contribution(
                episode=episode,
                step=step,
                reward=item.reward,
                target=target,
                return_=ahead,
                n=len(known) + 1,
            )
        )

    table.learner.observe = note
    for episode in episodes:
        table.learn(episode)
    return found
