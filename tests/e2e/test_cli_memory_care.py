"""``rlem memory doctor``, ``rebuild`` with views and similarities, ``views``, ``explain`` of advice."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import command
from tests.support.command import complaint
from tests.support.command import inside as rlem
from tests.support.postgres import Cluster, debian_cluster, opened, server, sql

from rlem.api.memory import Memory
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.sqlite import SQLiteStore
from rlem.similarity.config import preset
from rlem.testing.memory_cases import taught, walks
from rlem.values import ValueConfig

__all__ = ["debian_cluster", "server"]  # fixtures

LOG = walks(12)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A memory with a correction."""
    path = tmp_path / "shop.rlem"
    with closing(SQLiteStore(path)) as store:
        memory = ExperienceMemory(store)
        memory.record_many(LOG)
        memory.correct("walk-000", {0: 0.25})
    return path


def well(*arguments: str | Path, cwd: Path) -> str:
    """Runs a command that must succeed; its standard output."""
    done = rlem(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(*arguments: str | Path, cwd: Path) -> Any:
    """What a command prints as JSON."""
    return json.loads(well(*arguments, "--json", cwd=cwd))


def damage(path: Path, statement: str) -> None:
    """Changes a memory's file behind its back."""
    with closing(sqlite3.connect(path)) as sql, sql:
        sql.execute(statement)


def digest(path: Path, view: str = "main") -> str:
    """The content hash of a view."""
    with closing(SQLiteStore(path, read_only=True)) as store:
        return ExperienceMemory(store, view=view).hash()


def corrected(config: MemoryConfig | None = None) -> ExperienceMemory:
    """A memory of the same log."""
    memory = taught(config, LOG)
    memory.correct("walk-000", {0: 0.25})
    return memory


# -- doctor ------------------------------------------------------------------------------------------


def test_a_sound_memory_gives_a_line_for_each_check(shop: Path) -> None:
    """All of them ok, status 0; the file is only read."""
    before = shop.read_bytes()
    lines = well("memory", "doctor", shop.name, "--full", cwd=shop.parent).splitlines()
    assert len(lines) > 10
    assert all(line.startswith("ok ") for line in lines)
    assert shop.read_bytes() == before


def test_damage_is_status_1_until_it_is_repaired(shop: Path) -> None:
    """The check is named, as text and as JSON; after --repair all is well, as in a process of its own."""
    damage(shop, "UPDATE experiences SET state = replace(state, '[1,', '[2,')")
    done = rlem("memory", "doctor", shop.name, cwd=shop.parent)
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("WRONG")] == ["values"]
    as_json = rlem("memory", "doctor", shop.name, "--json", cwd=shop.parent)
    assert as_json.returncode == 1
    (wrong,) = (item for item in json.loads(as_json.stdout) if not item["ok"])
    assert wrong["check"] == "values of view main"
    assert wrong["count"] > 0
    assert "repaired" in command.well("memory", "doctor", shop.name, "--repair", cwd=shop.parent)
    assert "repaired" not in well("memory", "doctor", shop.name, cwd=shop.parent)
    assert digest(shop) == corrected().hash()


def test_a_damaged_log_is_not_repaired_but_saved(shop: Path) -> None:
    """--repair leaves status 1; --salvage writes what can be read, names what cannot; status 1."""
    damage(shop, "UPDATE episodes SET start = 'x' WHERE number = 3")
    assert rlem("memory", "doctor", shop.name, "--repair", cwd=shop.parent).returncode == 1
    done = rlem("memory", "doctor", shop.name, "--salvage", "saved.rlem", cwd=shop.parent)
    assert done.returncode == 1
    assert "11 episodes saved, 1 lost" in done.stdout
    assert "walk-002" in done.stdout
    left = taught(None, [item for item in LOG if item.id != "walk-002"])
    left.correct("walk-000", {0: 0.25})
    assert digest(shop.with_name("saved.rlem")) == left.hash()
    again = rlem("memory", "doctor", shop.name, "--salvage", "saved.rlem", cwd=shop.parent)
    assert "exists already" in complaint(again, 1)
    assert not [path for path in shop.parent.iterdir() if path.is_dir()]


