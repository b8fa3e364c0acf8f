"""What the screens of each page look like: the ordered templates, page by page.

Source: recorded screens of the original. T and F say whether a line can be clicked. A page is a
:class:`Window`: a screen may begin and end anywhere in it.
"""

from __future__ import annotations

from collections.abc import Mapping

from rlem.environments.wikihow.grammar_match import (
    Bottom,
    Line,
    Many,
    Template,
    Top,
    Window,
    either,
    maybe,
    seq,
)

T, F = True, False
_WORDS = r"(?!• ?$)(?!\d+\.? ?$)(?!Question$)(?!(Method|Part) \d).*\S.*"
"""A text that is none of the marks around texts."""


def _exact(name: str, tag: str, clickable: bool, text: str) -> Line:
    return Line(name, tag, clickable, text)


STATUS_BAR = "the status bar"
# Around every page: toolbar, drawer, status bar.
_OPEN = Line("the button of the drawer", "button", T, alt="Open navigation drawer", text="")
_CLOSE = Line("the button of the open drawer", "button", T, alt="Close navigation drawer", text="")
_LOGO = Line("the logo", "img", F, css="wikihow toolbar logo")
_SEARCH = Line("the search icon", "img", T, css="search button", alt="Search")
_FIELD = Line("the search box", "input", T, css="search src text", value=".+")
_EMPTY_FIELD = Line("the empty search box", "input", T, css="search src text", value="")
_CLEAR = Line("Clear query", "img", T, css="search close btn", alt="Clear query")
_MORE = Line("More options", "img", T, alt="More options")
_STATUS = seq(
    Line(STATUS_BAR, "div", F, css="statusBarBackground", text=""),
    maybe(Line("the navigation bar", "div", F, css="navigationBarBackground", text="")),
)
_ICON = Line("an icon", "img", F, css="icon")
_ROWS = ("Home", "Random", "Browse Categories", "Contribute", "Bookmarks", "About wikiHow")
_BOX = either(seq(_FIELD, _CLEAR), seq(_EMPTY_FIELD, maybe(_CLEAR)))
_BAR = either(_SEARCH, _BOX)
_WEB_VIEW = Line("the web view", "div", T, css="webView", text="")


def _title(text: str) -> Line:
    return Line(f"the row {text}", "p", F, text.replace(".", r"\."), css="title")


_DRAWER = seq(*(part for row in _ROWS for part in (_ICON, _title(row))))


def _screen(bar: Template, page: Template) -> Template:
    """A page below a toolbar, the drawer closed or open."""
    return either(seq(_OPEN, bar, page, _STATUS), seq(_CLOSE, bar, page, _DRAWER, _STATUS))


# Nodes just above the edge, which older recordings hold.
_OLD = seq(
    *(
        maybe(Line(f"the old node {name}", "div", None, css=name, text=""))
        for name in ("header container", "header top watch", "siteNotice", "search adblock top")
    )
)


def _ends(clickable: bool) -> Template:
    """What stands behind the last line of a page."""
    blank = Line("a blank end", "div", clickable, r"\s*")
    return Many(either(blank, Line("fb-root", "div", clickable, css="fb-root", text="")))


# Search results.
_MARK = _exact("a bullet", "div", T, "• ")
_RESULT = seq(
    maybe(_exact("HOW TO", "div", T, "HOW TO")),
    Line("a title", "div", T, r"(?!HOW TO$)" + _WORDS),
    _MARK,
    Line("the views", "p", T, r"[\d,]+ views?"),
    _MARK,
    _exact("Updated", "p", T, r"Updated"),
    Line("how long ago", "p", T, r"\s*([a-z]+ )?(\d+|an?) \w+ ago|\s*(today|yesterday|just now)"),
    maybe(_MARK, Line("the badge", "p", T, "Expert Co-Authored|Quality Tested")),
)
_PAGER = seq(
    maybe(Line("< Previous", "button|p|div", T, "<? ?Previous")),
    maybe(Line("Next >", "button|p|div", T, "Next ?>?")),
)
_NO_RESULT = Line("that nothing was found", "p|div", T, r"(?i).*\b(no|not|nothing)\b.*")
_RESULTS = seq(_OLD, Window(seq(either(Many(_RESULT, 1), _NO_RESULT), _PAGER, _ends(T))))

