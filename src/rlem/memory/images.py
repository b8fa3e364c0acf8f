"""Arrays as the named bytes that a store keeps, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")

_HEADER = "header"


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, bytes | memoryview]:
    """The arrays as bytes, and under a name of its own what they are."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {name: [array.dtype.str, list(array.shape)] for name, array in whole.items()}
    parts: dict[str, bytes | memoryview] = {name: array.reshape(-1).data for name, array in whole.items()}
    return {**parts, _HEADER: json.dumps(header).encode()}


def unpack_arrays(parts: Mapping[str, bytes | memoryview]) -> dict[str, NDArray[Any]]:
    """The arrays of such bytes, read-only. ValueError, TypeError or LookupError if they are damaged."""
    header = json.loads(bytes(parts[_HEADER]))
    return {
        name: np.frombuffer(parts[name], np.dtype(dtype)).reshape(shape)
        for name, (dtype, shape) in header.items()
    }


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of that size; the last one may be shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
