"""Copies of a memory are known by name, and forgetting everywhere takes them too."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.postgres import Cluster, debian_cluster
from tests.support.stage import corridor_config, execute, records_of

from rlem.api.memory import Memory
from rlem.api.opening import open as open_memory
from rlem.api.stores import open_store
from rlem.core.errors import ExperienceMemoryError, UsageError
from rlem.memory.copies import copies_of, place_of
from rlem.memory.copying import copy_memory
from rlem.memory.everywhere import all_copies, forget_everywhere
from rlem.memory.transfer import read_episodes
from rlem.reports import write_report
from rlem.runner.folder import RunFolder
from rlem.testing.memory_cases import episode, taught, walks

__all__ = ["debian_cluster"]

SECRET = "the way of the purple owl"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A memory of six episodes and a seventh, to be forgotten, with a text of its own."""
    path = tmp_path / "shop.rlem"
    with open_memory(path) as memory:
        memory.experience_memory.record_many(walks(6))
        steps = [(f"a page with {SECRET}", "left", 1.0), ("the old square", "left", 0.5)]
        memory.experience_memory.record(episode("secret", steps, task=SECRET, source="owl"))
    return path


def places(path: Path | str) -> list[tuple[str, str]]:
    """Kind and file name of all known copies."""
    with closing(open_store(path, read_only=True)) as store:
        return [(copy.kind, Path(copy.place).name) for copy in all_copies(store, open_store)]


def hash_of(path: Path | str) -> str:
    """The content hash of a memory."""
    with open_memory(path, read_only=True) as memory:
        return memory.hash()


def holds(folder: Path, text: str) -> list[str]:
    """Names of the files under a folder in whose bytes a text stands."""
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes())


# -- knowing -----------------------------------------------------------------------------------------


def test_each_copy_is_known(shop: Path, tmp_path: Path) -> None:
    """Branch, export, copy and merge, by absolute path; and in turn where each of them came from."""
    with open_memory(shop) as memory, open_memory(tmp_path / "week.rlem") as week:
        memory.branch(tmp_path / "branch.rlem")
        memory.export(tmp_path / "export.jsonl")
        week.merge(memory)
        with closing(open_store(tmp_path / "copy.rlem")) as target:
            copy_memory(memory.experience_memory.store, target)
        assert {(c.kind, c.place) for c in memory.copies()} == {
            ("branch", str(tmp_path / "branch.rlem")),
            ("export", str(tmp_path / "export.jsonl")),
            ("merge", str(tmp_path / "week.rlem")),
            ("copy", str(tmp_path / "copy.rlem")),
        }
    for name in ("branch", "copy", "week"):
        with closing(open_store(tmp_path / f"{name}.rlem")) as store:
            assert [(c.kind, c.place) for c in copies_of(store)] == [("origin", str(shop))]


def test_copies_of_copies_are_followed_and_what_is_not_there_is_not_named(shop: Path, tmp_path: Path) -> None:
    """A branch of a branch is known; a deleted export is not."""
    with open_memory(shop) as memory:
        memory.branch(tmp_path / "one.rlem")
        memory.export(tmp_path / "gone.jsonl")
    (tmp_path / "gone.jsonl").unlink()
    with open_memory(tmp_path / "one.rlem") as branch:
        branch.branch(tmp_path / "two.rlem")
        branch.export(tmp_path / "two.jsonl")
    assert places(shop) == [("branch", "one.rlem"), ("branch", "two.rlem"), ("export", "two.jsonl")]
    assert places(tmp_path / "two.rlem") == [
        ("origin", "one.rlem"),
        ("origin", "shop.rlem"),
        ("export", "two.jsonl"),
    ]


def test_an_import_knows_its_export(shop: Path, tmp_path: Path) -> None:
    """A memory made from an export names it as origin."""
    with open_memory(shop) as memory:
        memory.export(tmp_path / "export.jsonl")
    with open_memory(tmp_path / "other.rlem") as other:
        other.import_(tmp_path / "export.jsonl")
    assert places(tmp_path / "other.rlem") == [("origin", "export.jsonl")]


