"""How to earn the full reward for a goal: for tests and the oracle agent, who may know the goal.

The way is found by trying searches made of the goal product's own texts until one shows the product on
the first page, or on a page that is not far; then its options are chosen and it is bought.
"""

from __future__ import annotations

from collections.abc import Iterator

from rlem.core.errors import UsageError
from rlem.environments.webshop.data import Goal, Product
from rlem.environments.webshop.matching import alike, normalize_color
from rlem.environments.webshop.session import Session, Shop

_WORDS = (8, 12, 5, 20, 3)
_MAX_PAGES = 5


def plan(shop: Shop, goal_index: int, *, shown: int) -> list[str]:
    """Actions that buy a goal's own product as the goal wishes it: reward 1.0 wherever that product can.

    A few goals of the original data cannot be met: its matching rejects their own option values
    (``size: 7`` against ``7``); their plan earns what is possible with one value a wish.
    Errors: UsageError when no search shows the product.
    """
    goal = shop.catalogue.goals[goal_index]
    session = Session(shop, shown=shown)
    finding = min(_finding(session, goal_index, goal.product), key=len, default=None)
    if finding is None:
        raise UsageError(f"no search found that shows {goal.product.asin}, the product of goal {goal_index}")
    return [*finding, f"click[{goal.product.asin.lower()}]", *_choosing(goal), "click[buy now]"]


def _finding(session: Session, goal_index: int, product: Product) -> Iterator[list[str]]:
    """Ways to a result page that shows the product; ends after a way of one action."""
    for words in _queries(product):
        session.reset(goal_index)
        actions = [f"search[{words}]"]
        session.step(actions[0])
        while len(actions) <= _MAX_PAGES and product.asin.lower() not in session.clickables:
            actions.append("click[next >]")
            session.step("click[next >]")
        if product.asin.lower() in session.clickables:
            yield actions
            if len(actions) == 1:
                return


def _queries(product: Product) -> Iterator[str]:
    """Searches likely to find a product, simple ones first."""
    title = product.title.translate(str.maketrans("[]<>", "    ")).split()
    for count in _WORDS:
        if title:
            yield " ".join(title[:count])
    text = f"{product.title} {product.description} {' '.join(product.bullets[:1])}"
    words = text.translate(str.maketrans("[]<>", "    ")).split()
    for count in (40, 120, 400):
        if words:
            yield " ".join(words[:count])
    yield f"<q> {product.query}"


def _choosing(goal: Goal) -> list[str]:
    """One click for each wanted option."""
    return [f"click[{value}]" for option in goal.options if (value := _value(goal.product, option))]


def _value(product: Product, option: str | tuple[str, str]) -> str | None:
    """The product's option value that counts as a wish, the wished one first; else the wished one if sold."""
    wished = option[1] if isinstance(option, tuple) else option
    values = [value for _, offered in product.options for value in offered]
    values.sort(key=lambda value: value != wished)
    counting = (value for value in values if alike(normalize_color(value), normalize_color(option)))
    return next(counting, wished if wished in values else None)
