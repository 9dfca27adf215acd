"""Lazy arrays, in the style of mlx.core:

    import mica.core as mx

    x = mx.array([[1.0, 2.0], [3.0, 4.0]])
    y = mx.softmax(x @ x.T, axis=-1)      # nothing is computed yet
    mx.eval(y)                            # or print(y), y.tolist(), numpy.asarray(y)

Arrays are computed by the engine when they are needed. numpy arrays and what speaks DLPack (torch tensors) come in and go out without a
copy: an array shares memory with what it was made from, so that must not be changed before the array is done with.

Unevaluated arrays of one thread belong to one graph of the library; evaluating something starts a new one, so a graph lives only as long
as there is something in it that has not been computed. Building is guarded by one lock.
"""

from __future__ import annotations

import builtins as _py  # sum, max, any ... are operations on arrays here
import ctypes
import itertools
import os
import threading
from ctypes import POINTER, byref, c_bool, c_char, c_double, c_float, c_int, c_int64, c_size_t, c_void_p
from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence, Union

from . import _lib, _tensors
from ._lib import C, call

# ---- the library's functions -------------------------------------------------------------------------------------------

_UNARY = (
    "negative", "abs", "sign", "square", "sqrt", "rsqrt", "reciprocal", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf",
    "sigmoid", "silu", "gelu", "gelu_tanh", "relu", "softplus", "floor", "ceil", "round", "logical_not",
)  # fmt: skip
_BINARY = (
    "add", "subtract", "multiply", "divide", "remainder", "power", "maximum", "minimum", "equal", "not_equal", "less", "less_equal",
    "greater", "greater_equal", "logical_and", "logical_or",
)  # fmt: skip
_REDUCE = ("sum", "mean", "max", "min", "prod", "all", "any", "logsumexp", "argmax", "argmin")
_INDICES = ("argmax", "argmin", "argsort")  # uint32, as in mlx.core
_ALONG = ("softmax", "cumsum", "argsort", "sort")
_RELEASE = ctypes.CFUNCTYPE(None, c_void_p)
_SHAPE = POINTER(c_int64)


def _declare() -> None:
    g, a = c_void_p, c_void_p
    table: dict[str, tuple[Any, list[Any]]] = {
        "graph_create": (c_int, [POINTER(c_void_p), c_void_p, POINTER(_lib.ErrorInfo)]),
        "graph_free": (None, [g]),
        "graph_status": (c_int, [g, POINTER(_lib.ErrorInfo)]),
        "graph_clear_error": (None, [g]),
        "array_retain": (a, [a]),
        "array_drop": (None, [a]),
        "array_dtype": (c_int, [a]),
        "array_ndim": (c_int, [a]),
        "array_shape": (_SHAPE, [a]),
        "array_strides": (_SHAPE, [a]),
        "array_data": (c_void_p, [a]),
        "eval": (c_int, [g, POINTER(c_void_p), c_size_t, POINTER(_lib.ErrorInfo)]),
        "from_memory": (a, [g, c_void_p, c_int, _SHAPE, c_int, _RELEASE, c_void_p]),
        "full": (a, [g, _SHAPE, c_int, c_double, c_int]),
        "arange": (a, [g, c_double, c_double, c_double, c_int]),
        "where": (a, [g, a, a, a]),
        "astype": (a, [g, a, c_int]),
        "reshape": (a, [g, a, _SHAPE, c_int]),
        "transpose": (a, [g, a, POINTER(c_int)]),
        "slice": (a, [g, a, c_int, c_int64, c_int64, c_int64]),
        "broadcast_to": (a, [g, a, _SHAPE, c_int]),
        "concatenate": (a, [g, POINTER(c_void_p), c_int, c_int]),
        "contiguous": (a, [g, a]),
        "take": (a, [g, a, a, c_int]),
        "take_along_axis": (a, [g, a, a, c_int]),
        "matmul": (a, [g, a, a]),
        "linear": (a, [g, a, a, a]),
        "rms_norm": (a, [g, a, a, c_float, c_float]),
        "layer_norm": (a, [g, a, a, a, c_float]),
        "rope": (a, [g, a, a, a, c_float, c_bool]),
        "attention": (a, [g, a, a, a, a, c_void_p]),
        **{name: (a, [g, a]) for name in _UNARY},
        **{name: (a, [g, a, a]) for name in _BINARY},
        **{name: (a, [g, a, c_int, c_bool]) for name in _REDUCE},
        **{name: (a, [g, a, c_int]) for name in _ALONG},
    }
    for name, (result, arguments) in table.items():
        function = getattr(C, f"mica_{name}")
        function.restype, function.argtypes = result, arguments


