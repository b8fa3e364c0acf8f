"""Properties of WikiHow's tasks and their judge."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from rlem.core.errors import DataError
from rlem.environments.wikihow.judge import Judge, Repeatability, Verdict
from rlem.environments.wikihow.nodes import Node
from rlem.environments.wikihow.site import slug_of
from rlem.environments.wikihow.task_files import from_textproto
from rlem.environments.wikihow.task_writer import to_textproto
from rlem.environments.wikihow.tasks import Goal, GoalKind, TaskDefinition, compile_task, encode_name
from rlem.environments.wikihow.textproto import Message, parse, write

SITE = "https://www.wikihow.com/"


class Shown:
    """A screen with one text in it, or none."""

    bar = None
    overlay = ""

    def __init__(self, text: str = "") -> None:
        self.sheet = self
        self._text = text

    def root(self) -> Node:
        inner = Node("android.widget.TextView", text=self._text)
        return Node("android.view.View", resource_id="section_0", children=[inner])


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=25).filter(str.strip)
plain = st.lists(st.sampled_from(["fly", "sew", "buy", "kite", "tent", "lamp"]), min_size=1, max_size=4)
kinds: list[GoalKind] = ["author", "category", "article", "about", "reference"]


@st.composite
def tasks(draw: st.DrawFn, title: st.SearchStrategy[str] = names) -> TaskDefinition:
    """A task of any chain of steps."""
    steps = [
        (kind, draw(title) if kind in ("author", "category", "article") else "")
        for kind in draw(st.lists(st.sampled_from(kinds), max_size=3))
    ]
    return compile_task(draw(title), steps)


simple = tasks(plain.map(lambda words: " ".join(words).title()))


def line_of(goal: Goal) -> str:
    """The line that the app logs when a sub-goal is reached."""
    slug = slug_of(goal.target)
    lines = {
        "search": f"mUrl is: {SITE}wikiHowTo?search={'+'.join(goal.target.split())}",
        "article": f"mUrl is: {SITE}{slug}?wh_an=1&amp=1",
        "author": f"mUrl is: {SITE}Author/{slug}?wh_an=1&amp=1",
        "category": f"mUrl is: {SITE}Category:{slug}?wh_an=1&amp=1",
        "about": f"mUrl is: {SITE}wikiHow:Delivering-a-Trustworthy-Experience?wh_an=1&amp=1",
        "reference": f"url is: {SITE}{slug}?wh_an=1&amp=1#References",
    }
    return lines[goal.kind]


@st.composite
def episodes(draw: st.DrawFn) -> tuple[TaskDefinition, list[tuple[list[str], Shown]]]:
    """A task, and what a wild walk through the app logs and shows."""
    task = draw(simple)
    lines = [*map(line_of, task.goals), f"mUrl is: {SITE}Other", "noise", "mUrl is: "]
    seen = ["", *(f"How to {goal.target}" for goal in task.goals)]
    action = st.tuples(st.lists(st.sampled_from(lines), max_size=3), st.sampled_from(seen).map(Shown))
    return task, draw(st.lists(action, max_size=12))


def play(judge: Judge, actions: list[tuple[list[str], Shown]]) -> list[Verdict]:
    """What each action gave, up to the end."""
    verdicts: list[Verdict] = []
    for logs, screen in actions:
        verdicts.append(judge.observe(logs, screen))
        if verdicts[-1].done:
            break
    return verdicts


@given(episode=episodes(), lag=st.sampled_from([0.0, 0.5, 1.0]), seed=st.integers(0, 9))
def test_totals_never_exceed_the_sub_goals(
    episode: tuple[TaskDefinition, list[tuple[list[str], Shown]]], lag: float, seed: int
) -> None:
    """Without repetition an episode pays at most 1 a sub-goal, whatever is late."""
    task, actions = episode
    verdicts = play(Judge(task, repeatability="none", reward_lag=lag, seed=seed), actions)
    assert sum(verdict.reward for verdict in verdicts) <= len(task.goals)


@given(episode=episodes(), repeats=st.sampled_from(["file", "none", "unlimited"]))
def test_instructions_are_commands(
    episode: tuple[TaskDefinition, list[tuple[list[str], Shown]]], repeats: Repeatability
) -> None:
    """An instruction is always the command of a sub-goal; the current one is made of the latest."""
    task, actions = episode
    judge = Judge(task, repeatability=repeats)
    commands = [goal.command for goal in task.goals[1:]]
    for logs, screen in actions:
        verdict = judge.observe(logs, screen)
        assert set(verdict.instructions) <= set(commands)
        if verdict.instructions:
            assert judge.subtask == verdict.instructions[-1]


@given(episode=episodes())
def test_unlimited_pays_no_less(episode: tuple[TaskDefinition, list[tuple[list[str], Shown]]]) -> None:
    """With repetition each action pays at least what it pays without, and the end comes no later."""
    task, actions = episode
    once = play(Judge(task, repeatability="none"), actions)
    often = play(Judge(task, repeatability="unlimited"), actions)
    assert len(often) == len(once)
    assert all(more.reward >= less.reward for more, less in zip(often, once, strict=True))


@given(task=simple, order=st.randoms(use_true_random=False))
def test_the_order_does_not_matter(task: TaskDefinition, order: random.Random) -> None:
    """The sub-goals before the last pay the same in any order, and only the last one ends the episode.

    A sub-goal may be met by the line of another one (a title that begins with another): sets are compared.
    """
    *first, last = task.goals
    lines = [line_of(goal) for goal in first]
    shuffled = order.sample(lines, len(lines))
    ended, totals = [], []
    for some in (lines, shuffled):
        judge = Judge(task)
        verdicts = [judge.observe([line], Shown()) for line in (*some, line_of(last))]
        ended.append(any(verdict.done for verdict in verdicts[:-1]))
        totals.append(sum(verdict.reward for verdict in verdicts))
        assert any(verdict.done for verdict in verdicts)
    assert ended[0] == ended[1]
    assert totals[0] == totals[1] == len(task.goals)


@given(episode=episodes())
def test_the_end_is_the_last_sub_goal(
    episode: tuple[TaskDefinition, list[tuple[list[str], Shown]]],
) -> None:
    """An episode is done exactly when a line or a screen of its last sub-goal is met for the first time."""
    task, actions = episode
    goal = task.goals[-1]
    alone = Judge(compile_task("zzz", [("about", "")]))
    assert alone.observe([line_of(goal)], Shown()).done == (goal.kind == "about")
    lone = TaskDefinition(id="", name="", description="", commands=(), vocabulary=(), stem="", goals=(goal,))
    first, second = Judge(task), Judge(lone)
    for logs, screen in actions:
        assert first.observe(logs, screen).done == second.observe(logs, screen).done


@given(task=tasks())
def test_any_title_survives_its_file(task: TaskDefinition) -> None:
    """Titles of any letters, quotes and signs are read back from the file as they were written."""
    assert from_textproto(to_textproto(task), task.file_name) == task


@given(task=tasks())
def test_any_title_is_found_on_its_page(task: TaskDefinition) -> None:
    """Whatever signs a title has, its own page is recognised, by address and by sight."""
    goal = task.goals[1]
    assert Judge(task).observe([line_of(goal)], Shown()).reward >= 1
    assert Judge(task).observe([], Shown(f"How to {goal.target}")).reward >= 1


@given(title=names)
def test_names_of_files_are_plain(title: str) -> None:
    """The name of a task's file has no blanks, slashes, commas or percent signs."""
    assert not set(encode_name(title)) & set(" /,%\\\n\t")


