"""Any actions in the app: what must hold after each of them, whatever the site, the options and the way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from rlem.core.types import Step
from rlem.environments.wikihow import app as app_module
from rlem.environments.wikihow.env import WikiHow
from rlem.environments.wikihow.grammar import page_type
from rlem.environments.wikihow.html import leaves, to_html
from rlem.environments.wikihow.nodes import Page
from rlem.environments.wikihow.sheet import VIEWPORT

Move = tuple[str, float, str]
"""A verb, which element of the screen or of its listed actions (0 to 1), and a text."""

WORLDS = 5
verbs = st.sampled_from(("CLICK", "CLICK", "DOWN", "DOWN", "INPUT", "ASK", "GOBACK", "LISTED", "TEXT"))
texts = st.sampled_from(("SCROLL(UP)", "SCROLL(LEFT)", "CLICK(999)", "CLICK(-1)")) | st.text(max_size=12)
moves = st.lists(st.tuples(verbs, st.floats(0, 0.999), texts), min_size=1, max_size=16)
starts = st.integers(0, 999)
worlds = st.integers(0, WORLDS - 1)


@cache
def world(number: int) -> WikiHow:
    """The app over one of two sites, plain or with the slips of the original."""
    if number < 2:
        return WikiHow.bundled(seed=number, n_articles=(130, 300)[number])
    base = world(number % 2)
    options = (
        {"repeatability": "none"},
        {"repeatability": "unlimited", "faithful": True},
        {"reward_lag": 0.5},
    )
    return WikiHow(base.site, base.all_tasks, **options[number - 2])


def begun(env: WikiHow, start: int, seed: int = 0) -> Step:
    """An episode; two of three begin somewhere inside of the site, where a walk would seldom come."""
    step = env.reset(env.all_tasks.all[start % len(env.all_tasks.all)].id, seed=seed)
    site = env.site
    pages = (
        None,
        Page("article", site.articles[start % len(site.articles)].slug),
        Page("author", site.authors[start % len(site.authors)].slug),
        Page("category", site.categories[start % len(site.categories)].slug),
        Page("about"),
        None,
    )
    if page := pages[start % len(pages)]:
        env.app.open(page)
    return step


def action(env: WikiHow, step: Step, task: int, move: Move) -> str:
    """The action that a move means on the screen shown. "ASK": to search the article in some words."""
    verb, part, text = move
    number = int(part * len(env.app.screen().leaves))
    field = next((action for action in step.actions if "<text>" in action), "GOBACK")
    wanted = env.all_tasks.all[task % len(env.all_tasks.all)].goals[0].target
    forms = {
        "CLICK": f"CLICK({number})",
        "INPUT": f"INPUT({number}, {text})",
        "DOWN": "SCROLL(DOWN)",
        "GOBACK": "GOBACK",
        "LISTED": step.actions[int(part * len(step.actions))].replace("<text>", text),
        "ASK": field.replace("<text>", f"{wanted} {text}"),
    }
    return forms.get(verb, text)


def played(env: WikiHow, start: int, way: list[Move], seed: int = 0) -> list[Step]:
    """The steps of an episode."""
    steps = [begun(env, start, seed)]
    for move in way:
        if steps[-1].terminated:
            break
        steps.append(env.step(action(env, steps[-1], start, move)))
    return steps


@given(worlds, starts, moves)
def test_any_actions_keep_the_screen_whole(number: int, start: int, way: list[Move]) -> None:
    """Every screen fits the grammar, is what the whole tree gives, and is scrolled no further than its page.

    An action that cannot be done changes nothing.
    """
    env = world(number).spawn()
    step = begun(env, start)
    for move in way:
        before = env.app.screen().html
        step = env.step(action(env, step, start, move))
        app = env.app
        screen = app.screen()
        kind = "menu" if app.overlay in ("menu", "share") else app.page.kind
        assert page_type(screen.html.split("\n")) == kind
        assert screen.html == to_html(leaves(screen.root()))
        assert 0 <= app.scrolled <= screen.sheet.height - VIEWPORT
        assert step.observation.endswith(screen.html)
        assert step.info["valid"] or screen.html == before
        if step.terminated:
            assert step.actions == ()
            return


@given(worlds, starts, moves, st.integers(0, 9))
def test_the_same_seed_gives_the_same_trace(number: int, start: int, way: list[Move], seed: int) -> None:
    """Steps are a function of the task, the seed and the actions: no episode before matters, and no phone
    beside."""
    env, other = world(number).spawn(), world(number).spawn()
    trace = played(env, start, way, seed)
    steps, beside = [begun(env, start, seed)], begun(other, start + 1)
    for move in way[: len(trace) - 1]:
        steps.append(env.step(action(env, steps[-1], start, move)))
        if not beside.terminated:
            beside = other.step(action(other, beside, start, move))
    assert steps == trace


@given(worlds, starts, moves)
def test_rewards_are_bounded(number: int, start: int, way: list[Move]) -> None:
    """Sub-goals pay once each where they are to; no action pays more than all of them; the end is one."""
    env = world(number).spawn()
    steps = played(env, start, way)
    goals = len(env.definition(env.all_tasks.all[start % len(env.all_tasks.all)].id).goals)
    assert all(0 <= step.reward <= goals for step in steps)
    if number != 3:  # where sub-goals may pay again
        assert sum(step.reward for step in steps) <= goals
    assert [step for step in steps if step.terminated] in ([], steps[-1:])


@given(worlds, starts, moves, st.floats(0, 0.999))
def test_back_undoes_what_opened_a_page(number: int, start: int, way: list[Move], part: float) -> None:
    """Wherever a tap opens a page (but home, where all begins anew), going back shows the screen before, at
    the same scroll; and where it opens something over the page."""
    env = world(number).spawn()
    if played(env, start, way)[-1].terminated:
        return
    app = env.app
    page, scrolled, screen = app.page, app.scrolled, app.screen()
    plain = not app.overlay and (screen.bar.kind != "field" or page.kind == "search")
    app.tap(*screen.leaves[int(part * len(screen.leaves))].middle)
    opened = app.page not in (page, Page("home"))
    covered = app.page == page and (app.overlay != "" or app.screen().bar != screen.bar)
    if opened or (plain and covered):
        app.back()
        assert (app.page, app.scrolled) == (page, scrolled)
        assert app.screen().html == screen.html or not plain


@settings(max_examples=12)
@given(starts, st.lists(moves, min_size=3, max_size=6))
def test_phones_side_by_side_are_apart(start: int, ways: list[list[Move]]) -> None:
    """Phones in threads, with one shelf of pages that is much too small, do as each would alone."""
    alone = [played(world(1).spawn(), start + at, way, at) for at, way in enumerate(ways)]
    with patch.object(app_module, "_SHEETS", 2), ThreadPoolExecutor(len(ways)) as pool:
        found = pool.map(
            lambda at: played(world(1).spawn(), start + at, ways[at], at), range(len(ways)), timeout=60
        )
        assert list(found) == alone
