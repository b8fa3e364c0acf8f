"""The public face: rlem.open, episodes, advice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rlem
from rlem.core.errors import (
    ClosedError,
    DataError,
    ExperienceMemoryError,
    MemoryReadOnlyError,
    UnknownNameError,
    UsageError,
)
from rlem.core.types import Episode, Situation, Transition
from rlem.values import ValueConfig

ACTIONS = ["click[buy]", "click[back]", "click[help]"]


@pytest.fixture
def memory() -> Iterator[rlem.Memory]:
    """A new memory in this process."""
    with rlem.open(":memory:", reward_range=(0.0, 1.0)) as memory:
        yield memory


def play(memory: rlem.Memory, action: str, reward: float, **head: Any) -> None:
    """One episode of one decision."""
    with memory.episode(task="buy a red kettle", **head) as episode:
        episode.advise("a page with a kettle", ACTIONS)
        episode.record(action, reward=reward)


def test_the_five_lines(tmp_path: Path) -> None:
    """What the README shows: open, begin, ask, note; the next run is advised by what was noted."""
    memory = rlem.open(tmp_path / "shop.rlem")
    for action, reward in (("click[back]", 0.0), ("click[buy]", 1.0)):
        with memory.episode(task="buy a red kettle under 40 dollars") as episode:
            advice = episode.advise("a page with a kettle", ACTIONS)
            episode.record(action, reward=reward)
    memory.close()
    assert advice.text  # the second episode was advised by the first
    with (
        rlem.open(str(tmp_path / "shop.rlem")) as memory,
        memory.episode(task="buy a blue kettle") as episode,
    ):
        advice = episode.advise("a page with a kettle", ACTIONS)
        assert [(line.action, line.value, line.visits) for line in advice.encouraged] == [
            ("click[buy]", 1.0, 1)
        ]
        assert [line.action for line in advice.discouraged] == ["click[back]"]
        assert advice.encouraged[0].task == "buy a red kettle under 40 dollars"
        assert 0.5 < advice.encouraged[0].similarity < 1.0
        assert "click[buy] -> 1.0" in advice.text


def test_an_empty_memory_advises_nothing(memory: rlem.Memory) -> None:
    """No experience, no advice: an empty text, and the answer is false."""
    advice = memory.episode(task="buy a kettle").advise("a page", ACTIONS)
    assert not advice
    assert (advice.text, advice.encouraged, advice.discouraged, advice.untried, advice.recalled) == (
        "",
        (),
        (),
        (),
        (),
    )


def test_the_most_similar_exemplar_stands_last(memory: rlem.Memory) -> None:
    """Lines go by rank, best first; in the text the best one is nearest to what the prompt goes on with."""
    for page in ("a page with a kettle", "ships"):
        with memory.episode(task="buy a red kettle") as episode:
            episode.record("click[buy]", 1.0, page, ACTIONS)
    advice = memory.advise(Situation(task="buy a red kettle", observation="a page with a kettle"))
    assert [line.similarity for line in advice.encouraged] == sorted(
        (line.similarity for line in advice.encouraged), reverse=True
    )
    assert advice.text.index("ships") < advice.text.index("a page with a kettle")
    assert advice.text.index("Example 2") < advice.text.index("Example 1")


def test_record_takes_the_last_advised_situation(memory: rlem.Memory) -> None:
    """Observation, actions and subtask default to those of the last advise; each can be given."""
    with memory.episode(task="t") as episode:
        episode.advise("page one", ["a", "b"], subtask="first")
        episode.record("a")
        episode.record("b", 1.0, "page two")
        episode.record("b", 1.0, actions=["c"], reason="why not", subtask="")
    (found,) = memory.episodes()
    seen = [(t.situation.observation, t.situation.actions, t.situation.subtask) for t in found.transitions]
    assert seen == [
        ("page one", ("a", "b"), "first"),
        ("page two", ("a", "b"), "first"),
        ("page one", ("c",), ""),
    ]
    assert [(t.action, t.reward, t.reason) for t in found.transitions] == [
        ("a", 0.0, ""),
        ("b", 1.0, ""),
        ("b", 1.0, "why not"),
    ]


def test_record_without_a_situation_says_what_to_do(memory: rlem.Memory) -> None:
    """Before the first advise an observation must be given."""
    episode = memory.episode(task="t")
    with pytest.raises(UsageError, match=r"call advise\(observation, actions\) before it, or pass it"):
        episode.record("a")
    episode.record("a", observation="page")
    episode.end()
    assert memory.experience_memory.episode_count() == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda e: e.record(None, observation="p"),
        lambda e: e.record(7, observation="p"),
        lambda e: e.record("a", reward=float("nan"), observation="p"),
        lambda e: e.record("a", reward="1", observation="p"),
        lambda e: e.record("a", reward=None, observation="p"),
        lambda e: e.record("a", observation=7),
        lambda e: e.record("a", observation="p", actions="go"),
        lambda e: e.record("a", observation="p", actions=[1]),
        lambda e: e.advise("p", "go"),
        lambda e: e.advise(None, ["go"]),
        lambda e: e.advise("p", ["go"], subtask=None),
        lambda e: e.advise("p", [None]),
    ],
)
def test_wrong_types_are_refused_at_once(
    memory: rlem.Memory, call: Callable[[rlem.OpenEpisode], object]
) -> None:
    """A UsageError where the mistake is, not at the end of the episode; what was noted before is kept."""
    with memory.episode(task="t") as episode:
        episode.record("fine", 1.0, "p")
        with pytest.raises(UsageError):
            call(episode)
    (found,) = memory.episodes()
    assert [t.action for t in found.transitions] == ["fine"]


def test_an_exception_in_the_block_makes_a_broken_episode(memory: rlem.Memory) -> None:
    """The exception goes on its way; the episode is stored as broken, with the cause, and teaches nothing."""

    def fall(error: BaseException, **head: str) -> None:
        with memory.episode(task="t", **head) as episode:  # type: ignore[arg-type]
            episode.record("a", 1.0, "page")
            raise error

    with pytest.raises(RuntimeError, match="the shop fell"):
        fall(RuntimeError("the shop fell" + "!" * 1000), id="e1")
    (found,) = memory.episodes()
    assert (found.id, found.status) == ("e1", "broken")
    assert found.cause.startswith("RuntimeError: the shop fell!!")
    assert len(found.cause) == 500
    assert len(memory) == 0
    with pytest.raises(KeyboardInterrupt):
        fall(KeyboardInterrupt())
    assert [e.status for e in memory.episodes()] == ["broken", "broken"]


def test_an_episode_without_decisions_leaves_no_trace(memory: rlem.Memory) -> None:
    """Neither by the block's end, nor by end(), nor by an exception."""
    before = memory.hash()
    with memory.episode(task="t") as episode:
        episode.advise("page", ["a"])
    memory.episode(task="t").end()
    with pytest.raises(RuntimeError), memory.episode(task="t"):
        raise RuntimeError
    assert memory.hash() == before
    assert memory.experience_memory.episode_count() == 0


