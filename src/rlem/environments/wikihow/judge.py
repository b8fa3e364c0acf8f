"""What an action earned: sub-goals reached, the next instructions, and whether the episode ends.

An engine of our own for the events of task files; :class:`Judge` plays one episode. What the original does:

- A sub-goal is reached when one of its patterns is found (``re.search``) in a log line, or its view event
  holds for a node of the screen. The same line, and the same values of a node, count once in an episode.
- With repeatability "none" it pays once in an episode, with "last" not at two observations in a row, with
  "unlimited" (files without the field) at each observation that shows something new. However much of it is
  shown at one observation, it pays 1.
- No order is asked for. When sub-goal k is paid, the command of sub-goal k + 1 is the instruction, whether
  that is reached already or not. When the last one is paid, the episode ends.
- Events of text recognition never happen, as with the original's default recogniser.

Source: Mobile-Env 4.1, ``event_listeners``. Differs: one observation an action. The original observes each of
the 5 to 20 frames of an action, so with "unlimited" a log line and the screen may there pay apart.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, TypeAlias, get_args

from rlem.core.errors import DataError, UnknownNameError, UsageError
from rlem.environments.wikihow.nodes import Node
from rlem.environments.wikihow.selectors import Sight, Tree, Values
from rlem.environments.wikihow.tasks import Goal, TaskDefinition

Repeatability: TypeAlias = Literal["file", "none", "unlimited"]
"""Of all sub-goals of a task; "file": as its file says."""

MAX_PATTERN = 2000
"""Longest pattern that is used, in characters."""
MAX_LINE = 4000
"""Characters of a log line that are looked at."""
_NESTED = re.compile(r"(?<!\\)\([^()]*(?<!\\)[*+}][^()]*(?<!\\)\)[*+{]")


class Shown(Protocol):
    """A screen: the tree of its nodes, and what the tree is made from."""

    @property
    def sheet(self) -> object:
        """Identity of the page."""
        ...

    @property
    def bar(self) -> object:
        """What the bar above the page shows; hashable."""
        ...

    @property
    def overlay(self) -> str:
        """What is open over the page."""
        ...

    def root(self) -> Node:
        """All nodes, those that are off the screen too."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an observation gave. ``instructions``: new ones, in the order of their sub-goals."""

    reward: float = 0.0
    instructions: tuple[str, ...] = ()
    done: bool = False


