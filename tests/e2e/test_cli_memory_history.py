"""``rlem memory log``, ``diff``, ``branch``, ``merge``, ``correct``, and forgetting with its copies."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.support import command
from tests.support.command import complaint
from tests.support.command import inside as rlem
from tests.support.stage import corridor_config, execute

import rlem.cli.memory.common as common
from rlem.api.opening import open as open_memory
from rlem.core.clock import ManualClock
from rlem.core.errors import MemoryReadOnlyError
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.transfer import read_episodes
from rlem.testing.memory_cases import taught, walks
from rlem.values import ValueConfig


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A memory of eight episodes, recorded one by one, a day each from 2026-01-01 on, local time."""
    path = tmp_path / "shop.rlem"
    clock = ManualClock(datetime(2026, 1, 1, 12).timestamp())
    memory = ExperienceMemory(SQLiteStore(path), clock=clock)
    for item in walks(8):
        memory.record(item)
        clock.sleep(86400)
    memory.close()
    return path


def digest(path: Path) -> str:
    """The content hash of a memory file."""
    with open_memory(path, read_only=True) as memory:
        return memory.hash()


def well(*arguments: str | Path, cwd: Path) -> str:
    """Runs a command that must succeed; its standard output with single blanks."""
    done = rlem(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return re.sub(r"[ \n]+", " ", done.stdout)


def revision_of(path: Path) -> int:
    """The revision of a memory file."""
    with open_memory(path, read_only=True) as memory:
        return memory.experience_memory.revision()


def test_as_processes_branch_merge_and_log_work_on_files(shop: Path) -> None:
    """Two branches that recorded apart are merged either way to one hash; the log says what was done."""
    folder = shop.parent
    command.well("memory", "branch", "shop.rlem", "a.rlem", cwd=folder)
    command.well("memory", "branch", "shop.rlem", "b.rlem", "--at", "4", cwd=folder)
    command.well("memory", "correct", "a.rlem", "walk-001", "--step", "0", "--reward", "3", cwd=folder)
    command.well("memory", "merge", "a.rlem", "b.rlem", "--out", "ab.rlem", cwd=folder)
    command.well("memory", "merge", "b.rlem", "a.rlem", cwd=folder)
    assert digest(folder / "ab.rlem") == digest(folder / "b.rlem") == digest(folder / "a.rlem")
    out = command.well("memory", "log", "shop.rlem", cwd=folder)
    assert re.sub(r"\s", "", f"branched to {folder / 'a.rlem'}") in re.sub(r"\s", "", out)


def test_log_shows_the_last_changes(shop: Path) -> None:
    """Recordings in a row are one line, with day and number; --limit says how many lines are left out."""
    well("memory", "forget", shop.name, "--episode", "walk-000", cwd=shop.parent)
    well("memory", "export", shop.name, "out.jsonl", cwd=shop.parent)
    out = well("memory", "log", shop.name, cwd=shop.parent)
    assert out.startswith(
        "revision when what 1 memory made 2 nothing left to show (upkeep, or recorded and forgotten since) "
        "3-9 2026-01-08 12:00:00 7 episodes recorded 10 "
    )
    assert "1 episode forgotten" in out
    assert "exported to" in out
    short = well("memory", "log", shop.name, "--limit", "2", cwd=shop.parent)
    assert short.startswith("... 3 lines before these (--limit)")
    assert "recorded" not in short


def test_log_names_settings_and_views_and_leaves_no_revision_out(shop: Path) -> None:
    """Other settings, a new view made by either way, one taken away, their copies: each has a line."""
    folder = shop.parent
    well("memory", "rebuild", shop.name, "--discount", ".5", cwd=folder)
    well("memory", "rebuild", shop.name, "--view", "near", "--discount", ".1", cwd=folder)
    with open_memory(shop, view="far", values=ValueConfig(discount=0.9)):
        pass
    well("memory", "views", shop.name, "--drop", "near", cwd=folder)
    well("memory", "branch", shop.name, "branch.rlem", cwd=folder)
    out = rlem("memory", "log", shop.name, cwd=folder).stdout
    for line in ("settings of view main changed", "view near made", "view far made", "view near taken away"):
        assert line in out
    assert "view far made" in rlem("memory", "log", "branch.rlem", cwd=folder).stdout
    spans = re.findall(r"^(\d+)(?:-(\d+))? ", out, re.MULTILINE)
    listed = [n for first, last in spans for n in range(int(first), int(last or first) + 1)]
    assert listed == list(range(1, revision_of(shop) + 1))


@pytest.mark.parametrize(
    "arguments",
    [("branch", "shop.rlem"), ("copy", "shop.rlem"), ("merge", "shop.rlem", "shop.rlem", "--out")],
)
def test_a_copy_that_nobody_could_use_is_refused(shop: Path, arguments: tuple[str, ...]) -> None:
    """A memory in the process of a command is gone with it."""
    done = rlem("memory", *arguments, ":memory:", cwd=shop.parent)
    assert ":memory: would be gone" in complaint(done, 2)


def test_diff_shows_moves_and_their_episodes(shop: Path) -> None:
    """From a revision to now: which appeared, how far values went, by whom; --json has it all."""
    last = revision_of(shop)
    out = well("memory", "diff", shop.name, "--from", str(last - 1), cwd=shop.parent)
    assert out.startswith("1 episode appeared: walk-007")
    assert " -> " in out
    data = json.loads(
        rlem("memory", "diff", shop.name, "--to", str(last - 1), "--json", cwd=shop.parent).stdout
    )
    assert data["gone"] == ["walk-007"]
    assert {name for e in data["experiences"] for a in e["actions"] for name in a["episodes"]} == {"walk-007"}
    well("memory", "branch", shop.name, "same.rlem", cwd=shop.parent)
    assert well("memory", "diff", shop.name, "same.rlem", cwd=shop.parent) == "no difference "
    assert "and" in well("memory", "diff", shop.name, "--from", "0", "--limit", "1", cwd=shop.parent)


def test_show_looks_back(shop: Path) -> None:
    """As it was after the fourth recording."""
    with open_memory(shop, read_only=True) as memory:
        fourth = memory.log()[3].revision
    assert "from 4 episodes" in well("memory", "show", shop.name, "--at", str(fourth), cwd=shop.parent)
    assert "no revision 99" in complaint(rlem("memory", "show", shop.name, "--at", "99", cwd=shop.parent), 2)


def test_branch_prints_the_common_hash(shop: Path) -> None:
    """Of the memory, or of the revision that was asked for."""
    out = well("memory", "branch", shop.name, "now.rlem", cwd=shop.parent)
    assert digest(shop) in out
    well("memory", "branch", shop.name, "then.rlem", "--at", "3", cwd=shop.parent)
    assert "as of revision 3" in well("memory", "log", "then.rlem", cwd=shop.parent)
    assert digest(shop.with_name("then.rlem")) != digest(shop)


def test_branch_does_not_write_over_a_file_or_leave_half_of_one(shop: Path) -> None:
    """An existing name is refused; a revision that is not there leaves no file."""
    before = shop.read_bytes()
    assert "exists already" in complaint(rlem("memory", "branch", shop.name, shop.name, cwd=shop.parent), 1)
    assert shop.read_bytes() == before
    complaint(rlem("memory", "branch", shop.name, "new.rlem", "--at", "99", cwd=shop.parent), 2)
    assert not shop.with_name("new.rlem").exists()


def test_a_memory_that_cannot_be_written_is_branched_all_the_same(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that the memory does not know of the copy."""
    real = common.open_file

    def refusing(file: Path | str, *, write: bool = False) -> object:
        if write:
            raise MemoryReadOnlyError("no")
        return real(file)

    monkeypatch.setattr(common, "open_file", refusing)
    done = rlem("memory", "branch", shop.name, "new.rlem", cwd=shop.parent)
    assert done.returncode == 0
    assert "does not know of this copy" in done.stderr
    assert digest(shop) == digest(shop.with_name("new.rlem"))


SOMEBODY_ELSE = """
import encodings.ascii, os, sys  # all that is needed: the other user may not reach Python's own files
import rich.progress, rich._unicode_data, rlem.memory.transfer, rlem.api.opening
from rlem.cli.main import main

os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.exit(main(["memory", "export", *sys.argv[1:]]))
"""


def test_a_file_without_permission_to_write_is_exported(shop: Path) -> None:
    """The same with a file that is really read-only, by a user who is not root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        source = folder / shop.name
        source.write_bytes(shop.read_bytes())
        source.chmod(0o444)
        done = subprocess.run(
            [sys.executable, "-c", SOMEBODY_ELSE, str(source), str(folder / "out.jsonl")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "does not know of this copy" in done.stderr
        assert [item.id for item in read_episodes(folder / "out.jsonl")] == [w.id for w in walks(8)]


def test_merge_refuses_conflicts_and_other_settings(shop: Path) -> None:
    """Neither file changes, no new one stays; --settings-of solves the second."""
    folder, other = shop.parent, shop.with_name("other.rlem")
    well("memory", "rebuild", shop.name, "--out", other.name, "--discount", ".5", cwd=folder)
    before = digest(shop), digest(other)
    done = rlem("memory", "merge", shop.name, other.name, "--out", "new.rlem", cwd=folder)
    assert "other settings (values)" in complaint(done, 2)
    assert "--settings-of MEMORY" in done.stderr
    assert not (folder / "new.rlem").exists()
    assert (digest(shop), digest(other)) == before
    arguments = ("memory", "merge", shop.name, other.name)
    assert "one of those" in complaint(rlem(*arguments, "--settings-of", "x.rlem", cwd=folder), 2)
    assert "exists already" in complaint(rlem(*arguments, "--out", other.name, cwd=folder), 1)
    well(*arguments, "--settings-of", other.name, "--out", "new.rlem", cwd=folder)
    assert digest(folder / "new.rlem") == digest(other)
    with open_memory(folder / "foe.rlem") as memory, memory.episode("another", id="walk-001") as played:
        played.record("left", 1.0, "a page")
    done = rlem("memory", "merge", shop.name, "foe.rlem", "--out", "last.rlem", cwd=folder)
    assert "walk-001" in complaint(done, 1)
    assert not (folder / "last.rlem").exists()


def test_correct_prints_what_moved(shop: Path) -> None:
    """Old and new reward of each step, then the values."""
    out = well(
        *("memory", "correct", shop.name, "walk-006", "--step", "1", "--reward", "4"),
        *("--step", "0", "--reward", "-1", "--reason", "wrong door"),
        cwd=shop.parent,
    )
    was = [step.reward for step in walks(8)[6].transitions]
    assert f"step 0: {was[0]:g} -> -1 " in out
    assert f"step 1: {was[1]:g} -> 4 " in out
    assert "1 episode with other rewards: walk-006" in out
    assert re.search(r" -> -?\d\.\d{3} \(\d\) walk-006", out)
    with open_memory(shop, read_only=True) as memory:
        found = memory.experience_memory.find_episode("walk-006")
    assert found is not None
    assert [(c.step, c.now, c.reason) for c in found.corrections] == [
        (0, -1.0, "wrong door"),
        (1, 4.0, "wrong door"),
    ]


REWARD = f"{walks(8)[3].transitions[0].reward:g}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--step", "0"), "--reward"),
        (("--step", "0", "--step", "1", "--reward", "1"), "one --reward for each --step"),
        (("--step", "0", "--step", "0", "--reward", "1", "--reward", "2"), "each step once"),
        (("--step", "0", "--reward", "nan"), "nan"),
        (("--step", "99", "--reward", "1"), "no step 99"),
        (("--step", "0", "--reward", REWARD), f"nothing to correct: step 0 has the reward {REWARD} already"),
    ],
)
def test_a_wrong_correction_changes_nothing(shop: Path, arguments: tuple[str, ...], words: str) -> None:
    """One line says what is wrong."""
    before = digest(shop)
    assert words in complaint(
        rlem("memory", "correct", shop.name, "walk-003", *arguments, cwd=shop.parent), 2
    )
    assert digest(shop) == before


