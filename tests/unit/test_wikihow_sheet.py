"""Pages laid out: what stands on them, in which order, what a tap on it does, how high it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlem.environments.wikihow.html import Leaf
from rlem.environments.wikihow.nodes import Effect, Go, Jump, Node, Page, Press
from rlem.environments.wikihow.sheet import VIEWPORT, Sheet, make_sheet
from rlem.environments.wikihow.site import (
    Article,
    Author,
    Category,
    Instruction,
    Method,
    Piece,
    Question,
    Site,
)

STEPS = (
    Instruction(
        lead="Soak it.",
        text=(Piece(text=" Use "), Piece(text="clean water", target="Boil-Water"), Piece(text=".")),
        bullets=((Piece(text="Rain will do."),),),
        reference=2,
    ),
    Instruction(text=(Piece(text="Let it dry."),), plain=True, picture=False),
)
WASH = Article(
    slug="Wash-a-Kite-(in-Winter)",
    title="Wash a Kite (in Winter)",
    category="Kites",
    authors=("Ada-Hollis-RN", "Bo-Reed"),
    updated="March 4, 2021",
    ago="2 years ago",
    views=12345,
    badge="Expert Co-Authored",
    approved="Approved",
    tabbed=True,
    subtitle="Slowly, and by hand",
    intro=(Piece(text="Snow is wet."),),
    methods=(Method(name="By Hand", steps=STEPS), Method(name="By Foot", steps=STEPS)),
    questions=(
        Question(question="Is it cold?", answer="A little."),
        Question(question="Why?", answer="Because.", by="Cy Lunt", role="Expert Answer"),
    ),
    related=("Boil-Water",),
    references=("https://one.example", "https://two.example"),
    coauthors=3,
)
BOIL = Article(
    slug="Boil-Water",
    title="Boil Water",
    category="Outdoors",
    updated="May 1, 2022",
    ago="3 weeks ago",
    views=9,
    divided="Steps",
    methods=(Method(name="", steps=STEPS),),
)
SITE = Site(
    articles=(BOIL, WASH),
    authors=(
        Author(
            slug="Ada-Hollis-RN",
            name="Ada Hollis, RN",
            job="Nurse",
            bio="Ada mends.",
            website=True,
            articles=("Wash-a-Kite-(in-Winter)",),
            total=7,
        ),
        Author(slug="Bo-Reed", name="Bo Reed", job="Baker", bio="Bo bakes."),
    ),
    categories=(
        Category(
            slug="Kites",
            name="Kites",
            parent="Outdoors",
            description=(Piece(text="All about "), Piece(text="water", target="Boil-Water")),
            articles=("Wash-a-Kite-(in-Winter)", "Boil-Water", "Boil-Water"),
        ),
        Category(slug="Outdoors", name="Outdoors", featured=("Boil-Water",), topics=("Kites",)),
    ),
)
OUTDOORS, KITES = Go(Page("category", "Outdoors")), Go(Page("category", "Kites"))
WATER, ABOUT = Go(Page("article", "Boil-Water")), Go(Page("about"))
ADA = Go(Page("author", "Ada-Hollis-RN"))


def words(sheet: Sheet) -> list[str]:
    """What is read on a page: text, alternative text, or the class in brackets."""
    return [leaf.text or leaf.alt or f"[{leaf.class_words}]" for leaf in sheet.leaves]


def effects(sheet: Sheet) -> list[tuple[Leaf, Effect | None]]:
    """Each leaf with what its node does, or the nearest one above it."""
    found: dict[int, Effect | None] = {}

    def look(node: Node, above: Effect | None) -> None:
        found[id(node)] = node.effect or above
        for child in node.children:
            look(child, node.effect or above)

    look(sheet.root, None)
    return [(leaf, found[id(leaf.node)]) for leaf in sheet.leaves]


def effect_of(sheet: Sheet, text: str) -> Effect | None:
    """What the first leaf with a text does."""
    return next(effect for leaf, effect in effects(sheet) if text in (leaf.text, leaf.alt))


def test_an_article_shows_its_parts_in_the_order_of_the_original() -> None:
    """From the line about trust to the buttons at the end, each part once, pictures counted through."""
    said = words(make_sheet(SITE, Page("article", WASH.slug)))
    picture = "v4-460px-Wash-a-Kite-%28in-Winter%29-Step-{}.jpg"
    step = ["1", "Soak it.", " Use ", "clean water", ".", "Link to Reference 2", "• ", "Rain will do."]
    assert said == [
        *("Learn why people ", "trust wikiHow", "OUTDOORS", " »", "KITES", "How to Wash a Kite (in Winter)"),
        *("Slowly, and by hand", "Co-authored by", " ", "Ada Hollis, RN", " and ", "Bo Reed"),
        *("Last Updated: March 4, 2021", "References", " ", "Approved", "ARTICLE", "[mobile tab line]"),
        "Snow is wet.",
        *("Method 1 Method 1 of 2: By Hand", picture.format(1), *step, "2", "Let it dry."),
        *("Method 2 Method 2 of 2: By Foot", picture.format(3), *step, "2", "Let it dry."),
        *("[Questions and Answers sub anchor]", "Community Q&A"),
        *("Question", "Is it cold?", "-crop-104-104-104px-CommunityAvatar3", "Community Answer", "A little."),
        *("Question", "Why?", "[]", "-crop-199-199-199px-Cy-Lunt", "Cy Lunt", "Expert Answer", "Because."),
        *("Boil Water", "How to", "Boil Water"),
        *("References", "1. ", "https://one.example", "2. ", "https://two.example"),
        *("About This Article", "[social proof anchor]"),
        *("This article was co-authored by ", "Ada Hollis, RN", ". Ada mends.", "Co-authors: 3"),
        *("Updated: March 4, 2021", "Views: 12,345", "Categories: ", "Kites", "In other languages"),
        *("Privacy Settings", "Do Not Sell My Info", "Did this article help you?", "Yes", "No", "\n", "\n"),
    ]


def test_what_an_article_lacks_is_left_out() -> None:
    """No author: "Author Info"; no parent category: "CATEGORIES"; no references: no link, no list."""
    sheet = make_sheet(SITE, Page("article", BOIL.slug))
    said = words(sheet)
    assert said[2:8] == [
        *("CATEGORIES", " »", "OUTDOORS", "How to Boil Water"),
        *("Author Info", "Last Updated: May 1, 2022"),
    ]
    assert "Steps" in said
    assert not {"References", "Community Q&A", "This article was written by "} & set(said)
    assert effect_of(sheet, "CATEGORIES") is None
    assert effect_of(sheet, "OUTDOORS") == OUTDOORS


def test_taps_on_an_article_open_what_they_name() -> None:
    """Links lead to their pages, "References" to the list; titles, pictures and notes do nothing."""
    sheet = make_sheet(SITE, Page("article", WASH.slug))
    assert {leaf.text or leaf.alt: effect for leaf, effect in effects(sheet) if effect} == {
        "Learn why people ": ABOUT,
        "trust wikiHow": ABOUT,
        "OUTDOORS": OUTDOORS,
        "KITES": KITES,
        "Ada Hollis, RN": ADA,
        "Bo Reed": Go(Page("author", "Bo-Reed")),
        "References": Jump("References"),
        "clean water": WATER,
        "Boil Water": WATER,
        "How to": WATER,
        "Kites": KITES,
    }


def test_the_anchor_of_the_references_is_where_their_list_begins() -> None:
    """A jump puts the heading at the top of what is shown."""
    sheet = make_sheet(SITE, Page("article", WASH.slug))
    heading = [leaf for leaf in sheet.leaves if leaf.text == "References"][1]
    assert heading.bounds[1] == sheet.anchors["References"]
    assert not heading.clickable


def test_only_links_and_buttons_of_an_article_are_clickable() -> None:
    """As in the recorded screens; even a link that leads nowhere says that it can be tapped."""
    leaves = make_sheet(SITE, Page("article", WASH.slug)).leaves
    clickable = {leaf.text or leaf.class_words for leaf in leaves if leaf.clickable}
    assert {
        "How to Wash a Kite (in Winter)",
        "ARTICLE",
        "Link to Reference 2",
        "In other languages",
    } <= clickable
    assert {"social proof anchor", "Questions and Answers sub anchor", "Yes", "No"} <= clickable
    assert (
        not {" »", "Co-authored by", " ", " and ", "Snow is wet.", "1", "Question", "Categories: "}
        & clickable
    )


@pytest.mark.parametrize(("slug", "above"), [("Kites", OUTDOORS), ("Outdoors", Go(Page("categories")))])
def test_the_arrow_of_a_category_and_the_empty_box_behind_it_lead_up(slug: str, above: Go) -> None:
    """To the category above, from a top one to the list of all; its heading does nothing."""
    found = effects(make_sheet(SITE, Page("category", slug)))
    arrow = [leaf.text for leaf, _ in found].index("<")
    assert [(leaf.text, effect) for leaf, effect in found[arrow : arrow + 3]] == [
        ("<", above),
        ("", above),
        (SITE.category[slug].name, None),
    ]


def test_a_category_shows_cells_in_two_columns() -> None:
    """622 pixels from row to row; picture, "How to", title and the mark of experts all open the article."""
    sheet = make_sheet(SITE, Page("category", "Kites"))
    found = effects(sheet)[3:]
    assert [leaf.text for leaf, _ in found if leaf.tag != "img"] == [
        *("All about ", "water", "Articles about Kites"),
        *("How to", WASH.title, "Expert", "How to", BOIL.title, "How to", BOIL.title),
    ]
    pictures = [leaf for leaf, _ in found if leaf.tag == "img"]
    first, second, third = (picture.bounds for picture in pictures)
    assert (first[1], first[0]) == (second[1], third[0])
    assert (third[1] - first[1], second[0] - first[0]) == (622, 522)
    assert all(len(picture.class_words) == 13 for picture in pictures)
    assert [effect for _, effect in found[3:7]] == [Go(Page("article", WASH.slug))] * 4
    assert all(leaf.clickable for leaf in sheet.leaves)


def test_a_category_shows_the_first_104_of_its_articles() -> None:
    """As the original's pages do, however large the site is."""
    large = replace(SITE.category["Kites"], articles=tuple(SITE.article)[:1] * 200)
    site = Site(articles=SITE.articles, authors=SITE.authors, categories=(large, SITE.categories[1]))
    shown = make_sheet(site, Page("category", "Kites")).leaves
    assert sum(leaf.tag == "img" for leaf in shown) == 104


