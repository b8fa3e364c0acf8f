"""The generated how-to site: what makes it hard, what it must hold, its JSON form."""

from __future__ import annotations

import copy
import datetime
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from rlem.core.errors import DataError, UsageError
from rlem.environments.wikihow.generate import FEATURED, LISTED, TODAY, Wanted, generate
from rlem.environments.wikihow.generate_titles import capitals, plural
from rlem.environments.wikihow.nodes import Page
from rlem.environments.wikihow.screen import VIEWPORT, Bar, Screen
from rlem.environments.wikihow.search import TitleSearch
from rlem.environments.wikihow.sheet import make_sheet
from rlem.environments.wikihow.site import Article, Site, slug_of
from rlem.environments.wikihow.site_json import site_from_json, site_to_json
from rlem.environments.wikihow.words_topics import TOPICS

SEEDS = range(4)


@pytest.fixture(scope="module", params=SEEDS)
def site(request: pytest.FixtureRequest) -> Site:
    """The default site of some seeds."""
    return generate(seed=request.param)


def typed(title: str) -> str:
    """A title as an agent types it: lower-case word pieces, punctuation apart, accents gone."""
    plain = "".join(char for char in unicodedata.normalize("NFD", title) if not unicodedata.combining(char))
    return " ".join(re.findall(r"\w+|[^\w\s]", plain.lower()))


def depth(site: Site, slug: str) -> int:
    """1 for a top category."""
    above = site.category[slug].parent
    return 1 + depth(site, above) if above else 1


def texts(article: Article) -> Iterator[str]:
    """All texts of an article that are a block of their own."""
    yield from (article.title, article.subtitle, "".join(piece.text for piece in article.intro))
    for method in article.methods:
        yield method.name
        for step in method.steps:
            yield step.lead
            yield from ("".join(piece.text for piece in block) for block in (step.text, *step.bullets))
    for question in article.questions:
        yield from (question.question, question.answer, question.by, question.role)


def test_default_size(site: Site) -> None:
    """300 articles by 28 authors, in some 17 top and 28 sub-categories, and some below these."""
    assert len(site.articles) == 300
    assert 26 <= len(site.authors) <= 28
    levels = [depth(site, category.slug) for category in site.categories]
    assert 14 <= levels.count(1) <= 20
    assert levels.count(2) == 28
    assert 3 <= levels.count(3) <= 4


def test_growth_is_slow() -> None:
    """Ten times the articles have three times the authors and twice the categories."""
    large = generate(seed=0, n_articles=3000)
    assert len({article.slug for article in large.articles}) == 3000
    assert 80 <= len(large.authors) <= 90
    assert 85 <= len(large.categories) <= 100


def test_hard_titles(site: Site) -> None:
    """About 8 % of the titles hold parentheses, an apostrophe or an accented letter; each occurs."""
    hard = [article.title for article in site.articles if re.search(r"[()']|[^\x00-\x7f]", article.title)]
    assert 0.04 <= len(hard) / len(site.articles) <= 0.13
    assert any("(" in title for title in hard)
    assert any("'" in title for title in hard)
    assert any(not title.isascii() for title in hard)


def test_a_search_shows_look_alikes_and_not_always_the_target_first(site: Site) -> None:
    """Searching a title mostly fills the screen; 4-15 % are not first, some far down, none is lost."""
    search = TitleSearch(site)
    ranks, full = [], 0
    for article in site.articles:
        found = search.search(typed(article.title))
        assert article.slug in found
        ranks.append(1 + found.index(article.slug))
        full += len(found) >= 8
    assert full / len(ranks) >= 0.8
    assert 0.04 <= sum(rank > 1 for rank in ranks) / len(ranks) <= 0.15
    assert sum(rank > 7 for rank in ranks) >= 4


def test_bylines(site: Site) -> None:
    """Some articles have no author, some have two, some have no references; who has a badge has an author."""
    count = len(site.articles)
    assert 0.06 <= sum(not article.authors for article in site.articles) / count <= 0.18
    assert 0.06 <= sum(len(article.authors) == 2 for article in site.articles) / count <= 0.2
    assert 0.07 <= sum(not article.references for article in site.articles) / count <= 0.22
    badges = [article.badge for article in site.articles]
    assert 0.54 <= badges.count("Expert Co-Authored") / count <= 0.67
    assert 0.005 <= badges.count("Quality Tested") / count <= 0.04
    assert all(a.authors for a in site.articles if a.badge == "Expert Co-Authored")
    assert any("," in author.name for author in site.authors)


def test_targets_below_several_scrolls(site: Site) -> None:
    """Some authors list many articles (three or four fit a screen), some categories many rows of two."""
    assert sorted(len(author.articles) for author in site.authors)[-5] >= 12
    sizes = sorted(len(c.featured) + len(c.articles) for c in site.categories if c.parent)
    assert sizes[-2] >= 16


