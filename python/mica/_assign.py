"""Indices that are more than slices: several index arrays, and assignment to elements.

An index becomes the flat positions that it names, by numpy's rules, which are those of mlx.core but for what each refuses. Reading takes those
positions; assigning makes a new array that takes its elements from the old one and from the values. Only positions are computed at once.
"""

from __future__ import annotations

from typing import Any, Callable

from . import _tensors, core


def _plain(key: Any, for_reading: bool) -> Any:
    """An index in numpy's terms."""
    if isinstance(key, tuple):
        return tuple(_plain(k, for_reading) for k in key)
    if isinstance(key, core.array):
        if for_reading and key.dtype is core.bool_:
            raise ValueError("boolean indices do not read elements, for their number is not known before: use where, or assign with them")
        if key.dtype in core._FLOATS:
            raise TypeError(f"an array of {key.dtype.name} is no index")
        return _tensors.numpy().asarray(key)
    if isinstance(key, slice):
        return slice(*(None if v is None else int(v) for v in (key.start, key.stop, key.step)))
    return key


def positions(shape: tuple[int, ...], key: Any, for_reading: bool = False) -> Any:
    """The flat positions that an index names, as numpy int64 in the shape that it gives."""
    np = _tensors.numpy()
    size = 1
    for n in shape:
        size *= n
    return np.asarray(np.arange(size, dtype=np.int64).reshape(shape)[_plain(key, for_reading)])


def read(a: core.array, key: Any) -> core.array:
    at = positions(a.shape, key, True)
    return core.take(core.reshape(a, (-1,)), core.array(at.reshape(-1))).reshape(at.shape)


def _values(a: core.array, value: Any, at: Any) -> core.array:
    """The new elements, one for each position, in a row; leading axes of length 1 that are too many fall away."""
    made = core._as_array(value, a).astype(a.dtype)
    while made.ndim > at.ndim and made.shape[0] == 1:
        made = core.reshape(made, made.shape[1:])
    return core.reshape(core.broadcast_to(made, at.shape), (-1,))


def assigned(a: core.array, key: Any, value: Any) -> core.array:
    """a with other elements at an index; of several values for one element, the last stays."""
    at = positions(a.shape, key)
    return _replaced(a, at.reshape(-1), _values(a, value, at))


def _replaced(a: core.array, at: Any, values: core.array) -> core.array:
    if not at.size:
        return a
    np = _tensors.numpy()
    source = np.arange(a.size, dtype=np.int64)
    source[at] = a.size + np.arange(at.size)
    both = core.concatenate([core.reshape(a, (-1,)), values])
    return core.take(both, core.array(source)).reshape(a.shape)


class Updates:
    """a.at: a.at[index].add(values) and its like, where an element that is named several times takes every value."""

    def __init__(self, a: core.array):
        self._array = a

    def __getitem__(self, key: Any) -> "Update":
        return Update(self._array, key)


class Update:
    def __init__(self, a: core.array, key: Any):
        self._array, self._key = a, key

    def _apply(self, value: Any, operation: Callable[[Any, Any], core.array]) -> core.array:
        np = _tensors.numpy()
        a = self._array
        at = positions(a.shape, self._key)
        values, flat = _values(a, value, at), at.reshape(-1)
        order = np.argsort(flat, kind="stable")
        ranked = flat[order]
        starts = np.r_[True, ranked[1:] != ranked[:-1]] if flat.size else np.empty(0, bool)
        turn = np.empty(flat.size, np.int64)  # how often the element was named before
        turn[order] = np.arange(flat.size) - np.maximum.accumulate(np.where(starts, np.arange(flat.size), 0))
        for k in range(int(turn.max()) + 1 if flat.size else 0):
            now = np.nonzero(turn == k)[0]
            old = core.take(core.reshape(a, (-1,)), core.array(flat[now]))
            new = operation(old, core.take(values, core.array(now)))
            a = _replaced(a, flat[now], new.astype(a.dtype))
        return a

    def add(self, value: Any) -> core.array:
        return self._apply(value, core.add)

    def subtract(self, value: Any) -> core.array:
        return self._apply(value, core.subtract)

    def multiply(self, value: Any) -> core.array:
        return self._apply(value, core.multiply)

    def divide(self, value: Any) -> core.array:
        return self._apply(value, core.divide)

    def maximum(self, value: Any) -> core.array:
        return self._apply(value, core.maximum)

    def minimum(self, value: Any) -> core.array:
        return self._apply(value, core.minimum)
