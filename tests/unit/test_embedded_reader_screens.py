"""The embedded reader on screens of elements: what it does with prompts, not by which numbers."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

import pytest

from rlem.advice import (
    WIKIHOW,
    Advice,
    Exemplar,
    ParsedAnswer,
    PromptInput,
    build_prompt,
    parse_answer,
    prompt_style,
)
from rlem.core.types import Situation, Task
from rlem.environments.wikihow.env import WikiHow
from rlem.environments.wikihow.html import Leaf, line, parse_line
from rlem.llm.base import Prompt
from rlem.llm.embedded import EmbeddedReader
from rlem.llm.reading import words

READER = EmbeddedReader()
STYLE = prompt_style("wikihow")
SEARCH = "INPUT(2, "


@cache
def world() -> WikiHow:
    """The default app, made once."""
    return WikiHow.bundled()


def walk(task: Task, actions: Sequence[str]) -> Iterator[tuple[PromptInput, str]]:
    """What an agent is shown on a way through the app, before each action, and the action."""
    env = world().spawn()
    step = env.reset(task)
    given = PromptInput(task=task.instruction, observation=step.observation, actions=step.actions)
    total = 0.0
    for action in actions:
        yield given, action
        step = env.step(action)
        total += step.reward
        if step.done:
            return
        given = PromptInput(
            task=task.instruction,
            observation=step.observation,
            actions=step.actions,
            history=(*given.history, action),
            reasons=(*given.reasons, STYLE.note(action, given.observation)),
            last_reward=step.reward,
            total_reward=total,
            subtask=step.subtask,
        )


@cache
def all_tasks() -> tuple[Task, ...]:
    """Test and training tasks."""
    return tuple(world().tasks("0:110"))


@cache
def recorded() -> tuple[tuple[PromptInput, str], ...]:
    """What the oracle sees on its ways, each with what it does there."""
    return tuple(pair for task in all_tasks() for pair in walk(task, world().oracle(task)))


def label(given: PromptInput, action: str) -> str:
    """What the element of an action says; "" for an action without one."""
    found = STYLE.note(action, given.observation)
    return parse_line(found).words.strip() if found else ""


def clicks(start: str) -> list[tuple[PromptInput, str]]:
    """Clicks of the oracle where a step of that beginning is due."""
    return [pair for pair in recorded() if pair[0].subtask.startswith(start) and pair[1].startswith("CLICK(")]


def titled(given: PromptInput) -> str:
    """The title that the due step quotes."""
    return given.subtask.partition('"')[2].rpartition('"')[0]


def results(*, shown: bool) -> list[tuple[PromptInput, str]]:
    """Results of searches that hold the title of the due step, or do not."""
    return [
        (given, action)
        for given, action in recorded()
        if given.subtask.startswith("Access the article") and given.history[-1].startswith(SEARCH)
        if (f">{titled(given)}<" in given.observation) == shown
    ]


def links(text: str) -> list[tuple[PromptInput, str]]:
    """Clicks of the oracle on elements that say this, each on another screen."""
    return [(given, action) for given, action in recorded() if label(given, action) == text]


def prompt_of(given: PromptInput, exemplars: Sequence[Exemplar] = (), *, budget: int = 100_000) -> Prompt:
    """The prompt as an agent makes it."""
    built = build_prompt(STYLE, given, exemplars, count_tokens=READER.count_tokens, max_input_tokens=budget)
    return Prompt(system=built.prompt.system, user=built.prompt.user)


def exemplar(
    given: PromptInput,
    encouraged: Sequence[tuple[str, float]] = (),
    discouraged: Sequence[tuple[str, float]] = (),
    *,
    visits: int = 5,
) -> Exemplar:
    """An exemplar of a recorded screen."""
    return Exemplar(
        situation=Situation(
            task=given.task, observation=given.observation, actions=given.actions, subtask=given.subtask
        ),
        history=given.history,
        encouraged=tuple(Advice(action=a, value=v, visits=visits) for a, v in encouraged),
        discouraged=tuple(Advice(action=a, value=v, visits=visits) for a, v in discouraged),
    )


def answer(
    given: PromptInput, exemplars: Sequence[Exemplar] = (), *, seed: int = 0, temperature: float = 0.0
) -> ParsedAnswer:
    """Its parsed answer."""
    text = READER.complete(prompt_of(given, exemplars), seed=seed, temperature=temperature).text
    return parse_answer(text, known=given.actions, grammar=WIKIHOW)


def chosen(given: PromptInput, exemplars: Sequence[Exemplar] = (), *, seed: int = 0) -> str:
    """The action it takes at temperature 0."""
    return answer(given, exemplars, seed=seed).action or ""


def worth(given: PromptInput, action: str, exemplars: Sequence[Exemplar] = ()) -> float:
    """The value it prints for an action at temperature 0; 0 where three others are better."""
    found = {c.action: c.value for c in answer(given, exemplars).candidates}
    return found.get(action) or 0.0


def share(hits: Sequence[bool]) -> float:
    """Part of them that hold."""
    return sum(hits) / len(hits)


# -- without examples ------------------------------------------------------------------------------------


def test_at_home_it_types_words_of_the_task_into_the_search() -> None:
    """Home has one thing to type into; the query is made of the first step's words, its subject included."""
    homes = [given for given, _ in recorded() if not given.history]
    assert len(homes) == 110
    for given in homes:
        parsed = answer(given, temperature=0.1)
        assert (parsed.action or "").startswith(SEARCH)
        query = (parsed.action or "").removeprefix(SEARCH).removesuffix(")").split()
        step, article = (words(text) for text in given.task.split("\n")[:2])
        assert query
        assert set(query) <= set(step)
        assert set(query) & set(article)


