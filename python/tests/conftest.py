"""What the tests share: where the models are, and other Python environments to compare with.

MICA_TEST_PYTHON names interpreters with Transformers, separated by colons: those that are given are used, with and without torch; without
any, the tests that need them say so and are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("MICA_SHARED") or ROOT.parent / "shared")
OWN_MODEL = ROOT / "tests" / "data" / "models" / "llama-chat"


def model_folders() -> list[Path]:
    """The small trained models: one in the tree, the others beside it."""
    others = sorted((SHARED / "reference" / "chat-models").glob("*"))
    return [OWN_MODEL, *(p for p in others if p.name != OWN_MODEL.name)]


def folder_name(folder: Any) -> str:
    """What a test's parameter is called."""
    return str(folder.name)


@pytest.fixture(scope="session", params=model_folders(), ids=folder_name)
def folder(request: Any) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def llama() -> str:
    return str(OWN_MODEL)


@pytest.fixture(scope="session")
def model(llama: str) -> Any:
    from mica import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(llama, device_map="mlx", dtype="float32")


@pytest.fixture()
def tokenizer(llama: str) -> Any:
    from mica import AutoTokenizer

    return AutoTokenizer.from_pretrained(llama)


def reference(*parts: str) -> Any:
    """A JSON file of the references beside the tree; skips the test if they are not there."""
    path = SHARED.joinpath("reference", *parts)
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    return json.loads(path.read_text(encoding="utf-8"))


# ---- other interpreters ------------------------------------------------------------------------------------------------

_PROBE = """
import importlib.util as u
print("transformers" if u.find_spec("transformers") else "", "torch" if u.find_spec("torch") else "")
"""


def _has(python: str) -> set[str]:
    try:
        done = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, timeout=60)
    except OSError:
        return set()
    return set(done.stdout.split())


def python_with(*packages: str, without: str = "") -> Optional[str]:
    """An interpreter that has these packages."""
    named = os.environ.get("MICA_TEST_PYTHON", "")
    beside = [parent / "venv" for parent in ROOT.parents[:2]]
    candidates = [p for p in named.split(":") if p] + [str(p / "bin" / "python") for p in beside] + [sys.executable]
    for python in candidates:
        has = _has(python)
        if has >= set(packages) and (not without or without not in has):
            return python
    return None


def environment() -> dict[str, str]:
    """For child interpreters: this package and this library, no network."""
    env = dict(os.environ)
    env["PYTHONPATH"] = str(ROOT / "python")
    env["HF_HUB_OFFLINE"] = "1"
    return env


def run_python(python: str, *arguments: str, timeout: float = 300, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [python, *arguments], capture_output=True, text=True, timeout=timeout, env={**environment(), **env}
    )
