"""Rewards put right: an episode under other corrections, and one episode of two accounts of one play."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rlem.core.types import Correction, Episode
from rlem.memory.codec import canonical, episode_to_json


def corrected(episode: Episode, corrections: Iterable[Correction]) -> Episode:
    """The episode with exactly these corrections, made one after the other on its first rewards."""
    rewards = [step.reward for step in episode.transitions]
    for undone in reversed(episode.corrections):
        rewards[undone.step] = undone.was
    made = []
    for item in corrections:
        made.append(replace(item, was=rewards[item.step]))
        rewards[item.step] = item.now
    steps = (replace(step, reward=reward) for step, reward in zip(episode.transitions, rewards, strict=True))
    return replace(episode, transitions=tuple(steps), corrections=tuple(made))


def same_play(one: Episode, other: Episode) -> bool:
    """Whether two episodes are of one content before any correction."""
    plain = [canonical(episode_to_json(corrected(item, ()), content_only=True)) for item in (one, other)]
    return plain[0] == plain[1]


def united(ours: Episode, theirs: Episode, revision: int) -> Episode:
    """One episode of two accounts of one play: the earlier place, and the corrections of both.

    Corrections that only one has are put in order of (time, step, reward, reason), so that the result does
    not depend on who takes the other's in; those of theirs get the revision.
    """
    both = ours
    if [*map(_name, ours.corrections)] != [*map(_name, theirs.corrections)]:
        union = {_name(item): replace(item, revision=revision) for item in theirs.corrections}
        union |= {_name(item): item for item in ours.corrections}
        both = corrected(ours, [union[name] for name in sorted(union)])
    return replace(both, sequence=min(ours.sequence, theirs.sequence))


def _name(item: Correction) -> tuple[float, int, float, str]:
    return item.recorded_s, item.step, item.now, item.reason