def test_a_file_that_cannot_be_opened_says_what_can_be_done(shop: Path) -> None:
    """Cut off: one line that names --salvage, which works. No memory at all: nothing is made."""
    whole = shop.read_bytes()
    shop.write_bytes(whole[: len(whole) * 9 // 10])
    assert "--salvage OUT" in complaint(rlem("memory", "doctor", shop.name, cwd=shop.parent), 1)
    done = rlem("memory", "doctor", shop.name, "--salvage", "saved.rlem", "--json", cwd=shop.parent)
    saved = json.loads(done.stdout)
    assert 0 < saved["episodes"] <= 12
    shop.write_bytes(b"no memory" * 999)
    assert "not a memory" in complaint(
        rlem("memory", "doctor", shop.name, "--salvage", "none.rlem", cwd=shop.parent), 1
    )
    assert not shop.with_name("none.rlem").exists()
    shop.with_name("empty.rlem").touch()
    with closing(sqlite3.connect(shop.with_name("foreign.rlem"))) as sql, sql:
        sql.execute("CREATE TABLE t (x)")
    for name, message in {
        ".": "is a folder",
        shop.name: "not a memory file",
        "empty.rlem": "there is no memory in",
        "foreign.rlem": "not a memory of rlem's",
        "/dev/null": "there is no memory in",
    }.items():
        plain, salvage = (
            complaint(rlem("memory", "doctor", name, *more, cwd=shop.parent), 1)
            for more in ((), ("--salvage", "none.rlem"))
        )
        assert message in plain
        assert salvage == plain
        assert plain == complaint(rlem("memory", "show", name, cwd=shop.parent), 1)
    missing = rlem("memory", "doctor", "other.rlem", "--salvage", "none.rlem", cwd=shop.parent)
    assert "there is no memory file" in complaint(missing, 1)


def test_a_cut_file_gives_a_short_list(tmp_path: Path) -> None:
    """Neighbours that are lost for one reason are one line; no more than 20; --json has all of them."""
    path = tmp_path / "long.rlem"
    with closing(SQLiteStore(path)) as store:
        ExperienceMemory(store).record_many(walks(200))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 4 // 5])
    for words in ((), ("--repair",)):
        assert complaint(rlem("memory", "doctor", path.name, *words, cwd=tmp_path), 1).count("--salvage") == 1
    done = rlem("memory", "doctor", path.name, "--salvage", "saved.rlem", cwd=tmp_path)
    assert len(done.stdout.splitlines()) <= 22
    assert re.search(r"episodes .+ to .+ \(\d+\): ", done.stdout)
    assert "unpack" not in done.stdout
    lost = json.loads(
        rlem("memory", "doctor", path.name, "--salvage", "again.rlem", "--json", cwd=tmp_path).stdout
    )["lost"]
    assert len(lost) > 22
    assert f"{200 - len(lost)} episodes saved, {len(lost)} lost" in done.stdout


def test_one_damage_is_said_once(shop: Path) -> None:
    """Other checks that fail by it only say that they cannot look."""
    damage(shop, "UPDATE episodes SET start = 'x' WHERE number = 3")
    found = json.loads(rlem("memory", "doctor", shop.name, "--json", cwd=shop.parent).stdout)
    blind = [i["detail"] for i in found if "cannot be looked at" in i["detail"]]
    assert len(blind) > 2
    assert sum(len(detail) > len("cannot be looked at") for detail in blind) == 1


def test_a_memory_on_a_server_is_examined_repaired_and_saved(server: Cluster, tmp_path: Path) -> None:
    """The same lines but those of the file; a wrong value is repaired, what can be read saved into a file."""
    url = server.url()
    with closing(opened(url)) as store:
        memory = ExperienceMemory(store)
        memory.record_many(LOG)
        memory.correct("walk-000", {0: 0.25})
    assert "WRONG" not in well("memory", "doctor", url, "--full", cwd=tmp_path)
    sql(url, "UPDATE experiences SET state = replace(state, '[1,', '[2,')")
    assert "values of view main" in rlem("memory", "doctor", url, cwd=tmp_path).stdout
    assert "repaired" in well("memory", "doctor", url, "--repair", cwd=tmp_path)
    with closing(opened(url)) as store:
        assert ExperienceMemory(store).hash() == corrected().hash()
    assert "12 episodes saved" in well("memory", "doctor", url, "--salvage", "saved.rlem", cwd=tmp_path)
    assert digest(tmp_path / "saved.rlem") == corrected().hash()


# -- views -------------------------------------------------------------------------------------------


def test_views_stand_side_by_side(shop: Path) -> None:
    """Made, listed, shown, explained and taken away, each with its own values; the main one stays."""
    folder, before = shop.parent, digest(shop)
    options = ("-n", "1", "--discount", ".9", "--view", "quick")
    assert "view quick: " in well("memory", "rebuild", shop.name, *options, cwd=folder)
    quick = MemoryConfig(values=ValueConfig(n=1, discount=0.9))
    assert digest(shop, "quick") == corrected(quick).hash()
    assert digest(shop) == before
    facts = read("memory", "views", shop.name, cwd=folder)
    assert facts["episodes"] == 12
    assert list(facts["views"]) == ["main", "quick"]
    assert facts["views"]["quick"]["settings"] == quick.to_json()
    assert [view["episodes"] for view in facts["views"].values()] == [12, 12]
    listed = " ".join(well("memory", "views", shop.name, cwd=folder).split())
    assert "quick" in listed
    assert "1-step Q-learning, discount 0.9" in listed
    shown = well("memory", "show", shop.name, "--view", "quick", cwd=folder)
    assert "1-step Q-learning" in " ".join(shown.split())
    key = max(corrected().experiences(), key=lambda e: e.samples).key
    both = (read("memory", "explain", shop.name, key, "--view", v, cwd=folder) for v in ("main", "quick"))
    one, other = ([action["value"] for action in found[0]["actions"]] for found in both)
    assert one != other
    assert "quick" not in read("memory", "views", shop.name, "--drop", "quick", cwd=folder)["views"]
    assert "did you mean" in complaint(rlem("memory", "show", shop.name, "--view", "mian", cwd=folder), 2)
    drop = rlem("memory", "views", shop.name, "--drop", "main", cwd=folder)
    assert "every memory has it" in complaint(drop, 2)
    assert digest(shop) == before


def test_every_setting_of_a_view_can_be_given(shop: Path) -> None:
    """The stored settings are those asked for, in place, and written beside."""
    options = (
        *("--trace-decay", ".5", "--double", "--estimate", "constant", "--learning-rate", ".2"),
        *("--similarity", "webshop-text", "--task-weight", ".3", "--max-experiences", "9"),
        *("--max-actions", "3", "--trust", "scout=unverified", "--max-influence", ".5"),
    )
    well("memory", "rebuild", shop.name, *options, "--out", "other.rlem", cwd=shop.parent)
    well("memory", "rebuild", shop.name, *options, cwd=shop.parent)
    for name in (shop.name, "other.rlem"):
        with closing(SQLiteStore(shop.with_name(name), read_only=True)) as store:
            config = ExperienceMemory(store).config
        assert config.values == ValueConfig(
            trace_decay=0.5, double=True, estimate="constant", learning_rate=0.2
        )
        assert [f for _, f in config.similarity.terms] == [f for _, f in preset("webshop-text").terms]
        assert [w for w, _ in config.similarity.terms] == pytest.approx([0.3, 0.56, 0.14])
        assert (config.max_experiences, config.max_actions, config.max_influence) == (9, 3, 0.5)
        assert config.sources == {"scout": "unverified"}
    listed = " ".join(well("memory", "views", shop.name, cwd=shop.parent).split())
    assert all(text in listed for text in ("TD(0.5)", "max experiences 9", "scout unverified"))
    assert digest(shop) == digest(shop.with_name("other.rlem"))
    back = (
        *("--monte-carlo", "--no-double", "--estimate", "mean"),
        *("--similarity", "default", "--max-experiences", "0", "--max-actions", "0"),
    )
    well("memory", "rebuild", shop.name, *back, cwd=shop.parent)
    well("memory", "rebuild", shop.name, "--trust", "scout=verified", cwd=shop.parent)
    assert digest(shop) == corrected().hash()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trust", "scout"), "SOURCE=LEVEL"),
        (("--trust", "scout=nobody"), "quarantined"),
        (("--similarity", "webshp"), "did you mean 'webshop'"),
        (("--embedding", "nowhere"), "no sentence encoder"),
        (("--view", "a", "--out", "b.rlem"), "exclude each other"),
        (("--max-influence", "0"), "--max-influence"),
        (("--learning-rate", ".5"), "--estimate constant"),
        (("--view", ""), "a view needs a name"),
        (("--view", "  "), "a view needs a name"),
    ],
)
def test_settings_that_are_not_possible(shop: Path, options: tuple[str, ...], message: str) -> None:
    """One line that says what is; nothing changes."""
    before = digest(shop)
    done = rlem("memory", "rebuild", shop.name, *options, cwd=shop.parent)
    assert message in complaint(done, done.returncode or 1)
    assert digest(shop) == before
    assert list(read("memory", "views", shop.name, cwd=shop.parent)["views"]) == ["main"]


