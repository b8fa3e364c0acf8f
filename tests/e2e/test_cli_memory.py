"""``rlem memory``: look into a memory file, forget, rebuild, export, import."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import command
from tests.support.command import complaint
from tests.support.command import inside as rlem

from rlem.api.opening import open as open_memory
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.testing.memory_cases import taught, walks


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A memory of eight episodes."""
    path = tmp_path / "shop.rlem"
    memory = ExperienceMemory(SQLiteStore(path))
    memory.record_many(walks(8))
    memory.close()
    return path


def opened(path: Path) -> ExperienceMemory:
    """A memory file, only to read."""
    return ExperienceMemory(SQLiteStore(path, read_only=True))


def digest(path: Path) -> str:
    """The content hash of a memory file."""
    memory = opened(path)
    try:
        return memory.hash()
    finally:
        memory.close()


def well(*arguments: str | Path, cwd: Path) -> str:
    """Runs a command that must succeed; its standard output."""
    done = rlem(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown_keys(text: str) -> list[str]:
    """Keys as `rlem memory show` printed them."""
    return re.findall(r"^([0-9a-f]{8}) ", text, re.MULTILINE)


def test_as_processes_the_commands_work_on_one_file(shop: Path) -> None:
    """Export, forget, import again, show: what was forgotten comes back with the export."""
    folder, before = shop.parent, digest(shop)
    command.well("memory", "export", shop.name, "shop.jsonl", cwd=folder)
    command.well("memory", "forget", shop.name, "--episode", walks(8)[-1].id, cwd=folder)
    assert digest(shop) != before
    command.well("memory", "import", shop.name, "shop.jsonl", "--trust", "keep", cwd=folder)
    assert digest(shop) == before
    out = command.well("memory", "show", shop.name, cwd=folder)
    assert out == well("memory", "show", shop.name, cwd=folder)
    assert "from 8 episodes" in out


# -- looking -----------------------------------------------------------------------------------------


def test_show_lists_experiences_with_values(shop: Path) -> None:
    """Every experience up to the limit, the most visited first; --task filters; nothing is written."""
    before = shop.read_bytes()
    memory = opened(shop)
    everything = memory.experiences()
    memory.close()
    out = well("memory", "show", shop.name, cwd=shop.parent)
    assert f"{len(everything)} experiences from 8 episodes" in out
    assert sorted(shown_keys(out)) == sorted(e.key[:8] for e in everything)[: len(shown_keys(out))]
    few = well("memory", "show", shop.name, "--limit", "2", cwd=shop.parent)
    assert len(shown_keys(few)) == 2
    assert f"and {len(everything) - 2} more" in few
    assert shown_keys(well("memory", "show", shop.name, "--task", "no such task", cwd=shop.parent)) == []
    assert shop.read_bytes() == before


def test_explain_names_the_episodes_behind_a_value(shop: Path) -> None:
    """A key's beginning is enough; every action comes with its value, n and episodes."""
    memory = opened(shop)
    experience = max(memory.experiences(), key=lambda e: e.samples)
    action = experience.actions[0]
    sources = [c.episode.id for c in memory.contributions(experience.key, action.action)]
    memory.close()
    out = well(
        "memory", "explain", shop.name, experience.key[:10], "--action", action.action, cwd=shop.parent
    )
    assert f"value {action.q_value:.3f}  n={action.visits}" in out
    assert sources
    assert all(source in out for source in sources)
    every = well("memory", "explain", shop.name, experience.key, cwd=shop.parent)
    assert all(a.action in every for a in experience.actions)


def test_explain_of_what_is_not_there(shop: Path) -> None:
    """Unknown keys, keys that are too short and untried actions are told apart."""
    memory = opened(shop)
    experience = memory.experiences()[0]
    memory.close()
    assert "no experiences" in complaint(rlem("memory", "explain", shop.name, "zz", cwd=shop.parent), 2)
    assert "give more of it" in complaint(rlem("memory", "explain", shop.name, "", cwd=shop.parent), 2)
    untried = rlem("memory", "explain", shop.name, experience.key, "--action", "fly", cwd=shop.parent)
    assert experience.actions[0].action in complaint(untried, 2)


PHONE_PAGE = "\n".join(
    f'<p id="{n}" clickable="true">Part {n} of a page for the tablet</p>' for n in range(40)
)


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """A memory whose actions are numbers of elements: two steps of one task, an episode with a long id."""
    path = tmp_path / "phone.rlem"
    with (
        open_memory(path) as memory,
        memory.episode(task="Open the box.\nThen, leave", id="x" * 90) as played,
    ):
        for due, number, reward in (("Find the lid", 30, 0.0), ("Lift the lid", 31, 1.0)):
            played.advise(PHONE_PAGE, [f"CLICK({n})" for n in range(40)], subtask=due)
            played.record(f"CLICK({number})", reward, reason=PHONE_PAGE.split("\n")[number])
    return path


def test_show_tells_steps_of_one_task_apart(phone: Path) -> None:
    """The instruction due, and beside an action its reason, each on one line that the width cuts."""
    out = well("memory", "show", phone.name, cwd=phone.parent)
    assert max(map(len, out.splitlines())) <= 80
    for due, number in (("Find the lid", 30), ("Lift the lid", 31)):
        assert re.search(
            rf"^[0-9a-f]{{8}} +1 +Open the box. Then, leave *\n +due: {due} *\n"
            rf' +[01].\d\d \(1\)  CLICK\({number}\)  <p id="{number}".*… *$',
            out,
            re.MULTILINE,
        )


def test_explain_shows_page_instruction_and_element(phone: Path) -> None:
    """The page is there beyond its beginning, the element's line stands below its action; ids stay short."""
    (key, *_) = shown_keys(well("memory", "show", phone.name, cwd=phone.parent))
    out = well("memory", "explain", phone.name, key, cwd=phone.parent)
    found = json.loads(well("memory", "explain", phone.name, key, "--json", cwd=phone.parent))[0]
    (action,) = found["actions"]
    assert f"instruction due: {found['subtask']}" in out
    assert PHONE_PAGE in out
    assert re.search(rf"^{re.escape(action['action'])}  value .*(\n.*)?\n<p id=", out, re.MULTILINE)
    assert out.count(action["reason"]) == 2
    assert action["visits"][0]["episode"] == "x" * 90
    assert re.search(r"^1 +x+… +[01] ", out, re.MULTILINE)
    moved = well("memory", "diff", phone.name, "--from", "0", cwd=phone.parent)
    assert moved.count("…") >= 2
    assert "x" * 30 not in re.sub(r"\s", "", moved.partition("by")[2])


# -- forgetting --------------------------------------------------------------------------------------


def test_forget_leaves_the_memory_that_never_saw_the_episode(shop: Path) -> None:
    """By hash; and the episode is gone from what show and explain print."""
    gone = walks(8)[-1].id
    out = well("memory", "forget", shop.name, "--episode", gone, cwd=shop.parent)
    assert "1 episode forgotten" in out
    assert digest(shop) == taught(None, walks(7)).hash()
    shown = well("memory", "show", shop.name, "--limit", "999", cwd=shop.parent)
    assert "from 7 episodes" in shown
    again = rlem("memory", "forget", shop.name, "--episode", gone, cwd=shop.parent)
    assert gone in complaint(again, 2)


def test_forget_of_a_task_takes_it_out_of_show(shop: Path) -> None:
    """All its episodes go, whatever their number; other tasks stay."""
    tasks = {episode.task for episode in walks(8)}
    task = walks(8)[0].task
    well("memory", "forget", shop.name, "--task", task, cwd=shop.parent)
    memory = opened(shop)
    left = {e.situation.task for e in memory.experiences()}
    memory.close()
    assert task not in left
    assert left == tasks - {task}


def test_forget_needs_to_know_what(shop: Path) -> None:
    """Without a choice, or with two, nothing goes."""
    before = digest(shop)
    for arguments in ([], ["--task", "a", "--episode", "b"]):
        message = complaint(rlem("memory", "forget", shop.name, *arguments, cwd=shop.parent), 2)
        assert "--episode" in message
    assert digest(shop) == before


# -- rebuilding --------------------------------------------------------------------------------------


def test_rebuild_into_another_file_and_in_place(shop: Path) -> None:
    """Both give the same memory, under the new settings; --out leaves FILE as it was."""
    before = digest(shop)
    options = ("-n", "1", "--discount", ".9")
    well("memory", "rebuild", shop.name, *options, "--out", "other.rlem", cwd=shop.parent)
    assert digest(shop) == before
    well("memory", "rebuild", shop.name, *options, cwd=shop.parent)
    assert digest(shop) == digest(shop.with_name("other.rlem"))
    memory = opened(shop)
    values = memory.config.values
    memory.close()
    assert (values.n, values.discount) == (1, 0.9)
    assert "1-step Q-learning, discount 0.9" in " ".join(
        well("memory", "show", shop.name, cwd=shop.parent).split()
    )
    well("memory", "rebuild", shop.name, "--monte-carlo", "--discount", "1", cwd=shop.parent)
    assert digest(shop) == taught(None, walks(8)).hash()


def test_rebuild_refuses_what_does_not_fit(shop: Path) -> None:
    """Settings that exclude each other, impossible ones, and an --out that exists; nothing changes."""
    before = shop.read_bytes()
    shop.with_name("there").write_text("mine")
    folder = shop.parent
    both = rlem("memory", "rebuild", shop.name, "-n", "1", "--trace-decay", "0.5", cwd=folder)
    assert "exclude each other" in complaint(both, 2)
    assert "7" in complaint(rlem("memory", "rebuild", shop.name, "--discount", "7", cwd=folder), 2)
    there = rlem("memory", "rebuild", shop.name, "--out", "there", cwd=folder)
    assert "exists already" in complaint(there, 1)
    assert shop.read_bytes() == before
    assert shop.with_name("there").read_text() == "mine"


# -- export and import -------------------------------------------------------------------------------


def test_an_export_comes_back_the_same(shop: Path) -> None:
    """With --trust keep or verified the hash is that of the original; again adds nothing."""
    folder = shop.parent
    assert "8 episodes" in well("memory", "export", shop.name, "shop.jsonl", cwd=folder)
    out = well("memory", "import", "copy.rlem", "shop.jsonl", "--trust", "keep", cwd=folder)
    assert "8 episodes taken in, 0 were there already" in " ".join(out.split())
    assert digest(folder / "copy.rlem") == digest(shop)
    out = well("memory", "import", "copy.rlem", "shop.jsonl", "--trust", "keep", cwd=folder)
    assert "0 episodes taken in, 8 were there already" in " ".join(out.split())
    assert digest(folder / "copy.rlem") == digest(shop)


def test_an_import_is_unverified_unless_vouched_for(shop: Path) -> None:
    """The default informs but never encourages, and says so."""
    folder = shop.parent
    well("memory", "export", shop.name, "shop.jsonl", cwd=folder)
    done = rlem("memory", "import", "copy.rlem", "shop.jsonl", cwd=folder)
    assert done.returncode == 0
    assert "unverified" in done.stderr
    assert "--trust" in done.stderr
    memory = opened(folder / "copy.rlem")
    trusts = [(new.trust, old.trust) for new, old in zip(memory.episodes(), walks(8), strict=True)]
    memory.close()
    assert ("unverified", "verified") in trusts
    assert all(new == "unverified" for new, old in trusts if old != "quarantined")
    assert all(new == "quarantined" for new, old in trusts if old == "quarantined")


def test_export_does_not_overwrite(shop: Path) -> None:
    """A file that is there stays what it is, above all the memory itself."""
    before = shop.read_bytes()
    message = complaint(rlem("memory", "export", shop.name, shop.name, cwd=shop.parent), 1)
    assert "exists already" in message
    assert shop.read_bytes() == before


def test_a_broken_line_is_named_and_nothing_is_taken_in(shop: Path) -> None:
    """Neither into a new file, which does not stay behind, nor into one that is there."""
    folder = shop.parent
    well("memory", "export", shop.name, "shop.jsonl", cwd=folder)
    lines = (folder / "shop.jsonl").read_text().splitlines()
    (folder / "broken.jsonl").write_text("\n".join([*lines[:4], lines[4][:50], *lines[5:]]) + "\n")
    before = sorted(path.name for path in folder.iterdir())
    message = complaint(rlem("memory", "import", "new.rlem", "broken.jsonl", cwd=folder), 1)
    assert "broken.jsonl, line 5" in message
    assert sorted(path.name for path in folder.iterdir()) == before
    well("memory", "forget", shop.name, "--episode", walks(8)[-1].id, cwd=folder)
    known = digest(shop)
    complaint(rlem("memory", "import", shop.name, "broken.jsonl", cwd=folder), 1)
    assert digest(shop) == known


def test_a_pool_of_the_reference_is_taken_in(golden: Callable[[str], Path], tmp_path: Path) -> None:
    """Its values come out as they are recorded, under the similarity that was asked for."""
    pool = golden("pools/init_pool.q.yaml")
    well(
        "memory", "import", "shop.rlem", pool, "--trust", "verified", "--similarity", "webshop", cwd=tmp_path
    )
    memory = opened(tmp_path / "shop.rlem")
    assert len(memory) > 0
    assert {episode.trust for episode in memory.episodes()} == {"verified"}
    assert "page-type" in memory.config.similarity.fingerprint
    memory.close()
    assert shown_keys(well("memory", "show", "shop.rlem", cwd=tmp_path))


# -- the wrong file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [["show"], ["explain", "KEY"], ["forget", "--task", "x"], ["rebuild"], ["export", "out.jsonl"]],
    ids=lambda command: command[0],
)
def test_a_file_that_is_not_there_is_named_and_not_made(tmp_path: Path, command: list[str]) -> None:
    """Only import makes a memory file."""
    name, *rest = command
    message = complaint(rlem("memory", name, "nofile.rlem", *rest, cwd=tmp_path), 1)
    assert "nofile.rlem" in message
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_memory_is_left_alone(tmp_path: Path) -> None:
    """A text file, and a folder, given by mistake."""
    (tmp_path / "notes.txt").write_text("my notes\n" * 200)
    for words in (["show", "notes.txt"], ["rebuild", "notes.txt"], ["import", "notes.txt", "notes.txt"]):
        assert "notes.txt" in complaint(rlem("memory", *words, cwd=tmp_path), 1)
    assert (tmp_path / "notes.txt").read_text() == "my notes\n" * 200
    assert "is a folder" in complaint(rlem("memory", "show", ".", cwd=tmp_path), 1)