def test_forget_before_a_time(shop: Path) -> None:
    """A date is its midnight, local time; a time may name its zone."""
    assert "2 episodes forgotten" in well(
        "memory", "forget", shop.name, "--before", "2026-01-03", cwd=shop.parent
    )
    zoned = datetime(2026, 1, 3, 12, 0, 1).astimezone().isoformat()
    assert "1 episode forgotten" in well("memory", "forget", shop.name, "--before", zoned, cwd=shop.parent)
    assert digest(shop) == taught(None, walks(8)[3:]).hash()
    done = rlem("memory", "forget", shop.name, "--before", "yesterday", cwd=shop.parent)
    assert "--before 'yesterday' is no time" in complaint(done, 2)
    with open_memory(shop) as memory:
        assert memory.forget(before=datetime(2026, 1, 5)) == 1
        assert memory.forget(before=datetime(2026, 1, 6).timestamp()) == 1


@pytest.mark.parametrize("everywhere", [(), ("--everywhere",)], ids=["here", "everywhere"])
def test_a_time_before_which_there_is_nothing_is_named_as_given(
    shop: Path, everywhere: tuple[str, ...]
) -> None:
    """Not as seconds since the epoch."""
    done = rlem("memory", "forget", shop.name, "--before", "1999-01-01", *everywhere, cwd=shop.parent)
    assert "matches '1999-01-01'" in complaint(done, 2)


