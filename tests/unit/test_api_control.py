"""Control in production: the coin, what is withheld, the effect and the guard as views of the log."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.command import inside

import rlem
from rlem.api.control import LogEvidence, Tally, Trial, coin, effect_words, muted_words
from rlem.core.errors import DataError, UsageError
from rlem.core.types import Control, Controlled, Episode, Situation, Transition
from rlem.evidence import MEMORY, LiveEffect, LiveInterval
from rlem.memory.codec import episode_from_json, episode_to_json
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore

ACTIONS = ["click[buy]", "click[back]"]
PAGE = "a page with a kettle"


def play(memory: rlem.Memory, name: str, action: str = "click[buy]", reward: float = 1.0, **end: Any) -> bool:
    """An episode of one decision; whether it got advice."""
    with memory.episode("buy a red kettle", id=name) as episode:
        advice = episode.advise(PAGE, ACTIONS)
        episode.record(action, reward)
        if end:
            episode.end(**end)
    return bool(advice)


def some(withheld: bool, chance: float = 0.3) -> str:
    """An episode's name whose coin falls so."""
    return next(f"x{i}" for i in range(1000) if coin(chance, 0, f"x{i}") is withheld)


# -- the coin --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chance", [0.05, 0.2, 0.5])
def test_the_coin_falls_with_its_chance_and_knows_its_parts_alone(chance: float) -> None:
    """The share of 20,000 is within four standard errors; thrown again it falls the same, per seed anew."""
    first = [coin(chance, 0, f"e{i}") for i in range(20_000)]
    other = [coin(chance, 1, f"e{i}") for i in range(20_000)]
    margin = 4 * (chance * (1 - chance) / 20_000) ** 0.5
    assert abs(sum(first) / 20_000 - chance) < margin
    assert first == [coin(chance, 0, f"e{i}") for i in range(20_000)]
    both = sum(a and b for a, b in zip(first, other, strict=True)) / 20_000
    assert abs(both - chance**2) < 4 * (chance**2 / 20_000) ** 0.5, "the seeds' coins are independent"


def test_coins_of_experiences_are_thrown_once_an_episode() -> None:
    """What was asked for keeps its side; what is muted has no coin; another episode throws anew."""
    trial = Trial(0.5, 0, "e", muted={"muted"})
    sides = {str(key): trial.hides(str(key)) for key in range(50)}
    assert trial.hides("muted")
    assert {key: trial.hides(key) for key in sides} == sides == trial.tried
    assert {True, False} == set(sides.values())
    other = Trial(0.5, 0, "f")
    assert {key: other.hides(key) for key in sides} != sides
    assert not Trial(0.0, 0, "e").hides("1"), "without a chance nothing is thrown"


@pytest.mark.parametrize(
    "wrong",
    [
        {"control": 1},
        {"control": -0.1},
        {"control": "0.2"},
        {"control": True},
        {"control": float("nan")},
        {"guard": True},
    ],
)
def test_a_control_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    """Shares of 0 to 1, both left out, and a guard only with one."""
    with pytest.raises(UsageError, match="control="):
        rlem.open(":memory:", **wrong)


# -- what is withheld ------------------------------------------------------------------------------------


def test_withheld_episodes_get_no_advice_and_are_learned() -> None:
    """The coin's episodes are shown nothing, say so, and teach as any other."""
    memory = rlem.open(":memory:", control=0.3)
    play(memory, "first")
    shown = {f"e{i}": play(memory, f"e{i}") for i in range(40)}
    assert shown == {name: not coin(0.3, 0, name) for name in shown}
    assert set(shown.values()) == {True, False}
    log = {episode.id: episode for episode in memory.episodes()}
    assert {n: log[n].controlled for n in shown} == {
        n: Controlled(control=Control(chance=0.3), withheld=not advised) for n, advised in shown.items()
    }
    assert memory.recall(task="buy a red kettle", observation=PAGE)[0].experience.samples == 41
    with memory.episode("buy a red kettle", id=some(True)) as episode:
        advice = episode.advise(PAGE, ACTIONS)
        assert advice.withheld
        assert (advice.text, advice.recalled, advice.encouraged) == ("", (), ())
    with memory.episode("buy a red kettle", id=some(False)) as episode:
        assert not episode.advise(PAGE, ACTIONS).withheld


