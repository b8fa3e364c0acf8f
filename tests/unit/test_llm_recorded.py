"""Record and replay."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlem.core.errors import (
    BudgetExceededError,
    ClosedError,
    DataError,
    ModelError,
    ModelResponseError,
    ModelUnavailableError,
    UsageError,
)
from rlem.llm.base import Completion, LanguageModel, Prompt
from rlem.llm.recorded import RecordedModel
from rlem.testing.scripted_model import ScriptedModel


def ask(model: LanguageModel, user: str, **options: object) -> Completion:
    """One request with a constant system part."""
    return model.complete(Prompt(system="Choose.", user=user), **options)  # type: ignore[arg-type]


def record(path: Path, *answers: str | ModelError) -> RecordedModel:
    """A recorder of a scripted model."""
    return RecordedModel(path, ScriptedModel(list(answers)), mode="record")


def test_a_replay_gives_the_same_completions_and_name(tmp_path: Path) -> None:
    """Text, usage, finish reason and name of the recording come back, odd characters included."""
    path = tmp_path / "runs" / "answers.jsonl"
    with_recorder = record(path, "click[buy]", "红 \u2028 \ud800 \x00")
    recorded = [ask(with_recorder, "one", seed=1, stop=["x"]), ask(with_recorder, "tw\ud800", temperature=0)]
    with_recorder.close()
    replay = RecordedModel(path)
    assert [ask(replay, "one", seed=1, stop=["x"]), ask(replay, "tw\ud800", temperature=0.0)] == recorded
    assert replay.name == with_recorder.name == "recorded:scripted"
    assert replay.count_tokens("a text") == with_recorder.count_tokens("a text")


def test_every_option_is_part_of_the_request(tmp_path: Path) -> None:
    """A replay with another max_tokens, temperature, stop or seed is a miss that names what differs."""
    path = tmp_path / "answers.jsonl"
    record(path, "answer").complete(Prompt(system="s", user="u"), seed=3)
    replay = RecordedModel(path)
    changes: dict[str, object] = {"max_tokens": 9, "temperature": 0.7, "stop": ["."], "seed": 4}
    for name, value in changes.items():
        options = {"seed": 3} | {name: value}
        with pytest.raises(ModelUnavailableError, match=rf"same prompt was recorded with {name}="):
            replay.complete(Prompt(system="s", user="u"), **options)  # type: ignore[arg-type]
    assert replay.complete(Prompt(system="s", user="u"), seed=3).text == "answer"


def test_a_missing_prompt_is_told_with_the_nearest(tmp_path: Path) -> None:
    """The message shows where the nearest recorded prompt differs; an empty recording says so."""
    path = tmp_path / "answers.jsonl"
    recorder = record(path, "a", "b")
    with pytest.raises(ModelUnavailableError, match="no answers at all"):
        ask(RecordedModel(path), "anything")
    ask(recorder, "a page with a red kettle")
    ask(recorder, "something else")
    with pytest.raises(ModelUnavailableError, match=r"never recorded .*character 23 .*'red kettle'.*'blue"):
        ask(RecordedModel(path), "a page with a blue kettle")


def test_repeated_requests_replay_in_their_order_and_no_further(tmp_path: Path) -> None:
    """The n-th of equal requests gets the n-th answer; one more than recorded is a miss."""
    path = tmp_path / "answers.jsonl"
    recorder = record(path, "first", "other", "second")
    for user in ("same", "different", "same"):
        ask(recorder, user)
    replay = RecordedModel(path)
    assert [ask(replay, user).text for user in ("same", "same", "different")] == ["first", "second", "other"]
    with pytest.raises(ModelUnavailableError, match=r"holds 2 answer\(s\)"):
        ask(replay, "same")


def test_threads_do_not_change_what_a_replay_gives(tmp_path: Path) -> None:
    """Sixteen threads record and replay distinct requests; each gets its own answer again."""
    path = tmp_path / "answers.jsonl"
    inner = ScriptedModel(lambda prompt: prompt.user.upper())

    def everyone(model: RecordedModel) -> dict[int, str]:
        texts: dict[int, str] = {}

        def work(number: int) -> None:
            texts[number] = ask(model, f"page {number % 8}", seed=number).text

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return texts

    expected = {number: f"PAGE {number % 8}" for number in range(16)}
    assert everyone(RecordedModel(path, inner, mode="record")) == expected
    assert everyone(RecordedModel(path)) == expected


def test_recording_again_asks_only_for_what_is_missing(tmp_path: Path) -> None:
    """A resumed run gets its old answers from the file and pays for the new ones only."""
    path = tmp_path / "answers.jsonl"
    ask(record(path, "first"), "one")
    again = record(path, "second")
    assert ask(again, "one").text == "first"
    assert ask(again, "two").text == "second"
    replay = RecordedModel(path)
    assert [ask(replay, "one").text, ask(replay, "two").text] == ["first", "second"]


def test_failures_are_replayed_and_asked_again_by_a_recording(tmp_path: Path) -> None:
    """A failure replays with its class and message; a new recording replaces it by an answer."""
    path = tmp_path / "answers.jsonl"
    with pytest.raises(ModelResponseError, match="gibberish"):
        ask(record(path, ModelResponseError("gibberish")), "one")
    with pytest.raises(ModelResponseError, match=r"^gibberish$"):
        ask(RecordedModel(path), "one")
    assert ask(record(path, "better"), "one").text == "better"
    assert ask(RecordedModel(path), "one").text == "better"


def test_a_recorded_error_of_no_model_stays_in_the_model_branch(tmp_path: Path) -> None:
    """A file cannot make a replay raise a class outside of the ModelError branch."""
    path = tmp_path / "answers.jsonl"
    with pytest.raises(BudgetExceededError):
        ask(record(path, BudgetExceededError("spent")), "one")
    for name in ("DataError", "difflib", "nothing"):
        path.write_text(path.read_text().replace("BudgetExceededError", name))
        with pytest.raises(ModelError, match="spent"):
            ask(RecordedModel(path), "one")
        path.write_text(path.read_text().replace(name, "BudgetExceededError"))


@settings(max_examples=30)
@given(cut=st.integers(min_value=0, max_value=10_000))
def test_a_file_cut_anywhere_is_recorded_on(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """After a crash at any byte the whole lines stay, the torn one goes, and recording completes the file."""
    path = tmp_path_factory.mktemp("torn") / "answers.jsonl"
    users = ["one", "two", "three"]
    recorder = record(path, *users)
    for user in users:
        ask(recorder, user)
    recorder.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: cut % (len(whole) + 1)])
    kept = max(path.read_bytes().count(b"\n") - 1, 0)
    again = record(path, *users[kept:])
    assert [ask(again, user).text for user in users] == users
    again.close()
    assert path.read_bytes() == whole


def test_a_replay_ignores_a_torn_last_line_and_leaves_the_file_alone(tmp_path: Path) -> None:
    """Replay never writes."""
    path = tmp_path / "answers.jsonl"
    ask(record(path, "first"), "one")
    torn = path.read_bytes() + b'{"key": "ab'
    path.write_bytes(torn)
    assert ask(RecordedModel(path), "one").text == "first"
    assert path.read_bytes() == torn


def test_a_write_that_fails_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up in the middle of a line is a DataError; the file stays whole and usable."""
    path = tmp_path / "answers.jsonl"
    recorder = record(path, "first", "second", "second again")
    ask(recorder, "one")
    whole, write = path.read_bytes(), os.write
    calls = iter([True, False])

    def full(file: int, data: bytes) -> int:
        if next(calls):
            return write(file, data[:7])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(DataError, match="No space left"):
            ask(recorder, "two")
    assert path.read_bytes() == whole
    ask(recorder, "three")
    assert ask(RecordedModel(path), "three").text == "second again"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no rlem recording"),
        (b"hello\n", "line 1 is broken"),
        (b'{"format": "other"}\n', "no rlem recording"),
        (b'{"format": "rlem-recording", "version": 99}\n', "version 99"),
        (b'{"format": "rlem-recording", "version": 1, "model": "m"}\n{"key"\n{}\n', "line 2 is broken"),
        (b'{"format": "rlem-recording", "version": 1, "model": "m"}\n[]\n', "line 2 is broken"),
        (b'{"format": "rlem-recording", "version": 1, "model": "m"}\n{"key": "k"}\n', "line 2 is broken"),
        (
            b'{"format": "rlem-recording", "version": 1, "model": "m"}\n'
            b'{"key": "k", "occurrence": 0, "text": 5, "usage": {}, "finish_reason": "stop"}\n',
            "line 2 is broken",
        ),
    ],
)
def test_a_broken_recording_says_where(tmp_path: Path, content: bytes, says: str) -> None:
    """The message names the file and the line; no error of a decoder leaks."""
    path = tmp_path / "answers.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"answers\.jsonl.*{says}"):
        RecordedModel(path)


