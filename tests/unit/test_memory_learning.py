"""Learning through the memory: the specification's numeric vectors, and what the reference did otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from rlem.core.seeds import derive_seed
from rlem.core.types import Episode, Situation
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.similarity.config import weighted
from rlem.similarity.exact import ExactOr
from rlem.testing.memory_cases import episode, situation, taught
from rlem.values import ValueConfig

Compat = Literal["default", "reference"]
BOTH: list[Compat] = ["default", "reference"]
HALF = weighted((1.0, ExactOr(other=0.5)))
"""1 for equal situations, else one half: the similarity of the vectors."""


CHAIN = next(
    task
    for task in (f"chain {i}" for i in range(999))
    if (keys := [situation(f"o{t}", task=task).key for t in range(4)]) == sorted(keys)
)
"""A task under which the situations' keys ascend: so ties fall in order of insertion, as the vectors need
it, by the reference's rule (insertion order) and by ours (content key)."""


def config(
    *, max_experiences: int | None = None, max_actions: int | None = None, **values: Any
) -> MemoryConfig:
    """A memory's settings under the similarity of the vectors."""
    return MemoryConfig(
        similarity=HALF,
        values=ValueConfig(**values),
        max_experiences=max_experiences,
        max_actions=max_actions,
    )


def chain(name: str, rewards: list[float], **head: Any) -> Episode:
    """o0 -a1-> o1 -a2-> o2 ... with these rewards."""
    steps = [(f"o{t}", f"a{t + 1}", reward) for t, reward in enumerate(rewards)]
    return episode(name, steps, task=CHAIN, **head)


def q_values(memory: ExperienceMemory, length: int) -> list[float]:
    """Q of a1, a2 ..."""
    found = []
    for t in range(length):
        known = memory.get(situation(f"o{t}", task=CHAIN).key)
        assert known is not None
        found.append(known.best.q_value)
    return found


@pytest.mark.parametrize("compat", BOTH)
@pytest.mark.parametrize(
    ("discount", "n", "first", "second"),
    [
        (1.0, None, [3, 2, 2], [2.0, 1.5, 1.5]),
        (1.0, 3, [3, 2, 2], [2.0, 1.5, 1.5]),
        (1.0, 1, [1, 1, 2], [1.0, 1.5, 1.5]),
        (1.0, 2, [1, 2, 2], [1.5, 1.5, 1.5]),
        (0.9, None, [2.62, 1.8, 2], [1.715, 1.35, 1.5]),
        (0.9, 3, [2.62, 1.8, 2], [1.715, 1.35, 1.5]),
        (0.9, 1, [1.0, 0.9, 2], [0.905, 1.35, 1.5]),
        (0.9, 2, [1.0, 1.8, 2], [1.31, 1.35, 1.5]),
    ],
)
def test_values_of_the_chain(
    compat: Compat, discount: float, n: int | None, first: list[float], second: list[float]
) -> None:
    """Specification, section 3: Q after episode 1 (rewards 1, 0, 2) and after episode 2 (0, 0, 1)."""
    memory = taught(config(discount=discount, n=n, compat=compat), [chain("e1", [1, 0, 2])])
    assert q_values(memory, 3) == pytest.approx(first)
    memory.record(chain("e2", [0, 0, 1]))
    assert q_values(memory, 3) == pytest.approx(second)


@pytest.mark.parametrize("compat", BOTH)
def test_values_of_the_sparse_chain(compat: Compat) -> None:
    """Reward 1 at the end of four steps creeps backwards under n=1 and is everywhere at once under None."""
    rows = [
        (0, 0, 0, 1),
        (0, 0, 0.5, 1),
        (0, 0.1667, 0.6667, 1),
        (0.0417, 0.2917, 0.75, 1),
    ]
    slow, fast = taught(config(n=1, compat=compat), []), taught(config(compat=compat), [])
    for number, row in enumerate(rows):
        slow.record(chain(f"e{number}", [0, 0, 0, 1]))
        fast.record(chain(f"e{number}", [0, 0, 0, 1]))
        assert q_values(slow, 4) == pytest.approx(row, abs=5e-5)
        assert q_values(fast, 4) == [1, 1, 1, 1]


