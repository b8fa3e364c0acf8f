"""ReAct: a thought before every action, and the episode's thoughts kept between its actions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rlem.advice import Grammar, ParsedAnswer, parse_answer
from rlem.advice.resolve import Resolver
from rlem.advice.text import one_line
from rlem.agents.prompted import (
    AnswerForm,
    ExemplarSource,
    PromptedAgent,
    PromptOptions,
    need_reasoner,
    no_exemplars,
)
from rlem.llm.base import LanguageModel

_CLOSING = 'Answer for the new input now. The first line begins with "Thought:", the second with "Action:".'
_MARKS = r"[ \t>*_#`•-]{0,20}"
_COLON = r"[ \t]?\d{0,3}[*_`]{0,4}[ \t]?[:：][*_`]{0,4}"
_ACTION = re.compile(rf"(?:^{_MARKS}(?i:action)|\bAction){_COLON}", re.MULTILINE)
_THOUGHT = re.compile(rf"^{_MARKS}(?i:thought){_COLON}", re.MULTILINE)
_BEYOND = re.compile(rf"^{_MARKS}(?i:thought|observation|action){_COLON}", re.MULTILINE)


def react(
    model: LanguageModel,
    style: str,
    options: PromptOptions | None = None,
    *,
    source: ExemplarSource = no_exemplars,
    name: str = "react",
) -> PromptedAgent:
    """ReAct. With a memory's exemplars as ``source`` it is ReAct on experience.

    The thoughts go with the decisions as their reasons, and come back with the view: the agent keeps nothing.
    Source: Yao et al. 2023, "ReAct". Differs: earlier pages are not repeated in the prompt, only the present
    one is shown. Errors: UsageError with the embedded reader.
    """
    need_reasoner(name, model)
    return PromptedAgent(name, model, style, source, options, form=REACT)


def read_thought(text: str, known: Sequence[str], grammar: Grammar) -> ParsedAnswer:
    """The first ``Action:`` of an answer, with the thought before it as reason. Never raises.

    What follows the action (an invented observation, the next thought) is not read. A thought without an
    action is a failure, whatever actions it speaks of; an answer without either label is read as any other.

    >>> from rlem.advice import WEBSHOP
    >>> parsed = read_thought("Thought: It fits.\\nAction: click[buy now]", ["click[buy now]"], WEBSHOP)
    >>> parsed.action, parsed.reason
    ('click[buy now]', 'It fits.')
    """
    hidden, _, body = text.rpartition("</think>")
    action = _ACTION.search(body)
    if "<think" in body or (action is None and _THOUGHT.search(body) is None):
        return parse_answer(text, known=known, grammar=grammar)
    if action is None:
        return ParsedAnswer(action=None, failure='no-action: no line begins with "Action:"')
    line = _BEYOND.split(body[action.end() :], maxsplit=1)[0].strip()
    parsed = parse_answer(f"Encouraged:\n{line}", known=known, grammar=grammar)
    if parsed.failure_kind == "no-action" and line:  # the label says that it is meant to be one
        parsed = replace(parsed, failure=Resolver(grammar, known).failure(line))
    # This form has no values: a missing one is no repair.
    repairs = {kind: count for kind, count in parsed.repairs.items() if kind != "missing-value"}
    thought = one_line(_THOUGHT.sub("", body[: action.start()], count=1))
    return replace(
        parsed, reason=thought or parsed.reason, repairs=repairs | ({"thought": 1} if hidden else {})
    )


def _again(parsed: ParsedAnswer, grammar: Grammar) -> str:
    return f"Your last answer could not be used ({parsed.failure}).\nAnswer once more. {_CLOSING}"


REACT = AnswerForm(
    text="react/answer",
    closing=_CLOSING,
    stop=("\nObservation",),
    thinking_tokens=100,
    thoughts=True,
    read=read_thought,
    again=_again,
)
"""Thought and action, a line each."""
