"""The generated how-to site for any seed and size."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from rlem.environments.wikihow.generate import Wanted, generate
from rlem.environments.wikihow.search import TitleSearch
from rlem.environments.wikihow.site import slug_of
from rlem.environments.wikihow.site_json import site_from_json, site_to_json

seeds = st.integers(min_value=0, max_value=2**63 - 1)
sizes = st.integers(1, 80) | st.just(301)  # from 300 on, a site has scenes
names = st.text("abcXYZ ,'()é-", min_size=1, max_size=12).filter(slug_of)


@settings(max_examples=16)
@given(seed=seeds, size=sizes)
def test_a_site_is_whole(seed: int, size: int) -> None:
    """Slugs and titles are unique, all links lead somewhere, and everything is listed where it belongs."""
    site = generate(seed, size)
    assert site_from_json(site_to_json(site)) == site  # this also resolves every link
    assert len(site.articles) == size
    assert len({article.slug.lower() for article in site.articles}) == size
    for kind in (site.articles, site.authors, site.categories):
        assert [one.slug for one in kind] == sorted({one.slug for one in kind})
    for article in site.articles:
        assert article.slug == slug_of(article.title)
        category = site.category[article.category]
        assert article.slug in category.featured + category.articles
        assert all(article.slug in site.author[slug].articles for slug in article.authors)
        assert article.slug not in article.related
        assert len(set(article.related)) == len(article.related) == min(len(article.related), 8)
        assert len(article.related) >= min(4, size - 1) or size < 12
    for author in site.authors:
        assert 1 <= len(author.articles) <= author.total
        assert all(author.slug in site.article[slug].authors for slug in author.articles)
    for category in site.categories:
        listed = category.featured + category.articles
        assert len(set(listed)) == len(listed) > 0
        assert all(site.category[slug].parent == category.slug for slug in category.topics)
        assert not category.parent or category.slug in site.category[category.parent].topics


@settings(max_examples=8)
@given(seed=seeds, size=st.integers(1, 60))
def test_the_same_seed_gives_the_same_site(seed: int, size: int) -> None:
    """A site is a function of seed and size; another seed gives another site."""
    assert generate(seed, size) == generate(seed, size)
    assert generate(seed, size).articles != generate(seed + 1, size).articles


@settings(max_examples=15)
@given(seed=seeds, size=st.integers(1, 40))
def test_json_text_keeps_a_site(seed: int, size: int) -> None:
    """Through text, nothing is lost."""
    site = generate(seed, size)
    assert site_from_json(json.loads(json.dumps(site_to_json(site)))) == site


@settings(max_examples=40)
@given(
    seed=seeds,
    wishes=st.lists(
        st.builds(
            Wanted,
            title=names,
            authors=st.lists(names, max_size=2, unique_by=slug_of).map(tuple),
            category=st.just("") | names.map("C".__add__),
            parent=st.just("") | names.map("P".__add__),
            references=st.booleans(),
        ),
        max_size=6,
        unique_by=lambda wish: slug_of(wish.title).lower(),
    ),
)
def test_every_wish_is_granted(seed: int, wishes: list[Wanted]) -> None:
    """Wanted titles, authors and references are there exactly, in a category of the wanted address."""
    site = generate(seed, 10, wanted=wishes)
    assert site_from_json(site_to_json(site)) == site
    assert len(site.articles) == 10 + len(wishes)
    for wish in wishes:
        article = site.article[slug_of(wish.title)]
        assert article.title == wish.title
        assert bool(article.references) == wish.references
        assert not wish.authors or article.authors == tuple(map(slug_of, wish.authors))
        assert not wish.category or article.category == slug_of(wish.category)


@settings(max_examples=40)
@given(query=st.text(max_size=60), number=st.integers(-2, 12))
def test_any_search_is_consistent(query: str, number: int) -> None:
    """A page holds at most 30 articles of the site, and all pages together as many as are counted."""
    search = TitleSearch(_SITE)
    page = search.search(query, number)
    assert len(page) <= 30
    assert set(page) <= set(_SITE.article)
    assert sum(len(search.search(query, at)) for at in range(1, 11)) == search.count(query) <= 300


_SITE = generate(seed=0, n_articles=400)