def test_pages_are_full(site: Site) -> None:
    """Nearly all categories fill a screen and more, as nearly all authors do; a few articles are featured or
    none, and mostly what experts wrote; a description links three articles of the category (a top one four).
    """
    sizes = [len(c.featured) + len(c.articles) for c in site.categories]
    assert sum(size >= 8 for size in sizes) / len(sizes) >= 0.95
    assert sum(len(author.articles) >= 4 for author in site.authors) / len(site.authors) >= 0.9
    assert all(not c.featured or 4 <= len(c.featured) <= FEATURED for c in site.categories)
    featured = [site.article[slug] for c in site.categories for slug in c.featured]
    assert sum(one.badge == "Expert Co-Authored" for one in featured) / len(featured) >= 0.65
    for c in site.categories:
        links = [piece.target for piece in c.description if piece.target]
        assert len(set(links)) == len(links) == (3 if c.parent else 4)
        assert set(links) <= {*c.featured, *c.articles}


def test_categories_that_no_article_names(site: Site) -> None:
    """Articles of the third level show two categories of a chain of three."""
    deep = [article for article in site.articles if depth(site, article.category) == 3]
    assert len(deep) >= 10


def test_titles_that_begin_others(site: Site) -> None:
    """Prefix patterns of task files must meet titles that are longer by a qualifier."""
    slugs = [article.slug for article in site.articles]
    assert sum(other.startswith(slug + "-") for slug in slugs for other in slugs) >= 15


def test_articles_are_long(site: Site) -> None:
    """One to four methods of two to seven steps, some plain, some with bullets, links and references."""
    steps = [step for article in site.articles for method in article.methods for step in method.steps]
    assert {len(article.methods) for article in site.articles} == {1, 2, 3, 4}
    assert all(2 <= len(method.steps) <= 7 for article in site.articles for method in article.methods)
    assert 9 <= len(steps) / len(site.articles) <= 15
    assert 0.02 <= sum(step.plain for step in steps) / len(steps) <= 0.12
    assert 0.08 <= sum(any(piece.target for piece in step.text) for step in steps) / len(steps) <= 0.25
    assert 0.3 <= sum(bool(step.bullets) for step in steps) / len(steps) <= 0.6
    assert all((article.divided == "Steps") == (len(article.methods) == 1) for article in site.articles)
    assert all(
        step.reference <= len(a.references) for a in site.articles for m in a.methods for step in m.steps
    )


def test_texts_are_clean(site: Site) -> None:
    """No text is left with a template's braces, double blanks or blanks at its ends."""
    blocks = [text for article in site.articles for text in texts(article)]
    blocks += [text for author in site.authors for text in (author.name, author.job, author.bio)]
    blocks += ["".join(piece.text for piece in category.description) for category in site.categories]
    assert [text for text in blocks if re.search(r"[{}~]|  |^ | $|\ba [aeio]", text)] == []


def test_no_vulgar_words(site: Site) -> None:
    """A site that is shown in demos has no word to be ashamed of."""
    vulgar = re.compile(
        r"\b(sex|sexy|porn|nude|naked|kill|suicide|drug|drunk|damn|hell|crap|idiot|stupid|bomb|gun)s?\b", re.I
    )
    assert [text for article in site.articles for text in texts(article) if vulgar.search(text)] == []
    vocabulary = " ".join(" ".join((*t.verbs, *t.things, *t.adjectives)) for t in TOPICS)
    assert vulgar.search(vocabulary) is None


def test_dates_count_from_a_fixed_day(site: Site) -> None:
    """No article is newer than the fixed today, and "2 years ago" says the same as the date."""
    for article in site.articles:
        day = datetime.datetime.strptime(article.updated, "%B %d, %Y").date()
        days = (TODAY - day).days
        count, unit, _ = article.ago.split()
        size = {"day": 1, "week": 7, "month": 30, "year": 365}[unit.rstrip("s")]
        assert days > 0
        assert int(count) == days // size


def test_references_are_invented(site: Site) -> None:
    """Reference addresses are below example.org, which nobody owns."""
    addresses = {address for article in site.articles for address in article.references}
    assert all(re.fullmatch(r"https://www\.[a-z-]+\.example\.org/[a-z-]+/[\w-]+", one) for one in addresses)


def test_vocabulary_has_one_name_a_category() -> None:
    """No name of the vocabulary stands for two categories."""
    names = [slug_of(topic.name) for topic in TOPICS] + [slug_of(top) for top in {t.parent for t in TOPICS}]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("phrase", "title"),
    [
        ("repair a tent (for beginners)", "Repair a Tent (for Beginners)"),
        ("the easy way", "The Easy Way"),
        ("eat at a café", "Eat at a Café"),
        ("go on a trip (the easy way)", "Go on a Trip (the Easy Way)"),
    ],
)
def test_capitals(phrase: str, title: str) -> None:
    """Small words stay small but at the beginning."""
    assert capitals(phrase) == title


