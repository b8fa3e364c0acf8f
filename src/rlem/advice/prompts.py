"""Prompt styles: the constant system text of an environment, and its input and exemplar blocks.

The forms are written down in docs/advice.md under "Grammar of a prompt"; the embedded reader depends on
them. The texts lie beside this module in ``prompts/``, in a folder for each style and each agent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import zip_longest
from typing import Any

from rlem.advice.actions import GENERIC, WEBSHOP, WIKIHOW, Grammar, bare_element
from rlem.advice.exemplar import Advice, Compat, Exemplar
from rlem.advice.text import HEADERS, action_items, advice_line, fence, guard, number, one_line
from rlem.core.errors import UnknownNameError

NEW_INPUT = "New input:"
CLOSING = 'Answer for the new input now. The first line of the answer is "Encouraged:".'

_HISTORY = 5
_MAX_THOUGHT = 500
_ELEMENT = re.compile(r"[A-Z]+\((\d+)\b", re.ASCII)
_WEBSHOP_HEADERS = HEADERS | {"observation"}
_WIKIHOW_HEADERS = HEADERS | {"screen", "instruction", "last reward", "total reward"}
_GENERIC_HEADERS = HEADERS | {"observation", "instruction"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptInput:
    """What one decision is taken on, as an input block shows it. ``reasons`` run along with ``history``.

    ``thoughts``: the reasons are thoughts, shown between the actions of the whole episode (ReAct).
    """

    task: str
    observation: str
    actions: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    last_reward: float = 0.0
    total_reward: float = 0.0
    subtask: str = ""
    thoughts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptStyle:
    """How prompts look in one environment: texts, action grammar and the form of the input block.

    ``note`` says beside an action what it was done to (action, observation -> text, or ""): numbers of
    elements say nothing on another screen. It stands in place of the model's reason, as in the paper.
    """

    name: str
    grammar: Grammar
    system_text: str
    block: Callable[[PromptInput], str]
    note: Callable[[str, str], str] = lambda action, observation: ""

    def system(self) -> str:
        """The constant part: role, action grammar, principles, answer form. Provider caches hit on it."""
        return self.system_text

    def input_block(self, given: PromptInput) -> str:
        """The block that shows one situation, new or stored. Foreign text in it is fenced."""
        return self.block(given)

    def exemplar(self, rank: int, exemplar: Exemplar, *, compat: Compat = "default") -> str:
        """``Example <rank>:``, blank line, input block, then the advice sections that are not empty.

        ``compat="reference"`` prints the plain lines of the paper: no visits, no interval, no Untried.
        """
        situation = exemplar.situation
        block = self.block(
            PromptInput(
                task=situation.task,
                observation=situation.observation,
                actions=situation.actions,
                history=exemplar.history,
                last_reward=exemplar.last_reward,
                total_reward=exemplar.total_reward,
                subtask=situation.subtask,
            )
        )
        plain = compat == "reference"
        lines = [f"Example {rank}:", "", block]
        lines += _section("Encouraged:", _advice(exemplar.encouraged, plain))
        lines += _section("Discouraged:", _advice(exemplar.discouraged, plain))
        if not plain:
            lines += _section("Untried:", (guard(one_line(action)) for action in exemplar.untried))
        return "\n".join(lines)


def _section(header: str, lines: Iterable[str]) -> list[str]:
    body = [*lines]
    return [header, *body] if body else []


def _advice(advice: Iterable[Advice], plain: bool) -> list[str]:
    return [
        advice_line(a.action, a.value, a.reason, visits=0 if plain else a.visits, interval=a.interval)
        for a in advice
    ]


def _history(given: PromptInput) -> list[str]:
    if given.thoughts:
        lines = ["Thoughts and Actions:"]
        for action, thought in zip_longest(given.history, given.reasons, fillvalue=""):
            lines += [f"Thought: {one_line(thought, _MAX_THOUGHT)}"] if thought else []
            lines.append(f"Action: {one_line(action)}")
        return lines
    start = max(0, len(given.history) - _HISTORY)
    return ["Last 5 Actions:", *action_items(given.history[start:], given.reasons[start:])]


def _webshop(given: PromptInput) -> str:
    """A YAML-looking document. The page carries the task; ``Task:`` is printed only where it does not."""
    squeezed = "".join(given.task.split())
    known = squeezed in "".join(given.observation.split())
    elements = dict.fromkeys(bare_element(action, WEBSHOP) for action in given.actions)
    return "\n".join(
        [
            "---",
            *([] if known else ["Task:", *fence(given.task, _WEBSHOP_HEADERS)]),
            *_history(given),
            "Observation: |",
            *fence(given.observation, _WEBSHOP_HEADERS),
            "Available Actions:",
            *action_items(elements),
            "...",
        ]
    )


def _wikihow(given: PromptInput) -> str:
    return "\n".join(
        [
            "Task:",
            *fence(given.task, _WIKIHOW_HEADERS),
            *_history(given),
            "Screen:",
            *fence(given.observation, _WIKIHOW_HEADERS),
            "Instruction:",
            *fence(given.subtask, _WIKIHOW_HEADERS),
            f"Last Reward: {number(given.last_reward)}",
            f"Total Reward: {number(given.total_reward)}",
        ]
    )


def _wikihow_note(action: str, observation: str) -> str:
    """The line of the element that an action names by its number."""
    match = _ELEMENT.match(action)
    if match is None:
        return ""
    shows = re.compile(rf'<[^>]* id="{match[1]}" ').match
    return next((line.strip() for line in observation.split("\n") if shows(line)), "")


def _generic(given: PromptInput) -> str:
    return "\n".join(
        [
            "Task:",
            *fence(given.task, _GENERIC_HEADERS),
            *_history(given),
            "Observation:",
            *fence(given.observation, _GENERIC_HEADERS),
            *_section("Instruction:", fence(given.subtask, _GENERIC_HEADERS)),
            "Available Actions:",
            *action_items(given.actions),
        ]
    )


_STYLES: dict[str, dict[str, Any]] = {
    "generic": {"grammar": GENERIC, "block": _generic},
    "webshop": {"grammar": WEBSHOP, "block": _webshop},
    "wikihow": {"grammar": WIKIHOW, "block": _wikihow, "note": _wikihow_note},
}


def style_names() -> tuple[str, ...]:
    """Names of the shipped styles."""
    return tuple(_STYLES)


@cache
def prompt_text(name: str) -> str:
    """A packaged text: ``prompts/<name>.txt`` without the blanks at its ends."""
    texts = resources.files("rlem.advice").joinpath("prompts")
    return texts.joinpath(f"{name}.txt").read_text(encoding="utf-8").strip()


@cache
def prompt_style(name: str, answer: str = "answer") -> PromptStyle:
    """The style that goes with an environment of that name; ``generic`` serves agents of one's own.

    ``answer`` is the packaged text on the form of the answer, as ``react/answer``.
    Raises UnknownNameError, which proposes the nearest name.
    """
    if name not in _STYLES:
        raise UnknownNameError("prompt style", name, _STYLES)
    texts = [prompt_text(text) for text in (f"{name}/system", "input", answer)]
    return PromptStyle(name=name, system_text="\n\n".join(texts), **_STYLES[name])
