"""Chain of thought: reasoning step by step, and the action at its end."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rlem.advice import Grammar, ParsedAnswer, parse_answer
from rlem.agents.prompted import (
    AnswerForm,
    ExemplarSource,
    PromptedAgent,
    PromptOptions,
    need_reasoner,
    no_exemplars,
)
from rlem.llm.base import LanguageModel

_CLOSING = (
    'Answer for the new input now: first reason step by step, then the line "Encouraged:" and the action.'
)
_HEADER = re.compile(r"^[ \t>*_#`•-]{0,20}encouraged\b", re.MULTILINE | re.IGNORECASE)


def chain_of_thought(
    model: LanguageModel,
    style: str,
    options: PromptOptions | None = None,
    *,
    source: ExemplarSource = no_exemplars,
    name: str = "chain-of-thought",
) -> PromptedAgent:
    """Reasons before each action; the reasoning is used for this one decision and not shown again.

    Source: Wei et al. 2022; Kojima et al. 2022 (without exemplars of reasoning). Errors: UsageError with the
    embedded reader.
    """
    need_reasoner(name, model)
    return PromptedAgent(name, model, style, source, options, form=CHAIN_OF_THOUGHT)


def read_reasoned(text: str, known: Sequence[str], grammar: Grammar) -> ParsedAnswer:
    """The answer behind the last ``Encouraged``; the reasoning before it is no repair. Never raises."""
    starts = [match.start() for match in _HEADER.finditer(text)]
    answer = text[starts[-1] :] if starts and "<think" not in text else text
    return parse_answer(answer, known=known, grammar=grammar)


CHAIN_OF_THOUGHT = AnswerForm(
    text="chain-of-thought/answer", closing=_CLOSING, stop=(), thinking_tokens=300, read=read_reasoned
)
"""Reasoning, then the answer in the grammar."""