def test_plural() -> None:
    """Mass nouns and words that are their own plural stay."""
    assert [plural(one) for one in ("lemonade~", "goldfish", "tax", "day", "scarf")] == [
        "lemonade", "goldfish", "taxes", "days", "scarves",
    ]  # fmt: skip


def test_wanted_articles_are_there_as_wished() -> None:
    """A wanted article has the title, authors, category, parent and references of the wish."""
    wish = Wanted(
        title="Greet a Gnome (in O'Hare, at Night)",
        authors=("Zora Quill, PhD, MA",),
        category="Gnomes",
        parent="Garden Folk",
        references=False,
    )
    site = generate(seed=1, n_articles=30, wanted=[wish, Wanted(title="Count Clouds", parent="Garden Folk")])
    assert len(site.articles) == 32
    article = site.article["Greet-a-Gnome-(in-O'Hare-at-Night)"]
    assert article.title == wish.title
    assert [site.author[slug].name for slug in article.authors] == ["Zora Quill, PhD, MA"]
    assert article.slug in site.author["Zora-Quill-PhD-MA"].articles
    category = site.category[article.category]
    assert (category.name, site.category[category.parent].name) == ("Gnomes", "Garden Folk")
    assert article.slug in category.featured + category.articles
    assert article.references == ()
    other = site.article["Count-Clouds"]
    assert other.category == "Gnomes"
    assert other.references


def test_a_wish_for_what_the_grammar_makes_is_not_doubled() -> None:
    """Titles, authors and categories of the generated site can be wanted by name."""
    plain = generate(seed=5, n_articles=60)
    article = next(one for one in plain.articles if one.authors)
    category = plain.category[article.category]
    author = plain.author[article.authors[0]]
    wish = Wanted(title=article.title, authors=(author.name,), category=category.name)
    site = generate(seed=5, n_articles=60, wanted=[wish])
    assert [one.title.lower() for one in site.articles].count(article.title.lower()) == 1
    assert [one.name for one in site.authors].count(author.name) == 1
    assert [one.name for one in site.categories].count(category.name) == 1
    assert len(site.articles) == 61
    assert site.category[category.slug].parent == category.parent


def test_a_wanted_known_category_keeps_its_place() -> None:
    """A category of the vocabulary that a small site lacks comes with its usual parent."""
    site = generate(
        seed=0, n_articles=1, wanted=[Wanted(title=f"Do {t.name}", category=t.name) for t in TOPICS]
    )
    assert {
        c.name: site.category[c.parent].name for c in site.categories if c.name in {t.name for t in TOPICS}
    } == {topic.name: topic.parent for topic in TOPICS}


def test_wishes_for_one_title_add_up() -> None:
    """Two task files may want one article, one for its author and one for its category."""
    wishes = [Wanted(title="Whistle", authors=("Ed Lark",)), Wanted(title="Whistle", category="Birdsong")]
    site = generate(seed=0, n_articles=3, wanted=wishes)
    assert len(site.articles) == 4
    assert (site.article["Whistle"].authors, site.article["Whistle"].category) == (("Ed-Lark",), "Birdsong")


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ([Wanted(title="Sing, Then Dance"), Wanted(title="Sing Then Dance")], "one address"),
        ([Wanted(title=" ")], "no word"),
        (
            [Wanted(title="A", category="X", parent="Y"), Wanted(title="B", category="Y", parent="X")],
            "a tree",
        ),
    ],
)
def test_wishes_that_contradict_each_other(wishes: list[Wanted], message: str) -> None:
    """The message says which wish cannot be."""
    with pytest.raises(UsageError, match=message):
        generate(seed=0, n_articles=2, wanted=wishes)


def test_too_few_articles() -> None:
    """A site has at least one article."""
    with pytest.raises(UsageError, match="at least 1"):
        generate(seed=0, n_articles=0)


def test_wanted_articles_are_listed_however_large_their_category() -> None:
    """A top category lists so many articles only, but always the wanted ones below it."""
    plain = generate(seed=0, n_articles=1500)
    top = next(c for c in plain.categories if not c.parent and len(c.featured + c.articles) == LISTED)
    wish = Wanted(title="Fold a Map", category=plain.category[top.topics[0]].name)
    full = generate(seed=0, n_articles=1500, wanted=[wish]).category[top.slug]
    assert len(full.featured + full.articles) == LISTED
    assert "Fold-a-Map" in full.featured + full.articles


