"""A strict type checker passes on the package and on its tests, and all of it is Python 3.9."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, folder_name

SOURCES = sorted((ROOT / "python").rglob("*.py"))


def test_mypy() -> None:
    mypy = shutil.which("mypy") or ("/usr/bin/mypy" if shutil.which("/usr/bin/mypy") else None)
    if importlib.util.find_spec("mypy"):
        command = [sys.executable, "-m", "mypy"]
    elif mypy:
        command = [mypy]
    else:
        pytest.skip("mypy is not installed (Debian: mypy)")
    done = subprocess.run([*command, "--no-incremental"], cwd=ROOT, capture_output=True, text=True, timeout=300)  # pyproject.toml says the rest
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("source", SOURCES, ids=folder_name)
def test_python_39(source: Path) -> None:
    ast.parse(source.read_text(encoding="utf-8"), str(source), feature_version=(3, 9))
