#!/usr/bin/env python3
"""Measures mica beside its peers on one model or one shape, in alternation, and prints a table.

    python3 bench/compare.py --model MODEL.gguf [--prompt 128] [--tokens 64] [--rounds 5] [--threads 2]
    python3 bench/compare.py --config bench/configs/Llama-3.2-1B.json --quantize 4 [--depth 8192]

With --config every program gets random weights of that shape and of the type nearest to mica's: llama.cpp Q4_0, Q8_0, F16 or BF16 (a file that
bench/random_model.py writes), Transformers bfloat16, mlx-lm its own quantization. Peers are used if they are there: llama_cpp (PyPI
llama-cpp-python) in this Python or a llama-bench given by path, transformers with torch in this Python, mlx_lm in the Python that --mlx-python
names. Every measurement is a process of its own; one round runs each program once, so that a busy neighbour hits all alike. Shown are
medians over the rounds, the spread, and for mica the share of the read bandwidth that was measured in the same process. Rounds in
which that bandwidth is below two thirds of the best round's are left out.
"""
import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
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
    what = ["--config", a.config, "--quantize", a.quantize] if a.config else ["-m", a.model]
    command = [a.mica, "bench", *what, "--prompt", str(a.prompt), "--tokens", str(a.tokens), "--runs", "1", "--depth", str(a.depth),
               "--threads", str(a.threads), "--json"] + (["--precision", a.precision] if a.precision else [])
    r = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"prefill": r["prefill_tokens_per_second"]["median"], "decode": r["decode_tokens_per_second"]["median"],
            "load": r["load_seconds"], "peak": r["peak_bytes"], "fraction": r["bandwidth_fraction"],
            "bandwidth": r["bandwidth_bytes_per_second"]}


def measure_llama_bench(a):
    begin = time.perf_counter()
    command = [a.llama_bench, "-m", a.gguf, "-t", str(a.threads), "-p", str(a.prompt), "-n", str(a.tokens), "-d", str(a.depth), "-r", "1",
               "-o", "json"]
    runs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    speed = {"prefill" if r["n_prompt"] else "decode": r["avg_ts"] for r in runs}
    return {**speed, "load": time.perf_counter() - begin}


def measure_llama_cpp(a):
    import ctypes
    import llama_cpp as L
    quiet = L.llama_log_callback(lambda *_: None)
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    L.llama_backend_init()
    begin = time.perf_counter()
    mp = L.llama_model_default_params()
    model = L.llama_model_load_from_file(a.gguf.encode(), mp)
    cp = L.llama_context_default_params()
    cp.n_ctx = a.depth + a.prompt + a.tokens + 8
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
        ids = prompt_ids(a.depth + a.prompt, vocab)
        for i in range(0, a.depth, 512):
            decode(ids[i:min(i + 512, a.depth)])
        ids = ids[a.depth:]
        t0 = time.perf_counter()
        for i in range(0, len(ids), 512):
            decode(ids[i:i + 512])
        t1 = time.perf_counter()
        for i in range(a.tokens - 1):
            decode([ids[i % len(ids)]])
        return a.prompt / (t1 - t0), (a.tokens - 1) / (time.perf_counter() - t1)

    if not a.depth:
        run()
    prefill, speed = run()
    return {"prefill": prefill, "decode": speed, "load": load}


def measure_transformers(a):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging
    logging.set_verbosity_error()
    torch.set_num_threads(a.threads)
    begin = time.perf_counter()
    if a.config:
        torch.set_default_dtype(torch.bfloat16)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(a.config), dtype=torch.bfloat16).eval()
    else:
        folder, name = os.path.split(os.path.abspath(a.model))
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
    load = time.perf_counter() - begin
    ids = torch.tensor([prompt_ids(a.depth + a.prompt, model.config.vocab_size)])

    def run():
        with torch.inference_mode():
            past = model(ids[:, :a.depth], use_cache=True, logits_to_keep=1).past_key_values if a.depth else None
            t0 = time.perf_counter()
            out = model(ids[:, a.depth:], past_key_values=past, use_cache=True, logits_to_keep=1)
            t1 = time.perf_counter()
            for i in range(a.tokens - 1):
                out = model(ids[:, i % a.prompt:i % a.prompt + 1], past_key_values=out.past_key_values, use_cache=True)
            return a.prompt / (t1 - t0), (a.tokens - 1) / (time.perf_counter() - t1)

    run()
    prefill, speed = run()
    return {"prefill": prefill, "decode": speed, "load": load}


def measure_mlx(a):
    import mlx.core as mx
    import mlx.nn as nn
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.utils import _get_classes
    config = json.load(open(a.config))
    begin = time.perf_counter()
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    model.set_dtype(mx.bfloat16)
    if a.quantize in ("2", "3", "4", "5", "6", "8"):
        nn.quantize(model, 64, int(a.quantize))
    mx.eval(model.parameters())
    load = time.perf_counter() - begin
    ids = prompt_ids(a.prompt, config["vocab_size"])
    cache = make_prompt_cache(model)

    def step(part):
        mx.eval(model(mx.array([part]), cache=cache)[:, -1])

    t0 = time.perf_counter()
    step(ids)
    t1 = time.perf_counter()
    for i in range(a.tokens - 1):
        step([ids[i % len(ids)]])
    return {"prefill": a.prompt / (t1 - t0), "decode": (a.tokens - 1) / (time.perf_counter() - t1), "load": load}


