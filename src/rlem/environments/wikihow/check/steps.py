"""Recorded episodes: each screen against the grammar, and rewards and instructions against the task.

The platform pays late, at most one action; a search or a page may pay again (files before version 3). So an
episode must fulfil:

- It begins at home, without an action, an instruction or a reward, and has the same task throughout.
- ``total`` is the sum of ``last``; an action pays 0, 1 or, with one late, 2; no more is paid than actions
  were taken.
- The instruction is none at first, and changes only where something is paid: to any later command, as
  sub-goals are reached in any order and may pay again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rlem.environments.checking import Found, Record
from rlem.environments.wikihow.check.screens import misfit
from rlem.environments.wikihow.grammar import Mismatch, parse
from rlem.environments.wikihow.tasks import TEMPLATES, then

_KEPT = 5
"""So many of the last actions are recorded."""
_MOST_PAID = 2
_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")
_ACTION = re.compile(r"(INPUT|CLICK|SCROLL|GOBACK|NOTHING)\b.*", re.DOTALL)
_COMMANDS = [
    re.compile(re.escape(text).replace(re.escape("{}"), ".+"))
    for template in TEMPLATES.values()
    for text in (template.command, then(template.command))
]


class Flow:
    """Rows one after the other, with what is known of the running episode."""

    def __init__(self) -> None:
        self.task = ""
        self.actions = self.kept = 0
        self.total = 0.0
        self.reached = 0  # the number of the command that is the instruction

    def step(self, row: Record) -> list[Found]:
        """What differs in a row; the rows after it are held against what it says."""
        last, total = float(row["last"]), float(row["total"])
        actions: Sequence[str] = row["actions"]
        found: list[Found] = []
        parsed = parse(_ESCAPED.sub(lambda match: chr(int(match[1], 16)), row["screen"]).strip("\n"))
        if isinstance(parsed, Mismatch):
            found.append(misfit(parsed))
        if not actions:
            found += self._begin(row["task"])
            if isinstance(parsed, Mismatch) or parsed.page != "home":
                found.append(("screen at the start", "home", getattr(parsed, "page", "none")))
        elif row["task"] != self.task:
            found.append(("task", self.task, row["task"]))
        found += self._acted(actions)
        found += self._paid(last, total)
        return found + self._told(row["instr"], last)

    def _begin(self, task: str) -> list[Found]:
        self.task, self.actions, self.kept, self.total, self.reached = task, 0, 0, 0.0, 0
        return [
            (f"command {number}", "a command that we compile", line)
            for number, line in enumerate(task.split("\n"))
            if not any(pattern.fullmatch(line) for pattern in _COMMANDS)
            or line.startswith("Then, ") != (number > 0)
        ]

    def _acted(self, actions: Sequence[str]) -> list[Found]:
        found: list[Found] = []
        if actions:
            self.actions, self.kept = self.actions + 1, min(self.kept + 1, _KEPT)
        if len(actions) != self.kept:
            found.append(("number of actions", self.kept, len(actions)))
            self.kept = len(actions)
        found += [("action", "an action of the app", text) for text in actions if not _ACTION.match(text)]
        return found

    def _paid(self, last: float, total: float) -> list[Found]:
        found: list[Found] = []
        if last not in range(_MOST_PAID + 1):
            found.append(("last", f"one of 0 to {_MOST_PAID}", last))
        if self.total + last != total:
            found.append(("total", self.total + last, total))
        if total > self.actions:
            found.append(("total", f"at most {self.actions}, the actions taken", total))
        self.total = total
        return found

    def _told(self, instruction: str, last: float) -> list[Found]:
        """The instruction against the commands: command 0 is never told, "" stands for it."""
        commands = self.task.split("\n")
        told = ["" if not number else line for number, line in enumerate(commands)]
        wanted = then(instruction) if instruction else ""
        if wanted not in told:
            return [("instr", "none or a later command of the task", instruction)]
        before, reached = self.reached, told.index(wanted)
        self.reached = reached or before  # so that one wrong value is not found again in later rows
        if reached > 0 if last else reached == before:
            return []
        expected = "one, as something was paid" if last else f"command {before} as before"
        return [("instr", expected, instruction)]
