"""Tasks of WikiHow: made from facts, read from files, written to files."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rlem.core.errors import DataError, UsageError
from rlem.environments.wikihow.generate import Wanted
from rlem.environments.wikihow.selectors import ViewEvent
from rlem.environments.wikihow.task_files import (
    from_textproto,
    load_task_files,
    wanted,
    write_task_files,
)
from rlem.environments.wikihow.task_writer import to_textproto
from rlem.environments.wikihow.tasks import Goal, GoalKind, compile_task, encode_name, keywords

LINE = "https://www\\.wikihow\\.com/"

OLD = """
id: "search_mend_a_kite_P28for_funP29-article_mend a kite (for fun)-author_page"
name: "old"
event_sources { text_recognize { expect: "x" rect { x1: 1.0 } } id: 1 }
event_sources {
  view_hierarchy_event {
    view_hierarchy_path: ["android.widget.FrameLayout", "android.widget.EditText@app:id/search_src_text"]
    properties: [ { property_name: "text" pattern: "\\\\b(mend|kite)\\\\b" } ]
  }
  id: 2
}
event_sources {
  log_event {
    filters: ["jd:D"]
    pattern: "\\\\bmUrl is: https://www\\\\.wikihow\\\\.com/wikiHowTo\\\\?search=.*(mend|kite).*"
  }
  id: 3
}
event_sources {
  log_event { pattern: "\\\\bmUrl is: https://www\\\\.wikihow\\\\.com/Mend-a-Kite-%28for-Fun%29" } id: 5
}
event_sources {
  view_hierarchy_event {
    view_hierarchy_path: "android.view.View@section_0"
    properties { property_name: "text" pattern: "How to Mend a Kite (for Fun)" }
  }
  id: 6
}
event_sources {
  log_event { pattern: "\\\\bmUrl is: https://www\\\\.wikihow\\\\.com/Author/Ada-Hollis-RN" } id: 8
}
event_slots {
  reward_listener {
    type: OR
    events {
      event { type: OR id: 4 events { id: 1 } events { id: 2 } events { id: 3 } transformation: "y = 1" }
    }
    events { event { type: OR id: 7 events { id: 5 } events { id: 6 } transformation: "y = 1" } }
    events { event { type: OR id: 9 events { id: 8 } transformation: "y = 1" } }
  }
  episode_end_listener { events { id: 9 } transformation: "y = True" }
  instruction_listener {
    type: OR
    events { event {} }
    events {
      event {
        events { id: 4 }
        transformation: "y = [\\'Access the article \\"How to Mend a Kite (for Fun)\\"\\']"
      }
    }
    events { event {} }
    events { event { events { id: 7 } transformation: "y = 'Check the author page of Ada Hollis, RN.'" } }
  }
}
command: ["Search an article to learn how to mend a kite (for fun).",
  "Then, access the article \\"How to Mend a Kite (for Fun)\\"",
  "Then, check the author page of Ada Hollis, RN."]
