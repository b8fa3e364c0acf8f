"""What the pages show, as lists of visible texts, and the forms an observation takes.

No HTML is made or parsed: a page is the texts that a reader of the original's HTML would see, in order,
each with the sort of element it stands in. Our own HTML of a page is made in ``html.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal, get_args

from rlem.environments.webshop.data import Product

Sort = Literal["text", "button", "product", "visited", "option", "chosen"]
Node = tuple[Sort, str]
"""One visible text and the sort of element it stands in."""

ObservationMode = Literal["text_rich", "text_rich_upstream", "text", "react", "url", "html"]
MODES: tuple[ObservationMode, ...] = get_args(ObservationMode)
TextMode = Literal["text_rich", "text_rich_upstream", "text", "react"]
SEARCH_ACTION = "search[<words>]"
"""How a search is listed among the actions of a page."""
PER_PAGE = 10
SHOWN = 3
"""Products that the Rememberer authors' form of a result page shows and lets click."""

SHOP_NAME = "WebShop"
_SCORE = "Your score (min 0.0, max 1.0)"
BACK, PREV, NEXT, BUY = "Back to Search", "< Prev", "Next >", "Buy Now"
ATTRIBUTES = "Attributes"
SUB_PAGES = ("Description", "Features", "Reviews")
"""Pages that belong to a product's page; ``ATTRIBUTES`` is one more where a shop shows it."""


def start_page(instruction: str) -> list[Node]:
    """The search page."""
    return [("text", SHOP_NAME), ("text", "Instruction: "), *_texts(instruction), ("button", "Search")]


def result_page(
    instruction: str, products: Iterable[Product], page: int, total: int, visited: Collection[str] = ()
) -> list[Node]:
    """One page of search results. ``Next >`` stands on every page, also past the end."""
    nodes = [*_head(instruction), ("text", f"Page {page} (Total results: {total})")]
    if page > 1:
        nodes.append(("button", PREV))
    nodes.append(("button", NEXT))
    for product in products:
        nodes.append(("visited" if product.asin in visited else "product", product.asin))
        nodes += _texts(product.title, product.price_text)
    return nodes


def item_page(
    instruction: str,
    product: Product,
    is_chosen: Callable[[str, str], bool],
    *,
    show_attributes: bool = False,
) -> list[Node]:
    """A product's page with its options; ``is_chosen(name, value)`` marks the chosen ones."""
    nodes = [*_head(instruction), ("button", PREV)]
    for name, values in product.options:
        nodes += _texts(name)
        nodes += [("chosen" if is_chosen(name, value) else "option", value) for value in values]
    nodes += _texts(product.title)
    nodes += [("text", f"Price: {product.price_text}"), ("text", "Rating: N.A.")]
    nodes += [("button", name) for name in SUB_PAGES]
    if show_attributes:
        nodes.append(("button", ATTRIBUTES))
    return [*nodes, ("button", BUY)]


def sub_page(instruction: str, product: Product, name: str) -> list[Node]:
    """Description, features, reviews or attributes of a product; the original ships no reviews."""
    nodes = [*_head(instruction), ("button", PREV)]
    if name == "Description":
        nodes += _texts(product.description)
    elif name == "Features":
        nodes += _texts(*(f" {bullet}" for bullet in product.bullets))
    elif name == ATTRIBUTES:
        about = (product.category, product.query, product.product_category)
        nodes += _texts(*(f" {attribute}" for attribute in product.attributes), *about)
    return nodes


def done_page(asin: str, options: Mapping[str, str], reward: float) -> list[Node]:
    """The page after buying, with the labels that a browser would hide."""
    bought = json.dumps(options, sort_keys=True)
    for sign in "<>&'":
        bought = bought.replace(sign, f"\\u{ord(sign):04x}")
    return _texts(
        "Thank you for shopping with us!", "Your code: ", "None", " (Paste it in your MTurk interface.)",
        "Purchased", "asin", asin, "options", bought, "attrs", "None", "category", "None", "query", "None",
        "product category", "None", "Target", "asin", "options", "attrs", "price upper", "instuction text",
        "category", "product category", "query", "Goal ", "None", "Reward", _SCORE,
        repr(reward), "Reward Details ", "None",
    )  # fmt: skip


