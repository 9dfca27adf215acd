"""Operations of mlx.core that are made of others. core.py has them under their names."""

from __future__ import annotations

import itertools
import math
from typing import Any, Optional, Sequence, Union

from . import core
from .core import _FLOATS, _as_array, array

Axes = Union[int, Sequence[int], None]


def isnan(a: Any) -> array:
    return core.not_equal(a, a)


def isinf(a: Any) -> array:
    return core.abs(_as_array(a)) == math.inf if _as_array(a).dtype in _FLOATS else core.zeros(_as_array(a).shape, core.bool_)


def isposinf(a: Any) -> array:
    return core.logical_and(isinf(a), _as_array(a) > 0)


def isneginf(a: Any) -> array:
    return core.logical_and(isinf(a), _as_array(a) < 0)


def isfinite(a: Any) -> array:
    return core.logical_not(core.logical_or(isnan(a), isinf(a)))


def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> array:
    a, b = _as_array(a), _as_array(b)
    near = core.logical_and(core.abs(a - b) <= core.abs(b) * rtol + atol, core.logical_and(isfinite(a), isfinite(b)))
    near = core.logical_or(near, a == b)
    return core.logical_or(near, core.logical_and(isnan(a), isnan(b))) if equal_nan else near


def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> array:
    return core.all(isclose(a, b, rtol, atol, equal_nan))


def array_equal(a: Any, b: Any, equal_nan: bool = False) -> array:
    a, b = _as_array(a), _as_array(b)
    if a.shape != b.shape:
        return core.full((), False)
    same = a == b
    return core.all(core.logical_or(same, core.logical_and(isnan(a), isnan(b))) if equal_nan else same)


def nan_to_num(a: Any, nan: float = 0.0, posinf: Optional[float] = None, neginf: Optional[float] = None) -> array:
    a = given = _as_array(a)
    if a.dtype not in _FLOATS:
        return given
    largest = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float64": 1.7976931348623157e308}.get(a.dtype.name, 3.4028234663852886e38)
    a = core.where(isnan(a), core.full((), nan, a.dtype), a)
    a = core.where(isposinf(a), core.full((), largest if posinf is None else posinf, a.dtype), a)
    return core.where(isneginf(a), core.full((), -largest if neginf is None else neginf, a.dtype), a)


def _float(a: Any) -> array:
    made = _as_array(a)
    return made if made.dtype in _FLOATS else made.astype(core.float32)


def tan(a: Any) -> array:
    a = _float(a)
    return core.sin(a) / core.cos(a)


def sinh(a: Any) -> array:
    a = _float(a)
    return (core.expm1(a) - core.expm1(-a)) * 0.5


def cosh(a: Any) -> array:
    a = _float(a)
    return (core.exp(a) + core.exp(-a)) * 0.5


def log2(a: Any) -> array:
    return core.log(_float(a)) * (1 / math.log(2))


def log10(a: Any) -> array:
    return core.log(_float(a)) * (1 / math.log(10))


def logaddexp(a: Any, b: Any) -> array:
    a, b = _float(a), _float(b)
    high, low = core.maximum(a, b), core.minimum(a, b)
    return core.where(isinf(high), high, high + core.log1p(core.exp(low - high)))


def degrees(a: Any) -> array:
    return _float(a) * (180 / math.pi)


def radians(a: Any) -> array:
    return _float(a) * (math.pi / 180)


def logical_xor(a: Any, b: Any) -> array:
    return core.not_equal(_as_array(a).astype(core.bool_), _as_array(b).astype(core.bool_))


def positive(a: Any) -> array:
    return _as_array(a)


def stop_gradient(a: Any) -> array:
    return _as_array(a)  # there are no gradients here


def count_nonzero(a: Any, axis: Axes = None, keepdims: bool = False) -> array:
    return core.sum((_as_array(a) != 0).astype(core.int32), axis, keepdims)


# ---- making -------------------------------------------------------------------------------------------------------------


def identity(n: int, dtype: Any = None) -> array:
    return core.eye(n, dtype=dtype or core.float32)


def full_like(a: array, value: Any, dtype: Any = None) -> array:
    return core.full(a.shape, value, dtype or a.dtype)


def tril(a: Any, k: int = 0) -> array:
    a = _as_array(a)
    return core.where(core.tri(a.shape[-2], a.shape[-1], k, core.bool_), a, core.zeros((), a.dtype))


