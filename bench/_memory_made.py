"""Episodes for the memory's benchmarks: walks of the bundled shop, variants of them, phone screens.

All are the same in every run, and no two tasks or pages are the same, as far as the walks go.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Protocol

from bench._common import STEPS, Walker

from rlem.core.types import Episode, Situation, Transition
from rlem.similarity.base import Similarity
from rlem.similarity.config import preset, weighted
from rlem.similarity.tables import InstructionPattern, PageType
from rlem.similarity.tags import TagSequence

WALKED = 21_000
"""Tasks of the shop that are walked; what is asked for beyond them is a variant of one of these."""

STORED = "stored features"

KINDS = (STORED, "wikihow", "webshop", "webshop-text", "default")
"""Similarities that are measured: presets, and all features that are looked up in tables or counted."""

REPLACED = 0.3
"""Of a variant's words."""

PATTERNS = ("", "Access the article", "Check the author page", "Access the page of category")
TAGS = ("div", "div", "div", "div", "p", "p", "p", "p", "img", "button", "input")


def similarity(kind: str) -> Similarity:
    """One of ``KINDS``."""
    if kind == STORED:
        return weighted((1.0, PageType()), (1.0, InstructionPattern()), (2.0, TagSequence()))
    return preset(kind)


class Source(Protocol):
    """Numbered episodes of STEPS different situations each."""

    def episodes(self, start: int, stop: int) -> Iterator[Episode]:
        """Those from one number to before another."""
        ...


class Shop:
    """Walks of the shop, and variants of them without end."""

    def __init__(self, walked: int = WALKED) -> None:
        self._walker = Walker(walked)
        self._walked: list[Episode] = []
        self._limit = walked
        self._words: list[str] = []

    def episodes(self, start: int, stop: int) -> Iterator[Episode]:
        while len(self._walked) < min(stop, self._limit):
            self._walked.append(self._walker.episode())
        for number in range(start, stop):
            base = self._walked[number % self._limit]
            yield base if number < self._limit else self._variant(base, number)

    def _variant(self, base: Episode, number: int) -> Episode:
        """The walk with other words in the task and, one in so many, on each page."""
        if not self._words:
            texts = " ".join(episode.task for episode in self._walked)
            self._words = sorted(set(re.findall(r"[a-z]{3,}", texts)))
        rng = random.Random(number)
        task = self._altered(base.task, rng)
        steps = tuple(
            replace(t, situation=replace(t.situation, task=task, observation=self._page(t.situation, rng)))
            for t in base.transitions
        )
        return replace(base, id=f"{base.id}/{number}", task=task, transitions=steps)

    def _page(self, situation: Situation, rng: random.Random) -> str:
        return "\n".join(self._altered(line, rng) for line in situation.observation.split("\n"))

    def _altered(self, text: str, rng: random.Random) -> str:
        words = text.split(" ")
        for place in rng.sample(range(len(words)), round(REPLACED * len(words))):
            words[place] = self._words[int(rng.random() * len(self._words))]
        return " ".join(words)


class Screens:
    """Phone screens of 3 to 50 lines of HTML, and the step instructions of a how-to reader."""

    def episodes(self, start: int, stop: int) -> Iterator[Episode]:
        for number in range(start, stop):
            rng = random.Random(number)
            task = f"How to do thing {number}"
            steps = []
            for step in range(STEPS):
                tags = [rng.choice(TAGS) for _ in range(rng.randint(3, 50))]
                lines = (
                    f'<{tag} id="{line}" clickable="true">{number}.{step}</{tag}>'
                    for line, tag in enumerate(tags)
                )
                situation = Situation(
                    task=task,
                    observation="\n".join(lines),
                    actions=("GOBACK", "CLICK(<id>)"),
                    subtask=rng.choice(PATTERNS),
                )
                reward = float(step == STEPS - 1 and rng.random() < 0.4)
                steps.append(Transition(situation=situation, action=f"CLICK({step})", reward=reward))
            yield Episode(id=f"screen/{number}", task=task, transitions=tuple(steps), source="bench")


class Sources:
    """The source that a similarity is measured on; each is made once."""

    def __init__(self, walked: int = WALKED) -> None:
        self._walked = walked
        self._shop: Shop | None = None

    def of(self, kind: str) -> Source:
        """Screens for what looks at tags, else the shop."""
        if kind in (STORED, "wikihow"):
            return Screens()
        self._shop = self._shop or Shop(self._walked)
        return self._shop


def queries(episodes: Sequence[Episode]) -> list[Situation]:
    """One situation of each, from all steps of a walk in turn."""
    return [
        episode.transitions[place % len(episode.transitions)].situation
        for place, episode in zip(count(), episodes, strict=False)
    ]
