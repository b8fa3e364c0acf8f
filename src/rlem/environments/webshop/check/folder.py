"""Replays recordings of the original WebShop and says what differs: ``rlem env check webshop``.

What a file holds is told by its name. Every recorded field that has a meaning for the shop is compared. Not
compared: hashes and texts of the original's HTML, Lucene's own numbers of documents, tags of words other
than NOUN, what the original drops of a product after loading (page, model, average_rating), addresses of
pictures, the texts of the site's error pages.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rlem.core.errors import DataError
from rlem.environments.checking import (
    Found,
    Kind,
    Progress,
    Report,
    check_files,
    json_lines,
    json_list,
)
from rlem.environments.webshop.check import parts
from rlem.environments.webshop.check.play import Misc, replay_episode, replay_react
from rlem.environments.webshop.check.products import Products, document
from rlem.environments.webshop.check.shops import Shops
from rlem.environments.webshop.check.site import Site
from rlem.environments.webshop.original import Variant

_INPUTS = (
    "products.json", "items_shuffle", "items_ins_v2", "items_human_ins", "human_goals", "pub-to-mine",
    "rememberer_pub-to-mine", "measurements.json", "README",
)  # fmt: skip
_ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".json.gz")


def check_folder(
    data: str | Path, golden: str | Path, *, show: int = 3, progress: Progress | None = None
) -> Report:
    """Replays every recording in the folder ``golden`` in faithful shops over ``data``.

    ``data``: a folder with the original's files, or an imported store. The first ``show`` differing rows of
    each file are kept in full. What cannot be replayed or read differs, and the rest is replayed all the
    same. Errors: DataError where a folder is missing, or has nothing to replay.
    """
    root = Path(golden)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; expected one with recordings of the original")
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    known = [name for name in names if name.split(".")[0] in KINDS]
    inputs = [name for name in names if name not in known and name.startswith(_INPUTS)]
    if not known:
        raise DataError(
            f"{root} holds no recording; known are episodes_upstream, rewards, search, ... (docs/webshop.md)"
        )
    shops = Shops(data)
    shops.catalogue(False)  # what is wrong with the data is said once, not for every recording
    return Report(
        files=check_files(root, known, lambda path: _kind(path)(shops), show=show, progress=progress),
        inputs=tuple(inputs),
        unknown=tuple(name for name in names if name not in known and name not in inputs),
    )


def _kind(path: Path) -> Callable[[Shops], Kind]:
    stem = path.name.split(".")[0]
    if path.name.removeprefix(stem) not in _ENDINGS:
        raise DataError(
            f"{path}: a recording with an ending that cannot be read; known are {', '.join(_ENDINGS)}"
        )
    return KINDS[stem]


def _lines(replay: Callable[[Shops, Any], list[Found]]) -> Callable[[Shops], Kind]:
    return lambda shops: Kind(json_lines, partial(replay, shops))


def _by_goals(replay: Callable[[Shops, bool, Any], list[Found]], human: bool) -> Callable[[Shops], Kind]:
    return lambda shops: Kind(json_lines, partial(replay, shops, human))


def _episodes(variant: Variant, shops: Shops) -> Kind:
    def replay(row: Any) -> list[Found]:
        return replay_episode(shops, variant, row, human=row["human_goals"])

    return Kind(json_lines, replay)


def _misc(variant: Variant, shops: Shops) -> Kind:
    misc = Misc(shops, variant)
    return Kind(misc.rows, misc.replay)


KINDS: dict[str, Callable[[Shops], Kind]] = {
    "episodes_upstream": partial(_episodes, "upstream"),
    "episodes_rememberer_fork": partial(_episodes, "fork"),
    "misc_upstream": partial(_misc, "upstream"),
    "misc_rememberer_fork": partial(_misc, "fork"),
    "search": _lines(parts.search),
    "search_stress": _lines(parts.products_found),
    "rewards": _lines(parts.reward),
    "normalize_color": _lines(parts.colour),
    "title_pos": _lines(parts.nouns),
    "fuzz_token_set_ratio": _lines(parts.fuzzy),
    "goals_synthetic": _by_goals(parts.goal, False),
    "goals_human": _by_goals(parts.goal, True),
    "prices_synthetic": _by_goals(parts.price, False),
    "prices_human": _by_goals(parts.price, True),
    "products_loaded": lambda shops: Kind(json_lines, Products(shops).replay),
    "index_doc_tokens": _lines(document),
    "react_format": _lines(replay_react),
    "site_http": lambda shops: Kind(json_lines, Site(shops).replay),
    "real_reward_examples_full_webshop": lambda shops: Kind(json_list, partial(parts.real_reward, shops)),
}
"""How each recording is replayed, by the name of its file without the ending."""
