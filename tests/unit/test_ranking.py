"""Which of the similar experiences are recalled: by similarity alone, or with what they know for sure."""

from __future__ import annotations

import math

import pytest

from rlem.core.errors import UnknownNameError
from rlem.core.types import Situation
from rlem.memory.experience import ActionValue, Experience, Recalled
from rlem.memory.ranking import OVER_FETCH, VALUE_WEIGHT, candidates, knowledge, rerank, verified

UNIT = (0.0, 1.0)


def tried(q: float, n: int, *, sure: int | None = None, sure_q: float | None = None) -> ActionValue:
    """An action with n equal returns, of them ``sure`` verified (all, unless told otherwise)."""
    count = n if sure is None else sure
    return ActionValue(
        action=f"click[{q}, {n}]",
        visits=n,
        q_value=q,
        m2=0.0,
        reward_mean=0.0,
        verified_visits=count,
        verified_q_value=q if sure_q is None else sure_q,
    )


def found(similarity: float, *actions: ActionValue, page: str = "page") -> Recalled:
    """An experience found with this similarity."""
    experience = Experience(situation=Situation(task="t", observation=page), actions=actions)
    return Recalled(experience=experience, similarity=similarity)


def test_similarity_alone_leaves_the_order_as_it_is() -> None:
    """The k first, whatever they know; the library's default."""
    items = [found(0.5, tried(0.0, 1)), found(0.4, tried(1.0, 99)), found(0.3, tried(1.0, 99))]
    assert rerank(items, 2) == tuple(items[:2])
    assert candidates(2, "similarity") == 2
    assert candidates(2, "similarity+value") == 2 * OVER_FETCH


@pytest.mark.parametrize("knowing", [tried(1.0, 20), tried(0.0, 20)], ids=["pays", "fails"])
def test_of_two_alike_the_one_that_knows_comes_first(knowing: ActionValue) -> None:
    """A sure success and a sure failure both beat a single try of slightly higher similarity."""
    single, sure = found(0.8, tried(1.0, 1)), found(0.75, knowing)
    assert rerank([single, sure], 1, "similarity+value", UNIT) == (sure,)


def test_the_score_by_hand() -> None:
    """similarity * (1 - w + w known), where known is the lower bound of ten full successes."""
    known = 0.025 ** (1 / 10)
    assert knowledge(found(1.0, tried(1.0, 10), tried(0.5, 1)).experience, UNIT) == pytest.approx(known)
    gain = 1 - VALUE_WEIGHT + VALUE_WEIGHT * known
    least = 1 - VALUE_WEIGHT + VALUE_WEIGHT * 0.025
    for similarity, first in ((0.6 * gain / least - 0.001, 1), (0.6 * gain / least + 0.001, 0)):
        items = [found(similarity, tried(1.0, 1)), found(0.6, tried(1.0, 10))]
        assert rerank(items, 1, "similarity+value", UNIT) == (items[first],)


def test_no_knowledge_makes_up_for_no_similarity() -> None:
    """The weight bounds what knowing can win, and 0 stays 0."""
    alike, other = found(0.8, tried(0.5, 1)), found(0.8 * (1 - VALUE_WEIGHT) - 0.01, tried(1.0, 10_000))
    nothing = found(0.0, tried(1.0, 10_000))
    ranked = rerank([alike, other, nothing], 3, "similarity+value", UNIT)
    assert ranked == (alike, other, nothing)
    assert [item.similarity for item in ranked] == [item.similarity for item in (alike, other, nothing)]


def test_claims_of_others_buy_no_place() -> None:
    """Unverified success or failure counts as not known; beside verified targets only those count."""
    claimed = [tried(1.0, 500, sure=0), tried(0.0, 500, sure=0, sure_q=0.0)]
    assert knowledge(found(1.0, *claimed).experience, UNIT) == 0.0
    mixed, honest = tried(1.0, 500, sure=2, sure_q=0.5), tried(0.5, 2)
    assert knowledge(found(1.0, mixed).experience, UNIT) == pytest.approx(
        knowledge(found(1.0, honest).experience, UNIT), abs=1e-6
    )
    assert verified(honest) is honest
    assert verified(mixed).m2 == math.inf


def test_returns_of_unknown_range_are_measured_in_widths() -> None:
    """Surely above 0 or below it counts, more so with more visits; what may be either does not."""

    def known(*actions: ActionValue) -> float:
        return knowledge(found(1.0, *actions).experience, None)

    assert known(tried(50.0, 1)) == 0.0
    assert known(tried(0.01, 5)) == 0.0
    assert 0.0 < known(tried(2.0, 5)) < known(tried(2.0, 50)) < 1.0
    assert known(tried(-2.0, 5)) == pytest.approx(known(tried(2.0, 5)))


def test_ties_go_by_samples_then_by_key() -> None:
    """The same order whatever order they were found in."""
    few = [found(0.5, tried(0.0, 1, sure=0), page=page) for page in "abc"]
    more = found(0.5, tried(0.0, 2, sure=0))
    expected = (more, *sorted(few, key=lambda item: item.experience.key))
    assert rerank([*few, more], 9, "similarity+value", UNIT) == expected
    assert rerank([more, *reversed(few)], 9, "similarity+value", UNIT) == expected


def test_an_unknown_rank_is_refused() -> None:
    """With the name that was meant."""
    with pytest.raises(UnknownNameError, match=r"did you mean 'similarity\+value'"):
        rerank([], 1, "similarity+values")  # type: ignore[arg-type]