def test_a_memory_opened_read_only_is_copied_without_a_note(shop: Path, tmp_path: Path) -> None:
    """The export is written, the file stays as it is, byte by byte."""
    before = shop.read_bytes()
    with open_memory(shop, read_only=True) as memory:
        memory.export(tmp_path / "export.jsonl")
    assert shop.read_bytes() == before
    assert places(shop) == []


def test_history_holds_no_text_of_the_log(shop: Path, tmp_path: Path) -> None:
    """After all that can be done to a memory, its notes name numbers and places alone."""
    with open_memory(shop) as memory:
        memory.branch(tmp_path / "branch.rlem")
        memory.correct("secret", {0: 2.0}, reason=SECRET)
        memory.forget(task=SECRET)
        assert SECRET not in json.dumps([dict(change.detail) for change in memory.log()])
        assert "secret" not in json.dumps([dict(change.detail) for change in memory.log()])
    assert holds(tmp_path, SECRET) == ["branch.rlem"]


@pytest.mark.parametrize(
    ("given", "noted"),
    [("postgresql://ann@db/x?schema=s", "postgresql://ann@db/x?schema=s"), (":memory:", ":memory:")],
)
def test_places_that_are_no_files_are_noted_as_they_are(given: str, noted: str) -> None:
    """Only a path is made absolute."""
    assert place_of(given) == noted
    assert Path(place_of("here.rlem")) == Path("here.rlem").resolve()


# -- forgetting everywhere ---------------------------------------------------------------------------

Forget = Callable[[Memory], int]


@pytest.mark.parametrize(
    "forget",
    [
        lambda m: m.forget(episode="secret", everywhere=True),
        lambda m: m.forget(task=SECRET, everywhere=True),
        lambda m: m.forget(source="owl", everywhere=True),
    ],
    ids=["episode", "task", "source"],
)
def test_forgetting_everywhere_leaves_no_byte_anywhere(shop: Path, tmp_path: Path, forget: Forget) -> None:
    """Memory, branches, their branches and exports: each equals one that never saw the episode."""
    with open_memory(shop) as memory:
        memory.export(tmp_path / "export.jsonl")
        memory.branch(tmp_path / "one.rlem")
        with open_memory(tmp_path / "one.rlem") as one:
            one.branch(tmp_path / "two.rlem")
            one.export(tmp_path / "one.jsonl")
        assert len(holds(tmp_path, SECRET)) >= 5
        assert forget(memory) == 1
    assert holds(tmp_path, SECRET) == []
    never = taught(None, walks(6))
    assert {hash_of(tmp_path / f"{name}.rlem") for name in ("shop", "one", "two")} == {never.hash()}
    for name in ("export", "one"):
        left = [item.id for item in read_episodes(tmp_path / f"{name}.jsonl")]
        assert left == [item.id for item in never.episodes()]


def test_from_a_branch_the_origin_is_taken_too(shop: Path, tmp_path: Path) -> None:
    """Everywhere is everywhere: the memory that it was branched from, and that one's exports."""
    with open_memory(shop) as memory:
        memory.branch(tmp_path / "branch.rlem")
        memory.export(tmp_path / "export.jsonl")
    with open_memory(tmp_path / "branch.rlem") as branch:
        branch.forget(task=SECRET, everywhere=True)
    assert holds(tmp_path, SECRET) == []


def test_without_everywhere_copies_stay(shop: Path, tmp_path: Path) -> None:
    """Only the memory itself forgets."""
    with open_memory(shop) as memory:
        memory.branch(tmp_path / "branch.rlem")
        memory.forget(task=SECRET)
    assert holds(tmp_path, SECRET) == ["branch.rlem"]


def test_ids_are_the_link_where_a_copy_has_other_words(shop: Path, tmp_path: Path) -> None:
    """An episode that the criterion finds here goes there by its id; one that only a copy has goes by the
    criterion."""
    with open_memory(shop) as memory:
        memory.branch(tmp_path / "branch.rlem")
        with open_memory(tmp_path / "branch.rlem") as branch:
            branch.experience_memory.record(episode("other", [("x", "left", 1.0)], task=SECRET))
        assert memory.forget(task=SECRET, everywhere=True) == 1
    assert hash_of(tmp_path / "branch.rlem") == hash_of(shop) == taught(None, walks(6)).hash()