vocabulary: ["kite", "how to"]
"""


def facts(task_goals: tuple[Goal, ...]) -> tuple[str, list[tuple[GoalKind, str]]]:
    """What the compiler is told: the title, and the steps after the article."""
    return task_goals[1].target, [(goal.kind, goal.target) for goal in task_goals[2:]]


def test_the_commands_of_each_step() -> None:
    """The texts of the commands are those of the original; later lines begin with "Then,"."""
    steps: list[tuple[GoalKind, str]] = [
        ("author", "Ada Hollis, RN"),
        ("article", "Mend a Kite"),
        ("category", "Outdoor Toys"),
        ("about", ""),
        ("reference", ""),
    ]
    assert compile_task("Fly a Kite", steps).commands == (
        "Search an article to learn how to fly a kite.",
        'Then, access the article "How to Fly a Kite"',
        "Then, check the author page of Ada Hollis, RN.",
        'Then, access the article "How to Mend a Kite"',
        "Then, access the page of category Outdoor Toys",
        "Then, access the about page to learn why people trust wikihow.",
        "Then, check the reference list",
    )


def test_the_events_of_each_step() -> None:
    """Each step is recognised by the line that the app logs and, but for references, by what is seen."""
    task = compile_task(
        "Fly a (Big) Kite", [("author", "Ada Hollis, RN"), ("category", "Toys"), ("reference", "")]
    )
    search, article, author, category, reference = task.goals
    assert search.logs == (f"\\bmUrl is: {LINE}wikiHowTo\\?search=.*(fly|big|kite).*",)
    assert search.views == (
        ViewEvent(
            selectors=('#$"search_plate">#$"search_src_text"',),
            properties=(("text", "\\b(fly|big|kite)\\b"), ("clickable", "true")),
        ),
    )
    assert article.logs == (f"\\bmUrl is: {LINE}Fly-a-\\(Big\\)-Kite",)
    assert article.views[0].properties == (("text", "How to Fly a \\(Big\\) Kite"),)
    assert author.logs == (f"\\bmUrl is: {LINE}Author/Ada-Hollis-RN",)
    assert category.logs == (f"\\bmUrl is: {LINE}Category:Toys",)
    assert reference.logs == (f"\\burl is: {LINE}Fly-a-\\(Big\\)-Kite\\?wh_an=1&amp=1#References\\b",)
    assert reference.views == ()
    assert {goal.repeatability for goal in task.goals} == {"none"}


@pytest.mark.parametrize(
    ("steps", "stem", "kind"),
    [
        ([], "fly_a_kite-8", "plain"),
        ([("about", "")], "fly_a_kite-0", "about"),
        ([("author", "A B")], "fly_a_kite-4", "author"),
        ([("category", "C")], "fly_a_kite-6", "category"),
        ([("reference", "")], "fly_a_kite-7", "reference"),
    ],
)
def test_the_kind_follows_from_the_first_step(
    steps: list[tuple[GoalKind, str]], stem: str, kind: str
) -> None:
    """Suffix, kind and name of the file are those of the first step after the article."""
    task = compile_task("Fly a Kite", steps)
    assert (task.stem, task.kind, task.file_name) == (stem, kind, f"{stem}.textproto")


def test_an_author_task_can_degrade() -> None:
    """A task whose article has no author keeps its suffix and kind with two sub-goals."""
    task = compile_task("Fly a Kite", suffix="-4")
    assert (task.kind, len(task.goals)) == ("author", 2)


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("180 on a Scooter", ("180", "scooter")),
        ("Be a Good Friend to a Guy", ("good", "friend", "guy")),
        ("Buy an Apartment With No Money Down", ("buy", "apartment", "money")),
        ("Don't Mend a Dog's “Type A” Kite (at All)", ("mend", "dog", "type", "kite")),
        ("Be You", ("be", "you")),
        ("Crème Crème Brûlée", ("crème", "brûlée")),
        ("?!", ("?!",)),
    ],
)
def test_keywords(title: str, words: tuple[str, ...]) -> None:
    """Words without stop words, each once; there is always one."""
    assert keywords(title) == words


@pytest.mark.parametrize(
    ("title", "steps", "suffix"),
    [
        ("", [], ""),
        ("Fly", [("author", " ")], ""),
        ("Fly", [("rating", "x")], ""),
        ("Fly", [], "-3"),
    ],
)
def test_what_is_no_task_is_refused(title: str, steps: list[tuple[GoalKind, str]], suffix: str) -> None:
    """Empty names, unknown steps and suffixes are usage errors."""
    with pytest.raises(UsageError):
        compile_task(title, steps, suffix=suffix)


def test_names_of_the_published_tasks(golden: Callable[[str], Path]) -> None:
    """Ids and file names of the 70 published test tasks follow from titles as ours do."""
    with golden("wikihow/microcanon_70.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 70
    for row in rows:
        chain = row["task_id"].split("-article_")
        assert f"search_{encode_name(chain[1].partition('-')[0])}".lower() == chain[0]
    stems = [row["file_id"] for row in rows if "(" not in row["file_id"] and "'" not in row["file_id"]]
    assert len(stems) == 68
    for row in rows:
        if row["file_id"] in stems:
            title = row["task_id"].split("-article_")[1].partition("-")[0]
            assert encode_name(title) == row["file_id"][:-2]


def test_real_files_are_what_our_compiler_makes(golden: Callable[[str], Path]) -> None:
    """From the facts of each real file the same goals, patterns, commands, words and ids are made.

    Known differences: the order of the vocabulary, which the original draws by lot; name and description,
    which are our own words.
    """
    tasks = load_task_files(golden("wikihow/tasks"))
    assert {task.kind for task in tasks} >= {"plain", "about", "author", "category", "reference"}
    for task in tasks:
        title, steps = facts(task.goals)
        made = compile_task(title, steps, suffix=task.suffix)
        assert set(made.vocabulary) == set(task.vocabulary)
        own = replace(made, vocabulary=task.vocabulary, name=task.name, description=task.description)
        assert own == task


def test_real_files_are_written_byte_by_byte(golden: Callable[[str], Path]) -> None:
    """A real file that is read and written again is the same file."""
    for path in golden("wikihow/tasks").glob("*.textproto"):
        text = path.read_text(encoding="utf-8")
        assert to_textproto(from_textproto(text, path.name, autocat=False)) == text, path.name


def test_later_commands_are_made_where_a_file_has_only_the_first(golden: Callable[[str], Path]) -> None:
    """Files built without the later lines get them from their instructions, unless that is not wanted."""
    text = golden("wikihow/tasks/apply_cc_cream-0.textproto").read_text(encoding="utf-8")
    full, bare = from_textproto(text), from_textproto(text, autocat=False)
    assert len(bare.commands) == 1
    assert full.commands == (
        *bare.commands,
        'Then, access the article "How to Apply CC Cream"',
        "Then, access the about page to learn why people trust wikihow.",
    )


def test_a_file_of_the_older_shape() -> None:
    """Paths instead of selectors, all commands, and sub-goals that pay again are read."""
    task = from_textproto(OLD, "mend_a_kite_P28for_funP29-4.textproto")
    assert [goal.kind for goal in task.goals] == ["search", "article", "author"]
    assert [goal.target for goal in task.goals][1:] == ["Mend a Kite (for Fun)", "Ada Hollis, RN"]
    assert {goal.repeatability for goal in task.goals} == {"unlimited"}
    assert len(task.commands) == 3
    assert task.goals[1].command == 'Access the article "How to Mend a Kite (for Fun)"'
    assert task.goals[2].command == "Check the author page of Ada Hollis, RN."
    assert task.goals[0].views[0].path[1] == "android.widget.EditText@app:id/search_src_text"
    again = from_textproto(to_textproto(task), "mend_a_kite_P28for_funP29-4.textproto")
    assert again == task


def test_patterns_with_unescaped_titles_are_mended() -> None:
    """Where a title in a pattern is not escaped, the pattern that finds it is added; others stay."""
    search, article, author = from_textproto(OLD).goals
    assert article.logs[1:] == (f"\\bmUrl is: {LINE}Mend-a-Kite-\\(for-Fun\\)",)
    assert article.views[1].properties == (("text", "How to Mend a Kite \\(for Fun\\)"),)
    assert len(search.logs) == len(author.logs) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("type: OR id: 7", "type: AND id: 7", "AND"),
        ("type: OR id: 7", "type: OR prerequisite: 4 id: 7", "prerequisite"),
        ('id: 8 } transformation: "y = 1"', 'id: 8 } transformation: "y = 3*x"', "y = 3"),
        (
            "episode_end_listener { events { id: 9 }",
            "episode_end_listener { events { id: 7 }",
            "last sub-goal",
        ),
        ("episode_end_listener { events { id: 9 }", "episode_end_listener { ", "last sub-goal"),
        ("log_event { pattern: ", "response_event { pattern: ", "response_event"),
        ("Ada-Hollis-RN", "(a+)+", "repeats a repetition"),
        ("Ada-Hollis-RN", "Ada(", "regular expression"),
        ("events { id: 5 } events { id: 6 }", "events { id: 50 }", "event source 50"),
        ('property_name: "text" pattern: "How', 'property_name: "left" pattern: "How', "left"),
        ('pattern: "How to Mend a Kite (for Fun)"', "integer: 3", "no pattern"),
        ("y = 'Check", "y = 3 # 'Check", "no text"),
        ("reward_listener", "null_listener", "no sub-goals"),
        ("reward_listener", "score_listener { events { id: 3 } } reward_listener", "score"),
        ("} id: 8", "} repeatability: LAST id: 8", "LAST"),
        ("event_slots {", "event_slots: 3 {", "line"),
    ],
)
def test_what_cannot_be_judged_is_named(old: str, new: str, message: str) -> None:
    """A file that asks for more than our engine does is refused with the file's name and what it is."""
    assert old in OLD
    with pytest.raises(DataError, match=rf"^kite\.textproto: .*{message}"):
        from_textproto(OLD.replace(old, new), "kite.textproto")