def as_text(nodes: Sequence[Node]) -> str:
    """Texts only, between separators."""
    return " [SEP] ".join([text.strip() for _, text in nodes])


def as_text_rich_upstream(nodes: Sequence[Node]) -> str:
    """One line a text, buttons marked; the chosen options once more in front, the last of the page first."""
    lines: list[str] = []
    front: list[str] = []
    for sort, text in nodes:
        if sort == "text":
            lines.append(f"{text}\n")
        elif sort == "button":
            lines.append(f"[button] {text} [button_]\n")
        elif sort == "product":
            lines.append(f"\n[button] {text} [button_]\n")
        elif sort == "visited":
            lines.append(f"\n[clicked button] {text} [clicked button_]\n")
        elif sort == "chosen":
            lines.append(f"  [clicked button] {text} [clicked button_]\n")
            front.append(f"You have clicked {text}.\n")
        else:
            lines.append(f"  [button] {text} [button_]\n")
    return "".join(front[::-1] + lines)


def as_text_rich(nodes: Sequence[Node]) -> str:
    """The Rememberer authors' shorter form: options on one line, chosen and visited ones in [[ ]]."""
    lines: list[str] = []
    front: list[str] = []
    products = 0
    for sort, text in nodes:
        if _is_blank(text):
            continue
        if sort == "text":
            lines.append(f"\n{text} ")
        elif sort == "button":
            lines.append(f"\n[{text}]")
        elif sort == "chosen":
            lines.append(f"[[{text}]]")
            front.append(f"\nYou have clicked {text}.")
        elif sort == "option":
            lines.append(f"[{text}]")
        else:
            products += 1
            if products > SHOWN:  # products are the last thing on their page
                break
            lines.append(f"\n[[{text}]]" if sort == "visited" else f"\n[{text}]")
    return "".join(front[::-1] + lines)


def as_react(nodes: Sequence[Node]) -> str:
    """ReAct's form: as the authors' one, but the instruction stands on the search page alone.

    Source: the page texts of Yao et al. 2023 (ReAct), WebShop.
    """
    lines: list[str] = []
    products = 0
    for sort, text in nodes if nodes[0][1] == SHOP_NAME else nodes[2:]:
        if _is_blank(text):
            continue
        if sort == "text":
            lines.append(f"\n{text} ")
        elif sort in ("option", "chosen"):
            lines.append(f"[[{text}]]" if sort == "chosen" else f"[{text}]")
        else:
            products += sort in ("product", "visited")
            if products > SHOWN:
                break
            lines.append(f"\n[{text}] ")
    return "".join(lines)


def _is_blank(text: str) -> bool:
    """Whether the shorter forms leave a text out: blanks and line breaks, spelled ``\\n`` or not."""
    return not text.replace("\n", "").replace("\\n", "").strip(" ")


def score_line(reward: float) -> str:
    """What ReAct's form shows after buying."""
    return f"{_SCORE}: {reward!r}"


RENDERERS: Mapping[TextMode, Callable[[Sequence[Node]], str]] = {
    "text_rich": as_text_rich,
    "text_rich_upstream": as_text_rich_upstream,
    "text": as_text,
    "react": as_react,
}


def _head(instruction: str) -> list[Node]:
    return [("text", "Instruction:"), *_texts(instruction), ("button", BACK)]


def _texts(*texts: str) -> list[Node]:
    """Text nodes; an empty text makes no node in HTML, and one that is a line break is not shown."""
    return [("text", text) for text in texts if text not in ("", "\n")]