def test_broken_off_it_can_be_done_again(shop: Path, tmp_path: Path) -> None:
    """Where the memory has forgotten already, its copies still do."""
    with open_memory(shop) as memory:
        memory.branch(tmp_path / "branch.rlem")
        memory.forget(task=SECRET)
        assert memory.forget(task=SECRET, everywhere=True) == 0
        assert holds(tmp_path, SECRET) == []
        with pytest.raises(UsageError, match="nothing to forget"):
            memory.forget(task=SECRET, everywhere=True)


def test_what_cannot_be_reached_is_named_and_the_rest_is_done(shop: Path, tmp_path: Path) -> None:
    """A damaged copy and a broken export stop nothing; the error names both and what is wrong."""
    with open_memory(shop) as memory:
        for name in ("one.rlem", "two.rlem"):
            memory.branch(tmp_path / name)
        memory.export(tmp_path / "export.jsonl")
    (tmp_path / "one.rlem").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with (tmp_path / "export.jsonl").open("a") as stream:
        stream.write("{torn\n")
    with (
        open_memory(shop) as memory,
        pytest.raises(ExperienceMemoryError, match="not forgotten everywhere") as raised,
    ):
        memory.forget(task=SECRET, everywhere=True)
    assert "one.rlem" in str(raised.value)
    assert "export.jsonl, line 9" in str(raised.value)
    assert "two.rlem" not in str(raised.value)
    assert hash_of(shop) == hash_of(tmp_path / "two.rlem") == taught(None, walks(6)).hash()