def test_steps_that_we_do_not_make_are_read() -> None:
    """A step of another kind (a random article, a rating) is judged by its events and cannot be written."""
    text = OLD.replace("Author/Ada-Hollis-RN", "Special:Randomizer").replace("id: 9 events", "events")
    task = from_textproto(
        text.replace("episode_end_listener { events { id: 9 }", "episode_end_listener { events { id: 8 }")
    )
    assert task.goals[-1].kind == "other"
    with pytest.raises(UsageError, match="other"):
        to_textproto(task)


def test_folders_of_task_files(tmp_path: Path) -> None:
    """Tasks written to a folder are read back in the order of their files' names."""
    tasks = [compile_task("Sew a Kite", [("about", "")]), compile_task("Fly a Kite"), compile_task("Fly")]
    written = write_task_files(tasks, tmp_path / "tasks")
    assert [path.name for path in written] == [
        "sew_a_kite-0.textproto",
        "fly_a_kite-8.textproto",
        "fly-8.textproto",
    ]
    assert load_task_files(tmp_path / "tasks") == [tasks[2], tasks[1], tasks[0]]


def test_folders_without_task_files_are_named(tmp_path: Path) -> None:
    """A folder without files, or with one that is no text, is a DataError with its name."""
    with pytest.raises(DataError, match="no task files"):
        load_task_files(tmp_path)
    (tmp_path / "kite-8.textproto").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="kite-8"):
        load_task_files(tmp_path)
    (tmp_path / "kite-8.textproto").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "kite-8.textproto"))):
        load_task_files(tmp_path)


