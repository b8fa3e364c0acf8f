"""What the phone shows: a sheet at some scroll, the bar above it, what is open over it.

>>> from rlem.environments.wikihow.nodes import Page
>>> from rlem.environments.wikihow.sheet import make_sheet
>>> from rlem.environments.wikihow.site import Site
>>> home = make_sheet(Site(articles=(), authors=(), categories=()), Page("home"))
>>> print(Screen(home, 0, Bar("logo"), "").html.splitlines()[1])
<img class="wikihow toolbar logo" id="1" clickable="false">
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from rlem.environments.wikihow.html import Leaf, to_html
from rlem.environments.wikihow.html import leaves as leaves_of
from rlem.environments.wikihow.nodes import NOWHERE, Bounds, Effect, Go, Node, Page, Press
from rlem.environments.wikihow.sheet import VIEWPORT as VIEWPORT
from rlem.environments.wikihow.sheet import Sheet

Overlay: TypeAlias = Literal["", "drawer", "menu", "share"]

TOP, BOTTOM = 210, 210 + VIEWPORT
"""Of the part of the window that shows the page."""
_ID = "com.wikihow.wikihowapp:id/"
_FRAME, _LINEAR, _RELATIVE, _TEXT, _IMAGE = (
    f"android.widget.{name}"
    for name in ("FrameLayout", "LinearLayout", "RelativeLayout", "TextView", "ImageView")
)
_COMPAT = "androidx.appcompat.widget.LinearLayoutCompat"
_WINDOW = (0, 0, 1080, BOTTOM)
_PAGE = (0, TOP, 1080, BOTTOM)
_DRAWER = (
    ("Home", Go(Page("home"))),
    ("Random", None),
    ("Browse Categories", Go(Page("categories"))),
    ("Contribute", None),
    ("Bookmarks", None),
    ("About wikiHow", Go(Page("about"))),
)
_SHARED = ("Facebook", "Pinterest", "Twitter", "Email", "Text Message")


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar at the top. ``logo``: the name of the app and the search icon; ``icon``: that icon alone;
    ``field``: the open search box with ``value`` in it. ``menu``: with the button "More options"."""

    kind: Literal["logo", "icon", "field"]
    value: str = ""
    menu: bool = False


