"""Live effects and the guard: error rates under looking all the time, arithmetic, states that go on."""

import json
import math
import random
from dataclasses import asdict, fields

import pytest

from rlem.core.errors import UsageError
from rlem.evidence import MEMORY, Guard, LiveEffect


def stream(
    effect: LiveEffect, shown: float, withheld: float, episodes: int, rng: random.Random
) -> LiveEffect:
    """After that many episodes that succeed with these chances."""
    for _ in range(episodes):
        hidden = rng.random() < effect.control
        effect = effect.after(float(rng.random() < (withheld if hidden else shown)), withheld=hidden)
    return effect


def test_nothing_seen_says_nothing() -> None:
    """Before the first episode the interval is the whole range and there is no evidence of harm."""
    interval = LiveEffect(control=0.2, low=-1, high=3).interval()
    assert (interval.estimate, interval.low, interval.high) == (0, -4, 4)
    assert LiveEffect(control=0.2).harm == 0


def test_the_estimate_by_hand() -> None:
    """Shown 1, then withheld 0, control 1/4: forecasts 1/2, 1/2, then 3/4, 1/2; scores 2/3 and 1/4 + 2."""
    effect = LiveEffect(control=0.25).after(1.0, withheld=False).after(0.0, withheld=True)
    assert effect.score_sum == pytest.approx(2 / 3 + 0.25 + 2)
    assert effect.forecast_sum == pytest.approx(0.25)
    rate = 0.9 * 0.25
    assert effect.upward[0] == pytest.approx(math.log((1 + rate * 2 / 3) * (1 + rate * 2)))
    assert effect.downward[0] == pytest.approx(math.log((1 - rate * 2 / 3) * (1 - rate * 2)))
    assert (effect.interval().shown, effect.interval().withheld) == (1, 1)


@pytest.mark.parametrize(
    ("shown", "end", "withheld"), [(0.5, 0.5, 0.5), (0.6, 0.6, 0.4), (0.2, 0.9, 0.5)], ids=str
)
def test_the_interval_holds_at_every_time_at_once(shown: float, end: float, withheld: float) -> None:
    """Of 120 streams looked at after each of 250 episodes, at most 5 % ever leave out the mean effect so far.

    In the third the memory learns: it begins as harm and ends as help. Withheld in 20 %.
    """
    rng = random.Random(11)
    missed = 0
    for _ in range(120):
        effect, truth, ever = LiveEffect(control=0.2), 0.0, False
        for number in range(1, 251):
            hidden = rng.random() < 0.2
            chance = shown + (end - shown) * number / 250
            truth += chance - withheld
            effect = effect.after(float(rng.random() < (withheld if hidden else chance)), withheld=hidden)
            interval = effect.interval()
            ever |= not interval.low <= truth / number <= interval.high
        missed += ever
    assert missed <= 6


def test_the_order_of_tasks_may_be_anything() -> None:
    """All easy tasks first, then all hard ones: the interval still holds the effect, and has shrunk to it."""
    rng = random.Random(5)
    missed = 0
    for _ in range(60):
        effect = stream(LiveEffect(control=0.5), 0.95, 0.75, 200, rng)
        effect = stream(effect, 0.25, 0.05, 200, rng)
        missed += not effect.interval().low <= 0.2 <= effect.interval().high
    assert missed <= 3
    assert effect.interval().high - effect.interval().low < 0.45


def test_a_real_effect_is_seen_and_harm_is_told_from_help() -> None:
    """With 40 points either way, 600 episodes decide, and only harm is evidence of harm."""
    rng = random.Random(1)
    help_, harm = (stream(LiveEffect(control=0.2), *p, 600, rng) for p in ((0.7, 0.3), (0.3, 0.7)))
    assert help_.interval().low > 0 > harm.interval().high
    assert help_.harm < 0
    assert harm.harm > math.log(1000)


def test_outcomes_of_another_range_are_the_same_in_their_unit() -> None:
    """Rewards 10 to 30 give the interval of 0 to 1 times 20, and the same evidence."""
    unit, wide = LiveEffect(control=0.3), LiveEffect(control=0.3, low=10, high=30)
    rng = random.Random(2)
    for _ in range(300):
        hidden, outcome = rng.random() < 0.3, rng.random()
        unit, wide = unit.after(outcome, withheld=hidden), wide.after(10 + 20 * outcome, withheld=hidden)
    assert wide.interval().low == pytest.approx(20 * unit.interval().low)
    assert wide.interval().high == pytest.approx(20 * unit.interval().high)
    assert wide.harm == pytest.approx(unit.harm)


