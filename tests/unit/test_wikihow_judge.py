"""The judge of WikiHow's tasks: what log lines and screens are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rlem.core.errors import DataError, UnknownNameError, UsageError
from rlem.environments.wikihow.judge import NOTHING, Judge, Repeatability, Verdict, compiled
from rlem.environments.wikihow.nodes import Node
from rlem.environments.wikihow.selectors import Tree, ViewEvent, parse_path, parse_selector
from rlem.environments.wikihow.task_files import load_task_files
from rlem.environments.wikihow.tasks import GoalKind, Repeats, TaskDefinition, compile_task

SITE = "https://www.wikihow.com/"
VIEW, TEXT, IMAGE = "android.view.View", "android.widget.TextView", "android.widget.Image"
FRAME, EDIT = "android.widget.FrameLayout", "android.widget.EditText"


@dataclass(slots=True, eq=False)
class Seen:
    """A screen with just these nodes; each is a page of its own unless one is given."""

    nodes: list[Node]
    sheet: object = None
    bar: object = None
    overlay: str = ""
    looked_at: int = 0

    def __post_init__(self) -> None:
        self.sheet = self.sheet or object()

    def root(self) -> Node:
        self.looked_at += 1
        return Node(FRAME, children=self.nodes)


def blank() -> Seen:
    """A screen where nothing is to be seen."""
    return Seen([])


def page(name: str, said: str = "mUrl") -> str:
    """The line that the app logs for a page."""
    return f"{said} is: {SITE}{name}?wh_an=1&amp=1"


def field(value: str, *, clickable: bool = True) -> Seen:
    """A screen whose search box holds a text."""
    box = Node(EDIT, text=value, resource_id="app:id/search_src_text", clickable=clickable)
    return Seen([Node(VIEW, resource_id="app:id/search_plate", children=[box])])


def title(text: str) -> Seen:
    """A screen with the title of an article."""
    return Seen(
        [Node(VIEW, resource_id="section_0", children=[Node(VIEW, children=[Node(TEXT, text=text)])])]
    )


TASK = compile_task("Fly a Kite", [("author", "Ada Hollis, RN"), ("article", "Sew a Kite")])
SEARCH, ARTICLE, AUTHOR, LAST = (
    f"mUrl is: {SITE}wikiHowTo?search=kite",
    page("Fly-a-Kite"),
    page("Author/Ada-Hollis-RN"),
    page("Sew-a-Kite"),
)
COMMANDS = [goal.command for goal in TASK.goals]


def test_an_episode_by_log_lines() -> None:
    """Each sub-goal pays 1 and gives the next command; the last one ends the episode."""
    judge = Judge(TASK)
    assert judge.subtask == ""
    verdicts = [judge.observe(logs, blank()) for logs in ([], [SEARCH], [ARTICLE], [AUTHOR], [LAST])]
    assert verdicts == [
        NOTHING,
        Verdict(reward=1.0, instructions=(COMMANDS[1],)),
        Verdict(reward=1.0, instructions=(COMMANDS[2],)),
        Verdict(reward=1.0, instructions=(COMMANDS[3],)),
        Verdict(reward=1.0, done=True),
    ]
    assert judge.subtask == COMMANDS[3]


def test_an_episode_by_what_is_seen() -> None:
    """The screens alone tell the same, if the app logs nothing."""
    author = Node(VIEW, resource_id="authors_container", children=[Node(IMAGE, text="Ada Hollis, RN")])
    judge = Judge(TASK)
    screens = [field("my kite"), title("How to Fly a Kite"), Seen([author]), title("How to Sew a Kite")]
    verdicts = [judge.observe([], screen) for screen in screens]
    assert [verdict.reward for verdict in verdicts] == [1.0] * 4
    assert [verdict.done for verdict in verdicts] == [False, False, False, True]


@pytest.mark.parametrize(
    ("step", "seen"),
    [
        (("category", "Toys"), Node(VIEW, resource_id="cat_navigation", children=[Node(VIEW, text="Toys")])),
        (
            ("about", ""),
            Node(
                VIEW,
                resource_id="trustworthy_top",
                children=[
                    Node(
                        VIEW,
                        resource_id="trustworthy_head",
                        children=[Node(VIEW, text="Information You Can Trust")],
                    )
                ],
            ),
        ),
    ],
)
def test_other_pages_by_what_is_seen(step: tuple[GoalKind, str], seen: Node) -> None:
    """The pages of a category and of the site itself are recognised on the screen."""
    judge = Judge(compile_task("Fly a Kite", [step]))
    assert judge.observe([], Seen([seen])) == Verdict(reward=1.0, done=True)


@pytest.mark.parametrize(
    "screen",
    [
        field("My Kite"),
        field("kites"),
        field("kite", clickable=False),
        Seen([Node(VIEW, resource_id="section_0", children=[Node(VIEW, text="How to Fly a Kite")])]),
        Seen([Node(VIEW, text="How to Fly a Kite")]),
        Seen([Node(TEXT, text="How to Fly a Kite", resource_id="section_0")]),
    ],
)
def test_what_is_not_quite_it(screen: Seen) -> None:
    """Another case, part of a word, a box that cannot be used, another class or place: nothing is found."""
    assert Judge(TASK).observe([], screen) == NOTHING


@pytest.mark.parametrize(
    ("line", "reward"),
    [
        (f"mUrl is: {SITE}wikiHowTo?search=how+to+fly", 1.0),
        (f"mUrl is: {SITE}wikiHowTo?search=butterflykites", 1.0),
        (f"mUrl is: {SITE}wikiHowTo?search=KITE", 0.0),
        (f"url is: {SITE}wikiHowTo?search=kite", 0.0),
        (f"page mUrl is: {SITE}Fly-a-Kite-in-Winter", 1.0),
        (f"xmUrl is: {SITE}Fly-a-Kite", 0.0),
        (f"mUrl is: {SITE}fly-a-kite", 0.0),
        ("", 0.0),
    ],
)
def test_patterns_are_searched_for(line: str, reward: float) -> None:
    """Patterns are found anywhere in a line, titles also where a longer one begins with them."""
    assert Judge(TASK).observe([line], blank()).reward == reward


def test_references_need_the_jump() -> None:
    """The list of references pays when its link is clicked; the page itself, or its text, does not."""
    judge = Judge(compile_task("Fly a Kite", [("reference", "")]))
    assert judge.observe([ARTICLE], title("References")).done is False
    assert judge.observe([page("Fly-a-Kite", "url")], blank()) == NOTHING
    assert judge.observe([f"{page('Fly-a-Kite', 'url')}#References"], blank()) == Verdict(
        reward=1.0, done=True
    )


def test_no_order_is_asked_for() -> None:
    """A later sub-goal pays first and tells what follows it; hitting the last one ends at once."""
    judge = Judge(TASK)
    assert judge.observe([AUTHOR], blank()) == Verdict(reward=1.0, instructions=(COMMANDS[3],))
    assert judge.observe([SEARCH], blank()) == Verdict(reward=1.0, instructions=(COMMANDS[1],))
    assert judge.observe([LAST], blank()) == Verdict(reward=1.0, done=True)


def test_several_at_once() -> None:
    """What one action reaches is added up; instructions come in the order of sub-goals; the last holds."""
    judge = Judge(TASK)
    verdict = judge.observe([ARTICLE, SEARCH], field("kite"))
    assert verdict == Verdict(reward=2.0, instructions=(COMMANDS[1], COMMANDS[2]))
    assert judge.subtask == COMMANDS[2]


OTHER = f"mUrl is: {SITE}wikiHowTo?search=a+kite"


@pytest.mark.parametrize(
    ("repeats", "rewards"),
    [("none", [1, 0, 0, 0, 0]), ("last", [1, 0, 0, 1, 0]), ("unlimited", [1, 1, 0, 1, 0])],
)
def test_repeatability(repeats: Repeats, rewards: list[float]) -> None:
    """None: once. Unlimited: whenever something new shows it. Last: the same, but not twice in a row."""
    task = replace(TASK, goals=tuple(replace(goal, repeatability=repeats) for goal in TASK.goals))
    judge, screen = Judge(task), field("kite")
    seen = [
        ([SEARCH], blank()),
        ([OTHER], blank()),
        ([SEARCH, OTHER], blank()),
        ([], screen),
        ([SEARCH], screen),
    ]
    assert [judge.observe(logs, shown).reward for logs, shown in seen] == rewards


def test_repeatability_overrides_that_of_the_task() -> None:
    """ "unlimited" and "none" hold for all sub-goals, whatever the task says."""
    rewards = {}
    every: list[Repeatability] = ["file", "none", "unlimited"]
    for repeats in every:
        judge = Judge(TASK, repeatability=repeats)
        rewards[repeats] = [judge.observe([line], blank()).reward for line in (SEARCH, OTHER)]
    assert rewards == {"file": [1, 0], "none": [1, 0], "unlimited": [1, 1]}


def test_a_page_is_looked_at_once() -> None:
    """A page that was seen in the episode, or in another one, has nothing new wherever it is scrolled to."""
    sheet = object()
    first, second = Seen([Node(TEXT)], sheet), Seen([Node(TEXT)], sheet)
    judge = Judge(TASK)
    judge.observe([], first)
    judge.observe([], second)
    Judge(TASK).observe([], second)
    assert (first.looked_at, second.looked_at) == (1, 0)


def test_a_page_counts_in_every_episode() -> None:
    """What is known of a page from another episode pays in this one."""
    screen = title("How to Sew a Kite")
    assert [Judge(TASK).observe([], screen).done for _ in range(3)] == [True] * 3
    other = compile_task("Sew a Kite")
    assert Judge(other).observe([], screen).done


def test_the_bar_is_part_of_what_is_seen() -> None:
    """Over the same page a new text in the search box is something new."""
    sheet = object()
    empty, full = field("   "), field("kite")
    empty.sheet = full.sheet = sheet
    full.bar = "kite"
    judge = Judge(TASK)
    assert [judge.observe([], screen).reward for screen in (empty, full)] == [0.0, 1.0]


def test_all_is_late_with_certain_lag() -> None:
    """With lag 1 each reward, instruction and end comes one action after it was earned."""
    judge = Judge(TASK, reward_lag=1.0)
    verdicts = [judge.observe(logs, blank()) for logs in ([SEARCH], [ARTICLE], [], [LAST], [])]
    assert [verdict.reward for verdict in verdicts] == [0, 1, 1, 0, 1]
    assert [verdict.done for verdict in verdicts] == [False, False, False, False, True]
    assert judge.subtask == COMMANDS[2]


def test_what_is_late_meets_what_is_not() -> None:
    """With some lag the same episode is paid in full, and some action is paid twice, as on the platform."""
    for seed in range(50):
        judge = Judge(TASK, reward_lag=0.5, seed=seed)
        verdicts = [judge.observe(logs, blank()) for logs in ([SEARCH], [ARTICLE], [AUTHOR], [LAST], [])]
        assert sum(verdict.reward for verdict in verdicts) == 4
        again = Judge(TASK, reward_lag=0.5, seed=seed)
        assert verdicts == [
            again.observe(logs, blank()) for logs in ([SEARCH], [ARTICLE], [AUTHOR], [LAST], [])
        ]
        if any(verdict.reward == 2 for verdict in verdicts):
            return
    pytest.fail("no seed paid two sub-goals at one action")


@pytest.mark.parametrize("lag", [-0.1, 1.1, float("nan")])
def test_lag_is_a_probability(lag: float) -> None:
    """A lag outside 0 to 1 is refused."""
    with pytest.raises(UsageError, match="lag"):
        Judge(TASK, reward_lag=lag)


def test_unknown_repeatability_is_refused() -> None:
    """Only the three words are known."""
    with pytest.raises(UnknownNameError, match="unlimited"):
        Judge(TASK, repeatability="often")  # type: ignore[arg-type]


@pytest.mark.parametrize("pattern", ["(", "a" * 2001, "(a+)+b", "(a*b)*", "(x{1,}y){2,}"])
def test_patterns_that_cannot_be_used(pattern: str) -> None:
    """What is no pattern, is too long or may search for ever is a DataError."""
    with pytest.raises(DataError, match="pattern"):
        compiled(pattern)


def test_titles_with_signs_are_usable_patterns() -> None:
    """Escaped parentheses and signs are no repetition."""
    pattern = compiled(compile_task("Learn C++ (a+) (b*)*").goals[1].logs[0])
    assert pattern.search("mUrl is: https://www.wikihow.com/Learn-C++-(a+)-(b*)*?wh_an=1&amp=1")


def below(*steps: str) -> Node:
    """Nodes each below the one before: "class#id"."""
    top = Node("top")
    at = top
    for step in steps:
        cls, _, name = step.partition("#")
        at.children.append(Node(cls, resource_id=name))
        at = at.children[0]
    return top


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ('#"x"', ["x"]),
        ('#$"y"', ["xy", "y"]),
        ('#^"x"', ["x", "xy"]),
        ('#*"z"', ["z"]),
        ('."B"', ["xy", "z"]),
        ('[class="B"][resource-id$="z"]', ["z"]),
        ('."B"#"z"', ["z"]),
        ('."A" ."B"', ["xy", "z"]),
        ('."A">."B"', ["xy", "z"]),
        ('#"x" #"y" > #"z"', ["z"]),
        ('#"x" > #"y"', []),
        ('."A" ."A"', ["y"]),
        ('[clickable="false"]#"y"', ["y"]),
    ],
)
def test_selectors(selector: str, found: list[str]) -> None:
    """Selectors find all nodes whose own marks and those above them fit, in document order."""
    tree = Tree(below("A#x", "B#xy", "A#y", "B#z"))
    assert [node.resource_id for node in tree.find(parse_selector(selector))] == found


@pytest.mark.parametrize(
    "selector", ["", "div", '#"x" >', '> #"x"', "#x", "@2", '$"package"', '[size="3"]', '#"x", #"y"']
)
def test_selectors_that_are_not_understood(selector: str) -> None:
    """Other CSS is refused, not ignored."""
    with pytest.raises(DataError):
        parse_selector(selector)


def test_paths_look_at_the_first_node() -> None:
    """A path finds nodes by class and id exactly, each below the one before, and looks at the first."""
    root = Node("top", children=[below("A#x", "B@b", "C"), below("A#x", "B@b", "C#y")])
    tree = Tree(root)
    path = ("A@x", "B\\@b", "C")
    assert len(tree.find(parse_path(path))) == 2
    assert tree.values(ViewEvent(path=path, properties=(("resource-id", "."),)).sight) == (("",),)
    assert tree.values(ViewEvent(path=(*path[:2], "C@y"), properties=(("class", "."),)).sight) == (("C",),)
    assert tree.find(parse_path(("B", "C"))) == []


def walked(task: TaskDefinition) -> list[str]:
    """The lines that the app logs when the sub-goals are reached in order."""
    lines = []
    for goal in task.goals:
        slug = "-".join(goal.target.replace(",", "").split())
        lines.append(
            {
                "search": f"mUrl is: {SITE}wikiHowTo?search={'+'.join(goal.target.split())}",
                "article": page(slug),
                "author": page(f"Author/{slug}"),
                "category": page(f"Category:{slug}"),
                "about": page("wikiHow:Delivering-a-Trustworthy-Experience"),
                "reference": f"{page(slug, 'url')}#References",
            }[goal.kind]
        )
    return lines


def test_real_files_are_judged_right(golden: Callable[[str], Path]) -> None:
    """Walking through each real task pays 1 a sub-goal, gives the next command, and ends with the last."""
    for task in load_task_files(golden("wikihow/tasks")):
        judge = Judge(task)
        verdicts = [judge.observe([line], blank()) for line in walked(task)]
        assert [verdict.reward for verdict in verdicts] == [1.0] * len(task.goals)
        assert [verdict.done for verdict in verdicts] == [False] * (len(task.goals) - 1) + [True]
        said = [text for verdict in verdicts for text in verdict.instructions]
        assert said == [goal.command for goal in task.goals[1:]]