def test_end_by_truncation() -> None:
    """A cut episode is stored as cut, with the situation reached, whose value may stand for the rest."""
    memory = rlem.open(":memory:", values=ValueConfig(truncation="bootstrap"))
    with memory.episode(task="t") as episode:
        episode.record("go", 4.0, "far", ["go"])
    with memory.episode(task="t", id="cut") as episode:
        episode.record("go", 1.0, "near", ["go"])
        episode.end(truncated=True, observation="far", actions=["go"])
    found = memory.experience_memory.find_episode("cut")
    assert found is not None
    assert found.status == "truncated"
    assert found.final == Situation(task="t", observation="far", actions=("go",))
    assert memory.recall(task="t", observation="near", actions=["go"], k=1)[0].best.q_value == 5.0


def test_an_ended_episode_is_closed(memory: rlem.Memory) -> None:
    """advise, record and end after the end are ClosedErrors that name the episode; it is stored once."""
    with memory.episode(task="t", id="e1") as episode:
        episode.record("a", 1.0, "page")
        episode.end()
    uses: list[Callable[[], object]] = [
        lambda: episode.advise("page"),
        lambda: episode.record("a", observation="page"),
        episode.end,
    ]
    for use in uses:
        with pytest.raises(ClosedError, match="'e1' has ended"):
            use()
    assert memory.experience_memory.episode_count() == 1
    memory.close()
    with pytest.raises(ClosedError):
        memory.recall(task="t", observation="page")


def test_advice_changes_nothing(memory: rlem.Memory) -> None:
    """Asking, explaining and looking leave the hash alone, and the same question has the same answer."""
    play(memory, "click[back]", 0.0)
    before = memory.hash()
    first = memory.episode(task="buy a kettle").advise("a page with a kettle", ACTIONS)
    again = memory.episode(task="buy a kettle").advise("a page with a kettle", ACTIONS)
    assert first == again
    assert first.untried
    assert memory.hash() == before


