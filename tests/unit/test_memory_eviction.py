"""What a full memory gives up, by example: redundancy, usefulness, ties, bytes and actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from rlem.core.errors import UsageError
from rlem.core.types import Episode, Situation
from rlem.memory.config import MemoryConfig
from rlem.memory.eviction import Eviction, Lesson, worth
from rlem.memory.memory import ExperienceMemory
from rlem.similarity.config import default, weighted
from rlem.similarity.exact import Exact, ExactOr
from rlem.similarity.index import SimilarityIndex
from rlem.testing.memory_cases import episode, situation, taught
from rlem.values import Estimate, ValueConfig


def pages(memory: ExperienceMemory) -> set[tuple[str, str]]:
    """Task and page of each experience."""
    return {(e.situation.task, e.situation.observation) for e in memory.experiences()}


def way(name: str, task: str, reward: float) -> Episode:
    """Three pages that look much alike from one step to the next, under one task."""
    steps = [("a list of jugs", "open"), ("a jug, not chosen", "choose"), ("a jug, chosen", "buy")]
    return episode(
        name, [(page, act, reward * (act == "buy")) for page, act in steps], task=f"buy a jug, {task}"
    )


def test_of_two_ways_that_look_alike_one_stays_whole() -> None:
    """Steps of one way complete one another, however alike their pages: the twin way goes, the other task
    and a whole way of the pair stay."""
    log = [way("a", "red", 1.0), way("b", "blue", 0.5), episode("c", [("the sea", "swim", 1.0)], task="swim")]
    memory = taught(MemoryConfig(max_experiences=4), log)
    assert {task for task, _ in pages(memory)} == {"buy a jug, red", "swim"}


def test_the_order_of_arrival_does_not_count() -> None:
    """A crowd of alike failures that come last do not drive out the one good way that came first."""
    crowd = [episode(f"f{i}", [("a wide sea", "swim", 0.0)], task=f"swim to isle {i}") for i in range(40)]
    memory = taught(MemoryConfig(max_experiences=5), [way("a", "red", 1.0), *crowd])
    assert {("buy a jug, red", page) for page in ("a list of jugs", "a jug, not chosen", "a jug, chosen")} < (
        pages(memory)
    )
    backwards = taught(MemoryConfig(max_experiences=5), [*crowd, way("a", "red", 1.0)])
    assert ("buy a jug, red", "a jug, chosen") in pages(backwards)


def test_a_full_memory_goes_on_learning() -> None:
    """A new and better way is taken in at the limit, where the reference's memory is frozen."""
    log = [way("a", "red", 0.1), way("b", "blue", 0.1), way("c", "white", 1.0)]
    kept = pages(taught(MemoryConfig(max_experiences=3), log))
    assert {task for task, _ in kept} == {"buy a jug, white"}
    frozen = MemoryConfig(max_experiences=3, values=ValueConfig(compat="reference"))
    assert {task for task, _ in pages(taught(frozen, log))} == {"buy a jug, red"}


@pytest.mark.parametrize(
    ("first", "second", "goes"),
    [
        (Lesson(action="go", worth=0.5, last=9), Lesson(action="go", worth=0.6, last=1), 0),
        (Lesson(action="go", worth=0.6, last=1), Lesson(action="go", worth=0.6, last=2), 0),
        (Lesson(action="go", worth=0.6, last=3), Lesson(action="go", worth=0.6, last=2), 1),
    ],
    ids=["lower worth", "not visited for longer", "not visited for longer, the second"],
)
def test_of_equally_redundant_ones(first: Lesson, second: Lesson, goes: int) -> None:
    """Of two steps of one task with the same best action: the one worth less, then the one left alone
    for longer."""
    eviction = Eviction(default())
    eviction.add(0, situation("a red door"), None, first)
    eviction.add(1, situation("a blue door"), None, second)
    assert eviction.choose() == goes


