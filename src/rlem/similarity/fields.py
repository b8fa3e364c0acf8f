"""The texts of a situation by name, and digests of texts."""

from __future__ import annotations

import hashlib

from rlem.core.errors import UnknownNameError
from rlem.core.types import Situation

FIELDS = ("task", "observation", "subtask", "actions", "situation")
"""Names of the texts a feature may look at; "situation" is the content key of all of them."""


def field_text(situation: Situation, field: str) -> str:
    """The text of a situation that goes by that name (see ``FIELDS``)."""
    match field:
        case "task":
            return situation.task
        case "observation":
            return situation.observation
        case "subtask":
            return situation.subtask
        case "actions":
            return "\n".join(situation.actions)
        case "situation":
            return situation.key
        case _:
            raise UnknownNameError("field of a situation", field, FIELDS)


def digest(text: str, size: int = 16) -> bytes:
    """A stable digest of a text; texts with lone surrogates have one too."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
