"""Agents without a language model: chance, a person, and a given script."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

from rlem.advice import fill_template, is_available, is_template
from rlem.agents.base import Decision, View
from rlem.core.errors import ModelUnavailableError, UsageError
from rlem.core.seeds import generator
from rlem.core.types import Step, Task
from rlem.llm.text import printable


class RandomAgent:
    """Takes an available action at random; a free argument is filled with some words of the task."""

    name = "random"

    def act(self, view: View) -> Decision:
        """One decision, drawn from the view's seed."""
        rng = generator("random-agent", view.seed, view.step_index)
        if not view.step.actions:
            return Decision(action=None, failure="no-action: nothing is available here")
        action = rng.choice(view.step.actions)
        if is_template(action):
            words = [w for w in view.task.instruction.split() if fill_template(action, w)] or ["anything"]
            count = rng.randint(1, min(6, len(words)))
            action = fill_template(action, " ".join(rng.sample(words, count))) or action
        return Decision(action=action)


class OracleAgent:
    """Plays the solution of a task that an environment gives away. The upper bound; it learns nothing."""

    name = "oracle"

    def __init__(self, solve: Callable[[Task], Sequence[str]]) -> None:
        self._solve = solve

    def act(self, view: View) -> Decision:
        """The solution's action at this step."""
        plan = self._solve(view.task)
        if view.step_index >= len(plan):
            return Decision(action=None, failure="no-action: the solution has ended")
        return Decision(action=plan[view.step_index], reason="solution")


class Manner(Protocol):
    """How the steps of an environment are shown to a person, and what they may type for short."""

    hint: str
    """What can be typed, in a few words."""

    def show(self, task: Task, step: Step, *, last: float, total: float, index: int) -> str:
        """The step with all that a person needs. ``last`` and ``total`` reward after ``index`` steps."""
        ...

    def expand(self, typed: str, step: Step) -> str:
        """The action that was typed. Errors: UsageError says what is wrong with it."""
        ...


class HumanAgent:
    """Asks a person at the terminal. An action that is not listed is sent only after another Enter.

    ``manner``: by default the observation as it is, and the numbered actions.
    """

    name = "human"

    def __init__(
        self, read: TextIO | None = None, write: TextIO | None = None, manner: Manner | None = None
    ) -> None:
        self._read = read or sys.stdin
        self._write = write or sys.stderr
        self._manner = manner
        self._hint = manner.hint if manner else "its text or number"
        self._lock = threading.Lock()

    def act(self, view: View) -> Decision:
        """One decision, typed in: an action, or the number of a listed one."""
        with self._lock:  # one question at a time, however many threads play
            return self._ask(view)

    def _ask(self, view: View) -> Decision:
        actions = view.step.actions
        self._show(view)
        unlisted = ""
        while True:
            self._say(f"action ({self._hint}; 'quit' to stop)> ", end="")
            line = self._read.readline()
            if not line or line.strip() in ("quit", "exit"):
                self._say("" if line.endswith("\n") else "\n", end="")  # what follows is no answer
                raise ModelUnavailableError("the person at the terminal stopped")
            text = line.strip() or unlisted
            if self._manner:
                try:
                    text = self._manner.expand(text, view.step)
                except UsageError as error:
                    self._say(str(error))
                    continue
            if unlisted and text == unlisted:
                return Decision(action=text)
            if (
                text.isdecimal()
                and 1 <= int(text) <= len(actions)
                and not is_template(actions[int(text) - 1])
            ):
                return Decision(action=actions[int(text) - 1])
            if is_available(text, actions):
                return Decision(action=text)
            if text.isdecimal() and 1 <= int(text) <= len(actions):
                template = actions[int(text) - 1]
                self._say(f"{template} needs words of yours: type it out, as in search[desk organizer]")
                continue
            unlisted = "" if text.isdecimal() else text
            way = "press Enter to send it all the same, or " if unlisted else ""
            other = "another action" if self._manner else "one of the actions above, or its number"
            self._say(f"{text!r} is not listed here: {way}type {other}")

    def _show(self, view: View) -> None:
        if error := view.step.info.get("error"):
            self._say(f"\n(nothing happened: {error})")
        if self._manner:
            rewards = {"last": view.last_reward, "total": view.total_reward}
            self._say("\n" + self._manner.show(view.task, view.step, index=view.step_index, **rewards))
            return
        self._say(f"\nTask: {view.task.instruction}\n\n{view.step.observation.strip()}\n")
        self._say("\n".join(f"  {number:3d}  {action}" for number, action in enumerate(view.step.actions, 1)))

    def _say(self, text: str, end: str = "\n") -> None:
        self._write.write(printable(text) + end)
        self._write.flush()