def test_a_top_category_has_a_banner_with_a_search_box_and_topics() -> None:
    """They stand before the arrow; topics open the categories below."""
    sheet = make_sheet(SITE, Page("category", "Outdoors"))
    found = effects(sheet)
    assert [(leaf.tag, leaf.class_words, effect) for leaf, effect in found[:3]] == [
        ("div", "category banner title", None),
        ("input", "category banner search input", Press("field")),
        ("button", "category banner submit", Press("submit")),
    ]
    assert effect_of(sheet, "-crop-250-100-150px-Kites") == effect_of(sheet, "Kites") == KITES
    said = words(sheet)
    assert said.index("Featured Topics") < said.index("Kites") < said.index("Featured Articles")


def test_the_list_of_categories_opens_those_of_the_top() -> None:
    """Those below are reached through them."""
    sheet = make_sheet(SITE, Page("categories"))
    assert effect_of(sheet, "Outdoors") == OUTDOORS
    assert "Kites" not in words(sheet)


def test_an_author_is_shown_with_what_they_wrote() -> None:
    """Picture, links, name, job, life, the note on editing, the articles."""
    sheet = make_sheet(SITE, Page("author", "Ada-Hollis-RN"))
    said = words(sheet)
    assert said[:8] == [
        *("Ada Hollis, RN", "Website", "+ Follow", "Ada Hollis, RN", "Nurse", "Ada mends.", "[]"),
        "wikiHow's Editorial Process",
    ]
    assert said[-5:] == ["[]", "Co-authored Articles (7)", "How to", WASH.title, "Snow is wet...."]
    assert effect_of(sheet, said[9]) == ABOUT
    assert said[9].startswith("Learn more about our editorial process")
    assert effect_of(sheet, "Snow is wet....") == Go(Page("article", WASH.slug))
    assert "Website" not in words(make_sheet(SITE, Page("author", "Bo-Reed")))


