"""Noun extraction by a spaCy pipeline, and our own rule measured against the real tokenizer."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rlem.core.errors import DataError, MissingExtraError, UnknownNameError
from rlem.environments.webshop import spacy_nouns as module
from rlem.environments.webshop.nouns import CLOSED_WORDS, rule_nouns, tokens
from rlem.environments.webshop.spacy_nouns import nouns_by_name, spacy_nouns

Golden = Callable[[str], Path]
ODD = (
    "Men's T-Shirt, 16ft (Pack of 2)",
    "it's 5'10\" tall; dont, can’t, y'all, cannot",
    "Dry/Wash. at St. Mary's, 10pm-6a.m.",
    "SIZE】-Each 💥Gift】❤It ☀️☀️",
    "www.shop.com b.fine 6.ounce a@b.co 228l.brown",
    "(rain). [cloth], {top}; 40W). etc...",
    "US$5 $10.50 +3 -4 1/2 2nd 3,000 10cm 5g.",
    "...... !!! -- — ++ C++ w/o and/or",
)


@pytest.fixture
def spacy() -> Any:
    """The real spaCy (extra spacy), and no pipeline remembered from other tests."""
    spacy = pytest.importorskip("spacy", reason="the extra spacy is not installed")
    module._cached.cache_clear()
    return spacy


@pytest.fixture
def tagger(spacy: Any, tmp_path: Path) -> str:
    """A saved pipeline that tags red ADJ, Acme PROPN, kettle(s) NOUN and all else X."""
    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("attribute_ruler")
    for words, tag in ((None, "X"), (["red"], "ADJ"), (["acme"], "PROPN"), (["kettle", "kettles"], "NOUN")):
        ruler.add(patterns=[[{"LOWER": {"IN": words}} if words else {}]], attrs={"POS": tag})
    pipeline.to_disk(tmp_path / "tagger")
    return str(tmp_path / "tagger")


def noun_rule(doc: Any) -> Any:
    """NOUN_RULE_V1 over spaCy's own tokens and attributes: as the recorded tags were made."""
    for token in doc:
        plain = token.is_space or token.is_punct or token.like_num or token.like_url or token.like_email
        few = sum(char.isalpha() for char in token.text) < 2
        token.pos_ = "X" if plain or few or token.lower_ in CLOSED_WORDS else "NOUN"
    return doc


@pytest.fixture
def rule_model(spacy: Any, tmp_path: Path) -> str:
    """A saved pipeline: spaCy's English tokenizer and NOUN_RULE_V1."""
    spacy.language.Language.component("rlem_test_noun_rule", func=noun_rule)
    pipeline = spacy.blank("en")
    pipeline.add_pipe("rlem_test_noun_rule")
    pipeline.to_disk(tmp_path / "rule")
    return str(tmp_path / "rule")


def test_nouns_and_proper_nouns_lower_case_in_order_with_repeats(tagger: str) -> None:
    """Only NOUN and PROPN count; order and repeats stay."""
    assert spacy_nouns(tagger)("Acme Kettle, red kettle by ACME") == ("acme", "kettle", "kettle", "acme")
    assert spacy_nouns(tagger)("") == ()


def test_a_model_is_loaded_once(tagger: str, spacy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many threads that ask at once share one load, and one path in two forms is one model."""
    loads: list[str] = []
    load = spacy.load
    monkeypatch.setattr(spacy, "load", lambda name, **rest: loads.append(name) or load(name, **rest))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: spacy_nouns(tagger), range(8)))
        texts = [f"kettle number{number} of Acme" for number in range(200)]
        answers = list(pool.map(found[0], texts))
    assert loads == [tagger]
    assert {id(nouns) for nouns in found} == {id(spacy_nouns(Path(tagger)))}
    assert set(answers) == {("kettle", "acme")}


def test_names(tagger: str) -> None:
    """rule, spacy:MODEL; anything else is named with what is allowed."""
    assert nouns_by_name("rule") is rule_nouns
    assert nouns_by_name(f"spacy:{tagger}")("the kettle") == ("kettle",)
    for name in ("nltk", "spacy:", "rule:x", ""):
        with pytest.raises(UnknownNameError, match="spacy:MODEL"):
            nouns_by_name(name)


def test_an_absent_model_names_both_installs(spacy: Any) -> None:
    """The message gives the extra and the download of that model; nothing is downloaded."""
    with pytest.raises(DataError, match=r"rlem\[spacy\].*python -m spacy download en_no_such_model"):
        nouns_by_name("spacy:en_no_such_model")


def test_a_pipeline_without_tags_is_refused(spacy: Any, tmp_path: Path) -> None:
    """It would find no noun anywhere and so judge every purchase alike, silently."""
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(DataError, match="tags no parts of speech"):
        spacy_nouns(tmp_path / "blank")


def test_a_broken_model_is_an_error_of_ours(tagger: str) -> None:
    """A pipeline whose config is damaged ends in one line that names it."""
    (Path(tagger) / "config.cfg").write_text("[nlp]\nlang = en\n", "utf-8")
    with pytest.raises(DataError, match="tagger"):
        spacy_nouns(tagger)


def test_without_spacy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where spaCy is absent the install command stands in the message, and the rule still works."""
    module._cached.cache_clear()
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlem\[spacy\]'"):
        nouns_by_name("spacy")
    assert nouns_by_name("rule")("Red Kettle") == ("red", "kettle")


def test_the_recorded_tags_come_out_end_to_end(golden: Golden, rule_model: str) -> None:
    """The stub that the recording used, rebuilt as a real pipeline, finds the recorded nouns of all names;
    so does our rule."""
    nouns = spacy_nouns(rule_model)
    with gzip.open(golden("webshop/title_pos.jsonl.gz"), "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert len(rows) >= 1000
    for row in rows:
        (tags,) = (value for value in row.values() if isinstance(value, list))
        recorded = [token.lower() for token, tag in tags if tag in ("NOUN", "PROPN")]
        assert list(nouns(row["name"])) == recorded
        assert list(rule_nouns(row["name"])) == recorded


def product_texts(entry: dict[str, Any]) -> Iterator[str]:
    """Name, bullets and option values of a product."""
    yield entry["name"]
    bullets = entry["small_description"]
    yield from filter(None, bullets if isinstance(bullets, list) else [bullets])
    for contents in (entry["customization_options"] or {}).values():
        yield from (content["value"] for content in contents or ())


def test_our_rule_is_spacys_on_thousands_of_product_texts(golden: Golden, rule_model: str) -> None:
    """Names, bullets and options of the 1000 real products give the same nouns by both ways."""
    with gzip.open(golden("webshop/products.json.gz"), "rt", encoding="utf-8") as file:
        texts = {text for entry in json.load(file) for text in product_texts(entry)}
    assert len(texts) > 5000
    nouns = spacy_nouns(rule_model)
    assert [text for text in texts if nouns(text) != rule_nouns(text)] == []


@pytest.mark.parametrize("text", ODD)
def test_our_tokens_are_spacys_on_odd_texts(spacy: Any, rule_model: str, text: str) -> None:
    """Contractions, abbreviations, emoji, addresses, brackets and units are cut as spaCy cuts them."""
    expected = [token.text for token in spacy.blank("en").make_doc(text) if not token.is_space]
    assert tokens(text) == expected
    assert rule_nouns(text) == spacy_nouns(rule_model)(text)
