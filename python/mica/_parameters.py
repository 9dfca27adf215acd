"""model.parameters(): what the tensors of a checkpoint are, for programs that count them or ask where they are.

The weights themselves stay in the engine; names, shapes and types come out of the headers of the safetensors files.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any, Iterator

_LIMIT = 100_000_000  # bytes of a header
_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "U32": "uint32", "U8": "uint8", "I32": "int32", "I64": "int64", "I8": "int8"}


class Parameter:
    """A tensor of the checkpoint, without its values."""

    requires_grad = False
    grad = None

    def __init__(self, model: Any, shape: tuple[int, ...], dtype: str):
        self._model, self.shape, self._dtype = model, shape, dtype

    @property
    def dtype(self) -> Any:
        """As the model's, for floats: weights are computed with in that type."""
        if self._dtype.startswith(("float", "bfloat")):
            return self._model.dtype
        torch = sys.modules.get("torch")
        return getattr(torch, self._dtype, self._dtype)

    @property
    def device(self) -> Any:
        return self._model.device

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def numel(self) -> int:
        return math.prod(self.shape)

    nelement = numel

    def size(self, dim: Any = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return len(self.shape)

    def element_size(self) -> int:
        name = str(self.dtype).replace("torch.", "")
        return 2 if name.endswith("16") else 8 if name.endswith("64") else 1 if name.endswith("8") else 4

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


def named(model: Any) -> Iterator[tuple[str, Parameter]]:
    """Names and parameters, in the order of the files. NotImplementedError for checkpoints that are no folder of safetensors files."""
    folder = Path(model._path)
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        raise NotImplementedError(f"model.parameters is not supported: {model.name_or_path} has no safetensors files; num_parameters() counts them")
    for file in files:
        for name, tensor in _header(file).items():
            if name != "__metadata__":
                yield name, Parameter(model, tuple(tensor["shape"]), _TYPES.get(tensor["dtype"], "float32"))


def _header(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        n = int.from_bytes(file.read(8), "little")
        if n > _LIMIT:
            raise ValueError(f"{path}: a header of {n} bytes")
        header: dict[str, Any] = json.loads(file.read(n))
    return header
