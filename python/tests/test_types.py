"""A type checker passes on the package and on its tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT


def test_mypy() -> None:
    tests = sorted(str(path) for path in (ROOT / "python" / "tests").glob("*.py"))
    mypy = shutil.which("mypy") or ("/usr/bin/mypy" if shutil.which("/usr/bin/mypy") else None)
    if importlib.util.find_spec("mypy"):
        command = [sys.executable, "-m", "mypy"]
    elif mypy:
        command = [mypy]
    else:
        pytest.skip("mypy is not installed (Debian: mypy)")
    done = subprocess.run(
        [*command, "--no-incremental", "--ignore-missing-imports", "python/mica", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "MYPYPATH": "python:python/tests"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
