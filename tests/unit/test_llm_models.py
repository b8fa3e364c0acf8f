"""The small models (human, scripted) and their names."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rlem.core.errors import (
    DataError,
    ModelRejectedError,
    ModelResponseError,
    ModelUnavailableError,
    UnknownNameError,
    UsageError,
)
from rlem.llm.base import LanguageModel, Prompt, Usage
from rlem.llm.budget import Budget
from rlem.llm.human import HumanModel
from rlem.llm.recorded import RecordedModel
from rlem.llm.registry import make_model
from rlem.testing.scripted_model import ScriptedModel

PROMPT = Prompt(system="Choose one action.", user="a page\x1b[2J with two buttons")
LOCAL = "http://127.0.0.1:9/v1"


def test_a_person_sees_the_prompt_and_answers_in_lines() -> None:
    """The answer ends at an empty line; lines before it are joined; the next question reads on."""
    screen = io.StringIO()
    model = HumanModel(io.StringIO("\nAction: buy\nbecause\n\nsecond\n"), screen)
    assert model.complete(PROMPT).text == "Action: buy\nbecause"
    assert model.complete(PROMPT).text == "second"
    with pytest.raises(ModelUnavailableError, match="input ended"):
        model.complete(PROMPT)
    shown = screen.getvalue()
    assert shown.count("Choose one action.") == 1, "the constant part is shown once"
    assert shown.count("with two buttons") == 3


def test_a_page_cannot_steer_the_terminal() -> None:
    """Control characters of a page do not reach the screen; line ends do."""
    screen = io.StringIO()
    HumanModel(io.StringIO("x\n"), screen).complete(Prompt(system="", user="a\x1b[2J\x07\nb"))
    assert "\x1b" not in screen.getvalue()
    assert "\x07" not in screen.getvalue()
    assert "\nb\n" in screen.getvalue()


def test_stop_strings_cut_a_persons_answer_too() -> None:
    """All models treat stop alike; a person costs nothing."""
    completion = HumanModel(io.StringIO("buy. stop here\n"), io.StringIO()).complete(PROMPT, stop=["stop"])
    assert completion.text == "buy. "
    assert completion.usage == Usage(calls=1, cost_usd=0.0)


def test_a_broken_terminal_is_a_model_error() -> None:
    """Closed streams and characters that a screen cannot show do not leak foreign errors."""
    closed = io.StringIO()
    closed.close()
    with pytest.raises(ModelUnavailableError, match="terminal"):
        HumanModel(closed, io.StringIO()).complete(PROMPT)
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with pytest.raises(ModelUnavailableError, match="terminal"):
        HumanModel(io.StringIO("x\n"), narrow).complete(Prompt(system="", user="红"))


def test_a_script_is_played_in_order_with_its_errors() -> None:
    """Answers and errors come in turn, then the script is over; prompts and usage are kept."""
    model = ScriptedModel(["one", ModelResponseError("gibberish"), "three stop"])
    assert model.complete(PROMPT).text == "one"
    with pytest.raises(ModelResponseError):
        model.complete(PROMPT)
    assert model.complete(PROMPT, stop=[" stop"]).text == "three"
    with pytest.raises(ModelUnavailableError, match="3 answers"):
        model.complete(PROMPT)
    assert model.usage.calls == 2
    assert model.usage.prompt_tokens == 2 * model.count_tokens(PROMPT.text)
    assert model.prompts == [PROMPT] * 4


def test_a_script_under_threads_gives_each_answer_once() -> None:
    """Twenty threads get twenty different answers."""
    model = ScriptedModel([str(number) for number in range(20)])
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(model.complete(PROMPT).text)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got, key=int) == [str(number) for number in range(20)]
    assert model.usage.calls == 20


def test_models_are_made_by_name(tmp_path: Path) -> None:
    """human, openai:NAME (colons within), recorded:FILE; each is a LanguageModel."""
    path = tmp_path / "a.jsonl"
    recorder = RecordedModel(path, ScriptedModel(["x"]), mode="record")
    recorder.complete(PROMPT)
    models = [
        make_model("human"),
        make_model("openai:llama3.2:3b", base_url=LOCAL),
        make_model(f"recorded:{path}"),
    ]
    assert [model.name for model in models] == ["human", "openai:llama3.2:3b", "recorded:scripted"]
    for model in models:
        assert isinstance(model, LanguageModel)
        model.close()
        model.close()


def test_the_embedded_reader_is_made_by_name() -> None:
    """The default model needs nothing."""
    pytest.importorskip("rlem.llm.embedded")
    assert isinstance(make_model("embedded"), LanguageModel)


def test_any_model_can_be_recorded_by_name(tmp_path: Path) -> None:
    """record_to wraps the model; a recording that fails to open closes it again."""
    model = make_model("openai:m", base_url=LOCAL, record_to=tmp_path / "a.jsonl")
    assert model.name == "recorded:openai:m"
    model.close()
    with pytest.raises(DataError):
        make_model("openai:m", base_url=LOCAL, record_to=tmp_path)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("embeded", "did you mean 'embedded'"),
        ("", "Known: embedded, human, openai:NAME, recorded:FILE"),
        ("gpt-4o", "Known: embedded"),
    ],
)
def test_an_unknown_name_is_told_with_those_known(spec: str, says: str) -> None:
    """The message lists what can be written."""
    with pytest.raises(UnknownNameError, match=says):
        make_model(spec)


@pytest.mark.parametrize("spec", ["openai", "openai:", "recorded:", "human:me", "embedded:x"])
def test_an_incomplete_name_is_a_usage_error(spec: str) -> None:
    """Names that lack their part, or have one too many."""
    with pytest.raises(UsageError):
        make_model(spec)


def test_a_replay_takes_no_recording(tmp_path: Path) -> None:
    """recorded:FILE with record_to is refused."""
    with pytest.raises(UsageError, match="record_to"):
        make_model("recorded:x", record_to=tmp_path / "y")


def test_openai_without_a_key_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key and no base_url: the message says what to do, and no variable is read behind one's back."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    with pytest.raises(ModelRejectedError, match=r"needs an API key.*OPENAI_API_KEY"):
        make_model("openai:gpt-4o-mini")


@pytest.mark.parametrize(
    "base_url",
    ["localhost:8000", "ftp://x/v1", "http://", "http://x:port/v1", "http://[::1", "http://a b", "x"],
)
def test_a_base_url_that_is_none_is_refused_at_once(base_url: str) -> None:
    """A typing error must not be retried for two minutes."""
    with pytest.raises(UsageError, match="base_url"):
        make_model("openai:m", base_url=base_url)


@pytest.mark.parametrize("key", ["sk-secret\nvalue", "sk-sécret-value", "sk-\x00-secret"])
def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(key: str) -> None:
    """The message names the option and never the key."""
    with pytest.raises(ModelRejectedError, match="api_key") as caught:
        make_model("openai:m", base_url=LOCAL, api_key=key)
    assert "secret" not in str(caught.value)
    assert "sécret" not in str(caught.value)


def test_a_money_limit_without_a_price_is_refused_before_the_first_call() -> None:
    """A model on one's own server has no known price."""
    with pytest.raises(UsageError, match="price of model 'm' is unknown"):
        make_model("openai:m", base_url=LOCAL, budget=Budget(max_cost_usd=1))


def test_names_of_models_load_nothing_heavy() -> None:
    """Importing the registry loads neither the SDK nor numpy nor price tables."""
    code = (
        "import sys, rlem.llm.registry, rlem.llm.recorded, rlem.llm.human, rlem.llm.endpoint\n"
        "heavy = {'openai', 'numpy', 'genai_prices', 'tokenizers', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
