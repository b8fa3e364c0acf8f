"""How many tokens a text has: an estimate that errs upwards, or the user's own tokenizer file."""

from __future__ import annotations

import math
import re
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlem.core.errors import DataError, MissingExtraError

TokenCounter = Callable[[str], int]
"""Tokens of a text, or an upper estimate of them."""

LATIN_CHARACTERS_PER_TOKEN = 2.6
"""Measured as an upper bound on prompts of our kind; 3.1 is typical."""

_WIDE = re.compile("[\u0370-\u1fff\u2e80-\ud7ff\uf900-\ufdff\ufe30-\ufe4f\ufe70-\uffef\U00020000-\U0003ffff]")
"""CJK, and every other script that byte-pair tables know less well than Latin: a token a character."""

_RARE = re.compile("[\U00010000-\U0001ffff]")
"""Emoji and rare scripts: byte-pair tables fall back to bytes, of which there are up to four."""

_MIN_LEARNED_TOKENS = 100.0  # on shorter prompts the chat template's own tokens would blur the ratio
_LEARNED_PROMPTS = 64
_FEW_PROMPTS = 8  # below this many reports the estimate is never lowered
_MARGIN = 1.05


class EstimatedTokens:
    """Estimates tokens by counting characters, and corrects itself by the usage that endpoints report.

        tokens = ceil(factor * (latin / 2.6 + wide + 4 * rare))            factor = 1 until corrected

    ``wide`` are characters of CJK and other non-Latin scripts, ``rare`` those beyond the basic plane. The
    factor is the greatest of the last 64 reported ratios plus 5 %, within [0.6, 4]: it rises at once and
    falls only when eight reports or more agree. Thread-safe. Without ``observe`` it is a pure function.

    >>> EstimatedTokens()("a red kettle under 40 dollars")
    12
    >>> EstimatedTokens()("红色水壶")
    4
    """

    lowest, highest = 0.6, 4.0

    def __init__(self) -> None:
        self._ratios: deque[float] = deque(maxlen=_LEARNED_PROMPTS)
        self._factor = 1.0
        self._lock = threading.Lock()

    def __call__(self, text: str) -> int:
        return math.ceil(self._factor * _raw(text))

    @property
    def factor(self) -> float:
        """What the plain estimate is multiplied with."""
        return self._factor

    def observe(self, text: str, reported_tokens: int) -> None:
        """Learns from what an endpoint says ``text`` had. Short texts and empty reports teach nothing."""
        raw = _raw(text)
        if raw < _MIN_LEARNED_TOKENS or reported_tokens <= 0:
            return
        with self._lock:
            self._ratios.append(reported_tokens / raw)
            factor = max(self._ratios) * _MARGIN
            if len(self._ratios) < _FEW_PROMPTS:
                factor = max(factor, 1.0)
            self._factor = min(max(factor, self.lowest), self.highest)


def _raw(text: str) -> float:
    if text.isascii():
        return len(text) / LATIN_CHARACTERS_PER_TOKEN
    wide, rare = len(_WIDE.findall(text)), len(_RARE.findall(text))
    return (len(text) - wide - rare) / LATIN_CHARACTERS_PER_TOKEN + wide + 4 * rare


class FileTokens:
    """Counts with the ``tokenizer.json`` of the model that is asked. Extra: ``tokenizer``.

    Raises MissingExtraError without the ``tokenizers`` package, DataError on a missing or broken file.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtraError("counting tokens with a tokenizer file", "tokenizer") from error
        if not Path(path).is_file():
            raise DataError(f"tokenizer file {str(path)!r} does not exist; give the path of a tokenizer.json")
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise DataError(
                f"tokenizer file {str(path)!r} cannot be read ({error}); it must be a tokenizer.json of the "
                "tokenizers library"
            ) from error
        # Files of embedding models cut and pad; a counter must see the whole text and nothing else.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, text: str) -> int:
        clean = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates stop the library
        return len(self._tokenizer.encode(clean, add_special_tokens=False).ids)
