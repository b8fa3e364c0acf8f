"""Agents that ask a model: what they show it, within which budget, and what they keep of it."""

import random

import pytest
from tests.support.stage import ACTIONS, TASK

from rlem.advice import Advice, Exemplar
from rlem.agents.base import View
from rlem.agents.prompted import PromptOptions, exemplars_of, llm_only, rememberer, static_exemplars
from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.types import Episode, Situation, Step, Transition
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore
from rlem.runner.records import AdviceRecord
from rlem.testing.scripted_model import ScriptedModel
from rlem.values import posterior

ANSWER = "Encouraged:\ngo left -> 1.0 why not"


def taught(*lessons: tuple[str, str, float], trust: str = "verified") -> ExperienceMemory:
    """A memory of one-step episodes: (page, action, reward)."""
    memory = ExperienceMemory(InMemoryStore())
    for number, (page, action, reward) in enumerate(lessons):
        situation = Situation(task="Find the exit.", observation=page, actions=ACTIONS)
        step = Transition(situation=situation, action=action, reward=reward)
        memory.record(
            Episode(id=f"e{number}", task="Find the exit.", transitions=(step,), trust=trust)  # type: ignore[arg-type]
        )
    return memory


def view(page: str = "a hall", **changes: object) -> View:
    """A view of a page with two actions."""
    fields: dict[str, object] = {"task": TASK, "step": Step(observation=page, actions=ACTIONS)}
    return View(**fields | changes)  # type: ignore[arg-type]


def answering() -> ScriptedModel:
    """A model that always gives the same good answer."""
    return ScriptedModel(lambda prompt: ANSWER)


def test_rememberer_puts_advice_into_the_prompt_and_the_decision() -> None:
    """What paid off is encouraged, what failed discouraged, with values; the decision keeps both."""
    memory, model = taught(("a hall", "go right", 1.0), ("a hall", "go left", 0.0)), answering()
    decision = rememberer(memory, model, "generic", reward_range=(0.0, 1.0)).act(view())
    text = model.prompts[0].user
    example, _, new = text.partition("New input:")
    assert "Example 1:" in example
    assert "Encouraged:\ngo right -> 1.0 (n=1" in example
    assert "Discouraged:\ngo left -> 0.0 (n=1" in example
    assert "Encouraged:\ngo right" not in new
    assert (decision.action, decision.reason, decision.answer) == ("go left", "why not", ANSWER)
    advice = AdviceRecord.model_validate(decision.advice[0])
    assert advice.encouraged == [("go right", 1.0, 1)]
    assert advice.discouraged == [("go left", 0.0, 1)]
    assert advice.key == view().situation.key
    assert advice.similarity == pytest.approx(1.0)
    assert advice.parts


def test_the_most_similar_experience_stands_last_and_k_are_shown() -> None:
    """k=2 of four; the equal page is Example 1, directly before the new input."""
    pages = ["a hall", "a hall with a lamp", "a cellar full of barrels", "the roof in the rain"]
    memory, model = taught(*((page, "go right", 1.0) for page in pages)), answering()
    decision = rememberer(memory, model, "generic").act(view())
    text = model.prompts[0].user
    assert text.index("Example 2:") < text.index("Example 1:") < text.index("New input:")
    assert "Example 3:" not in text
    first = text[text.index("Example 1:") : text.index("New input:")]
    assert "  a hall\n" in first
    similarities = [AdviceRecord.model_validate(a).similarity for a in decision.advice]
    assert similarities == sorted(similarities, reverse=True)
    assert len(similarities) == 2


def test_options_reach_prompt_and_model() -> None:
    """k, no discouraged actions, and the plain lines of the paper."""
    memory, model = taught(("a hall", "go right", 1.0), ("a hall", "go left", 0.0)), answering()
    options = PromptOptions(k=1, discouraged=False, compat="reference")
    rememberer(memory, model, "generic", options).act(view())
    text = model.prompts[0].user
    assert "\nDiscouraged:" not in text
    assert "Encouraged:\ngo right -> 1.0\n" in text


def test_rank_and_choice_reach_the_prompt() -> None:
    """What is known for sure comes before what is a little more alike, and is encouraged by its bounds."""
    page = "a long hall with a lamp, seven doors, a carpet and a clock that has stopped at noon"
    memory = taught(*[(f"{page} ago", "go right", 0.9)] * 12, (page, "go left", 0.9))
    known = posterior(12, 0.9, 0.0, bounds=(0.0, 1.0))
    for options, first in (
        (PromptOptions(k=1), "go left -> 0.9 (n=1"),
        (
            PromptOptions(k=1, rank="similarity+value", choose="bounds"),
            f"go right -> 0.9 (n=12, {known.lower:.2f} to {known.upper:.2f})",
        ),
    ):
        model = answering()
        rememberer(memory, model, "generic", options, reward_range=(0.0, 1.0)).act(view(page))
        assert first in model.prompts[0].user


def test_what_is_not_verified_is_never_encouraged() -> None:
    """Imported rewards inform; the prompt does not encourage by them."""
    memory, model = taught(("a hall", "go right", 1.0), trust="unverified"), answering()
    rememberer(memory, model, "generic").act(view())
    assert "Encouraged:\ngo right" not in model.prompts[0].user.partition("New input:")[0]


@pytest.mark.parametrize(
    ("style", "action", "reason"),
    [
        ("wikihow", "CLICK(0)", '<p id="0" clickable="true">References</p>'),
        ("wikihow", "GOBACK", "why not"),
        ("generic", "CLICK(0)", "why not"),
    ],
)
def test_the_reason_says_what_an_action_was_done_to(style: str, action: str, reason: str) -> None:
    """Where elements go by numbers, the line of the element takes the place of the model's reason."""
    step = Step(observation='<p id="0" clickable="true">References</p>', actions=("CLICK(0)", "GOBACK"))
    model = ScriptedModel(lambda prompt: f"Encouraged:\n{action} -> 1.0 why not")
    decision = llm_only(model, style).act(view(step=step))
    assert (decision.action, decision.reason) == (action, reason)


