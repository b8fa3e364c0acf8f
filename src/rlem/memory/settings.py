"""The settings of the views of a memory: what they are, changing them, taking a view away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rlem.core.clock import Clock, system_clock
from rlem.core.errors import RlemError, UnknownNameError, UsageError
from rlem.core.types import Trust
from rlem.memory.config import MemoryConfig
from rlem.memory.memory import ExperienceMemory
from rlem.memory.state import Progress, drop_unused_features, fingerprint_of
from rlem.memory.store import MAIN, Mark, Store
from rlem.similarity.base import Similarity
from rlem.similarity.config import preset, similarity_to_config, weighted
from rlem.values import ValueConfig

_TASK_PARTS = ("task", "subtask")
"""Names of the features that look at what is to be done; the others look at the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewFacts:
    """A view as it is stored.

    ``experiences`` and ``episodes``: what is derived, and from how many episodes of the log; both 0 where
    nothing is that could be used, so that opening the view derives it anew. ``config`` is None where the
    settings cannot be used here, and ``problem`` says why.
    """

    name: str
    config: MemoryConfig | None
    problem: str
    experiences: int
    episodes: int


def views(store: Store) -> list[ViewFacts]:
    """All views of a memory, the main one first."""
    with store.read():
        return [_facts(store, name) for name in sorted(store.views(), key=lambda name: (name != MAIN, name))]


def _facts(store: Store, name: str) -> ViewFacts:
    try:
        config = MemoryConfig.from_json(store.settings(name) or {})
    except RlemError as error:
        return ViewFacts(name=name, config=None, problem=str(error), experiences=0, episodes=0)
    mark = usable_mark(store, name, config)
    return ViewFacts(
        name=name,
        config=config,
        problem="",
        experiences=sum(1 for _ in store.derived(name)) if mark else 0,
        episodes=mark.count if mark else 0,
    )


def usable_mark(store: Store, view: str, config: MemoryConfig) -> Mark | None:
    """The mark of a view, if what is derived is of these settings and of the log as it is."""
    mark = store.mark(view)
    if mark is None or mark.revision < store.rewritten():
        return None
    return mark if mark.fingerprint == fingerprint_of(config) else None


def change(
    store: Store, view: str, settings: Mapping[str, Any], progress: Progress | None = None
) -> ExperienceMemory:
    """Gives a view other settings, or makes it with them, and derives it anew: the memory, on that view.

    ``settings``: see ``changed``. They start from the view's own, those of a new one from the main view's.
    """
    if not view.strip():
        raise UsageError("a view needs a name: give --view one that is not blank")
    stored = store.settings(view)
    base = stored or store.settings(MAIN)
    if base is None:
        raise UsageError(f"{store.location} is no memory yet: it has no settings to change")
    config = changed(base, **settings)
    if stored is None:
        return ExperienceMemory(store, config, view=view, progress=progress)
    try:
        MemoryConfig.from_json(stored)
    except RlemError:  # they cannot even be opened with: a model that is gone
        with store.write():
            store.put_settings(view, config.to_json())
            store.note("settings", system_clock(), {"view": view})
        return ExperienceMemory(store, view=view, progress=progress)
    memory = ExperienceMemory(store, view=view)
    memory.rebuild(config, progress)
    return memory


def drop_view(store: Store, name: str, clock: Clock = system_clock) -> None:
    """Takes a view away, with the features that no other one uses. UsageError for the main view."""
    if name == MAIN:
        raise UsageError(f"the view {MAIN!r} of {store.location} cannot be taken away: every memory has it")
    if name not in store.views():
        raise UnknownNameError(f"view of {store.location}:", name, store.views())
    with store.write():
        store.drop_view(name)
        drop_unused_features(store)
        store.note("drop-view", clock(), {"view": name})


def changed(
    settings: Mapping[str, Any],
    *,
    values: Mapping[str, Any] | None = None,
    similarity: str | None = None,
    task_weight: float | None = None,
    embedding: str | None = None,
    trust: Mapping[str, Trust] | None = None,
    **limits: Any,
) -> MemoryConfig:
    """Stored settings with changes; what is None stays.

    ``similarity``: name of a preset. ``task_weight``: of what is to be done, against the page. ``embedding``:
    folder of the model that compares tasks. ``trust``: of sources. ``limits``: the other fields of
    ``MemoryConfig``, by name; 0 is none. Errors: UsageError for what is not possible.
    """
    wanted = dict(settings)
    if similarity is not None:
        wanted["similarity"] = similarity_to_config(preset(similarity, folder=embedding))
    if embedding is not None:
        wanted["similarity"] = _embedded(wanted["similarity"], embedding)
    config = MemoryConfig.from_json(wanted)
    given: dict[str, Any] = {name: value or None for name, value in limits.items() if value is not None}
    if task_weight is not None:
        given["similarity"] = _weighed(config.similarity, task_weight)
    if trust:
        sources = {**config.sources, **trust}
        given["sources"] = {name: level for name, level in sources.items() if level != "verified"}
    learned = replace(config.values, **(values or {}))
    if learned.estimate != "constant":  # which has no use for the other one's rate
        if "learning_rate" in (values or {}):
            raise UsageError("a learning rate is of a constant step only: give --estimate constant with it")
        learned = replace(learned, learning_rate=ValueConfig().learning_rate)
    return replace(config, values=learned, **given)


def _embedded(similarity: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """As JSON: with the model of that folder in place of what compares tasks, and of all other models."""
    terms, found = [], False
    for term in similarity["terms"]:
        feature = term["feature"]
        if feature["name"] == "embedding" or feature.get("field") == "task":
            kept = feature if feature["name"] == "embedding" else {"field": "task"}
            feature, found = {**kept, "name": "embedding", "folder": folder}, True
        terms.append({**term, "feature": feature})
    if not found:
        raise UsageError(
            "this similarity has no part that an embedding could replace: none looks at the task's text"
        )
    return {**similarity, "terms": terms}


def _weighed(similarity: Similarity, task_weight: float) -> Similarity:
    """With that weight of the parts that look at the task; shares among them, and of the others, stay."""
    if not 0.0 <= task_weight <= 1.0:
        raise UsageError(f"task_weight is {task_weight!r}; it must be from 0 to 1")
    whole = {True: 0.0, False: 0.0}
    for weight, feature in similarity.terms:
        whole[feature.name in _TASK_PARTS] += weight
    if not all(whole.values()):
        raise UsageError(
            "the similarity has one side only (task or page), which cannot be weighed: name it again, too"
        )
    terms = (
        ((task_weight if of_task else 1.0 - task_weight) * weight / whole[of_task], feature)
        for weight, feature in similarity.terms
        for of_task in [feature.name in _TASK_PARTS]
    )
    return weighted(*((weight, feature) for weight, feature in terms if weight > 0))