def test_a_foreign_file_is_not_written_over(tmp_path: Path) -> None:
    """Recording to a file that is something else, or of another model, is refused and changes nothing."""
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    with pytest.raises(DataError):
        record(path, "x")
    assert path.read_text() == "my notes"
    other = tmp_path / "answers.jsonl"
    RecordedModel(other, ScriptedModel([], name="other"), mode="record")
    with pytest.raises(DataError, match="'other', not of 'scripted'"):
        record(other, "x")


def test_a_missing_file_and_a_wrong_mode_are_told(tmp_path: Path) -> None:
    """A replay of nothing is a DataError; record without a model, or replay with one, a UsageError."""
    with pytest.raises(DataError, match="cannot be read"):
        RecordedModel(tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match="cannot be"):
        record(tmp_path, "x")
    with pytest.raises(UsageError, match="inner"):
        RecordedModel(tmp_path / "x", mode="record")
    with pytest.raises(UsageError, match="inner"):
        RecordedModel(tmp_path / "x", ScriptedModel([]), mode="replay")
    with pytest.raises(UsageError, match="'rec'"):
        RecordedModel(tmp_path / "x", mode="rec")  # type: ignore[arg-type]


def test_a_closed_recording_is_not_used(tmp_path: Path) -> None:
    """close may be called twice; a call after it is a ClosedError."""
    recorder = record(tmp_path / "answers.jsonl", "x")
    recorder.close()
    recorder.close()
    with pytest.raises(ClosedError):
        ask(recorder, "one")


def test_the_file_shows_people_what_was_asked(tmp_path: Path) -> None:
    """Each line holds the whole request and the answer, as plain JSON."""
    path = tmp_path / "answers.jsonl"
    ask(record(path, "first"), "one", seed=7)
    line = json.loads(path.read_text().splitlines()[1])
    assert line["request"]["prompt"] == {"system": "Choose.", "user": "one"}
    assert (line["request"]["seed"], line["text"], line["usage"]["calls"]) == (7, "first", 1)
