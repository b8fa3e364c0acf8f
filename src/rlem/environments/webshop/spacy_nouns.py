"""Nouns of a product name as a spaCy pipeline tags them: what the original does.

spaCy (extra ``spacy``) is imported on first use only; its models are installed by the user, never fetched.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from rlem.core.errors import DataError, MissingExtraError, UnknownNameError
from rlem.environments.webshop.nouns import rule_nouns
from rlem.environments.webshop.reward import Nouns

DEFAULT_MODEL = "en_core_web_sm"
_NOUN_TAGS = frozenset({"NOUN", "PROPN"})
_NEEDLESS = ("lemmatizer", "ner")  # they change no tag
_PROBE = "The red kettle of my 2 friends"
_load_lock = threading.Lock()


def nouns_by_name(name: str) -> Nouns:
    """The noun extraction of a name: ``rule``, ``spacy`` (en_core_web_sm) or ``spacy:MODEL``.

    MODEL is an installed package or the folder of a saved pipeline.
    Errors: UnknownNameError; those of :func:`spacy_nouns`.

    >>> nouns_by_name("rule")("Pack of 2 Tables")
    ('pack', 'tables')
    """
    kind, _, model = name.partition(":")
    if name == "rule":
        return rule_nouns
    if kind == "spacy" and (model or name == "spacy"):
        return spacy_nouns(model or DEFAULT_MODEL)
    raise UnknownNameError("noun extraction", name, ("rule", "spacy", "spacy:MODEL"))


def spacy_nouns(model: str | os.PathLike[str] = DEFAULT_MODEL) -> Nouns:
    """Lower-case texts of the tokens that a spaCy pipeline tags NOUN or PROPN, in order, repeats kept.

    Source: Yao et al. 2022 (WebShop), type reward of its code; upstream uses en_core_web_sm, the fork
    en_core_web_lg. A model is loaded once in a process; any number of threads may ask.
    Errors: MissingExtraError without spaCy; DataError for a model that is absent, broken or tags nothing.
    """
    with _load_lock:
        return _cached(os.fspath(model))


@lru_cache(maxsize=4)
def _cached(model: str) -> Nouns:
    pipeline = _load(model)
    lock = threading.Lock()  # a pipeline adds to its vocabulary while it reads

    @lru_cache(maxsize=1 << 16)
    def nouns(name: str) -> Sequence[str]:
        with lock:
            return tuple(token.text.lower() for token in pipeline(name) if token.pos_ in _NOUN_TAGS)

    return nouns


def _load(model: str) -> Any:
    """A pipeline that tags parts of speech."""
    try:
        spacy = importlib.import_module("spacy")
    except ModuleNotFoundError as error:
        if error.name != "spacy":
            raise
        raise MissingExtraError(f"noun extraction by the spaCy model {model!r}", "spacy") from None
    try:
        pipeline = spacy.load(model, exclude=_NEEDLESS)
        tags = pipeline(_PROBE).has_annotation("POS")
    except OSError as error:
        raise DataError(
            f"spaCy finds no model {model!r}: install both, pip install 'rlem[spacy]' and "
            f"python -m spacy download {model}; or name the folder of a saved pipeline; "
            "or use the noun extraction 'rule'"
        ) from error
    except Exception as error:  # a pipeline is a program of other people
        raise DataError(f"the spaCy model {model!r} cannot be used: {error!s:.300}") from error
    if not tags:
        raise DataError(
            f"the spaCy model {model!r} tags no parts of speech (it has: {pipeline.pipe_names}); "
            "name one with a tagger, as en_core_web_sm"
        )
    return pipeline
