"""Exploring by upper bound and by posterior draws: what is suggested, seeded, and in training alone."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner
from tests.support.stage import ACTIONS
from tests.unit.test_advice_exemplar import make, names, recalled, tried
from tests.unit.test_agents_prompted import answering, taught, view

import rlem
from rlem.advice import advise
from rlem.advice.choice import exploration
from rlem.agents.prompted import PromptOptions, rememberer
from rlem.cli.options import agent_config, agent_options
from rlem.core.errors import UnknownNameError
from rlem.core.types import Situation

SEEDS = range(60)


def suggested(explore: str, *values: object, **options: object) -> Counter[str]:
    """How often each action is named or encouraged, over many seeds."""
    found: Counter[str] = Counter()
    for seed in SEEDS:
        exemplar = make(*values, explore=explore, rng=random.Random(seed), **options)  # type: ignore[arg-type]
        found.update(exemplar.untried or names(exemplar.encouraged))
    return found


def test_upper_bounds_try_the_untried_first() -> None:
    """An untried action may earn all there is; which one is chance. The best one stays encouraged."""
    known = (tried("click[a]", 0.9, 4), tried("click[b]", 0.2, 9))
    assert set(suggested("upper", *known)) == {"click[c]", "search[a red kettle]"}
    assert names(make(*known, explore="upper").encouraged) == ["click[a]"]


def test_upper_bounds_then_take_what_may_be_best() -> None:
    """All tried: a few tries of a middling action outbid many of a good one, and it is encouraged instead."""
    everything = (
        tried("click[a]", 0.7, 90, m2=18.0),
        tried("click[b]", 0.5, 2),
        tried("click[c]", 0.1, 50),
        tried("search[a red kettle]", 0.1, 50),
    )
    assert set(suggested("upper", *everything)) == {"click[b]"}
    exemplar = make(*everything, explore="upper")
    assert [(a.action, a.value, a.visits) for a in exemplar.encouraged] == [("click[b]", 0.5, 2)]
    assert names(make(*everything).encouraged) == ["click[a]"]


def test_what_is_to_be_tried_is_not_discouraged() -> None:
    """A failure that may yet be the best is left out of the warnings, but earns no encouragement."""
    everything = [tried(a, 0.1, 50) for a in ("click[a]", "click[c]", "search[a red kettle]")]
    exemplar = make(*everything, tried("click[b]", 0.0, 1), explore="upper")
    assert "click[b]" not in names(exemplar.encouraged) + names(exemplar.discouraged)


def test_draws_favour_what_is_good_and_what_is_unknown() -> None:
    """Thompson: hardly ever the sure failure, mostly the good one, at times the untried."""
    actions = ("click[a]", "click[b]", "click[c]")
    found: Counter[str] = Counter()
    for seed in range(300):
        item = recalled(tried("click[a]", 0.9, 9), tried("click[b]", 0.0, 30), actions=actions)
        exemplar = advise(item, rng=random.Random(seed), bounds=(0.0, 1.0), explore="thompson")
        found.update(exemplar.untried or names(exemplar.encouraged))
    assert found["click[b]"] == 0
    assert found["click[a]"] > found["click[c]"] > 15


def test_unverified_praise_is_not_tried_for_its_value() -> None:
    """It counts as untried and is never encouraged, however high it stands."""
    poison = tried("click[b]", 1.0, 50, verified=0)
    for explore in ("upper", "thompson"):
        for seed in SEEDS:
            exemplar = make(tried("click[a]", 0.5, 3), poison, explore=explore, rng=random.Random(seed))
            assert names(exemplar.encouraged) == ["click[a]"]


@pytest.mark.parametrize("explore", ["upper", "thompson"])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), None], ids=["known", "unknown"])
def test_draws_come_from_the_generator_alone(explore: str, bounds: tuple[float, float] | None) -> None:
    """The same seed gives the same exemplar, in any range; another one may give another."""
    values = (tried("click[a]", 0.5, 2), tried("click[b]", 0.4, 3, m2=0.2))

    def once(seed: int) -> object:
        return make(*values, explore=explore, bounds=bounds, rng=random.Random(seed))

    assert [once(seed) for seed in SEEDS] == [once(seed) for seed in SEEDS]
    assert len({repr(once(seed)) for seed in SEEDS}) > 1


def test_the_old_switch_names_untried_actions() -> None:
    """True and False of older configs are "untried" and "none"; another word gets a proposal."""
    assert (exploration(True), exploration(False)) == ("untried", "none")
    assert (PromptOptions(explore=True).explore, PromptOptions(explore=False).explore) == ("untried", "none")
    assert make(tried("click[a]", 1.0), explore=True) == make(tried("click[a]", 1.0), explore="untried")
    with pytest.raises(UnknownNameError, match="did you mean 'thompson'"):
        make(tried("click[a]", 1.0), explore="tompson")


def prompts(explore: str, *, training: bool) -> set[str]:
    """The example parts of the prompts that an agent writes on one page, over many seeds."""
    memory = taught(*[("a hall", "go right", 1.0)] * 2)
    model = answering()
    agent = rememberer(memory, model, "generic", PromptOptions(explore=explore), reward_range=(0.0, 1.0))  # type: ignore[arg-type]
    for seed in range(30):
        agent.act(replace(view(seed=seed), training=training))
    return {prompt.user for prompt in model.prompts}


@pytest.mark.parametrize("explore", ["upper", "thompson"])
def test_agents_explore_in_training_and_never_in_tests(explore: str) -> None:
    """A test's prompt is that of an agent that does not explore; in training the untried action is named."""
    plain = prompts("none", training=False)
    assert prompts(explore, training=False) == plain == prompts("none", training=True)
    assert any("Untried:\ngo left" in text for text in prompts(explore, training=True))