scalars = (
    st.text(st.characters(codec="utf-8"), max_size=12)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)
messages = st.recursive(
    st.builds(Message),
    lambda inner: st.builds(
        Message, st.lists(st.tuples(st.sampled_from(["a", "b_1", "OR"]), scalars | inner), max_size=4)
    ),
    max_leaves=12,
)


@given(message=messages)
def test_messages_survive_writing(message: Message) -> None:
    """A message of any strings and numbers is read back as it was written."""
    assert parse(write(message)) == message


TEXT = to_textproto(compile_task("Fly a Kite (Again)", [("author", "Ada Hollis, RN"), ("article", "Sew")]))


@given(
    start=st.integers(0, len(TEXT)),
    length=st.integers(0, 40),
    instead=st.text("{}[]<>:;,\"'\\#\n 0a1.(*+", max_size=4),
)
def test_a_damaged_file_is_read_or_refused(start: int, length: int, instead: str) -> None:
    """Whatever is torn out of a file or put into it, it is read or refused with its name: nothing else."""
    damaged = TEXT[:start] + instead + TEXT[start + length :]
    try:
        read = "; ".join(goal.kind for goal in from_textproto(damaged, "kite-4.textproto").goals)
    except DataError as error:
        read = str(error)
    assert read.startswith(("kite-4.textproto: ", "search; ", "other; ", "article"))