def test_a_newer_schema_is_refused(shop: Path) -> None:
    """The message says to upgrade."""
    connection = sqlite3.connect(shop)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "upgrade rlem" in complaint(rlem("memory", "show", shop.name, cwd=shop.parent), 1)


UNPRIVILEGED = """
import encodings.ascii, encodings.idna, os, sys
from rlem.cli.main import main
import rlem.memory.sqlite, rlem.memory.transfer
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.chdir(sys.argv[1])
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)
def test_a_read_only_folder_can_be_read_and_says_so_when_written(shop: Path) -> None:
    """show works for a user who may only read; forget names the file and changes nothing."""
    for parent in list(shop.parents)[:3]:
        parent.chmod(0o755)

    def other(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(shop.parent), *arguments],
            capture_output=True, encoding="utf-8", check=False, timeout=60,
        )  # fmt: skip

    read = other("memory", "show", shop.name)
    assert read.returncode == 0, read.stderr
    assert "from 8 episodes" in read.stdout
    message = complaint(other("memory", "forget", shop.name, "--episode", walks(8)[0].id), 1)
    assert shop.name in message
    assert "out.jsonl" in complaint(other("memory", "export", shop.name, "out.jsonl"), 1)
    assert digest(shop) == taught(None, walks(8)).hash()


def test_json_numbers_are_kept_exactly(shop: Path) -> None:
    """What was exported is plain JSON lines, one header and one episode a line."""
    well("memory", "export", shop.name, "shop.jsonl", cwd=shop.parent)
    lines = [json.loads(line) for line in (shop.parent / "shop.jsonl").read_text().splitlines()]
    assert lines[0]["format"] == "rlem-episodes"
    assert [line["id"] for line in lines[1:]] == [episode.id for episode in walks(8)]
