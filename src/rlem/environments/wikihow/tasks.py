"""Tasks: find an article by search, open it, and then perhaps an author, a category, another article ...

A task is a chain of sub-goals. Each has a command in words, and what tells that it is reached: lines that the
app logs (patterns) or something to be seen on the screen. Texts and patterns are those of the original's task
files. Differs: titles and names are escaped in patterns, so that "(for Beginners)" can be found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import quote, quote_plus

from rlem.core.errors import UsageError
from rlem.environments.wikihow.selectors import ViewEvent
from rlem.environments.wikihow.site import slug_of

GoalKind: TypeAlias = Literal["search", "article", "author", "category", "about", "reference", "other"]
"""``other``: a step of a task file that our compiler does not make (rating, sharing)."""
TaskKind: TypeAlias = Literal["plain", "about", "author", "category", "reference", "other"]
Repeats: TypeAlias = Literal["none", "last", "unlimited"]
"""How often a sub-goal pays: once; not twice in a row; as often as something new shows that it is reached."""

SUFFIXES: Mapping[str, TaskKind] = {
    "-0": "about",
    "-4": "author",
    "-6": "category",
    "-7": "reference",
    "-8": "plain",
}
_SUFFIX_OF: Mapping[str, str] = {kind: suffix for suffix, kind in SUFFIXES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One sub-goal. ``target``: the title or the name, of a search what to learn ("stay happy").

    ``command`` is the instruction without "Then, "; "" where a task file gives none. Reaching it pays 1.
    """

    kind: GoalKind
    command: str
    logs: tuple[str, ...]
    views: tuple[ViewEvent, ...] = ()
    target: str = ""
    repeatability: Repeats = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefinition:
    """A task. ``commands`` are the lines the agent is told at first; ``stem`` is its file's name without the
    ending ("stay_happy-8"). Hitting the last of ``goals`` ends the episode, in whatever order."""

    id: str
    name: str
    description: str
    commands: tuple[str, ...]
    vocabulary: tuple[str, ...]
    stem: str
    goals: tuple[Goal, ...]

    @property
    def suffix(self) -> str:
        """The end of the stem that tells the kind: "-0" about, "-4" author, "-6" category, "-7" reference,
        "-8" plain."""
        return self.stem[-2:]

    @property
    def kind(self) -> TaskKind:
        """What was asked for after the article. An author task may have degraded to search and article."""
        return SUFFIXES.get(self.suffix, "other")

    @property
    def file_name(self) -> str:
        """Name of its file; task lists are sorted by it."""
        return f"{self.stem}.textproto"


@dataclass(frozen=True, slots=True)
class _Template:
    """Texts of one kind of sub-goal. In them ``{}`` is the target, ``{slug}`` the same in an address,
    ``{words}`` the alternatives of a search. ``page``: pattern of the address behind the site's; ``sight``:
    a selector and the pattern of what is seen there.
    """

    command: str
    step: str
    page: str
    sight: tuple[str, str] | None


TEMPLATES: Mapping[GoalKind, _Template] = {
    "search": _Template(
        "Search an article to learn how to {}.",
        "search_{encoded}",
        "wikiHowTo\\?search=.*({words}).*",
        ('#$"search_plate">#$"search_src_text"', "\\b({words})\\b"),
    ),
    "article": _Template(
        'Access the article "How to {}"',
        "article_{}",
        "{slug}",
        ('."android.view.View"#"section_0" .$"TextView"', "How to {}"),
    ),
    "author": _Template(
        "Check the author page of {}.",
        "author_page",
        "Author/{slug}",
        ('.$"View"#"authors_container">.$"Image"', "{}"),
    ),
    "category": _Template(
        "Access the page of category {}",
        "category_page_{}",
        "Category:{slug}",
        ('.$"View"#"cat_navigation">."android.view.View"', "{}"),
    ),
    "about": _Template(
        "Access the about page to learn why people trust wikihow.",
        "about_page",
        "wikiHow:Delivering-a-Trustworthy-Experience",
        (
            '.$"View"#"trustworthy_top">.$"View"#"trustworthy_head">."android.view.View"',
            "Information You Can Trust",
        ),
    ),
    "reference": _Template(
        "Check the reference list",
        "check_reference",
        "{slug}\\?wh_an=1&amp=1#References\\b",
        None,
    ),
}
ADDRESS = "https://www\\.wikihow\\.com/"
"""How the site's address stands in patterns."""

_SPECIAL = re.compile(r"[\\.^$*+?{}\[\]|()]")


def escape(text: str) -> str:
    """The pattern that finds just this text. Blanks and dashes stay as they are, as in the original."""
    return _SPECIAL.sub(r"\\\g<0>", text)


