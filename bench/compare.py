#!/usr/bin/env python3
"""Measures mica beside its peers on one GGUF file, in alternation, and prints a table.

    python3 bench/compare.py --mica build/release/mica --model MODEL.gguf [--prompt 128] [--tokens 64] [--rounds 5] [--threads 2]

Peers are used if this Python has them: llama_cpp (PyPI llama-cpp-python), transformers with torch (reads the file dequantized to
float32). Every measurement is a process of its own; one round runs each program once, so that a busy neighbour hits all alike. Shown are
medians over the rounds, the spread, and for mica the share of the read bandwidth that was measured in the same process.
"""
import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time

PROMPT_SEED = 1


def prompt_ids(n, vocab):
    """The ids that `mica bench` uses too."""
    state, ids = PROMPT_SEED, []
    for _ in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        ids.append((state >> 8) % vocab)
    return ids


# ---- one measurement each: (prefill tokens/s, decode tokens/s, seconds to load) ----


def measure_mica(a):
    command = [a.mica, "bench", "-m", a.model, "--prompt", str(a.prompt), "--tokens", str(a.tokens), "--runs", "1",
               "--threads", str(a.threads), "--json"] + (["--precision", "exact"] if a.exact else [])
    r = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"prefill": r["prefill_tokens_per_second"]["median"], "decode": r["decode_tokens_per_second"]["median"],
            "load": r["load_seconds"], "peak": r["peak_bytes"], "fraction": r["bandwidth_fraction"],
            "bandwidth": r["bandwidth_bytes_per_second"]}


def measure_llama_cpp(a):
    import ctypes
    import llama_cpp as L
    quiet = L.llama_log_callback(lambda *_: None)
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    L.llama_backend_init()
    begin = time.perf_counter()
    mp = L.llama_model_default_params()
    model = L.llama_model_load_from_file(a.model.encode(), mp)
    cp = L.llama_context_default_params()
    cp.n_ctx = a.prompt + a.tokens + 8
    cp.n_batch = cp.n_ubatch = 512
    cp.n_threads = cp.n_threads_batch = a.threads
    ctx = L.llama_init_from_model(model, cp)
    load = time.perf_counter() - begin
    vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    memory = L.llama_get_memory(ctx)

    def decode(ids):
        array = (L.llama_token * len(ids))(*ids)
        if L.llama_decode(ctx, L.llama_batch_get_one(array, len(ids))):
            raise RuntimeError("llama_decode failed")
        return L.llama_get_logits_ith(ctx, -1)

    def run():
        L.llama_memory_clear(memory, True)
        t0 = time.perf_counter()
        ids = prompt_ids(a.prompt, vocab)
        for i in range(0, len(ids), 512):
            decode(ids[i:i + 512])
        t1 = time.perf_counter()
        for i in range(a.tokens - 1):
            decode([ids[i % len(ids)]])
        return a.prompt / (t1 - t0), (a.tokens - 1) / (time.perf_counter() - t1)

    run()
    prefill, speed = run()
    return {"prefill": prefill, "decode": speed, "load": load}


def measure_transformers(a):
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging
    logging.set_verbosity_error()
    torch.set_num_threads(a.threads)
    begin = time.perf_counter()
    folder, name = os.path.split(os.path.abspath(a.model))
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
    load = time.perf_counter() - begin
    ids = torch.tensor([prompt_ids(a.prompt, model.config.vocab_size)])

    def run():
        with torch.inference_mode():
            t0 = time.perf_counter()
            out = model(ids, use_cache=True, logits_to_keep=1)
            t1 = time.perf_counter()
            for i in range(a.tokens - 1):
                out = model(ids[:, i % a.prompt:i % a.prompt + 1], past_key_values=out.past_key_values, use_cache=True)
            return a.prompt / (t1 - t0), (a.tokens - 1) / (time.perf_counter() - t1)

    run()
    prefill, speed = run()
    return {"prefill": prefill, "decode": speed, "load": load}


MEASURE = {"mica": measure_mica, "llama.cpp": measure_llama_cpp, "transformers": measure_transformers}
NEEDS = {"mica": [], "llama.cpp": ["llama_cpp"], "transformers": ["transformers", "torch"]}


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mica", default="build/release/mica")
    p.add_argument("--model", required=True)
    p.add_argument("--prompt", type=int, default=128)
    p.add_argument("--tokens", type=int, default=64)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--peers", default="llama.cpp,transformers")
    p.add_argument("--exact", action="store_true", help="mica with --precision exact")
    p.add_argument("--measure", help=argparse.SUPPRESS)  # the child process of one measurement
    return p.parse_args()


def main():
    a = parse()
    if a.measure:
        print(json.dumps(MEASURE[a.measure](a)))
        return
    names = ["mica"]
    for peer in filter(None, a.peers.split(",")):
        missing = [m for m in NEEDS[peer] if importlib.util.find_spec(m) is None]
        if missing:
            print(f"without {peer}: this Python lacks {', '.join(missing)}", file=sys.stderr)
        else:
            names.append(peer)
    rows = {name: [] for name in names}
    for r in range(a.rounds):
        for name in names:
            child = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--measure", name], capture_output=True, text=True)
            if child.returncode:
                sys.exit(f"{name}: {child.stderr.strip().splitlines()[-1] if child.stderr.strip() else 'failed'}")
            rows[name].append(json.loads(child.stdout.splitlines()[-1]))
            print(f"round {r + 1} {name}: {rows[name][-1]}", file=sys.stderr)
    print(f"prompt {a.prompt}, {a.tokens} new tokens, {a.threads} threads, median of {a.rounds} (lowest to highest)\n")
    print("| program | prefill tokens/s | decode tokens/s | load s |\n| --- | --- | --- | --- |")
    for name in names:
        cells = []
        for key, digits in (("prefill", 1), ("decode", 1), ("load", 3)):
            values = [row[key] for row in rows[name]]
            cells.append(f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})")
        print(f"| {name} | {' | '.join(cells)} |")
    fraction = statistics.median(row["fraction"] for row in rows["mica"])
    bandwidth = statistics.median(row["bandwidth"] for row in rows["mica"])
    print(f"\nread bandwidth {bandwidth / 1e9:.1f} GB/s (median); mica's decoding reads {100 * fraction:.0f} % of it")


if __name__ == "__main__":
    main()
