"""Distils learning histories into a transformer: next-action cross-entropy over windows of whole episodes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rlem.core.errors import UsageError
from rlem.distillation.grid import Histories
from rlem.distillation.model import Model, library, logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How the transformer is trained: AdamW, a linear warm-up, then a cosine down to a tenth.

    ``stride``: every so-many-th episode of a history is shown, so that a window holds more progress and
    the student learns in fewer episodes than its source. Source: Laskin et al. 2022, section 5.
    """

    steps: int = 1000
    batch: int = 32
    learning_rate: float = 3e-3
    warm_up: int = 50
    stride: int = 5

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        cosine = 0.55 + 0.45 * math.cos(math.pi * step / self.steps)
        return self.learning_rate * cosine * min(1.0, (step + 1) / self.warm_up)


def train(
    model: Model,
    histories: Histories,
    settings: Training,
    seed: int,
    *,
    heads: int,
    progress: Callable[[float], None] = lambda loss: None,
) -> list[float]:
    """Trains in place; returns the loss of every step, in nats an action.

    Each window begins with an episode and is as long as the context. ``progress`` is told each loss.
    """
    torch, rng = library(), np.random.default_rng(seed)
    context, length = model["place"].num_embeddings, histories.cells.shape[2]
    thinned = [histories.thinned(first, settings.stride) for first in range(settings.stride)]
    sources = [(part.steps(), part.actions.reshape(len(part.actions), -1)) for part in thinned]
    if min(actions.shape[1] for _, actions in sources) < context:
        raise UsageError(
            f"histories thinned by {settings.stride} are shorter than a context of {context} steps"
        )
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.01)
    losses = []
    for step in range(settings.steps):
        steps, actions = sources[rng.integers(len(sources))]
        first = length * rng.integers((actions.shape[1] - context) // length + 1, size=(settings.batch, 1))
        window = (rng.integers(len(actions), size=(settings.batch, 1)), first + np.arange(context))
        scores = logits(model, steps[window], heads)
        loss = torch.nn.functional.cross_entropy(
            scores.flatten(0, 1), torch.from_numpy(actions[window]).flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = settings.rate(step)
        optimizer.step()
        losses.append(float(loss.detach()))
        progress(losses[-1])
    return losses
