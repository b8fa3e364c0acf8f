"""Experiments: what a file may say, the cells it makes, the table that comes out."""

from __future__ import annotations

import csv
import gzip
import io
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from rlem.core.errors import DataError, UnknownNameError, UsageError
from rlem.environments.registry import make
from rlem.experiments.cells import LOOKING, PLAYING, Cell, Ready, cells_of, code_version, left_out
from rlem.experiments.episodes import tell
from rlem.experiments.estimate import TaskSets
from rlem.experiments.files import OUTCOMES, write
from rlem.experiments.initial import prepare, solutions
from rlem.experiments.results import Results
from rlem.experiments.schema import Experiment, bundled, load, parse
from rlem.experiments.table import gather
from rlem.experiments.work import DONE, VERSION, is_done, outcomes, play_cells
from rlem.llm.embedded import EmbeddedReader
from rlem.runner.records import RunConfig
from rlem.runner.setup import make_agent, make_environment, memory_config, open_memory, prompt_options

TEXT = """
name = "tiny"
title = "A tiny experiment"
environment = "corridor"
baseline = "alone"
static = "fixed"
train = ["0:4", "4:8"]
initial = ["none", "E0"]

[size]
test = "10:14"
seeds = 2
epochs = 1

[short]
test = "10:12"
seeds = 1
epochs = 1
rows = ["alone", "with memory"]

[[initials]]
name = "E0"
tasks = "8:9"

[[rows]]
name = "alone"
agent = "llm-only"

[[rows]]
name = "fixed"
agent = "static"
initial = ["E0"]

[[rows]]
name = "with memory"
curve = true

[[rows]]
name = "one exemplar"
group = "Retrieval"
initial = ["none"]
train = ["0:4"]
agent_options = { k = 1 }
note = "One exemplar at most."
"""


def tiny() -> Experiment:
    """The experiment above."""
    return parse(TEXT, "tiny.toml")


