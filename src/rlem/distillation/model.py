"""The causal transformer: from a history of steps to the next action. Extra: ``distillation`` (torch).

One token a step holds what was known when its action was chosen: the cell (as row and column, so that a
goal never seen resembles those that were), the action and the reward before it, and its place in the context.

    token_t = row(o_t) + column(o_t) + action(a_{t-1}) + reward(r_{t-1}) + place(t)
    pi(a_t | o_0 .. o_t, a_0 .. a_{t-1}, r_0 .. r_{t-1}) = softmax(head(transformer(token_0 .. token_t)))

Source: Laskin et al. 2022, section 3. Differs: they give observation, action and reward a token each; one
token a step makes the context three times shorter for the same episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlem.core.errors import MissingExtraError
from rlem.distillation.grid import ACTIONS, NO_ACTION, Steps

Model = Any  # a torch.nn.ModuleDict: torch is no type here, for where types are checked it may be absent
Tensor = Any


def library() -> Any:
    """torch, imported late: the package is there without it. Raises: MissingExtraError."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("Algorithm Distillation on the grid world", "distillation") from None
    return torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Size of a transformer; ``context`` is its longest history in steps."""

    size: int
    context: int
    width: int = 64
    layers: int = 4
    heads: int = 4


def make(shape: Shape, seed: int) -> Model:
    """A transformer with random weights drawn by ``seed``; the global generator is left as it was."""
    torch, width = library(), shape.width
    nn = torch.nn

    def layer() -> Model:
        return nn.ModuleDict(
            {
                "attend_norm": nn.LayerNorm(width),
                "attend": nn.Linear(width, 3 * width),
                "attended": nn.Linear(width, width),
                "think_norm": nn.LayerNorm(width),
                "think": nn.Linear(width, 4 * width),
                "thought": nn.Linear(4 * width, width),
            }
        )

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.ModuleDict(
            {
                "row": nn.Embedding(shape.size, width),
                "column": nn.Embedding(shape.size, width),
                "action": nn.Embedding(NO_ACTION + 1, width),
                "reward": nn.Embedding(2, width),
                "place": nn.Embedding(shape.context, width),
                "layers": nn.ModuleList([layer() for _ in range(shape.layers)]),
                "norm": nn.LayerNorm(width),
                "head": nn.Linear(width, len(ACTIONS)),
            }
        )


class Cache:
    """Keys and values of the steps read so far, so that the next step need not read them again."""

    def __init__(self) -> None:
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def length(self) -> int:
        """Steps that were read."""
        return int(self.layers[0][0].shape[2]) if self.layers else 0

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds those of new steps; returns those of all."""
        if layer in self.layers:
            old_keys, old_values = self.layers[layer]
            cat = library().cat
            keys, values = cat([old_keys, keys], dim=2), cat([old_values, values], dim=2)
        self.layers[layer] = keys, values
        return keys, values


def logits(model: Model, steps: Steps, heads: int, cache: Cache | None = None) -> Tensor:
    """Logits of the next action after each step, shape [batch, step, action].

    With a ``cache``, ``steps`` follow what it holds: any number at first, then one at a time.
    """
    torch = library()
    functional = torch.nn.functional
    size, past = model["row"].num_embeddings, cache.length if cache else 0
    given = {
        "row": steps.cells // size,
        "column": steps.cells % size,
        "action": steps.before,
        "reward": steps.earned,
    }
    batch, length = steps.cells.shape
    x = model["place"].weight[past : past + length]
    for name, values in given.items():
        x = x + model[name](torch.from_numpy(values))
    for number, layer in enumerate(model["layers"]):
        projected = layer["attend"](layer["attend_norm"](x)).view(batch, length, 3, heads, -1)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        if cache is not None:
            key, value = cache.extend(number, key, value)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=length > 1)
        x = x + layer["attended"](mixed.transpose(1, 2).reshape(batch, length, -1))
        x = x + layer["thought"](functional.gelu(layer["think"](layer["think_norm"](x)), approximate="tanh"))
    return model["head"](model["norm"](x))


def use_threads(threads: int) -> None:
    """How many threads torch computes with."""
    library().set_num_threads(threads)


def parameters(model: Model) -> int:
    """How many weights there are."""
    return sum(parameter.numel() for parameter in model.parameters())
