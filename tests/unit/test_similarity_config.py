"""Similarities by weights, by name, and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rlem.core.errors import UnknownNameError, UsageError
from rlem.similarity import (
    Exact,
    ExactOr,
    Feature,
    InstructionPattern,
    Lexical,
    PageType,
    TagSequence,
    default,
    preset,
    similarity_from_config,
    similarity_to_config,
    webshop,
    weighted,
    wikihow,
)

FEATURES: list[Feature] = [
    Lexical("task"),
    Lexical("observation", bigrams=True, grams=3),
    PageType(),
    PageType(compat="reference"),
    InstructionPattern(),
    InstructionPattern(compat="reference"),
    TagSequence(),
    Exact("actions"),
    ExactOr(0.25),
]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.fingerprint)
def test_round_trip(feature: Feature) -> None:
    """Through JSON and back comes an equal similarity with the same fingerprint."""
    similarity = weighted((0.25, feature), (2, Exact("task")))
    config = json.loads(json.dumps(similarity_to_config(similarity)))
    again = similarity_from_config(config)
    assert again == similarity
    assert again.fingerprint == similarity.fingerprint
    assert similarity_to_config(again) == config


def test_features_are_features() -> None:
    """Each satisfies the protocol, is hashable, and has a fingerprint of its own."""
    assert all(isinstance(feature, Feature) for feature in FEATURES)
    assert len(set(FEATURES)) == len({feature.fingerprint for feature in FEATURES}) == len(FEATURES)


def test_presets() -> None:
    """The presets are the published pairs, half and half."""
    assert default() == weighted((0.5, Lexical("task")), (0.5, Lexical("observation")))
    assert webshop() == weighted((0.5, Lexical("task")), (0.5, PageType()))
    assert wikihow() == weighted((0.5, InstructionPattern()), (0.5, TagSequence()))
    assert preset("default") == default()
    assert preset("webshop", compat="reference") == webshop(compat="reference")
    assert preset("wikihow", task_weight=0.75) == wikihow(task_weight=0.75)
    assert webshop(compat="reference").terms[1][1] == PageType(compat="reference")


def test_task_weight() -> None:
    """At 0 and 1, the paper's ablations, one term is left; outside it is an error."""
    assert [type(feature) for _, feature in webshop(task_weight=0).terms] == [PageType]
    assert [type(feature) for _, feature in webshop(task_weight=1).terms] == [Lexical]
    assert [weight for weight, _ in webshop(task_weight=0.3).terms] == [0.3, 0.7]
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="task_weight"):
            default(task_weight=weight)


def test_unknown_names() -> None:
    """Presets and features that are not known are errors that propose the nearest."""
    with pytest.raises(UnknownNameError, match="did you mean 'webshop'"):
        preset("webshp")
    with pytest.raises(UnknownNameError, match="did you mean 'lexical'"):
        similarity_from_config({"terms": [{"weight": 1, "feature": {"name": "lexcal"}}]})


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), "1", None, True])
def test_wrong_weights(weight: Any) -> None:
    """A weight is a positive finite number."""
    with pytest.raises(UsageError, match="the weight of"):
        weighted((weight, Exact()))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "must look like"),
        ({"terms": "all"}, "must look like"),
        ({"terms": ["lexical"]}, "must look like"),
        ({"terms": []}, "at least one term"),
        ({"terms": [{"weight": 1}]}, "must have a name"),
        ({"terms": [{"weight": 1, "feature": {"name": "exact", "colour": "red"}}]}, "cannot be made"),
    ],
)
def test_wrong_configurations(config: dict[str, Any], message: str) -> None:
    """A configuration of another shape is a UsageError that says what is wrong."""
    with pytest.raises(UsageError, match=message):
        similarity_from_config(config)


def test_not_a_feature() -> None:
    """Something that is no feature is named in the error."""
    with pytest.raises(UsageError, match="'lexical' is not a feature"):
        weighted((1, "lexical"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least one term"):
        weighted()
