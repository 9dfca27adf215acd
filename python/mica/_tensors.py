"""Lists, numpy arrays and torch tensors: one place that tells them apart and makes them of each other.

numpy and torch are looked for only when something needs them. torch tensors share their memory with the numpy arrays they are
made from. Nothing here computes.
"""

from __future__ import annotations

import sys
from typing import Any, Optional, Sequence

KINDS = ("pt", "np")


def kind_of(value: Any) -> Optional[str]:
    """ "pt" for a torch tensor, "np" for a numpy array, None for anything else. Imports nothing."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return "pt"
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return "np"
    return None


def framework(kind: Any) -> Optional[str]:
    """The value of return_tensors as "pt", "np" or None; ValueError for another."""
    if kind is None:
        return None
    name = str(getattr(kind, "value", kind))
    if name not in KINDS:
        raise ValueError(f"return_tensors is {name!r}, expected 'pt' (torch), 'np' (numpy) or None")
    return name


def numpy() -> Any:
    try:
        import numpy as module
    except ImportError:
        raise ImportError("numpy is not installed, and arrays need it: pip install numpy") from None
    return module


def torch() -> Any:
    try:
        import torch as module
    except ImportError:
        raise ImportError(
            "return_tensors='pt' needs PyTorch, which is not installed; return_tensors='np' gives numpy arrays"
        ) from None
    return module


def from_numpy(array: Any, kind: str) -> Any:
    """A numpy array as it is, or as the torch tensor that shares its memory."""
    return torch().from_numpy(array) if kind == "pt" else array


def to_numpy(value: Any) -> Any:
    """A tensor or nested list as a numpy array, without a copy where there need not be one."""
    if kind_of(value) == "pt":
        return value.detach().cpu().numpy()
    return numpy().asarray(value)


def make(values: Sequence[Any], kind: str) -> Any:
    """An integer tensor of nested lists; the lists of one level must have the same length."""
    if kind == "pt":
        module = torch()
        return module.tensor(values, dtype=module.long if _is_empty(values) else None)
    module = numpy()
    return module.asarray(values, dtype=module.int64 if _is_empty(values) else None)


def _is_empty(values: Any) -> bool:
    while isinstance(values, (list, tuple)) and values:
        values = values[0]
    return isinstance(values, (list, tuple))


def to_list(value: Any) -> Any:
    """Nested lists of Python numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [to_list(v) if not isinstance(v, (int, float, str)) else v for v in value]
    return value


class UnknownTokenError(ValueError, IndexError):
    """Of an id that is not in the vocabulary."""


def check_ids(rows: list[list[int]], n_vocab: int) -> None:
    for row in rows:
        if row and not 0 <= min(row) <= max(row) < n_vocab:
            wrong = next(i for i in row if not 0 <= i < n_vocab)
            raise UnknownTokenError(f"token id {wrong} is not in the vocabulary of {n_vocab}")


def id_rows(value: Any, name: str = "input_ids") -> list[list[int]]:
    """Token ids of one or several sequences, in whatever they come, as lists of rows."""
    rows = to_list(value)
    if not isinstance(rows, list):
        raise ValueError(f"{name} has to be a sequence of token ids or of such sequences, found {type(value).__name__}")
    if rows and not isinstance(rows[0], list):
        rows = [rows]
    for row in rows:
        if isinstance(row, list) and all(isinstance(i, int) for i in row):
            continue
        raise ValueError(f"{name} has to hold whole numbers in one or two dimensions")
    return rows