_STOP = """
    a an the this that these those such no nor not only own same other some any all both each few more most
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself
    she her hers herself it its itself they them their theirs themselves one
    who whom whose which what when where why how
    am is are was were be been being have has had having do does did doing
    can could cannot may might must shall should will would ought
    and but or if because as than so too very then there here again once further while until
    of at by for with about against between into through during before after above below
    to from up down in out on off over under
"""
STOP_WORDS = frozenset(_STOP.split())
"""Words that say nothing about what a title is about."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")
_CONTRACTED = re.compile(r"(?:n?['’]t|['’](?:s|re|ve|ll|d|m))$")


def keywords(title: str) -> tuple[str, ...]:
    """Words of a title in lower case that are no stop words; all its words where none is left.

    Apostrophes end a word ("dog's" gives "dog"): what an agent types is split there.

    >>> keywords("Be a Good Friend to a Guy"), keywords("Get Rid of a Dog's Whipworms")
    (('good', 'friend', 'guy'), ('get', 'rid', 'dog', 'whipworms'))
    """
    words = dict.fromkeys(_CONTRACTED.sub("", word) for word in _WORD.findall(title.lower()))
    return tuple(word for word in words if word not in STOP_WORDS) or tuple(words) or (title.lower(),)


def encode_name(title: str) -> str:
    """A title as the names of task files have it.

    >>> encode_name("Buy Stocks (for Beginners), Cheap/Free")
    'buy_stocks_P28for_beginnersP29_cheap_or_free'
    """
    plain = title.lower().replace(",", "").replace("/", " or ").replace(" ", "_")
    return quote_plus(plain).replace("%", "P")


def then(command: str) -> str:
    """A command as a later line of the task.

    >>> then("Check the reference list")
    'Then, check the reference list'
    """
    return f"Then, {command[:1].lower()}{command[1:]}"


def compile_task(
    title: str,
    steps: Sequence[tuple[GoalKind, str]] = (),
    *,
    suffix: str = "",
    words: Sequence[str] = (),
) -> TaskDefinition:
    """The task to search an article, to open it, and then to take some steps.

    ``title`` comes without "How to". ``steps`` are (kind, target): ("author", name), ("category", name),
    ("article", title), ("about", ""), ("reference", ""). ``suffix`` by default follows from the first step;
    give "-4" for an author task whose article has no author. ``words`` of the search by default are the
    keywords of the title; any one of them pays.

    Errors: UsageError for an empty title or target, an unknown kind or suffix.

    >>> compile_task("Stay Happy", [("about", "")]).stem
    'stay_happy-0'
    """
    chain: list[tuple[GoalKind, str]] = [("search", title.lower()), ("article", title), *steps]
    for place, (kind, target) in enumerate(chain):
        if kind not in TEMPLATES:
            raise UsageError(f"no step {kind!r}; there are {', '.join(TEMPLATES)}")
        if kind == "reference":  # those of the article that is open
            chain[place] = (kind, [name for step, name in chain[:place] if step == "article"][-1])
        elif kind != "about" and not target.strip():
            raise UsageError(f"the {kind} of a task must have a name")
    suffix = suffix or _SUFFIX_OF.get(steps[0][0] if steps else "plain", "-8")
    if suffix not in SUFFIXES:
        raise UsageError(f"task suffix {suffix!r}; allowed: {', '.join(SUFFIXES)}")
    words = tuple(words) or keywords(title)
    goals = tuple(_goal(kind, target, words) for kind, target in chain)
    return TaskDefinition(
        id="-".join(_fill(TEMPLATES[kind].step, target) for kind, target in chain).lower(),
        name=f"Articles of an app - {title}",
        description="\n".join(goal.command for goal in goals),
        commands=(goals[0].command, *(then(goal.command) for goal in goals[1:])),
        vocabulary=("how to", *words),
        stem=encode_name(title) + suffix,
        goals=goals,
    )


def log_pattern(kind: GoalKind, target: str, words: Sequence[str] = ()) -> str:
    """The pattern of the line that the app logs when a sub-goal is reached."""
    coded = dict.fromkeys([*words, *map(quote, words)])  # the address of a search has letters like é coded
    said = (
        "url" if kind == "reference" else "mUrl"
    )  # a jump on the page and a new page are logged differently
    page = TEMPLATES[kind].page.format(slug=escape(slug_of(target)), words="|".join(map(escape, coded)))
    return f"\\b{said} is: {ADDRESS}{page}"


def view_events(kind: GoalKind, target: str, words: Sequence[str] = ()) -> tuple[ViewEvent, ...]:
    """What is seen on the screen when a sub-goal is reached."""
    sight = TEMPLATES[kind].sight
    if sight is None:
        return ()
    text = sight[1].format(escape(target), words="|".join(map(escape, words)))
    clickable = (("clickable", "true"),) if kind == "search" else ()
    return (ViewEvent(selectors=(sight[0],), properties=(("text", text), *clickable)),)


def _goal(kind: GoalKind, target: str, words: Sequence[str]) -> Goal:
    return Goal(
        kind=kind,
        command=TEMPLATES[kind].command.format(target),
        logs=(log_pattern(kind, target, words),),
        views=view_events(kind, target, words),
        target=target,
    )


def _fill(text: str, target: str) -> str:
    return text.format(target, encoded=encode_name(target))