def test_it_clicks_the_result_whose_title_is_quoted() -> None:
    """Among results that look alike, the one that says what the step quotes, word for word."""
    found = results(shown=True)
    assert len(found) > 80
    assert share([label(given, chosen(given)) == titled(given) for given, _ in found]) > 0.95


@pytest.mark.parametrize(
    ("start", "least"),
    [("Check the author page", 10), ("Access the page of cat", 10), ("Access the about", 20)],
)
def test_it_clicks_what_the_step_names(start: str, least: int) -> None:
    """Author, category and the lines on trust stand near the top of an article under the step's own words."""
    found = [
        (given, action)
        for given, action in clicks(start)
        if " ".join(words(label(given, action))) in " ".join(words(given.subtask))
        and label(given, action) != "<"
    ]
    assert len(found) >= least
    about = ("Learn why people", "trust wikiHow")  # both lead to the same page
    for given, action in found:
        said = label(given, chosen(given))
        assert said == label(given, action) or (said in about and label(given, action) in about)


def test_a_word_that_only_begins_alike_is_no_sure_answer() -> None:
    """ "Check the reference list" does not say "References": it expects less of it than of a name in full."""
    compared = 0
    for given, action in links("References"):
        author = label(given, next(a for a in given.actions if label_is_author(given, a)))
        named = replace(given, subtask=f"Check the author page of {author}.")
        assert worth(given, action) < 0.5 * worth(named, chosen(named))
        assert label(named, chosen(named)) == author
        compared += 1
    assert compared >= 10


def label_is_author(given: PromptInput, action: str) -> bool:
    """Whether an action clicks what follows the words "by", or says "Author Info"."""
    lines = given.observation.split("\n")
    at = next((i for i, text in enumerate(lines) if text == STYLE.note(action, given.observation)), 0)
    return action.startswith("CLICK") and ("by</p>" in lines[at - 2] or label(given, action) == "Author Info")


def test_plain_words_never_speak_for_scrolling_or_going_back() -> None:
    """Without examples and chance these are worth nothing, and anything else that is offered comes first."""
    for given, _ in recorded():
        parsed = answer(given)
        assert not (parsed.action or "SCROLL").startswith(("SCROLL", "GOBACK"))
        for candidate in parsed.candidates:
            if candidate.action.startswith(("SCROLL", "GOBACK")):
                assert candidate.value == 0.0


# -- with examples ---------------------------------------------------------------------------------------


def test_an_encouraged_link_is_found_again_under_another_number() -> None:
    """What "References" is for it learns from another article, where the number is another one."""
    found = links("References")
    pairs = [
        (given, action, other, theirs)
        for given, action in found
        for other, theirs in found
        if theirs != action and other.task != given.task
    ]
    assert len(pairs) > 20
    assert all(
        chosen(given, [exemplar(other, [(theirs, 1.0)])]) == action for given, action, other, theirs in pairs
    )


def test_an_encouraged_scroll_holds_where_the_target_is_not_on_the_screen() -> None:
    """Taught to scroll for a title that is not among the results, it scrolls where another one is missing."""
    missing = results(shown=False)
    assert len(missing) >= 3
    for index, (given, action) in enumerate(missing):
        assert action == "SCROLL(DOWN)"
        other, theirs = missing[(index + 1) % len(missing)]
        assert not chosen(given).startswith("SCROLL")
        assert chosen(given, [exemplar(other, [(theirs, 1.0)])]) == "SCROLL(DOWN)"