def test_an_embedding_that_is_gone_can_be_replaced(shop: Path) -> None:
    """Its memory cannot be opened, but every command that helps works: views, doctor, rebuild."""
    pytest.importorskip("tokenizers", reason="the extra 'embeddings' is not installed")
    from tests.integration.test_similarity_embeddings import write_model

    folder = shop.parent
    model = write_model(folder / "model")
    well("memory", "rebuild", shop.name, "--embedding", "model", cwd=folder)
    facts = read("memory", "views", shop.name, cwd=folder)["views"]["main"]
    first, second = (term["feature"]["name"] for term in facts["settings"]["similarity"]["terms"])
    assert (first, second) == ("embedding", "lexical")
    model.rename(folder / "moved")
    assert complaint(rlem("memory", "show", shop.name, cwd=folder), 1)
    assert "no sentence encoder" in " ".join(well("memory", "views", shop.name, cwd=folder).split())
    assert rlem("memory", "doctor", shop.name, cwd=folder).returncode == 1
    well("memory", "rebuild", shop.name, "--embedding", "moved", cwd=folder)
    well("memory", "doctor", shop.name, "--full", cwd=folder)
    (folder / "moved").rename(folder / "gone")
    well("memory", "rebuild", shop.name, "--similarity", "default", cwd=folder)
    assert digest(shop) == corrected().hash()


