"""Similarities by name, by weights, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.types import JSON
from rlem.similarity.base import Feature, Similarity
from rlem.similarity.embedding import Embedding
from rlem.similarity.exact import Exact, ExactOr
from rlem.similarity.lexical import Lexical
from rlem.similarity.tables import InstructionPattern, PageType
from rlem.similarity.tags import TagSequence

FEATURES: Mapping[str, Callable[..., Feature]] = {
    "embedding": Embedding,
    "exact": Exact,
    "exact-or": ExactOr,
    "instruction-pattern": InstructionPattern,
    "lexical": Lexical,
    "page-type": PageType,
    "tag-sequence": TagSequence,
}
"""What a configuration may name."""

PRESETS = ("default", "webshop", "webshop-paper", "webshop-text", "wikihow")
"""Names that ``preset`` knows."""


def weighted(*terms: tuple[float, Feature]) -> Similarity:
    """A similarity of weighted features.

    Errors: UsageError without terms, or for a weight that is not positive and finite.

    >>> weighted((1, Lexical("task")), (3, PageType())).fingerprint
    '1*lexical:1:task:bigrams0:grams4 + 3*page-type:1:default'
    """
    if not terms:
        raise UsageError("a similarity needs at least one term (weight, feature)")
    for weight, feature in terms:
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise UsageError(f"the weight of {feature!r} is {weight!r}; it must be a number")
        if not (math.isfinite(weight) and weight > 0):
            raise UsageError(
                f"the weight of {feature!r} is {weight!r}; it must be positive (for 0 leave it out)"
            )
        if not isinstance(feature, Feature):
            raise UsageError(f"{feature!r} is not a feature; known: {', '.join(sorted(FEATURES))}")
    return Similarity(tuple((float(weight), feature) for weight, feature in terms))


def default(*, task_weight: float = 0.5) -> Similarity:
    """Words of the task and words of the page: for any environment, without a model."""
    return _pair(task_weight, Lexical("task"), Lexical("observation"))


def webshop(*, task_weight: float = 0.5, compat: str = "default") -> Similarity:
    """Words of the task and type of the page."""
    return _pair(task_weight, Lexical("task"), PageType(compat=compat))


def webshop_text(*, task_weight: float = 0.5) -> Similarity:
    """Words of the task, type of the page, and with a fifth of the page's weight the page's words.

    Differs: the published page types cannot tell two product pages apart, so what was chosen already does
    not count; the words of the page do, and break those ties.
    """
    if not 0.0 <= task_weight <= 1.0:
        raise UsageError(f"task_weight is {task_weight!r}; it must be from 0 to 1")
    page = 1.0 - task_weight
    terms = ((task_weight, Lexical("task")), (0.8 * page, PageType()), (0.2 * page, Lexical("observation")))
    return weighted(*((weight, feature) for weight, feature in terms if weight > 0))


def webshop_paper(
    folder: str | None = None, *, task_weight: float = 0.5, compat: str = "default"
) -> Similarity:
    """Embedding of the task and type of the page, as published; without a folder from the known package."""
    task = Embedding.from_package() if folder is None else Embedding(folder)
    return _pair(task_weight, task, PageType(compat=compat))


def wikihow(*, task_weight: float = 0.5, compat: str = "default") -> Similarity:
    """Pattern of the step instruction and tags of the screen, as published."""
    return _pair(task_weight, InstructionPattern(compat=compat), TagSequence())


def preset(
    name: str, *, task_weight: float = 0.5, compat: str = "default", folder: str | None = None
) -> Similarity:
    """A similarity by the name of its preset. ``folder`` is for "webshop-paper" only.

    Errors: UnknownNameError for another name, UsageError for a weight outside [0, 1].

    >>> preset("webshop") == webshop()
    True
    """
    match name:
        case "default":
            return default(task_weight=task_weight)
        case "webshop":
            return webshop(task_weight=task_weight, compat=compat)
        case "webshop-text":
            return webshop_text(task_weight=task_weight)
        case "webshop-paper":
            return webshop_paper(folder, task_weight=task_weight, compat=compat)
        case "wikihow":
            return wikihow(task_weight=task_weight, compat=compat)
        case _:
            raise UnknownNameError("similarity", name, PRESETS)


def _pair(task_weight: float, task: Feature, observation: Feature) -> Similarity:
    """w of the task and 1 - w of the observation; at 0 and 1 (the ablations) one term is left."""
    if not 0.0 <= task_weight <= 1.0:
        raise UsageError(f"task_weight is {task_weight!r}; it must be from 0 to 1")
    terms = ((task_weight, task), (1.0 - task_weight, observation))
    return weighted(*((weight, feature) for weight, feature in terms if weight > 0))


def similarity_to_config(similarity: Similarity) -> dict[str, JSON]:
    """JSON-able description: a list of terms, each a weight and a feature."""
    return {
        "terms": [{"weight": weight, "feature": feature.to_config()} for weight, feature in similarity.terms]
    }


def similarity_from_config(config: Mapping[str, Any]) -> Similarity:
    """The similarity that ``similarity_to_config`` described.

    Errors: UnknownNameError for a feature that is not known, UsageError for any other mistake.
    """
    terms = config.get("terms")
    if not isinstance(terms, list) or not all(isinstance(term, Mapping) for term in terms):
        needed = {"terms": [{"weight": 1.0, "feature": {"name": "..."}}]}
        raise UsageError(f"similarity configuration {config!r}: it must look like {needed}")
    return weighted(*((term.get("weight", 1.0), _feature(term.get("feature"))) for term in terms))


def _feature(config: Any) -> Feature:
    if not isinstance(config, Mapping) or not isinstance(config.get("name"), str):
        raise UsageError(
            f"feature configuration {config!r}: it must have a name; known: {', '.join(FEATURES)}"
        )
    settings = {key: value for key, value in config.items() if key != "name"}
    if config["name"] not in FEATURES:
        raise UnknownNameError("similarity feature", config["name"], FEATURES)
    try:
        return FEATURES[config["name"]](**settings)
    except TypeError as error:
        raise UsageError(f"feature {config['name']!r} cannot be made with {settings!r}: {error}") from None
