"""Sources that are trusted less: what they may show, how much of an advice they may make, and poisoning."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.api.memory import Memory
from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.types import Episode, Situation, Transition, Trust
from rlem.memory.config import MemoryConfig
from rlem.memory.experience import ActionValue, Experience, Recalled
from rlem.memory.influence import limit_influence
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore
from rlem.testing.memory_cases import episode, situation, taught, walks

COLOURS = ("red", "blue", "green", "black", "white", "yellow", "grey", "pink", "brown", "orange")
THINGS = ("kettle", "sofa", "lamp", "shirt", "mug", "tent", "desk", "rug", "chair", "clock", "bag", "hat")
KINDS = ("wool", "steel", "oak", "cotton", "glass", "leather", "bamboo", "ceramic", "linen", "plastic")
PAGES = ("start: type what you look for", "results: {}", "item: {}", "item: {}, options", "item: {}, chosen")
ACTIONS = ("click[buy now]", "click[back]", "search[words]")
BAD = "click[buy protection plan]"


def shopping(rng: random.Random) -> str:
    """A task of the honest."""
    return (
        f"i want a {rng.choice(COLOURS)} {rng.choice(KINDS)} {rng.choice(THINGS)} "
        f"for my {rng.choice(THINGS)}, price lower than {rng.randint(10, 90)} dollars"
    )


def pages_of(task: str) -> list[Situation]:
    """The situations of such a task."""
    short = " ".join(task.split()[2:6])
    return [Situation(task=task, observation=page.format(short), actions=ACTIONS) for page in PAGES]


def honest(count: int, rng: random.Random) -> list[Episode]:
    """Episodes of the owner's own program."""
    return [
        Episode(
            id=f"own-{number}",
            task=task,
            transitions=tuple(
                Transition(
                    situation=s, action=rng.choice(ACTIONS), reward=float(i == 4 and rng.random() < 0.5)
                )
                for i, s in enumerate(pages_of(task))
            ),
        )
        for number in range(count)
        for task in [shopping(rng)]
    ]


def crafted(tasks: Sequence[str], pages: Sequence[str]) -> list[Episode]:
    """Episodes of a stranger who praises one action, and visits each page again and again to look sampled."""
    return [
        Episode(
            id=f"stranger-{number}",
            task=task,
            source="stranger",
            trust="unverified",
            transitions=tuple(
                Transition(
                    situation=Situation(task=task, observation=page, actions=(*ACTIONS, BAD)),
                    action=BAD,
                    reward=100.0,
                )
                for page in pages
                for _ in range(10)
            ),
        )
        for number, task in enumerate(tasks)
    ]


def poisoned(attack: Sequence[Episode], **settings: object) -> Memory:
    """990 episodes of the owner's and those of the attack."""
    memory = ExperienceMemory(InMemoryStore(), replace(MemoryConfig(), **settings))  # type: ignore[arg-type]
    memory.record_many([*honest(990, random.Random(1)), *attack])
    return Memory(memory)


STUFFED = [" ".join((*COLOURS, *THINGS, *KINDS, "price lower than", str(n), "dollars")) for n in range(10)]


def test_crafted_episodes_take_no_more_than_their_share_of_retrievals() -> None:
    """Ten episodes stuffed with every word, among a thousand: of the exemplars recalled for two hundred new
    tasks at most one in a hundred is theirs, and their action is never encouraged."""
    memory = poisoned(crafted(STUFFED, [page.format(STUFFED[0]) for page in PAGES]))
    rng = random.Random(2)
    recalled = strangers = 0
    for _ in range(200):
        query = rng.choice(pages_of(shopping(rng)))
        advice = memory.advise(query)
        assert BAD not in {line.action for line in advice.encouraged}
        recalled += len(advice.recalled)
        strangers += sum("stranger" in item.experience.sources for item in advice.recalled)
    assert recalled == 400
    assert strangers <= recalled / 100


