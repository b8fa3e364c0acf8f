"""Muting what harms: one sequential test for the whole memory and one for each experience.

Each subject (the memory, or one experience) is withheld by a coin of its own with chance ``control``, and
its evidence of harm is an e-process, :attr:`~rlem.evidence.live.LiveEffect.harm`. It is muted for good once

    harm_i >= ln(1 / a_i),   the memory:               a_0 = a / 2
                             i-th experience tried:    a_i = a / 2 (1 / log2(i + 1) - 1 / log2(i + 2))

The a_i add up to a, since the differences telescope. So the chance that anything that does no harm on average
is *ever* muted is at most a, for any number of experiences, however they depend on one another and however
often one looks (Ville's inequality, then a union bound). Source: Ville 1939; Howard et al. 2021.

Alpha spending, not e-BH (Wang & Ramdas 2022): e-BH bounds the share of false ones, needs the number of
experiences ahead, and may have to take a muting back when other evidence weakens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rlem.core.errors import UsageError
from rlem.evidence.live import LiveEffect

MEMORY = ""
"""The subject that stands for the whole memory."""


class Guard:
    """Tells what to mute from outcomes in low..high. Not shared between threads; O(1) an outcome.

    The coin of an experience is thrown when it would first be shown in an episode, and the episode's outcome
    counts for it once, shown or not; episodes that never asked for it do not count. ``error_rate`` is for
    everything together.

    >>> guard = Guard(control=0.5)
    >>> episodes = 0
    >>> while not guard.muted("misleading"):  # succeeds only where it was withheld
    ...     episodes += 1
    ...     _ = guard.observe(float(episodes % 2), withheld=episodes % 2 == 1, subject="misleading")
    >>> episodes, guard.muted()
    (16, False)

    Raises: UsageError for a rate, control or range out of range.
    """

    def __init__(
        self, *, control: float, error_rate: float = 0.05, low: float = 0.0, high: float = 1.0
    ) -> None:
        if not 0 < error_rate < 1:
            raise UsageError(f"error_rate={error_rate}: allowed is more than 0 and less than 1")
        self.error_rate = error_rate
        self.effects = {MEMORY: LiveEffect(control=control, low=low, high=high)}
        """What is known of each subject, in the order in which they were first tried."""
        self._new = self.effects[MEMORY]
        self._muted: dict[str, None] = {}  # a set that keeps its order
        self._needed = {MEMORY: _needed(error_rate, 0)}

    def observe(self, outcome: float, *, withheld: bool, subject: str = MEMORY) -> bool:
        """Count one finished episode for a subject; whether that muted it just now.

        A muted subject is no longer tried: its outcomes are passed over. Raises: UsageError for an outcome
        outside of the range.
        """
        if subject in self._muted:
            return False
        effect = self.effects.get(subject, self._new).after(outcome, withheld=withheld)
        self._needed.setdefault(subject, _needed(self.error_rate, len(self._needed)))
        self.effects[subject] = effect
        if effect.harm < self._needed[subject]:
            return False
        self._muted[subject] = None
        return True

    def muted(self, subject: str = MEMORY) -> bool:
        """Whether the subject (default: the whole memory) has been muted."""
        return subject in self._muted

    def state(self) -> dict[str, Any]:
        """All that :meth:`resume` needs, as JSON writes it; order matters and is kept."""
        return {
            "error_rate": self.error_rate,
            "effects": {subject: asdict(effect) for subject, effect in self.effects.items()},
            "muted": list(self._muted),
        }

    @classmethod
    def resume(cls, state: Mapping[str, Any]) -> Guard:
        """The guard that gave this state, ready to go on."""
        effects = {subject: LiveEffect(**effect) for subject, effect in state["effects"].items()}
        memory = effects[MEMORY]
        guard = cls(control=memory.control, error_rate=state["error_rate"], low=memory.low, high=memory.high)
        guard.effects = effects
        guard._needed = {subject: _needed(guard.error_rate, i) for i, subject in enumerate(effects)}
        guard._muted = dict.fromkeys(state["muted"])
        return guard


def _needed(error_rate: float, index: int) -> float:
    """The evidence (ln) that mutes the index-th subject; index 0 is the memory, which has half the error."""
    share = 1.0 if index == 0 else 1 / math.log2(index + 1) - 1 / math.log2(index + 2)
    return math.log(2 / (error_rate * share))
