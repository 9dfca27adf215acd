"""Runs every script of this folder in one process and prints what each one printed, as one JSON object.

    run_all.py mlx|cpu FOLDER-OF-MODEL pt|np [WITHOUT,...]

"cpu" is Transformers itself: the scripts' device_map is replaced. WITHOUT names packages that are to be as if they were not installed.
"""

import contextlib
import io
import json
import sys
import traceback
from pathlib import Path

device, model, tensors, *without = sys.argv[1:]
for package in without[0].split(",") if without else ():
    sys.modules[package] = None  # type: ignore[assignment]
if device == "mlx":
    import mica.transformers  # noqa: F401
else:
    # torch's fused attention leaves out the soft caps of Gemma 2.
    from functools import partial

    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained = partial(AutoModelForCausalLM.from_pretrained, attn_implementation="eager")  # type: ignore[method-assign]

results = {}
for script in sorted(Path(__file__).parent.glob("*.py")):
    if script.name == "run_all.py":
        continue
    source = script.read_text().replace('device_map="mlx"', f'device_map="{device}"')
    said = io.StringIO()
    sys.argv = [str(script), model, tensors]
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(source, str(script), "exec"), {"__name__": "__main__", "__file__": str(script)})
    except BaseException:
        said.write(traceback.format_exc())
    results[script.stem] = said.getvalue()
print(json.dumps(results))
