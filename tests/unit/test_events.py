"""What a run tells other programs: events as JSON lines, scalars for TensorBoard; over kills and resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.stage import corridor_config, records_of

from rlem.core.clock import ManualClock
from rlem.core.errors import MissingExtraError, ModelRejectedError, RunError, UsageError
from rlem.llm.base import LanguageModel, Prompt
from rlem.llm.embedded import EmbeddedReader
from rlem.runner import tensorboard
from rlem.runner.events import Event, EventFile, EventObserver, Observers, Sink
from rlem.runner.folder import RunFolder
from rlem.runner.records import RunConfig
from rlem.runner.setup import make_run
from rlem.runner.tensorboard import TensorBoard, scalars_in
from rlem.testing.scripted_model import ScriptedModel

CONFIG = corridor_config(seeds=[0, 1])


class Kept:
    """A sink that keeps all that it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = False

    def __call__(self, event: Event) -> None:
        """Keeps it."""
        self.events.append(event)

    def close(self) -> None:
        """Notes it."""
        self.closed = True


def run(
    path: Path, *sinks: Sink, model: LanguageModel | None = None, config: RunConfig = CONFIG
) -> RunFolder:
    """Plays (the rest of) a run that tells these sinks."""
    folder = RunFolder(path)
    with EventObserver(config, sinks) as observer:
        make_run(config, folder, model or EmbeddedReader(), observer=Observers([observer])).execute()
    return folder


def dying(calls: int) -> LanguageModel:
    """The embedded reader until so many calls; then its key is refused."""
    reader = EmbeddedReader()

    def answer(prompt: Prompt) -> str:
        if len(model.prompts) > calls:
            raise ModelRejectedError("the key has died")
        return reader.complete(prompt, seed=0).text

    model = ScriptedModel(answer)
    return model


def lines(path: Path) -> list[dict[str, Any]]:
    """The events of a file, without their times."""
    events = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    assert all(isinstance(event.pop("time_s"), float) for event in events)
    return events


def test_events_say_what_the_records_say(tmp_path: Path) -> None:
    """Start with the config, each phase with its episodes in order and their means, and the end."""
    sink = Kept()
    records = records_of(run(tmp_path / "run", sink))
    assert sink.closed
    assert sink.events[0] == {"event": "run-started", "config": CONFIG.model_dump(mode="json")}
    assert sink.events[-1] == {"event": "run-finished"}
    episodes = [event for event in sink.events if event["event"] == "episode"]
    assert [(e["phase"], e["epoch"], e["arm"], e["seed"], e["task_id"], e["reward"]) for e in episodes] == [
        (r.phase, r.epoch, r.arm, r.seed, r.task_id, r.reward) for r in records
    ]
    assert [e["prompt_tokens"] for e in episodes] == [r.usage.prompt_tokens for r in records]
    last = [r for r in records if (r.phase, r.epoch, r.arm, r.seed) == ("eval", 2, "memory", 1)]
    [told] = [
        event
        for event in sink.events
        if event["event"] == "phase-finished"
        and (event["phase"], event["epoch"], event["arm"], event["seed"]) == ("eval", 2, "memory", 1)
    ]
    assert told["episodes"] == len(last) == 3
    assert told["success"] == sum(r.success for r in last) / 3
    assert told["tokens"] == sum(r.usage.prompt_tokens + r.usage.completion_tokens for r in last)
    assert told["memory_size"] == last[-1].memory_size > 0
    started = [event for event in sink.events if event["event"] == "phase-started"]
    assert len(started) == sum(event["event"] == "phase-finished" for event in sink.events) == 2 * 8


def test_what_a_control_withheld_is_told_as_withheld(tmp_path: Path) -> None:
    """The arm of an episode is its record's, and a phase's memory is that of the episodes that had it."""
    sink = Kept()
    config = corridor_config(train_tasks="0:10", skip_solved=False, control=0.4)
    records = [r for r in records_of(run(tmp_path / "run", sink, config=config)) if r.phase == "train"]
    told = [e for e in sink.events if e["event"] == "episode" and e["phase"] == "train"]
    assert [e["arm"] for e in told] == [r.arm for r in records]
    assert {r.arm for r in records} == {"memory", "no-memory"}
    ends = [e for e in sink.events if e["event"] == "phase-finished" and e["phase"] == "train"]
    for end in ends:
        assert end["memory_size"] == max(r.memory_size for r in records if r.epoch == end["epoch"])


def test_a_phase_without_episodes_is_finished_at_once() -> None:
    """Where all tasks were solved and skipped there is no mean."""
    sink = Kept()
    with EventObserver(CONFIG, [sink]) as observer:
        observer.phase("train", 2, "memory", 0, 0)
    assert [event["event"] for event in sink.events[1:3]] == ["phase-started", "phase-finished"]
    assert sink.events[2]["success"] is None


