"""Advice made of experiences: what is encouraged, discouraged, untried, and the reference's completion."""

from __future__ import annotations

import math
import random

import pytest

from rlem.advice import Exemplar, advise, is_available
from rlem.core.errors import UnknownNameError
from rlem.core.types import Situation
from rlem.memory.experience import ActionValue, Experience, Recalled
from rlem.values import posterior

ACTIONS = ("search[<words>]", "click[a]", "click[b]", "click[c]")


def tried(
    action: str,
    q: float,
    n: int = 1,
    *,
    verified: int | None = None,
    verified_q: float | None = None,
    m2: float = 0.0,
    reason: str = "",
) -> ActionValue:
    """Statistics of one action; verified throughout unless told otherwise."""
    sure = n if verified is None else verified
    return ActionValue(
        action=action,
        visits=n,
        q_value=q,
        m2=m2,
        reward_mean=0.0,
        verified_visits=sure,
        verified_q_value=(q if sure else 0.0) if verified_q is None else verified_q,
        reason=reason,
    )


def recalled(
    *values: ActionValue, actions: tuple[str, ...] = ACTIONS, task: str = "a red kettle"
) -> Recalled:
    """A recalled experience with these action statistics."""
    situation = Situation(task=task, observation="page", actions=actions)
    experience = Experience(
        situation=situation, actions=values, history=("click[x]",), last_reward=0.5, total_reward=1.5
    )
    return Recalled(experience=experience, similarity=0.7)


def make(*values: ActionValue, **options: object) -> Exemplar:
    """The exemplar of one experience, with a fixed generator and returns in [0, 1]."""
    settings: dict[str, object] = {"rng": random.Random(0), "bounds": (0.0, 1.0), **options}
    return advise(recalled(*values), **settings)  # type: ignore[arg-type]


def names(advice: object) -> list[str]:
    """Action names of a side."""
    return [a.action for a in advice]  # type: ignore[attr-defined]


def test_the_best_action_is_encouraged_with_its_evidence() -> None:
    """The action of highest positive value is encouraged, with visits, interval and reason."""
    exemplar = make(tried("click[a]", 0.5), tried("click[b]", 0.9, 3, m2=0.02, reason="fits"))
    (best,) = exemplar.encouraged
    assert (best.action, best.value, best.visits, best.reason) == ("click[b]", 0.9, 3, "fits")
    assert best.interval is not None
    assert 0.0 <= best.interval[0] < 0.9 < best.interval[1] <= 1.0
    assert (exemplar.similarity, exemplar.history, exemplar.last_reward, exemplar.total_reward) == (
        0.7,
        ("click[x]",),
        0.5,
        1.5,
    )


@pytest.mark.parametrize("q", [0.0, -0.3])
def test_nothing_is_encouraged_without_a_positive_value(q: float) -> None:
    """An action of value 0 or less is discouraged, never encouraged."""
    exemplar = make(tried("click[a]", q))
    assert exemplar.encouraged == ()
    assert names(exemplar.discouraged) == ["click[a]"]


@pytest.mark.parametrize(
    "poison",
    [
        tried("click[b]", 1.0, 9, verified=0),
        tried("click[b]", 1.0, 9, verified=1, verified_q=0.0),
        tried("click[b]", -0.2, 9, verified=1, verified_q=0.9),
    ],
    ids=["unverified only", "verified value 0", "fails over all"],
)
def test_unverified_experience_never_encourages(poison: ActionValue) -> None:
    """Without verified evidence for it an action is not encouraged, and hides no verified one."""
    assert make(poison).encouraged == ()
    assert names(make(tried("click[a]", 0.4), poison).encouraged) == ["click[a]"]


def test_an_encouraging_line_rests_on_verified_targets() -> None:
    """Unverified targets neither raise the rank nor the printed value of an encouraged action."""
    inflated = tried("click[b]", 0.9, 10, verified=1, verified_q=0.2)
    assert names(make(tried("click[a]", 0.4), inflated).encouraged) == ["click[a]"]
    (alone,) = make(inflated).encouraged
    assert (alone.value, alone.visits, alone.interval) == (0.2, 1, None)


def test_clearly_worse_actions_are_discouraged_by_default() -> None:
    """Half the encouraged value or less is clearly worse; ``failing`` keeps to the paper's rule."""
    values = (tried("click[a]", 0.8), tried("click[b]", 0.4), tried("click[c]", 0.5), tried("search[x]", 0.0))
    assert names(make(*values).discouraged) == ["search[x]", "click[b]"]
    assert names(make(*values, discourage="failing").discouraged) == ["search[x]"]


