"""The scripts where Transformers is installed: with torch, without it, and Transformers itself. Skipped where it is not."""

from __future__ import annotations

import sys

import pytest
from conftest import OWN_MODEL, SHARED, run_python
from script_runs import NAMES, assert_same, expected, run_all, torch_python, transformers_python


@pytest.mark.parametrize("name", NAMES)
def test_with_transformers_and_torch(name: str) -> None:
    assert_same(run_all(torch_python(), "mlx", str(OWN_MODEL), "pt")[name], expected()[name])


@pytest.mark.parametrize("name", NAMES)
def test_with_transformers_without_torch(name: str) -> None:
    assert_same(run_all(transformers_python(), "mlx", str(OWN_MODEL), "np", "torch")[name], expected()[name])


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
        if "Traceback" not in wanted[name]:  # Transformers itself fails: a draft model with a sliding window
            assert_same(found[name], wanted[name])


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
    code = f"""
import sys; sys.modules["torch"] = None
import mica.transformers
from transformers import AutoModelForCausalLM
try:
    AutoModelForCausalLM.from_pretrained({str(OWN_MODEL)!r}, device_map="cpu")
except ImportError as e:
    print("PyTorch" in str(e))
"""
    done = run_python(transformers_python(), "-c", code)
    assert done.stdout.strip() == "True", done.stderr[-2000:]
