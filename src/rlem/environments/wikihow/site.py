"""What a site of how-to articles holds: articles, authors, categories. Frozen data, JSON-serialisable.

Every article, author and category has a ``slug``: what stands for it in an address
("Repair-a-Canvas-Tent"). Texts with links in them are sequences of :class:`Piece`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of text; a link where ``target`` is the slug of an article."""

    text: str
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One numbered step of a method: a bold ``lead``, text, bullets, the number of a reference (0: none).

    ``plain``: a step without markup; its text then stands in one block without a lead.
    """

    lead: str = ""
    text: tuple[Piece, ...] = ()
    bullets: tuple[tuple[Piece, ...], ...] = ()
    reference: int = 0
    plain: bool = False
    picture: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way to do it (or a part of it): a name and its steps."""

    name: str
    steps: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question of a reader with its answer; ``by`` is who answered ("" unknown), ``role`` their role."""

    question: str
    answer: str
    by: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One how-to article. ``title`` comes without "How to".

    ``category``: slug of a category. ``authors``: up to two slugs; none: the byline reads "Author Info".
    ``coauthored``: the byline reads "Co-authored by", else "Written by". ``badge``: of its row in search
    results. ``approved``: the button behind the byline. ``divided``: what its methods are called.
    ``updated``: a date ("March 4, 2021"); ``ago``: the same from today ("2 years ago").
    """

    slug: str
    title: str
    category: str
    authors: tuple[str, ...] = ()
    coauthored: bool = True
    updated: str
    ago: str
    views: int
    badge: Literal["", "Expert Co-Authored", "Quality Tested"] = ""
    approved: Literal["", "Approved", "Tested"] = ""
    tabbed: bool = False
    subtitle: str = ""
    intro: tuple[Piece, ...] = ()
    divided: Literal["Method", "Part", "Steps"] = "Method"
    methods: tuple[Method, ...] = ()
    questions: tuple[Question, ...] = ()
    related: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    coauthors: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Somebody who writes: a name with credentials ("Ada Hollis, RN"), a job, a short life.

    ``total`` is the number that the page of the author claims; ``articles`` are those that it lists.
    """

    slug: str
    name: str
    job: str
    bio: str
    website: bool = False
    articles: tuple[str, ...] = ()
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A category: ``parent`` is the slug of the one above, "" for one of the top level.

    Chains may be three long. An article names its own category and the one above; what stands above these is
    reached from their pages alone.

    ``featured`` and ``articles`` are slugs in the order of its page; ``topics`` are its sub-categories.
    """

    slug: str
    name: str
    parent: str = ""
    description: tuple[Piece, ...] = ()
    featured: tuple[str, ...] = ()
    articles: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Site:
    """All of it. The order of the three tuples is the order of search ties (by slug)."""

    articles: tuple[Article, ...]
    authors: tuple[Author, ...]
    categories: tuple[Category, ...]
    seed: int = 0

    @cached_property
    def article(self) -> Mapping[str, Article]:
        """Articles by slug."""
        return {article.slug: article for article in self.articles}

    @cached_property
    def author(self) -> Mapping[str, Author]:
        """Authors by slug."""
        return {author.slug: author for author in self.authors}

    @cached_property
    def category(self) -> Mapping[str, Category]:
        """Categories by slug."""
        return {category.slug: category for category in self.categories}


def slug_of(text: str) -> str:
    """What stands for a title or a name in an address: blanks are dashes, commas are dropped.

    >>> slug_of("Ada Hollis, RN"), slug_of("Buy a Boat (for Beginners)")
    ('Ada-Hollis-RN', 'Buy-a-Boat-(for-Beginners)')
    """
    return "-".join(text.replace(",", "").split())
