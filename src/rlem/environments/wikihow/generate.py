"""A site of our own: generated articles, authors and categories for a how-to app.

Every text comes from a seeded grammar over our own words. A site has what makes the real one hard:
look-alike titles that a search cannot tell apart, long pages, missing authors and references, and
categories that no article names (they stand above the two that it shows).
"""

from __future__ import annotations

import datetime
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rlem.core.errors import UsageError
from rlem.core.seeds import generator
from rlem.environments.wikihow import words_people
from rlem.environments.wikihow.generate_text import Writer, described, divided
from rlem.environments.wikihow.generate_titles import Draft, Shelf, capitals, draw_titles, plural
from rlem.environments.wikihow.site import Article, Author, Category, Site, slug_of
from rlem.environments.wikihow.words_topics import TOPICS, Topic

TODAY = datetime.date(2023, 6, 15)
"""The day on which the generated site is looked at."""

LISTED = 118
"""Most articles on a category page, unless more stand in the category itself."""

FEATURED = 14
"""Most of them that are featured: a third, but none or at least four, and at most half."""

_USUAL_SIZE = 300
_KNOWN: Mapping[str, Topic] = {slug_of(topic.name): topic for topic in TOPICS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An article that a site must hold.

    ``authors``: names; () leaves them open. ``category``: name of its category, "" any one (below ``parent``
    if that is given). ``parent``: name of the category above it. ``references``: whether it has some.
    """

    title: str
    authors: tuple[str, ...] = ()
    category: str = ""
    parent: str = ""
    references: bool = True


def generate(seed: int = 0, n_articles: int = 300, *, wanted: Sequence[Wanted] = ()) -> Site:
    """A site of ``n_articles`` generated articles and all the ``wanted`` ones; a function of its arguments.

    Raises:
        UsageError: ``n_articles`` is less than 1, or wanted articles contradict each other.

    >>> site = generate(seed=0, n_articles=20)
    >>> len(site.articles), site == generate(seed=0, n_articles=20)
    (20, True)
    """
    if n_articles < 1:
        raise UsageError(
            f"cannot generate a site of {n_articles} articles; n_articles must be at least 1, e.g. 300"
        )
    wishes = _merged(wanted)
    tree = _Tree(generator(seed, "categories"), n_articles)
    drafts = [_wanted_draft(tree, wish) for wish in wishes.values()]
    tree.check()
    taken = {slug.lower() for slug in wishes}
    drafts += draw_titles(generator(seed, "titles"), n_articles, tree.shelves, taken)
    bylines = _bylines(generator(seed, "authors"), drafts, wishes)
    articles = _articles(seed, drafts, bylines, wishes)
    return Site(
        articles=articles,
        authors=_authors(seed, articles, {slug_of(name): name for names in bylines for name in names}),
        categories=_categories(seed, tree, drafts, wishes, {one.slug: bool(one.badge) for one in articles}),
        seed=seed,
    )


def _merged(wanted: Iterable[Wanted]) -> dict[str, Wanted]:
    """Wishes by slug; wishes for one title add up."""
    merged: dict[str, Wanted] = {}
    for wish in wanted:
        slug = slug_of(wish.title)
        old = merged.get(slug, wish)
        if not slug:
            raise UsageError(f"the wanted title {wish.title!r} has no word; give it one")
        if old.title != wish.title:
            raise UsageError(
                f"wanted titles {old.title!r} and {wish.title!r} have one address; leave one of them out"
            )
        merged[slug] = replace(
            old,
            authors=old.authors or wish.authors,
            category=old.category or wish.category,
            parent=old.parent or wish.parent,
            references=old.references and wish.references,
        )
    return merged


class _Tree:
    """The categories: names and parents by slug, and the shelves that titles are drawn for."""

    def __init__(self, rng: random.Random, n_articles: int) -> None:
        growth = math.sqrt(n_articles / _USUAL_SIZE)
        self.rng = rng
        self.names: dict[str, str] = {}
        self.parents: dict[str, str] = {}
        topics = rng.sample(TOPICS, min(len(TOPICS), max(2, round(growth * 28))))
        for topic in topics:
            self.put(topic.name)
        self.shelves = [Shelf(slug_of(topic.name), topic) for topic in topics]
        things = [(topic, thing) for topic in topics for thing in topic.things]
        for topic, thing in rng.sample(things, min(len(things), round(growth * 4))):
            name = capitals(plural(thing))
            if slug_of(name) not in self.names:  # the third level: what no article shows is the first
                self.put(name, topic.name)
                self.shelves.append(Shelf(slug_of(name), topic, thing))

    def put(self, name: str, parent: str = "") -> str:
        """Makes sure of a category (below ``parent`` if that is named) and gives its slug."""
        slug = slug_of(name)
        known = _KNOWN.get(slug)
        if slug not in self.names and known and not parent:
            parent = known.parent
        self.names[slug] = name
        if parent:
            self.parents[slug] = self.put(parent)
        else:
            self.parents.setdefault(slug, "")
        return slug

    def place(self, wish: Wanted) -> str:
        """The category of a wanted article."""
        if wish.category:
            slug = slug_of(wish.category)
            anywhere = (
                "" if slug in self.names or slug in _KNOWN else self.rng.choice(self.shelves).topic.parent
            )
            return self.put(wish.category, wish.parent or anywhere)
        if not wish.parent:
            return self.rng.choice(self.shelves).slug
        above = self.put(wish.parent)
        return next((slug for slug, parent in self.parents.items() if parent == above), above)

    def above(self, slug: str) -> Iterable[str]:
        """The category and those above it, upwards."""
        while slug:
            yield slug
            slug = self.parents[slug]

    def check(self) -> None:
        """Raises UsageError if a category is above itself, which only wanted ones can be."""
        for slug in self.parents:
            for steps, _ in enumerate(self.above(slug)):
                if steps > len(self.parents):
                    raise UsageError(
                        f"category {self.names[slug]!r} stands above itself; the parents that wanted "
                        "articles name must make a tree"
                    )


def _wanted_draft(tree: _Tree, wish: Wanted) -> Draft:
    do = wish.title[0].lower() + wish.title[1:]
    return Draft(slug=slug_of(wish.title), title=wish.title, category=tree.place(wish), do=do, it="this")


def _bylines(
    rng: random.Random, drafts: Sequence[Draft], wishes: Mapping[str, Wanted]
) -> list[tuple[str, ...]]:
    """Names of the authors of each draft; some authors write more than others."""
    count = max(2, round(28 * math.sqrt(len(drafts) / _USUAL_SIZE)))
    names = {slug_of(name).lower(): name for wish in wishes.values() for name in wish.authors}
    staff: list[str] = []
    while len(staff) < count:
        credential, _ = rng.choice(words_people.CREDENTIALS)
        name = f"{rng.choice(words_people.FIRST_NAMES)} {rng.choice(words_people.LAST_NAMES)}"
        name += f", {credential}" if credential else ""
        if names.setdefault(slug_of(name).lower(), name) == name and name not in staff:
            staff.append(name)
    weights = [1 / (rank + 14) for rank in range(count)]
    bylines = []
    for draft in drafts:
        wish = wishes.get(draft.slug)
        chance = rng.random()
        drawn = dict.fromkeys(
            rng.choices(staff, weights, k=0 if chance < 0.12 else 2 if chance < 0.25 else 1)
        )
        bylines.append((wish and wish.authors) or tuple(drawn))
    return bylines


def _articles(
    seed: int, drafts: Sequence[Draft], bylines: Sequence[tuple[str, ...]], wishes: Mapping[str, Wanted]
) -> tuple[Article, ...]:
    shelves: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        shelves[draft.category].append(draft)
    writer = Writer()
    articles = []
    for draft, names in zip(drafts, bylines, strict=True):
        rng = generator(seed, "article", draft.slug)
        siblings = shelves[draft.category]
        near = rng.sample(siblings, min(len(siblings), 12)) + rng.sample(drafts, min(len(drafts), 9))
        near = list({one.slug: one for one in near if one is not draft}.values())
        wish = wishes.get(draft.slug)
        cited = wish.references if wish else rng.random() < 0.86
        articles.append(_article(writer, rng, draft, names, near, cited=cited))
    return tuple(sorted(articles, key=lambda article: article.slug))


def _article(
    writer: Writer,
    rng: random.Random,
    draft: Draft,
    names: Sequence[str],
    near: Sequence[Draft],
    *,
    cited: bool,
) -> Article:
    age = 3 + int(3600 * rng.random() ** 2)
    day = TODAY - datetime.timedelta(days=age)
    coauthored = rng.random() < 0.7
    references = writer.references(rng, draft) if cited else ()
    methods = writer.methods(rng, draft, near, len(references))
    n_related = min(len(near), rng.randrange(4, 9))
    return Article(
        slug=draft.slug,
        title=draft.title,
        category=draft.category,
        authors=tuple(slug_of(name) for name in names),
        coauthored=coauthored,
        updated=f"{day:%B} {day.day}, {day.year}",
        ago=_ago(age),
        views=int(math.exp(rng.uniform(math.log(900), math.log(4_000_000)))),
        badge="Expert Co-Authored"
        if names and coauthored
        else "Quality Tested"
        if rng.random() < 0.05
        else "",
        approved=rng.choice(("Approved", "Tested")) if rng.random() < 0.25 else "",
        tabbed=rng.random() < 0.1,
        subtitle=writer.subtitle(rng, draft),
        intro=writer.intro(rng, draft, near),
        divided=divided(rng, methods),
        methods=methods,
        questions=writer.questions(rng, draft),
        related=tuple(one.slug for one in near[:n_related]),
        references=references,
        coauthors=len(names) + int(60 * rng.random() ** 2),
    )


def _ago(days: int) -> str:
    """How long ago that is, in words.

    >>> _ago(3), _ago(40), _ago(800)
    ('3 days ago', '1 month ago', '2 years ago')
    """
    for size, unit in ((365, "year"), (30, "month"), (7, "week")):
        if days >= size:
            count = days // size
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return f"{days} day{'s' * (days > 1)} ago"


def _authors(seed: int, articles: Iterable[Article], names: Mapping[str, str]) -> tuple[Author, ...]:
    """All who wrote something. What their page lists is in no order that helps."""
    written: dict[str, list[str]] = defaultdict(list)
    for article in articles:
        for slug in article.authors:
            written[slug].append(article.slug)
    jobs: dict[str, list[str]] = defaultdict(list)
    for credential, job in words_people.CREDENTIALS:
        jobs[credential].append(job)
    authors = []
    for slug, theirs in sorted(written.items()):
        rng = generator(seed, "author", slug)
        rng.shuffle(theirs)
        name, _, credential = names[slug].partition(", ")
        job = rng.choice(jobs.get(credential) or jobs[""])
        bio = rng.choice(words_people.BIOS).format(
            name=name,
            first=name.split()[0],
            job=job.lower(),
            place=rng.choice(words_people.PLACES),
            years=rng.randrange(3, 31),
        )
        authors.append(
            Author(
                slug=slug,
                name=names[slug],
                job=job,
                bio=bio,
                website=rng.random() < 0.5,
                articles=tuple(theirs),
                total=len(theirs) + int(800 * rng.random() ** 3),
            )
        )
    return tuple(authors)


def _categories(
    seed: int, tree: _Tree, drafts: Sequence[Draft], wishes: Mapping[str, Wanted], experts: Mapping[str, bool]
) -> tuple[Category, ...]:
    """All categories that hold an article, themselves or below; they feature what experts (co-)wrote."""
    own: dict[str, list[Draft]] = defaultdict(list)
    below: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        first, *others = tree.above(draft.category)
        own[first].append(draft)
        for slug in others:
            below[slug].append(draft)
    used = sorted({*own, *below})
    categories = []
    for slug in used:
        rng = generator(seed, "category", slug)
        rng.shuffle(below[slug])
        below[slug].sort(key=lambda draft: draft.slug not in wishes)
        listed = own[slug] + below[slug][: max(0, LISTED - len(own[slug]))]
        rng.shuffle(listed)
        n_featured = min(FEATURED, max(4, len(listed) // 3)) if len(listed) >= 8 else 0
        by_expert = sorted(listed, key=lambda draft: not experts[draft.slug] and rng.random() < 0.5)
        featured = [draft.slug for draft in by_expert[:n_featured]]
        categories.append(
            Category(
                slug=slug,
                name=tree.names[slug],
                parent=tree.parents[slug],
                description=described(rng, tree.names[slug], listed, top=not tree.parents[slug]),
                featured=tuple(featured),
                articles=tuple(draft.slug for draft in listed if draft.slug not in featured),
                topics=tuple(other for other in used if tree.parents[other] == slug),
            )
        )
    return tuple(categories)
