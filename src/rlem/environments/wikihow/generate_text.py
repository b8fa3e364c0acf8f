"""What the articles of the generated site say, from the sentences of ``words_text``."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from rlem.environments.wikihow import words_text as words
from rlem.environments.wikihow.generate_titles import Draft
from rlem.environments.wikihow.site import Instruction, Method, Piece, Question
from rlem.environments.wikihow.words_people import FIRST_NAMES, ROLES

Text = tuple[Piece, ...]


class Writer:
    """Writes the parts of articles. Equal texts are one object: a large site repeats itself much."""

    def __init__(self) -> None:
        self._pieces: dict[str, Piece] = {}

    def say(self, template: str, draft: Draft) -> Piece:
        """One sentence about the subject of an article."""
        text = template.replace("{do}", draft.do).replace("{it}", draft.it)
        return self._pieces.setdefault(text, Piece(text=text))

    def _line(self, template: str, draft: Draft) -> str:
        return self.say(template, draft).text

    def text(self, rng: random.Random, pool: Sequence[str], count: int, draft: Draft) -> Text:
        """Some sentences in one piece."""
        return (self.say(" ".join(rng.sample(pool, count)), draft),)

    def linked(self, rng: random.Random, text: Text, near: Sequence[Draft]) -> Text:
        """The text followed by a sentence that links one of the articles near by."""
        target = rng.choice(near)
        before, after = rng.choice(words.LINKED)
        return (
            Piece(text=f"{text[0].text} {before}"),
            Piece(text=target.do, target=target.slug),
            self.say(after, target),
        )

    def subtitle(self, rng: random.Random, draft: Draft) -> str:
        """What some articles promise below their title."""
        return self._line(rng.choice(words.SUBTITLES), draft) if rng.random() < 0.15 else ""

    def intro(self, rng: random.Random, draft: Draft, near: Sequence[Draft]) -> Text:
        """What stands above the first method."""
        text = self.text(rng, words.INTROS, rng.randrange(2, 5), draft)
        return self.linked(rng, text, near) if near and rng.random() < 0.25 else text

    def methods(
        self, rng: random.Random, draft: Draft, near: Sequence[Draft], n_references: int
    ) -> tuple[Method, ...]:
        """One to four methods of two to seven steps."""
        names = rng.sample(words.METHOD_NAMES, rng.choice((1, 2, 2, 3, 3, 3, 4, 4)))
        bare = rng.random() < 0.06  # an article of plain text only
        return tuple(
            Method(
                name=name,
                steps=tuple(
                    self._step(rng, lead, draft, near, n_references, bare)
                    for lead in rng.sample(words.LEADS, rng.randrange(2, 8))
                ),
            )
            for name in names
        )

    def _step(
        self,
        rng: random.Random,
        lead: str,
        draft: Draft,
        near: Sequence[Draft],
        n_references: int,
        bare: bool,
    ) -> Instruction:
        text = self.text(rng, words.SENTENCES, rng.randrange(1, 5), draft)
        if bare:
            return Instruction(text=text, plain=True, picture=False)
        if near and rng.random() < 0.15:
            text = self.linked(rng, text, near)
        n_bullets = rng.choice((0, 0, 0, 1, 2, 3))
        return Instruction(
            lead=self._line(lead, draft),
            text=text,
            bullets=tuple((self.say(line, draft),) for line in rng.sample(words.BULLETS, n_bullets)),
            reference=rng.randint(1, n_references) if n_references and rng.random() < 0.4 else 0,
            picture=rng.random() < 0.92,
        )

    def questions(self, rng: random.Random, draft: Draft) -> tuple[Question, ...]:
        """Up to five questions of readers."""
        return tuple(
            Question(
                question=self._line(question, draft),
                answer=self._line(answer, draft),
                by=rng.choice(FIRST_NAMES) if rng.random() < 0.6 else "",
                role=rng.choice(ROLES),
            )
            for question, answer in rng.sample(words.QUESTIONS, rng.choice((0, 1, 2, 3, 4, 5)))
        )

    @staticmethod
    def references(rng: random.Random, draft: Draft) -> tuple[str, ...]:
        """Addresses on invented hosts, two to a dozen."""
        about = "-".join(draft.it.split()[1:]) or "advice"
        pairs = [(site, page) for site in words.SITES for page in words.REFERENCE_PAGES]
        return tuple(
            f"https://www.{site}.example.org/{page}/{about}"
            for site, page in rng.sample(pairs, rng.randrange(2, 13))
        )


def described(rng: random.Random, name: str, listed: Sequence[Draft], *, top: bool) -> Text:
    """What a category says of itself: a text that links three of its articles, or four for a ``top`` one."""
    before, after = rng.choice(words.TOP_DESCRIPTIONS if top else words.DESCRIPTIONS)
    pieces = [Piece(text=before.format(name=name))]
    for one in rng.sample(listed, min(len(listed), 4 if top else 3)):
        pieces += [Piece(text=one.do if top else f"How to {one.title}", target=one.slug), Piece(text=", ")]
    return (*pieces[:-1], Piece(text=after))


def divided(rng: random.Random, methods: Sequence[Method]) -> Literal["Method", "Part", "Steps"]:
    """What the methods are called: a single one is "Steps"."""
    if len(methods) == 1:
        return "Steps"
    return "Part" if rng.random() < 0.35 else "Method"
