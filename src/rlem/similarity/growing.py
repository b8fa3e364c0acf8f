"""Arrays that grow by doubling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Growing:
    """An array whose first axis doubles when it is full. What was never written holds ``fill``."""

    def __init__(self, dtype: DTypeLike, *, fill: int = 0, width: int | None = None) -> None:
        self.size = 0
        self._fill = fill
        shape = (16,) if width is None else (16, width)
        self._data: NDArray[Any] = np.full(shape, fill, dtype)

    @property
    def view(self) -> NDArray[Any]:
        """The filled part. Writing to it writes to the array; a later growth detaches it."""
        return self._data[: self.size]

    def reach(self, size: int) -> None:
        """Makes the array at least that long."""
        if size > len(self._data):
            shape = (max(size, 2 * len(self._data)), *self._data.shape[1:])
            longer = np.full(shape, self._fill, self._data.dtype)
            longer[: self.size] = self._data[: self.size]
            self._data = longer
        self.size = max(self.size, size)

    def append(self, value: Any) -> None:
        """Appends one value."""
        self.reach(self.size + 1)
        self._data[self.size - 1] = value

    def extend(self, values: NDArray[Any]) -> None:
        """Appends values."""
        start = self.size
        self.reach(start + len(values))
        self._data[start : self.size] = values

    def replace(self, values: NDArray[Any]) -> None:
        """Holds these values and nothing else from now on."""
        self._data[: self.size] = self._fill
        self.size = 0
        self.extend(values)