def test_a_folder_that_may_not_be_looked_into_is_named(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that is out of reach is no copy that is not there."""
    (tmp_path / "closed").mkdir()
    with open_memory(shop) as memory:
        memory.export(tmp_path / "closed" / "export.jsonl")
        real = Path.stat

        def refusing(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
            if path.parent.name == "closed":
                raise PermissionError(13, "Permission denied")
            return real(path, follow_symlinks=follow_symlinks)

        monkeypatch.setattr(Path, "stat", refusing)
        monkeypatch.setattr(Path, "open", lambda path, *_, **__: refusing(path))
        with pytest.raises(ExperienceMemoryError, match=r"export\.jsonl .*Permission denied"):
            memory.forget(task=SECRET, everywhere=True)
        assert memory.experience_memory.find_episode("secret") is None


def test_an_export_that_has_nothing_of_it_is_not_touched(shop: Path, tmp_path: Path) -> None:
    """Not a byte, and not the file's own identity."""
    with open_memory(shop) as memory:
        memory.forget(task=SECRET)
        memory.export(tmp_path / "export.jsonl")
        memory.experience_memory.record(episode("more", [("x", "left", 1.0)], task="more"))
        before = (tmp_path / "export.jsonl").stat().st_ino
        memory.forget(task="more", everywhere=True)
    assert (tmp_path / "export.jsonl").stat().st_ino == before


@pytest.mark.parametrize("given", [{}, {"task": "a", "source": "b"}])
def test_one_criterion_is_needed(shop: Path, given: dict[str, str]) -> None:
    """None or two are refused, everywhere as here."""
    with open_memory(shop) as memory, pytest.raises(UsageError, match="exactly one"):
        memory.forget(**given, everywhere=True)  # type: ignore[arg-type]


def test_a_copy_on_a_server_is_taken_too(shop: Path, debian_cluster: Cluster) -> None:
    """It is noted by its address and forgets like a file."""
    url = debian_cluster.url()
    with open_memory(shop) as memory:
        memory.branch(url)
        assert [c.place for c in memory.copies()] == [url]
        memory.forget(task=SECRET, everywhere=True)
    assert hash_of(url) == hash_of(shop) == taught(None, walks(6)).hash()


@pytest.mark.parametrize("whole", [True, False], ids=["beside the export", "alone"])
def test_the_part_that_a_killed_export_left_goes_too(shop: Path, tmp_path: Path, whole: bool) -> None:
    """Torn at its end as it is; with or without an export of that name in place."""
    with open_memory(shop) as memory:
        memory.export(tmp_path / "out.jsonl")
        text = (tmp_path / "out.jsonl").read_text()
        (tmp_path / "out.jsonl.part").write_text(text[:-20])
        if not whole:
            (tmp_path / "out.jsonl").unlink()
        assert [Path(copy.place).name for copy in memory.copies()] == ["out.jsonl"]
        assert memory.forget(task=SECRET, everywhere=True) == 1
        assert holds(tmp_path, SECRET) == []
        assert not (tmp_path / "out.jsonl.part").exists()
        assert (tmp_path / "out.jsonl").exists() == whole


@pytest.mark.parametrize("text", ["", "torn"])
def test_a_part_without_an_episode_goes(shop: Path, tmp_path: Path, text: str) -> None:
    """Killed before the first line was whole: nothing went, and that is no fault."""
    with open_memory(shop) as memory:
        memory.export(tmp_path / "out.jsonl")
        (tmp_path / "out.jsonl").rename(tmp_path / "out.jsonl.part")
        (tmp_path / "out.jsonl.part").write_text(text)
        assert memory.forget(task=SECRET, everywhere=True) == 1
    assert not (tmp_path / "out.jsonl.part").exists()


def test_a_branch_is_a_branch_whatever_else_names_it(shop: Path, tmp_path: Path) -> None:
    """Merged back, it is no origin; what only a copy of a copy came from is called a copy."""
    with open_memory(shop) as memory:
        memory.branch(tmp_path / "branch.rlem")
        with open_memory(tmp_path / "branch.rlem") as branch:
            branch.experience_memory.record(episode("more", [("x", "left", 1.0)]))
            memory.merge(branch)
        with open_memory(tmp_path / "stranger.rlem") as stranger, open_memory(tmp_path / "all.rlem") as both:
            stranger.experience_memory.record(episode("own", [("y", "left", 1.0)], task=SECRET))
            both.merge(memory, stranger)
        assert [(c.kind, Path(c.place).name) for c in memory.copies()][:2] == [
            ("branch", "branch.rlem"),
            ("merge", "all.rlem"),
        ]
        outcomes = forget_everywhere(memory.experience_memory, open_store, task=SECRET)
    assert {Path(o.copy.place).name: o.copy.kind for o in outcomes} == {
        "branch.rlem": "branch",
        "all.rlem": "merge",
        "stranger.rlem": "copy",
        "shop.rlem": "memory",
    }
    assert holds(tmp_path, SECRET) == []


# -- runs --------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of two seeds in the corridor, with its report."""
    folder = execute(corridor_config(seeds=[0, 1], skip_solved=False), tmp_path / "run")
    write_report(folder.path)
    return folder


def trained(folder: RunFolder, seed: int) -> list[tuple[int, str]]:
    """Epoch and task of a seed's training records."""
    return [(r.epoch, r.task_id) for r in records_of(folder) if r.phase == "train" and r.seed == seed]


def test_a_runs_memory_knows_its_run(run: RunFolder) -> None:
    """The folder and the other seeds' memories; a branch elsewhere is no part of it."""
    assert places(run.memory_path(0)) == [("run", "run"), ("seed", "memory-1.rlem")]
    with open_memory(run.memory_path(0)) as memory:
        memory.branch(run.path / "trial.rlem")
    assert places(run.path / "trial.rlem")[0] == ("origin", "memory-0.rlem")
    run.config_path.unlink()
    assert places(run.memory_path(0)) == [("branch", "trial.rlem")]


def test_a_task_leaves_all_of_a_run(run: RunFolder) -> None:
    """Memories, records, the advice in other records, the report: its text stands nowhere any more."""
    text = next(r.instruction for r in records_of(run) if r.phase == "train")
    assert {"episodes.jsonl", "memory-0.rlem", "memory-1.rlem"} <= set(holds(run.path, text))
    with open_memory(run.memory_path(0)) as memory:
        assert memory.forget(task=text, everywhere=True) == 2
    assert holds(run.path, text) == []
    for seed in (0, 1):
        assert trained(run, seed) == [(e, f"corridor:{i}") for e in (1, 2) for i in range(4) if i != 0]
    evaluated = [r for r in records_of(run) if r.phase == "eval"]
    assert len(evaluated) == 36
    assert any(step.advice for r in evaluated for step in r.steps)
    timings = run.timings_path.read_text().splitlines()
    assert len(timings) == len(records_of(run))
    assert not (run.path / "report.html").exists()
    assert write_report(run.path).report_html.exists()


def test_an_episode_leaves_the_records_of_its_own_seed(run: RunFolder) -> None:
    """The other seed's episode of that id is another one: it stays, in memory and records."""
    before, other = records_of(run), hash_of(run.memory_path(1))
    with open_memory(run.memory_path(0)) as memory:
        name = next(item.id for item in memory.episodes() if item.task_id == "corridor:2")
        memory.forget(episode=name, everywhere=True)
    assert len(records_of(run)) == len(before) - 1
    assert (1, "corridor:2") not in trained(run, 0)
    assert (2, "corridor:2") in trained(run, 0)
    assert (1, "corridor:2") in trained(run, 1)
    assert hash_of(run.memory_path(1)) == other


def test_advice_of_what_was_seen_elsewhere_too_stays(run: RunFolder) -> None:
    """Forgetting the first of two visits of a task takes no exemplar out: the second one gives it, too."""
    advice = [len(step.advice) for r in records_of(run) if r.phase == "eval" for step in r.steps]
    with open_memory(run.memory_path(0)) as memory:
        name = next(item.id for item in memory.episodes() if item.task_id == "corridor:2")
        memory.forget(episode=name, everywhere=True)
        again = [item for item in memory.episodes() if item.task_id == "corridor:2"]
        assert len(again) == 1
    assert any(advice)
    after = [len(step.advice) for r in records_of(run) if r.phase == "eval" for step in r.steps]
    assert after == advice


@pytest.mark.parametrize("by", ["task", "task id", "episode"])
def test_a_run_is_cleared_after_its_memory_forgot_alone(run: RunFolder, by: str) -> None:
    """Forgetting here first and everywhere then leaves the run as forgetting everywhere at once: what is
    meant is known by what the records say, not by what the memory still has."""
    text = next(r.instruction for r in records_of(run) if r.phase == "train")
    with open_memory(run.memory_path(0)) as memory:
        name = next(item.id for item in memory.episodes() if item.task == text)
        given = {"task": {"task": text}, "task id": {"task": "corridor:0"}, "episode": {"episode": name}}[by]
        memory.forget(**given)  # type: ignore[arg-type]
        assert text in run.episodes_path.read_text()
        assert memory.forget(**given, everywhere=True) == 0  # type: ignore[arg-type]
        assert ((1, "corridor:0") in trained(run, 0), (2, "corridor:0") in trained(run, 0)) == (
            (False, by == "episode")
        )
        if by != "episode":
            assert holds(run.path, text) == []
        with pytest.raises(UsageError, match="nothing to forget"):
            memory.forget(**given, everywhere=True)  # type: ignore[arg-type]


def test_a_run_is_cleared_by_time_and_source_after_its_memory_forgot_alone(run: RunFolder) -> None:
    """Records have no times: one that the memory has not any more is as old as the one before it."""
    with open_memory(run.memory_path(0)) as memory:
        third = list(memory.episodes())[2]
        before = third.recorded_s
        memory.forget(before=before)
        assert memory.forget(before=before, everywhere=True) == 0
        assert trained(run, 0) == [(e, f"corridor:{i}") for e in (1, 2) for i in range(4)][2:]
        memory.forget(source=third.source)
        assert memory.forget(source=third.source, everywhere=True) == 0
    assert trained(run, 0) == trained(run, 1) == []
    assert not any(step.advice for r in records_of(run) for step in r.steps)


def test_from_a_branch_the_run_of_an_origin_that_forgot_is_cleared(run: RunFolder) -> None:
    """The branch has the episodes no more, the origin neither: the run's records still say the task."""
    text = next(r.instruction for r in records_of(run) if r.phase == "train")
    with open_memory(run.memory_path(0)) as memory:
        memory.branch(run.path.parent / "branch.rlem")
        memory.forget(task=text)
    with open_memory(run.path.parent / "branch.rlem") as branch:
        branch.forget(task=text)
        assert branch.forget(task=text, everywhere=True) == 0
    assert holds(run.path.parent, text) == []


def test_what_a_killed_rewriting_left_in_a_run_goes(run: RunFolder) -> None:
    """The part of a file of records that was never put in place."""
    part = run.path / "episodes.jsonl.part"
    part.write_bytes(run.episodes_path.read_bytes())
    with open_memory(run.memory_path(0)) as memory:
        memory.forget(task="corridor:0", everywhere=True)
    assert not part.exists()
