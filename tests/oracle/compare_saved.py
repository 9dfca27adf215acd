#!/usr/bin/env python3
"""What `mica convert --format transformers` saves is loaded by Transformers without complaint and gives mica's logits and token ids.

    compare_saved.py PROGRAM SOURCE...     PROGRAM: mica; SOURCE: folders and .gguf files that mica reads

Needs transformers and torch; says so and ends with 77 where they are missing.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    import transformers
    from safetensors.torch import load_file
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

IDS = [1, 5, 9, 17, 33, 2, 8, 40, 41, 7, 3, 19]
TEXTS = ["Hello, world!", "Once upon a time, 12345 naïve cats — and dogs.\n\n\tThe end…", "日本語のテキスト と 한국어", "def f(x):\n    return x ** 2  # 🦊",
         "<|im_start|>user\nHi<|im_end|>\n", "  leading and trailing  ", "don't we'll I'VE", ""]


def mica(program, *arguments, **options):
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, **options)
    if result.returncode:
        raise RuntimeError(result.stderr.strip())
    return result.stdout


def compare_logits(program, source, target, out):
    mica(program, "logits", "-m", target, "--precision", "exact", "--ids", json.dumps(IDS), "--output", out / "l.safetensors")
    ours = load_file(out / "l.safetensors")["logits"]
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        target, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    problems = {k: v for k, v in info.items() if v}
    if problems:
        raise RuntimeError(f"loading info {problems}")
    with torch.no_grad():
        theirs = model(torch.tensor([IDS])).logits[0].float()
    return (ours - theirs).abs().max().item(), type(model).__name__


def compare_ids(program, source, target):
    if not (target / "tokenizer.json").exists():
        return "no tokenizer"
    tokenizer = transformers.AutoTokenizer.from_pretrained(target)
    lines = "".join(json.dumps(t) + "\n" for t in TEXTS)
    for where in (source, target):
        ours = [json.loads(l) for l in mica(program, "tokenize", "-m", where, "--jsonl", input=lines).splitlines()]
        theirs = [tokenizer(t)["input_ids"] for t in TEXTS]
        for text, a, b in zip(TEXTS, ours, theirs):
            if a != b:
                raise RuntimeError(f"ids of {text!r} from {where}: {a}, Transformers {b}")
    return f"{len(TEXTS)} texts"


def main():
    program, *sources = sys.argv[1:]
    faults = []
    for source in sources:
        for options in (["--format", "transformers", "--dtype", "float32"], ["--format", "transformers", "--max-shard-size", "100KB"]):
            if source.endswith(".gguf") and "--max-shard-size" in options:
                options = ["--format", "transformers", "--max-shard-size", "100MB"]
            with tempfile.TemporaryDirectory() as out:
                target = pathlib.Path(out, "saved")
                try:
                    mica(program, "convert", source, target, *options)
                    difference, name = compare_logits(program, source, target, pathlib.Path(out))
                    if difference > 1e-3:
                        raise RuntimeError(f"logits differ by {difference}")
                    print(f"{pathlib.Path(source).name:40} {name:28} {difference:.1e}, {compare_ids(program, source, target)}", flush=True)
                except Exception as e:
                    faults.append(f"{source} {' '.join(options)}: {type(e).__name__}: {e}")
    print("\n".join(faults) or "all agree")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