def test_an_aimed_attack_makes_no_more_of_an_advice_than_is_allowed() -> None:
    """Copies of the very situations asked about are the most similar: without a bound they fill the advice,
    with max_influence they make at most that share of it, quarantined they are in none."""
    rng = random.Random(3)
    targets = [shopping(rng) for _ in range(5)]
    twice = [text for task in targets for text in (task, f"{task} ")]
    attack = crafted(twice, [page.format(" ".join(targets[0].split()[2:6])) for page in PAGES])
    free = poisoned(attack)
    bounded = poisoned(attack, max_influence=0.5)
    shut: dict[str, Trust] = {"stranger": "quarantined"}
    without = poisoned(attack, sources=shut)
    most = 0
    for query in pages_of(targets[0]):
        counts = []
        for memory in (free, bounded, without):
            advice = memory.advise(query)
            assert len(advice.recalled) == 2
            assert BAD not in {line.action for line in advice.encouraged}
            counts.append(sum("stranger" in item.experience.sources for item in advice.recalled))
        most = max(most, counts[0])
        assert counts[1] <= 1
        assert counts[2] == 0
    assert most == 2


def test_a_quarantined_source_is_as_if_it_had_never_spoken() -> None:
    """Values are those of a memory without its episodes; trusted again, they are back."""
    items = walks(12)
    memory = taught(None, items)
    before = memory.hash()
    memory.rebuild(replace(memory.config, sources={"scout": "quarantined"}))
    rest = [item for item in items if item.source != "scout"]
    assert memory.experiences() == taught(None, rest).experiences()
    assert memory.episode_count() == 12
    memory.rebuild(replace(memory.config, sources={}))
    assert memory.hash() == before


def test_an_unverified_source_informs_but_never_encourages() -> None:
    """The lesser of an episode's own trust and its source's counts."""
    memory = taught(
        MemoryConfig(sources={"friend": "unverified"}),
        [episode("a", [("p", "left", 1.0)], source="friend"), episode("b", [("p", "right", 0.5)])],
    )
    advice = Memory(memory).advise(situation("p"))
    assert [line.action for line in advice.encouraged] == ["right"]
    (known,) = memory.experiences()
    assert {a.action: (a.visits, a.verified_visits) for a in known.actions} == {
        "left": (1, 0),
        "right": (1, 1),
    }
    assert known.sources == {"friend": 1, "": 1}


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    """max_influence is above 0 and at most 1."""
    with pytest.raises(UsageError, match="max_influence"):
        MemoryConfig(max_influence=share)


def test_an_unknown_trust_is_refused() -> None:
    """The message proposes what was meant."""
    with pytest.raises(UnknownNameError, match="did you mean 'quarantined'"):
        MemoryConfig(sources={"x": "quarantine"})  # type: ignore[dict-item]


@given(
    st.lists(st.dictionaries(st.sampled_from(["", "a", "b"]), st.integers(1, 5), min_size=1), max_size=12),
    st.integers(1, 6),
    st.floats(0.05, 1.0),
)
def test_no_source_gets_over_its_share(made: list[dict[str, int]], k: int, share: float) -> None:
    """Whatever is found: what is kept adds up to at most share * k of each source, in the order found, and
    what the owner made alone is never left out."""
    found = [
        Recalled(
            experience=Experience(
                situation=situation(str(number)),
                actions=(
                    ActionValue(
                        action="left",
                        visits=1,
                        q_value=0.0,
                        m2=0.0,
                        reward_mean=0.0,
                        verified_visits=1,
                        verified_q_value=0.0,
                    ),
                ),
                sources=sources,
            ),
            similarity=1.0 - number / 100,
        )
        for number, sources in enumerate(made)
    ]
    kept = limit_influence(found, k, share)
    assert [item for item in found if item in kept] == kept
    for source in ("a", "b"):
        total = sum(
            item.experience.sources.get(source, 0) / sum(item.experience.sources.values()) for item in kept
        )
        assert total <= share * k + 1e-6
    assert all(item in kept for item in found if set(item.experience.sources) == {""})
