"""Examining a memory: whether its log is whole, and whether what is derived is what the log gives.

What is derived can be mended, by deriving it anew. The log cannot: it is never touched here, but what can
still be read of it can be saved into a new memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby, islice, pairwise
from typing import Any

from rlem.core.errors import MemoryCorruptError, RlemError
from rlem.core.types import Episode, Situation
from rlem.memory import doctor_sqlite
from rlem.memory.checks import checked
from rlem.memory.codec import canonical
from rlem.memory.config import MemoryConfig
from rlem.memory.corrections import corrected
from rlem.memory.features import FeatureBook, situations_of
from rlem.memory.images import chunks, unpack_arrays
from rlem.memory.memory import ExperienceMemory
from rlem.memory.settings import usable_mark
from rlem.memory.sqlite import SQLiteStore
from rlem.memory.state import CHUNK, Progress
from rlem.memory.store import MAIN, FeatureKey, Mark, Place, Store
from rlem.memory.table import ExperienceTable
from rlem.similarity.base import Feature
from rlem.similarity.fields import digest

SAMPLE = 200
"""Features of about so many texts are made anew and compared, where not all of them are."""
QUERIES = 3
"""So many situations are looked for in an image of an index."""
ROUNDING = 1e-8
"""By so much the scores of two indexes of the same experiences may differ: they add up in another order."""

_LOST = re.compile(r"episode (?P<name>number \d+|'[^']*'|\"[^\"]*\"): (?P<reason>.*)", re.DOTALL)

DAMAGE = (RlemError, ValueError, TypeError, LookupError)

Outcome = tuple[list[str], str]
"""Of a check: what is wrong, and what to say where nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found. ``count``: how many things are, or before ``repaired`` were, wrong."""

    check: str
    ok: bool
    count: int
    detail: str
    repaired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """What was saved: how many episodes, and what was not. ``summary``: that, neighbours that are lost for
    one reason in one line."""

    episodes: int
    lost: tuple[str, ...]
    summary: tuple[str, ...]


def examine(store: Store, *, full: bool = False) -> list[Finding]:
    """One finding for each check, as of one moment. ``full`` compares the features of all texts."""
    with store.read():
        patient, said = _Patient(store, full), set[str]()
        return [_finding(name, check, said) for name, check in _checks(patient)]


def repair(store: Store, *, full: bool = False, progress: Progress | None = None) -> list[Finding]:
    """As ``examine``, but where something is wrong, what is derived is made anew; the log stays as it is.
    Bytes that a broken off forgetting left in the files go.

    ``repaired`` findings were wrong before and are fine now.
    """
    before = examine(store, full=full)
    if all(item.ok for item in before):
        store.erase()
        return before
    if isinstance(store, SQLiteStore):
        with store.write():
            doctor_sqlite.mend(store)
    if _finding("episodes", partial(_log, _Patient(store, full), "episodes"), set()).ok:
        _derive_anew(store, full, progress)
    store.erase()
    now = {item.check: item for item in examine(store, full=full)}
    wrong = {item.check: item for item in before if not item.ok}
    return [
        replace(wrong[name], ok=True, repaired=True) if item.ok and name in wrong else item
        for name, item in now.items()
    ]


def _derive_anew(store: Store, full: bool, progress: Progress | None) -> None:
    patient = _Patient(store, full)
    with store.write():
        store.drop_features(patient.texts[1] | patient.leftovers)
        store.drop_derived()
        store.set_rewritten()
    for view in patient.configs:
        ExperienceMemory(store, view=view, progress=progress)  # which stores what it derived


def salvage(
    source: Iterable[Episode | str], settings: Mapping[str, Any], target: Store, *, origin: str
) -> Salvaged:
    """Puts the episodes of ``source`` into an empty store, under these settings by view; ``lost`` are the
    texts among the episodes, and the settings that cannot be used. ``origin``: where they come from."""
    lost: list[tuple[int, str]] = []  # with the place in the source; 0 for settings
    configs: dict[str, MemoryConfig] = {}
    for view in [MAIN, *(name for name in settings if name != MAIN)]:
        try:
            configs[view] = MemoryConfig.from_json(settings[view])
        except DAMAGE as error:
            reason = error if view in settings else "they cannot be read; the defaults stand in"
            lost.append((0, f"settings of view {view}: {reason}"))

    def episodes() -> Iterator[Episode]:
        for place, item in enumerate(source, 1):
            try:
                if isinstance(item, Episode):
                    yield checked(item)
                else:
                    lost.append((place, item))
            except RlemError as error:
                lost.append((place, str(error)))

    with target.write():
        for view, config in configs.items():
            target.put_settings(view, config.to_json())
    count, _ = ExperienceMemory(target).insert(episodes(), origin={"from": origin})
    return Salvaged(episodes=count, lost=tuple(text for _, text in lost), summary=tuple(_joined(lost)))


def _joined(lost: Iterable[tuple[int, str]]) -> Iterator[str]:
    """The texts in their order; those of episodes side by side with one reason are one."""

    def kind(item: tuple[int, tuple[int, str]]) -> tuple[object, ...]:
        count, (place, text) = item
        found = _LOST.match(text)
        return (place - count, found["reason"]) if found else (count,)

    for _, items in groupby(enumerate(lost), key=kind):
        first, *more = [text for _, (_, text) in items]
        if not more:
            yield first
            continue
        start, end = _LOST.match(first), _LOST.match(more[-1])
        assert start is not None  # else each is of its own kind
        assert end is not None
        yield f"episodes {start['name']} to {end['name']} ({len(more) + 1}): {start['reason']}"


def readable(store: Store) -> Iterator[Episode | str]:
    """All episodes in canonical order; for one that cannot be read, what is wrong with it."""
    count = 0
    try:
        for episode in store.episodes():
            yield episode
            count += 1
    except MemoryCorruptError:
        for name in store.find()[count:]:
            try:
                found = store.episode(name)
                yield found if found is not None else f"episode {name!r} is not where the index has it"
            except MemoryCorruptError as error:
                yield f"episode {name!r}: {error.__cause__ or error!r}"


# -- what is looked at ---------------------------------------------------------------------------------


class _Patient:
    """A memory under examination. What several checks need is made once."""

    def __init__(self, store: Store, full: bool) -> None:
        self.store = store
        self.full = full
        self.configs: dict[str, MemoryConfig] = {}
        """Of the views whose settings can be used."""
        self.unusable: dict[str, str] = {}
        for view in store.views():
            try:
                self.configs[view] = MemoryConfig.from_json(store.settings(view) or {})
            except DAMAGE as error:
                self.unusable[view] = str(error)

    @cached_property
    def log(self) -> dict[str, list[str]]:
        """What is wrong with the log, by check."""
        found: dict[str, list[str]] = {"episodes": [], "situations": [], "corrections": []}
        last: Place | None = None
        count = 0
        for episode in readable(self.store):
            count += 1
            if isinstance(episode, str):
                found["episodes"].append(episode)
                continue
            place, name = (episode.sequence, episode.id), f"episode {episode.id!r}"
            if last is not None and place <= last:
                found["episodes"].append(f"{name} stands behind {last!r}, against the order")
            last = place
            try:
                checked(episode)
            except RlemError as error:
                found["episodes"].append(str(error))
            final = () if episode.final is None else (episode.final,)
            if any(replace(s).key != s.key for s in (*situations_of([episode]), *final)):
                found["situations"].append(f"{name} has a situation whose key is not that of its content")
            if not _follows(episode):
                found["corrections"].append(f"the corrections of {name} do not lead to its rewards")
        if count != self.store.count():
            found["episodes"].append(f"{count} episodes are found, {self.store.count()} counted")
        return found

    @cached_property
    def features(self) -> dict[str, Feature]:
        """Of all views, by fingerprint."""
        terms = (term for config in self.configs.values() for term in config.similarity.terms)
        return {feature.fingerprint: feature for _, feature in terms}

    @cached_property
    def texts(self) -> tuple[dict[str, set[bytes]], set[FeatureKey]]:
        """Digests of the texts of the log, by the fingerprint of the feature that looks at them; and those
        stored features that are not what is made of their texts now."""
        wrong: set[FeatureKey] = set()
        share = 1.0 if self.full else SAMPLE / max(self.store.count(), 1)
        found: dict[str, set[bytes]] = {fingerprint: set() for fingerprint in self.features}
        for chunk in chunks(self.store.episodes(), CHUNK):
            for fingerprint, feature in self.features.items():
                names = {digest(text): text for text in map(feature.text_of, situations_of(chunk))}
                looked_at = {
                    name: text
                    for name, text in names.items()
                    if name not in found[fingerprint] and name[0] < 256 * share
                }
                wrong |= self._wrong(feature, looked_at)
                found[fingerprint].update(names)
        return found, wrong

    def _wrong(self, feature: Feature, texts: Mapping[bytes, str]) -> set[FeatureKey]:
        stored = self.store.features(feature.fingerprint, list(texts))
        made = feature.encode([texts[name] for name in stored])
        wrong = (n for n, data in zip(stored, made, strict=True) if bytes(stored[n]) != data)
        return {(feature.fingerprint, name) for name in wrong}

    @cached_property
    def leftovers(self) -> set[FeatureKey]:
        """Stored features of texts that the log does not have."""
        if not isinstance(self.store, SQLiteStore):
            return set()
        return doctor_sqlite.leftover_features(self.store, self.texts[0])


class _View:
    """The derived state of one view, and what the log gives."""

    def __init__(self, store: Store, name: str, config: MemoryConfig) -> None:
        self.store = store
        self.name = name
        self.config = config
        self.mark = usable_mark(store, name, config)
        """None: what is stored will not be used, but derived anew when the view is opened."""

    def table(self) -> ExperienceTable:
        """An empty one."""
        return ExperienceTable(self.config, FeatureBook(self.store, self.config.similarity).of)

    @cached_property
    def replayed(self) -> tuple[ExperienceTable, int]:
        """What the log gives up to the mark, and how many episodes that are."""
        book = FeatureBook(self.store, self.config.similarity)
        table, count = ExperienceTable(self.config, book.of), 0
        last = self.mark.last if self.mark else None
        for chunk in chunks(self.store.episodes(), CHUNK):
            book.fetch(situations_of(chunk))
            for episode in chunk:
                if last is None or (episode.sequence, episode.id) > last:
                    return table, count
                table.learn(episode)
                count += 1
            book.new.clear()
        return table, count


# -- the checks ----------------------------------------------------------------------------------------


def _checks(patient: _Patient) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    store = patient.store
    if isinstance(store, SQLiteStore):
        for name, find in doctor_sqlite.CHECKS.items():
            yield name, partial(find, store)
    for name in ("episodes", "situations", "corrections"):
        yield name, partial(_log, patient, name)
    yield "history", partial(_history, store)
    yield "settings", partial(_settings, patient)
    yield "features", partial(_features, patient)
    for view, config in patient.configs.items():
        looked_at = _View(store, view, config)
        yield f"mark of view {view}", partial(_mark, looked_at)
        yield f"values of view {view}", partial(_values, looked_at)
        yield f"index of view {view}", partial(_index, looked_at)


def _finding(name: str, check: Callable[[], Outcome], said: set[str]) -> Finding:
    """``said``: the errors that were named by now; each is once."""
    try:
        wrong, fine = check()
    except DAMAGE as error:
        wrong, fine = ["cannot be looked at" + ("" if str(error) in said else f": {error}")], ""
        said.add(str(error))
    more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    detail = "; ".join(wrong[:3]) + more if wrong else fine
    return Finding(check=name, ok=not wrong, count=len(wrong), detail=detail)


def _log(patient: _Patient, check: str) -> Outcome:
    said = {
        "episodes": f"{patient.store.count()} can be read, in order",
        "situations": "their keys are those of their contents",
        "corrections": "they lead to the rewards there are",
    }
    return patient.log[check], said[check]


def _follows(episode: Episode) -> bool:
    """Whether the corrections start from what the rewards were, and end at what they are."""
    return corrected(episode, episode.corrections) == episode


def _history(store: Store) -> Outcome:
    now = store.revision()
    revisions = [change.revision for change in store.history()]
    wrong = [f"revision {b} is noted after {a}" for a, b in pairwise(revisions) if b < a]
    arrived = [arrival.revision for arrival in store.arrivals()]
    ahead = [number for number in [*revisions, *arrived] if not 0 <= number <= now]
    wrong += [f"revision {number} is named, but there are 0 to {now}" for number in ahead]
    changes = "1 change" if len(revisions) == 1 else f"{len(revisions)} changes, in order"
    return wrong, f"{changes}; revision {now}"


def _settings(patient: _Patient) -> Outcome:
    wrong = [f"those of view {view}: {error}" for view, error in patient.unusable.items()]
    if MAIN not in (patient.configs | patient.unusable):
        wrong.append("there are none: this is no memory yet")
    count = len(patient.configs)
    return wrong, f"those of {count} views can be used" if count != 1 else "those of the one view can be used"


def _features(patient: _Patient) -> Outcome:
    known, wrong = patient.texts
    count = sum(map(len, known.values()))
    problems = dict.fromkeys(wrong, "is not what its text gives")
    problems |= dict.fromkeys(patient.leftovers, "is of a text that the log does not have")
    how = "all" if patient.full else "some"
    return (
        [f"feature {name.hex()[:8]} of {of} {problem}" for (of, name), problem in sorted(problems.items())],
        f"of {count} texts, {how} made again and compared",
    )


def _mark(view: _View) -> Outcome:
    mark, store = view.mark, view.store
    if mark is None:
        return [], "nothing that could be used: derived anew when it is opened"
    return _ahead(mark, store, view), f"up to {mark.count} of {store.count()} episodes"


def _ahead(mark: Mark, store: Store, view: _View) -> list[str]:
    wrong = []
    if mark.revision > store.revision():
        wrong.append(f"it is of revision {mark.revision}, the memory of {store.revision()}")
    last = store.last()
    if mark.last is not None and (last is None or mark.last > last):
        wrong.append(f"it goes up to {mark.last!r}, the log to {last!r}")
    count = view.replayed[1]
    if mark.count != count:
        wrong.append(f"it counts {mark.count} episodes up to {mark.last!r}, the log {count}")
    return wrong


def _values(view: _View) -> Outcome:
    """The stored experiences, against a replay. The order of first visits counts only in the reference."""
    if view.mark is None:
        return [], "derived anew when it is opened"
    start = 0 if view.config.values.compat == "reference" else 1
    expected = {
        s.key: canonical(state[start:]) for s, state in view.replayed[0].changes() if state is not None
    }
    stored = {
        s.key: canonical(state[start:]) for s, state in view.store.derived(view.name) if state is not None
    }
    wrong = [f"experience {key[:8]} is missing" for key in sorted(expected.keys() - stored.keys())]
    wrong += [f"experience {key[:8]} is not of this log" for key in sorted(stored.keys() - expected.keys())]
    wrong += [
        f"experience {key[:8]} has other values than the log gives"
        for key in sorted(expected.keys() & stored.keys())
        if expected[key] != stored[key]
    ]
    return wrong, f"{len(stored)} experiences, equal to a replay of the log"


def _index(view: _View) -> Outcome:
    """The image of the search index, against an index of a replay: experiences, samples, scores."""
    image = view.store.image(view.name) if view.mark else None
    if image is None:
        return [], "no image of it is kept"
    loaded = view.table()
    loaded.load_image(unpack_arrays(image.parts))
    loaded.restore(view.store.derived_since(view.name, image.revision))
    queries = [situation for situation, _ in islice(view.store.derived(view.name), QUERIES)]
    ours, theirs = _searched(view.replayed[0], queries), _searched(loaded, queries)
    wrong = [
        f"experience {key[:8]} is in one of index and log only" for key in sorted(ours.keys() ^ theirs.keys())
    ]
    for key in sorted(ours.keys() & theirs.keys()):
        if any(abs(a - b) > ROUNDING for a, b in zip(ours[key], theirs[key], strict=True)):
            wrong.append(f"experience {key[:8]} has other samples or scores than the log gives")
    return wrong, f"{len(theirs)} experiences, found as a replay finds them"


def _searched(table: ExperienceTable, queries: Iterable[Situation]) -> dict[str, tuple[float, ...]]:
    """Samples of each experience, and how alike it is to the queries."""
    arrays = table.image()
    keys, samples = arrays["keys"].tobytes().hex(), arrays["samples"].tolist()
    free = set(arrays["free"].tolist())
    scores = [table.index.scores(query).tolist() for query in queries]
    return {
        keys[32 * slot : 32 * slot + 32]: (count, *(found[slot] for found in scores))
        for slot, count in enumerate(samples)
        if slot not in free
    }
