"""Experiments and money: what they will take, limits that hold for all runs, recordings and replays."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlem.agents.prompted import PromptOptions
from rlem.core.errors import (
    BudgetExceededError,
    DataError,
    ModelRejectedError,
    ModelUnavailableError,
    UnknownNameError,
    UsageError,
)
from rlem.environments.registry import make
from rlem.experiments import lengths
from rlem.experiments.calls import ANSWERS, Calls, Purse, open_model, spent
from rlem.experiments.cells import Cell, Ready, cells_of
from rlem.experiments.estimate import COST_UNKNOWN, NO_MODEL, TaskSets, estimate, to_text
from rlem.experiments.initial import prepare
from rlem.experiments.lengths import Lengths, derived, nearest, shipped
from rlem.experiments.schema import Experiment, Size, bundled, changed, load, parse
from rlem.experiments.table import gather
from rlem.experiments.work import is_done, place_of, play_cells
from rlem.llm.base import Prompt
from rlem.llm.embedded import EmbeddedReader
from rlem.llm.prices import Price, PriceBook
from rlem.testing.openai_server import OpenAIServer

TEXT = """
name = "tiny"
environment = "corridor"
baseline = "alone"
train = ["0:4"]
initial = ["none", "E0"]

[size]
test = "10:13"
seeds = 2
epochs = 1

[[initials]]
name = "E0"
tasks = "8:9"

[[rows]]
name = "alone"
agent = "llm-only"

[[rows]]
name = "with memory"
curve = true

[[rows]]
name = "tries again"
agent = "reflexion"
epochs = 1

[[rows]]
name = "chance"
agent = "random"
"""
MODEL = "openai:m"


def answer(messages: list[dict[str, str]]) -> str:
    """What the embedded reader says: a model whose answers depend on its prompt."""
    prompt = Prompt(system=messages[0]["content"], user=messages[1]["content"])
    return EmbeddedReader().complete(prompt, seed=0).text


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """A local endpoint, and no proxy before it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with OpenAIServer(answer) as running:
        yield running


def tiny() -> Experiment:
    """The experiment above."""
    return parse(TEXT, "tiny.toml")


def cells_at(server: OpenAIServer, folder: Path, rows: tuple[str, ...] = ()) -> list[Cell]:
    """Its cells, to be asked of the server."""
    experiment, size = changed(tiny(), tiny().size, rows=rows)
    ready = prepare(experiment, make("corridor"), folder / "initial", None)
    options = {"base_url": server.base_url}
    return cells_of(experiment, size, model=MODEL, model_options=options, initials=ready)