# An article: its head, ...
_TRUST = seq(
    _exact("Learn why people", "p", T, "Learn why people "), _exact("trust wikiHow", "p", T, "trust wikiHow")
)
_CRUMB = Line("a category in capitals", "p", T, r"(?!ARTICLE$)[^a-z]*[A-Z][^a-z]*")
_CRUMBS = either(
    seq(_CRUMB, Many(seq(_exact("»", "p", F, " »"), _CRUMB))),
    seq(
        _exact("CATEGORIES »", "div", F, "CATEGORIES »"), Line("a category", "div", F, "[^a-z]*[A-Z][^a-z]*")
    ),
)
_AUTHOR = Line("an author", "p", T, _WORDS)
_BYLINE = either(
    seq(
        Line("the byline", "p", F, r"[A-Z][\w -]{2,30} by"),
        _exact("a blank", "p", F, " "),
        _AUTHOR,
        Many(seq(Line("and", "p", F, " and |, "), _AUTHOR)),
    ),
    _exact("Author Info", "p", T, "Author Info"),
)
_HEAD = seq(
    _TRUST,
    maybe(Line("siteNotice", "div", F, css="siteNotice", text="")),
    _CRUMBS,
    Line("the title", "p", T, r"(?=.*[a-z]).+"),
    maybe(Line("the subtitle", "div", F, _WORDS)),
    _BYLINE,
    Line("Last Updated: ...", "button", T, "Last Updated: .+"),
    maybe(_exact("References", "p", T, "References")),
    maybe(
        maybe(_exact("a blank", "p", F, " ")),
        Line("Approved or Tested", "button", T, "Approved|Tested|Fact Checked"),
    ),
    maybe(
        Line("the tab ARTICLE", "p", T, "ARTICLE"),
        Many(Line("a tab", "p", T, "[A-Z&]+")),
        Line("the line below the tabs", "div", F, css="mobile tab line", text=""),
    ),
)
# ... its text, ...
_TEXT = Line("text", "p", F, ".*")
_LINK = Line("a link", "p", T, ".*")
_BLOCK = Line("a block of text", "div", F, _WORDS)
_PICTURE = Line("a picture", "img", F, alt=".*")
_GAP = Line("a place of a video", "div", F, "")
_REFERENCE = Line("a link to a reference", "button", T, r"Link to Reference .+", css=r" ref-.+")
_SAID = seq(either(_TEXT, _LINK, _BLOCK), Many(_REFERENCE))
_PROSE = Many(either(_SAID, _PICTURE))
_DOT = _exact("a bullet", "div", F, "• ")
_HEADING = Line("the heading of a method", "div", F, r"(Method|Part) \d.+|Steps")
_ANCHOR = Line("an anchor", "div", T, r"(?!Support).*", css=".*anchor|summary toc heading text")
_NAMED = Line(
    "a named block",
    "div",
    None,
    css=r"(?!status|navigation|header|site|webView|mobile|ur |sp |article|category|search|author|fb-).+",
)
_BUTTON = Line(
    "a button of a block",
    "button",
    T,
    r"(?!Last Updated|Link to |Approved|Tested|Yes$|No$).{1,60}",
    css="(?!category|gat).*",
)
_STEPS = Many(
    either(
        seq(_HEADING, either(_PICTURE, _GAP, _SAID, Line("a number", "div", F, "1"))),
        seq(Line("the number of a step", "div", F, r"\d{1,3}"), maybe(_PICTURE), _SAID),
        seq(_DOT, maybe(_PICTURE), _SAID),
        _SAID,
        _PICTURE,
        _GAP,
        _NAMED,
        _BUTTON,
    )
)
# ... questions and answers, other articles, references, ...
_ASKED = seq(
    _exact("Question", "div", F, "Question"),
    Line("a question", "div|p", F, _WORDS),
    either(
        seq(
            _GAP,
            Line("the picture of an expert", "img", T, alt=".+"),
            Line("an expert", "p|div", None, _WORDS),
            Many(Line("a role", "div", F, _WORDS)),
            maybe(
                Line("the lock", "img", T, alt="icon-lock"),
                Line("the support notice", "div", T, r"Support .+"),
            ),
        ),
        seq(maybe(_PICTURE), Many(Line("who answered", "div|p", None, _WORDS))),
    ),
    Many(either(_SAID, seq(_DOT, _SAID), _PICTURE, _BUTTON)),
)
_ASK = seq(
    Line("a field for a question", "input", T, css=".*", alt=".*"),
    Many(either(_SAID, _BUTTON)),
)
_QUESTIONS = seq(_ANCHOR, maybe(_BLOCK), Many(_ASKED), maybe(_ASK))
_OTHER_PICTURE = Line("the picture of another article", "img", T, alt=r"(?!More options$).+")
_OTHER_HOW = _exact("How to", "div", T, "How to")
_OTHER_NAME = seq(maybe(_OTHER_HOW), Line("another article", "p", T, _WORDS))
_OTHERS = seq(
    Top(seq(maybe(_OTHER_HOW), Line("another article", "p", T, _WORDS), _OTHER_NAME)),
    Many(seq(_OTHER_PICTURE, _OTHER_NAME)),
    Bottom(seq(_OTHER_PICTURE, maybe(_OTHER_HOW), _OTHER_PICTURE, maybe(_OTHER_HOW))),
)
_CITED = seq(
    maybe(_ANCHOR),
    _exact("References", "div", F, "References"),
    Many(seq(Line("the number of a reference", "div", F, r"\d+\. ?"), Many(either(_TEXT, _LINK, _BLOCK), 1))),
)
# ... about the article and its readers.
_ABOUT_ARTICLE = seq(
    maybe(_exact("About This Article", "div", F, "About This Article")),
    Line("the anchor of the proof", "div", T, css="social proof anchor", text=""),
    maybe(Line("the picture of the author", "img", None, alt=".+")),
    _PROSE,
    maybe(Line("Co-authors", "div", F, r"Co-authors: [\d,]+")),
    Line("Updated", "div", F, "Updated: .+", css="sp modified"),
    maybe(Line("Views", "div", F, r"Views: [\d,]+")),
    maybe(_exact("Categories:", "p", F, "Categories: "), Many(either(_TEXT, _LINK), 1)),
    Many(either(_ANCHOR, _SAID)),
)
_STORY = seq(
    Line("the picture of a reader", "img", None, alt=".+"),
    Many(either(_TEXT, _BLOCK), 1),
)
_STORIES = seq(
    Line("the heading of the stories", "div", F, ".+", css="ur h2"),
    Many(_STORY),
    maybe(Line("More reader stories", "div", T, ".+", css="ur lower show")),
)
_RATING = seq(
    Line("the heading of the rating", "div", F, ".+", css="article rating header"),
    Line("Yes", "button", T, "Yes", css="gatAccuracyYes"),
    Line("No", "button", T, "No", css="gatAccuracyNo"),
)
_ARTICLE = seq(
    _OLD,
    maybe(_ANCHOR),
    Window(
        seq(
            _HEAD,
            _PROSE,
            _STEPS,
            maybe(_QUESTIONS),
            _STEPS,  # tips, warnings, things needed
            maybe(_OTHERS),
            maybe(_CITED),
            maybe(_ABOUT_ARTICLE),
            maybe(_STORIES),
            maybe(_exact("Privacy Settings", "div", F, "Privacy Settings")),
            maybe(_exact("Do Not Sell My Info", "p", T, "Do Not Sell My Info")),
            maybe(_RATING),
            _ends(F),
        )
    ),
)