@pytest.mark.parametrize("n", [None, 1, 2, 3])
def test_mean_rewards_of_the_chain(n: int | None) -> None:
    """Specification: after episode 2 the mean rewards are .5, 0, 1.5, whatever n is."""
    memory = taught(config(n=n), [chain("e1", [1, 0, 2]), chain("e2", [0, 0, 1])])
    assert [mean_reward(memory, t) for t in range(3)] == [0.5, 0.0, 1.5]


def mean_reward(memory: ExperienceMemory, t: int) -> float:
    """Mean reward of the only action of o_t."""
    known = memory.get(situation(f"o{t}", task=CHAIN).key)
    assert known is not None
    return known.actions[0].reward_mean


@pytest.mark.parametrize(
    ("n", "rewards"),
    [(None, [0.0, 0.5, 0.0]), (1, [0.5, 0.0, 0.0]), (2, [0.5, 0.5, 0.0]), (3, [0.0, 0.5, 0.0])],
)
def test_reference_shifts_the_stored_reward_at_the_end(n: int | None, rewards: list[float]) -> None:
    """Defect 7: the last n transitions (all, if n is None) keep the reward before, not their own."""
    memory = taught(config(n=n, compat="reference"), [chain("e1", [1, 0, 2]), chain("e2", [0, 0, 1])])
    assert [mean_reward(memory, t) for t in range(3)] == rewards


def test_reference_tells_actions_apart_by_their_reasons() -> None:
    """Defect 15: another free text makes another action, so the average falls apart; ours is one mean."""

    def with_reason(name: str, reason: str, reward: float) -> Episode:
        item = chain(name, [reward])
        return replace(item, transitions=(replace(item.transitions[0], reason=reason),))

    items = [
        with_reason("e1", "it is near", 1.0),
        with_reason("e2", "why not", 0.0),
        with_reason("e3", "", 2.0),
    ]
    (split,) = taught(config(compat="reference"), items).experiences()
    assert [(a.action, a.reason, a.visits, a.q_value) for a in split.actions] == [
        ("a1", "it is near", 1, 1.0),
        ("a1", "why not", 1, 0.0),
        ("a1", "", 1, 2.0),
    ]
    (whole,) = taught(config(), items).experiences()
    assert [(a.action, a.reason, a.visits, a.q_value) for a in whole.actions] == [("a1", "why not", 3, 1.0)]


def test_reference_freezes_when_full() -> None:
    """Defect 4: a full memory takes no new situation, and goes on learning the old ones; ours evicts."""
    items = [chain("e1", [0, 1]), episode("e2", [("new", "go", 5.0), ("o0", "a1", 4.0)], task=CHAIN)]
    frozen = taught(config(compat="reference", max_experiences=2), items)
    assert {e.situation.observation for e in frozen.experiences()} == {"o0", "o1"}
    assert q_values(frozen, 2) == [2.5, 1.0]
    open_ = taught(config(max_experiences=2), items)
    assert len(open_) == 2
    assert "new" in {e.situation.observation for e in open_.experiences()}


def test_reference_prunes_actions_by_reward() -> None:
    """Defect 6: the action of lowest reward goes, though its value is high; ours goes by value."""

    def items() -> list[Episode]:
        return [
            episode("e1", [("o0", "patient", 0.0), ("o1", "a2", 9.0)], task=CHAIN),
            episode("e2", [("o0", "greedy", 1.0), ("o1", "a2", 0.0)], task=CHAIN),
            episode("e3", [("o0", "middling", 0.5), ("o1", "a2", 3.0)], task=CHAIN),
        ]

    # Under n=1 only the last transition's stored reward is shifted, so those of o0 are true.
    reference = taught(config(compat="reference", max_actions=2, n=1), items())
    default = taught(config(max_actions=2), items())
    assert tried(reference, "o0") == {"greedy", "middling"}
    assert tried(default, "o0") == {"patient", "greedy"}


def tried(memory: ExperienceMemory, page: str) -> set[str]:
    """Actions recorded on a page."""
    known = memory.get(situation(page, task=CHAIN).key)
    assert known is not None
    return {a.action for a in known.actions}