def test_own_agents_explore_by_handle_or_by_call() -> None:
    """``rlem.open(explore=...)`` sets it, ``advise(explore=...)`` overrides it; nothing is left to chance."""
    here = Situation(task="t", observation="a hall", actions=ACTIONS)
    with rlem.open(":memory:", reward_range=(0.0, 1.0), explore="upper") as memory:
        with memory.episode(task="t") as episode:
            episode.advise("a hall", ACTIONS)
            episode.record("go right", 0.5)
        assert memory.advise(here).untried == ("go left",)
        assert memory.advise(here) == memory.advise(here)
        assert memory.advise(here, explore="none").untried == ()
        with memory.episode(task="t") as episode:
            assert episode.advise("a hall", ACTIONS, explore="none").untried == ()


@pytest.mark.parametrize(
    ("option", "name", "meant"),
    [
        ("rank", "similarity+valeu", r"similarity\+value"),
        ("choose", "bound", "bounds"),
        ("explore", "uper", "upper"),
    ],
)
def test_names_are_checked_when_a_memory_is_opened(option: str, name: str, meant: str) -> None:
    """Not at the first recall; with the name that was meant."""
    with pytest.raises(UnknownNameError, match=f"did you mean '{meant}'"):
        rlem.open(":memory:", **{option: name})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ([], {}),
        (["--explore"], {"explore": "untried"}),
        (["--explore", "upper", "--choose", "bounds"], {"explore": "upper", "choose": "bounds"}),
        (["--rank", "similarity+value"], {"rank": "similarity+value"}),
    ],
)
def test_a_run_keeps_what_its_options_say(line: list[str], kept: dict[str, str]) -> None:
    """Defaults leave no trace in a config; what is kept makes the options. --explore may stand alone."""

    @click.command()
    @agent_options
    def command(**options: object) -> None:
        config = agent_config(options)
        assert config.pop("k") == 3
        assert config == kept
        made = PromptOptions(**config)
        assert {name: getattr(made, name) for name in kept} == kept

    assert CliRunner().invoke(command, line, catch_exceptions=False).exit_code == 0


def test_a_mistyped_option_gets_a_proposal() -> None:
    """Where the command line is read, before a run folder is made."""
    command = click.command()(agent_options(lambda **options: None))
    result = CliRunner().invoke(command, ["--choose", "bound"])
    assert result.exit_code == 2
    assert "Did you mean 'bounds'" in result.output
