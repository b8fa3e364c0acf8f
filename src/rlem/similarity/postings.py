"""A run of texts as sorted postings in numpy, built once and never changed.

A feature of few texts has a *list*: its texts and its codes there. Features of many texts (a page's fixed
words) are kept in *groups*: a text has one pattern of codes in a group, and there are few patterns. A query
adds up the codes of each pattern once for all its texts, which is several times faster than following lists.
What is in no group also lies by text (*entries*), so that some texts can be scored without the others.

Sums run in a fixed order: a text's listed features by number, then its groups. So a sum is bit for bit the
same whether all texts are asked for or only a few.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.similarity.base import Scores

Ints = NDArray[np.int64]
Codes = NDArray[np.uint8]
Patterns = NDArray[np.uint16]
Shape = tuple[int, int]

COMMON_SHARE = 8
"""A feature of more than one text in so many goes into a group."""

_PATTERNS = 4096
"""A group has at most so many patterns: their sums stay in the processor's nearest memory."""

_BLOCK = 65_536
"""Texts whose patterns are looked up at once, for the same reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postings:
    """Texts numbered from 0, features numbered from 0, codes from 1 to 255.

    ``starts``: where the entries of a text begin in ``numbers`` and ``codes``. ``list_starts``: where a
    feature's list begins in ``list_texts`` and ``list_codes``. ``column``: the line of a feature in
    ``table``, -1 if it has a list. ``columns``: the feature of each line; the lines from ``group_starts[g]``
    on are group g, and ``patterns[g]`` is the column of each text there.
    """

    starts: Ints
    numbers: NDArray[np.int32]
    codes: Codes
    list_starts: Ints
    list_texts: NDArray[np.int32]
    list_codes: Codes
    column: NDArray[np.int32]
    columns: NDArray[np.int32]
    group_starts: Ints
    table: Codes
    patterns: Patterns

    @classmethod
    def build(cls, texts: NDArray[Any], numbers: NDArray[Any], codes: Codes, shape: Shape) -> Postings:
        """Sorts entries of any order. ``shape``: how many texts and how many features there are."""
        size, features = shape
        frequency = np.bincount(numbers, minlength=features)
        common = np.flatnonzero(frequency * COMMON_SHARE > size)
        common = common[np.argsort(-frequency[common], kind="stable")]
        column = np.full(features, -1, np.int32)
        column[common] = np.arange(len(common))
        grouped = column[numbers] >= 0
        order = _stable_order(column[numbers[grouped]], len(common))
        group_starts, table, patterns = _group(
            texts[grouped][order], codes[grouped][order], _starts(frequency[common]), size
        )
        texts, numbers, codes = texts[~grouped], numbers[~grouped], codes[~grouped]
        order = np.argsort(texts.astype(np.int64) * features + numbers, kind="stable")
        texts, numbers, codes = texts[order], numbers[order].astype(np.int32), codes[order]
        frequency[common] = 0
        order = _stable_order(numbers, features)
        return cls(
            starts=_starts(np.bincount(texts, minlength=size)),
            numbers=numbers,
            codes=codes,
            list_starts=_starts(frequency),
            list_texts=texts[order].astype(np.int32),
            list_codes=codes[order],
            column=column,
            columns=common.astype(np.int32),
            group_starts=group_starts,
            table=table,
            patterns=patterns,
        )

    def __len__(self) -> int:
        """Texts."""
        return len(self.starts) - 1

    def sums(self, numbers: Ints, factors: Scores, *, squared: bool = False) -> Scores:
        """For each text the sum of code (or its square) times factor over these features, ascending."""
        numbers, factors = self._known(numbers, factors)
        listed = self.column[numbers] < 0
        texts, codes, counts = self.lists(numbers[listed])
        weights = codes * np.repeat(factors[listed], counts)
        if squared:
            weights *= codes
        total = count(texts, weights, len(self))
        for patterns, sums in self._group_sums(numbers[~listed], factors[~listed], squared):
            for start in range(0, len(total), _BLOCK):
                part = slice(start, start + _BLOCK)
                total[part] += sums.take(patterns[part], mode="clip")
        return total

    def sums_of(self, texts: Ints, numbers: Ints, factors: Scores, factor_of: Scores) -> Scores:
        """``sums(numbers, factors)[texts]``; ``factor_of`` holds the factors by feature number."""
        places, counts = ragged(self.starts[texts], self.starts[texts + 1])
        weights = self.codes[places] * factor_of[self.numbers[places]]
        total = count(np.repeat(np.arange(len(texts)), counts), weights, len(texts))
        numbers, factors = self._known(numbers, factors)
        grouped = self.column[numbers] >= 0
        for patterns, sums in self._group_sums(numbers[grouped], factors[grouped], squared=False):
            total += sums.take(patterns[texts], mode="clip")
        return total

    def rough_sums(self, numbers: Ints, factors: Scores, most: int) -> Scores:
        """As ``sums`` over listed features only, in the order given, as far as ``most`` postings go."""
        listed = self.column[numbers] < 0
        numbers, factors = numbers[listed], factors[listed]
        taken = int(
            np.searchsorted(np.cumsum(self.list_starts[numbers + 1] - self.list_starts[numbers]), most)
        )
        texts, codes, counts = self.lists(numbers[:taken])
        return count(texts, codes * np.repeat(factors[:taken], counts), len(self))

    def lists(self, numbers: Ints) -> tuple[NDArray[np.int32], Codes, Ints]:
        """Texts and codes of the lists of these features, one after the other, and their lengths."""
        starts, ends = self.list_starts[numbers], self.list_starts[numbers + 1]
        spans = [slice(*span) for span in zip(starts.tolist(), ends.tolist(), strict=True)]
        if not spans:
            return self.list_texts[:0], self.list_codes[:0], ends
        texts = np.concatenate([self.list_texts[span] for span in spans])
        return texts, np.concatenate([self.list_codes[span] for span in spans]), ends - starts

    def features_of(self, text: int) -> Ints:
        """Numbers of a text's features."""
        listed = self.numbers[self.starts[text] : self.starts[text + 1]]
        group = np.repeat(np.arange(len(self.patterns)), np.diff(self.group_starts))
        codes = self.table[np.arange(len(group)), self.patterns[group, text]]
        return np.concatenate([listed, self.columns[codes > 0]]).astype(np.int64)

    def entries(self) -> tuple[NDArray[np.int32], NDArray[np.int32], Codes]:
        """Texts, feature numbers and codes of everything, groups included."""
        texts = [np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.starts))]
        numbers, codes = [self.numbers], [self.codes]
        for group, patterns in enumerate(self.patterns):
            for line in range(self.group_starts[group], self.group_starts[group + 1]):
                found = self.table[line][patterns]
                texts.append(np.flatnonzero(found).astype(np.int32))
                codes.append(found[texts[-1]])
                numbers.append(np.full(len(texts[-1]), self.columns[line]))
        return np.concatenate(texts), np.concatenate(numbers), np.concatenate(codes)

    @classmethod
    def load(cls, parts: Mapping[str, NDArray[Any]], prefix: str) -> Postings:
        """What ``dump`` gave, each name behind a prefix."""
        return cls(**{field.name: parts[prefix + field.name] for field in fields(cls)})

    def dump(self) -> dict[str, NDArray[Any]]:
        """All arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _known(self, numbers: Ints, factors: Scores) -> tuple[Ints, Scores]:
        """Those features that were there when this was built."""
        end = int(np.searchsorted(numbers, len(self.column)))
        return numbers[:end], factors[:end]

    def _group_sums(self, numbers: Ints, factors: Scores, squared: bool) -> Iterator[tuple[Patterns, Scores]]:
        """Of each group that holds any of these features: the pattern of each text, each pattern's sum."""
        lines = self.column[numbers]
        group = np.searchsorted(self.group_starts, lines, side="right") - 1
        for number in sorted(set(group.tolist())):
            inside = group == number
            codes = self.table[lines[inside]].astype(np.float64)
            yield self.patterns[number], factors[inside] @ (codes * codes if squared else codes)