def test_a_new_action_counts_as_zero_before_its_first_target() -> None:
    """In a loop o -a-> o of one step the action itself is the best known one, with value 0."""
    memory = taught(config(n=1), [episode("e1", [("o0", "a1", -1.0), ("o0", "a1", -1.0)], task=CHAIN)])
    # first: -1 + V(o0) = -1 + 0; second, at the end: -1
    assert q_values(memory, 1) == [-1.0]
    memory.record(episode("e2", [("o0", "b", -1.0), ("o0", "b", 0.0)], task=CHAIN))
    known = memory.get(situation("o0", task=CHAIN).key)
    assert known is not None
    # -1 + max(Q(a1) = -1, Q(b) = 0) = -1, then 0
    assert {a.action: a.q_value for a in known.actions} == {"a1": -1.0, "b": -0.5}


def test_an_unknown_page_takes_the_value_of_the_most_similar_one() -> None:
    """F4: o1 was never left, so V(o1) is that of the nearest record; ties go by samples."""
    memory = taught(config(n=1), [episode("x", [("far", "go", 4.0)], task=CHAIN)])
    memory.record(episode("y", [("far", "go", 4.0)], task=CHAIN))
    memory.record(episode("z", [("o0", "a1", 1.0), ("o1", "a2", 0.0)], task=CHAIN))
    # o0 itself (one sample, value 0) and "far" (two samples, value 4) are equally similar to o1
    assert q_values(memory, 1) == [5.0]


@pytest.mark.parametrize(
    ("values", "target"),
    [
        ({"truncation": "terminal"}, 1.0),
        ({"truncation": "bootstrap"}, 5.0),
        ({"truncation": "bootstrap", "n": 1}, 5.0),
        ({"truncation": "bootstrap", "trace_decay": 0.5}, 5.0),
        ({"truncation": "bootstrap", "trace_decay": 1.0}, 5.0),
        ({"truncation": "bootstrap", "discount": 0.5}, 3.0),
    ],
    ids=str,
)
def test_what_the_step_limit_cuts_off(values: dict[str, Any], target: float) -> None:
    """Terminal as in the paper, or worth the value of the situation reached."""
    final = situation("o9", task=CHAIN)
    memory = taught(config(**values), [episode("x", [("o9", "go", 4.0)], task=CHAIN)])
    memory.record(chain("cut", [1.0], status="truncated", final=final))
    assert q_values(memory, 1) == [target]
    memory.record(chain("ended", [1.0], status="terminated", final=final))
    assert q_values(memory, 1) == [(target + 1.0) / 2.0]


def test_ties_fall_by_insertion_in_the_reference_and_by_content_key_in_ours() -> None:
    """Equally similar, equally sampled: the reference takes the older experience, ours the lower key."""
    pages = sorted(("o0", "o1", "o2"), key=lambda page: situation(page, task=CHAIN).key, reverse=True)
    items = [episode(f"e{page}", [(page, "go", 1.0)], task=CHAIN) for page in pages]
    query = situation("elsewhere", task=CHAIN)
    older = taught(config(compat="reference"), items).recall(query, 3)
    lower = taught(config(), items).recall(query, 3)
    assert [r.experience.situation.observation for r in older] == pages
    assert [r.experience.situation.observation for r in lower] == pages[::-1]


def test_double_q_is_learned_from_the_other_table() -> None:
    """Each target takes V from the table that is not updated; what that one never saw is looked for
    in what it did see."""
    seed = next(s for s in range(999) if [derive_seed(s, "e1", 0) & 1, derive_seed(s, "e2", 0) & 1] == [0, 1])
    items = [
        episode("e1", [("o1", "a2", 4.0)], task=CHAIN),
        episode("e2", [("o1", "a2", 2.0)], task=CHAIN),
    ]
    memory = taught(config(n=1, double=True, seed=seed), items)
    assert q_values_of(memory, "o1") == (3.0, 2)  # the mean of 4 (first table) and 2 (second table)
    name = next(f"s{i}" for i in range(999) if derive_seed(seed, f"s{i}", 0) & 1 == 0)
    memory.record(episode(name, [("o0", "a1", 0.0), ("o1", "other", 0.0)], task=CHAIN))
    assert q_values_of(memory, "o0") == (2.0, 1)  # learned in the first table, with V of the second