def records_of(folder: Path, cell: Cell) -> list[dict[str, Any]]:
    """What a cell played."""
    text = (place_of(folder, cell) / "episodes.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def results(cells: list[Cell], folder: Path) -> str:
    """The table as it is written."""
    told = gather(tiny(), cells, folder, model=MODEL, model_is="m.", test="10:13")
    return told.model_dump_json()


def assert_same(cells: list[Cell], one: Path, other: Path) -> None:
    """Both folders hold the same episodes of all cells, byte for byte, and the same results."""
    for cell in cells:
        episodes, again = (place_of(folder, cell) / "episodes.jsonl" for folder in (one, other))
        assert episodes.read_bytes() == again.read_bytes(), cell.row
        assert is_done(other, cell)
    assert results(cells, one) == results(cells, other)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_replay_needs_no_endpoint_and_is_the_same_to_the_byte(
    workers: int, server: OpenAIServer, tmp_path: Path
) -> None:
    """Every row is recorded, the server goes, another folder is played from the answers: nothing differs."""
    cells = cells_at(server, tmp_path)
    play_cells(cells, tmp_path / "one", workers=workers, calls=Calls(answers=tmp_path / "one" / ANSWERS))
    asked = len(server.requests)
    assert asked > 20
    replay = Calls(answers=tmp_path / "one" / ANSWERS, replay=True)
    play_cells(cells, tmp_path / "other", workers=workers, calls=replay)
    assert len(server.requests) == asked
    assert_same(cells, tmp_path / "one", tmp_path / "other")


@pytest.mark.parametrize("tokens", [3_000, 40_000])
def test_a_recording_that_was_cut_goes_on_and_replays(
    tokens: int, server: OpenAIServer, tmp_path: Path
) -> None:
    """Stopped in an episode and started again, it pays no answer twice; the replay is the same to the byte,
    and the same as a recording that nobody stopped."""
    cells, one = cells_at(server, tmp_path), tmp_path / "one"
    with pytest.raises(BudgetExceededError):
        play_cells(cells, one, calls=Calls(answers=one / ANSWERS, max_total_tokens=tokens))
    play_cells(cells, one, calls=Calls(answers=one / ANSWERS))
    texts = [json.dumps(request.body) for request in server.requests]
    whole = tmp_path / "whole"
    play_cells(cells, whole, calls=Calls(answers=whole / ANSWERS))
    assert sorted(texts) == sorted(json.dumps(r.body) for r in server.requests[len(texts) :])
    play_cells(cells, tmp_path / "other", calls=Calls(answers=one / ANSWERS, replay=True))
    assert_same(cells, one, tmp_path / "other")
    for cell in cells:
        bare, broken = records_of(whole, cell), records_of(one, cell)
        for record in (*bare, *broken):
            del record["usage"]  # cached tokens depend on what the server saw before
        assert bare == broken


def test_the_same_request_is_paid_once(server: OpenAIServer, tmp_path: Path) -> None:
    """Tests before and after training share their seeds: here memory learns nothing, so the second test asks
    nothing, and counts what the first one took."""
    (cell, *_) = (c for c in cells_at(server, tmp_path, ("with memory",)) if c.initial == "none")
    hard = {"learn": "solved", "environment_options": {"rooms": 6}}
    cell = replace(cell, config=cell.config.model_copy(update=hard))
    play_cells([cell], tmp_path, calls=Calls(answers=tmp_path / ANSWERS))
    bodies = [json.dumps(request.body) for request in server.requests]
    assert len(set(bodies)) == len(bodies)
    calls = {"before": 0, "training": 0, "after": 0}
    for record in records_of(tmp_path, cell):
        when = "training" if record["phase"] == "train" else "after" if record["epoch"] else "before"
        calls[when] += record["usage"]["calls"]
    assert calls["before"] == calls["after"] > 0
    assert len(bodies) == calls["before"] + calls["training"]


@pytest.mark.parametrize("workers", [1, 4])
def test_a_limit_holds_for_all_runs_and_over_restarts(
    workers: int, server: OpenAIServer, tmp_path: Path
) -> None:
    """Whatever the number of threads and starts, no more is spent than allowed; a higher limit goes on."""
    cells = cells_at(server, tmp_path)
    for limit in (10_000, 10_000, 40_000):
        with pytest.raises(BudgetExceededError, match=f"max_tokens is {limit}"):
            play_cells(
                cells,
                tmp_path,
                workers=workers,
                calls=Calls(answers=tmp_path / ANSWERS, max_total_tokens=limit),
            )
        used = spent(tmp_path / ANSWERS, PriceBook())
        assert limit * 0.7 < used.prompt_tokens + used.completion_tokens <= limit
    play_cells(
        cells,
        tmp_path,
        workers=workers,
        calls=Calls(answers=tmp_path / ANSWERS, max_total_tokens=10_000_000),
    )
    assert all(is_done(tmp_path, cell) for cell in cells)


def test_dollars_are_limited_by_the_prices_of_a_file(server: OpenAIServer, tmp_path: Path) -> None:
    """The money limit stops below it; without a known price it is refused before any call."""
    cells = cells_at(server, tmp_path, ("alone",))
    with pytest.raises(UsageError, match="price of model 'm' is unknown"):
        play_cells(cells, tmp_path, calls=Calls(answers=tmp_path / ANSWERS, max_cost_usd=0.01))
    assert not server.requests
    prices = tmp_path / "prices.toml"
    prices.write_text("[m]\ninput_usd_per_million = 2.0\noutput_usd_per_million = 10.0\n")
    calls = Calls(answers=tmp_path / ANSWERS, prices=prices, max_cost_usd=0.01)
    with pytest.raises(BudgetExceededError):
        play_cells(cells, tmp_path, calls=calls)
    paid = spent(tmp_path / ANSWERS, PriceBook()).cost_usd
    assert paid is not None
    assert 0.005 < paid <= 0.01


def test_what_was_spent_without_prices_is_priced_later(server: OpenAIServer, tmp_path: Path) -> None:
    """Played first to see how long answers are, then with a limit in dollars: the first part counts for it. A
    damaged file of answers is named."""
    cells = cells_at(server, tmp_path, ("alone",))
    play_cells(cells[:1], tmp_path, calls=Calls(answers=tmp_path / ANSWERS))
    begun = spent(tmp_path / ANSWERS, PriceBook())
    assert begun.cost_usd is None
    prices = tmp_path / "prices.toml"
    prices.write_text("[m]\ninput_usd_per_million = 2.0\noutput_usd_per_million = 10.0\n")
    paid = (2 * begun.prompt_tokens + 10 * begun.completion_tokens) / 1e6
    calls = Calls(answers=tmp_path / ANSWERS, prices=prices, max_cost_usd=paid * 1.5)
    with pytest.raises(BudgetExceededError):
        play_cells(cells, tmp_path, calls=calls)
    total = spent(tmp_path / ANSWERS, PriceBook.from_file(prices)).cost_usd
    assert total is not None
    assert paid < total <= paid * 1.5
    next((tmp_path / ANSWERS).iterdir()).write_bytes(b"{}}\n")
    with pytest.raises(DataError, match="is damaged"):
        play_cells(cells, tmp_path, calls=calls)


def test_pace_and_deadline_reach_the_endpoint(server: OpenAIServer, tmp_path: Path) -> None:
    """A server that hangs is left at the deadline, and its episode is broken; the pace is one for all cells
    of a process; what cells are told can be sent to another process."""
    server.then(*["hang"])
    cells = cells_at(server, tmp_path, ("alone",))[:1]
    calls = Calls(answers=tmp_path / ANSWERS, deadline_s=0.3, requests_per_minute=500)
    play_cells(cells, tmp_path, calls=calls)
    broken, *whole = records_of(tmp_path, cells[0])
    assert "deadline 0.3 s" in broken["cause"]
    assert all(record["status"] != "broken" for record in whole)
    assert pickle.loads(pickle.dumps(calls)) == calls
    with pytest.raises(UsageError, match="one process"):
        open_model(cells[0].config, replace(calls, max_total_tokens=5).of(cells[0]))
    limiter = Purse(Calls(requests_per_minute=1)).limiter
    limiter.acquire()
    with pytest.raises(ModelUnavailableError):
        limiter.acquire(max_wait_s=1)


def test_a_replay_without_all_answers_is_refused(server: OpenAIServer, tmp_path: Path) -> None:
    """A cell that was never recorded is named; an answer that is missing stops the replay, and breaks no
    episode instead."""
    cells = cells_at(server, tmp_path, ("alone", "chance"))
    replay = Calls(answers=tmp_path / ANSWERS, replay=True)
    with pytest.raises(DataError, match=r"'alone'.*no recorded answers"):
        play_cells(cells, tmp_path / "other", calls=replay)
    play_cells(cells, tmp_path, calls=Calls(answers=tmp_path / ANSWERS))
    file = next((tmp_path / ANSWERS).iterdir())
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(ModelRejectedError, match="never recorded"):
        play_cells(cells, tmp_path / "other", calls=replay)


def test_answers_outlive_a_change_of_the_program(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of the code plays anew, with the answers that it still asks for."""
    cells = cells_at(server, tmp_path, ("alone",))
    play_cells(cells, tmp_path, calls=Calls(answers=tmp_path / ANSWERS))
    asked = len(server.requests)
    monkeypatch.setattr("rlem.experiments.cells.code_version", lambda: "another")
    changed_cells = cells_at(server, tmp_path, ("alone",))
    assert not {cell.key for cell in cells} & {cell.key for cell in changed_cells}
    play_cells(changed_cells, tmp_path, calls=Calls(answers=tmp_path / ANSWERS))
    assert len(server.requests) == asked
    assert all(is_done(tmp_path, cell) for cell in changed_cells)


# -- estimates -------------------------------------------------------------------------------------


def test_episodes_are_those_that_are_played(server: OpenAIServer, tmp_path: Path) -> None:
    """The estimate counts what a whole start then plays, and nothing of it once it is played; of Reflexion
    and of later epochs, which skip what is solved, it is an upper limit."""
    cells = cells_at(server, tmp_path)
    sets = TaskSets(make("corridor"))
    play_cells(cells, tmp_path, calls=Calls(answers=tmp_path / ANSWERS))
    for cell in cells:
        phases = [record["phase"] for record in records_of(tmp_path, cell)]
        assert sets.episodes(cell.config) == (phases.count("eval"), phases.count("train")), cell.row
    told = estimate(cells, tmp_path, make("corridor"), PriceBook())
    assert (told.total.runs, told.total.test_episodes, told.total.calls) == (0, 0, 0)
    place = place_of(tmp_path, cells[-5])
    (place / "done.json").unlink()
    lines = (place / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (place / "episodes.jsonl").write_bytes(b"".join(lines[:-2]))
    begun = estimate(cells, tmp_path, make("corridor"), PriceBook())
    assert (begun.total.runs, begun.total.test_episodes + begun.total.training_episodes) == (1, 2)


def test_lengths_come_from_finished_runs_first(server: OpenAIServer, tmp_path: Path) -> None:
    """Nothing known: unknown, not 0. One run of the row: its lengths, and the other rows of that agent take
    them too. Money only where a price is known."""
    cells, world = cells_at(server, tmp_path), make("corridor")
    blank = {row.row: row for row in estimate(cells, tmp_path, world, PriceBook()).rows}
    assert (blank["alone"].calls, blank["alone"].cost_usd) == (None, None)
    assert "no lengths are recorded" in blank["alone"].evidence
    assert (blank["chance"].calls, blank["chance"].cost_usd) == (0, 0.0)
    assert blank["chance"].evidence == NO_MODEL
    alone = [cell for cell in cells if cell.row == "alone"]
    play_cells(alone[:1], tmp_path, calls=Calls(answers=tmp_path / ANSWERS))
    records = records_of(tmp_path, alone[0])
    told = estimate(cells, tmp_path, world, PriceBook())
    row = told.rows[0]
    assert row.evidence == "finished runs of the row: 1"
    assert row.calls == sum(r["usage"]["calls"] for r in records)  # the other seed, as long as this one
    assert row.prompt_tokens == pytest.approx(sum(r["usage"]["prompt_tokens"] for r in records), rel=0.01)
    assert row.cost_usd is None
    assert COST_UNKNOWN in to_text(told.model_copy(update={"total": row}))
    price = Price(input_usd_per_million=2.0, output_usd_per_million=10.0)
    paid = estimate(cells, tmp_path, world, PriceBook({"m": price})).rows[0]
    assert paid.prompt_tokens is not None
    assert paid.completion_tokens is not None
    assert paid.cost_usd == pytest.approx(
        (paid.prompt_tokens * 2 + paid.completion_tokens * 10) / 1e6, rel=0.01
    )


def test_every_bundled_row_has_lengths_to_go_by(tmp_path: Path) -> None:
    """What is shipped, or derived from it and said so, covers all rows with any model; nothing is unknown."""
    for name in bundled():
        experiment, _ = load(name)
        fake = {item.name: Ready(path=Path("x"), digest=item.name) for item in experiment.initials}
        cells = cells_of(experiment, experiment.size, model="openai:m", initials=fake)
        world = make(experiment.environment)
        TaskSets(world).check(experiment, cells)
        told = estimate(cells, tmp_path, world, PriceBook())
        assert told.total.prompt_tokens is not None
        evidence = {row.row: row.evidence for row in told.rows}
        assert "derived from llm-only, not recorded" in evidence["RCI"]
        assert "derived from rememberer" in evidence["ReAct with recalled exemplars"]
        assert "embedded reader" in evidence["k = 4"]
        assert "k = 4" in evidence["k = 4"]
        free = estimate(
            cells_of(experiment, experiment.size, initials=fake), tmp_path, world, PriceBook()
        ).total
        assert free.cost_usd == 0.0


def test_shipped_lengths_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that makes them plays, and takes the means of what was played: by hand, over two tasks."""
    monkeypatch.setattr(lengths, "SIZE", Size(test="0:2", seeds=1, rows=("LLM only",)))
    (found,) = lengths.measure("wikihow", tmp_path)
    (file,) = tmp_path.glob("cells/*/episodes.jsonl")
    records = [json.loads(line) for line in file.read_text().splitlines()]
    steps = [len(record["steps"]) for record in records]
    prompt = [record["usage"]["prompt_tokens"] for record in records]
    assert (found.agent, found.exemplars, found.episodes) == ("llm-only", 3, 2)
    assert found.steps == pytest.approx(sum(steps) / 2)
    assert found.prompt_tokens == pytest.approx(sum(prompt) / sum(steps), abs=0.06)


def test_derived_lengths_follow_the_documented_calls() -> None:
    """By hand, from 10 steps of one call: RCI three calls a step and three more, and so on."""
    base = Lengths(
        agent="llm-only", exemplars=2, episodes=9, steps=10, calls=1, prompt_tokens=1000,
        completion_tokens=50, where="x",
    )  # fmt: skip
    options = PromptOptions(max_tokens=200)
    found = {
        agent: (told.calls, told.prompt_tokens, told.completion_tokens)
        for agent in ("react", "chain-of-thought", "rci", "reflexion")
        for told in [derived(agent, base, options)]
    }
    assert found == {
        "react": (1, 1450, 150),
        "chain-of-thought": (1, 1000, 350),
        "rci": (pytest.approx(3.3), 1600, 200),
        "reflexion": (pytest.approx(1.1), 1600, 50),
    }
    few = base.model_copy(update={"exemplars": 1})
    assert nearest([few, base], "llm-only", 4) == base
    assert nearest([few, base], "static", 4) is None
    assert {item.agent for item in shipped("wikihow")} == {"llm-only", "static", "rememberer"}


# -- other data and sets ---------------------------------------------------------------------------


def test_what_is_changed_and_what_stays() -> None:
    """Options come on top of the file's; rows that name their own training sets keep them."""
    experiment, size = changed(
        tiny(), tiny().size, environment_options={"rooms": 3}, train=["0:2", "2:4"], test="15:20", seeds=1
    )
    cells = cells_of(experiment, size, initials={"E0": Ready(path=Path("x"), digest="x")})
    assert {cell.train for cell in cells if cell.row == "with memory"} == {"0:2", "2:4"}
    assert {cell.config.test_tasks for cell in cells} == {"15:20"}
    assert cells[0].config.environment_options == {"rooms": 3}
    assert changed(tiny(), tiny().size) == (tiny(), tiny().size)
    with pytest.raises(UnknownNameError, match="did you mean 'alone'"):
        changed(tiny(), tiny().size, rows=["alnoe"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"train": ["9:12"]}, "'with memory': training set '9:12' and test set '10:13' share 2 tasks"),
        ({"test": "8:10"}, "initial experiences '8:9' and test set '8:10' share 1 tasks"),
    ],
)
def test_rows_that_know_their_test_tasks_are_refused_at_once(
    options: dict[str, object], told: str, tmp_path: Path
) -> None:
    """Other sets must not make a test of what was trained on, or of what the memory begins with."""
    experiment, size = changed(tiny(), tiny().size, **options)  # type: ignore[arg-type]
    cells = cells_of(experiment, size, initials={"E0": Ready(path=Path("x"), digest="x")})
    with pytest.raises(UsageError, match=told):
        TaskSets(make("corridor")).check(experiment, cells)


def test_initial_experiences_of_other_data_are_other_files(tmp_path: Path) -> None:
    """The same folder, another experiment of that name: what was made for the first is not taken for it."""
    first = prepare(tiny(), make("corridor"), tmp_path, None)["E0"]
    other = parse(TEXT.replace('"8:9"', '"9:10"'), "x")
    second = prepare(other, make("corridor"), tmp_path, None)["E0"]
    assert first.path.read_bytes() != second.path.read_bytes()
