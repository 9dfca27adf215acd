"""DLPack for what numpy cannot pass on: bfloat16. A capsule holds a description of memory and keeps the array alive until its receiver is done."""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, c_int, c_int32, c_int64, c_uint8, c_uint16, c_uint64, c_void_p
from typing import Any

_CPU, _BFLOAT = 1, 4


class _Tensor(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("ndim", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    ]


class _Managed(Structure):
    pass


_DELETER = CFUNCTYPE(None, POINTER(_Managed))
_Managed._fields_ = [("tensor", _Tensor), ("manager_ctx", c_void_p), ("deleter", _DELETER)]

_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [c_void_p, ctypes.c_char_p, c_void_p]
_api.PyCapsule_IsValid.restype = c_int
_api.PyCapsule_IsValid.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_GetPointer.restype = c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]

_held: dict[int, Any] = {}  # by address of the description: what it refers to


def _forget(managed: Any) -> None:
    _held.pop(ctypes.addressof(managed.contents), None)


_release = _DELETER(_forget)


_NAME = b"dltensor"
_USED = b"used_dltensor"


def export(view: Any) -> Any:
    """A capsule for bfloat16 elements that numpy sees as uint16. One that nobody takes keeps its array for good: a capsule may die while an
    exception is on its way, when no Python can run."""
    managed = _Managed()
    n = view.ndim
    shape, strides = (c_int64 * max(1, n))(*view.shape), (c_int64 * max(1, n))(*(s // 2 for s in view.strides))
    managed.tensor = _Tensor(view.ctypes.data, _CPU, 0, n, _BFLOAT, 16, 1, shape, strides, 0)
    managed.deleter = _release
    address = ctypes.addressof(managed)
    _held[address] = (managed, view, shape, strides)
    return _api.PyCapsule_New(address, _NAME, None)


class _Owner:
    """Gives memory back to the one it came from."""

    def __init__(self, managed: Any):
        self._managed = managed

    def __del__(self) -> None:
        if self._managed.contents.deleter:
            self._managed.contents.deleter(self._managed)


def take(value: Any, np: Any) -> Any:
    """bfloat16 elements of another library as numpy uint16 over the same memory; None if they are of another type."""
    capsule = value.__dlpack__()
    if not _api.PyCapsule_IsValid(capsule, _NAME):
        return None
    managed = ctypes.cast(_api.PyCapsule_GetPointer(capsule, _NAME), POINTER(_Managed))
    t = managed.contents.tensor
    if (t.code, t.bits, t.lanes, t.device_type) != (_BFLOAT, 16, 1, _CPU):
        return None
    _api.PyCapsule_SetName(capsule, _USED)
    owner = _Owner(managed)
    shape = tuple(t.shape[: t.ndim])
    strides = tuple(2 * s for s in t.strides[: t.ndim]) if t.strides else None
    n = 2
    for length, stride in zip(shape, strides or ()):
        n += (length - 1) * stride
    if strides is None:
        for length in shape:
            n *= length
    if 0 in shape:
        return np.empty(shape, "uint16")
    memory = (ctypes.c_char * n).from_address(t.data + t.byte_offset)
    memory._owner = owner  # type: ignore[attr-defined]
    flat = np.frombuffer(memory, "uint16", count=n // 2)
    return np.lib.stride_tricks.as_strided(flat, shape, strides) if strides is not None else flat.reshape(shape)