def test_a_table_of_double_q_does_not_value_what_only_the_other_one_saw() -> None:
    """A loss known to one table must not be hidden by a zero that stands for an action of the other."""
    seed = next(s for s in range(9999) if [derive_seed(s, e, 0) & 1 for e in ("e1", "e2", "e3")] == [1, 0, 0])
    memory = taught(
        config(n=1, double=True, seed=seed),
        [
            episode("e1", [("o1", "bad", -4.0)], task=CHAIN),  # second table
            episode("e2", [("o1", "fine", 2.0)], task=CHAIN),  # first table
            episode("e3", [("o0", "a1", 0.0), ("o1", "fine", 2.0)], task=CHAIN),  # first, V of the second
        ],
    )
    assert q_values_of(memory, "o0") == (-4.0, 1)


def test_a_new_action_of_double_q_is_new_in_its_own_table_only() -> None:
    """In a loop the other table has nothing of the situation yet: V is that of the most similar one."""
    seed = next(s for s in range(9999) if [derive_seed(s, e, 0) & 1 for e in ("e1", "e2", "e3")] == [0, 1, 0])
    items = [episode(name, [("far", "go", 5.0)], task=CHAIN) for name in ("e1", "e2")]
    memory = taught(config(n=1, double=True, seed=seed), items)
    memory.record(episode("e3", [("o0", "a1", -1.0), ("o0", "other", 0.0)], task=CHAIN))
    assert q_values_of(memory, "o0") == (4.0, 1)


def q_values_of(memory: ExperienceMemory, page: str) -> tuple[float, int]:
    """Value and visits of a page's first action."""
    known = memory.get(situation(page, task=CHAIN).key)
    assert known is not None
    return known.actions[0].q_value, known.actions[0].visits


def test_the_coin_of_double_q_is_thrown_by_seed_episode_and_step() -> None:
    """Neither the order of the log nor anything else in it changes the tables an episode goes to."""
    items = [chain(f"e{i}", [float(i), 1.0, 2.0]) for i in range(8)]
    memory = taught(config(double=True, n=5, seed=1), items)
    shuffled = taught(config(double=True, n=5, seed=1), items[::-1])
    assert [q for e in memory.experiences() for q in (e.best.q_value, e.samples)] == pytest.approx(
        [q for e in shuffled.experiences() for q in (e.best.q_value, e.samples)]
    )
    other = taught(config(double=True, n=5, seed=2), items)
    assert [e.best.q_value for e in memory.experiences()] != [e.best.q_value for e in other.experiences()]


def test_an_experience_remembers_how_it_was_reached() -> None:
    """The shortest way seen, the mean reward just before, the mean reward since the start."""
    memory = taught(
        config(),
        [
            episode("e1", [("o0", "x", 1.0), ("o1", "y", 2.0), ("o2", "z", 0.0)], task=CHAIN),
            episode("e2", [("o1", "up", 4.0), ("o2", "z", 0.0)], task=CHAIN),
            episode("e3", [("o0", "x", 1.0), ("o1", "y", 2.0), ("o2", "z", 0.0)], task=CHAIN),
        ],
    )
    known = memory.get(situation("o2", task=CHAIN).key)
    assert known is not None
    assert known.history == ("up",)
    memory.record(episode("e4", [("o3", "another way", 0.0), ("o2", "z", 0.0)], task=CHAIN))
    latest = memory.get(known.key)
    assert latest is not None
    assert latest.history == ("another way",)  # of two equally short ways the later one
    assert known.visits == 3
    assert known.last_reward == pytest.approx((2 + 4 + 2) / 3)
    assert known.total_reward == pytest.approx((3 + 4 + 3) / 3)


def test_contributions_explain_a_value() -> None:
    """The returns of all visits of an action have the action's value as their mean."""
    loops = [episode(f"e{i}", [("o0", "a1", float(i)), ("o0", "a1", 1.0)], task=CHAIN) for i in range(3)]
    memory = taught(config(discount=0.5), loops)
    key = Situation(task=CHAIN, observation="o0", actions=("left", "right")).key
    parts = memory.contributions(key, "a1")
    assert [(c.episode.id, c.step) for c in parts] == [(f"e{i}", s) for i in range(3) for s in range(2)]
    known = memory.get(key)
    assert known is not None
    assert known.best.q_value == pytest.approx(sum(c.return_ for c in parts) / len(parts))
    assert memory.contributions(key, "nothing") == []
