"""Which tasks the published sets are made of.

Synthetic goals are counted in our own order, which is the original's. Human goals have two orders: ours,
and the official one, in which the papers count: it is the order of the public site.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rlem.core.errors import UnknownNameError, UsageError
from rlem.environments.ranges import parse_range
from rlem.environments.webshop.data import Catalogue

_SPLITS = {
    "test": (0, 100, "100 test tasks"),
    "S0": (500, 510, "10 training tasks, first set"),
    "S1": (510, 520, "10 training tasks, second set"),
}
_BASELINE = {"baseline/test": (0, 500), "baseline/eval": (500, 1500), "baseline/train": (1500, None)}
_NAMED = 20
"""Official goals that a message names."""
_SMALL = "small/"
_OFFICIAL = "official:"
_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")
_LIMIT_TEXT = ", and price lower than "


class TaskSets:
    """Named task sets and ranges over a catalogue's goals.

    ``order``: place in our order of each official human goal, as the Rememberer authors' pub-to-mine.list
    has it for the first 600 of the full data. ``official``: the instructions of the official human goals;
    those that the list has not, or all where it does not fit the data, are found by their words.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        order: Sequence[int] | None = None,
        official: Sequence[str] | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._order = order
        self._official = official
        self._places: Mapping[int, int] | None = None

    def describe(self) -> Mapping[str, str]:
        """The named sets with one line on each."""
        human = self._catalogue.goal_kind == "human"
        sets = {f"{_SMALL}{name}": f"{text} (goals {a}:{b})" for name, (a, b, text) in _SPLITS.items()}
        for name, (start, stop, _) in _SPLITS.items():
            sets[name] = f"official goals {start}:{stop}" if human else f"the same as {_SMALL}{name}"
        for name, (first, end) in _BASELINE.items():
            sets[name] = f"split of the original's baselines (goals {first}:{end or ''})"
        return sets

    def numbers(self, spec: str) -> Sequence[int]:
        """Goal numbers of a named set, a range ``A:B``, or ``official:A:B`` with human goals.

        Errors: UnknownNameError for an unknown name; UsageError for goals that this catalogue has not.
        """
        count = len(self._catalogue.goals)
        if (found := parse_range(spec, count)) is not None:
            return found
        human = self._catalogue.goal_kind == "human"
        if spec.startswith(_OFFICIAL) and not human:
            raise UsageError(f"task set {spec!r}: official goals are human; open the data with them")
        if spec.startswith(_OFFICIAL):
            return self._officials(spec, parse_range(spec.removeprefix(_OFFICIAL), self._official_count()))
        if spec in _BASELINE:
            start, stop = _BASELINE[spec]
            return self._own(spec, start, stop or max(count, start + 1))
        name = spec.removeprefix(_SMALL)
        if name not in _SPLITS or spec not in self.describe():
            ranges = ("A:B", f"{_OFFICIAL}A:B") if human else ("A:B",)
            raise UnknownNameError("task set", spec, (*self.describe(), *ranges))
        start, stop, _ = _SPLITS[name]
        if human and spec == name:
            return self._officials(spec, range(start, stop))
        return self._own(spec, start, stop)

    def _own(self, spec: str, start: int, stop: int) -> range:
        count = len(self._catalogue.goals)
        if stop > count:
            raise UsageError(
                f"task set {spec!r} needs goals up to {stop - 1}; this catalogue has {count} "
                f"{self._catalogue.goal_kind} goals: use a range A:B with 0 <= A < B <= {count}"
            )
        return range(start, stop)

    def _officials(self, spec: str, wanted: range | None) -> list[int]:
        if wanted is None:
            raise UsageError(
                f"task set {spec!r}: give official goals as official:A:B, for example official:0:100"
            )
        places = self._official_places()
        found = [places[number] for number in wanted if number in places]
        if len(found) < len(wanted):
            count = len(self._catalogue.goals)
            raise UsageError(
                f"task set {spec!r} needs official goals {wanted.start} to {wanted.stop - 1}; this catalogue "
                f"has {len(found)} of them among its {count} human goals{_examples(places)}: load the full "
                f"data, or use a range A:B with 0 <= A < B <= {count}"
            )
        return found

    def _official_count(self) -> int:
        return max(len(self._official or ()), len(self._order or ()))

    def _official_places(self) -> Mapping[int, int]:
        """Our place of each official goal that the catalogue has."""
        if self._places is None:
            self._places = self._find_places()
        return self._places

    def _find_places(self) -> Mapping[int, int]:
        goals = self._catalogue.goals
        places: dict[int, int] = {}
        if self._order is not None and max(self._order, default=0) < len(goals):
            places.update(enumerate(self._order))
        if self._official is None and places:
            return places
        if self._official is None:
            raise UsageError(
                "task sets of official human goals need their order: put pub-to-mine.list (with the full "
                "data) or human_goals.json into the data folder, or use a range A:B"
            )
        taken = set(places.values())
        ours: dict[str, list[int]] = defaultdict(list)
        for place, goal in enumerate(goals):
            if place not in taken:
                ours[_words(goal.instruction)].append(place)
        for number, text in enumerate(self._official):
            if number not in places and (same := ours.get(_words(text))):  # of the same words, each once
                places[number] = same.pop(0)
        return places


def _examples(places: Mapping[int, int]) -> str:
    """Some of the official goals that there are."""
    some = sorted(places)[:_NAMED]
    more = ", ..." if len(places) > _NAMED else ""
    return f" (official {', '.join(map(str, some))}{more})" if some else ""


def _words(instruction: str) -> str:
    """An instruction for comparison: the official list lacks the price limit and some punctuation.

    >>> _words("Men's loafers, black, and price lower than 60.00 dollars") == _words("mens loafers black")
    True
    """
    return _NEITHER_LETTER_NOR_DIGIT.sub("", instruction.partition(_LIMIT_TEXT)[0].lower())
