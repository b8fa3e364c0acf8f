"""Built-in control: withholding memory by coins, and what the outcomes say of its effect.

An episode gets no memory with chance ``control``. The coin is a hash of the seed and the episode's id alone:
it knows nothing of the episode, and falls the same way when it is thrown again. With a guard, each experience
that would be shown to an episode for the first time has a coin of its own: withheld, it is so for the whole
episode, and the next one stands in for it.

The log keeps what was withheld. What follows from that, the effect and what is muted, is a view of the log:
derived from its episodes in their order, by everyone who asks, with the same result.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field

from rlem.core.errors import UsageError
from rlem.core.seeds import derive_seed
from rlem.core.types import Control, Episode
from rlem.evidence import MEMORY, Guard, LiveEffect, LiveInterval
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.store import Place

ERROR_RATE = 0.05
"""Chance that a guard ever mutes anything that does no harm on average."""


def coin(chance: float, *parts: object) -> bool:
    """Whether to withhold: with that chance, the same for the same parts.

    >>> coin(0.2, 0, "episode 7") == coin(0.2, 0, "episode 7")
    True
    """
    return derive_seed("control", *parts) < chance * 2**63


class Trial:
    """What is withheld from one episode: the coins of experiences are thrown when they first come up.

    ``place`` names the episode. ``muted``: keys that are never shown. ``chance`` 0: no coins are thrown.
    """

    def __init__(self, chance: float, *place: object, muted: Collection[str] = ()) -> None:
        self._chance, self._place, self._muted = chance, place, muted
        self.tried: dict[str, bool] = {}
        """By key: whether the experience is withheld, in the order in which they came up."""

    def hides(self, key: str) -> bool:
        """Whether the experience of that key must not be shown in this episode."""
        if key not in self.tried:
            if key in self._muted:
                return True
            if self._chance:
                self.tried[key] = coin(self._chance, *self._place, key)
        return self.tried.get(key, False)


class Tally:
    """What episodes under one control say, as they are added in their order. O(1) an episode."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.effect = LiveEffect(control=control.chance, low=control.low, high=control.high)
        self.muted: dict[str, None] = {}
        """Keys of muted experiences in the order of muting; MEMORY stands for the whole memory."""
        self.passed_over = 0
        """Episodes after the whole memory was muted."""
        self.guard = (
            Guard(control=control.chance, error_rate=ERROR_RATE, low=control.low, high=control.high)
            if control.guard
            else None
        )

    def add(self, outcome: float, *, withheld: bool, tried: Iterable[tuple[str, bool]] = ()) -> bool:
        """Counts a finished episode; whether it counted. After the memory was muted none does."""
        if MEMORY in self.muted:
            self.passed_over += 1
            return False
        self.effect = self.effect.after(outcome, withheld=withheld)
        if self.guard is not None:
            for subject, held in ((MEMORY, withheld), *tried):
                if self.guard.observe(outcome, withheld=held, subject=subject):
                    self.muted[subject] = None
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEffect(LiveInterval):
    """The effect of memory so far, with the control it was measured under.

    ``left_out``: controlled episodes that do not count: under another control, from sources that are not
    trusted, or after the memory was muted.
    """

    control: Control
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Muted:
    """What the guard muted: an experience by its key, or the whole memory (key "").

    ``evidence`` of harm, as a factor: what does no harm reaches 1 / a with chance a at most. ``effect`` of
    showing it, over the episodes that asked for it.
    """

    key: str
    evidence: float
    effect: LiveInterval


@dataclass(slots=True)
class _Derived:
    """What was derived from a log up to a place of it."""

    revision: int = -1
    config: MemoryConfig | None = None
    last: Place | None = None
    tallies: dict[Control, Tally] = field(default_factory=dict)
    latest: Control | None = None
    untrusted: int = 0

    def add(self, episode: Episode, trusted: bool) -> None:
        self.last = (episode.sequence, episode.id)
        controlled, outcome = episode.controlled, episode.outcome
        if controlled is None or outcome is None:
            return
        if not trusted:  # what others send must not mute what is one's own
            self.untrusted += 1
            return
        self.latest = controlled.control
        tally = self.tallies.get(self.latest) or self.tallies.setdefault(self.latest, Tally(self.latest))
        tally.add(outcome, withheld=controlled.withheld, tried=controlled.tried)


