"""Scripts in the style of Transformers' documentation, unchanged: the same output as Transformers with torch, in three environments.

scripts/expected.json is what Transformers 5.17 with torch 2.11 on the CPU printed; where they are installed it is checked against them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import OWN_MODEL, SHARED, python_with, run_python

SCRIPTS = Path(__file__).parent / "scripts"
NAMES = sorted(p.stem for p in SCRIPTS.glob("*.py") if p.stem != "run_all")
_ran: dict[tuple[str, ...], dict[str, str]] = {}


def run_all(python: str, *arguments: str) -> dict[str, str]:
    """All scripts in one process of an interpreter; once for all tests."""
    key = (python, *arguments)
    if key not in _ran:
        done = run_python(python, str(SCRIPTS / "run_all.py"), *arguments, timeout=500)
        assert done.returncode == 0, done.stderr[-3000:]
        _ran[key] = json.loads(done.stdout.splitlines()[-1])
    return _ran[key]


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
    return json.loads((SCRIPTS / "expected.json").read_text(encoding="utf-8"))


def torch_python() -> str:
    python = python_with("transformers", "torch")
    if python is None:
        pytest.skip("no interpreter with transformers and torch (MICA_TEST_PYTHON can name one)")
    return python


def test_every_script_has_an_expectation() -> None:
    assert sorted(expected()) == NAMES and len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_with_nothing_but_mica(name: str) -> None:
    assert_same(run_all(sys.executable, "mlx", str(OWN_MODEL), "np", "transformers,torch")[name], expected()[name])


@pytest.mark.parametrize("name", NAMES)
def test_with_transformers_and_torch(name: str) -> None:
    assert_same(run_all(torch_python(), "mlx", str(OWN_MODEL), "pt")[name], expected()[name])


@pytest.mark.parametrize("name", NAMES)
def test_with_transformers_without_torch(name: str) -> None:
    python = python_with("transformers")
    if python is None:
        pytest.skip("no interpreter with transformers (MICA_TEST_PYTHON can name one)")
    assert_same(run_all(python, "mlx", str(OWN_MODEL), "np", "torch")[name], expected()[name])


@pytest.mark.parametrize("name", NAMES)
def test_expectations_are_transformers_own(name: str) -> None:
    assert_same(run_all(torch_python(), "cpu", str(OWN_MODEL), "pt")[name], expected()[name])


@pytest.mark.parametrize("model", ["gemma-chat", "qwen3-chat"])
def test_other_models(model: str) -> None:
    folder = SHARED / "reference" / "chat-models" / model
    if not folder.exists():
        pytest.skip(f"{folder} is not on this machine")
    wanted = run_all(torch_python(), "cpu", str(folder), "pt")
    found = run_all(sys.executable, "mlx", str(folder), "np", "transformers,torch")
    for name in NAMES:
        assert_same(found[name], wanted[name])


# ---- the way in and out -------------------------------------------------------------------------------------------------


def test_python_m_mica(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nfrom transformers import AutoTokenizer\nprint(sys.argv[1:], __name__, __file__)\n")
    done = run_python(sys.executable, "-m", "mica", str(script), "a", "--b")
    assert done.stdout.split("\n")[0] == f"['a', '--b'] __main__ {script}", done.stderr
    assert run_python(sys.executable, "-m", "mica", "-c", "import sys; print(sys.argv)", "x").stdout == "['-c', 'x']\n"
    assert "timeit" in run_python(sys.executable, "-m", "mica", "-m", "timeit", "-h").stdout
    assert run_python(sys.executable, "-m", "mica").returncode == 64
    assert run_python(sys.executable, "-m", "mica", str(tmp_path / "none.py")).returncode == 66
    assert run_python(sys.executable, "-m", "mica", "-c", "raise SystemExit(3)").returncode == 3


def test_what_is_missing_is_said() -> None:
    code = "import sys; sys.modules['transformers'] = None\nimport mica.transformers\nfrom transformers import Trainer"
    done = run_python(sys.executable, "-c", code)
    assert done.returncode == 1 and "Trainer" in done.stderr


def test_other_device_maps_are_transformers_own() -> None:
    code = f"""
import mica.transformers, transformers, torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM, pipeline, AutoModel
own = AutoModelForCausalLM.from_pretrained({str(OWN_MODEL)!r}, dtype="float32")
assert isinstance(own, torch.nn.Module) and type(own).__module__.startswith("transformers.")
assert isinstance(AutoModel.from_pretrained({str(OWN_MODEL)!r}), torch.nn.Module)
assert isinstance(pipeline("text-generation", model={str(OWN_MODEL)!r}).model, torch.nn.Module)
ours = LlamaForCausalLM.from_pretrained({str(OWN_MODEL)!r}, device_map="mlx")
assert type(ours).__module__ == "mica.model", type(ours)
assert type(pipeline("text-generation", model=ours, tokenizer={str(OWN_MODEL)!r}).model).__module__ == "mica.model"
print("as it was")
"""
    done = run_python(torch_python(), "-c", code)
    assert "as it was" in done.stdout, done.stderr[-2000:]


def test_without_torch_only_mlx_is_ours() -> None:
    python = python_with("transformers")
    if python is None:
        pytest.skip("no interpreter with transformers (MICA_TEST_PYTHON can name one)")
    code = f"""
import sys; sys.modules["torch"] = None
import mica.transformers
from transformers import AutoModelForCausalLM
try:
    AutoModelForCausalLM.from_pretrained({str(OWN_MODEL)!r}, device_map="cpu")
except ImportError as e:
    print("PyTorch" in str(e))
"""
    done = run_python(python, "-c", code)
    assert done.stdout.strip() == "True", done.stderr[-2000:]