def test_an_empty_memory_shows_nothing() -> None:
    """The first prompt is that of the model alone."""
    with_memory, without = answering(), answering()
    memory = ExperienceMemory(InMemoryStore())
    decision = rememberer(memory, with_memory, "generic").act(view())
    llm_only(without, "generic").act(view())
    assert with_memory.prompts == without.prompts
    assert decision.advice == ()


def test_acting_does_not_change_the_memory() -> None:
    """Recall is no learning."""
    memory = taught(("a hall", "go right", 1.0))
    before = memory.hash()
    rememberer(memory, answering(), "generic").act(view("another hall"))
    assert memory.hash() == before


def test_llm_only_has_no_exemplars() -> None:
    """History and page, and nothing that anybody experienced."""
    model = answering()
    llm_only(model, "generic").act(view(history=("go left",), reasons=("it is near",)))
    text = model.prompts[0].user
    assert "Example" not in text
    assert "- go left it is near" in text


EXEMPLAR = Exemplar(
    situation=Situation(task="Leave.", observation="a hut", actions=ACTIONS),
    encouraged=(Advice(action="go right", value=0.7, visits=2),),
)


def test_static_shows_the_same_whatever_the_view() -> None:
    """Two pages, one exemplar part."""
    model = answering()
    agent = static_exemplars([EXEMPLAR], model, "generic")
    decisions = [agent.act(view(page)) for page in ("a hall", "quite another page")]
    parts = [prompt.user.partition("New input:")[0] for prompt in model.prompts]
    assert parts[0] == parts[1]
    assert "go right -> 0.7 (n=2" in parts[0]
    assert decisions[0].advice == decisions[1].advice != ()


def test_static_without_exemplars_is_refused() -> None:
    """It would be the model alone under another name."""
    with pytest.raises(UsageError, match="at least one"):
        static_exemplars([], answering(), "generic")


def test_exemplars_of_a_memory_are_its_best_of_different_pages() -> None:
    """Highest value first, at most k, one for each list of actions."""
    memory = taught(("low", "go left", 0.25), ("high", "go right", 1.0))
    other = Situation(task="t", observation="doors", actions=("open",))
    memory.record(
        Episode(id="x", task="t", transitions=(Transition(situation=other, action="open", reward=0.5),))
    )
    found = exemplars_of(memory, PromptOptions(k=2))
    assert [e.situation.observation for e in found] == ["high", "doors"]
    assert len(exemplars_of(memory, PromptOptions(k=1))) == 1


@pytest.mark.parametrize("budget", [250, 400, 1000])
def test_prompts_keep_their_token_budget(budget: int) -> None:
    """However long pages and exemplars are, the user part has at most that many tokens."""
    long = " ".join(f"word{i}" for i in range(3000))
    memory, model = taught((long, "go right", 1.0), ("a hall", "go left", 1.0)), answering()
    agent = rememberer(memory, model, "generic", PromptOptions(max_input_tokens=budget))
    agent.act(view())
    agent.act(view(long))
    assert all(model.count_tokens(prompt.user) <= budget for prompt in model.prompts)
    assert "go left -> 1.0" in model.prompts[0].user.partition("New input:")[0] or budget < 300
    assert "characters left out" in model.prompts[1].user


def test_an_exemplar_that_does_not_fit_makes_way_for_the_next() -> None:
    """The walk goes on beyond k candidates: a huge one at the front does not empty the prompt."""
    huge = "a hall " + "and more hall " * 3000
    memory, model = taught((huge, "go right", 1.0), ("stairs", "go left", 1.0)), answering()
    options = PromptOptions(k=1, max_input_tokens=600)
    decision = rememberer(memory, model, "generic", options).act(view())
    assert [AdviceRecord.model_validate(a).encouraged[0][0] for a in decision.advice] == ["go left"]


def test_decisions_depend_on_the_view_alone() -> None:
    """The same view gives the same prompt whatever was asked before; global chance has no part."""
    memory = taught(*((f"page {i}", "go left", 0.0) for i in range(6)))
    prompts = []
    for noise in (1, 2):
        random.seed(noise)
        model = answering()
        agent = rememberer(memory, model, "generic", PromptOptions(advice="reference"))
        for _ in range(noise):
            agent.act(view("elsewhere"))
        agent.act(view(seed=5, step_index=2))
        prompts.append(model.prompts[-1])
    assert prompts[0] == prompts[1]


@pytest.mark.parametrize("name", ["k", "max_input_tokens", "max_tokens"])
def test_options_that_make_no_sense_are_refused(name: str) -> None:
    """Sizes below 1, and a negative number of retries."""
    with pytest.raises(UsageError, match=f"{name}=0"):
        PromptOptions(**{name: 0})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="retries=-1"):
        PromptOptions(retries=-1)


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("advice", "record", "recorded"),
        ("discourage", "fail", "failing"),
        ("compat", "referenz", "reference"),
        ("rank", "similar", "similarity"),
        ("choose", "values", "value"),
        ("explore", "thomson", "thompson"),
    ],
)
def test_an_option_value_that_is_not_known_gets_a_proposal(name: str, value: str, meant: str) -> None:
    """A typing error does not silently select the default."""
    with pytest.raises(UnknownNameError, match=f"{name}.*did you mean '{meant}'"):
        PromptOptions(**{name: value})  # type: ignore[arg-type]
