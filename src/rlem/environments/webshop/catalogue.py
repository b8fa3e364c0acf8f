"""A shop of our own: generated products in the two JSON structures that the original WebShop reads.

Every text comes from a seeded grammar over our own words (``catalogue_words.json``). A shop has what makes
the real one hard: near-duplicates, features that stand only in the bullets, options to choose, noisy titles.
Product ``i`` depends on the seed and on ``i`` alone, so a larger shop begins with the smaller one, and any
number of products can be streamed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rlem.core.errors import UsageError
from rlem.core.seeds import derive_seed, generator
from rlem.environments.webshop.catalogue_words import Kind, Trait, Words, load_words

MAX_COMBINATIONS = 24
"""Most option combinations of one product: every combination is a goal, and no product may crowd the list."""

TITLE_WORDS = (8, 25)
"""Fewest and most words of a title."""

_ASIN_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ASIN_SPACE = 10 * 36**7
_ASIN_STRIDE = 271_828_182_847  # coprime to 2, 3 and 5, the primes of the space: index -> asin is one to one
_KNOCK_OFF_RATE = 0.4  # share of near copies of an earlier product
_TITLE_RATE = 0.42  # chance that an attribute is named in the title
_SMALL_WORDS = frozenset({"and", "by", "for", "in", "of", "the", "to", "with"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a product is, before any word of its texts is chosen."""

    kind: Kind
    material: Trait
    features: tuple[Trait, ...]
    uses: tuple[Trait, ...]
    options: dict[str, list[str]]


def generate(seed: int = 0, n_products: int = 1000) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """A shop as the original's two files: the list of products, and the attributes and instruction by asin.

    The first is the content of ``items_shuffle.json``, the second of ``items_ins_v2.json``.

    Raises:
        UsageError: ``n_products`` is less than 1.

    >>> products, attributes = generate(seed=0, n_products=10)
    >>> len(products), sorted(attributes[products[0]["asin"]])
    (10, ['attributes', 'instruction', 'instruction_attributes'])
    """
    pairs = list(iter_products(seed, n_products))
    return [product for product, _ in pairs], {product["asin"]: about for product, about in pairs}


def iter_products(seed: int = 0, n_products: int = 1000) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of a product and its attributes entry, one at a time, in the order of :func:`generate`.

    Raises:
        UsageError: ``n_products`` is less than 1.
    """
    if n_products < 1:
        raise UsageError(
            f"cannot generate a shop of {n_products} products; n_products must be at least 1, e.g. 1000"
        )
    words = load_words()
    offset = derive_seed(seed, "asin")
    return (_product(words, seed, index, _asin(index, offset)) for index in range(n_products))


def _asin(index: int, offset: int) -> str:
    number = (index * _ASIN_STRIDE + offset) % _ASIN_SPACE
    tail = ""
    for _ in range(7):
        number, digit = divmod(number, 36)
        tail = _ASIN_DIGITS[digit] + tail
    return f"B0{number}{tail}"


def _product(words: Words, seed: int, index: int, asin: str) -> tuple[dict[str, Any], dict[str, Any]]:
    plan = _plan(words, seed, index)
    rng = generator(seed, "product", index)
    brand = _brand(rng, words)
    options = plan.options
    attributes = [*plan.features]
    if rng.random() < 0.6:
        attributes.append(plan.material)
    if rng.random() < 0.45:
        attributes.append(plan.uses[0])
    title_traits = [trait for trait in attributes if rng.random() < _TITLE_RATE][:3]
    title = _title(rng, words, plan, brand, title_traits, options)
    bullets = _bullets(rng, words, plan, [t for t in attributes if t.phrase not in title.lower()])
    wanted = _wanted(rng, attributes)
    product = {
        "asin": asin,
        "name": title,
        "full_description": _description(rng, words, plan, brand),
        "small_description": bullets,
        "pricing": _pricing(rng, plan.kind),
        "customization_options": {
            name: [{"value": value, "image": None} for value in values] for name, values in options.items()
        }
        or "",
        "images": [f"images/{asin}-{number}.jpg" for number in range(1, rng.randrange(2, 7))],
        "category": plan.kind.department,
        "query": plan.kind.query,
        "product_category": plan.kind.path,
        "average_rating": rng.randrange(30, 51) / 10 if rng.random() < 0.9 else "",
        "page": rng.randrange(1, 60),
    }
    about = {
        "attributes": [trait.phrase for trait in attributes],
        "instruction": _instruction(rng, words, plan.kind, wanted),
        "instruction_attributes": [trait.phrase for trait in wanted],
    }
    return product, about


def _plan(words: Words, seed: int, index: int) -> _Plan:
    """An idea of its own, or now and then a near copy of an earlier product's."""
    rng = generator(seed, "plan", index)
    if rng.random() >= _KNOCK_OFF_RATE or index == 0:
        return _own_plan(rng, words)
    # The model's *own* idea is copied even if it is a copy itself: one step back, never a chain of them.
    model_rng = generator(seed, "plan", rng.randrange(index))
    model_rng.random()  # the model's own draw of whether it is a copy
    model = _own_plan(model_rng, words)
    features = list(model.features)
    others = [trait for trait in model.kind.features if trait not in model.features]
    if others:
        features[rng.randrange(len(features))] = rng.choice(others)
    material = model.material if rng.random() < 0.7 else rng.choice(model.kind.materials)
    return _Plan(
        kind=model.kind,
        material=material,
        features=tuple(features),
        uses=model.uses,
        options=model.options if rng.random() < 0.7 else _options(rng, model.kind),
    )


