"""Fuzzy text matching with the decisions of thefuzz 0.19 over difflib, and the colour rule.

rapidfuzz is much faster but answers 3 of 8,563 recorded decisions differently; scores are cached instead.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import lru_cache

THRESHOLD = 85
"""A match needs a score above this (of 100)."""

_COLOR_LIST = """
    alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy
    camel camo caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral
    cranberry cream crystal dark denim eggplant elephant espresso fuchsia gold granite grape graphite grass
    gray green grey heather indigo ivory ivy khaki lavender lemon leopard light lilac lime magenta maroon
    mauve merlot midnight mint mocha multicolor mushroom mustard natural navy nude olive orange peach pewter
    pink plum purple rainbow red rose royal rust sand sapphire seashell silver skull slate steel stone
    stonewash sunflower tan taupe teal tiger turquoise violet walnut wheat white wine yellow"""
COLORS = tuple(_COLOR_LIST.split())

OptionText = str | tuple[str, str]
"""A value, or the (name, value) pair that synthetic goals are compared with."""

_LATIN_1 = dict.fromkeys(range(128, 256))


def normalize_color(option: OptionText) -> OptionText:
    """First colour word contained in the value, else the value itself; a pair is left as it is.

    >>> normalize_color("dark green"), normalize_color("tangerine"), normalize_color("large")
    ('dark', 'tan', 'large')
    """
    if isinstance(option, tuple):  # the original asks whether the colour is a member of the pair
        return next((color for color in COLORS if color in option), option)
    return _color_in(option)


@lru_cache(maxsize=1 << 14)
def _color_in(value: str) -> str:
    return next((color for color in COLORS if color in value), value)


def token_set_ratio(first: OptionText, second: OptionText) -> int:
    """Likeness of two texts' word sets, 0 to 100: the best of three ratios.

    With the common words c and the rests a, b (each sorted): max of ratio(c, ca), ratio(c, cb),
    ratio(ca, cb). Empty texts score 0.

    >>> token_set_ratio("slim fit", "fit, slim & long")
    100
    """
    return max((_ratio(*pair) for pair in _pairs(first, second)), default=0)


@lru_cache(maxsize=1 << 17)
def alike(first: OptionText, second: OptionText) -> bool:
    """Whether two texts count as the same wish: token_set_ratio above the threshold.

    Not symmetric in rare cases, as difflib is not.
    """
    return any(_may_exceed(*pair) and _ratio(*pair) > THRESHOLD for pair in _pairs(first, second))


def _pairs(first: OptionText, second: OptionText) -> tuple[tuple[str, str], ...]:
    """The three pairs of texts whose ratios count; none if a text has no words."""
    words_a, words_b = _word_set(first), _word_set(second)
    if not words_a or not words_b:
        return ()
    common = " ".join(sorted(words_a & words_b))
    full_a = f"{common} {' '.join(sorted(words_a - words_b))}".strip()
    full_b = f"{common} {' '.join(sorted(words_b - words_a))}".strip()
    return (common, full_a), (common, full_b), (full_a, full_b)


def _may_exceed(first: str, second: str) -> bool:
    """Cheap upper bound: the ratio is at most twice the shorter length over both lengths."""
    return 200 * min(len(first), len(second)) > (THRESHOLD - 1) * (len(first) + len(second))


def _word_set(text: OptionText) -> set[str]:
    return set(re.sub(r"\W", " ", str(text).translate(_LATIN_1)).lower().split())


def _ratio(first: str, second: str) -> int:
    if first == second:
        return 100
    return round(100 * SequenceMatcher(None, first, second).ratio())