def test_without_control_nothing_is_written_or_withheld() -> None:
    """No coin, no trace; episodes that never ask for advice have none under a control, too."""
    plain, controlled = rlem.open(":memory:"), rlem.open(":memory:", control=0.5)
    assert [play(plain, f"e{i}") for i in range(20)] == [False] + [True] * 19
    for i in range(5):
        with controlled.episode("t", id=f"e{i}") as episode:
            episode.record("click[buy]", 1.0, PAGE, ACTIONS)
    assert {e.controlled for memory in (plain, controlled) for e in memory.episodes()} == {None}


@pytest.mark.parametrize(
    ("end", "reward", "outcome"),
    [
        ({}, 1.5, 1.5),
        ({}, 7.0, 2.0),
        ({}, -3.0, -1.0),
        ({"success": True}, 0.0, 2.0),
        ({"success": False}, 1.5, -1.0),
        ({"truncated": True}, 0.5, 0.5),
    ],
)
def test_the_outcome_is_what_the_caller_says_or_the_reward(
    end: dict[str, Any], reward: float, outcome: float
) -> None:
    """Success is the end of the range, a reward is cut to it."""
    memory = rlem.open(":memory:", control=0.5, reward_range=(-1, 2))
    play(memory, "e", reward=reward, **end)
    assert next(memory.episodes()).outcome == outcome


