"""Titles of the generated site: verb x thing x qualifier, in clusters of look-alikes.

A cluster is one verb and thing with and without adjectives and qualifiers, so a search for one of its titles
shows the others too, and some titles begin others. Two kinds of title are beyond a search: twins that differ
in number alone ("a Tent", "Tents"), and scenes ("a Cat in a Box", "a Box on a Cat"), whose terms are equal.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from rlem.environments.wikihow.site import slug_of
from rlem.environments.wikihow.words_topics import (
    COMMON_ADJECTIVES,
    COMMON_VERBS,
    HARD_QUALIFIERS,
    QUALIFIERS,
    SCENES,
    Topic,
)

HARD_RATE = 0.12
"""Share of the qualifiers that are hard: about 8 % of all titles."""

FULL = 8
"""Titles that each shelf gets before some get more, if there are enough: four rows of a category page."""

_TWIN_RATE = 0.07
_SCENE_SIZE = 16
_ARTICLES_PER_SCENE = 300
_SMALL_WORDS = frozenset(
    ("a", "an", "and", "at", "by", "for", "if", "in", "of", "on", "or", "the", "to", "when", "with", "while")
)
_SAME_PLURAL = ("goldfish",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A title, and how sentences speak of it: ``do`` ("repair a tent"), ``it`` ("the tent")."""

    slug: str
    title: str
    category: str
    do: str
    it: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """A category that titles can be drawn for; ``thing`` narrows the topic to one of its things."""

    slug: str
    topic: Topic
    thing: str = ""


def capitals(text: str) -> str:
    """A title of a phrase.

    >>> capitals("repair a tent (for beginners)")
    'Repair a Tent (for Beginners)'
    """
    return " ".join(
        word if at and word.strip("()") in _SMALL_WORDS else _capital(word)
        for at, word in enumerate(text.split())
    )


def _capital(word: str) -> str:
    at = 1 if word[0] == "(" else 0
    return word[:at] + word[at].upper() + word[at + 1 :]


def plural(thing: str) -> str:
    """The plural of a thing of the vocabulary; a mass noun (``~``) is its own.

    >>> plural("oak leaf"), plural("strategy game"), plural("battery"), plural("gift box")
    ('oak leaves', 'strategy games', 'batteries', 'gift boxes')
    """
    if thing.endswith("~"):
        return thing[:-1]
    if thing.endswith(_SAME_PLURAL):
        return thing
    if thing.endswith("y") and thing[-2] not in "aeiou":
        return thing[:-1] + "ies"
    if thing.endswith("f"):
        return thing[:-1] + "ves"
    return thing + ("es" if thing.endswith(("s", "x", "ch", "sh", "ato")) else "s")


def _one(phrase: str) -> str:
    """The phrase with its article: "an oak leaf", "lemonade"."""
    if phrase.endswith("~"):
        return phrase[:-1]
    vowel = phrase[0] in "aeio" or phrase.startswith(("up", "honest"))
    return f"{'an' if vowel else 'a'} {phrase}"


def draw_titles(rng: random.Random, count: int, shelves: Sequence[Shelf], taken: set[str]) -> Iterator[Draft]:
    """``count`` titles that are on no ``taken`` slug (lower-cased), about :data:`FULL` a shelf where they
    suffice, and at least one.

    Some shelves get many more than others, so that some category pages are long.
    """
    order = rng.sample(shelves, len(shelves))
    weights = [1 / (2 + rank) for rank in range(len(order))]
    homes = {shelf.topic.name: shelf.slug for shelf in shelves if not shelf.thing}
    drafts = _all_drafts(rng, count, order, weights, homes)
    while count:
        draft = next(drafts)
        if draft.slug.lower() not in taken:
            taken.add(draft.slug.lower())
            count -= 1
            yield draft


def _all_drafts(
    rng: random.Random, count: int, order: Sequence[Shelf], weights: Sequence[float], homes: dict[str, str]
) -> Iterator[Draft]:
    for shelf in order:
        yield from islice(_distinct(rng, shelf), max(1, min(FULL, count // len(order))))
    scenes = [scene for scene in SCENES if scene[0] in homes]
    for name, *words in rng.sample(scenes, min(len(scenes), count // _ARTICLES_PER_SCENE)):
        yield from _scenes(rng, homes[name], *words)
    while True:
        (shelf,) = rng.choices(order, weights)
        yield from _cluster(rng, shelf)


def _distinct(rng: random.Random, shelf: Shelf) -> Iterator[Draft]:
    """Titles for one shelf, cluster by cluster, each once."""
    seen: set[str] = set()
    while True:
        for draft in _cluster(rng, shelf):
            if draft.slug not in seen:
                seen.add(draft.slug)
                yield draft


def _cluster(rng: random.Random, shelf: Shelf) -> Iterator[Draft]:
    """One verb and thing, plain and with adjectives and qualifiers."""
    topic = shelf.topic
    verb, thing = _verb(rng, topic), shelf.thing or rng.choice(topic.things)
    plain = _draft(shelf.slug, verb, "", thing, "")
    for _ in range(rng.randrange(2, 5)):
        adjective = rng.choice((*topic.adjectives, *COMMON_ADJECTIVES)) if rng.random() < 0.4 else ""
        qualifier = rng.choice(HARD_QUALIFIERS if rng.random() < HARD_RATE else QUALIFIERS)
        if adjective and rng.random() < 0.4:
            qualifier = ""
        if rng.random() < 0.2:
            verb = _verb(rng, topic)
        number = rng.random() < 0.15
        yield _draft(shelf.slug, verb, adjective, thing, qualifier, many=number)
        if rng.random() < _TWIN_RATE and not thing.endswith("~"):
            yield _draft(shelf.slug, verb, adjective, thing, qualifier, many=not number)
    if rng.random() < 0.7:
        yield plain


def _verb(rng: random.Random, topic: Topic) -> str:
    return rng.choice(COMMON_VERBS if rng.random() < 0.3 else topic.verbs)


def _draft(
    category: str, verb: str, adjective: str, thing: str, qualifier: str, *, many: bool = False
) -> Draft:
    phrase = f"{adjective} {thing}".lstrip()
    do = f"{verb} {plural(phrase) if many else _one(phrase)} {qualifier}".rstrip()
    it = f"the {plural(phrase) if many else phrase.rstrip('~')}"
    title = capitals(do)
    return Draft(slug=slug_of(title), title=title, category=category, do=do, it=it)


def _scenes(rng: random.Random, category: str, verb: str, first: str, second: str) -> Iterator[Draft]:
    """Two things in every relation that small words can say."""
    phrases = [
        f"{verb} {article(one)} {joint} {article(other)}"
        for one, other in ((first, second), (second, first))
        for joint in ("in", "on", "by", "with", "and", "for")
        for article in (_one, "the {}".format, plural)
    ]
    for do in rng.sample(phrases, _SCENE_SIZE):
        title = capitals(do)
        yield Draft(slug=slug_of(title), title=title, category=category, do=do, it="the picture")