def test_a_live_effect_goes_on_from_json_and_does_not_grow() -> None:
    """Written, read and continued it equals one never stopped; its size does not depend on the count."""
    begun = stream(LiveEffect(control=0.2), 0.5, 0.4, 50, random.Random(3))
    read = LiveEffect(**json.loads(json.dumps(asdict(begun))))
    assert read == begun
    assert stream(read, 0.5, 0.4, 50, random.Random(4)) == stream(begun, 0.5, 0.4, 50, random.Random(4))
    assert len(begun.upward) == len(LiveEffect(control=0.2).upward)
    assert len(fields(begun)) == 11


def false_alarm(rng: random.Random, experiences: int, episodes: int) -> bool:
    """Whether a guard over things without effect ever mutes one, looking after each outcome."""
    guard = Guard(control=0.5, error_rate=0.1)
    subjects = [MEMORY, *(f"e{number}" for number in range(experiences))]
    return any(
        guard.observe(float(rng.random() < 0.5), withheld=rng.random() < 0.5, subject=subject)
        for _ in range(episodes)
        for subject in subjects
    )


@pytest.mark.parametrize(("experiences", "episodes"), [(0, 400), (8, 60)])
def test_what_does_no_harm_is_hardly_ever_muted(experiences: int, episodes: int) -> None:
    """Of 120 guards with error rate 10 % that look all the time, at most 10 % ever mute anything."""
    rng = random.Random(8)
    assert sum(false_alarm(rng, experiences, episodes) for _ in range(120)) <= 12


def test_one_misleading_experience_among_harmless_ones_is_muted_alone() -> None:
    """It halves and halves again the success of what it is shown to; the others and the memory stay."""
    rng = random.Random(6)
    guard = Guard(control=0.2)
    muted_at = None
    for number in range(500):
        for subject in ("fine", "bad", "other", MEMORY):
            hidden = rng.random() < 0.2
            chance = 0.2 if subject == "bad" and not hidden else 0.8
            if guard.observe(float(rng.random() < chance), withheld=hidden, subject=subject):
                assert subject == "bad"
                muted_at = number
    assert muted_at is not None
    assert muted_at < 250
    assert [guard.muted(s) for s in ("fine", "bad", "other")] == [False, True, False]
    assert not guard.muted()


def test_a_muted_subject_stays_as_it_is() -> None:
    """Outcomes after muting are passed over: evidence may not talk itself out of it."""
    guard = Guard(control=0.5)
    while not guard.muted():
        guard.observe(0.0, withheld=False)
        guard.observe(1.0, withheld=True)
    before = guard.state()
    assert not guard.observe(1.0, withheld=False)
    assert guard.state() == before


def test_the_errors_that_a_guard_spends_add_up() -> None:
    """Thresholds of the memory and of 5,000 experiences spend nearly all of the error rate."""
    guard = Guard(control=0.5, error_rate=0.05)
    for number in range(5000):
        guard.observe(1.0, withheld=False, subject=f"e{number}")
    spent = [math.exp(-needed) for needed in guard._needed.values()]
    assert 0.045 < sum(spent) < 0.05
    assert spent == sorted(spent, reverse=True)


def test_a_guard_goes_on_from_json() -> None:
    """Killed after any outcome and resumed, it decides as one that was never stopped."""
    rng = random.Random(4)
    straight, resumed = Guard(control=0.3, low=-1, high=1), Guard(control=0.3, low=-1, high=1)
    for _ in range(150):
        for subject in (MEMORY, "a", "b"):
            hidden = rng.random() < 0.3
            outcome = rng.uniform(-1, 1 if hidden or subject != "b" else -0.5)
            muted = straight.observe(outcome, withheld=hidden, subject=subject)
            resumed = Guard.resume(json.loads(json.dumps(resumed.state())))
            assert resumed.observe(outcome, withheld=hidden, subject=subject) == muted
    assert straight.state() == resumed.state()
    assert straight.muted("b")


def test_senseless_options_and_outcomes_are_refused() -> None:
    """A control of 0 or 1, a range without width, an outcome outside of it, an error rate of 1."""
    for control, high in ((0.0, 1.0), (1.0, 1.0), (0.5, 0.0), (0.5, math.inf)):
        with pytest.raises(UsageError):
            LiveEffect(control=control, high=high)
    with pytest.raises(UsageError, match="outcome 2"):
        LiveEffect(control=0.5).after(2.0, withheld=False)
    with pytest.raises(UsageError):
        LiveEffect(control=0.5).interval(confidence=1.0)
    with pytest.raises(UsageError):
        Guard(control=0.5, error_rate=1.0)
