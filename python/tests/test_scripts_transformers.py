"""The scripts where Transformers is installed: with torch, without it, and Transformers itself. Skipped where it is not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable

import pytest
from conftest import OWN_MODEL, folder_name, model_folders, run_python
from script_runs import NAMES, assert_same, expected, run_all, torch_python, transformers_python


MODELS = model_folders()
ENVIRONMENTS: dict[str, tuple[Callable[[], str], tuple[str, ...]]] = {
    "transformers and torch": (torch_python, ("mlx", "pt")),
    "transformers without torch": (transformers_python, ("mlx", "np", "torch")),
    "nothing but mica": (lambda: sys.executable, ("mlx", "np", "transformers,torch")),
}


def real(model: Path) -> dict[str, str]:
    """What Transformers itself prints."""
    return run_all(torch_python(), "cpu", "pt", model=model, models=MODELS)


@pytest.mark.parametrize("model", MODELS, ids=folder_name)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_scripts(environment: str, model: Path) -> None:
    python, arguments = ENVIRONMENTS[environment]
    found = run_all(python(), *arguments, model=model, models=MODELS)
    wanted = real(model)
    for name in NAMES:
        if "Traceback" not in wanted[name]:  # Transformers itself fails: a draft model with a sliding window
            assert_same(found[name], wanted[name])


@pytest.mark.parametrize("name", NAMES)
def test_expectations_are_transformers_own(name: str) -> None:
    assert_same(real(OWN_MODEL)[name], expected()[name])


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
from transformers import AutoModelForCausalLM, AutoTokenizer, TopHLogitsWarper, WatermarkDetector
from transformers.cache_utils import DynamicCache
from transformers.generation import LogitsProcessor, GenerationConfig
from transformers.generation.logits_process import LogitsProcessorList
from transformers.generation.stopping_criteria import StoppingCriteriaList
from transformers.modeling_outputs import CausalLMOutputWithPast
assert LogitsProcessor.__module__ == "mica.processors" and GenerationConfig.__module__.startswith("transformers.")
assert AutoTokenizer.from_pretrained({str(OWN_MODEL)!r})("The river", return_tensors="np").to("cpu")["input_ids"].shape[0] == 1
try:
    AutoModelForCausalLM.from_pretrained({str(OWN_MODEL)!r}, device_map="cpu")
except ImportError as e:
    print("PyTorch" in str(e))
"""
    done = run_python(transformers_python(), "-c", code)
    assert done.stdout.strip() == "True", done.stderr[-2000:]