def test_search_results_have_two_or_three_lines_below_their_title() -> None:
    """Views, when it was updated, and a badge if there is one; 50 pixels each and 42 around a row."""
    sheet = make_sheet(SITE, Page("search", "kite"), [WASH.slug, BOIL.slug], 2)
    assert words(sheet) == [
        *("How to Wash a Kite (in Winter)", "• ", "12,345 views", "• ", "Updated", "2 years ago"),
        *("• ", "Expert Co-Authored"),
        *("How to Boil Water", "• ", "9 views", "• ", "Updated", "3 weeks ago"),
    ]
    titles = [leaf.bounds[1] for leaf in sheet.leaves if leaf.text.startswith("How to")]
    assert titles[1] - titles[0] == 42 + 4 * 50
    assert effect_of(sheet, "How to Boil Water") == WATER
    assert effect_of(sheet, "9 views") is None


@pytest.mark.parametrize(
    ("number", "count", "buttons"),
    [
        (1, 30, {}),
        (1, 31, {"Next >": 2}),
        (2, 61, {"< Previous": 1, "Next >": 3}),
        (3, 61, {"< Previous": 2}),
    ],
)
def test_buttons_below_the_results_turn_their_pages(number: int, count: int, buttons: dict[str, int]) -> None:
    """Thirty to a page; a button stands only where there is a page to turn to."""
    sheet = make_sheet(SITE, Page("search", "kite", number), [WASH.slug], count)
    found = {leaf.text: effect for leaf, effect in effects(sheet) if leaf.tag == "button"}
    assert found == {text: Go(Page("search", "kite", to)) for text, to in buttons.items()}


