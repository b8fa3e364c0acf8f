"""What the pages show, as lists of visible texts, and the three forms an observation takes.

No HTML is made or parsed: a page is the texts that a reader of the original's HTML would see, in order,
each with the sort of element it stands in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal

from rlem.environments.webshop.data import Product

Sort = Literal["text", "button", "product", "option"]
Node = tuple[Sort, str]
"""One visible text and the sort of element it stands in."""

ObservationMode = Literal["text_rich", "text_rich_upstream", "text"]
PER_PAGE = 10
SHOWN = 3
"""Products that the Rememberer authors' form of a result page shows and lets click."""

BACK, PREV, NEXT, BUY = "Back to Search", "< Prev", "Next >", "Buy Now"
SUB_PAGES = ("Description", "Features", "Reviews")


def start_page(instruction: str) -> list[Node]:
    """The search page."""
    return [("text", "WebShop"), ("text", "Instruction: "), *_texts(instruction), ("button", "Search")]


def result_page(instruction: str, products: Iterable[Product], page: int, total: int) -> list[Node]:
    """One page of search results. ``Next >`` stands on every page, also past the end."""
    nodes = [*_head(instruction), ("text", f"Page {page} (Total results: {total})")]
    if page > 1:
        nodes.append(("button", PREV))
    nodes.append(("button", NEXT))
    for product in products:
        nodes.append(("product", product.asin))
        nodes += _texts(product.title, product.price_text)
    return nodes


def item_page(instruction: str, product: Product) -> list[Node]:
    """A product's page with its options."""
    nodes = [*_head(instruction), ("button", PREV)]
    for name, values in product.options:
        nodes += _texts(name)
        nodes += [("option", value) for value in values]
    nodes += _texts(product.title)
    nodes += [("text", f"Price: {product.price_text}"), ("text", "Rating: N.A.")]
    nodes += [("button", name) for name in (*SUB_PAGES, BUY)]
    return nodes


def sub_page(instruction: str, product: Product, name: str) -> list[Node]:
    """Description, features or reviews of a product; the original ships no reviews."""
    nodes = [*_head(instruction), ("button", PREV)]
    if name == "Description":
        nodes += _texts(product.description)
    elif name == "Features":
        nodes += _texts(*(f" {bullet}" for bullet in product.bullets))
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
        "category", "product category", "query", "Goal ", "None", "Reward", "Your score (min 0.0, max 1.0)",
        repr(reward), "Reward Details ", "None",
    )  # fmt: skip


def as_text(nodes: Sequence[Node], url: str, visited: Collection[str]) -> str:
    """Texts only, between separators."""
    return " [SEP] ".join([text.strip() for _, text in nodes])


def as_text_rich_upstream(nodes: Sequence[Node], url: str, visited: Collection[str]) -> str:
    """One line a text, buttons marked. An option shows as chosen when its text in quotes is in the URL."""
    lines: list[str] = []
    front: list[str] = []
    for sort, text in nodes:
        if sort == "text":
            lines.append(f"{text}\n")
        elif sort == "button":
            lines.append(f"[button] {text} [button_]\n")
        elif sort == "product":
            mark = "clicked button" if text in visited else "button"
            lines.append(f"\n[{mark}] {text} [{mark}_]\n")
        elif f'"{text}"' in url:
            lines.append(f"  [clicked button] {text} [clicked button_]\n")
            front.append(f"You have clicked {text}.\n")
        else:
            lines.append(f"  [button] {text} [button_]\n")
    return "".join(front[::-1] + lines)


def as_text_rich(nodes: Sequence[Node], url: str, visited: Collection[str]) -> str:
    """The Rememberer authors' shorter form: options on one line, chosen and visited ones in [[ ]]."""
    lines: list[str] = []
    front: list[str] = []
    products = 0
    for sort, text in nodes:
        if not text.strip():
            continue
        if sort == "text":
            lines.append(f"\n{text} ")
        elif sort == "button":
            lines.append(f"\n[{text}]")
        elif sort == "product":
            products += 1
            if products > SHOWN:  # products are the last thing on their page
                break
            lines.append(f"\n[[{text}]]" if text in visited else f"\n[{text}]")
        elif f'"{text}"' in url:
            lines.append(f"[[{text}]]")
            front.append(f"\nYou have clicked {text}.")
        else:
            lines.append(f"[{text}]")
    return "".join(front[::-1] + lines)


RENDERERS: Mapping[ObservationMode, Callable[[Sequence[Node], str, Collection[str]], str]] = {
    "text_rich": as_text_rich,
    "text_rich_upstream": as_text_rich_upstream,
    "text": as_text,
}


def _head(instruction: str) -> list[Node]:
    return [("text", "Instruction:"), *_texts(instruction), ("button", BACK)]


def _texts(*texts: str) -> list[Node]:
    """Text nodes; an empty text makes no node in HTML."""
    return [("text", text) for text in texts if text]