_declare()

# ---- dtypes ------------------------------------------------------------------------------------------------------------


class Dtype:
    """The type of an array's elements."""

    def __init__(self, name: str, code: int, size: int):
        self.name, self._code, self.size = name, code, size

    def __repr__(self) -> str:
        return f"mica.core.{self.name}"


_TYPES = [
    Dtype(name, code, size)
    for code, (name, size) in enumerate(
        [
            ("float32", 4), ("float16", 2), ("bfloat16", 2), ("int8", 1), ("int16", 2), ("int32", 4), ("int64", 8), ("uint8", 1),
            ("uint16", 2), ("uint32", 4), ("uint64", 8), ("bool", 1), ("float64", 8),
        ]
    )
]  # fmt: skip
_BY_NAME = {t.name: t for t in _TYPES}
(float32, float16, bfloat16, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool_, float64) = _TYPES
_FLOATS = (float32, float16, bfloat16, float64)


def _dtype(value: Any) -> Dtype:
    if isinstance(value, Dtype):
        return value
    name = {"float": "float32", "int": "int32"}.get(getattr(value, "__name__", ""), str(value).replace("torch.", ""))
    if name not in _BY_NAME:
        raise ValueError(f"{value!r} is not a type of arrays: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


# ---- graphs ------------------------------------------------------------------------------------------------------------

_lock = threading.RLock()
_local = threading.local()


def _new_graph() -> _lib.Handle:
    pointer = c_void_p()
    call(C.mica_graph_create, byref(pointer), _lib.device())
    return _lib.Handle(pointer, C.mica_graph_free)


def _current() -> _lib.Handle:
    graph = getattr(_local, "graph", None)
    if graph is None or graph._pid != os.getpid():
        graph = _local.graph = _new_graph()
    return graph


def _build(function: Callable[..., Any], arrays: Sequence[Optional["array"]], *arguments: Any) -> "array":
    """A new array of the graph that its unevaluated inputs belong to."""
    with _lock:
        graphs: dict[int, _lib.Handle] = {}
        for a in arrays:
            if a is not None and a._graph is not None:
                graphs[id(a._graph)] = a._graph
        if len(graphs) > 1:
            for a in arrays:
                if a is not None and a._graph is not None and a._graph is not _current():
                    a._evaluate()
            graph = _current()
        else:
            graph = next(iter(graphs.values())) if graphs else _current()
        made = function(graph.value, *arguments)
        if not made:
            err = _lib.ErrorInfo()
            status = C.mica_graph_status(graph.value, byref(err))
            C.mica_graph_clear_error(graph.value)
            _lib.raise_status(status, err.message.decode("utf-8", "replace"))
        return array._of(C.mica_array_retain(made), graph)


def _shape_array(shape: Sequence[int]) -> Any:
    return (c_int64 * _py.max(1, len(shape)))(*shape)


# ---- memory of others --------------------------------------------------------------------------------------------------

_borrowed: dict[int, Any] = {}
_tickets = itertools.count(1)


def _forget(ticket: Any) -> None:
    _borrowed.pop(ticket, None)


_give_back = _RELEASE(_forget)


def _borrow(values: Any, dtype: Dtype) -> "array":
    """An array over the memory of a row-major numpy array, which is kept as long."""
    with _lock:
        ticket = next(_tickets)
        _borrowed[ticket] = values
        shape = _shape_array(values.shape)
        try:
            return _build(C.mica_from_memory, (), values.ctypes.data, dtype._code, shape, values.ndim, _give_back, ticket)
        except BaseException:
            _borrowed.pop(ticket, None)
            raise


def _import(value: Any) -> tuple[Any, Dtype]:
    """Anything array-like as a row-major numpy array, and the type its bits have."""
    np = _tensors.numpy()
    if _tensors.kind_of(value) == "pt":
        value = value.detach()
        if str(value.dtype) == "torch.bfloat16":
            return np.ascontiguousarray(value.view(_tensors.torch().int16).numpy()), bfloat16
        value = value.numpy()
    elif not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        from . import _dlpack

        bits = _dlpack.take(value, np)  # numpy has no bfloat16
        if bits is not None:
            return np.ascontiguousarray(bits), bfloat16
        value = np.from_dlpack(value)
    elif not isinstance(value, (np.ndarray, np.generic)):
        value = np.asarray(value)
        if value.dtype == np.float64:
            value = value.astype(np.float32)
        elif value.dtype == np.int64 and value.size and -(2**31) <= value.min() and value.max() < 2**31:
            value = value.astype(np.int32)
    if str(value.dtype) not in _BY_NAME:
        raise ValueError(f"elements of type {value.dtype} have no counterpart here")
    if not value.flags.c_contiguous:
        value = np.ascontiguousarray(value)
    return np.asarray(value), _BY_NAME[str(value.dtype)]


# ---- the array ---------------------------------------------------------------------------------------------------------


class array:  # noqa: N801  (named as in mlx.core)
    """A lazy array. Made of numbers, nested lists, numpy arrays, or anything with DLPack."""

    __slots__ = ("_pointer", "_graph", "__weakref__")
    __array_priority__ = 1000
    _pointer: Any
    _graph: Optional[_lib.Handle]

    def __init__(self, value: Any, dtype: Any = None):
        if isinstance(value, array):
            made = value
        else:
            if isinstance(value, (list, tuple)) and _py.any(isinstance(v, array) for v in value):
                made = stack(list(value))
            else:
                made = _borrow(*_import(value))
        if dtype is not None:
            made = made.astype(dtype)
        self._pointer, self._graph = C.mica_array_retain(made._pointer), made._graph

    @classmethod
    def _of(cls, pointer: int, graph: _lib.Handle) -> "array":
        made = cls.__new__(cls)
        made._pointer, made._graph = pointer, graph
        return made

    def __del__(self) -> None:
        pointer = getattr(self, "_pointer", None)
        if pointer and C is not None:
            C.mica_array_drop(pointer)

    # ---- what it is ----

    @property
    def dtype(self) -> Dtype:
        return _TYPES[int(C.mica_array_dtype(self._pointer))]

    @property
    def ndim(self) -> int:
        return int(C.mica_array_ndim(self._pointer))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(C.mica_array_shape(self._pointer)[: self.ndim])

    @property
    def size(self) -> int:
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def itemsize(self) -> int:
        return self.dtype.size

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("an array of no dimensions has no length")
        return self.shape[0]

    # ---- values ----

    def _evaluate(self) -> None:
        eval(self)

    def _view(self) -> Any:
        """A numpy array over this array's memory (bfloat16 as uint16)."""
        np = _tensors.numpy()
        self._evaluate()
        dtype = self.dtype
        shape = self.shape
        name = "uint16" if dtype is bfloat16 else dtype.name
        if 0 in shape:
            return np.empty(shape, name)
        strides = [s * dtype.size for s in C.mica_array_strides(self._pointer)[: self.ndim]]
        n_bytes = _py.sum((n - 1) * s for n, s in zip(shape, strides)) + dtype.size
        memory = (c_char * n_bytes).from_address(C.mica_array_data(self._pointer))
        memory._owner = self
        flat = np.frombuffer(memory, dtype=name)
        return np.lib.stride_tricks.as_strided(flat, shape, strides)

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> Any:
        if self.dtype is bfloat16:
            raise TypeError("numpy has no bfloat16: use x.astype(mica.core.float32)")
        view = self._view()
        if dtype is not None and view.dtype != dtype:
            return view.astype(dtype)
        return view.copy() if copy else view

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.dtype is bfloat16:
            from . import _dlpack

            return _dlpack.export(self._view())
        return self._view().__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def tolist(self) -> Any:
        return (self.astype(float32) if self.dtype is bfloat16 else self)._view().tolist()

    def item(self) -> Any:
        if self.size != 1:
            raise ValueError(f"only an array of one element is a number; this one has the shape {self.shape}")
        return self.reshape(1).tolist()[0]

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        value = self.item()
        if not isinstance(value, int):
            raise TypeError("only an integer array is an index")
        return value

    def __bool__(self) -> bool:
        return bool(self.item())

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        values = self.astype(float32) if self.dtype is bfloat16 else self
        text = _tensors.numpy().array2string(values._view(), separator=", ", prefix="array(")
        return f"array({text}, dtype={self.dtype.name})"

    # ---- operators ----

    def __neg__(self) -> "array":
        return _unary("negative", self)

    def __abs__(self) -> "array":
        return _unary("abs", self)

    def __invert__(self) -> "array":
        return _unary("logical_not", self)

    if TYPE_CHECKING:  # made below, from the table of operations

        def __add__(self, other: Any) -> "array": ...
        def __radd__(self, other: Any) -> "array": ...
        def __sub__(self, other: Any) -> "array": ...
        def __rsub__(self, other: Any) -> "array": ...
        def __mul__(self, other: Any) -> "array": ...
        def __rmul__(self, other: Any) -> "array": ...
        def __truediv__(self, other: Any) -> "array": ...
        def __rtruediv__(self, other: Any) -> "array": ...
        def __mod__(self, other: Any) -> "array": ...
        def __pow__(self, other: Any) -> "array": ...
        def __rpow__(self, other: Any) -> "array": ...
        def __and__(self, other: Any) -> "array": ...
        def __or__(self, other: Any) -> "array": ...
        def __eq__(self, other: Any) -> "array": ...  # type: ignore[override]
        def __ne__(self, other: Any) -> "array": ...  # type: ignore[override]
        def __lt__(self, other: Any) -> "array": ...
        def __le__(self, other: Any) -> "array": ...
        def __gt__(self, other: Any) -> "array": ...
        def __ge__(self, other: Any) -> "array": ...
        def __getattr__(self, name: str) -> Any: ...  # sum, exp, softmax ...

    def __pos__(self) -> "array":
        return self

    def __copy__(self) -> "array":
        return array(self)

    def __deepcopy__(self, memo: Any) -> "array":
        return array(self)

    def __matmul__(self, other: Any) -> "array":
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> "array":
        return matmul(other, self)

    def __floordiv__(self, other: Any) -> "array":
        return floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> "array":
        return floor_divide(other, self)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, key: Any) -> "array":
        return _index(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        from . import _assign

        self._become(_assign.assigned(self, key, value))

    @property
    def at(self) -> Any:
        """x.at[index].add(values), and subtract, multiply, divide, maximum, minimum: a new array."""
        from . import _assign

        return _assign.Updates(self)

    def _become(self, other: "array") -> "array":
        """Another value under the same name. Memory that is shared with others is not written to."""
        old, self._pointer = self._pointer, C.mica_array_retain(other._pointer)
        self._graph = other._graph
        C.mica_array_drop(old)
        return self

    # ---- methods that are functions below ----

    def astype(self, dtype: Any) -> "array":
        wanted = _dtype(dtype)
        return self if self.dtype is wanted else _build(C.mica_astype, [self], self._pointer, wanted._code)

    def reshape(self, *shape: Any) -> "array":
        return reshape(self, shape[0] if len(shape) == 1 and isinstance(shape[0], (list, tuple)) else shape)

    def transpose(self, *axes: Any) -> "array":
        return transpose(self, axes[0] if len(axes) == 1 and isinstance(axes[0], (list, tuple)) else (axes or None))

    @property
    def T(self) -> "array":  # noqa: N802
        return transpose(self)

    def flatten(self) -> "array":
        return reshape(self, (-1,))

    @property
    def mT(self) -> "array":  # noqa: N802
        return swapaxes(self, -1, -2)

    def moveaxis(self, source: int, destination: int) -> "array":
        return moveaxis(self, source, destination)

    def split(self, indices_or_sections: Any, axis: int = 0) -> list["array"]:
        return split(self, indices_or_sections, axis)

    def std(self, axis: Any = None, keepdims: bool = False) -> "array":
        return std(self, axis, keepdims)

    def squeeze(self, axis: Any = None) -> "array":
        return squeeze(self, axis)

    def swapaxes(self, a: int, b: int) -> "array":
        return swapaxes(self, a, b)

    def var(self, axis: Any = None, keepdims: bool = False) -> "array":
        return var(self, axis, keepdims)


ArrayLike = Union[array, float, int, bool]


def _as_array(value: Any, like: Optional[array] = None) -> array:
    """An array of a value; a Python number takes the type of the array that it meets, as far as that can hold it."""
    if isinstance(value, array):
        return value
    if isinstance(value, (bool, int, float)):
        dtype = bool_ if isinstance(value, bool) else int32 if isinstance(value, int) else float32
        if like is not None and (like.dtype in _FLOATS or (isinstance(value, int) and like.dtype is not bool_)):
            dtype = like.dtype
        return full((), value, dtype)
    return array(value)


def _unary(name: str, x: Any) -> array:
    x = _as_array(x)
    return _build(getattr(C, f"mica_{name}"), [x], x._pointer)


def _binary(name: str, a: Any, b: Any) -> array:
    a = _as_array(a, b if isinstance(b, array) else None)
    b = _as_array(b, a)
    return _build(getattr(C, f"mica_{name}"), [a, b], a._pointer, b._pointer)


def _axes(x: array, axis: Any) -> list[int]:
    """Axes counted from the front, last first."""
    axes = [axis] if isinstance(axis, int) else list(axis)
    if _py.any(not -x.ndim <= a < x.ndim for a in axes):
        raise ValueError(f"there is no axis {axis} in the shape {x.shape}")
    return sorted({a % x.ndim for a in axes}, reverse=True)


def _reduce(name: str, x: Any, axis: Any = None, keepdims: bool = False) -> array:
    x = _as_array(x)
    function = getattr(C, f"mica_{name}")
    if axis is None:
        rank = x.ndim
        flat = reshape(x, (-1,))
        made = _build(function, [flat], flat._pointer, 0, False)
        made = reshape(made, (1,) * rank) if keepdims else made
    else:
        made = x
        for a in _axes(x, axis):
            made = _build(function, [made], made._pointer, a, keepdims)
    return made.astype(uint32) if name in _INDICES else made


def _along(name: str, x: Any, axis: Any = -1) -> array:
    x = _as_array(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    made = _build(getattr(C, f"mica_{name}"), [x], x._pointer, axis)
    return made.astype(uint32) if name in _INDICES else made


def _define(names: Sequence[str], make: Callable[[str], Callable[..., array]], methods: bool) -> None:
    for name in names:
        function = make(name)
        function.__name__ = function.__qualname__ = name
        globals()[name] = function
        if methods:
            setattr(array, name, function)


_define(_UNARY, lambda name: lambda a: _unary(name, a), True)
_define(_BINARY, lambda name: lambda a, b: _binary(name, a, b), False)
_define(_REDUCE, lambda name: lambda a, axis=None, keepdims=False: _reduce(name, a, axis, keepdims), True)
_define(_ALONG, lambda name: lambda a, axis=-1: _along(name, a, axis), True)
for _operator, _name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "mod": "remainder", "pow": "power", "and": "logical_and",
    "or": "logical_or",
}.items():  # fmt: skip
    setattr(array, f"__{_operator}__", lambda self, other, name=_name: _binary(name, self, other))
    setattr(array, f"__r{_operator}__", lambda self, other, name=_name: _binary(name, other, self))
for _operator, _name in {
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"
}.items():  # fmt: skip
    setattr(array, f"__{_operator}__", lambda self, other, name=_name: _binary(name, self, other))

def _in_place(operator: str) -> Callable[[array, Any], array]:
    return lambda self, other: self._become(getattr(self, operator)(other).astype(self.dtype))


for _operator in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or"):
    setattr(array, f"__i{_operator}__", _in_place(f"__{_operator}__"))

# Made of others: looked up when they are used.
_DERIVED = (
    "allclose", "argpartition", "array_equal", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "cosh", "count_nonzero",
    "degrees", "diag", "diagonal", "flip", "full_like", "identity", "inner", "isclose", "isfinite", "isinf", "isnan", "isneginf",
    "isposinf", "log10", "log2", "logaddexp", "logical_xor", "median", "meshgrid", "nan_to_num", "outer", "pad", "partition",
    "positive", "put_along_axis", "radians", "repeat", "roll", "sinh", "stop_gradient", "tan", "tensordot", "tile", "topk", "trace",
    "tril", "triu", "unflatten", "vecdot",
)  # fmt: skip
_ALIASES = {"concat": "concatenate", "pow": "power", "permute_dims": "transpose", "cumulative_sum": "cumsum", "asarray": "array"}


def __getattr__(name: str) -> Callable[..., array]:
    if name in _DERIVED:
        from . import _derived

        value: Callable[..., array] = getattr(_derived, name)
    elif name in _ALIASES:
        value = globals()[_ALIASES[name]]
    else:
        raise AttributeError(f"mica.core has no {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_DERIVED, *_ALIASES})


for _name in ("diag", "diagonal", "log2", "log10"):
    setattr(array, _name, lambda self, *args, name=_name, **kwargs: __getattr__(name)(self, *args, **kwargs))


# ---- evaluation --------------------------------------------------------------------------------------------------------


def _leaves(values: Any) -> list[array]:
    if isinstance(values, array):
        return [values]
    if isinstance(values, dict):
        values = values.values()
    return [leaf for v in values for leaf in _leaves(v)] if not isinstance(values, (str, bytes)) else []


def eval(*values: Any) -> None:  # noqa: A001  (named as in mlx.core)
    """Computes arrays, also in lists and dictionaries."""
    with _lock:
        waiting = [a for a in _leaves(list(values)) if a._graph is not None]
        for graph in {id(a._graph): a._graph for a in waiting}.values():
            assert graph is not None
            group = [a for a in waiting if a._graph is graph]
            pointers = (c_void_p * len(group))(*(a._pointer for a in group))
            call(C.mica_eval, graph.value, pointers, len(group))
            for a in group:
                a._graph = None
            if graph is getattr(_local, "graph", None):
                _local.graph = None


# ---- making ------------------------------------------------------------------------------------------------------------


def _as_shape(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)


def full(shape: Any, value: Any, dtype: Any = None) -> array:
    if dtype is None:
        dtype = bool_ if isinstance(value, bool) else int32 if isinstance(value, int) else float32
    shape = _as_shape(shape)
    return _build(C.mica_full, (), _shape_array(shape), len(shape), float(value), _dtype(dtype)._code)


def zeros(shape: Any, dtype: Any = float32) -> array:
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = float32) -> array:
    return full(shape, 1, dtype)


def zeros_like(a: array) -> array:
    return zeros(a.shape, a.dtype)


def ones_like(a: array) -> array:
    return ones(a.shape, a.dtype)


def arange(start: float, stop: Optional[float] = None, step: float = 1, dtype: Any = None) -> array:
    if stop is None:
        start, stop = 0, start
    if dtype is None:
        dtype = int32 if _py.all(isinstance(v, int) for v in (start, stop, step)) else float32
    return _build(C.mica_arange, (), float(start), float(stop), float(step), _dtype(dtype)._code)


def linspace(start: float, stop: float, num: int = 50, dtype: Any = float32) -> array:
    steps = arange(num, dtype=float32)
    return (steps * full((), (stop - start) / _py.max(1, num - 1), float32) + float(start)).astype(dtype)


def eye(n: int, m: Optional[int] = None, k: int = 0, dtype: Any = float32) -> array:
    return (expand_dims(arange(n), 1) + k == arange(m if m is not None else n)).astype(dtype)


def tri(n: int, m: Optional[int] = None, k: int = 0, dtype: Any = float32) -> array:
    return (expand_dims(arange(n), 1) + k >= arange(m if m is not None else n)).astype(dtype)


# ---- shape -------------------------------------------------------------------------------------------------------------


def reshape(a: Any, shape: Any) -> array:
    a, shape = _as_array(a), _as_shape(shape)
    return _build(C.mica_reshape, [a], a._pointer, _shape_array(shape), len(shape))


def transpose(a: Any, axes: Any = None) -> array:
    a = _as_array(a)
    if axes is None:
        return _build(C.mica_transpose, [a], a._pointer, None)
    if sorted(i % a.ndim for i in axes) != list(range(a.ndim)):
        raise ValueError(f"{tuple(axes)} is no order of the {a.ndim} axes")
    return _build(C.mica_transpose, [a], a._pointer, (c_int * a.ndim)(*(i % a.ndim for i in axes)))


def swapaxes(a: array, first: int, second: int) -> array:
    order = list(range(a.ndim))
    order[first], order[second] = order[second], order[first]
    return transpose(a, order)


def moveaxis(a: array, source: int, destination: int) -> array:
    order = list(range(a.ndim))
    axis = order.pop(source)
    order.insert(destination % a.ndim, axis)
    return transpose(a, order)


def expand_dims(a: Any, axis: int) -> array:
    a = _as_array(a)
    at = axis if axis >= 0 else a.ndim + 1 + axis
    return reshape(a, (*a.shape[:at], 1, *a.shape[at:]))


def squeeze(a: array, axis: Any = None) -> array:
    gone = [i for i, n in enumerate(a.shape) if n == 1] if axis is None else _axes(a, axis)
    if _py.any(a.shape[i] != 1 for i in gone):
        raise ValueError(f"axis {axis} of the shape {a.shape} is not of length 1")
    return reshape(a, [n for i, n in enumerate(a.shape) if i not in gone])


def flatten(a: array) -> array:
    return reshape(a, (-1,))


def broadcast_to(a: Any, shape: Any) -> array:
    a, shape = _as_array(a), _as_shape(shape)
    return _build(C.mica_broadcast_to, [a], a._pointer, _shape_array(shape), len(shape))


def concatenate(arrays: Sequence[Any], axis: int = 0) -> array:
    parts = [_as_array(a) for a in arrays]
    pointers = (c_void_p * len(parts))(*(a._pointer for a in parts))
    return _build(C.mica_concatenate, parts, pointers, len(parts), axis)


def stack(arrays: Sequence[Any], axis: int = 0) -> array:
    return concatenate([expand_dims(_as_array(a), axis) for a in arrays], axis)


def split(a: array, indices_or_sections: Any, axis: int = 0) -> list[array]:
    n = a.shape[axis]
    if isinstance(indices_or_sections, int):
        if n % indices_or_sections:
            raise ValueError(f"{n} elements cannot be split into {indices_or_sections} equal parts")
        width = n // indices_or_sections
        cuts = list(range(width, n, width))
    else:
        cuts = list(indices_or_sections)
    ends = [0, *cuts, n]
    return [_slice(a, axis, begin, end, 1) for begin, end in zip(ends, ends[1:])]


def contiguous(a: array) -> array:
    return _build(C.mica_contiguous, [a], a._pointer)


def _slice(a: array, axis: int, start: int, stop: int, step: int) -> array:
    return _build(C.mica_slice, [a], a._pointer, axis, start, stop, step)


def _index(a: array, key: Any) -> array:
    keys = list(key) if isinstance(key, tuple) else [key]
    used = _py.sum(1 for k in keys if k is not None and k is not Ellipsis)
    if used > a.ndim:
        raise IndexError(f"{used} indices for the shape {a.shape}")
    if not _py.any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    at = next(i for i, k in enumerate(keys) if k is Ellipsis)
    keys[at : at + 1] = [slice(None)] * (a.ndim - used)
    lists = [k for k in keys if isinstance(k, (array, list, tuple)) or hasattr(k, "__array__")]
    if len(lists) > 1 or (lists and _py.any(isinstance(k, int) for k in keys)):
        from . import _assign

        return _assign.read(a, tuple(_as_array(k) if isinstance(k, list) else k for k in keys))
    axis = 0
    for k in keys:
        if k is None:
            a, axis = expand_dims(a, axis), axis + 1
        elif isinstance(k, slice):
            a, axis = _cut(a, axis, k), axis + 1
        elif isinstance(k, int) and not isinstance(k, bool):
            n = a.shape[axis]
            if not -n <= k < n:
                raise IndexError(f"index {k} is out of range for an axis of length {n}")
            a = _slice(a, axis, k % n, k % n + 1, 1)
            a = reshape(a, (*a.shape[:axis], *a.shape[axis + 1 :]))
        else:
            indices = _as_array(k)
            if indices.dtype is bool_:
                raise ValueError("boolean indices do not read elements, for their number is not known before: use where, or assign with them")
            if indices.dtype in _FLOATS:
                raise TypeError(f"an array of {indices.dtype.name} is no index")
            a, axis = take(a, indices, axis), axis + indices.ndim
    return a


def _cut(a: array, axis: int, key: slice) -> array:
    start, stop, step = key.indices(a.shape[axis])
    if step < 0:
        return take(a, arange(start, stop, step), axis)
    return a if (start, stop, step) == (0, a.shape[axis], 1) else _slice(a, axis, start, _py.max(start, stop), step)


def take(a: Any, indices: Any, axis: Optional[int] = None) -> array:
    """Elements, rows ... by index; negative indices count from the end."""
    a, indices = _as_array(a), _as_array(indices)
    if axis is None:
        a, axis = reshape(a, (-1,)), 0
    if indices.dtype not in (int32, int64):
        indices = indices.astype(int64)
    n = a.shape[axis]
    indices = where(indices < 0, indices + n, indices)
    return _build(C.mica_take, [a, indices], a._pointer, indices._pointer, axis)


def take_along_axis(a: Any, indices: Any, axis: int = -1) -> array:
    a, indices = _as_array(a), _as_array(indices)
    if indices.dtype not in (int32, int64):
        indices = indices.astype(int64)
    return _build(C.mica_take_along_axis, [a, indices], a._pointer, indices._pointer, axis)


# ---- arithmetic that is not one operation of the library ---------------------------------------------------------------


def where(condition: Any, a: Any, b: Any) -> array:
    condition = _as_array(condition)
    a = _as_array(a, b if isinstance(b, array) else None)
    b = _as_array(b, a)
    return _build(C.mica_where, [condition, a, b], condition._pointer, a._pointer, b._pointer)


def matmul(a: Any, b: Any) -> array:
    a, b = _as_array(a), _as_array(b)
    if not a.ndim or not b.ndim:
        raise ValueError("matmul needs arrays of at least one dimension")
    left = reshape(a, (1, -1)) if a.ndim == 1 else a
    right = reshape(b, (-1, 1)) if b.ndim == 1 else b
    made = _build(C.mica_matmul, [left, right], left._pointer, right._pointer)
    if b.ndim == 1:
        made = squeeze(made, -1)
    return squeeze(made, -1 if b.ndim == 1 else -2) if a.ndim == 1 else made


def addmm(c: Any, a: Any, b: Any, alpha: float = 1.0, beta: float = 1.0) -> array:
    product = matmul(a, b)
    return _binary("add", product if alpha == 1.0 else product * alpha, c if beta == 1.0 else _as_array(c) * beta)


def floor_divide(a: Any, b: Any) -> array:
    a = _as_array(a, b if isinstance(b, array) else None)
    b = _as_array(b, a)
    if a.dtype in _FLOATS or b.dtype in _FLOATS:
        return _unary("floor", _binary("divide", a, b))
    kind = _binary("add", a, b).dtype
    return _unary("floor", _binary("divide", a.astype(float64), b.astype(float64))).astype(kind)


def var(a: Any, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> array:
    a = _as_array(a)
    away = a - _reduce("mean", a, axis, True)
    n = a.size if axis is None else 1
    for i in _axes(a, axis) if axis is not None else ():
        n *= a.shape[i]
    return _reduce("sum", away * away, axis, keepdims) / float(n - ddof)


def std(a: Any, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> array:
    return _unary("sqrt", var(a, axis, keepdims, ddof))


def clip(a: Any, a_min: Any = None, a_max: Any = None) -> array:
    made = _as_array(a)
    made = made if a_min is None else _binary("maximum", made, a_min)
    return made if a_max is None else _binary("minimum", made, a_max)


def log_softmax(a: Any, axis: int = -1) -> array:
    return _binary("subtract", a, _reduce("logsumexp", _as_array(a), axis, True))


def linear(x: Any, weight: Any, bias: Any = None) -> array:
    """x [..., K] with a weight [N, K] and a bias [N]: [..., N] in float32."""
    x, weight = _as_array(x), _as_array(weight)
    bias = None if bias is None else _as_array(bias)
    inputs = [x, weight, bias]
    return _build(C.mica_linear, inputs, x._pointer, weight._pointer, None if bias is None else bias._pointer)


class fast:  # noqa: N801  (a namespace, as in mlx.core)
    """Blocks of transformers in one operation."""

    @staticmethod
    def rms_norm(x: Any, weight: Any, eps: float) -> array:
        x, weight = _as_array(x), None if weight is None else _as_array(weight)
        return _build(C.mica_rms_norm, [x, weight], x._pointer, None if weight is None else weight._pointer, eps, 0.0)

    @staticmethod
    def layer_norm(x: Any, weight: Any, bias: Any, eps: float) -> array:
        x = _as_array(x)
        weight, bias = (None if v is None else _as_array(v) for v in (weight, bias))
        pointers = [None if v is None else v._pointer for v in (weight, bias)]
        return _build(C.mica_layer_norm, [x, weight, bias], x._pointer, *pointers, eps)

    @staticmethod
    def rope(x: Any, dims: int, *, traditional: bool = False, base: float = 10000.0, scale: float = 1.0, offset: int = 0) -> array:
        """Rotates x [..., T, D] (its first `dims` elements) by its positions, offset on."""
        x = _as_array(x)
        lead, (n, d) = x.shape[:-2], x.shape[-2:]
        rows = reshape(x, (-1, n, d)).transpose(1, 0, 2).astype(float32)
        rows = contiguous(rows)
        positions = arange(offset, offset + n)
        exponents = arange(0, dims, 2, dtype=float32) / float(dims)
        frequencies = _binary("power", full((), base, float32), -exponents) * float(scale)
        made = _build(
            C.mica_rope,
            [rows, positions, frequencies],
            rows._pointer, positions._pointer, frequencies._pointer, 1.0, traditional,
        )  # fmt: skip
        return reshape(made.transpose(1, 0, 2), (*lead, n, d)).astype(x.dtype)


def from_dlpack(value: Any) -> array:
    """An array over the memory of anything that speaks DLPack."""
    return array(value)