NOTHING = Verdict()


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of a task file. Errors: DataError for one that is none, too long or could never end."""
    if len(pattern) > MAX_PATTERN:
        raise DataError(f"pattern of {len(pattern)} characters; at most {MAX_PATTERN} are allowed")
    if _NESTED.search(pattern):
        raise DataError(f"pattern {pattern!r:.120} repeats a repetition; searching for it may never end")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise DataError(f"pattern {pattern!r:.120} is no regular expression: {error}") from error


def check_options(repeatability: str, reward_lag: float) -> None:
    """Errors: UnknownNameError for another repeatability, UsageError for a lag that is no probability."""
    if repeatability not in get_args(Repeatability):
        raise UnknownNameError("repeatability", repeatability, get_args(Repeatability))
    if not 0.0 <= reward_lag <= 1.0:
        raise UsageError(f"reward_lag={reward_lag} is no probability; allowed: 0 to 1")


class Judge:
    """The judge of one episode of a task.

    ``repeatability`` overrides that of the task's sub-goals. ``reward_lag``: probability that what an
    observation gave is delivered one observation later (a function of ``seed``). That holds for the end too,
    so an episode that stops at the step limit may lose it; what is late is not made later again.

    Errors: as :func:`check_options`; DataError for patterns that cannot be used.
    """

    def __init__(
        self,
        task: TaskDefinition,
        *,
        repeatability: Repeatability = "file",
        reward_lag: float = 0.0,
        seed: int = 0,
    ) -> None:
        check_options(repeatability, reward_lag)
        following = [goal.command for goal in task.goals[1:]]
        self._goals = [
            _Watch(
                goal,
                goal.repeatability if repeatability == "file" else repeatability,
                (text,) if text else (),
            )
            for goal, text in zip(task.goals, [*following, ""], strict=True)
        ]
        self._looked_at: set[_Look] = set()
        self._lag = reward_lag
        self._luck = random.Random(seed)
        self._late = NOTHING
        self._subtask = ""

    @property
    def subtask(self) -> str:
        """The instruction that holds: the latest one given, as in recorded runs; "" before the first."""
        return self._subtask

    def observe(self, logs: Sequence[str], screen: Shown) -> Verdict:
        """What an action gave, of which the app logged these lines (messages only) and showed this screen."""
        found = self._judge(logs, screen)
        if self._lag:
            late = found != NOTHING and self._luck.random() < self._lag
            found, self._late = _sum(self._late, NOTHING if late else found), found if late else NOTHING
        if found.instructions:
            self._subtask = found.instructions[-1]
        return found

    def _judge(self, logs: Sequence[str], screen: Shown) -> Verdict:
        for line in logs:
            for goal in self._goals:
                goal.hear(line[:MAX_LINE])
        self._look(screen)
        reached = [goal for goal in self._goals if goal.settle()]
        if not reached:
            return NOTHING
        return Verdict(
            reward=float(len(reached)),
            instructions=tuple(text for goal in reached for text in goal.following),
            done=reached[-1] is self._goals[-1],
        )

    def _look(self, screen: Shown) -> None:
        """Looks for what is seen. A screen seen before in the episode has nothing new: its nodes are the
        same, wherever the page is scrolled to."""
        look = _Look(screen)
        if look in self._looked_at:
            return
        self._looked_at.add(look)
        for goal in self._goals:
            goal.see(look)
        look.close()


class _Look:
    """A screen apart from where it is scrolled to: equal to another of the same page, bar and overlay."""

    __slots__ = ("_key", "_screen", "_sheet", "_tree")

    def __init__(self, screen: Shown) -> None:
        self._sheet = screen.sheet  # held, so that its id stays its own
        self._key = (id(screen.sheet), screen.bar, screen.overlay)
        self._screen: Shown | None = screen
        self._tree: Tree | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Look) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @lru_cache(maxsize=1024)  # noqa: B019  what a page shows is the same in all episodes
    def values(self, sight: Sight) -> tuple[Values, ...]:
        """What the nodes of a sight have."""
        assert self._screen is not None
        self._tree = self._tree or Tree(self._screen.root())
        return self._tree.values(sight)

    def close(self) -> None:
        """Lets go of what is big; what was found stays known."""
        self._screen = self._tree = None


class _Watch:
    """What is known of one sub-goal in an episode."""

    def __init__(self, goal: Goal, repeatability: str, following: tuple[str, ...]) -> None:
        self.following = following
        self._repeatability = repeatability
        self._logs: list[tuple[re.Pattern[str], set[str]]] = [(compiled(log), set()) for log in goal.logs]
        self._views: list[tuple[Sight, list[re.Pattern[str]], set[Values]]] = [
            (view.sight, [compiled(pattern) for _, pattern in view.properties], set()) for view in goal.views
        ]
        self._shown = self._paid = self._shown_last = False

    def _over(self) -> bool:
        return self._paid and self._repeatability == "none"

    def hear(self, line: str) -> None:
        """A line of the log."""
        if self._over():
            return
        for pattern, known in self._logs:
            if line not in known and pattern.search(line):
                known.add(line)
                self._shown = True

    def see(self, look: _Look) -> None:
        """A screen that was not seen before."""
        if self._repeatability == "none" and (self._paid or self._shown):
            return
        for sight, patterns, known in self._views:
            for values in look.values(sight):
                found = all(pattern.search(value) for pattern, value in zip(patterns, values, strict=True))
                if found and values not in known:
                    known.add(values)
                    self._shown = True

    def settle(self) -> bool:
        """Whether it is paid now; begins the next observation."""
        shown, self._shown = self._shown, False
        before, self._shown_last = self._shown_last, shown
        pays = shown and not (self._over() or (before and self._repeatability == "last"))
        self._paid = self._paid or shown
        return pays


def _sum(first: Verdict, second: Verdict) -> Verdict:
    return Verdict(
        reward=first.reward + second.reward,
        instructions=first.instructions + second.instructions,
        done=first.done or second.done,
    )
