"""Errors: what happened in another process comes back as it was."""

from __future__ import annotations

import inspect
import pickle

import pytest

from rlem.core import errors
from rlem.core.errors import MissingExtraError, RlemError, UnknownNameError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RlemError)]
OWN = {
    UnknownNameError: UnknownNameError("agent", "recat", ["react", "rci"]),
    MissingExtraError: MissingExtraError("playing across machines", "ray"),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_travel_between_processes(kind: type[RlemError]) -> None:
    """Kind, message and what else they hold survive pickling: process pools send them so."""
    error = OWN.get(kind) or kind("what happened")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), vars(again)) == (str(error), vars(error))
