"""Environments by name, for the command line and for run configs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from rlem.core.errors import UnknownNameError, UsageError
from rlem.environments.base import Environment

if TYPE_CHECKING:
    from rlem.environments.mobile_env.env import Proxy
    from rlem.environments.webshop.data import GoalKind
    from rlem.environments.webshop.pages import ObservationMode
    from rlem.environments.wikihow.judge import Repeatability


def make(name: str, **options: Any) -> Environment:
    """An environment by name.

    Errors: UnknownNameError for an unknown name; UsageError for an option that it does not have, or a
    value that does not fit.

    >>> make("corridor", rooms=3).name
    'corridor'
    """
    if name not in _FACTORIES:
        raise UnknownNameError("environment", name, _FACTORIES)
    factory = _FACTORIES[name]
    known = inspect.signature(factory).parameters
    for option, value in options.items():
        if option not in known:
            raise UnknownNameError(f"option of environment {name!r}:", option, known)
        _check_number(option, value, known[option].default)
    return factory(**options)


def _check_number(option: str, value: object, default: object) -> None:
    wanted = {int: Integral, float: Real}.get(type(default))
    if wanted and not isinstance(value, wanted):
        what = "whole number" if wanted is Integral else "number"
        raise UsageError(f"{option}={value!r} is no {what}; give one, for example {default!r}")


def names() -> tuple[str, ...]:
    """Names that :func:`make` knows, sorted."""
    return tuple(sorted(_FACTORIES))


def option_names(name: str) -> tuple[str, ...]:
    """Options that an environment takes."""
    if name not in _FACTORIES:
        raise UnknownNameError("environment", name, _FACTORIES)
    return tuple(inspect.signature(_FACTORIES[name]).parameters)


def _webshop(
    *,
    data: str | None = None,
    goals: GoalKind = "synthetic",
    price_seed: int = 0,
    observation_mode: ObservationMode = "text_rich",
    nouns: str = "rule",
    faithful: bool = False,
    seed: int | None = None,
    n_products: int | None = None,
) -> Environment:
    from rlem.environments.webshop.env import WebShop
    from rlem.environments.webshop.spacy_nouns import nouns_by_name

    if data is None and goals != "synthetic":
        raise UsageError(
            f"goals={goals!r} needs data=PATH (--data PATH); the bundled shop has synthetic goals only"
        )
    bundled: dict[str, Any] = {"seed": seed, "n_products": n_products}
    made = {name: value for name, value in bundled.items() if value is not None}
    if data is not None and made:
        raise UsageError(f"{', '.join(made)} is for the bundled shop; leave it out with data={data!r}")
    options: Any = {
        "price_seed": price_seed,
        "observation_mode": observation_mode,
        "nouns": nouns_by_name(nouns),
        "faithful": faithful,
    }
    if data is not None:
        return WebShop.open(data, goals=goals, **options)
    return WebShop.bundled(**made, **options)


def _wikihow(
    *,
    data: str | None = None,
    seed: int = 0,
    n_articles: int = 300,
    repeatability: Repeatability = "file",
    reward_lag: float = 0.0,
    faithful: bool = False,
) -> Environment:
    from rlem.environments.wikihow.env import WikiHow

    options: Any = {"repeatability": repeatability, "reward_lag": reward_lag, "faithful": faithful}
    if data is not None:
        return WikiHow.open(data, seed=seed, n_articles=n_articles, **options)
    return WikiHow.bundled(seed=seed, n_articles=n_articles, **options)


def _mobile_env(
    *,
    data: str | None = None,
    avd: str = "Pixel_2_API_30_x64",
    sdk: str = "~/Android/Sdk",
    avd_home: str = "~/.android/avd",
    headless: bool = True,
    proxy: Proxy = "syscert",
    vocabulary: str | None = None,
    faithful: bool = False,
) -> Environment:
    from rlem.environments.mobile_env.env import MobileEnv

    if data is None:
        raise UsageError("mobile-env needs data=PATH (--data PATH): the folder of its task files")
    return MobileEnv.open(
        data,
        avd=avd,
        sdk=sdk,
        avd_home=avd_home,
        headless=headless,
        proxy=proxy,
        vocabulary=vocabulary,
        faithful=faithful,
    )


def _corridor(*, rooms: int = 2, seed: int = 0) -> Environment:
    from rlem.environments.toy import Corridor

    return Corridor(rooms=rooms, seed=seed)


_FACTORIES: dict[str, Callable[..., Environment]] = {
    "corridor": _corridor,
    "mobile-env": _mobile_env,
    "webshop": _webshop,
    "wikihow": _wikihow,
}
