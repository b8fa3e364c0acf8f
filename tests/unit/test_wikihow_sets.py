"""Task sets over a generated site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import pytest

from rlem.core.errors import UnknownNameError, UsageError
from rlem.environments.wikihow.generate import generate
from rlem.environments.wikihow.search import TitleSearch
from rlem.environments.wikihow.sets import ENOUGH, TaskSets, given_tasks, task_sets
from rlem.environments.wikihow.site import Site, slug_of
from rlem.environments.wikihow.tasks import TaskDefinition, compile_task


@cache
def site(seed: int = 0, n_articles: int = 300) -> Site:
    """A generated site, each only once."""
    return generate(seed, n_articles)


@cache
def sets(seed: int = 0, n_articles: int = 300) -> TaskSets:
    """Its task sets."""
    return task_sets(site(seed, n_articles), seed)


def part(name: str, seed: int = 0) -> Sequence[TaskDefinition]:
    """The tasks of a named set."""
    return [sets(seed).all[number] for number in sets(seed).numbers(name)]


def articles(tasks: Sequence[TaskDefinition]) -> list[str]:
    """All articles that tasks ask for."""
    return [goal.target for task in tasks for goal in task.goals if goal.kind == "article"]


SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mix_of_the_test_set(seed: int) -> None:
    """70 tasks in the kinds and numbers of sub-goals of the published ones: at most 188/70 on average."""
    test = part("test", seed)
    assert Counter(task.kind for task in test) == {
        "plain": 25,
        "about": 18,
        "reference": 11,
        "category": 9,
        "author": 7,
    }
    assert Counter((task.kind, len(task.goals)) for task in test if task.kind in ("author", "category")) == {
        ("category", 3): 5,
        ("category", 4): 4,
        ("author", 2): 4,
        ("author", 4): 3,
    }
    assert sum(len(task.goals) for task in test) == 188


@pytest.mark.parametrize(("name", "each"), [("S0", 2), ("S1", 2), ("90:110", 4), ("train", 8)])
def test_the_mix_of_training_sets(name: str, each: int) -> None:
    """Training sets have as many tasks of each kind."""
    kinds = Counter(task.kind for task in part(name))
    assert kinds == dict.fromkeys(("plain", "about", "author", "category", "reference"), each)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_article_is_asked_for_twice(seed: int) -> None:
    """All articles that tasks ask for differ, those to go on to included: sets are disjoint."""
    asked = articles(sets(seed).all)
    assert len(asked) == len(set(asked)) == ENOUGH


def test_parts_are_sorted_by_file_name() -> None:
    """The order within a set is that of the files' names, as the original counts."""
    for name in ("test", "S0", "S1", "90:110"):
        names = [task.file_name for task in part(name)]
        assert names == sorted(names)
    assert len({task.id for task in sets().all}) == 110


def test_ranges_and_names() -> None:
    """Named sets are ranges of one list; a range takes from it; others are refused."""
    assert [sets().numbers(name) for name in ("test", "S0", "S1", "train", "3:5")] == [
        range(70),
        range(70, 80),
        range(80, 90),
        range(70, 110),
        range(3, 5),
    ]
    assert list(sets().describe()) == ["test", "S0", "S1", "train"]
    with pytest.raises(UnknownNameError, match="S0"):
        sets().numbers("s2")
    with pytest.raises(UsageError, match="110"):
        sets().numbers("100:111")


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_asked_for_is_there(seed: int) -> None:
    """Authors and references are those of the article, categories are above it, and lists lead on."""
    here = site(seed)
    for task in sets(seed).all:
        article = here.article[slug_of(task.goals[1].target)]
        assert task.kind != "reference" or article.references
        assert task.kind != "author" or bool(article.authors) == (len(task.goals) > 2)
        for before, goal in pairwise(task.goals):
            slug = slug_of(before.target)
            if goal.kind == "author":
                assert slug_of(goal.target) in article.authors
            elif goal.kind == "category":
                assert slug_of(goal.target) in above(here, article.category)
            elif goal.kind == "article" and before.kind == "author":
                assert slug_of(goal.target) in here.author[slug].articles
            elif goal.kind == "article" and before.kind == "category":
                category = here.category[slug]
                assert slug_of(goal.target) in category.featured + category.articles


def above(here: Site, slug: str) -> list[str]:
    """A category and those above it."""
    found = [slug]
    while parent := here.category[found[-1]].parent:
        found.append(parent)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_an_article_does_not_end_its_own_task(seed: int) -> None:
    """The article to go on to is not found by opening the first one, whose address would begin with it."""
    for task in sets(seed).all:
        if len(task.goals) == 4:
            assert not slug_of(task.goals[1].target).startswith(slug_of(task.goals[3].target))


@pytest.mark.parametrize("seed", SEEDS)
def test_some_tasks_are_hard(seed: int) -> None:
    """Some targets are not the first of their search, some categories not named by the article's page."""
    here = site(seed)
    search = TitleSearch(here)
    test = part("test", seed)
    later = [task for task in test if search.search(task.goals[0].target)[0] != slug_of(task.goals[1].target)]
    assert len(later) >= 3
    hidden = [
        task
        for task in test
        if task.kind == "category"
        and slug_of(task.goals[2].target)
        not in above(here, here.article[slug_of(task.goals[1].target)].category)[:2]
    ]
    assert len(hidden) >= 2


def test_the_same_seed_gives_the_same_tasks() -> None:
    """Sets are a function of site and seed."""
    assert task_sets(site(), 0) == sets()
    assert task_sets(site(), 1).all != sets().all


def test_the_smallest_site() -> None:
    """A site of as many articles as are asked for is enough; a smaller one is refused with that number."""
    assert len(sets(0, ENOUGH).all) == 110
    with pytest.raises(UsageError, match=str(ENOUGH)):
        task_sets(site(0, ENOUGH - 1), 0)


def test_given_tasks() -> None:
    """Tasks of files are one set in their order."""
    tasks = [compile_task("Sew a Kite"), compile_task("Fly a Kite", [("about", "")])]
    given = given_tasks(tasks)
    assert given.numbers("test") == given.numbers("0:2") == range(2)
    assert given.by_id[tasks[1].id] == tasks[1]