def triu(a: Any, k: int = 0) -> array:
    a = _as_array(a)
    return core.where(core.tri(a.shape[-2], a.shape[-1], k - 1, core.bool_), core.zeros((), a.dtype), a)


def diagonal(a: array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> array:
    first, second = axis1 % a.ndim, axis2 % a.ndim
    rest = [i for i in range(a.ndim) if i not in (first, second)]
    flat = core.transpose(a, [*rest, first, second])
    rows, columns = flat.shape[-2:]
    n = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    start = max(offset, 0) - min(offset, 0) * columns
    flat = core.reshape(flat, (*flat.shape[:-2], rows * columns))
    return core.take(flat, core.arange(n) * (columns + 1) + start, flat.ndim - 1)


def diag(a: array, k: int = 0) -> array:
    if a.ndim == 2:
        return diagonal(a, k)
    n = a.shape[0] + abs(k)
    wide = pad(a, (max(k, 0), max(-k, 0))) if k >= 0 else pad(a, (0, -k))
    return core.where(core.eye(n, n, k, core.bool_), wide if k >= 0 else core.expand_dims(roll(wide, -k), 1), core.zeros((), a.dtype))


def trace(a: array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> array:
    return core.sum(diagonal(a, offset, axis1, axis2), -1)


def meshgrid(*arrays: array, sparse: bool = False, indexing: str = "xy") -> list[array]:
    n = len(arrays)
    order = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else list(range(n))
    shape = [0] * n
    for i, a in enumerate(arrays):
        shape[order[i]] = a.size
    made = [core.reshape(a, [a.size if k == order[i] else 1 for k in range(n)]) for i, a in enumerate(arrays)]
    return made if sparse else [core.broadcast_to(a, shape) for a in made]


# ---- shape --------------------------------------------------------------------------------------------------------------


def _at_least(n: int, a: Any, where: Sequence[int]) -> array:
    made = _as_array(a)
    for axis in where[len(where) - max(0, n - made.ndim) :]:
        made = core.expand_dims(made, axis)
    return made


def atleast_1d(a: Any) -> array:
    return _at_least(1, a, [0])


def atleast_2d(a: Any) -> array:
    return _at_least(2, a, [0, 0])


def atleast_3d(a: Any) -> array:
    made = atleast_2d(a)
    return core.expand_dims(made, 2) if made.ndim == 2 else made


def unflatten(a: array, axis: int, shape: Sequence[int]) -> array:
    axis %= a.ndim
    return core.reshape(a, (*a.shape[:axis], *shape, *a.shape[axis + 1 :]))


def broadcast_arrays(*arrays: array) -> list[array]:
    shape: list[int] = []
    for sizes in itertools.zip_longest(*(reversed(a.shape) for a in arrays), fillvalue=1):
        shape.insert(0, next((n for n in sizes if n != 1), 1))
    return [core.broadcast_to(a, shape) for a in arrays]


def _axis_list(a: array, axis: Axes) -> list[int]:
    axes = range(a.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    return [i % a.ndim for i in axes]


def flip(a: array, axis: Axes = None) -> array:
    for i in _axis_list(a, axis):
        a = core.take(a, core.arange(a.shape[i] - 1, -1, -1), i)
    return a


def roll(a: array, shift: Union[int, Sequence[int]], axis: Axes = None) -> array:
    if axis is None:
        total = shift if isinstance(shift, int) else sum(shift)
        return core.reshape(roll(core.reshape(a, (-1,)), total, 0), a.shape)
    axes = _axis_list(a, axis)
    for i, by in zip(axes, [shift] * len(axes) if isinstance(shift, int) else shift):
        n = a.shape[i]
        by = by % n if n else 0
        if by:
            a = core.concatenate([core._slice(a, i, n - by, n, 1), core._slice(a, i, 0, n - by, 1)], i)
    return a


def repeat(a: Any, repeats: int, axis: Optional[int] = None) -> array:
    a = _as_array(a) if axis is not None else core.reshape(a, (-1,))
    at = (axis or 0) % a.ndim
    wide = core.broadcast_to(core.expand_dims(a, at + 1), (*a.shape[: at + 1], repeats, *a.shape[at + 1 :]))
    return core.reshape(wide, (*a.shape[:at], a.shape[at] * repeats, *a.shape[at + 1 :]))


def tile(a: Any, reps: Union[int, Sequence[int]]) -> array:
    a = _as_array(a)
    times = [reps] if isinstance(reps, int) else list(reps)
    n = max(a.ndim, len(times))
    times = [1] * (n - len(times)) + times
    made = core.reshape(a, [1] * (n - a.ndim) + list(a.shape))
    for axis, k in enumerate(times):
        if k != 1:
            made = core.concatenate([made] * k, axis) if k else core._slice(made, axis, 0, 0, 1)
    return made


def pad(a: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> array:
    made = _as_array(a)
    if mode not in ("constant", "edge"):
        raise ValueError(f"mode is {mode!r}, expected 'constant' or 'edge'")
    widths = [(pad_width, pad_width)] if isinstance(pad_width, int) else pad_width
    if isinstance(widths[0], int):
        widths = [tuple(widths) if len(widths) == 2 else (widths[0], widths[0])]
    widths = list(widths) * made.ndim if len(widths) == 1 else widths
    for axis, (before, after) in enumerate(widths):
        parts = [made]
        for width, edge, at in ((before, 0, 0), (after, made.shape[axis] - 1, len(parts))):
            if width:
                shape = [width if i == axis else n for i, n in enumerate(made.shape)]
                fill = core.broadcast_to(core._slice(made, axis, edge, edge + 1, 1), shape) if mode == "edge" else None
                parts.insert(0 if at == 0 else len(parts), core.full(shape, constant_values, made.dtype) if fill is None else fill)
        made = core.concatenate(parts, axis) if len(parts) > 1 else made
    return made


# ---- orders -------------------------------------------------------------------------------------------------------------


def topk(a: array, k: int, axis: Optional[int] = -1) -> array:
    """The k largest, in ascending order."""
    along = axis if axis is not None else 0
    a = a if axis is not None else core.reshape(a, (-1,))
    n = a.shape[along]
    return core._slice(core.sort(a, along), along % a.ndim, n - k, n, 1)


def partition(a: array, kth: int, axis: Optional[int] = -1) -> array:
    return core.sort(a, axis)


def argpartition(a: array, kth: int, axis: Optional[int] = -1) -> array:
    return core.argsort(a, axis)


def median(a: array, axis: Axes = None, keepdims: bool = False) -> array:
    axes = sorted(_axis_list(a, axis))
    rest = [i for i in range(a.ndim) if i not in axes]
    flat = core.transpose(_float(a), [*rest, *axes])
    flat = core.sort(core.reshape(flat, [*(a.shape[i] for i in rest), -1]), -1)
    n = flat.shape[-1]
    middle = core._slice(flat, flat.ndim - 1, (n - 1) // 2, n // 2 + 1, 1)
    made = core.mean(middle, -1)
    return core.reshape(made, [1 if i in axes else n for i, n in enumerate(a.shape)]) if keepdims else made


# ---- products -----------------------------------------------------------------------------------------------------------


def outer(a: array, b: array) -> array:
    return core.reshape(a, (-1, 1)) * core.reshape(b, (1, -1))


def inner(a: array, b: array) -> array:
    return a * b if not a.ndim or not b.ndim else tensordot(a, b, [[-1], [-1]])


def tensordot(a: array, b: array, axes: Any = 2) -> array:
    left, right = (list(range(a.ndim - axes, a.ndim)), list(range(axes))) if isinstance(axes, int) else axes
    left = [i % a.ndim for i in ([left] if isinstance(left, int) else left)]
    right = [i % b.ndim for i in ([right] if isinstance(right, int) else right)]
    keep_a, keep_b = [i for i in range(a.ndim) if i not in left], [i for i in range(b.ndim) if i not in right]
    n = math.prod(a.shape[i] for i in left)
    x = core.reshape(core.transpose(a, [*keep_a, *left]), (-1, n))
    y = core.reshape(core.transpose(b, [*right, *keep_b]), (n, -1))
    return core.reshape(core.matmul(x, y), [*(a.shape[i] for i in keep_a), *(b.shape[i] for i in keep_b)])


def vecdot(a: array, b: array, axis: int = -1) -> array:
    return core.sum(a * b, axis)


def put_along_axis(a: array, indices: array, values: Any, axis: Optional[int] = None) -> array:
    """a with values at the indices along an axis."""
    from . import _assign, _tensors

    np = _tensors.numpy()
    if axis is None:
        a_flat, axis = core.reshape(a, (-1,)), 0
        return core.reshape(put_along_axis(a_flat, core.reshape(indices, (-1,)), values, 0), a.shape)
    at = np.asarray(indices)
    grid = list(np.ogrid[tuple(slice(n) for n in at.shape)])
    grid[axis] = at
    return _assign.assigned(a, tuple(grid), values)

