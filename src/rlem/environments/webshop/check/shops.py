"""The shops that recordings are replayed in: one ranking, goals of both kinds, prices by seed."""

from __future__ import annotations

import random
from pathlib import Path

from rlem.core.errors import DataError, RlemError
from rlem.environments.webshop.data import Catalogue, GoalKind
from rlem.environments.webshop.files import load_catalogue
from rlem.environments.webshop.search import Ranking
from rlem.environments.webshop.session import Shop


def open_catalogue(data: str | Path, goals: GoalKind, price_seed: int | random.Random) -> Catalogue:
    """Products and goals of a folder with the original's files, or of an imported store."""
    if Path(data).is_file():
        from rlem.environments.webshop.store.catalogue import StoredCatalogue

        return StoredCatalogue(data, goals=goals, price_seed=price_seed)
    return load_catalogue(data, goals=goals, price_seed=price_seed)


class Shops:
    """Shops over one data folder or store, made when they are first asked for."""

    def __init__(self, data: str | Path) -> None:
        if not Path(data).exists():
            raise DataError(f"{data} does not exist; expected a folder with products.json, or a store")
        self.data = data
        self._ranking: Ranking | None = None
        self._catalogues: dict[bool, Catalogue] = {}
        self._lacking: dict[bool, str] = {}
        self._shops: dict[tuple[bool, bool], Shop] = {}

    def catalogue(self, human: bool) -> Catalogue:
        """Goals that people wrote, or those made of options; prices of seed 0, the recorded one.

        Errors: DataError where the data has no such goals; the data is then read only once.
        """
        if human in self._lacking:
            raise DataError(self._lacking[human])
        if human not in self._catalogues:
            try:
                self._catalogues[human] = self.seeded(human, 0)
            except RlemError as error:
                self._lacking[human] = str(error)
                raise
        return self._catalogues[human]

    def seeded(self, human: bool, price_seed: int | random.Random) -> Catalogue:
        """The same with other prices and limits."""
        return open_catalogue(self.data, "human" if human else "synthetic", price_seed)

    def shop(self, human: bool, *, faithful: bool = True) -> Shop:
        """The shop with these goals."""
        if (human, faithful) not in self._shops:
            self._shops[human, faithful] = self.around(self.catalogue(human), faithful=faithful)
        return self._shops[human, faithful]

    def around(self, catalogue: Catalogue, *, faithful: bool = True) -> Shop:
        """A shop over a catalogue of the same products, which need no second index."""
        ranking = self._ranking or getattr(catalogue, "ranking", None)
        shop = Shop(catalogue, ranking=ranking, faithful=faithful)
        self._ranking = shop.ranking
        return shop