class Screen:
    """One screen of 1080 x 1794; immutable. ``scroll``: pixels of the page above the part that is shown."""

    __slots__ = ("_html", "_leaves", "bar", "bookmarked", "overlay", "scroll", "sheet")

    def __init__(
        self, sheet: Sheet, scroll: int, bar: Bar, overlay: Overlay = "", bookmarked: bool = False
    ) -> None:
        self.sheet, self.scroll, self.bar = sheet, scroll, bar
        self.overlay, self.bookmarked = overlay, bookmarked
        self._leaves: Sequence[Leaf] | None = None
        self._html: str | None = None

    @property
    def leaves(self) -> Sequence[Leaf]:
        """What can be seen, in document order: as :func:`html.leaves` of the root, without making it."""
        if self._leaves is None:
            offset = TOP - self.scroll
            before, after = self._fixed()
            self._leaves = (*before, *[_moved(leaf, offset) for leaf in self._shown()], *after)
        return self._leaves

    @property
    def html(self) -> str:
        """The lines of the leaves, numbered from 0."""
        if self._html is None:
            before, after = self._fixed()
            self._html = to_html((*before, *self._shown(), *after))
        return self._html

    def root(self) -> Node:
        """The whole tree, made anew: nodes off the screen have the bounds [0,0][0,0]."""
        if self.overlay in ("menu", "share"):
            return _popup(self.overlay, self.bookmarked)
        page = _shifted(self.sheet.root, TOP - self.scroll)
        if self.sheet.page.kind == "foreign":
            return Node(_FRAME, _WINDOW, children=[page])
        if self.sheet.page.kind != "home":
            web = "android.webkit.WebView"
            inner = Node(web, _PAGE, self.sheet.title, focusable=True, scrollable=True, children=[page])
            page = Node(web, _PAGE, children=[inner])
        relative = Node(_RELATIVE, _PAGE, children=[page])
        layers = [Node(_FRAME, _PAGE, resource_id=f"{_ID}container", children=[relative])]
        if self.overlay == "drawer":
            layers.append(_drawer(self.sheet.random))
        drawer = "androidx.drawerlayout.widget.DrawerLayout"
        below = Node(drawer, _PAGE, resource_id=f"{_ID}drawer_layout", children=layers)
        inside = (0, 63, 1080, BOTTOM)
        node = Node(_LINEAR, inside, children=[_toolbar(self.bar, self.overlay == "drawer"), below])
        for cls, name in ((_FRAME, "android:id/content"), (_LINEAR, f"{_ID}action_bar_root"), (_FRAME, "")):
            node = Node(cls, inside, resource_id=name, children=[node])
        node = Node(_LINEAR, _WINDOW, children=[node])
        edge = Node("android.view.View", resource_id="android:id/navigationBarBackground")
        return Node(_FRAME, _WINDOW, children=[node, _status(), edge])

    def hit(self, x: int, y: int) -> Effect | None:
        """What a tap on a point of the window does: the effect of the deepest node there. Beside an open menu
        nothing can be tapped, beside an open drawer the bar alone."""
        over = self._over()
        if over and (y >= TOP or self.overlay != "drawer"):
            return _effect(over, x, y)
        if self.sheet.page.kind == "foreign":
            return None
        if y < TOP:
            return _effect(_toolbar(self.bar, self.overlay == "drawer"), x, y)
        y += self.scroll - TOP
        inside = (effect for (x0, y0, x1, y1), effect in self.sheet.effects if x0 <= x < x1 and y0 <= y < y1)
        return next(inside, None)

    def over(self, x: int, y: int) -> bool:
        """Whether a point lies on what is open over the page."""
        over = self._over()
        return over is not None and _effect(over, x, y) is not None

    def _over(self) -> Node | None:
        if self.overlay == "drawer":
            return _drawer(self.sheet.random)
        return _popup(self.overlay, self.bookmarked) if self.overlay else None

    def _shown(self) -> Sequence[Leaf]:
        """Leaves of the page that reach into the viewport, with their boxes on the page."""
        if self.overlay in ("menu", "share"):
            return ()
        sheet, top, bottom = self.sheet, self.scroll, self.scroll + VIEWPORT
        first, last = bisect_right(sheet.lowest, top), bisect_left(sheet.highest, bottom)
        return [leaf for leaf in sheet.leaves[first:last] if leaf.bounds[3] > top and leaf.bounds[1] < bottom]

    def _fixed(self) -> tuple[Sequence[Leaf], Sequence[Leaf]]:
        """What stands before and behind the page in the document."""
        if self.overlay in ("menu", "share"):
            return leaves_of(_popup(self.overlay, self.bookmarked)), ()
        if self.sheet.page.kind == "foreign":
            return (), ()
        drawer = self.overlay == "drawer"
        after = leaves_of(_drawer(self.sheet.random)) if drawer else []
        return _bar_leaves(self.bar, drawer), [*after, *_STATUS]


def _toolbar(bar: Bar, drawer_open: bool) -> Node:
    said = "Close navigation drawer" if drawer_open else "Open navigation drawer"
    button = _tap(Node("android.widget.ImageButton", (0, 63, 147, 210), content_desc=said), Press("drawer"))
    right = 975 if bar.menu else 1080
    if bar.kind == "field":
        field = Node(
            "android.widget.EditText",
            (168, 73, right - 127, 199),
            bar.value,
            f"{_ID}search_src_text",
        )
        close = Node(_IMAGE, (right - 127, 73, right, 199), "", f"{_ID}search_close_btn", "Clear query")
        _tap(field, Press("field"))
        _tap(close, Press("clear"))
        box = (147, 73, right, 199)
        plate = Node(_LINEAR, box, resource_id=f"{_ID}search_plate", children=[field, close])
        inside = Node(_LINEAR, box, resource_id=f"{_ID}search_edit_frame", children=[plate])
    else:
        box = (right - 127, 73, right, 199)
        inside = _tap(Node(_IMAGE, box, "", f"{_ID}search_button", "Search"), Press("search"))
    search = Node(_LINEAR, box, resource_id=f"{_ID}search_bar", children=[inside])
    items = [Node(_COMPAT, box, resource_id=f"{_ID}action_search", focusable=True, children=[search])]
    if bar.menu:
        items.append(_tap(Node(_IMAGE, (975, 73, 1080, 199), content_desc="More options"), Press("menu")))
    children = [button, Node(_COMPAT, (box[0], 63, 1080, 210), children=items)]
    if bar.kind == "logo":
        children.insert(1, Node(_IMAGE, (168, 63, 600, 210), resource_id=f"{_ID}wikihow_toolbar_logo"))
    name = f"{_ID}wikihow_toolbar"
    return Node("android.view.ViewGroup", (0, 63, 1080, 210), resource_id=name, children=children)