def _own_plan(rng: random.Random, words: Words) -> _Plan:
    chance = rng.random()
    popularity = chance * (0.1 + 0.9 * chance)  # denser near 0: some kinds are common, some rare
    kind = words.kinds[int(popularity * len(words.kinds))]
    return _Plan(
        kind=kind,
        material=rng.choice(kind.materials),
        features=tuple(rng.sample(kind.features, rng.randrange(2, 6))),
        uses=tuple(rng.sample(kind.uses, rng.randrange(2, 4))),
        options=_options(rng, kind),
    )


def _brand(rng: random.Random, words: Words) -> str:
    name = "".join(rng.choice(part) for part in words.brand_parts)
    if rng.random() < 0.3:
        name = name.upper()
    return f"{name} {rng.choice(words.brand_tails)}".rstrip()


def _options(rng: random.Random, kind: Kind) -> dict[str, list[str]]:
    draw = rng.random()
    n_groups = 0 if draw < 0.19 else 1 if draw < 0.5 else 2 if draw < 0.87 else 3
    n_groups = min(n_groups, len(kind.options))
    groups = [kind.options[at] for at in sorted(rng.sample(range(len(kind.options)), n_groups))]
    chosen = {}
    for name, values in groups:
        n_values = min(rng.randrange(2, 8), len(values))
        # Pools begin with what most shops offer: like products share most of their values.
        window = n_values + rng.randrange((len(values) - n_values) // 2 + 1)
        chosen[name] = [values[at] for at in sorted(rng.sample(range(window), n_values))]
    while _combinations(chosen) > MAX_COMBINATIONS:
        longest = max(chosen.values(), key=len)
        longest.pop(rng.randrange(len(longest)))
    return chosen


def _combinations(options: dict[str, list[str]]) -> int:
    count = 1
    for values in options.values():
        count *= len(values)
    return count


def _pricing(rng: random.Random, kind: Kind) -> str:
    if rng.random() < 0.04:
        return ""
    low, high = kind.price
    dollars = low + int((high - low) * rng.random() * rng.random())  # cheap things are the common ones
    cents = rng.choice(("99", "99", "99", "95", "49", "00"))
    if rng.random() < 0.09:
        return f"${dollars}.{cents} - ${dollars + rng.randrange(2, 5 + dollars // 2)}.99"
    return f"${dollars}.{cents}"


def _title(
    rng: random.Random,
    words: Words,
    plan: _Plan,
    brand: str,
    traits: Sequence[Trait],
    options: dict[str, list[str]],
) -> str:
    """A heading of brand, material and name, a few traits, then marketing up to a drawn length."""
    kind = plan.kind
    noun = kind.names[0] if rng.random() < 0.8 else rng.choice(kind.names)
    material = plan.material.phrase if rng.random() < 0.7 else ""
    noise = rng.sample(words.noise, 2)
    front = [trait.phrase for trait in traits if trait.role == "is"][:1]
    rest = [t.phrase for t in traits if t.role in ("is", "has") and t.phrase not in front]
    head = " ".join(filter(None, [noise[0] if rng.random() < 0.4 else "", *front, material, noun]))
    text = f"{brand} {head}" if rng.random() < 0.85 else f"{head} by {brand}"
    if rest:
        text += rng.choice((", ", " - ", ", ", " | ")) + ", ".join(rest)
    extras = [
        rng.choice([*kind.names[1:], kind.query]),
        "for " + " and ".join(use.phrase for use in plan.uses[: rng.randrange(1, 4)]),
        rng.choice(words.gifts),
        noise[1],
    ]
    if options and rng.random() < 0.6:
        extras.append(f"({rng.choice(rng.choice(list(options.values())))})")
    rng.shuffle(extras)
    limit = rng.randrange(TITLE_WORDS[0] + 2, TITLE_WORDS[1] + 1)
    for extra in extras:
        if len(text.split()) + len(extra.split()) <= limit:
            text += (" " if extra[0] == "(" or extra.startswith("for ") else ", ") + extra
    while len(text.split()) < TITLE_WORDS[0]:
        text += ", " + rng.choice(words.gifts)
    return " ".join(word if word in _SMALL_WORDS else _capital(word) for word in text.split())


def _capital(word: str) -> str:
    at = 1 if word[0] in '("' and len(word) > 1 else 0
    return word[:at] + word[at].upper() + word[at + 1 :]


def _bullets(rng: random.Random, words: Words, plan: _Plan, traits: Sequence[Trait]) -> list[str]:
    """One bullet for each of the traits, which the title lacks, and some that say little."""
    style = rng.choice(words.bullet_heads)
    loud = rng.random() < 0.5
    bullets = []
    for trait in traits:
        head = trait.phrase.upper() if loud else trait.phrase.capitalize()
        bullets.append(style.format(head=head, line=rng.choice(trait.lines)))
    n_plain = max(rng.randrange(1, 3), 3 - len(bullets))
    bullets += [text.format(noun=plan.kind.names[0]) for text in rng.sample(words.plain_bullets, n_plain)]
    rng.shuffle(bullets)
    return bullets


def _description(rng: random.Random, words: Words, plan: _Plan, brand: str) -> str:
    if rng.random() < 0.15:
        return ""
    sentences = [rng.choice(words.openings).format(brand=brand, nouns=plan.kind.query)]
    for trait in rng.sample(plan.features, rng.randrange(0, 3)):
        head = f"{trait.phrase.capitalize()}: " if rng.random() < 0.7 else ""
        sentences.append(head + rng.choice(trait.lines))
    for trait in (plan.material, plan.uses[-1]):
        if rng.random() < 0.5:
            sentences.append(rng.choice(trait.lines))
    sentences.append(rng.choice(words.closings))
    return " ".join(filter(None, sentences))


def _wanted(rng: random.Random, attributes: Sequence[Trait]) -> list[Trait]:
    draw = rng.random()
    count = min(1 if draw < 0.3 else 2 if draw < 0.75 else 3, len(attributes))
    return [attributes[at] for at in sorted(rng.sample(range(len(attributes)), count))]


def _instruction(rng: random.Random, words: Words, kind: Kind, wanted: Sequence[Trait]) -> str:
    """What a shopper would type; the shop itself adds the options and the price limit at the end."""
    draw = rng.random()
    noun = kind.names[0] if draw < 0.6 else rng.choice(kind.names[1:]) if draw < 0.85 else kind.query
    number = kind.number
    if noun == kind.query:
        number = "many" if noun.endswith("s") else "mass"
    by_role: dict[str, list[str]] = {"is": [], "has": [], "made": [], "for": []}
    for trait in wanted:
        by_role[trait.role].append(trait.phrase)
    good, parts, stuff, use = (" and ".join(phrases) for phrases in by_role.values())
    purpose = f"for {use}" if use else ""
    form = rng.random()
    having = f"with {parts}" if parts else ""
    if form < 0.4:  # a mug that is lead free made of porcelain with carry handle for office
        adjectives = ""
        being = f"that {'are' if number == 'many' else 'is'} {good}" if good else ""
        clauses = [being, f"{kind.made} {stuff}" if stuff else "", having, purpose]
    elif form < 0.75 or not (good or parts):  # a lead free porcelain mug with carry handle for office
        adjectives = " ".join(filter(None, [", ".join(by_role["is"]), stuff]))
        clauses = [having, purpose]
    else:  # a porcelain mug for office. it should be lead free and have carry handle
        adjectives = stuff
        demands = " and ".join(filter(None, [f"be {good}" if good else "", f"have {parts}" if parts else ""]))
        clauses = [f"{purpose}. {'they' if number == 'many' else 'it'} should {demands}"]
    thing = " ".join(filter(None, [adjectives, noun]))
    article = {"one": _article(thing), "many": "", "mass": "some"}[number]
    text = " ".join(filter(None, [rng.choice(words.openers), article, thing, *clauses]))
    return text.replace(" .", ".")


def _article(thing: str) -> str:
    return "an" if thing[0] in "aeio" or thing.startswith(("un", "up")) else "a"