def test_ties_in_everything_go_by_content_key() -> None:
    """Three experiences that nothing tells apart go in the order of their keys, whatever their slots."""
    found = sorted((situation(page) for page in "abc"), key=lambda item: item.key)
    lesson = Lesson(action="go", worth=0.5, last=1)
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        eviction = Eviction(weighted((1.0, ExactOr(other=0.5))))
        for slot in order:
            eviction.add(slot, found[slot], None, lesson)
        gone = []
        for _ in found:
            gone.append(eviction.choose())
            eviction.remove(gone[-1])
        assert gone == [0, 1, 2]


def test_a_step_is_redundant_in_its_own_task_only_with_the_same_advice() -> None:
    """As soon as its best action becomes another one, a page no longer stands in for its neighbour."""
    eviction = Eviction(default())
    eviction.add(0, situation("a red door"), None, Lesson(action="go", worth=0.5, last=1))
    eviction.add(1, situation("a red door, open"), None, Lesson(action="go", worth=0.4, last=1))
    eviction.add(2, situation("hail", task="stay home"), None, Lesson(action="wait", worth=0.3, last=1))
    assert eviction.choose() == 1
    eviction.learned(1, Lesson(action="wait", worth=0.4, last=2))
    assert eviction.choose() == 2


def test_queries_per_insertion_and_eviction(monkeypatch: pytest.MonkeyPatch) -> None:
    """One similarity query for each experience put in, two for each given up, few more to look up again
    what had been nearest to one that went."""
    asked: list[str] = []
    scores = SimilarityIndex.scores

    def counted(self: SimilarityIndex, query: Situation) -> object:
        asked.append(query.key)
        return scores(self, query)

    monkeypatch.setattr(SimilarityIndex, "scores", counted)
    eviction, rounds = Eviction(default()), 200
    for slot in range(30):
        eviction.add(slot, _place(slot), None, _lesson(slot))
    assert len(asked) == 30
    for number in range(30, 30 + rounds):
        gone = eviction.choose()
        eviction.remove(gone)
        eviction.add(gone, _place(number), None, _lesson(number))
    assert len(asked) - 30 <= 4 * rounds


def _place(number: int) -> Situation:
    return situation(f"house {number % 7} of {number}", task=f"find {number % 11} in street {number % 13}")


def _lesson(number: int) -> Lesson:
    return Lesson(action=f"go {number % 3}", worth=(number * 7 % 10) / 10.0, last=number)


def test_worth_counts_samples_and_spread() -> None:
    """More samples of one mean are worth more, a wider spread less; no samples nothing."""
    assert worth(Estimate(4, 1.0, 0.0)) > worth(Estimate(1, 1.0, 0.0)) > worth(Estimate()) == 0.0
    assert worth(Estimate(4, 1.0, 4.0)) == pytest.approx((1.0 - 2.0 / 4.0) * 4 / 5)


def test_claims_do_not_drive_out_what_is_verified() -> None:
    """Any number of unverified episodes that claim huge rewards leave the verified way in its place."""
    claims = [replace(way(f"x{i}", f"claim {i}", 1e6), trust="unverified") for i in range(10)]
    memory = taught(MemoryConfig(max_experiences=3), [way("a", "red", 0.2), *claims])
    assert {task for task, _ in pages(memory)} == {"buy a jug, red"}


def test_recalling_changes_nothing() -> None:
    """Evaluation leaves no trace in what goes next."""
    log = [way(f"e{i}", f"colour {i}", float(i % 3)) for i in range(6)]
    asked, left = (taught(MemoryConfig(max_experiences=5), log[:4]) for _ in range(2))
    for page in ("a list of jugs", "a jug, chosen", "the sea"):
        asked.recall(situation(page, task="buy a jug, colour 1"), 3)
    for memory in (asked, left):
        memory.record_many(log[4:])
    assert asked.hash() == left.hash()


# -- bytes -----------------------------------------------------------------------------------------------


def test_bytes_bound_a_memory_of_long_pages_sooner() -> None:
    """Both bounds hold; whichever is passed first decides."""
    pages_of = [episode(f"e{i}", [(f"{i} " + "word " * 500, "go", 1.0)], task=f"t{i}") for i in range(9)]
    by_bytes = taught(MemoryConfig(max_bytes=12_000, max_experiences=8), pages_of)
    assert 1 <= len(by_bytes) <= 4
    by_number = taught(MemoryConfig(max_bytes=12_000_000, max_experiences=8), pages_of)
    assert len(by_number) == 8
    assert by_bytes.episode_count() == 9