MEASURE = {"mica": measure_mica, "llama.cpp": measure_llama_cpp, "llama-bench": measure_llama_bench, "transformers": measure_transformers,
           "mlx-lm": measure_mlx}
NEEDS = {"llama.cpp": ["llama_cpp"], "transformers": ["transformers", "torch"]}
GGUF_TYPES = {"4": "q4_0", "8": "q8_0", "bf16": "bf16", "f16": "f16"}


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mica", default="build/release/mica")
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", help="a GGUF file")
    what.add_argument("--config", help="a config.json: random weights")
    p.add_argument("--quantize", default="4", choices=GGUF_TYPES, help="type of the random weights; default: 4")
    p.add_argument("--gguf", help="the file that llama.cpp gets with --config; default: made for this run")
    p.add_argument("--prompt", type=int, default=128)
    p.add_argument("--tokens", type=int, default=64)
    p.add_argument("--depth", type=int, default=0, help="tokens in the context before the prompt, not measured")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--peers", default="llama.cpp,transformers", help="of llama.cpp, transformers, mlx-lm (with --config)")
    p.add_argument("--llama-bench", help="path of a llama-bench, beside or instead of llama-cpp-python")
    p.add_argument("--mlx-python", help="the Python that has mlx_lm; default: this one")
    p.add_argument("--precision", help="of mica: fast, exact or int8")
    p.add_argument("--limit", type=int, default=300, help="seconds that one process may take; default: 300")
    p.add_argument("--measure", help=argparse.SUPPRESS)  # the child process of one measurement
    return p.parse_args()


def programs(a):
    names = ["mica"]
    for peer in filter(None, a.peers.split(",")):
        missing = [m for m in NEEDS.get(peer, []) if importlib.util.find_spec(m) is None]
        if missing:
            print(f"without {peer}: this Python lacks {', '.join(missing)}", file=sys.stderr)
        elif peer == "mlx-lm" and not a.config:
            print("without mlx-lm: it is compared with --config only", file=sys.stderr)
        else:
            names.append(peer)
    return names + (["llama-bench"] if a.llama_bench else [])


def measure(a, name):
    """The figures of one process; None if it failed, which is said."""
    python = a.mlx_python if name == "mlx-lm" and a.mlx_python else sys.executable
    arguments = [python, __file__, *sys.argv[1:], "--measure", name] + (["--gguf", a.gguf] if a.gguf else [])
    try:
        child = subprocess.run(arguments, capture_output=True, text=True, timeout=a.limit)
    except subprocess.TimeoutExpired:
        print(f"{name}: not done within {a.limit} s", file=sys.stderr)
        return None
    if child.returncode == 0:
        return json.loads(child.stdout.splitlines()[-1])
    print(f"{name}: {child.stderr.strip().splitlines()[-1] if child.stderr.strip() else 'failed'}", file=sys.stderr)
    return None


def compare(a):
    rounds = []
    names = programs(a)
    for r in range(a.rounds):
        row = {name: measure(a, name) for name in names}
        if not row["mica"]:
            sys.exit(1)
        names = [name for name in names if row[name]]
        rounds.append(row)
        for name in names:
            print(f"round {r + 1} {name}: {row[name]}", file=sys.stderr)
    best = max(row["mica"]["bandwidth"] for row in rounds)
    kept = [row for row in rounds if row["mica"]["bandwidth"] > best * 2 / 3]
    depth = f"after {a.depth} tokens, " if a.depth else ""
    print(f"{depth}prompt {a.prompt}, {a.tokens} new tokens, {a.threads} threads, median of {len(kept)} rounds of {a.rounds} (lowest to highest)\n")
    print("| program | prefill tokens/s | decode tokens/s | load s |\n| --- | --- | --- | --- |")
    for name in names:
        cells = []
        for key, digits in (("prefill", 1), ("decode", 1), ("load", 3)):
            values = [row[name][key] for row in kept]
            cells.append(f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})")
        print(f"| {name} | {' | '.join(cells)} |")
    fraction = statistics.median(row["mica"]["fraction"] for row in kept)
    bandwidth = statistics.median(row["mica"]["bandwidth"] for row in kept)
    print(f"\nread bandwidth {bandwidth / 1e9:.1f} GB/s (median); mica's decoding reads weights at {100 * fraction:.0f} % of it")


def main():
    a = parse()
    if a.model:
        a.gguf = a.model
    if a.measure:
        print(json.dumps(MEASURE[a.measure](a)))
        return
    wants_file = a.config and not a.gguf and ("llama.cpp" in a.peers or a.llama_bench)
    if not wants_file:
        compare(a)
        return
    with tempfile.TemporaryDirectory() as folder:
        a.gguf = os.path.join(folder, "random.gguf")
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "random_model.py")
        if subprocess.run([sys.executable, script, a.config, GGUF_TYPES[a.quantize], a.gguf]).returncode:
            a.peers, a.llama_bench, a.gguf = a.peers.replace("llama.cpp", ""), None, None
        compare(a)


if __name__ == "__main__":
    main()
