"""Targets: what an action was worth in one episode, as seen from one of its steps.

Notation: r[t] is the reward received on leaving o_t by a_t; T transitions, t = 0 .. T-1; gamma the
discount; V(o) = max_a Q(g, o, a) over the recorded actions of o.
"""

from __future__ import annotations

from collections.abc import Sequence


def monte_carlo_returns(rewards: Sequence[float], discount: float, tail: float = 0.0) -> list[float]:
    """Discounted return from every step on, to the end of the episode.

        G_t = r_t + gamma * G_{t+1},   G_T = tail

    Source: Sutton & Barto 2018, eq. 3.9; Zhang et al. 2023 with n unset.

    ``tail`` is the value of what follows the last transition: 0 at a terminal one.

    >>> monte_carlo_returns([1, 0, 2], 0.9)
    [2.62, 1.8, 2.0]
    """
    returns = [0.0] * len(rewards)
    ahead = float(tail)
    for t in range(len(rewards) - 1, -1, -1):
        ahead = rewards[t] + discount * ahead
        returns[t] = ahead
    return returns


def n_step_target(rewards: Sequence[float], discount: float, bootstrap: float = 0.0) -> float:
    """n-step return over the given n rewards, then the value of the situation reached.

        G_{t:t+n} = sum_{i=0}^{n-1} gamma^i r_{t+i} + gamma^n V(o_{t+n})

    Source: Sutton & Barto 2018, eq. 7.1 with max_a Q; Zhang et al. 2023, eq. 3.

    For the last n transitions of an episode pass the remaining rewards and bootstrap 0 (F3b).

    >>> n_step_target([1.0, 0.0], 0.9, bootstrap=2.0)
    2.62
    """
    target = float(bootstrap)
    for reward in reversed(rewards):
        target = reward + discount * target
    return target


def lambda_return(
    rewards: Sequence[float],
    next_values: Sequence[float],
    discount: float,
    trace_decay: float,
    tail: float = 0.0,
) -> float:
    """Lambda-return of the first of the given steps (forward view).

        G_t = r_t + gamma * ((1 - lambda) V(o_{t+1}) + lambda G_{t+1}),   last step: r + gamma * tail

    Source: Sutton & Barto 2018, eq. 12.2 in its recursive form. lambda = 1 is Monte-Carlo, 0 is one step.

    ``next_values[i]`` is V of the situation reached by step i; shape (len(rewards) - 1,): the last step
    reaches the end, whose value is ``tail``.

    >>> lambda_return([0.0, 1.0], [0.5], 1.0, 0.5)
    0.75
    """
    if len(next_values) != len(rewards) - 1:
        raise ValueError(
            f"{len(rewards)} rewards need {len(rewards) - 1} next values, got {len(next_values)}"
        )
    target = rewards[-1] + discount * tail
    for reward, value in zip(reversed(rewards[:-1]), reversed(next_values), strict=True):
        target = reward + discount * ((1.0 - trace_decay) * value + trace_decay * target)
    return float(target)