def test_a_search_without_hits_says_so() -> None:
    """The page is never empty."""
    assert words(make_sheet(SITE, Page("search", "xyzzy"))) == ["No results found"]


def test_the_random_article_depends_on_the_page_alone() -> None:
    """The same from the same page, an article of the site, and not one for all pages."""
    many = Site(
        articles=tuple(replace(BOIL, slug=f"Boil-{number}") for number in range(50)),
        authors=(),
        categories=SITE.categories,
    )
    chosen = [make_sheet(many, Page("article", article.slug)).random for article in many.articles]
    assert chosen == [make_sheet(many, Page("article", article.slug)).random for article in many.articles]
    assert {page.key for page in chosen} <= many.article.keys()
    assert len({page.key for page in chosen}) > 10


def test_a_page_is_at_least_as_high_as_the_screen() -> None:
    """So that a short one does not scroll; a long one ends with its last box."""
    assert make_sheet(SITE, Page("home")).height == VIEWPORT
    long = make_sheet(SITE, Page("article", WASH.slug))
    assert long.height == max(leaf.bounds[3] for leaf in long.leaves) > VIEWPORT


def test_a_page_that_the_site_lacks_is_an_error() -> None:
    """The key is named."""
    with pytest.raises(KeyError, match="Nowhere"):
        make_sheet(SITE, Page("article", "Nowhere"))