def test_the_hint_of_a_plain_forget_works_for_a_run(tmp_path: Path) -> None:
    """The same command with --everywhere takes records and exemplars out of the run, and says how many."""
    run = execute(corridor_config(seeds=[0], skip_solved=False), tmp_path / "run")
    given = ("memory", "forget", str(run.memory_path(0)), "--task", "corridor:0")
    assert "the same command with --everywhere" in well(*given, cwd=tmp_path)
    changed = well(*given, "--everywhere", cwd=tmp_path)
    assert re.match(r"\S+/run \(run\): \d\d? records taken out or changed ", changed)
    assert ": 0 episodes forgotten" in changed
    assert "nothing to forget" in complaint(rlem(*given, "--everywhere", cwd=tmp_path), 2)


def test_forget_names_the_copies_and_everywhere_takes_them(shop: Path) -> None:
    """First the branch, its export and the export are named; then they are forgotten in, one line each."""
    folder = shop.parent
    well("memory", "branch", shop.name, "branch.rlem", cwd=folder)
    well("memory", "export", "branch.rlem", "branch.jsonl", cwd=folder)
    well("memory", "export", shop.name, "shop.jsonl", cwd=folder)
    done = rlem("memory", "forget", shop.name, "--episode", "walk-000", cwd=folder)
    assert "--everywhere" in done.stdout
    for name in ("branch.rlem (branch of", "branch.jsonl (export of", "shop.jsonl (export of"):
        assert f"{folder / name}" in done.stdout
    done = rlem("memory", "forget", shop.name, "--episode", "walk-001", "--everywhere", cwd=folder)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{folder / 'branch.jsonl'} (export): 1 episode forgotten",
        f"{folder / 'branch.rlem'} (branch): 1 episode forgotten",
        f"{folder / 'shop.jsonl'} (export): 1 episode forgotten",
        f"shop.rlem: 1 episode forgotten; {len(taught(None, walks(8)[2:]))} experiences remain",
    ]
    assert digest(shop) == taught(None, walks(8)[2:]).hash()


def test_everywhere_ends_with_status_1_where_a_copy_was_not_reached(shop: Path) -> None:
    """What was done is printed, the place and its fault are named."""
    folder = shop.parent
    well("memory", "export", shop.name, "shop.jsonl", cwd=folder)
    (folder / "shop.jsonl").write_text("no export\n")
    done = rlem("memory", "forget", shop.name, "--episode", "walk-001", "--everywhere", cwd=folder)
    assert "1 episode forgotten" in done.stdout
    assert f"not forgotten everywhere: {folder / 'shop.jsonl'}" in complaint(done, 1)
    with open_memory(shop, read_only=True) as memory:
        assert memory.experience_memory.find_episode("walk-001") is None


def test_diff_needs_something_to_compare_with(shop: Path) -> None:
    """A file alone is refused."""
    assert "say what to compare" in complaint(rlem("memory", "diff", shop.name, cwd=shop.parent), 2)