def test_the_head_of_an_episode_is_kept(memory: rlem.Memory) -> None:
    """id, source, split, task id and model are in the log; without an id a random one is made."""
    play(memory, "a", 1.0, id="e1", source="me", split="train", task_id="t7", model="m")
    play(memory, "a", 1.0)
    one, two = memory.episodes()
    assert (one.id, one.source, one.split, one.task_id, one.model) == ("e1", "me", "train", "t7", "m")
    assert len(two.id) == 32
    with pytest.raises(UsageError, match="trust"):
        play(memory, "a", 1.0, trust="full")
    with pytest.raises(ExperienceMemoryError, match="e1"):
        play(memory, "a", 2.0, id="e1")


@pytest.mark.parametrize("n", [None, 1])
def test_what_is_not_verified_never_encourages(n: int | None) -> None:
    """However good it claims to be: it informs, it does not encourage; quarantine informs nobody."""
    memory = rlem.open(":memory:", values=ValueConfig(n=n))
    play(memory, "click[back]", 100.0, trust="unverified")
    advice = memory.episode(task="buy a red kettle").advise("a page with a kettle", ACTIONS)
    assert advice.encouraged == ()
    assert advice.recalled[0].best.q_value == 100.0
    play(memory, "click[buy]", 0.25)
    advice = memory.episode(task="buy a red kettle").advise("a page with a kettle", ACTIONS)
    assert [(line.action, line.value) for line in advice.encouraged] == [("click[buy]", 0.25)]
    known = memory.experiences()
    play(memory, "click[help]", 100.0, trust="quarantined")
    assert memory.experiences() == known


def test_open_reports_what_cannot_be_opened(tmp_path: Path) -> None:
    """Each mistake is an error of ours that names the place or the value."""
    with pytest.raises(UsageError, match="postgresql"):
        rlem.open("mysql://host/db")
    with pytest.raises(ExperienceMemoryError, match="is a folder"):
        rlem.open(tmp_path)
    with pytest.raises(ExperienceMemoryError, match="does not exist"):
        rlem.open(tmp_path / "no" / "m.rlem")
    with pytest.raises(ExperienceMemoryError, match="no memory file"):
        rlem.open(tmp_path / "m.rlem", read_only=True)
    with pytest.raises(UnknownNameError, match="did you mean 'webshop'"):
        rlem.open(":memory:", similarity="webshp")
    with pytest.raises(UsageError, match="max_experiences=0"):
        rlem.open(":memory:", max_experiences=0)
    with pytest.raises(UsageError, match="k=0"):
        rlem.open(":memory:", k=0)
    with pytest.raises(UnknownNameError):
        rlem.open(":memory:", style="rhyme")
    assert list(tmp_path.iterdir()) == []


def test_settings_belong_to_the_file(tmp_path: Path) -> None:
    """Left out they are the file's own; each given one must match, by itself; others are refused."""
    path = tmp_path / "m.rlem"
    rlem.open(path, similarity="webshop", values=ValueConfig(n=2), max_experiences=7).close()
    matching: list[dict[str, Any]] = [
        {},
        {"values": ValueConfig(n=2)},
        {"similarity": "webshop"},
        {"max_experiences": 7},
        {"values": ValueConfig(n=2), "max_experiences": 7},
    ]
    for given in matching:
        with rlem.open(path, **given) as memory:
            assert memory.experience_memory.config.max_experiences == 7
    others: list[dict[str, Any]] = [{"values": ValueConfig()}, {"similarity": "default"}, {"max_actions": 3}]
    for other in others:
        with pytest.raises(UsageError, match="made with other settings"):
            rlem.open(path, **other)


def test_a_failed_open_lets_go_of_the_file(tmp_path: Path) -> None:
    """After a refused opening no connection is left: no -wal stays behind."""
    path = tmp_path / "m.rlem"
    rlem.open(path).close()
    with pytest.raises(UsageError):
        rlem.open(path, max_actions=3)
    assert [p.name for p in tmp_path.iterdir()] == ["m.rlem"]


def test_a_read_only_memory_advises_and_refuses_to_record(tmp_path: Path) -> None:
    """For evaluation: the same advice, and no write by accident."""
    path = tmp_path / "m.rlem"
    with rlem.open(path) as memory:
        play(memory, "click[buy]", 1.0)
    with rlem.open(path, read_only=True) as memory:
        episode = memory.episode(task="buy a red kettle")
        assert episode.advise("a page with a kettle", ACTIONS).encouraged
        episode.record("click[buy]", 1.0)
        with pytest.raises(MemoryReadOnlyError):
            episode.end()
        with pytest.raises(ClosedError):  # a failed commit is not kept for a second try
            episode.end()


