"""The embedded reader: the default model, so that everything runs without a key. It is not an LLM.

A program that reads the prompt's text, and nothing else, and answers in its grammar. Without examples it
acts on plain lexical evidence: words that an element shares with the task. It knows no shop: that "buy
now" ends a task it can only learn from examples. With examples it carries over what their encouraged and
discouraged lines say *by role* ("an option named in the task, not chosen yet"), weighted by their values.

    score(a) = (1 - c) prior(a) + c * v / (1 + r) + chance / (1 + r)
    v = sum_j w_j q_j / sum_j w_j,    c = sum_j w_j / (sum_j w_j + K)
    w_j = match(role of a, role of the advised action) * alike(pages) * rank weight * n_j / (n_j + 1)
          * (blame if q_j <= 0)
    r = how often that sort of action is among the last five

The whole algorithm stands in docs/embedded-reader.md.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from rlem.core.seeds import generator
from rlem.llm.base import Completion, Prompt, Usage
from rlem.llm.bracket_page import BracketPage
from rlem.llm.reading import Block, Reading, read_prompt
from rlem.llm.roles import Choice, Page, Role, match, sort_of
from rlem.llm.screen_page import ScreenPage

_SUPPORT = 0.35  # K: evidence of this weight counts as much as the prior
_NOISE = 0.06  # roles that no evidence tells apart are decided by seeded chance, up to this much
_FINE_NOISE = 0.005  # and this much between elements of one role
_CURIOSITY = 0.08  # for a role that an example lists as untried
_BLAME = 0.4  # weight of what earned nothing: in a failed episode most actions were not at fault
_RANK_WEIGHTS = (1.0, 0.7, 0.5)


class EmbeddedReader:
    """Reads the prompt, answers in its grammar. Deterministic in (prompt, seed). Thread-safe."""

    name = "embedded-reader"

    def complete(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 200,
        temperature: float = 0.1,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> Completion:
        """Answers ``Encouraged:`` with up to three lines; the first has the highest value.

        ``temperature`` 0 switches chance off; any other value is the same chance, drawn from the seed and
        the prompt. ``max_tokens`` and ``stop`` are met by the answer's form.
        """
        rng = generator("embedded-reader", 0 if seed is None else seed, prompt.user)
        reading = read_prompt(prompt.system, prompt.user)
        page = _page(reading.new, reading)
        choices = page.choices()
        _score(choices, reading, page, rng, _NOISE if temperature > 0 else 0.0)
        choices.sort(key=lambda choice: -choice.score)
        lines = [f"{c.action} -> {max(c.score, 0.0):.3f} {c.reason}".rstrip() for c in choices[:3]]
        text = "\n".join(["Encouraged:", *lines])
        usage = Usage(
            prompt_tokens=self.count_tokens(prompt.text),
            completion_tokens=self.count_tokens(text),
            calls=1,
            cost_usd=0.0,
        )
        return Completion(text=text, usage=usage)

    def count_tokens(self, text: str) -> int:
        """A third of the characters: it has no tokens of its own."""
        return (len(text) + 2) // 3

    def close(self) -> None:
        """Nothing to close."""


def _page(block: Block, reading: Reading) -> Page:
    """The block's page, as its prompt shows pages."""
    return ScreenPage(block, reading) if reading.calls else BracketPage(block, reading)


def _score(choices: list[Choice], reading: Reading, new_page: Page, rng: random.Random, noise: float) -> None:
    """Fills in the scores: prior, evidence of the examples by role, and chance.

    What was done among the last actions did not end the task: its sort loses weight and chance by how often.
    Values are counted in units of the largest one that the prompt shows, if that is above 1.
    """
    past = new_page.past()
    unit = max([1.0, *(abs(value) for block in reading.examples for _, value, _ in block.advice)])
    evidence: list[tuple[Role, float, float]] = []
    curious: list[Role] = []
    for rank, example in enumerate(reading.examples):
        page = _page(example, reading)
        weight = _RANK_WEIGHTS[min(rank, len(_RANK_WEIGHTS) - 1)] * new_page.alike(page)
        for action, value, visits in example.advice:
            blame = 1.0 if value > 0 else _BLAME
            evidence.append((page.advised(action), value / unit, blame * weight * visits / (visits + 1)))
        curious += [page.advised(action) for action in example.untried]
    chance: dict[Role, float] = {}
    for choice in choices:
        total = support = 0.0
        for role, value, weight in evidence:
            strength = weight * match(choice.role, role)
            total += strength * value
            support += strength
        confidence = support / (support + _SUPPORT)
        value = total / support if support else 0.0
        often = past.count(sort) if (sort := sort_of(choice.role)) else 0
        if choice.role not in chance:
            chance[choice.role] = noise * rng.random()
        luck = (chance[choice.role] + (_FINE_NOISE * rng.random() if noise else 0.0)) / (1 + often)
        choice.score = (1.0 - confidence) * choice.prior + confidence * value / (1 + often) + luck
        if choice.prior < 0.0:
            choice.score += choice.prior * confidence  # a repetition stays one, whatever examples say
        if not support and any(match(choice.role, role) > 0.9 for role in curious):
            lost = choice.role.kind == "link" and not choice.prior  # one of many, and nothing speaks for it
            choice.score += _CURIOSITY / 2 if lost else _CURIOSITY
        if support:
            choice.reason = f"examples: {value:.2f}; {choice.reason}".rstrip("; ")
