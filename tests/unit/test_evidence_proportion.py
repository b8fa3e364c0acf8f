"""The interval of a share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.core.errors import UsageError
from rlem.evidence import share_interval


@given(st.data(), st.integers(1, 500), st.sampled_from([0.8, 0.95, 0.99]))
def test_it_is_that_of_scipy(data: st.DataObject, total: int, confidence: float) -> None:
    """Wilson's interval as scipy computes it, holding the share itself, within 0 to 1."""
    stats = pytest.importorskip("scipy.stats")
    count = data.draw(st.integers(0, total))
    low, high = share_interval(count, total, confidence=confidence)
    theirs = stats.binomtest(count, total).proportion_ci(confidence_level=confidence, method="wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert 0 <= low <= count / total <= high <= 1


def test_nothing_of_nothing_may_be_any_share() -> None:
    """Without outcomes nothing is known."""
    assert share_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("count", "total", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_what_is_no_share_is_refused(count: int, total: int, confidence: float) -> None:
    """More than all, less than none, or a confidence that no interval has."""
    with pytest.raises(UsageError, match="must"):
        share_interval(count, total, confidence=confidence)
