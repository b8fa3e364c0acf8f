"""How to meet every sub-goal of a task: for tests and the oracle agent, who may know the goals.

The way is found by trying it in an app: look for an element that leads to the target, scroll for it, else
search for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rlem.core.errors import UsageError
from rlem.core.types import Step
from rlem.environments.wikihow.actions import takes_text
from rlem.environments.wikihow.nodes import Effect, Go, Jump, Page
from rlem.environments.wikihow.site import Site, slug_of
from rlem.environments.wikihow.tasks import Goal, TaskDefinition

if TYPE_CHECKING:
    from rlem.environments.wikihow.env import WikiHow

_MOST_SCROLLS = 6


def plan(world: WikiHow, task: TaskDefinition) -> list[str]:
    """Actions that meet the sub-goals in their order. Errors: UsageError where no way is found."""
    return _Walk(world, task).solve()


class _Walk:
    """An episode that is played with knowledge of the goals."""

    def __init__(self, world: WikiHow, task: TaskDefinition) -> None:
        self._world, self._task = world, task
        self._actions: list[str] = []
        self._last: Step = world.reset(task.id)

    def solve(self) -> list[str]:
        """One goal after the other."""
        for goal in self._task.goals:
            if not self._last.terminated:
                self._reach(goal)
        if not self._last.terminated:
            raise UsageError(f"no way found to the end of task {self._task.id!r:.120}")
        return self._actions

    def _reach(self, goal: Goal) -> None:
        if goal.kind == "search":
            self._search(goal.target)
        elif goal.kind == "reference":
            self._top()
            self._press(Jump("References"))
        elif goal.kind == "about":
            self._top()
            self._press(Go(Page("about")))
        elif goal.kind == "author":
            self._top()
            self._press(Go(Page("author", slug_of(goal.target))))
        elif goal.kind == "category":
            self._top()
            self._to_category(slug_of(goal.target))
        else:
            self._to_article(Go(Page("article", slug_of(goal.target))), goal.target)

    def _to_article(self, effect: Effect, title: str) -> None:
        for _ in range(2):  # on the page that is open; then among the results of a search
            for _ in self._scrolling():
                if self._press(effect):
                    return
            self._search(title)

    def _to_category(self, slug: str) -> None:
        site = self._world.site
        chain = [self._world.app.page.key]
        chain = list(_above(site, site.article[chain[0]].category)) if chain[0] in site.article else []
        below = chain[: chain.index(slug) + 1] if slug in chain else [slug]
        for wanted in reversed(below):  # the nearest crumb there is, then "<" from page to page
            if self._press(Go(Page("category", wanted))):
                climb = below[below.index(wanted) + 1 :]
                break
        else:
            return
        for parent in climb:
            self._press(Go(Page("category", parent)))

    def _scrolling(self) -> Iterator[None]:
        yield
        for _ in range(_MOST_SCROLLS):
            before = self._world.app.scrolled
            if self._last.terminated:
                return
            self._do("SCROLL(DOWN)")
            if self._world.app.scrolled == before:
                self._actions.pop()
                return
            yield

    def _search(self, words: str) -> None:
        leaves = self._world.app.screen().leaves
        for number, leaf in enumerate(leaves):
            if takes_text(leaf):
                self._do(f"INPUT({number}, {words.lower()})")
                return

    def _top(self) -> None:
        while self._world.app.scrolled and not self._last.terminated:
            self._do("SCROLL(UP)")

    def _press(self, effect: Effect) -> bool:
        """Clicks the first element with that effect, if the screen has one."""
        screen = self._world.app.screen()
        for number, leaf in enumerate(screen.leaves):
            if screen.hit(*leaf.middle) == effect:
                self._do(f"CLICK({number})")
                return True
        return False

    def _do(self, action: str) -> None:
        if not self._last.terminated:
            self._actions.append(action)
            self._last = self._world.step(action)


def _above(site: Site, slug: str) -> Iterator[str]:
    """A category and those above it."""
    while slug:
        yield slug
        slug = site.category[slug].parent