def test_a_stopped_command_says_what_is_kept(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 130; of a memory it does not speak as of a run."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rlem.memory.settings.change", stop)
    line = complaint(rlem("memory", "rebuild", shop.name, cwd=shop.parent), 130)
    assert "Nothing half-done is kept" in line
    assert "run" not in line


# -- explain -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("quick", [False, True])
def test_explain_lists_every_visit_behind_a_value(shop: Path, quick: bool) -> None:
    """Targets average to the value, rewards to the mean reward; n counts up; sources, trust, corrections."""
    if quick:
        well("memory", "rebuild", shop.name, "-n", "1", "--discount", ".9", cwd=shop.parent)
    config = MemoryConfig(values=ValueConfig(n=1, discount=0.9)) if quick else None
    for experience in corrected(config).experiences():
        (found,) = read("memory", "explain", shop.name, experience.key, cwd=shop.parent)
        assert {a["action"] for a in found["actions"]} == {a.action for a in experience.actions}
        for action in found["actions"]:
            visits = action["visits"]
            assert [v["n"] for v in visits] == list(range(1, action["n"] + 1))
            assert sum(v["target"] for v in visits) / len(visits) == pytest.approx(action["value"])
            assert sum(v["reward"] for v in visits) / len(visits) == pytest.approx(action["mean_reward"])
            assert all(v["corrected"] == ((v["episode"], v["step"]) == ("walk-000", 0)) for v in visits)
            assert all(v["source"] in ("own", "scout") for v in visits)
            assert sum(v["trust"] == "verified" for v in visits) == action["verified_n"]
            if action["interval"]:
                assert action["interval"][0] < action["value"] < action["interval"][1]


def test_explain_of_advice_names_its_experiences_parts_and_episodes(shop: Path) -> None:
    """The recalled experiences with the parts of their similarity; of each advised action, the episodes."""
    step = LOG[2].transitions[0]
    asked = (
        ("--episode", LOG[2].id, "--step", "0"),
        ("--query", step.situation.task, "--observation", step.situation.observation),
    )
    for arguments in asked:
        found = read("memory", "explain", shop.name, *arguments, cwd=shop.parent)
        advice = Memory(corrected()).advise(step.situation)
        assert [(e["key"], e["similarity"], e["parts"]) for e in found] == [
            (r.experience.key, r.similarity, dict(r.parts)) for r in advice.recalled
        ]
        said = {(e["key"], a["action"], a["advice"]) for e in found for a in e["actions"]}
        assert said == {(line.key, line.action, "encouraged") for line in advice.encouraged} | {
            (line.key, line.action, "discouraged") for line in advice.discouraged
        }
        assert all(a["visits"] for e in found for a in e["actions"])
        text = well("memory", "explain", shop.name, *arguments, cwd=shop.parent)
        assert all(v["episode"] in text for e in found for a in e["actions"] for v in a["visits"])
        assert all(f"{name} {part:.3f}" in text for e in found for name, part in e["parts"].items())
    three = read("memory", "explain", shop.name, *asked[0], "-k", "3", cwd=shop.parent)
    assert len(three) == 3


