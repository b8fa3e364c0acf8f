"""Properties of advice: the parser survives anything, rendered lines read back, budgets hold."""

from __future__ import annotations

import random
import string

from hypothesis import given
from hypothesis import strategies as st

from rlem.advice import (
    GENERIC,
    WEBSHOP,
    WIKIHOW,
    Advice,
    Exemplar,
    Grammar,
    PromptInput,
    advise,
    build_prompt,
    is_available,
    parse_answer,
    prompt_style,
    style_names,
)
from rlem.advice.choice import CHOICES, EXPLORATIONS, Choose, Explore
from rlem.advice.exemplar import Mode
from rlem.advice.text import advice_line, fence
from rlem.core.types import Situation
from rlem.memory.experience import ActionValue, Experience, Recalled

KNOWN = [
    "search[<words>]",
    "click[buy now]",
    "click[next >]",
    "INPUT(2, <text>)",
    "CLICK(2)",
    "GOBACK",
    "go north",
]
SCRAPS = [
    "Encouraged:",
    "Discouraged:",
    "click[",
    "search[",
    "buy now",
    "]",
    " -> ",
    "→",
    "0.9",
    "nan",
    "1,0",
    "\n",
    "```",
    "- ",
    "1. ",
    "`",
    "'",
    "INPUT(2,",
    "CLICK(2)",
    ")",
    "GOBACK",
    "go north",
    "<think>",
    "</think>",
    ":",
    "Example 1:",
    "红色",
    "\u2028",
    "(n=1)",
    "%",
    "/1",
    "and ",
    ", ",
    "**",
]

answers = st.one_of(st.text(), st.lists(st.sampled_from(SCRAPS), max_size=40).map("".join))
grammars = st.sampled_from([WEBSHOP, WIKIHOW, GENERIC])
words = st.text(string.ascii_letters + string.digits + " .,;:'->()é红", min_size=1, max_size=30).map(
    lambda text: " ".join(text.split())
)


def balanced(text: str) -> bool:
    """Whether the round brackets of a text close."""
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return False
    return depth == 0


arguments = words.filter(lambda text: bool(text) and balanced(text))
actions = st.one_of(
    st.tuples(st.just(WEBSHOP), st.builds("click[{}]".format, arguments)),
    st.tuples(st.just(WEBSHOP), st.builds("search[{}]".format, arguments)),
    st.tuples(st.just(WEBSHOP), st.builds("click[{} [{}]]".format, arguments, arguments)),
    st.tuples(st.just(WIKIHOW), st.builds("INPUT({}, {})".format, st.integers(0, 99), arguments)),
    st.tuples(st.just(WIKIHOW), st.sampled_from(["CLICK(7)", "SCROLL(DOWN)", "GOBACK"])),
    st.tuples(
        st.just(GENERIC), st.sampled_from(["go north", "take lamp -> bag", "1. open", "- x", "say 'hi'"])
    ),
)
values = st.floats(-9, 9).map(lambda value: round(value, 1) + 0.0)


@given(text=answers, grammar=grammars, known=st.sampled_from([None, KNOWN, []]))
def test_any_text_is_read_without_an_exception(text: str, grammar: Grammar, known: list[str] | None) -> None:
    """Whatever a model writes, the result is an available action or a failure with a known kind."""
    parsed = parse_answer(text, known=known, grammar=grammar)
    assert (parsed.action is None) == bool(parsed.failure)
    if parsed.action is None:
        kinds = {"empty", "no-action", "unknown-action", "unfilled-action", "ambiguous"}
        assert parsed.failure_kind in kinds
    else:
        assert is_available(parsed.action, known or [])
        assert parsed.action in {candidate.action for candidate in parsed.candidates}
    assert all(count > 0 for count in parsed.repairs.values())


@given(
    action=actions,
    value=values,
    visits=st.integers(0, 9),
    reason=st.sampled_from(["", "it fits", "a (b) [c]"]),
    bounds=st.sampled_from([None, (0.25, 1.0), (-1.0, 0.5)]),
)
def test_a_rendered_line_reads_back(
    action: tuple[Grammar, str], value: float, visits: int, reason: str, bounds: tuple[float, float] | None
) -> None:
    """What an exemplar prints is what the parser understands, without any repair."""
    grammar, text = action
    line = advice_line(text, value, reason, visits=visits, interval=bounds)
    for known in (None, [text, "click[other]"]):
        if known is None and grammar is GENERIC:
            continue  # without a list a free text with an arrow or a bullet in it cannot be told apart
        parsed = parse_answer(f"Encouraged:\n{line}\nDiscouraged:\n", known=known, grammar=grammar)
        assert (parsed.action, parsed.value, parsed.reason) == (text, value, reason)
        assert parsed.repairs == {}


