"""The vocabulary of the generated shop: product kinds, features, option values and sentence templates.

The words themselves are in ``catalogue_words.json`` beside this file; this module gives them types.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["is", "has", "made", "for"]
"""How a shopper says it: "that is X", "with X", "made of X", "for X"."""

Number = Literal["one", "many", "mass"]
"""A mug that is; socks that are; some tea that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """One thing that can be said of a product, and sentences that explain it.

    Attributes:
        phrase: lower-case words that occur literally in the product's texts and in instructions.
        role: how the phrase is used in a sentence.
        lines: sentences for bullets and descriptions, at least one.
    """

    phrase: str
    role: Role
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of product.

    Attributes:
        department: short name of the department, the ``category`` of the product records.
        path: category path with ``›`` between its parts.
        query: the search that finds the kind; a plural, or a mass noun.
        names: what people call it, the usual name first.
        number: grammatical number of the names.
        made: how a shopper introduces the material.
        materials, features, uses: what can be said of a product of this kind.
        options: option groups and all the values each can offer; no value is in two groups.
        price: lowest and highest price in dollars.
    """

    department: str
    path: str
    query: str
    names: tuple[str, ...]
    number: Number
    made: str
    materials: tuple[Trait, ...]
    features: tuple[Trait, ...]
    uses: tuple[Trait, ...]
    options: tuple[tuple[str, tuple[str, ...]], ...]
    price: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The whole vocabulary; templates hold ``{brand}``, ``{noun}``, ``{nouns}``, ``{head}``, ``{line}``.

    Attributes:
        kinds: the first kind of every department, then the second of every department, and so on.
    """

    kinds: tuple[Kind, ...]
    brand_parts: tuple[tuple[str, ...], ...]
    brand_tails: tuple[str, ...]
    noise: tuple[str, ...]
    gifts: tuple[str, ...]
    plain_bullets: tuple[str, ...]
    bullet_heads: tuple[str, ...]
    openings: tuple[str, ...]
    closings: tuple[str, ...]
    openers: tuple[str, ...]


def _lines(templates: list[str], **fields: str) -> tuple[str, ...]:
    return tuple(template.format(**fields) for template in templates)


def _kind(raw: dict[str, Any], department: str, record: dict[str, Any], kind: dict[str, Any]) -> Kind:
    pools = raw["pools"]
    options = ((name, pools[of] if isinstance(of, str) else of) for name, of in kind["options"].items())
    uses = dict.fromkeys([*kind["uses"], *record["uses"]])
    return Kind(
        department=department,
        path=f"{record['path']} › {kind['path']}",
        query=kind["query"],
        names=tuple(kind["names"]),
        number=kind.get("number", "one"),
        made=record.get("made", "made of"),
        materials=tuple(
            Trait(phrase=phrase, role="made", lines=_lines(raw["material_lines"], material=phrase))
            for phrase in kind["materials"]
        ),
        features=tuple(
            Trait(phrase=phrase, role=raw["features"][phrase][0], lines=tuple(raw["features"][phrase][1:]))
            for phrase in kind["features"]
        ),
        uses=tuple(
            Trait(phrase=phrase, role="for", lines=_lines(raw["use_lines"], use=phrase)) for phrase in uses
        ),
        options=tuple((name, tuple(values)) for name, values in options),
        price=(kind["price"][0], kind["price"][1]),
    )


@functools.cache
def load_words() -> Words:
    """The vocabulary, read once from the package."""
    text = importlib.resources.files(__package__).joinpath("catalogue_words.json").read_text("utf-8")
    raw: dict[str, Any] = json.loads(text)
    kinds = [
        (rank, _kind(raw, department, record, kind))
        for department, record in raw["departments"].items()
        for rank, kind in enumerate(record["kinds"])
    ]
    return Words(
        kinds=tuple(kind for _, kind in sorted(kinds, key=lambda ranked: ranked[0])),
        brand_parts=tuple(tuple(part) for part in raw["brand_parts"]),
        **{
            name: tuple(raw[name])
            for name in (
                "brand_tails", "noise", "gifts", "plain_bullets", "bullet_heads", "openings", "closings",
                "openers",
            )
        },
    )  # fmt: skip