class LogEvidence:
    """What the log of a memory says of its effect; follows the log, whoever writes to it. Thread-safe.

    ``control`` None: the one of the latest controlled episode.
    """

    def __init__(self, memory: ExperienceMemory, control: Control | None = None) -> None:
        self._memory, self._control = memory, control
        self._derived = _Derived()
        self._lock = threading.Lock()

    def effect(self) -> MemoryEffect | None:
        """The effect so far; None where no control was given and no episode was ever controlled."""
        with self._lock:
            derived, tally = self._now()
            if tally is None:
                return None
            others = (other for other in derived.tallies.values() if other is not tally)
            left_out = sum(t.effect.shown + t.effect.withheld + t.passed_over for t in others)
            return MemoryEffect(
                **asdict(tally.effect.interval()),
                control=tally.control,
                left_out=left_out + tally.passed_over + derived.untrusted,
            )

    def muted_keys(self) -> Collection[str]:
        """Keys of what is muted now, in the order of muting."""
        with self._lock:
            _, tally = self._now()
            return tally.muted.copy() if tally else {}

    def muted(self) -> list[Muted]:
        """The same with the evidence."""
        with self._lock:
            _, tally = self._now()
            if tally is None or tally.guard is None:
                return []
            effects = tally.guard.effects
            return [
                Muted(key=key, evidence=math.exp(min(700, effects[key].harm)), effect=effects[key].interval())
                for key in tally.muted
            ]

    def _now(self) -> tuple[_Derived, Tally | None]:
        derived = self._follow()
        control = self._control or derived.latest
        return derived, (derived.tallies.get(control) or Tally(control)) if control else None

    def _follow(self) -> _Derived:
        memory, derived = self._memory, self._derived
        store = memory.store
        if store.revision() == derived.revision:
            return derived
        with store.read():
            config, revision = memory.config, store.revision()
            if store.rewritten() > derived.revision or config is not derived.config:
                # Something was forgotten, corrected or put in between, or others are trusted now.
                self._derived = derived = _Derived(config=config)
            for episode in store.episodes(after=derived.last):
                derived.add(episode, config.trust_of(episode) == "verified")
            derived.revision = revision
        return derived


def control_of(chance: float, guard: bool, reward_range: tuple[float, float] | None) -> Control | None:
    """The control of these settings of ``rlem.open``; None for no control. Errors: UsageError."""
    if chance is False or chance is None or chance == 0:
        if guard:
            raise UsageError("guard=True needs a control: give control=0.2, say")
        return None
    low, high = reward_range or (0.0, 1.0)
    return Control(chance=chance, low=low, high=high, guard=bool(guard))


def effect_words(
    found: LiveInterval, *, low: float = 0.0, high: float = 1.0, what: str = "memory's effect"
) -> str:
    """An effect on outcomes from ``low`` to ``high`` in one sentence; in points where they are 0 to 1."""
    if not found.shown or not found.withheld:
        episodes, arm = found.shown + found.withheld, "without" if found.shown else "with"
        why = f"none of {episodes} episodes was played {arm} it" if episodes else "no episode was played yet"
        return f"{what} is not known: {why}"
    points = (low, high) == (0.0, 1.0)
    estimate, least, most = (
        f"{100 * value:+.1f}" if points else f"{value:+.3g}"
        for value in (found.estimate, found.low, found.high)
    )
    return (
        f"{what}: {estimate}{' points' if points else ''} (95 % interval {least} to {most}), "
        f"{found.shown} shown, {found.withheld} withheld; valid at any time"
    ).replace("-", "−")


def muted_words(keys: Collection[str]) -> str:
    """What is muted, in a few words."""
    names = [key[:8] for key in keys if key != MEMORY]
    parts = ["the whole memory"] if MEMORY in keys else []
    if names:
        parts.append(f"{len(names)} experience{'s' if len(names) > 1 else ''} ({', '.join(names)})")
    return f"muted for harm: {' and '.join(parts) or 'nothing'}"
