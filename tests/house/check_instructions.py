#!/usr/bin/env python3
"""Instructions of one decoded token of a small model, counted by valgrind: machines are noisy, this number is not.

usage: check_instructions.py PROGRAM      exit 77: nothing to count with

Two runs that differ in nothing but the number of tokens are subtracted. The bounds are one and a half times what was counted when they were
set: a kernel that falls to a slow path, or a pass over memory too many, goes beyond them. They are for optimized builds on x86-64 with AVX2.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
          "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "hidden_act": "silu", "max_position_embeddings": 512,
          "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True, "vocab_size": 2048, "bos_token_id": 1, "eos_token_id": 2}
BOUNDS = {"4": 2.1, "8": 2.0, "bf16": 1.8}  # millions of instructions per token
FEW, MANY = 2, 12


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def count(program, config, kind, tokens, folder):
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", program, "bench", "--config", config, "--quantize", kind,
               "--prompt", "8", "--tokens", str(tokens), "--runs", "1", "--threads", "1", "--no-bandwidth"]
    r = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", r.stderr)
    if r.returncode or not found:
        skip(f"valgrind cannot run the program: {r.stderr.strip().splitlines()[-1] if r.stderr.strip() else r.returncode}")
    return int(found.group(1))


def main():
    if not shutil.which("valgrind"):
        skip("there is no valgrind")
    info = pathlib.Path("/proc/cpuinfo")
    if not info.exists() or "avx2" not in info.read_text():
        skip("the bounds are for x86-64 with AVX2")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "config.json"
        config.write_text(json.dumps(CONFIG))
        for kind, bound in BOUNDS.items():
            # bench runs everything twice: once to warm up
            counts = [count(sys.argv[1], str(config), kind, n, folder) for n in (FEW, MANY)]
            millions = (counts[1] - counts[0]) / (MANY - FEW) / 2 / 1e6
            print(f"{kind}: {millions:.2f} million instructions per token, at most {bound}")
            failed |= millions > bound
    sys.exit(failed)


if __name__ == "__main__":
    main()
