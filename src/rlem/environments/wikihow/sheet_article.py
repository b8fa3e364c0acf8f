"""The page of an article, from the crumbs above its title to the buttons that ask whether it helped."""

from __future__ import annotations

from itertools import count
from urllib.parse import quote

from rlem.environments.wikihow.nodes import Go, Jump, Node, Page
from rlem.environments.wikihow.sheet_boxes import (
    BUTTON,
    IMAGE,
    TEXT,
    Column,
    article,
    category,
    group,
    inline,
    link,
    tappable,
)
from rlem.environments.wikihow.site import Article, Instruction, Site

_ABOUT = Go(Page("about"))


def article_nodes(site: Site, it: Article) -> tuple[list[Node], dict[str, int]]:
    """What the page shows, and where its anchors are."""
    head = Column(y=24)
    head.flow([link("Learn why people ", _ABOUT), link("trust wikiHow", _ABOUT)])
    head.y += 30
    head.flow(_crumbs(site, it))
    head.y += 30
    head.flow([link(f"How to {it.title}")])
    body = Column(head.y)
    _byline(site, it, body)
    body.y += 40
    if len(it.intro) == 1 and not it.intro[0].target:
        body.block(it.intro[0].text)
    else:
        body.flow(inline(it.intro))
    _methods(it, body)
    _questions(it, body)
    _related(site, it, body)
    anchors = {"References": body.y}
    _references(it, body)
    _about(site, it, body)
    return [group(head.nodes, "section_0"), group(body.nodes, "mw-content-text")], anchors


def _crumbs(site: Site, it: Article) -> list[Node]:
    here = site.category[it.category]
    above = site.category.get(here.parent)
    first = link(above.name.upper(), category(above.slug)) if above else link("CATEGORIES")
    return [first, Node(TEXT, text=" »"), link(here.name.upper(), category(here.slug))]


def _byline(site: Site, it: Article, body: Column) -> None:
    if it.subtitle:
        body.block(it.subtitle)
    if it.authors:
        said = "Co-authored by" if it.coauthored else "Written by"
        line = [Node(TEXT, text=said), Node(TEXT, text=" ")]
        for slug in it.authors:
            line += [Node(TEXT, text=" and ")] if slug != it.authors[0] else []
            line += [link(site.author[slug].name, Go(Page("author", slug)))]
    else:
        line = [link("Author Info")]
    body.flow(line)
    line = [Node(BUTTON, text=f"Last Updated: {it.updated}", clickable=True)]
    if it.references:
        line += [link("References", Jump("References"))]
    if it.approved:
        line += [Node(TEXT, text=" ")] if it.references else []
        line += [Node(BUTTON, text=it.approved, clickable=True)]
    body.flow(line)
    if it.tabbed:
        body.flow([link("ARTICLE")])
        body.block(height=8, resource_id="mobile_tab_line")


def _methods(it: Article, body: Column) -> None:
    pictures = count(1)
    for number, method in enumerate(it.methods, 1):
        body.y += 60
        said = f"{it.divided} {number} {it.divided} {number} of {len(it.methods)}: {method.name}"
        body.block("Steps" if it.divided == "Steps" else said, height=130)
        for index, step in enumerate(method.steps, 1):
            picture = next(pictures)
            if step.picture:
                body.block(f"v4-460px-{quote(it.slug)}-Step-{picture}.jpg", 756, IMAGE)
            _step(step, index, body)


def _step(step: Instruction, index: int, body: Column) -> None:
    body.y += 30
    body.block(str(index), 80)
    if step.plain:
        body.block(" ".join(filter(None, [step.lead, "".join(piece.text for piece in step.text)])))
        return
    line = [Node(TEXT, text=step.lead)] if step.lead else []
    line += inline(step.text)
    if step.reference:
        said, name = f"Link to Reference {step.reference}", f"_ref-{step.reference}"
        line += [Node(BUTTON, text=said, resource_id=name, clickable=True)]
    body.flow(line)
    body.y += 20
    for bullet in step.bullets:
        body.hang("• ", inline(bullet))
    body.y += 20


def _questions(it: Article, body: Column) -> None:
    if not it.questions:
        return
    body.block(height=60, resource_id="Questions_and_Answers_sub_anchor").clickable = True
    body.block("Community Q&A", 120)
    for asked in it.questions:
        body.block("Question", 90)
        body.block(asked.question)
        body.y += 20
        if asked.by:
            body.block(height=8)
            body.block(
                f"-crop-199-199-199px-{quote(asked.by.replace(' ', '-'))}", 104, IMAGE
            ).clickable = True
            body.flow([link(asked.by)])
            body.block(asked.role)
            body.block(asked.answer, cls=TEXT)
        else:
            body.block(f"-crop-104-104-104px-CommunityAvatar{len(asked.question) % 3 + 1}", 104, IMAGE)
            body.block("Community Answer")
            body.block(asked.answer)
        body.y += 40


def _related(site: Site, it: Article, body: Column) -> None:
    for index, slug in enumerate(it.related):
        title = site.article[slug].title
        left = 36 + 509 * (index % 2)
        cell = Column(body.y - 560 * (index % 2), left, left + 489)
        cell.block(title, 300, IMAGE)
        cell.block("How to", 52)
        cell.block(title, 160, TEXT)
        bounds = (left, cell.y - 512, left + 489, cell.y)
        body.add(tappable(cell.nodes, f"How to {title}", article(slug), bounds))
        body.y = cell.y + 48


def _references(it: Article, body: Column) -> None:
    if not it.references:
        return
    body.block("References", 120)
    for number, address in enumerate(it.references, 1):
        body.hang(f"{number}. ", [link(address)])


def _about(site: Site, it: Article, body: Column) -> None:
    body.block("About This Article", 120)
    body.block(height=8, resource_id="social_proof_anchor").clickable = True
    if it.authors:
        author = site.author[it.authors[0]]
        said = "co-authored" if it.coauthored else "written"
        opening = Node(TEXT, text=f"This article was {said} by ")
        body.flow(
            [opening, link(author.name, Go(Page("author", author.slug))), Node(TEXT, text=f". {author.bio}")]
        )
    body.block(f"Co-authors: {it.coauthors}")
    body.block(f"Updated: {it.updated}", resource_id="sp_modified")
    body.block(f"Views: {it.views:,}")
    here = site.category[it.category]
    body.flow([Node(TEXT, text="Categories: "), link(here.name, category(here.slug))])
    body.y += 60
    body.flow([link("In other languages")])
    body.y += 60
    body.block("Privacy Settings", 155)
    body.y += 39
    body.flow([link("Do Not Sell My Info")])
    body.y += 150
    body.block("Did this article help you?", 63, resource_id="article_rating_header")
    y = body.y + 39
    for text, name, left in (("Yes", "gatAccuracyYes", 259), ("No", "gatAccuracyNo", 556)):
        body.add(Node(BUTTON, (left, y, left + 266, y + 139), text, name, clickable=True, focusable=True))
    body.y += 230
