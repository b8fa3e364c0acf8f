"""Typing by the words of a vocabulary, which is how Mobile-Env types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rlem.environments.wikihow.actions import typed

_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_WITHIN = "##"


class WordPieces:
    """Numbers of the pieces of a text in a vocabulary, longest piece first: the tokenizer of VhIoWrapper.

    A word that the vocabulary cannot spell is left out, as the original's ``[UNK]`` is never typed.
    Source: the word pieces of BERT's uncased vocabulary.

    >>> WordPieces(["fix", "a", "##ing", "##es"])("Fixing a fix!")
    {'input_ids': [0, 2, 1, 0]}
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._numbers = {piece: number for number, piece in reversed(list(enumerate(vocabulary)))}

    def __call__(self, text: str, add_special_tokens: bool = False) -> dict[str, list[int]]:
        return {"input_ids": [number for word in typed(text).split() for number in self._spell(word)]}

    def _spell(self, word: str) -> list[int]:
        numbers: list[int] = []
        start = 0
        while start < len(word):
            mark = _WITHIN if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if mark + word[start:end] in self._numbers), None)
            if end is None:
                return []
            numbers.append(self._numbers[mark + word[start:end]])
            start = end
        return numbers


def vocabulary_of(phrases: Iterable[str]) -> tuple[str, ...]:
    """A vocabulary that spells every ASCII text: the words of the phrases, and single characters.

    >>> vocabulary_of(["how to", "CC cream"])[:5]
    ('how', 'to', 'cc', 'cream', 'a')
    """
    words = [word for phrase in phrases for word in typed(phrase).split()]
    return tuple(dict.fromkeys([*words, *_CHARACTERS, *(_WITHIN + character for character in _CHARACTERS)]))