def ready(folder: Path) -> dict[str, Ready]:
    """Its initial experiences."""
    return prepare(tiny(), make("corridor"), folder / "initial", None)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('baseline = "alone"', 'baseline = "alnoe"', "unknown row 'alnoe'; did you mean 'alone'"),
        ('title = ', 'titel = ', "unknown key 'titel'; did you mean 'title'"),
        ('group = "Retrieval"', 'gruop = "Retrieval"', "unknown key 'gruop'; did you mean 'group'"),
        ('seeds = 2', 'seeds = 0', "size.seeds"),
        ('seeds = 2', 'sseeds = 2', "size: unknown key 'sseeds'; did you mean 'seeds'"),
        ('tasks = "8:9"', '', "needs either file or tasks"),
        ('name = "fixed"', 'name = "alone"', "two of the rows are called 'alone'"),
        ('initial = ["E0"]', 'initial = ["E1"]', "unknown initial 'E1'"),
        ('rows = ["alone", "with memory"]', 'rows = ["alone", "memory"]', "unknown row 'memory'"),
        ('environment = "corridor"', '', "environment: Field required"),
        ('name = "tiny"', 'name = tiny', "is not TOML"),
        ('baseline =', 'basline =', "unknown key 'basline'; did you mean 'baseline'"),
        ('agent = "llm-only"', 'agent = "llm-onyl"', "unknown agent 'llm-onyl'; did you mean 'llm-only'"),
        ('train = ["0:4"]', 'train = ["0:4", "0:4"]', "'one exemplar': train names something twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(old: str, new: str, told: str) -> None:
    """The error names the place, what is unknown there, and the nearest known name."""
    assert old in TEXT
    with pytest.raises(DataError, match=r"tiny\.toml") as caught:
        parse(TEXT.replace(old, new, 1), "tiny.toml")
    assert told in str(caught.value)


def test_short_is_shorter_where_the_file_does_not_say() -> None:
    """The tests of the whole size, one seed, one epoch."""
    plain = TEXT.replace(TEXT[TEXT.index("[short]") : TEXT.index("[[initials]]")], "")
    short = parse(plain, "x").short
    assert (short.test, short.seeds, short.epochs, short.rows) == ("10:14", 1, 1, ())


def test_bundled_experiments_are_whole() -> None:
    """Each can be loaded; each row's agent and options are known to the runner; task sets exist."""
    assert set(bundled()) == {"webshop", "wikihow"}
    for name in bundled():
        experiment, _ = load(name)
        world = make(experiment.environment)
        for size in (experiment.size, experiment.short):
            assert len(world.tasks(size.test)) >= 20
        for item in experiment.initials:
            assert len(world.tasks(item.tasks)) >= 1
        fake = {item.name: Ready(path=Path("x"), digest=item.name) for item in experiment.initials}
        cells = cells_of(experiment, experiment.size, model="openai:x", initials=fake)
        assert {cell.row for cell in cells} == {row.name for row in experiment.rows}
        for cell in cells:
            for spec in (cell.config.train_tasks, *cell.config.later_tasks):
                kinds = {task.kind for task in world.tasks(spec)}
                assert kinds.issuperset(cell.config.without_kinds), cell.row
            memory_config(cell.config)
            prompt_options(cell.config)


def test_initial_experiences_and_tests_share_no_task() -> None:
    """What a memory begins with is never among the test tasks, nor in S0 or S1."""
    for name in bundled():
        experiment, _ = load(name)
        world = make(experiment.environment)
        others = {task.id for spec in ("test", "S0", "S1") for task in world.tasks(spec)}
        for item in experiment.initials:
            assert not others & {task.id for task in world.tasks(item.tasks)}, (name, item.name)


def test_unknown_experiment(tmp_path: Path) -> None:
    """A name that is neither bundled nor a file proposes the nearest; a missing file is a DataError."""
    with pytest.raises(UnknownNameError, match="webshop"):
        load("webshp")
    with pytest.raises(DataError, match=r"nowhere\.toml"):
        load(str(tmp_path / "nowhere.toml"))


def test_cells_are_rows_times_combinations_times_seeds(tmp_path: Path) -> None:
    """Agents that learn nothing are played once a seed and initial; the others for each training set."""
    cells = cells_of(tiny(), tiny().size, initials=ready(tmp_path))
    counts = {row: sum(cell.row == row for cell in cells) for row in ("alone", "fixed", "with memory")}
    assert counts == {"alone": 2, "fixed": 2, "with memory": 2 * 2 * 2}
    assert {cell.combination for cell in cells if cell.row == "with memory"} == {
        "none/0:4", "none/4:8", "E0/0:4", "E0/4:8",
    }  # fmt: skip
    assert all(cell.config.seeds == [cell.seed] and not cell.config.control for cell in cells)
    assert {cell.row for cell in cells_of(tiny(), tiny().short, initials=ready(tmp_path))} == {
        "alone",
        "with memory",
    }


def test_rows_that_a_program_cannot_play_are_left_out_and_said() -> None:
    """The embedded reader writes no thoughts: such rows make no cells, and the reason is told."""
    text = TEXT + '\n[[rows]]\nname = "thinks"\nagent = "react"\n'
    experiment = parse(text, "x")
    fake = {"E0": Ready(path=Path("x"), digest="x")}
    assert list(left_out(experiment, experiment.size, "embedded")) == ["thinks"]
    assert "thinks" not in {cell.row for cell in cells_of(experiment, experiment.size, initials=fake)}
    assert not left_out(experiment, experiment.size, "openai:x")
    asked = cells_of(experiment, experiment.size, model="openai:x", initials=fake)
    assert [cell.config.epochs for cell in asked if cell.row == "thinks"] == [0, 0]


def test_rows_that_leave_kinds_out_train_in_stages_or_test_again() -> None:
    """One cell for each unseen kind; later sets and the re-test stand in the config; curves are asked for."""
    text = TEXT + (
        '\n[[rows]]\nname = "transfer"\ninitial = ["none"]\ntrain = ["0:4"]\nunseen = ["north", "south"]\n'
        '\n[[rows]]\nname = "kept"\ninitial = ["none"]\ntrain = ["0:4"]\nlater = ["4:8"]\nretest = true\n'
        'curve = true\nlearn = "solved"\n'
    )
    experiment = parse(text, "x")
    fake = {"E0": Ready(path=Path("x"), digest="x")}
    cells = cells_of(experiment, experiment.size, initials=fake)
    transfer = [cell for cell in cells if cell.row == "transfer"]
    assert [(c.unseen, c.config.without_kinds, c.config.test_kinds) for c in transfer[::2]] == [
        ("north", ["north"], ["north"]),
        ("south", ["south"], ["south"]),
    ]
    assert len({cell.combination for cell in transfer}) == 2
    assert transfer[0].config.test_epochs == "last"
    kept = next(cell for cell in cells if cell.row == "kept").config
    assert (kept.later_tasks, kept.test_tasks, kept.retest) == (["4:8"], "0:4", True)
    assert (kept.test_epochs, kept.learn) == ("every", "solved")
    plain = parse(text.replace("curve = true\nlearn", "learn"), "x")
    again = [cell.config for cell in cells_of(plain, plain.size, initials=fake) if cell.row == "kept"]
    assert again[0] == kept, "what is forgotten needs a test in between"


def test_keys_name_content(tmp_path: Path) -> None:
    """Equal runs have equal keys wherever their files lie; another seed, option, model or initial experience
    gives another key."""
    here, there = ready(tmp_path / "a"), ready(tmp_path / "b")
    first = cells_of(tiny(), tiny().size, initials=here)
    assert [c.key for c in first] == [c.key for c in cells_of(tiny(), tiny().size, initials=there)]
    assert len({cell.key for cell in first}) == len(first)
    other = cells_of(tiny(), tiny().size, initials=here, model="openai:x")
    assert not {c.key for c in first} & {c.key for c in other}
    changed = {**here, "E0": Ready(path=here["E0"].path, digest="other")}
    moved = [
        a.initial
        for a, b in zip(first, cells_of(tiny(), tiny().size, initials=changed), strict=True)
        if a.key != b.key
    ]
    assert set(moved) == {"E0"}
    assert len(code_version()) == 16


def test_what_only_looks_at_runs_is_there_and_is_not_in_the_key() -> None:
    """Its names are those of files; a mended report throws nothing away."""
    root = Path(str(resources.files("rlem")))
    assert all((root / part).exists() for part in (*PLAYING, *LOOKING))
    assert not {"reports", "experiments", "cli", "evidence"} & set(PLAYING)


def test_files_that_options_name_are_in_the_key(tmp_path: Path) -> None:
    """Other weights at the same place are another run; the same ones elsewhere are not."""
    keys = []
    for place, content in (("a", "1"), ("b", "1"), ("c", "2")):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "weights").write_text(content)
        told = tiny().model_copy(update={"memory_options": {"embedding_folder": str(folder)}})
        keys.append(cells_of(told, told.size, initials=ready(tmp_path))[-1].key)
    assert keys[0] == keys[1] != keys[2]


