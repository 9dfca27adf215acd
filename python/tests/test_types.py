"""A type checker passes on the package."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT


def test_mypy() -> None:
    mypy = shutil.which("mypy") or ("/usr/bin/mypy" if shutil.which("/usr/bin/mypy") else None)
    if importlib.util.find_spec("mypy"):
        command = [sys.executable, "-m", "mypy"]
    elif mypy:
        command = [mypy]
    else:
        pytest.skip("mypy is not installed (Debian: mypy)")
    done = subprocess.run(
        [*command, "--no-incremental", "python/mica"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