def test_separate_intervals_are_clearly_worse() -> None:
    """Many visits tell .6 from .9: the whole interval lies below the encouraged one's."""
    many = make(tried("click[a]", 0.9, 400), tried("click[b]", 0.6, 400))
    few = make(tried("click[a]", 0.9, 1), tried("click[b]", 0.6, 1))
    assert names(many.discouraged) == ["click[b]"]
    assert few.discouraged == ()


def test_worse_is_measured_against_an_encouraged_action_only() -> None:
    """Unverified praise of one action does not discourage the others."""
    exemplar = make(tried("click[a]", 1.0, 5, verified=0), tried("click[b]", 0.1, 1, verified=0))
    assert exemplar.discouraged == ()


def test_no_action_stands_on_both_sides() -> None:
    """The encouraged action is never discouraged too, and each action is discouraged once."""
    exemplar = make(tried("click[a]", 0.2), tried("click[b]", 0.0), tried("click[c]", -1.0))
    shown = names(exemplar.encouraged) + names(exemplar.discouraged)
    assert sorted(shown) == sorted(set(shown))
    assert names(exemplar.discouraged) == ["click[c]", "click[b]"]


def test_the_discouraged_side_can_be_cut_and_switched_off() -> None:
    """``max_discouraged`` keeps the lowest values; the ablation without discouraged actions shows none."""
    values = [tried(f"click[{i}]", -i) for i in range(9)]
    assert names(make(*values, max_discouraged=2).discouraged) == ["click[8]", "click[7]"]
    for mode in ("recorded", "reference"):
        assert make(*values, use_discouraged=False, mode=mode).discouraged == ()


def test_untried_actions_are_named_only_where_nothing_is_encouraged() -> None:
    """An untried available action is proposed without encouragement, or if exploration is asked for."""
    failing = make(tried("click[a]", 0.0), untried=9)
    assert set(failing.untried) == {"click[b]", "click[c]", "search[a red kettle]"}
    good = (tried("click[a]", 1.0),)
    assert make(*good).untried == ()
    assert len(make(*good, explore=True).untried) == 1
    assert make(tried("click[a]", 0.0), untried=0).untried == ()


def test_untried_templates_are_filled_or_left_out() -> None:
    """A template counts as tried once one filling was; with no words to fill it is left out."""
    assert "search[a red kettle]" not in make(tried("search[mug]", 0.0), untried=9).untried
    wordless = advise(recalled(tried("click[a]", 0.0), task="[]"), rng=random.Random(0), untried=9)
    assert set(wordless.untried) == {"click[b]", "click[c]"}


def test_where_only_a_template_is_left_other_words_are_proposed() -> None:
    """A search that failed, on a page with nothing else: the task's words are worth a try, but once only."""
    only = ("search[<words>]",)
    first = advise(recalled(tried("search[mug]", 0.0), actions=only), rng=random.Random(0))
    assert first.untried == ("search[a red kettle]",)
    again = advise(recalled(tried("search[a red kettle]", 0.0), actions=only), rng=random.Random(0))
    assert again.untried == ()


def test_choices_depend_on_the_generator_alone() -> None:
    """The same seed gives the same exemplar; over many seeds every untried action appears."""
    values = (tried("click[a]", 0.0),)
    assert make(*values, rng=random.Random(5)) == make(*values, rng=random.Random(5))
    seen = {make(*values, rng=random.Random(seed)).untried for seed in range(40)}
    assert len(seen) == 3


def test_reference_mode_completes_a_missing_side_with_inventions() -> None:
    """Missing encouraged: random available action, U[0, .5); missing discouraged: random action, 0.0."""
    for seed in range(20):
        failing = make(tried("click[a]", 0.0), mode="reference", rng=random.Random(seed))
        (invented,) = failing.encouraged
        assert invented.action != "click[a]"
        assert is_available(invented.action, ACTIONS)
        assert 0.0 <= invented.value < 0.5
        assert (invented.visits, invented.interval, failing.untried) == (0, None, ())
        good = make(tried("click[a]", 1.0), mode="reference", rng=random.Random(seed))
        (blamed,) = good.discouraged
        assert blamed.action != "click[a]"
        assert is_available(blamed.action, ACTIONS)
        assert (blamed.value, blamed.visits) == (0.0, 0)