def test_one_file_is_one_task_and_an_id_is_given_once(tmp_path: Path) -> None:
    """A file alone loads, whatever its name; of two files with one id both are named."""
    task = compile_task("Sew a Kite")
    (path,) = write_task_files([task], tmp_path)
    assert load_task_files(path) == [task]
    path.rename(tmp_path / "b.textproto")
    (tmp_path / "a.textproto").write_text(to_textproto(task), encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.textproto and .*b\.textproto have the same id"):
        load_task_files(tmp_path)


def test_what_a_site_must_hold_for_given_tasks() -> None:
    """Each article that is asked for, with its author or category; what comes after is one of theirs."""
    tasks = [
        compile_task("Fly a Kite", [("author", "Ada Hollis, RN"), ("article", "Sew a Kite")]),
        compile_task("Mend a Kite", [("category", "Toys"), ("article", "Sew a Kite")]),
        compile_task("Buy a Kite", [("reference", "")]),
    ]
    assert wanted(tasks) == [
        Wanted(title="Fly a Kite", authors=("Ada Hollis, RN",)),
        Wanted(title="Sew a Kite", authors=("Ada Hollis, RN",), category="Toys"),
        Wanted(title="Mend a Kite", category="Toys"),
        Wanted(title="Buy a Kite"),
    ]