def test_an_encouraged_scroll_does_not_hold_where_the_target_is_shown() -> None:
    """The same example leaves a title alone that is on the screen: it is clicked."""
    other, theirs = results(shown=False)[0]
    found = results(shown=True)
    kept = [chosen(given, [exemplar(other, [(theirs, 1.0)])]) == chosen(given) for given, _ in found]
    assert share(kept) > 0.95


def test_an_encouraged_way_up_is_taken_on_other_pages() -> None:
    """ "<" says nothing, and nothing in a task names it: that it leads to the category above is learned."""
    found = links("<")
    assert len(found) >= 3
    for index, (given, action) in enumerate(found):
        other, theirs = found[(index + 1) % len(found)]
        assert chosen(given) != action
        assert chosen(given, [exemplar(other, [(theirs, 1.0)])]) == action


def test_discouraged_typing_is_worth_less() -> None:
    """At home, after an example in which typing the same words earned nothing."""
    homes = [pair for pair in recorded() if not pair[0].history]
    for (given, _), (other, _) in zip(homes[:20], homes[20:40], strict=True):
        typed = chosen(given)
        assert worth(given, typed, [exemplar(other, discouraged=[(chosen(other), 0.0)])]) < worth(
            given, typed
        )


def repeated(given: PromptInput, action: str) -> PromptInput:
    """The same screen, once that action was the last one."""
    return replace(
        given,
        history=(*given.history, action),
        reasons=(*given.reasons, STYLE.note(action, given.observation)),
    )


@pytest.mark.parametrize(
    "above", ["", "<!-- error: CLICK(99): there is no element 99. Nothing was done. -->\n"]
)
def test_a_click_that_was_just_done_is_worth_less(above: str) -> None:
    """What the last actions hold, element and all, loses; below a complaint of the app as well."""
    found = [(g, a) for g, a in recorded() if a.startswith("CLICK(") and chosen(g) == a and worth(g, a) > 0.3]
    assert len(found) > 50
    for given, action in found:
        given = replace(given, observation=above + given.observation)
        assert worth(repeated(given, action), action) < worth(given, action) - 0.1


def test_a_click_on_a_long_text_is_known_again() -> None:
    """The history says of an element 200 characters at most: a repetition is still seen as one."""
    given, action = results(shown=True)[0]
    lines = given.observation.split("\n")
    number = int(action.removeprefix("CLICK(").removesuffix(")"))
    lines[number] = line(Leaf("p", text=f"{titled(given)}. " * 30, clickable=True), number)
    given = replace(given, observation="\n".join(lines))
    assert worth(repeated(given, action), action) < worth(given, action) - 0.1


def test_the_same_number_on_another_screen_is_no_repetition() -> None:
    """Numbers say nothing: an element is the one that was clicked if it says the same."""
    for given, action in clicks("Access the about")[:10]:
        before = replace(given, history=(*given.history, action), reasons=(*given.reasons, "<p>Another</p>"))
        assert worth(before, action) == worth(given, action)


def test_typing_again_is_worth_less() -> None:
    """Words that were typed among the last actions did not end the task."""
    given, _ = recorded()[0]
    typed = chosen(given)
    assert worth(repeated(given, typed), typed) < worth(given, typed)


def test_values_are_counted_in_units_of_the_largest() -> None:
    """Where sums of rewards exceed 1, ten times as large ones advise the same."""
    found = links("References") + results(shown=False) + links("<")
    for index, (given, _) in enumerate(found):
        other, theirs = found[(index + 1) % len(found)]
        small, large = (exemplar(other, [(theirs, 2.0 * f)], [("GOBACK", -1.0 * f)]) for f in (1, 10))
        one, ten = answer(given, [small]), answer(given, [large])
        assert [(c.action, c.value) for c in one.candidates] == [(c.action, c.value) for c in ten.candidates]


def test_the_answer_depends_on_prompt_and_seed_alone() -> None:
    """Another instance, earlier questions, global chance have no part; without temperature nor the seed."""
    prompts = [prompt_of(given) for given, _ in recorded()[::15]]
    expected = [READER.complete(prompt, seed=3).text for prompt in prompts]
    random.seed(99)
    assert [EmbeddedReader().complete(p, seed=3).text for p in reversed(prompts)] == expected[::-1]
    assert [READER.complete(prompt, seed=4).text for prompt in prompts] != expected
    for prompt in prompts:
        assert len({READER.complete(prompt, seed=seed, temperature=0.0).text for seed in range(10)}) == 1