def test_explain_shows_a_corrected_reward(shop: Path) -> None:
    """As it is now, and that it was corrected."""
    key = LOG[0].transitions[0].situation.key
    text = well("memory", "explain", shop.name, key, cwd=shop.parent)
    (line,) = (line for line in text.splitlines() if "walk-000" in line)
    assert "0.250" in line
    assert "corrected" in line


def test_a_known_range_of_returns_bounds_every_value(shop: Path) -> None:
    """Without it one visit bounds nothing; with it each value has an interval, within the range."""
    key = LOG[0].transitions[0].situation.key
    (plain,) = read("memory", "explain", shop.name, key, cwd=shop.parent)
    assert [a["interval"] for a in plain["actions"] if a["n"] == 1] == [None]
    (known,) = read("memory", "explain", shop.name, key, "--reward-range", "-9", "9", cwd=shop.parent)
    assert all(-9 <= a["interval"][0] < a["value"] < a["interval"][1] <= 9 for a in known["actions"])
    text = well("memory", "explain", shop.name, key, "--reward-range", "-9", "9", cwd=shop.parent)
    assert text.count("95 %") == len(known["actions"])
    assert text.count("spread") == sum(a["n"] > 1 for a in known["actions"]) < len(known["actions"])


def test_actions_that_are_not_advised_come_with_the_reason(tmp_path: Path) -> None:
    """Where an experience advises nothing: all that was tried there, with values, and why not."""
    path = tmp_path / "shop.rlem"
    unsure = [replace(item, trust="unverified") for item in LOG]
    with closing(SQLiteStore(path)) as store:
        ExperienceMemory(store).record_many(unsure)
    silent = 0
    for item in unsure:
        if not item.transitions or item.transitions[0].action is None:
            continue
        where = ("memory", "explain", path.name, "--episode", item.id, "--step", "0")
        for found in read(*where, cwd=tmp_path):
            said = {action["advice"] for action in found["actions"]}
            assert said
            if "discouraged" not in said:
                silent += 1
                assert said == {"not advised, unverified"}
                assert all(action["value"] > 0 for action in found["actions"])
    assert silent


def test_trust_of_a_source_that_is_not_there_is_pointed_out(shop: Path) -> None:
    """It is settled all the same; the sources that there are are named."""
    done = rlem("memory", "rebuild", shop.name, "--trust", "scuot=quarantined", cwd=shop.parent)
    assert done.returncode == 0
    assert "no episode of source 'scuot' yet (sources here: own, scout)" in done.stderr
    known = rlem("memory", "rebuild", shop.name, "--trust", "scout=quarantined", cwd=shop.parent)
    assert "no episode" not in known.stderr


def test_views_are_listed_by_what_differs(shop: Path) -> None:
    """The main view with everything; of another one only what is not as there, also what it lacks."""
    well("memory", "rebuild", shop.name, "--max-experiences", "900", cwd=shop.parent)
    for name, options in (("same", ()), ("quick", ("-n", "1")), ("whole", ("--max-experiences", "0"))):
        well("memory", "rebuild", shop.name, "--view", name, *options, cwd=shop.parent)
    text = " ".join(well("memory", "views", shop.name, cwd=shop.parent).split())
    assert text.count("max experiences 900") == 1
    assert text.count("Monte-Carlo") == 1
    assert "as main" in text
    assert "1-step" in text
    assert "no max experiences" in text
    shown = well("memory", "show", shop.name, "--view", "quick", cwd=shop.parent)
    assert "view quick" in " ".join(shown.split())
    lines = well("memory", "doctor", shop.name, cwd=shop.parent).splitlines()
    assert [line.split()[2] for line in lines if line.split()[1] == "view"] == [
        "main",
        "quick",
        "same",
        "whole",
    ]
    assert "at revision 3" in " ".join(
        well("memory", "show", shop.name, "--at", "3", cwd=shop.parent).split()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what to explain"),
        (("abc", "--reward-range", "1", "0"), "reward_range=(1.0, 0.0) is not possible"),
        (("abc", "--reward-range", "nan", "1"), "reward_range=(nan, 1.0) is not possible"),
        (("abc", "--query", "x"), "say what to explain"),
        (("--query", "x"), "belong together"),
        (("--step", "1"), "belong together"),
        (("--episode", "walk-000", "--step", "9"), "it has 1 steps"),
        (("--episode", "nobody", "--step", "0"), "no such episode"),
    ],
)
def test_explain_of_what_was_not_said(shop: Path, arguments: tuple[str, ...], message: str) -> None:
    """One line that says what is missing."""
    assert message in complaint(rlem("memory", "explain", shop.name, *arguments, cwd=shop.parent), 2)