def count(places: NDArray[Any], weights: NDArray[Any], size: int) -> Scores:
    """The sum of the weights of each place, added in the order given."""
    return np.bincount(places, weights=weights, minlength=size).astype(np.float64, copy=False)


def ragged(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The numbers from each start to its end, one range after the other, and the length of each."""
    counts = ends - starts
    ahead = np.cumsum(counts)
    return np.arange(ahead[-1] if len(ahead) else 0) + np.repeat(ends - ahead, counts), counts


def _starts(counts: NDArray[Any]) -> Ints:
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def _stable_order(keys: NDArray[Any], top: int) -> Ints:
    """A stable order of keys below ``top``. Keys of 16 bits are sorted without comparing: 5 times faster."""
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    if top > 1 << 16:
        order = order[np.argsort((keys[order] >> 16).astype(np.uint16), kind="stable")]
    return order


def _group(texts: NDArray[Any], codes: Codes, starts: Ints, size: int) -> tuple[Ints, Codes, Patterns]:
    """Puts columns (entries from ``starts[c]`` on) into groups of as many as give few enough patterns."""
    empty = np.zeros(size, np.int32), np.zeros((0, 1), np.uint8)
    groups, group_starts = [empty], [0]
    for line in range(len(starts) - 1):
        column = slice(starts[line], starts[line + 1])
        for group in (groups.pop(), empty):
            larger = _with_column(*group, texts[column], codes[column])
            if larger[1].shape[1] <= _PATTERNS:
                break
            groups.append(group)
            group_starts.append(line)
        groups.append(larger)
    widest = max(table.shape[1] for _, table in groups)
    tables = [np.pad(table, ((0, 0), (0, widest - table.shape[1]))) for _, table in groups]
    patterns = np.array([pattern for pattern, _ in groups], np.uint16)
    return np.array([*group_starts, len(starts) - 1], np.int64), np.concatenate(tables), patterns


def _with_column(
    pattern: NDArray[np.int32], table: Codes, texts: NDArray[Any], codes: Codes
) -> tuple[NDArray[np.int32], Codes]:
    """A group's patterns and their table with one more column; patterns of no text are dropped."""
    known = table.shape[1]
    mixed = pattern[texts] * 256 + codes
    seen = np.zeros(known * 256, bool)
    seen[mixed] = True
    new = np.flatnonzero(seen)
    pattern = pattern.copy()
    pattern[texts] = (known - 1 + np.cumsum(seen, dtype=np.int32))[mixed]
    line = np.concatenate([np.zeros(known, np.uint8), (new % 256).astype(np.uint8)])
    table = np.concatenate([np.concatenate([table, table[:, new // 256]], axis=1), line[None]])
    used = np.bincount(pattern, minlength=len(line)) > 0
    return (np.cumsum(used, dtype=np.int32) - 1)[pattern], table[:, used]