def test_json_round_trip() -> None:
    """A site comes back equal from JSON text, and its texts stay readable there."""
    site = generate(seed=2, n_articles=80)
    assert site_from_json(json.loads(json.dumps(site_to_json(site)))) == site


def _break(data: dict[str, Any], case: str) -> None:
    article = data["articles"][0]
    match case:
        case "type":
            article["views"] = "many"
        case "truth":
            article["views"] = True
        case "missing":
            del article["title"]
        case "unknown":
            article["colour"] = "red"
        case "choice":
            article["badge"] = "Best"
        case "nested":
            article["methods"][0]["steps"][1]["text"] = "Begin."
        case "object":
            data["authors"][0] = "Ada"
        case "twice":
            data["articles"][1] = article
        case "dangling article":
            article["related"] = ["Nowhere"]
        case "dangling author":
            article["authors"] = ["Nobody"]
        case "dangling category":
            data["categories"][0]["parent"] = "None"
        case "dangling link":
            article["intro"] = [{"text": "x", "target": "Gone"}]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("type", r"articles\[0\]\.views is 'many'.*int"),
        ("truth", r"articles\[0\]\.views"),
        ("missing", r"articles\[0\]: field 'title' is missing"),
        ("unknown", r"articles\[0\]: unknown field 'colour'"),
        ("choice", r"articles\[0\]\.badge is 'Best'.*Quality Tested"),
        ("nested", r"articles\[0\]\.methods\[0\]\.steps\[1\]\.text"),
        ("object", r"authors\[0\].*object"),
        ("twice", r"articles\[1\]\.slug .* twice"),
        ("dangling article", "related names the article 'Nowhere'"),
        ("dangling author", "authors names the author 'Nobody'"),
        ("dangling category", "parent names the category 'None'"),
        ("dangling link", "target names the article 'Gone'"),
    ],
)
def test_broken_json(case: str, message: str) -> None:
    """What is wrong is refused with the field that is wrong."""
    data = copy.deepcopy(site_to_json(generate(seed=0, n_articles=5)))
    _break(data, case)
    with pytest.raises(DataError, match=message):
        site_from_json(data)


@pytest.mark.parametrize("data", [None, [], "site", {}])
def test_json_of_something_else(data: object) -> None:
    """Other JSON values are refused, too."""
    with pytest.raises(DataError, match="site"):
        site_from_json(data)


SCROLL = 1296
RUN_DEPENDENT = ("header container", "header top watch", "siteNotice", "author social")
"""Empty boxes that one of the two recorded runs shows and the other does not, nor do we."""


def shown(site: Site) -> Iterator[tuple[str, int]]:
    """(type of page, leaves) of all categories and authors and every fifth article, each also scrolled as far
    as the page goes on; not its very end, which no recorded category shows."""
    search = TitleSearch(site)
    pages = [("cat", "cat_scrolled", Page("category", one.slug)) for one in site.categories]
    pages += [("author", "author", Page("author", one.slug)) for one in site.authors]
    pages += [("article_top", "article_mid", Page("article", one.slug)) for one in site.articles[::5]]
    pages += [("about", "", Page("about")), ("home", "", Page("home"))]
    for first, scrolled, page in pages:
        bar = Bar("logo" if first == "home" else "icon", menu=page.kind == "article")
        sheet = make_sheet(site, page)
        yield first, len(Screen(sheet, 0, bar).leaves)
        for y in range(SCROLL, sheet.height - VIEWPORT + 1, SCROLL) if scrolled else ():
            yield scrolled, len(Screen(sheet, y, bar).leaves)
    for article in site.articles[::5]:
        query = typed(article.title)
        sheet = make_sheet(site, Page("search", query), search.search(query), search.count(query))
        yield "search", len(Screen(sheet, 0, Bar("field", query)).leaves)


def test_leaves_per_page_type_agree_with_the_recorded(golden: Callable[[str], Path]) -> None:
    """Over five sites and for each type of page, the mean number of leaves on a screen is within 15 % of the
    recorded mean, and 90 % of the screens are in the recorded range widened by 4 leaves on either side."""
    recorded = json.loads(golden("wikihow/screens_by_type.json").read_text("utf-8"))
    ours = defaultdict(list)
    for seed in range(5):
        for kind, count in shown(generate(seed=seed)):
            ours[kind].append(count)
    assert sorted(ours) == [
        "about", "article_mid", "article_top", "author", "cat", "cat_scrolled", "home", "search"
    ]  # fmt: skip
    for kind, counts in ours.items():
        real = [
            sum(not any(css in line for css in RUN_DEPENDENT) for line in screen.splitlines())
            for screen in recorded[kind]
        ]
        assert mean(counts) == pytest.approx(mean(real), rel=0.15), kind
        inside = [min(real) - 4 <= count <= max(real) + 4 for count in counts]
        assert mean(inside) >= 0.9, kind
