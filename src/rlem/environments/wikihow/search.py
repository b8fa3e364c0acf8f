"""Search over the titles of a site, as the original's proxy does it: BM25, 30 results a page, at most 300.

The index is the shop's (k1 = 0.9, b = 0.4, Porter stems, Lucene's stop words); ties go by slug.
"""

from __future__ import annotations

from functools import lru_cache

from rlem.environments.webshop.search import SearchIndex
from rlem.environments.wikihow.site import Site

PER_PAGE = 30
"""Results on one page."""

MOST_HITS = 300
"""More are not shown, however many titles match."""


class TitleSearch:
    """Search of one site. Immutable, so threads share one.

    >>> from rlem.environments.wikihow.generate import generate
    >>> site = generate(seed=0, n_articles=40)
    >>> site.articles[3].slug in TitleSearch(site).search(site.articles[3].title.lower())
    True
    """

    def __init__(self, site: Site) -> None:
        self._index = SearchIndex((article.slug, article.title) for article in site.articles)
        self._hits = lru_cache(maxsize=256)(self._find)  # a page and its count are asked one after the other

    def search(self, query: str, number: int = 1) -> tuple[str, ...]:
        """Slugs on a page of results (``number`` from 1), best first; () beyond the last page."""
        first = PER_PAGE * (number - 1)
        return self._hits(query)[first : first + PER_PAGE] if number > 0 else ()

    def count(self, query: str) -> int:
        """Number of results on all pages, at most 300."""
        return len(self._hits(query))

    def _find(self, query: str) -> tuple[str, ...]:
        return self._index.search(query, MOST_HITS)
