"""Running the scripts, and comparing what they print. For test_scripts.py and test_scripts_transformers.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Sequence

import pytest
from conftest import OWN_MODEL, python_with, run_python

SCRIPTS = Path(__file__).parent / "scripts"
NAMES = sorted(p.stem for p in SCRIPTS.glob("*.py") if p.stem != "run_all")
_ran: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}


def run_all(python: str, device: str, *arguments: str, model: Path = OWN_MODEL, models: Sequence[Path] = (OWN_MODEL,)) -> dict[str, str]:
    """What all scripts print with a model. They run with all `models` in one process of an interpreter, once for all tests."""
    key = (python, device, *arguments, *map(str, models))
    if key not in _ran:
        folders = ":".join(str(folder) for folder in models)
        done = run_python(python, str(SCRIPTS / "run_all.py"), device, folders, *arguments, timeout=1000)
        assert done.returncode == 0, done.stderr[-3000:]
        _ran[key] = json.loads(done.stdout.splitlines()[-1])
    return _ran[key][str(model)]


def assert_same(found: str, wanted: str) -> None:
    """The same lines; numbers with a fraction, rounded for printing, within what float32 sums differ by."""
    assert len(found.splitlines()) == len(wanted.splitlines()), found
    for line, other in zip(found.splitlines(), wanted.splitlines()):
        if line != other:
            assert_close(_value(line), _value(other))


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


def assert_close(found: Any, wanted: Any) -> None:
    if isinstance(found, list) and isinstance(wanted, list):
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted):
            assert_close(a, b)
    elif isinstance(found, float) and isinstance(wanted, float):
        assert abs(found - wanted) <= 1.1e-3
    else:
        assert found == wanted


def expected() -> dict[str, str]:
    texts: dict[str, str] = json.loads((SCRIPTS / "expected.json").read_text(encoding="utf-8"))
    return texts


def torch_python() -> str:
    python = python_with("transformers", "torch")
    if python is None:
        pytest.skip("no interpreter with transformers and torch (MICA_TEST_PYTHON can name one)")
    return python


def transformers_python() -> str:
    python = python_with("transformers")
    if python is None:
        pytest.skip("no interpreter with transformers (MICA_TEST_PYTHON can name one)")
    return python
