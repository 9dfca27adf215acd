"""Files of a checkpoint that Python writes: at every moment the old content or all of the new."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Callable


def _replace(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    new = path.with_name(f".{path.name}.mica-partial")
    with open(new, "wb") as f:
        fill(f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(new, path)


def write_text(path: Path, text: str) -> None:
    _replace(path, lambda f: f.write(text.encode("utf-8")))


def copy(source: Path, path: Path) -> None:
    import shutil  # late, as it takes a twentieth of the package's import

    with open(source, "rb") as old:
        _replace(path, lambda f: shutil.copyfileobj(old, f))
