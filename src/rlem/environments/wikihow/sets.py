"""Task sets over a generated site: 70 test tasks mixed as the original's, and sets to train on.

The mix of the test set is that of the 70 tasks in the published runs: 25 plain, 18 about, 11 reference, 9
category (4 of them with an article of it), 7 author (3 with an article of theirs; for 4 the article has no
author, and search and article are left). The greatest mean reward is 188/70.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeAlias

from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.seeds import generator
from rlem.environments.ranges import parse_range
from rlem.environments.wikihow.site import Article, Site
from rlem.environments.wikihow.tasks import GoalKind, TaskDefinition, compile_task

ENOUGH = 125
"""Articles that the task sets ask for; a generated site of so many has the right ones."""
_LISTED = 12
"""How far down the list of an author or a category an article may stand to be asked for."""


@dataclass(frozen=True, kw_only=True)
class TaskSets:
    """Tasks in one list, and named parts of it: (one line on it, its numbers)."""

    all: tuple[TaskDefinition, ...]
    named: Mapping[str, tuple[str, range]]

    @cached_property
    def by_id(self) -> Mapping[str, TaskDefinition]:
        """Tasks by id."""
        return {task.id: task for task in self.all}

    def describe(self) -> Mapping[str, str]:
        """The named sets with one line on each."""
        return {name: f"{text} (tasks {part.start}:{part.stop})" for name, (text, part) in self.named.items()}

    def numbers(self, spec: str) -> range:
        """Numbers of the tasks of a named set or a range ``A:B``.

        Errors: UnknownNameError for an unknown name; UsageError for a range without tasks.
        """
        if (found := parse_range(spec, len(self.all))) is not None:
            return found
        if spec not in self.named:
            raise UnknownNameError("task set", spec, (*self.named, "A:B"))
        return self.named[spec][1]


def given_tasks(tasks: Sequence[TaskDefinition]) -> TaskSets:
    """Tasks of files, in the order given, as the set "test"."""
    return TaskSets(all=tuple(tasks), named={"test": ("the tasks of the files", range(len(tasks)))})


Steps: TypeAlias = list[tuple[GoalKind, str]]


def task_sets(site: Site, seed: int = 0) -> TaskSets:
    """Test tasks 0:70, S0 70:80, S1 80:90, further training tasks 90:110; a function of the arguments.

    S0 and S1 have two tasks of each kind, the further ones four. No article is asked for by two tasks.

    Errors: UsageError where the site has too few articles.
    """
    draw = _Draw(site, generator(seed, "wikihow tasks"))
    parts: tuple[list[TaskDefinition], ...] = ([], [], [], [])
    for suffix, steps, counts in _MIX:
        for part, count in zip(parts, counts, strict=True):
            part += [draw.task(suffix, steps) for _ in range(count)]
    return TaskSets(
        all=tuple(task for part in parts for task in sorted(part, key=lambda task: task.file_name)),
        named={
            "test": ("70 test tasks, mixed as those of the published runs", range(70)),
            "S0": ("10 training tasks, two of each kind", range(70, 80)),
            "S1": ("10 other training tasks, two of each kind", range(80, 90)),
            "train": ("all training tasks, eight of each kind", range(70, 110)),
        },
    )


class _Draw:
    """Draws articles for tasks, each only once."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self.site, self.rng = site, rng
        self._order = [article.slug for article in site.articles]
        rng.shuffle(self._order)
        self._taken: set[str] = set()

    def task(self, suffix: str, steps: Callable[[_Draw, Article], Steps | None]) -> TaskDefinition:
        """A task for the first article left that allows such steps."""
        for slug in self._order:
            article = self.site.article[slug]
            if slug not in self._taken and (found := steps(self, article)) is not None:
                self._taken.add(slug)
                return compile_task(article.title, found, suffix=suffix)
        raise UsageError(
            f"a site of {len(self.site.articles)} articles is too small for the task sets; "
            f"generate at least {ENOUGH}"
        )

    def then(self, article: Article, steps: Steps, listed: Sequence[str]) -> Steps | None:
        """The steps and an article that stands near the top of a list; None where there is none."""
        free = [
            slug
            for slug in listed[:_LISTED]
            if slug not in self._taken and not article.slug.startswith(slug)  # or it would be found at once
        ]
        if not free:
            return None
        slug = self.rng.choice(free)
        self._taken.add(slug)
        return [*steps, ("article", self.site.article[slug].title)]


def _plain(draw: _Draw, article: Article) -> Steps:
    return []


def _about(draw: _Draw, article: Article) -> Steps:
    return [("about", "")]


def _reference(draw: _Draw, article: Article) -> Steps | None:
    return [("reference", "")] if article.references else None


def _no_author(draw: _Draw, article: Article) -> Steps | None:
    return None if article.authors else []


def _author(draw: _Draw, article: Article, *, go_on: bool = False) -> Steps | None:
    if not article.authors:
        return None
    author = draw.site.author[draw.rng.choice(article.authors)]
    steps: Steps = [("author", author.name)]
    return draw.then(article, steps, author.articles) if go_on else steps


def _category(draw: _Draw, article: Article, *, hidden: bool = False, go_on: bool = False) -> Steps | None:
    """``hidden``: the category above those that the page of the article names."""
    slugs = [article.category]
    while parent := draw.site.category[slugs[-1]].parent:
        slugs.append(parent)
    if hidden and len(slugs) < 3:
        return None
    category = draw.site.category[slugs[2] if hidden else draw.rng.choice(slugs[:2])]
    steps: Steps = [("category", category.name)]
    return draw.then(article, steps, category.featured + category.articles) if go_on else steps


_MIX: Sequence[tuple[str, Callable[[_Draw, Article], Steps | None], tuple[int, int, int, int]]] = (
    ("-6", partial(_category, hidden=True, go_on=True), (1, 0, 0, 1)),
    ("-6", partial(_category, hidden=True), (1, 0, 1, 0)),
    ("-4", partial(_author, go_on=True), (3, 1, 1, 2)),
    ("-6", partial(_category, go_on=True), (3, 1, 1, 1)),
    ("-4", _no_author, (4, 0, 0, 0)),
    ("-4", _author, (0, 1, 1, 2)),
    ("-7", _reference, (11, 2, 2, 4)),
    ("-6", _category, (4, 1, 0, 2)),
    ("-0", _about, (18, 2, 2, 4)),
    ("-8", _plain, (25, 2, 2, 4)),
)
"""Suffix, steps, and how many of it in the test set, S0, S1 and further training; the rare first."""
