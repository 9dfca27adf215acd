"""Scripts in the style of Transformers' documentation, unchanged, where there is nothing but mica and numpy.

scripts/expected.json is what Transformers 5.17 with torch 2.11 on the CPU printed; test_scripts_transformers.py checks that, and the other
environments.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import run_python
from script_runs import NAMES, assert_same, expected, run_all


def test_every_script_has_an_expectation() -> None:
    assert sorted(expected()) == NAMES and len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_with_nothing_but_mica(name: str) -> None:
    assert_same(run_all(sys.executable, "mlx", "np", "transformers,torch")[name], expected()[name])


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


def test_names_of_the_stand_in() -> None:
    code = """
import sys; sys.modules['transformers'] = None
import mica.transformers, mica
from transformers import *
from transformers import LlamaForCausalLM, Qwen2TokenizerFast, logging, utils
from transformers.utils import get_json_schema
assert LlamaForCausalLM is mica.MicaForCausalLM and Qwen2TokenizerFast is mica.Tokenizer and TopKLogitsWarper is mica.TopKLogitsWarper
logging.set_verbosity_error()
def f(x: int) -> int:
    '''Does it.

    Args:
        x: A number.
    '''
print(get_json_schema(f)["function"]["name"])
"""
    done = run_python(sys.executable, "-c", code)
    assert done.stdout == "f\n", done.stderr