# An author.
_LISTED = seq(
    either(
        seq(_OTHER_HOW, Line("a title", "div", T, r"(?!How to$)" + _WORDS)),
        Line(
            "a title of its own form",
            "div",
            T,
            r"(How (?!to$)|Wh|The |Is |Are |Can |Do|Should |Best |Signs |Ways ).+|(?=.{,120}$).*(\d|[:?&]).*",
        ),
    ),
    Line("a summary", "div", T, r"(?!How to$)" + _WORDS),
)
_AUTHOR_PAGE = seq(
    _OLD,
    Window(
        seq(
            Line("the picture of the author", "img", F, alt=".+"),
            Many(Line("Website", "p", T, r"[A-Z]\w+")),
            _exact("+ Follow", "p", T, r"\+ Follow"),
            maybe(Line("author social", "div", F, css="author social", text="")),
            Line("the name", "div", F, _WORDS),
            maybe(Line("the job", "div", F, _WORDS)),
            Many(Line("the life", "div|p", F, _WORDS)),
            _exact("a blank line", "div", F, ""),
            Line("the editorial process", "p", F, r".+ Editorial Process"),
            Line("about the process", "p", F, r".{40,}"),
            Line("Learn more", "p", T, r"Learn more about our editorial process.*"),
            _exact("a blank line", "div", F, ""),
            Line("the number of articles", "div", F, r".*Articles \([\d,]+\)"),
            Many(_LISTED),
            _ends(F),
        )
    ),
)

