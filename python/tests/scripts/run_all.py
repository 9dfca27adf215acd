"""Runs every script of this folder in one process, and prints what each one printed with each model, as one JSON object.

    run_all.py mlx|cpu FOLDER-OF-MODEL[:FOLDER...] pt|np [WITHOUT,...]

"cpu" is Transformers itself: the scripts' device_map is replaced. WITHOUT names packages that are to be as if they were not installed.
"""

import contextlib
import io
import json
import sys
import traceback
from pathlib import Path

device, models, tensors, *without = sys.argv[1:]
for package in without[0].split(",") if without else ():
    sys.modules[package] = None  # type: ignore[assignment]
if device == "mlx":
    import mica.transformers  # noqa: F401
else:
    # torch's fused attention leaves out the soft caps of Gemma 2.
    from functools import partial

    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained = partial(AutoModelForCausalLM.from_pretrained, attn_implementation="eager")



def said_by(script: Path, model: str) -> str:
    source = script.read_text().replace('device_map="mlx"', f'device_map="{device}"')
    said = io.StringIO()
    sys.argv = [str(script), model, tensors]
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(source, str(script), "exec"), {"__name__": "__main__", "__file__": str(script)})
    except BaseException:
        said.write(traceback.format_exc())
    return said.getvalue()


scripts = [p for p in sorted(Path(__file__).parent.glob("*.py")) if p.name != "run_all.py"]
print(json.dumps({model: {script.stem: said_by(script, model) for script in scripts} for model in models.split(":")}))
