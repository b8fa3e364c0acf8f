"""What holds in the shop for any sequence of actions and any text."""

from __future__ import annotations

import re
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from rlem.environments.webshop.analysis import terms, words
from rlem.environments.webshop.env import WebShop
from rlem.environments.webshop.matching import THRESHOLD, alike, token_set_ratio
from rlem.environments.webshop.nouns import rule_nouns, tokens
from rlem.environments.webshop.search import SearchIndex
from rlem.environments.webshop.session import Shop, parse_action

TEXT = st.text(max_size=60)
SHORT = st.text(alphabet="abc 12.,'[]-_:é★你\u0301", max_size=30)


@cache
def shop() -> Shop:
    """A small bundled shop, made once."""
    return WebShop.bundled(n_products=60).shop


ACTION = st.one_of(
    st.integers(0, 60),  # the number of a listed action
    st.sampled_from(
        ["click[buy now]", "click[next >]", "click[< prev]", "search[<r>]", "search[<c>]", "click[search]"]
    ),
    SHORT.map(lambda text: f"search[{text}]"),
    SHORT.map(lambda text: f"click[{text}]"),
    TEXT,
)


@given(
    st.integers(0, 99),
    st.lists(ACTION, max_size=25),
    st.sampled_from(["text_rich", "text_rich_upstream", "text"]),
)
def test_any_actions(goal: int, actions: list[int | str], mode: str) -> None:
    """Any actions: reward only with the purchase and in [0, 1]; what is invalid changes nothing; what is
    listed is valid; two environments agree."""
    one, two = (WebShop(shop(), observation_mode=mode) for _ in range(2))  # type: ignore[arg-type]
    step = one.reset(f"webshop:{goal}")
    assert step == two.reset(f"webshop:{goal}")
    for choice in actions:
        listed = isinstance(choice, int)
        action = step.actions[choice % len(step.actions)] if isinstance(choice, int) else choice
        before, step = step, one.step(action.replace("<words>", "kitchen table"))
        assert step == two.step(action.replace("<words>", "kitchen table"))
        assert not step.truncated
        if listed:
            assert step.info["valid"]
        if step.terminated:
            assert action.lower().startswith("click[buy now]")
            assert 0.0 <= step.reward <= 1.0
            return
        assert step.reward == 0.0
        assert step.actions
        if not step.info["valid"]:
            assert (step.observation, step.actions) == (before.observation, before.actions)


@given(SHORT)
def test_parse_action_is_the_original_pattern(action: str) -> None:
    """The linear split gives what the original's pattern gives."""
    match = re.match(r"(.+)\[(.+)\]", action)
    assert parse_action(action) == ((match[1], match[2].lower()) if match else None)


@given(st.one_of(TEXT, SHORT))
def test_words_come_from_the_text(text: str) -> None:
    """Words are pieces of the text in order, without blanks; terms and nouns never fail."""
    place = 0
    for word in words(text):
        place = text.index(word, place) + len(word)
        assert word.strip() == word != ""
    assert len(terms(text)) <= len(words(text))
    assert "".join(tokens(text)) == "".join(text.split())
    assert all(noun == noun.lower() for noun in rule_nouns(text))


@given(st.dictionaries(SHORT.filter(bool), SHORT, max_size=8), SHORT, st.integers(1, 5))
def test_search_lists_matching_documents(documents: dict[str, str], query: str, limit: int) -> None:
    """Results share a term with the query, are no more than asked for, and stand in order of score and id."""
    index = SearchIndex(documents.items())
    found = index.search(query, limit)
    scores = dict(zip(index.ids, index.scores(query).tolist(), strict=True))
    matching = {name for name, text in documents.items() if set(terms(text)) & set(terms(query))}
    assert len(found) == min(limit, len(matching))
    assert set(found) <= matching
    ranked = sorted(matching, key=lambda name: (-scores[name], name))
    assert list(found) == ranked[:limit]


@given(SHORT, SHORT)
def test_shortcut_decides_as_the_score(first: str, second: str) -> None:
    """The cheap bound never changes a decision; a text with words is like itself."""
    assert alike(first, second) == (token_set_ratio(first, second) > THRESHOLD)
    assert token_set_ratio(first, first) in (0, 100)