def _drawer(random: Page) -> Node:
    rows = []
    for index, (title, effect) in enumerate(_DRAWER):
        y = TOP + 21 + 126 * index
        told: Effect = Go(random) if title == "Random" else effect or Press("nothing")
        rows.append(_row((0, y, 735, y + 126), title, told, icon=True))
    panel = (0, TOP, 735, BOTTOM)
    return Node(
        "android.widget.ListView",
        panel,
        resource_id=f"{_ID}left_drawer",
        effect=Press("nothing"),
        children=rows,
    )


def _popup(overlay: Overlay, bookmarked: bool) -> Node:
    """A menu is a window of its own: nothing else is in the hierarchy while it is open."""
    menu: tuple[tuple[str, Effect], ...]
    if overlay == "share":
        gone = tuple((name, Go(Page("foreign", name))) for name in _SHARED)
        menu = (("Share article...", Press("nothing")), *gone)
    else:
        names = ("Remove bookmark",) if bookmarked else ("Bookmark", "Bookmark and save offline")
        menu = (*((name, Press("bookmark")) for name in names), ("Share article...", Press("share")))
    rows = []
    for index, (title, effect) in enumerate(menu):
        y = 73 + 126 * index
        row = _row((454, y, 1070, y + 126), title, effect, icon=overlay == "share" and index > 0)
        if overlay == "menu" and title == "Share article...":
            row.children.append(Node(_IMAGE, (1000, y + 40, 1046, y + 86), resource_id=f"{_ID}submenuarrow"))
        rows.append(row)
    box = (454, 73, 1070, rows[-1].bounds[3])
    return Node(_FRAME, box, children=[Node("android.widget.ListView", box, children=rows)])


def _row(bounds: Bounds, title: str, effect: Effect, icon: bool) -> Node:
    x0, y0, x1, y1 = bounds
    words = Node(_TEXT, (x0 + 150 * icon + 42, y0 + 37, x1 - 90, y1 - 37), title, f"{_ID}title")
    icons = [Node(_IMAGE, (x0 + 42, y0 + 31, x0 + 106, y1 - 31), resource_id=f"{_ID}icon")] if icon else []
    return Node(_LINEAR, bounds, effect=effect, children=[*icons, words])


def _status() -> Node:
    return Node("android.view.View", (0, 0, 1080, 63), resource_id="android:id/statusBarBackground")


_STATUS = tuple(leaves_of(_status()))


@lru_cache(maxsize=1024)
def _bar_leaves(bar: Bar, drawer_open: bool) -> tuple[Leaf, ...]:
    return tuple(leaves_of(_toolbar(bar, drawer_open)))


def _tap(node: Node, effect: Effect) -> Node:
    node.clickable = node.focusable = True
    node.effect = effect
    return node


def _effect(root: Node, x: int, y: int) -> Effect | None:
    """The effect of the deepest node at a point; of nodes side by side the last."""
    found = None
    for node in root.walk():
        x0, y0, x1, y1 = node.bounds
        if node.effect and x0 <= x < x1 and y0 <= y < y1:
            found = node.effect
    return found


def _clipped(bounds: Bounds, offset: int) -> Bounds:
    """A box of the page in the window, or nowhere."""
    x0, y0, x1, y1 = bounds
    y0, y1 = max(y0 + offset, TOP), min(y1 + offset, BOTTOM)
    return (x0, y0, x1, y1) if y0 < y1 else NOWHERE


def _moved(leaf: Leaf, offset: int) -> Leaf:
    """The leaf in the window; ``dataclasses.replace`` takes three times as long."""
    return Leaf(
        leaf.tag,
        leaf.class_words,
        leaf.alt,
        leaf.value,
        leaf.kind,
        leaf.text,
        leaf.clickable,
        _clipped(leaf.bounds, offset),
        leaf.node,
    )


def _shifted(node: Node, offset: int) -> Node:
    """A copy of a page's node and all below it, in the window."""
    return Node(
        node.cls,
        _clipped(node.bounds, offset),
        node.text,
        node.resource_id,
        node.content_desc,
        node.clickable,
        node.focusable,
        node.scrollable,
        node.effect,
        [_shifted(child, offset) for child in node.children],
    )