@given(page=st.text(), style=st.sampled_from(style_names()))
def test_every_line_of_a_page_is_indented(page: str, style: str) -> None:
    """No page, whatever it holds, puts a line at column 0 of the prompt."""
    lines = fence(page)
    assert all(line.startswith("  ") and len(line.splitlines()) == 1 for line in lines)
    empty = prompt_style(style).input_block(PromptInput(task="", observation=""))
    full = prompt_style(style).input_block(PromptInput(task="", observation=page))
    ours = [line for line in full.split("\n") if not line.startswith("  ")]
    assert ours == [line for line in empty.split("\n") if not line.startswith("  ")]


@given(
    given_input=st.builds(
        PromptInput,
        task=st.text(max_size=300),
        observation=st.text(max_size=2000),
        actions=st.lists(st.text(max_size=30), max_size=20).map(tuple),
        history=st.lists(st.text(max_size=30), max_size=8).map(tuple),
        reasons=st.lists(st.text(max_size=30), max_size=8).map(tuple),
        subtask=st.text(max_size=300),
    ),
    sizes=st.lists(st.integers(0, 800), max_size=5),
    budget=st.integers(100, 600),
    k=st.integers(0, 3),
    style=st.sampled_from(style_names()),
    per_token=st.integers(1, 4),
)
def test_prompts_keep_to_the_budget(
    given_input: PromptInput, sizes: list[int], budget: int, k: int, style: str, per_token: int
) -> None:
    """The user part never exceeds the budget; the walk takes by rank; nothing is cut without need."""

    def count(text: str) -> int:
        return -(-len(text) // per_token)

    limit = budget * 4 // per_token
    candidates = [
        Exemplar(
            situation=Situation(task=f"task {i}", observation="y" * size),
            encouraged=(Advice(action="click[a]", value=1.0, visits=1),),
        )
        for i, size in enumerate(sizes)
    ]
    built = build_prompt(
        prompt_style(style), given_input, candidates, count_tokens=count, max_input_tokens=limit, k=k
    )
    assert count(built.prompt.user) == built.input_tokens <= limit
    assert len(built.used) <= k
    order = [candidates.index(exemplar) for exemplar in built.used]
    assert order == sorted(order)
    if len(built.used) < k:
        assert sorted([*order, *built.skipped]) == list(range(len(candidates)))
    if not built.truncated_input:
        assert prompt_style(style).input_block(given_input) in built.prompt.user


action_values = st.builds(
    lambda name, visits, q, m2, share: ActionValue(
        action=name,
        visits=visits,
        q_value=q,
        m2=m2,
        reward_mean=0.0,
        verified_visits=round(visits * share),
        verified_q_value=q if round(visits * share) else 0.0,
    ),
    st.sampled_from(["click[a]", "click[b]", "click[c]", "search[x]"]),
    st.integers(1, 9),
    st.floats(-1, 1),
    st.floats(0, 4),
    st.sampled_from([0.0, 0.5, 1.0]),
)


@given(
    tried=st.lists(action_values, max_size=4, unique_by=lambda a: a.action),
    seed=st.integers(0, 99),
    mode=st.sampled_from(["recorded", "reference"]),
    choose=st.sampled_from(CHOICES),
    explore=st.sampled_from([True, *EXPLORATIONS]),
    use=st.booleans(),
)
def test_advice_is_honest(
    tried: list[ActionValue], seed: int, mode: Mode, choose: Choose, explore: Explore | bool, use: bool
) -> None:
    """Encouraged: at most one, positive, verified; sides are disjoint; everything shown can be sent."""
    available = ("search[<words>]", "click[a]", "click[b]", "click[c]")
    experience = Experience(
        situation=Situation(task="red mug", observation="page", actions=available), actions=tuple(tried)
    )
    exemplar = advise(
        Recalled(experience=experience, similarity=1.0),
        rng=random.Random(seed),
        bounds=(-1.0, 1.0),
        mode=mode,
        choose=choose,
        explore=explore,
        use_discouraged=use,
    )
    by_name = {action.action: action for action in tried}
    good, bad = exemplar.encouraged, exemplar.discouraged
    assert len(good) <= 1
    for advice in good:
        if advice.visits:
            assert advice.value > 0
            assert by_name[advice.action].verified_visits > 0
        else:
            assert mode == "reference"
    assert not {a.action for a in good} & {a.action for a in bad}
    assert use or not bad
    assert not set(exemplar.untried) & set(by_name)
    assert all(is_available(a, available) for a in (*exemplar.untried, *(x.action for x in (*good, *bad))))
