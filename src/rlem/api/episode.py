"""An episode of an agent of one's own while it is played, and the advice on its steps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from rlem.advice import Exemplar
from rlem.advice.choice import Explore
from rlem.api.control import Trial, coin
from rlem.core.errors import ClosedError, UsageError
from rlem.core.types import Control, Controlled, Episode, Situation, Transition
from rlem.evidence import MEMORY
from rlem.memory.codec import MAX_NUMBER, finite
from rlem.memory.experience import Recalled

if TYPE_CHECKING:
    from rlem.api.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceLine:
    """One advised action: its value with visits and interval (nominally 95 %: docs/algorithm.md,
    Posteriors), and the experience it comes from.

    ``spread`` is the standard deviation of its returns, None where there are fewer than two. ``task`` and
    ``similarity`` are those of the experience; ``key`` names it for ``Memory.explain``.
    """

    action: str
    value: float
    visits: int
    interval: tuple[float, float] | None
    spread: float | None
    reason: str
    task: str
    similarity: float
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceForStep:
    """What memory has to say on one situation. Falsy when it has nothing.

    ``text`` is for the prompt: the exemplars, the most similar one last. ``encouraged`` and
    ``discouraged`` hold the same lines as data, most similar experience first; ``untried`` are actions
    nobody tried in a like situation. ``withheld``: nothing is said on purpose, by the control's coin or
    because the memory is muted.
    """

    text: str
    encouraged: tuple[AdviceLine, ...]
    discouraged: tuple[AdviceLine, ...]
    untried: tuple[str, ...]
    recalled: tuple[Recalled, ...]
    withheld: bool = False

    def __bool__(self) -> bool:
        return bool(self.encouraged or self.discouraged or self.untried)


NOTHING = AdviceForStep(text="", encouraged=(), discouraged=(), untried=(), recalled=(), withheld=True)
"""The advice of a memory that is withheld."""


class ControlledPlay:
    """What an episode under a control is shown, from its first question on."""

    def __init__(self, control: Control, muted: Collection[str], *place: object) -> None:
        self._control = control
        self._counts = MEMORY not in muted
        self.withheld = not self._counts or coin(control.chance, *place)
        self.trial = Trial(control.chance if control.guard else 0.0, *place, muted=muted)

    def result(self, success: bool | None) -> Controlled | None:
        """For the log; None where the memory was muted: then there was no coin."""
        if not self._counts:
            return None
        tried = tuple(self.trial.tried.items())
        return Controlled(control=self._control, withheld=self.withheld, tried=tried, success=success)


def lines_of(
    recalled: Recalled, exemplar: Exemplar, side: Literal["encouraged", "discouraged"]
) -> list[AdviceLine]:
    return [
        AdviceLine(
            action=advice.action,
            value=advice.value,
            visits=advice.visits,
            interval=advice.interval,
            spread=advice.spread,
            reason=advice.reason,
            task=exemplar.situation.task,
            similarity=recalled.similarity,
            key=recalled.experience.key,
        )
        for advice in getattr(exemplar, side)
    ]


class OpenEpisode:
    """An episode being played. Not thread-safe: one agent plays it."""

    def __init__(self, memory: Memory, head: Episode) -> None:
        self._memory = memory
        self._head = head
        self._transitions: list[Transition] = []
        self._current: Situation | None = None
        self._ended = False
        self._controlled: ControlledPlay | None = None

    @property
    def id(self) -> str:
        """The episode's id in the log."""
        return self._head.id

    def advise(
        self,
        observation: str,
        actions: Sequence[str] = (),
        *,
        subtask: str = "",
        k: int | None = None,
        explore: Explore | None = None,
    ) -> AdviceForStep:
        """What memory advises here. Remembers the situation for the next ``record``."""
        self._check_open()
        self._current = self._situation(observation, actions, subtask)
        if self._controlled is None:
            self._controlled = self._memory.controlled(self.id)
        play = self._controlled
        if play is None:
            return self._memory.advise(self._current, k, explore=explore)
        if play.withheld:
            return NOTHING
        return self._memory.advise(self._current, k, explore=explore, hides=play.trial.hides)

    def record(
        self,
        action: str,
        reward: float = 0.0,
        observation: str | None = None,
        actions: Sequence[str] | None = None,
        *,
        reason: str = "",
        subtask: str | None = None,
    ) -> None:
        """Notes one decision and the reward it earned. The situation defaults to the last advised one."""
        self._check_open()
        if not isinstance(action, str):
            raise UsageError(f"an action must be a text, got {type(action).__name__}")
        earned = finite(reward)
        if earned is None:
            raise UsageError(f"a reward must be a finite number of at most {MAX_NUMBER:g}, got {reward!r}")
        last = self._current
        if observation is None and last is None:
            raise UsageError(
                "record() needs an observation: call advise(observation, actions) before it, or pass it"
            )
        situation = self._situation(
            observation if observation is not None else (last.observation if last else ""),
            actions if actions is not None else (last.actions if last else ()),
            subtask if subtask is not None else (last.subtask if last else ""),
        )
        self._transitions.append(Transition(situation=situation, action=action, reward=earned, reason=reason))

    def end(
        self,
        truncated: bool = False,
        *,
        observation: str | None = None,
        actions: Sequence[str] = (),
        success: bool | None = None,
    ) -> None:
        """Ends and commits the episode; the end of the with-block does it, too.

        ``truncated``: a limit cut it. With ``truncation="bootstrap"`` pass the ``observation`` reached,
        whose value then stands for what was cut off. An episode without decisions leaves no trace, unless
        it asked for advice under a control. ``success``: what it counts for there; None: its reward.
        """
        self._check_open()
        if not isinstance(success, bool | None):
            raise UsageError(f"success={success!r} is not possible: give True, False or None")
        final = self._situation(observation, actions, "") if observation is not None else None
        self._commit("truncated" if truncated else "terminated", final=final, success=success)

    def _commit(
        self,
        status: Literal["terminated", "truncated", "broken"],
        *,
        cause: str = "",
        final: Situation | None = None,
        success: bool | None = None,
    ) -> None:
        self._ended = True
        controlled = self._controlled.result(success) if self._controlled else None
        if self._transitions or controlled:  # an arm that loses episodes would look better than it is
            self._memory.experience_memory.record(
                replace(
                    self._head,
                    transitions=tuple(self._transitions),
                    status=status,
                    cause=cause,
                    final=final,
                    controlled=controlled,
                )
            )

    def _situation(self, observation: str, actions: Sequence[str], subtask: str) -> Situation:
        if isinstance(actions, str):
            raise UsageError("actions must be a list of texts, not one text")
        if not all(isinstance(text, str) for text in (observation, subtask, *actions)):
            raise UsageError("observation, subtask and each of the actions must be texts")
        return Situation(
            task=self._head.task, observation=observation, actions=tuple(actions), subtask=subtask
        )

    def _check_open(self) -> None:
        if self._ended:
            raise ClosedError(f"episode {self._head.id!r} has ended: begin another one")

    def __enter__(self) -> OpenEpisode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            return
        if error is None:
            self._commit("terminated")
        else:
            self._commit("broken", cause=f"{type(error).__name__}: {error}"[:500])
