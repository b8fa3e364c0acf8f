"""A site as JSON-able data and back. The fields are those of the dataclasses; defaults are left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from rlem.core.errors import DataError
from rlem.environments.wikihow.site import Article, Author, Category, Piece, Site

_Record = TypeVar("_Record", Article, Author, Category)


def site_to_json(site: Site) -> dict[str, Any]:
    """The site as dictionaries, lists, texts and numbers.

    >>> site_to_json(Site(articles=(), authors=(), categories=(), seed=3))
    {'articles': [], 'authors': [], 'categories': [], 'seed': 3}
    """
    return {field.name: _encode(getattr(site, field.name)) for field in fields(site)}


def site_from_json(data: object) -> Site:
    """The site that :func:`site_to_json` gave this data for.

    Raises:
        DataError: a field is missing, unknown or of the wrong type, a slug stands twice or links to nothing.
            The message names the field.
    """
    site: Site = _decode(Site, data, "site")
    _check(site)
    return site


def read_site(path: Path) -> Site:
    """The site of a file. Errors: DataError names the file and what is wrong with it."""
    try:
        return site_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, DataError) as error:
        raise DataError(f"{path}: cannot be read as a site: {error}") from error


def _encode(value: Any) -> Any:
    if is_dataclass(value):
        pairs = ((field, getattr(value, field.name)) for field in fields(value))
        return {field.name: _encode(item) for field, item in pairs if item != field.default}
    return [_encode(item) for item in value] if isinstance(value, tuple) else value


@lru_cache
def _fields(kind: type) -> Mapping[str, tuple[Any, bool]]:
    """Type of each field, and whether it must be there."""
    hints = get_type_hints(kind)
    return {field.name: (hints[field.name], not _optional(field.default)) for field in fields(kind)}


def _optional(default: object) -> bool:
    return isinstance(default, (str, int, tuple))  # all defaults are; "missing" is none of these


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        return _decode_record(kind, value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _broken(where, value, "a list")
        return tuple(_decode(get_args(kind)[0], item, f"{where}[{at}]") for at, item in enumerate(value))
    if origin is Literal:
        if value not in get_args(kind):
            raise _broken(where, value, f"one of {', '.join(map(repr, get_args(kind)))}")
    elif type(value) is not kind:
        raise _broken(where, value, f"of type {kind.__name__}")
    return value


def _decode_record(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _broken(where, value, "an object")
    known = _fields(kind)
    for name in value:
        if name not in known:
            raise DataError(f"{where}: unknown field {name!r}; known are {', '.join(known)}")
    for name, (_, required) in known.items():
        if required and name not in value:
            raise DataError(f"{where}: field {name!r} is missing; write it with site_to_json")
    return kind(**{name: _decode(known[name][0], item, f"{where}.{name}") for name, item in value.items()})


def _broken(where: str, value: object, allowed: str) -> DataError:
    return DataError(f"{where} is {str(value)[:60]!r}, it must be {allowed}; write it with site_to_json")


def _by_slug(where: str, records: Iterable[_Record]) -> dict[str, _Record]:
    found: dict[str, _Record] = {}
    for at, record in enumerate(records):
        if found.setdefault(record.slug, record) is not record:
            raise DataError(f"{where}[{at}].slug {record.slug!r} stands twice; slugs must be unique")
    return found


def _check(site: Site) -> None:
    """Unique slugs; every link leads somewhere."""
    articles = _by_slug("site.articles", site.articles)
    authors = _by_slug("site.authors", site.authors)
    categories = _by_slug("site.categories", site.categories)
    targets: Mapping[str, Mapping[str, object]] = {
        "article": articles,
        "author": authors,
        "category": {**categories, "": None},
    }
    for where, kind, slug in _links(site):
        if slug not in targets[kind]:
            raise DataError(f"{where} names the {kind} {slug!r}, which the site does not have; add it")


def _links(site: Site) -> Iterator[tuple[str, str, str]]:
    """(field, kind of target, slug) of all links of a site."""
    for article in site.articles:
        where = f"article {article.slug!r}"
        yield f"{where}: category", "category", article.category
        yield from ((f"{where}: authors", "author", slug) for slug in article.authors)
        yield from ((f"{where}: related", "article", slug) for slug in article.related)
        texts = [article.intro]
        for method in article.methods:
            for step in method.steps:
                texts += [step.text, *step.bullets]
        yield from _targets(f"{where}: target", texts)
    for author in site.authors:
        yield from ((f"author {author.slug!r}: articles", "article", slug) for slug in author.articles)
    for category in site.categories:
        where = f"category {category.slug!r}"
        yield f"{where}: parent", "category", category.parent
        yield from ((f"{where}: topics", "category", slug) for slug in category.topics)
        listed = (*category.featured, *category.articles)
        yield from ((f"{where}: featured, articles", "article", slug) for slug in listed)
        yield from _targets(f"{where}: description", [category.description])


def _targets(where: str, texts: Iterable[tuple[Piece, ...]]) -> Iterator[tuple[str, str, str]]:
    return ((where, "article", piece.target) for text in texts for piece in text if piece.target)