def test_explain_and_forget(memory: rlem.Memory) -> None:
    """A value is led back to its episodes; without them it is another value."""
    play(memory, "click[buy]", 1.0, id="good", source="me")
    play(memory, "click[buy]", 0.0, id="bad", source="you")
    (line,) = memory.advise(Situation(task="buy a red kettle", observation="a page with a kettle")).encouraged
    assert line.value == 0.5
    assert line.interval is not None
    assert [(c.episode.id, c.return_) for c in memory.explain(line.key, "click[buy]")] == [
        ("good", 1.0),
        ("bad", 0.0),
    ]
    assert memory.forget(source="you") == 1
    (line,) = memory.advise(Situation(task="buy a red kettle", observation="a page with a kettle")).encouraged
    assert line.value == 1.0


def test_moving_and_rebuilding_by_the_public_face(memory: rlem.Memory, tmp_path: Path) -> None:
    """export, import_, rebuild, hash and len go to the same engine."""
    play(memory, "click[buy]", 1.0)
    assert memory.export(tmp_path / "log.jsonl") == 1
    with rlem.open(":memory:") as other:
        assert other.import_(tmp_path / "log.jsonl", trust="keep") == (1, 0)
        assert other.hash() == memory.hash()
        other.rebuild()
        assert (len(other), other.hash()) == (1, memory.hash())


def test_import_of_a_pool(tmp_path: Path) -> None:
    """A pool comes in once; a second time it is there already."""
    path = tmp_path / "pool.yaml"
    path.write_text(
        "? !!python/tuple [page, 'Instruction:buy tea', search]\n"
        ": action_dict:\n"
        "    ? !!python/tuple ['search[tea]', why]\n"
        "    : {number: 2, qvalue: 0.5, reward: 0.0}\n"
        "  other_info: {action_history: [], last_reward: 0.0, number: 1, total_reward: 0.0}\n"
    )
    with rlem.open(":memory:") as memory:
        assert len(memory.import_pool(path, trust="verified").episodes) == 2
        before = memory.hash()
        memory.import_pool(path, trust="verified")
        assert memory.hash() == before
        (line,) = memory.advise(Situation(task="buy tea", observation="page")).encouraged
        assert (line.action, line.value, line.visits) == ("search[tea]", 0.5, 2)
        with pytest.raises(DataError):
            memory.import_pool(tmp_path / "nowhere.yaml")


def test_the_public_names_are_there() -> None:
    """Everything that rlem exports can be taken from it; another name is an AttributeError."""
    for name in rlem.__all__:
        assert getattr(rlem, name) is not None
    assert set(rlem.__all__) == set(dir(rlem))
    assert rlem.Episode is Episode
    assert rlem.Transition is Transition
    with pytest.raises(AttributeError, match="opne"):
        rlem.opne  # noqa: B018


@pytest.mark.parametrize("location", [None, 5, "", b"shop.rlem"])
def test_a_memory_is_at_a_path(location: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no place is a UsageError, and no file of a strange name is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="path"):
        rlem.open(location)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 1.5},
        {"k": "2"},
        {"reward_range": 5},
        {"reward_range": "ab"},
        {"reward_range": (1.0, 0.0)},
        {"reward_range": (float("nan"), 1.0)},
        {"similarity": 3},
        {"max_experiences": "5"},
        {"max_bytes": 0},
    ],
    ids=str,
)
def test_settings_of_the_wrong_kind_are_refused(wrong: dict[str, Any]) -> None:
    """The message names the setting; no TypeError comes from the depths."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        rlem.open(":memory:", **wrong)


def test_arguments_of_the_wrong_kind_are_refused() -> None:
    """Recall, forget, at and branch say what they take."""
    with rlem.open(":memory:") as memory:
        wrongs: list[Callable[[], object]] = [
            lambda: memory.recall(task="a", k=0),
            lambda: memory.recall(task="a", k="2"),  # type: ignore[arg-type]
            lambda: memory.forget(before="2020"),  # type: ignore[arg-type]
            lambda: memory.forget(episode=5),  # type: ignore[arg-type]
            lambda: memory.at("1"),  # type: ignore[arg-type]
            lambda: memory.branch(":memory:"),
        ]
        for wrong in wrongs:
            with pytest.raises(UsageError):
                wrong()