@pytest.mark.parametrize("calls", [3, 40])
def test_stopped_and_resumed_the_events_are_those_of_an_undisturbed_run(tmp_path: Path, calls: int) -> None:
    """A stop says nothing of an end; a torn line is written again; none stands there twice."""
    config = corridor_config(model="scripted")
    whole, path = tmp_path / "whole.jsonl", tmp_path / "new" / "events.jsonl"
    run(tmp_path / "a", EventFile(whole, config), model=dying(999), config=config)
    with pytest.raises(ModelRejectedError):
        run(tmp_path / "b", EventFile(path, config), model=dying(calls), config=config)
    some = lines(path)
    assert some == lines(whole)[: len(some)]
    assert 0 < len(some) < len(lines(whole))
    path.write_bytes(path.read_bytes()[:-20])
    run(tmp_path / "b", EventFile(path, config), model=dying(999), config=config)
    assert lines(path) == lines(whole)
    before = path.read_bytes()
    run(tmp_path / "b", EventFile(path, config), model=dying(0), config=config)
    assert path.read_bytes() == before


def test_events_asked_for_on_resuming_hold_the_whole_run(tmp_path: Path) -> None:
    """What was played before anybody listened is told as well, with the time of the telling."""
    run(tmp_path / "run")
    path = tmp_path / "events.jsonl"
    run(tmp_path / "run", EventFile(path, CONFIG, clock=ManualClock(now_s=5.0)), model=dying(0))
    first = json.loads(path.read_text("ascii").splitlines()[0])
    assert first["time_s"] == 5.0
    assert sum(event["event"] == "episode" for event in lines(path)) == len(
        records_of(RunFolder(tmp_path / "run"))
    )


def test_each_event_is_on_disk_at_once(tmp_path: Path) -> None:
    """Another program can follow the file while the run goes on."""
    path = tmp_path / "events.jsonl"
    file = EventFile(path, CONFIG)
    file({"event": "phase-started"})
    assert [event["event"] for event in lines(path)] == ["phase-started"]
    file.close()


@pytest.mark.parametrize("content", ["[1, 2]\n", "no json\n", '{"event": "run-started", "config": {}}\n'])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    """Events of another run, or none at all: the file is named, and stays as it is."""
    path = tmp_path / "events.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"events\.jsonl.*give another file"):
        EventFile(path, CONFIG)
    assert path.read_text() == content


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder is no file."""
    with pytest.raises(RunError, match="cannot be used"):
        EventFile(tmp_path, CONFIG)


# -- TensorBoard -------------------------------------------------------------------------------------


def test_scalars_are_read_back_by_epoch_and_seed(tmp_path: Path) -> None:
    """Each seed has its folder; success, reward and tokens of each phase are those of its events."""
    pytest.importorskip("tensorboardX")
    sink = Kept()
    run(tmp_path / "run", sink, TensorBoard(tmp_path / "board"))
    for seed in (0, 1):
        found = {(tag, step): value for tag, step, value in scalars_in(tmp_path / "board" / f"seed-{seed}")}
        wanted: dict[tuple[str, int], Any] = {}
        for event in sink.events:
            if event["event"] == "phase-finished" and event["seed"] == seed:
                where = "train" if event["phase"] == "train" else f"eval/{event['arm']}"
                for name in ("success", "reward", "tokens"):
                    wanted[f"{where}/{name}", event["epoch"]] = event[name]
                if where == "eval/memory":
                    wanted["memory/experiences", event["epoch"]] = event["memory_size"]
        assert found == pytest.approx(wanted)
        assert {tag for tag, _ in found} >= {"train/success", "eval/no-memory/success", "memory/experiences"}


def test_a_resumed_run_writes_no_scalar_twice(tmp_path: Path) -> None:
    """Stopped in the middle, resumed, and started once more: each (tag, epoch) is there once."""
    pytest.importorskip("tensorboardX")
    board = tmp_path / "board"
    with pytest.raises(ModelRejectedError):
        run(tmp_path / "run", TensorBoard(board), model=dying(60))
    first = list(scalars_in(board / "seed-0"))
    assert len(first) > 0
    [file] = (board / "seed-0").iterdir()
    file.write_bytes(file.read_bytes()[:-3])  # the last scalar is torn, and written again
    assert list(scalars_in(board / "seed-0")) == first[:-1]
    for _ in range(2):
        run(tmp_path / "run", TensorBoard(board))
    places = [(tag, step) for seed in (0, 1) for tag, step, _ in scalars_in(board / f"seed-{seed}")]
    assert len(places) == 2 * (3 * 7 + 2 * 3)
    assert len(set(places)) == len(places) // 2


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    """Its scalars would hide those of the second run; and a file is no folder."""
    pytest.importorskip("tensorboardX")
    run(tmp_path / "run", TensorBoard(tmp_path / "board"))
    with pytest.raises(UsageError, match="holds scalars of another run"):
        run(tmp_path / "other", TensorBoard(tmp_path / "board"), config=corridor_config(epochs=1))
    with pytest.raises(RunError, match="cannot be used"):
        run(tmp_path / "other", TensorBoard(tmp_path / "run" / "config.json"))


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message is the command that installs it."""

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(tensorboard, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlem\[tensorboard\]'"):
        TensorBoard(tmp_path)