def test_an_experience_larger_than_the_bound_is_not_kept() -> None:
    """The bound holds for one page of a megabyte, too; the log has it, and smaller ones stay."""
    log = [
        episode("a", [("small", "go", 1.0)]),
        episode("b", [("x" * 1_000_000, "go", 0.0)], task="another task"),
    ]
    memory = taught(MemoryConfig(max_bytes=5_000, similarity=weighted((1.0, Exact()))), log)
    assert pages(memory) == {("walk home", "small")}
    assert memory.episode_count() == 2


@pytest.mark.parametrize("wrong", [0, -1])
def test_a_byte_bound_must_be_positive(wrong: int) -> None:
    """The message names value and range."""
    with pytest.raises(UsageError, match=f"max_bytes={wrong} is not possible"):
        MemoryConfig(max_bytes=wrong)


def test_the_reference_has_no_byte_bound() -> None:
    """It is refused rather than ignored."""
    with pytest.raises(UsageError, match="max_bytes=9 is not possible with compat='reference'"):
        MemoryConfig(max_bytes=9, values=ValueConfig(compat="reference"))


def test_settings_with_and_without_a_byte_bound_come_back() -> None:
    """And settings stored before there was one read as none."""
    for config in (MemoryConfig(), MemoryConfig(max_bytes=7)):
        assert MemoryConfig.from_json(config.to_json()) == config
    older = {name: value for name, value in MemoryConfig().to_json().items() if name != "max_bytes"}
    assert MemoryConfig.from_json(older) == MemoryConfig()


# -- actions ---------------------------------------------------------------------------------------------


def actions_left(limit: int, tried: Sequence[tuple[str, float]]) -> set[str]:
    """Actions that one page keeps of those tried, one episode each."""
    log = [episode(f"e{i}", [("p", action, reward)]) for i, (action, reward) in enumerate(tried)]
    (found,) = taught(MemoryConfig(max_actions=limit), log).experiences()
    return {action.action for action in found.actions}


def test_a_warning_is_kept_before_a_middling_action() -> None:
    """Best and failing actions stay, in whatever order they came; one between them goes."""
    tried = [("best", 1.0), ("middling", 0.45), ("fails", 0.0), ("half", 0.55), ("hurts", -0.1)]
    assert actions_left(3, tried) == {"best", "fails", "hurts"}
    assert actions_left(3, tried[::-1]) == {"best", "fails", "hurts"}


def test_of_alike_actions_the_better_sampled_one_is_kept() -> None:
    """Two warnings of one value: the one seen twice stays."""
    tried = [("best", 1.0), ("often", 0.0), ("often", 0.0), ("once", 0.0)]
    assert actions_left(2, tried) == {"best", "often"}


def test_the_best_verified_action_outlives_claims() -> None:
    """An unverified value far above does not make the best verified action dispensable."""
    log = [episode("a", [("p", "known", 0.5)]), episode("b", [("p", "fails", 0.0)])]
    log += [episode(f"c{i}", [("p", f"claim {i}", 9.0)], trust="unverified") for i in range(3)]
    (found,) = taught(MemoryConfig(max_actions=2), log).experiences()
    assert "known" in {action.action for action in found.actions}


def test_ten_thousand_actions_on_one_page_are_ranked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An episode that tries 10,000 actions on one page looks at each a few times, not at all at each step."""
    from rlem.memory import table

    looked = 0

    def counted(estimate: Estimate) -> float:
        nonlocal looked
        looked += 1
        return worth(estimate)

    monkeypatch.setattr(table, "worth", counted)
    steps = [("p", f"act {i}", float(i % 5)) for i in range(10_000)]
    (found,) = taught(MemoryConfig(max_actions=5_000, max_experiences=3), [episode("e", steps)]).experiences()
    assert len(found.actions) == 5_000
    assert looked <= 40_000