def test_initial_experiences_are_what_their_name_says(tmp_path: Path) -> None:
    """A file that lost something since is made anew."""
    made = ready(tmp_path)["E0"].path
    whole = made.read_text().count("observation")
    made.write_text(made.read_text().splitlines()[0] + "\n")
    assert ready(tmp_path)["E0"].path.read_text().count("observation") == whole > 0
    assert list((tmp_path / "initial").iterdir()) == [made]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"agent_options": {"kk": 1}}, "row 'one exemplar': unknown agent option 'kk'; did you mean 'k'"),
        ({"agent_options": {"k": "3"}}, "row 'one exemplar': "),
        ({"memory_options": {"max_experience": 1}}, "did you mean 'max_experiences'"),
        ({"unseen": ("norht",)}, "unknown kind of tasks 'norht'"),
        ({"train": ("0:400",)}, "row 'one exemplar': .*0:400"),
    ],
)
def test_wrong_rows_are_found_before_anything_is_played(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    """Not when their turn comes, hours later."""
    rows = tuple(row.model_copy(update=changes) if row.name == "one exemplar" else row for row in tiny().rows)
    wrong = tiny().model_copy(update={"rows": rows})
    cells = cells_of(wrong, wrong.size, initials=ready(tmp_path))
    with pytest.raises(UsageError, match=told):
        TaskSets(make("corridor")).check(wrong, cells)


def test_an_unfinished_cell_goes_on_in_a_folder_that_was_moved(tmp_path: Path) -> None:
    """Its key names what it is, not where its files lie; outcomes of an older version are made again."""

    def cell(folder: Path) -> Cell:
        found = cells_of(tiny(), tiny().size, initials=ready(folder))
        return next(c for c in found if c.row == "with memory" and c.initial == "E0")

    play_cells([cell(tmp_path / "a")], tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = cell(tmp_path / "b")
    place = tmp_path / "b" / "cells" / moved.key
    episodes, found = (place / "episodes.jsonl").read_bytes(), outcomes(tmp_path / "b", moved)
    (place / DONE).unlink()
    (place / "episodes.jsonl").write_bytes(episodes[:-1])
    play_cells([moved], tmp_path / "b")
    assert (place / "episodes.jsonl").read_bytes() == episodes
    (place / DONE).write_text(json.dumps(found))  # as it was before it had a version
    assert outcomes(tmp_path / "b", moved) == found
    assert json.loads((place / DONE).read_text())["version"] == VERSION


def test_static_needs_initial_experiences() -> None:
    """A row of fixed exemplars without any is refused by name."""
    bare = parse(
        TEXT.replace('agent = "static"\ninitial = ["E0"]', 'agent = "static"\ninitial = ["none"]'), "x"
    )
    with pytest.raises(UsageError, match="'fixed'"):
        cells_of(bare, bare.size)


def test_solutions_are_verified_successes() -> None:
    """The oracle's episodes end well, hold what an exemplar needs, and name what was operated."""
    (episode,) = solutions(make("wikihow"), "90:91")
    assert episode.status == "terminated"
    assert episode.reward >= 2.0
    assert episode.trust == "verified"
    assert episode.transitions[0].reason.startswith("<img")


def test_played_once_resumed_and_put_side_by_side(tmp_path: Path) -> None:
    """All cells are played; a second start plays none; a cell that was cut goes on; the table is what the
    outcomes say."""
    experiment = tiny()
    cells = cells_of(experiment, experiment.size, initials=ready(tmp_path))
    play_cells(cells[:3], tmp_path)
    partial = gather(experiment, cells, tmp_path, model="embedded", model_is="a program.", test="10:14")
    assert {row.name: row.missing for row in partial.rows}["with memory"] == 8
    told: list[str] = []
    play_cells(cells, tmp_path, finished=lambda cell: told.append(cell.row))
    assert len(told) == len(cells)
    place = tmp_path / "cells" / cells[-1].key
    before = (place / "episodes.jsonl").read_bytes()
    (place / DONE).unlink()
    (place / "episodes.jsonl").write_bytes(before[: len(before) // 2])
    for memory in place.glob("memory-*"):
        memory.unlink()
    assert not is_done(tmp_path, cells[-1])
    play_cells(cells, tmp_path)
    assert (place / "episodes.jsonl").read_bytes() == before
    results = gather(experiment, cells, tmp_path, model="embedded", model_is="a program.", test="10:14")
    by_name = {row.name: row for row in results.rows}
    alone = [outcomes(tmp_path, cell)[0] for cell in cells if cell.row == "alone"]
    mean = sum(task["success"] for tasks in alone for task in tasks.values()) / 8
    assert by_name["alone"].success is not None
    assert by_name["alone"].success.mean == pytest.approx(mean)
    assert by_name["alone"].gain is None
    assert len(by_name["with memory"].combinations) == 4
    assert by_name["with memory"].gain is not None
    assert set(by_name["with memory"].curve) == {0, 1}
    assert by_name["one exemplar"].cells == 2
    story = tell(experiment, cells, tmp_path)
    assert story is not None
    assert story.seed in (0, 1)
    first, *_, last = (record for _, record in story.chapters)
    assert (story.row, first.phase, first.success, last.phase) == ("with memory", "train", False, "eval")
    assert last.success
    assert {advice.task for advice in story.learned} == {first.instruction}
    assert tell(experiment, cells[:2], tmp_path) is None, "without a row that learns there is no story"
    files = written(tmp_path, cells)
    assert all(path.is_file() for path in files.values())
    assert Results.model_validate_json(files["results.json"].read_text()).rows == results.rows
    packed = files[OUTCOMES].read_bytes()
    lines = list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode())))
    assert len(lines) == sum(len(t) for cell in cells for t in outcomes(tmp_path, cell).values())
    own = [line for line in lines if line["row"] == "alone"]
    assert sum(int(line["success"]) for line in own) / len(own) == pytest.approx(mean)
    assert {line["epoch"] for line in lines if line["row"] == "with memory"} == {"0", "1"}
    assert written(tmp_path, cells)[OUTCOMES].read_bytes() == packed


def written(folder: Path, cells: list[Cell]) -> dict[str, Path]:
    """The files of the experiment."""
    told = {"model": "embedded", "test": "10:14", "command": "rlem", "left_out": {}, "training": {}}
    return write(tiny(), cells, folder, **told)  # type: ignore[arg-type]


def test_rows_give_agents() -> None:
    """Options of a bundled row reach the agent: an unknown one would be an error."""
    for name in bundled():
        experiment, _ = load(name)
        for row in experiment.rows:
            if row.agent == "rememberer":
                config = RunConfig(
                    environment="corridor",
                    agent_options={**experiment.agent_options, **row.agent_options},
                    memory_options={**experiment.memory_options, **row.memory_options},
                )
                memory = open_memory(config, None)
                agent = make_agent(config, make_environment(config), EmbeddedReader(), memory)
                assert agent.name == "rememberer"