# A category.
_CELL_PICTURE = Line("the picture of a cell", "img", T, css=r"\w*", alt=r"-crop-375-300-.+")
_HOW = _exact("How to", "p", T, "How to")
_CELL_TITLE = Line("the title of a cell", "div", T, r"(?!Expert$)(?!Featured (Articles|Topics)$)" + _WORDS)
_EXPERT = _exact("Expert", "div", T, "Expert")
_CELL = seq(_CELL_PICTURE, either(seq(_HOW, _CELL_TITLE), _CELL_TITLE), maybe(_EXPERT))
_CUT_ABOVE = seq(maybe(_HOW), _CELL_TITLE)
_CUT_BELOW = seq(_CELL_PICTURE, maybe(_HOW), maybe(_CELL_TITLE), maybe(_EXPERT))
_CELLS = seq(
    Top(seq(_CUT_ABOVE, maybe(_CUT_ABOVE))),
    Many(_CELL),
    Bottom(seq(_CUT_BELOW, maybe(_CUT_BELOW))),
    maybe(_exact("a blank cell", "div", T, "")),
)
_TOPIC_PICTURE = Line("the picture of a topic", "img", T, alt="-crop-250-100-.+")
_TOPIC_NAME = Line("a topic", "div", T, r"(?!Expert$)(?!(Featured|Articles|New) )" + _WORDS)
_TOPICS = seq(
    Top(seq(_TOPIC_NAME, _TOPIC_NAME)),
    Many(seq(_TOPIC_PICTURE, _TOPIC_NAME)),
    Bottom(seq(_TOPIC_PICTURE, maybe(_TOPIC_NAME), _TOPIC_PICTURE)),
)
_PAGES = seq(
    Many(_exact("a blank line", "div", T, "")),
    maybe(
        _exact("Previous", "p", T, "Previous"),
        _exact("Next", "p", T, "Next"),
        _exact("a blank line", "div", T, ""),
        Many(Line("the number of a page", "p|div", T, r"\d+")),
    ),
)
_NAME = Line("a name", "div", T, _WORDS)
_CATEGORY = seq(
    _OLD,
    Window(
        seq(
            maybe(
                Line("the banner", "div", T, ".+", css="category banner title"),
                Line("the field of the banner", "input", T, css="category banner search input"),
                Line("the button of the banner", "button", T, "", css="category banner submit"),
            ),
            _exact("<", "p", T, "<"),
            _exact("the blank after <", "div", T, ""),
            _NAME,
            either(Many(Line("the description", "p", T, ".+")), Line("the description", "div", T, ".{40,}")),
            maybe(_exact("Featured Topics", "div", T, "Featured Topics"), _TOPICS),
            maybe(_exact("Featured Articles", "div", T, "Featured Articles"), _CELLS),
            maybe(Line("Articles about ...", "div", T, "Articles about .+"), _CELLS, _PAGES),
            maybe(Line("an advertisement", "img", T, css=r"\w+", alt=r"(?!-crop-).+")),
            maybe(
                Line("Related Topics", "div", T, "Related Topics|Sub-?[Cc]ategories"),
                Many(seq(Line("a topic", "p", T, _WORDS), maybe(_exact("+", "div", T, r"\+")))),
                maybe(_exact("a blank line", "div", T, "")),
            ),
            maybe(Line("New Articles about ...", "div", T, "New Articles about .+"), _CELLS),
            _ends(T),
        )
    ),
)
_CATEGORIES = seq(
    _OLD,
    Window(
        seq(
            _exact("Categories", "div", T, "Categories"),
            Many(Line("a category", "p", T, r"[A-Z\d][^.?!]{0,80}"), 1),
            _ends(T),
        )
    ),
)

# Why people trust wikiHow.
_PARAGRAPH = Line("a paragraph", "div|p", T, r"(?!• ).{40,}|.*[.!?…]\s*")
_SECTION = seq(
    maybe(Line("a picture", "img", T, alt=r"(?!-crop-).+")),
    Line("a heading", "div", T, r"(?!• )(?!How to)(?!Expert$)(?!\d).{3,60}"),
    Many(_PARAGRAPH, 1),
)
_ABOUT = seq(
    _OLD,
    Window(
        seq(
            _exact("Information You Can Trust", "div", T, "Information You Can Trust"),
            _exact("the guide", "div", T, "A Guide to our Editorial Process"),
            Many(_PARAGRAPH, 1),
            Many(_SECTION, 1),
            _ends(T),
        )
    ),
)

# Menus stand alone.
_ARROW = Line("the arrow of a menu", "img", F, css="submenuarrow")
_MENU = seq(
    either(
        seq(_title("Bookmark"), _title("Bookmark and save offline")),
        Many(Line("a row about the bookmark", "p", F, r"(Remove|Delete|Save) .+", css="title"), 1),
    ),
    _title("Share article..."),
    _ARROW,
)
_SHARE = seq(
    _title("Share article..."),
    *(
        part
        for row in ("Facebook", "Pinterest", "Twitter", "Email", "Text Message")
        for part in (_ICON, _title(row))
    ),
)

TEMPLATES: Mapping[str, Template] = {
    "home": _screen(either(seq(_LOGO, _SEARCH), _BOX), _WEB_VIEW),
    "search": _screen(_BAR, _RESULTS),
    "article": _screen(seq(_BAR, _MORE), _ARTICLE),
    "author": _screen(_BAR, _AUTHOR_PAGE),
    "categories": _screen(_BAR, _CATEGORIES),
    "category": _screen(_BAR, _CATEGORY),
    "about": _screen(_BAR, _ABOUT),
    "menu": either(_MENU, _SHARE),
    "loading": seq(_OPEN, _BAR, maybe(_MORE), _WEB_VIEW),
    "foreign": Line("the one leaf of another app", "div", F, ""),
}
"""The template of each kind of screen, in the order in which they are tried."""
