"""Token counters."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlem.core.errors import DataError, MissingExtraError
from rlem.llm.tokens import EstimatedTokens, FileTokens


def test_latin_text_counts_its_characters_through_2_6() -> None:
    """Latin text, accents included, has one token for each 2.6 characters, rounded up."""
    count = EstimatedTokens()
    assert count("") == 0
    assert count("x" * 26) == 10
    assert count("x" * 27) == 11
    assert count("é" * 26) == 10


@pytest.mark.parametrize("text", ["红色水壶四十", "やかんです赤", "빨간주전자요", "красный", "ชาเขียวๆ"])
def test_other_scripts_count_a_token_a_character(text: str) -> None:
    """CJK, and other scripts that tokenizers know less well, have one token for each character."""
    assert EstimatedTokens()(text) == len(text)


def test_emoji_count_four_tokens() -> None:
    """Characters beyond the basic plane may fall back to four bytes."""
    assert EstimatedTokens()("🫖") == 4


@given(st.text(), st.text())
def test_an_estimate_never_shrinks_when_text_is_added(left: str, right: str) -> None:
    """A longer text never has fewer tokens, and joining never costs more than the parts."""
    count = EstimatedTokens()
    assert max(count(left), count(right)) <= count(left + right) <= count(left) + count(right)


def test_a_report_above_the_estimate_raises_it_at_once() -> None:
    """After one report the same text is estimated no lower than what was reported."""
    count = EstimatedTokens()
    text = "a red kettle " * 100
    plain = count(text)
    count.observe(text, plain * 2)
    assert count(text) >= plain * 2


def test_reports_below_the_estimate_lower_it_only_when_many_agree() -> None:
    """Seven low reports change nothing, the eighth lowers the estimate, but not below what was reported."""
    count = EstimatedTokens()
    text = "a red kettle " * 100
    plain, reported = count(text), round(count(text) * 0.8)
    for _ in range(7):
        count.observe(text, reported)
    assert count(text) == plain
    count.observe(text, reported)
    assert reported <= count(text) < plain


@given(st.lists(st.integers(min_value=-5, max_value=10**9), max_size=80))
def test_no_report_moves_the_factor_out_of_its_bounds(reports: list[int]) -> None:
    """Whatever an endpoint reports, the factor stays within [0.6, 4]."""
    count = EstimatedTokens()
    for report in reports:
        count.observe("word " * 200, report)
    assert count.lowest <= count.factor <= count.highest


def test_short_prompts_teach_nothing() -> None:
    """On a short prompt the chat template's tokens outweigh the text's; it is not learned from."""
    count = EstimatedTokens()
    count.observe("hello", 30)
    assert count.factor == 1.0


def test_old_reports_are_forgotten() -> None:
    """One odd report does not hold the estimate up for ever: it lasts 64 reports."""
    count = EstimatedTokens()
    text = "word " * 200
    count.observe(text, 1500)
    high = count.factor
    for _ in range(64):
        count.observe(text, 300)
    assert count.factor < 1.0 < high


def test_threads_may_observe_and_count_at_once() -> None:
    """Under threads every report arrives: the result is that of one thread."""
    count, alone = EstimatedTokens(), EstimatedTokens()
    text = "word " * 200

    def work() -> None:
        for _ in range(50):
            count.observe(text, 360)
            count(text)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(200):
        alone.observe(text, 360)
    assert count.factor == alone.factor < 1.0


def _tokenizer_file(folder: Path) -> Path:
    vocabulary = {"[UNK]": 0, "a": 1, "red": 2, "kettle": 3}
    path = folder / "tokenizer.json"
    path.write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": {
                    "direction": "Right",
                    "max_length": 2,
                    "strategy": "LongestFirst",
                    "stride": 0,
                },
                "padding": None,
                "added_tokens": [],
                "normalizer": None,
                "pre_tokenizer": {"type": "Whitespace"},
                "post_processor": None,
                "decoder": None,
                "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
            }
        )
    )
    return path


def test_a_tokenizer_file_counts_exactly_and_without_its_truncation(tmp_path: Path) -> None:
    """A user's tokenizer.json counts all tokens even if the file says to cut at two; bad text is no error."""
    pytest.importorskip("tokenizers")
    count = FileTokens(_tokenizer_file(tmp_path))
    assert count("a red kettle a red kettle") == 6
    assert count("\ud800") >= 1


def test_a_missing_or_broken_tokenizer_file_is_a_data_error(tmp_path: Path) -> None:
    """The message names the file; nothing of the tokenizers library leaks."""
    pytest.importorskip("tokenizers")
    with pytest.raises(DataError, match=r"nowhere\.json"):
        FileTokens(tmp_path / "nowhere.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    with pytest.raises(DataError, match=r"broken\.json"):
        FileTokens(broken)


def test_without_the_extra_the_message_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing tokenizers package is told with the install command."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"rlem\[tokenizer\]"):
        FileTokens(tmp_path / "tokenizer.json")