def test_recorded_mode_invents_nothing() -> None:
    """Every line of advice in recorded mode stands for at least one visit."""
    exemplar = make(tried("click[a]", 0.0), tried("click[b]", 0.7, 2))
    assert all(advice.visits > 0 for advice in exemplar.encouraged + exemplar.discouraged)


def test_a_negative_value_empties_the_discouraged_side_in_the_reference() -> None:
    """Defect 9 is reproduced under compat="reference" only."""
    values = (tried("click[a]", 1.0), tried("click[b]", 0.0), tried("click[c]", -1.0))
    assert make(*values, compat="reference").discouraged == ()
    assert names(make(*values).discouraged) == ["click[c]", "click[b]"]
    assert names(make(*values[:2], compat="reference").discouraged) == ["click[b]"]


def test_unbounded_intervals_are_left_out() -> None:
    """With an infinite range of returns an interval is shown only where it is finite."""
    (best,) = make(tried("click[a]", 1.0), bounds=(float("-inf"), float("inf"))).encouraged
    assert best.interval is None or all(abs(end) < float("inf") for end in best.interval)


def test_json_form() -> None:
    """An exemplar goes into run records as plain JSON with the situation's key."""
    exemplar = make(tried("click[a]", 0.0), tried("click[b]", 0.7, 2))
    data = exemplar.to_json()
    assert data["situation"] == exemplar.situation.key
    assert data["discouraged"] == [{"action": "click[a]", "value": 0.0, "visits": 1, "interval": [0.0, 1.0]}]


def bounded(*values: ActionValue, **options: object) -> Exemplar:
    """The exemplar under the rule of bounds."""
    return make(*values, choose="bounds", **options)


def test_bounds_encourage_what_is_surely_good() -> None:
    """The highest lower bound wins: many good returns beat a single better one; the posterior is printed."""
    values = (tried("click[a]", 0.9, 1), tried("click[b]", 0.7, 9, m2=0.1))
    assert names(make(*values).encouraged) == ["click[a]"]
    (best,) = bounded(*values).encouraged
    known = posterior(9, 0.7, 0.1, bounds=(0.0, 1.0))
    assert (best.action, best.interval, best.spread) == ("click[b]", (known.lower, known.upper), known.spread)


def test_bounds_encourage_nothing_that_may_fail() -> None:
    """Of unknown range, one success bounds nothing and a wavering one may be a failure."""
    assert bounded(tried("click[a]", 5.0, 1), bounds=None).encouraged == ()
    assert bounded(tried("click[a]", 1.0, 3, m2=50.0), bounds=None).encouraged == ()
    assert names(bounded(tried("click[a]", 1.0, 9, m2=1.0), bounds=None).encouraged) == ["click[a]"]


def test_bounds_discourage_what_is_surely_worse() -> None:
    """Wholly below the encouraged action's interval: a few failures beside a few successes are not enough."""
    good = tried("click[a]", 1.0, 9)
    assert bounded(good, tried("click[b]", 0.0, 3)).discouraged == ()
    assert names(bounded(good, tried("click[b]", 0.0, 9), tried("click[c]", 0.5, 3)).discouraged) == [
        "click[b]"
    ]


def test_bounds_discourage_sure_failures_where_nothing_is_good() -> None:
    """Its upper bound is at most what an untried action may be expected to earn: .5 in [0, 1], else 0."""
    assert bounded(tried("click[a]", 0.0, 5)).discouraged == ()
    assert names(bounded(tried("click[a]", 0.0, 6)).discouraged) == ["click[a]"]
    assert bounded(tried("click[a]", 0.0, 50), bounds=None).discouraged == ()
    assert names(bounded(tried("click[a]", -1.0, 9), bounds=None).discouraged) == ["click[a]"]


def test_unverified_experience_encourages_under_neither_rule() -> None:
    """Verified targets alone make the lower bound; the printed visits are theirs."""
    assert bounded(tried("click[a]", 1.0, 50, verified=0)).encouraged == ()
    assert bounded(tried("click[a]", -0.1, 50, verified=9, verified_q=0.9)).encouraged == ()
    (best,) = bounded(tried("click[a]", 0.9, 50, verified=2, verified_q=0.5)).encouraged
    known = posterior(2, 0.5, math.inf, bounds=(0.0, 1.0))
    assert (best.value, best.visits, best.interval) == (0.5, 2, (known.lower, known.upper))


def test_an_unknown_rule_of_choice_is_refused() -> None:
    """With the name that was meant."""
    with pytest.raises(UnknownNameError, match="did you mean 'bounds'"):
        make(tried("click[a]", 1.0), choose="bound")