def test_episodes_that_fall_count_as_the_lowest_outcome() -> None:
    """Broken ones whatever they earned, and such as asked but never decided: no arm loses its failures."""
    memory = rlem.open(":memory:", control=0.5)

    def fall() -> None:
        with memory.episode("t", id="broken") as episode:
            episode.advise(PAGE, ACTIONS)
            episode.record("click[buy]", 1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fall()
    with memory.episode("t", id="idle") as episode:
        episode.advise(PAGE, ACTIONS)
    assert [(e.id, e.outcome) for e in memory.episodes()] == [("broken", 0.0), ("idle", 0.0)]
    assert len(memory) == 0
    with pytest.raises(UsageError, match="success='yes'"):
        play(memory, "e", success="yes")


# -- the log ---------------------------------------------------------------------------------------------


def test_what_was_withheld_survives_the_file_and_the_export(tmp_path: Path) -> None:
    """Reopened, exported and imported it is what it was; the memories have one hash."""
    path = tmp_path / "a.rlem"
    with rlem.open(path, control=0.3, guard=True, reward_range=(0, 2)) as memory:
        for i in range(12):
            play(memory, f"e{i}", success=i % 2 == 0)
        told, hash_ = list(memory.episodes()), memory.hash()
        memory.export(tmp_path / "a.jsonl")
    assert any(e.controlled and e.controlled.tried for e in told)
    with rlem.open(path) as again, rlem.open(tmp_path / "b.rlem") as other:
        assert list(again.episodes()) == told
        other.import_(tmp_path / "a.jsonl", trust="verified")
        assert (again.hash(), other.hash()) == (hash_, hash_)
        assert [e.controlled for e in other.episodes()] == [e.controlled for e in told]


def test_logs_without_control_keep_their_hash() -> None:
    """The hash that such a memory had before there was a control."""
    memory = ExperienceMemory(InMemoryStore())
    page = Situation(task="buy a kettle", observation="a page", actions=("click[buy]", "click[back]"))
    steps = [
        Transition(situation=page, action=a, reward=r) for a, r in (("click[buy]", 1.0), ("click[back]", 0.0))
    ]
    memory.record(Episode(id="one", task="buy a kettle", transitions=(steps[0],)))
    memory.record(Episode(id="two", task="buy a kettle", transitions=(steps[1],), status="broken", cause="x"))
    assert memory.hash() == "152f3279bc583f5f796611d267b4923ae2ea0e0e68d0f40d4bc658b74b2561e3"
    assert "controlled" not in episode_to_json(next(memory.episodes()))


@given(
    chance=st.floats(0.001, 0.999),
    withheld=st.booleans(),
    success=st.none() | st.booleans(),
    tried=st.lists(st.tuples(st.text(max_size=5), st.booleans()), max_size=3),
)
def test_any_control_comes_back_from_json(
    chance: float, withheld: bool, success: bool | None, tried: list[tuple[str, bool]]
) -> None:
    """Through the text of an export."""
    controlled = Controlled(
        control=Control(chance=chance, low=-1, guard=True),
        withheld=withheld,
        success=success,
        tried=tuple(tried),
    )
    episode = Episode(id="e", task="t", transitions=(), controlled=controlled)
    assert episode_from_json(json.loads(json.dumps(episode_to_json(episode)))) == episode


@pytest.mark.parametrize(
    "change",
    [
        {"withheld": 1},
        {"success": "yes"},
        {"tried": [["key"]]},
        {"tried": [[1, True]]},
        {"tried": None},
        {"control": {"chance": 2}},
        {"control": {"chances": 0.2}},
        {"control": None},
    ],
)
def test_a_damaged_control_is_refused(change: dict[str, Any]) -> None:
    """Each part must be there and of its kind."""
    controlled = Controlled(control=Control(chance=0.2), withheld=False)
    data = episode_to_json(Episode(id="e", task="t", transitions=(), controlled=controlled))
    with pytest.raises(DataError, match="controlled"):
        episode_from_json(data | {"controlled": data["controlled"] | change})


# -- the effect ------------------------------------------------------------------------------------------


def test_the_effect_is_that_of_the_outcomes_fed_by_hand(tmp_path: Path) -> None:
    """In the log's order; a second handle, one without control and one that looks late agree."""
    rng = random.Random(3)
    by_hand = LiveEffect(control=0.3)
    with (
        rlem.open(tmp_path / "a.rlem", control=0.3) as memory,
        rlem.open(tmp_path / "a.rlem", control=0.3) as other,
    ):
        for i in range(60):
            outcome = rng.random()
            play(memory if i % 3 else other, f"e{i}", reward=outcome)
            by_hand = by_hand.after(outcome, withheld=coin(0.3, 0, f"e{i}"))
            if i % 7 == 0:
                assert memory.effect().estimate == by_hand.interval().estimate
        found = memory.effect()
        assert other.effect() == found
        assert LiveInterval(
            **{name: getattr(found, name) for name in ("estimate", "low", "high", "shown", "withheld")}
        ) == (by_hand.interval())
        with rlem.open(tmp_path / "a.rlem") as plain:
            assert plain.effect() == found
        assert (memory.at(memory.log()[-1].revision).effect(), found.left_out) == (found, 0)


def test_a_forgotten_episode_is_no_evidence() -> None:
    """After forgetting, the effect is that of a memory which never saw them; a correction moves it."""
    memory, never = (rlem.open(":memory:", control=0.4) for _ in range(2))
    for i in range(30):
        play(memory, f"e{i}", reward=i % 3 / 2)
        if i % 5:
            play(never, f"e{i}", reward=i % 3 / 2)
    before = memory.effect()
    for i in range(0, 30, 5):
        memory.forget(episode=f"e{i}")
    assert memory.effect() == never.effect() != before
    name = next(f"e{i}" for i in range(1, 5) if i % 3 == 0)
    memory.correct(name, {0: 1.0})
    assert memory.effect() != never.effect()


def test_what_was_played_under_another_control_is_left_out_and_counted() -> None:
    """Of one log, each control has its own effect; what is not verified is in none."""
    one = rlem.open(":memory:", control=0.3)
    store = one.experience_memory
    for i in range(10):
        play(one, f"a{i}")
    two = rlem.Memory(store, control=0.5)
    assert (two.effect().shown + two.effect().withheld, two.effect().left_out) == (0, 10)
    for i in range(4):
        play(two, f"b{i}")
    with one.episode("t", trust="unverified") as episode:
        episode.advise(PAGE, ACTIONS)
        episode.record("click[buy]", 1.0)
    found = [memory.effect() for memory in (one, two, rlem.Memory(store))]
    assert [(f.control.chance, f.shown + f.withheld, f.left_out) for f in found] == [
        (0.3, 10, 5),
        (0.5, 4, 11),
        (0.5, 4, 11),
    ]


def test_without_any_controlled_episode_the_effect_is_not_known() -> None:
    """An error that says what to do; under a control, the whole range."""
    memory = rlem.open(":memory:")
    play(memory, "e")
    with pytest.raises(UsageError, match=r"control=0\.2"):
        memory.effect()
    fresh = rlem.open(":memory:", control=0.2).effect()
    assert (fresh.low, fresh.high, fresh.shown, fresh.withheld) == (-1, 1, 0, 0)


def test_words_of_an_effect() -> None:
    """Points for shares, plain numbers for rewards, and why where nothing is known."""
    found = LiveInterval(estimate=0.123, low=-0.05, high=0.3, shown=80, withheld=20)
    assert effect_words(found) == (
        "memory's effect: +12.3 points (95 % interval −5.0 to +30.0), 80 shown, 20 withheld; "
        "valid at any time"
    )
    assert "+0.123 (95 % interval −0.05 to +0.3)" in effect_words(found, high=10)
    assert effect_words(replace(found, withheld=0)).endswith("none of 80 episodes was played without it")
    assert effect_words(replace(found, shown=0)).endswith("none of 20 episodes was played with it")
    assert effect_words(replace(found, shown=0, withheld=0)).endswith("no episode was played yet")
    assert muted_words(["", "a" * 32]) == "muted for harm: the whole memory and 1 experience (aaaaaaaa)"
    assert muted_words([]) == "muted for harm: nothing"


# -- the guard -------------------------------------------------------------------------------------------

PAGES = {"bad": "a dark cellar full of rats", "good": "a bright kitchen with a stove"}


def guarded_life(episodes: int, obeys: Callable[[str, bool], float]) -> rlem.Memory:
    """An agent that meets two pages in turn; ``obeys(page, shown)`` is its chance of success."""
    memory = rlem.open(":memory:", control=0.4, guard=True, k=1, seed=5)
    rng = random.Random(8)
    for name, page in PAGES.items():
        with memory.episode("tidy up", id=name) as episode:
            episode.record("click[buy]", 1.0, page, ACTIONS)
    for i in range(episodes):
        name = "bad" if i % 2 else "good"
        with memory.episode("tidy up", id=f"e{i}") as episode:
            advice = episode.advise(PAGES[name], ACTIONS)
            shown = any(r.experience.situation.observation == PAGES[name] for r in advice.recalled)
            episode.end(success=rng.random() < obeys(name, shown))
    return memory


def test_the_guard_mutes_what_misleads_and_nothing_else() -> None:
    """The misleading experience is never advised again, the harmless one is; both stay in the memory."""
    memory = guarded_life(500, lambda page, shown: 0.05 if page == "bad" and shown else 0.9)
    keys = {e.situation.observation: e.key for e in memory.experiences()}
    assert [item.key for item in memory.muted()] == [keys[PAGES["bad"]]]
    item = memory.muted()[0]
    assert item.evidence > 80, "an experience must reach 2 / error rate at the least"
    assert item.effect.high < 0
    assert len(memory) == 2
    there = [memory.advise(Situation(task="tidy up", observation=page)) for page in PAGES.values()]
    assert [[r.experience.key for r in advice.recalled] for advice in there] == [[keys[PAGES["good"]]]] * 2
    with memory.episode("tidy up") as episode:
        for _ in range(5):
            assert keys[PAGES["bad"]] not in [r.experience.key for r in episode.advise(PAGES["bad"]).recalled]


def test_a_memory_that_harms_as_a_whole_is_muted() -> None:
    """Then there is no advice and no coin, and what comes after does not count."""
    memory = guarded_life(300, lambda page, shown: 0.05 if shown else 0.95)
    assert MEMORY in [item.key for item in memory.muted()]
    found = memory.effect()
    assert found.high < 0.2
    assert found.shown + found.withheld < 300
    with memory.episode("tidy up", id="last") as episode:
        assert episode.advise(PAGES["good"], ACTIONS).withheld
        episode.record("click[buy]", 1.0)
    assert [e.controlled for e in memory.episodes()][-1] is None
    assert memory.advise(Situation(task="tidy up", observation=PAGES["good"])).withheld
    assert (
        not rlem.Memory(memory.experience_memory)
        .advise(Situation(task="tidy up", observation=PAGES["good"]))
        .withheld
    ), "without a guard nothing is muted"


def test_others_stand_in_for_what_is_hidden() -> None:
    """An episode still gets k experiences: the next most similar ones, in their order."""
    memory = rlem.open(":memory:", k=2)
    for i in range(9):
        with memory.episode("t", id=str(i)) as episode:
            episode.record("click[buy]", 1.0, "page " + "a " * i, ACTIONS)
    situation = Situation(task="t", observation="page")
    ranked = [r.experience.key for r in memory.recall(situation, 9)]
    for hidden in (set(), {0}, {0, 1}, {1, 2, 3, 4, 5}, set(range(8)), set(range(9))):
        asked: list[str] = []

        def hides(key: str, hidden: set[int] = hidden, asked: list[str] = asked) -> bool:
            asked.append(key)
            return ranked.index(key) in hidden

        advice = memory.advise(situation, hides=hides)
        left = [key for i, key in enumerate(ranked) if i not in hidden][:2]
        assert [r.experience.key for r in advice.recalled] == left
        last = ranked.index(left[-1]) if len(left) == 2 else 8
        assert set(asked) == set(ranked[: last + 1]), "no coin for what would not have been shown"


def test_the_wired_guard_keeps_its_error_rate() -> None:
    """Of 200 logs of 250 episodes in which nothing does harm, at most 5 % (10) have anything muted.

    Five experiences, which come up by chance; coins as in production; outcomes that no coin changes.
    """
    muted = 0
    for seed in range(200):
        rng, tally = random.Random(seed), Tally(Control(chance=0.3, guard=True))
        for i in range(250):
            trial = Trial(0.3, seed, i)
            held = coin(0.3, seed, i)
            for key in "abcde":
                if not held and rng.random() < 0.4:
                    trial.hides(key)
            tally.add(float(rng.random() < 0.5), withheld=held, tried=trial.tried.items())
        muted += bool(tally.muted)
    assert muted <= 10


def test_handles_agree_on_what_is_muted() -> None:
    """What one derived step by step, another derives at once."""
    memory = guarded_life(300, lambda page, shown: 0.05 if page == "bad" and shown else 0.9)
    late = LogEvidence(memory.experience_memory)
    assert late.muted() == memory.muted() != []
    assert late.effect() == memory.effect()


def test_the_commands_tell_what_is_muted(tmp_path: Path) -> None:
    """`rlem memory effect` gives the evidence, `rlem memory show` a line; the experience is still shown."""
    page = Situation(task="tidy up", observation=PAGES["bad"], actions=tuple(ACTIONS))
    step = Transition(situation=page, action="click[buy]", reward=0.0)
    control = Control(chance=0.5, guard=True)
    with rlem.open(tmp_path / "a.rlem") as memory:
        for i in range(100):
            held = i % 2 == 1
            controlled = Controlled(
                control=control, withheld=i % 4 > 1, tried=((page.key, held),), success=held
            )
            episode = Episode(id=f"e{i:03d}", task="tidy up", transitions=(step,), controlled=controlled)
            memory.experience_memory.record(episode)
    told = inside("memory", "effect", "a.rlem", cwd=tmp_path).stdout
    assert f"muted for harm: 1 experience ({page.key[:8]})" in told
    assert f"  {page.key[:8]}  evidence of harm" in told
    shown = inside("memory", "show", "a.rlem", cwd=tmp_path).stdout
    assert f"muted for harm: 1 experience ({page.key[:8]})" in " ".join(shown.split())
    assert f"\n{page.key[:8]} " in shown
    data = json.loads(inside("memory", "effect", "a.rlem", "--json", cwd=tmp_path).stdout)
    assert [item["key"] for item in data["muted"]] == [page.key]


STEPS = st.lists(
    st.tuples(st.sampled_from("aabbfcl"), st.integers(0, 30), st.sampled_from([0.0, 0.5, 1.0])), max_size=25
)


@given(STEPS)
def test_following_the_log_gives_what_reading_it_gives(steps: list[tuple[str, int, float]]) -> None:
    """Two handles that record, forget, correct and look in any order end where a fresh one begins."""
    store = ExperienceMemory(InMemoryStore())
    handles = {name: rlem.Memory(store, control=0.4, guard=True) for name in "ab"}
    there: list[str] = []
    for number, (what, place, reward) in enumerate(steps):
        if what in handles:
            there.append(f"e{number}")
            play(handles[what], there[-1], reward=reward)
        elif what == "l":
            handles["a"].effect()
        elif there:
            name = there[place % len(there)]
            if what == "f":
                there.remove(name)
                store.forget(episode=name)
            else:
                store.correct(name, {0: reward + 2})
                there.remove(name)  # not twice to the same reward
    fresh = LogEvidence(store, Control(chance=0.4, guard=True))
    assert handles["a"].effect() == handles["b"].effect() == fresh.effect()
    assert handles["a"].muted() == fresh.muted()
