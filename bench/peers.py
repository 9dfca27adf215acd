"""The measurements of compare.py: one program on one model in this process, figures as JSON on the last line of standard output.

    python3 bench/peers.py PROGRAM OPTIONS            PROGRAM: a key of MEASURE; compare.py calls it, once for each measurement

Every measurement gives tokens per second of `prefill` and `decode`, seconds of `load`, the `bytes` that one decoded token reads of the weights,
and the `peak` of resident memory. A program that would take more than --seconds reads a shorter prompt and writes fewer tokens: what it did
is in `prompt` and `tokens`.
"""
import argparse
import json
import os
import resource
import subprocess
import time


def prompt_ids(n, vocab):
    """The ids that `mica bench` uses too."""
    state, ids = 1, []
    for _ in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        ids.append((state >> 8) % vocab)
    return ids


def timed(step, ids):
    begin = time.perf_counter()
    step(ids)
    return time.perf_counter() - begin


def measure(a, vocab, step, reset):
    """step(ids) runs the model over ids after what is in its cache; reset() empties the cache."""
    ids = prompt_ids(a.depth + a.prompt, vocab)
    n_prompt, n_tokens = a.prompt, a.tokens
    timed(step, ids[:1])  # the first touch of the weights
    one = timed(step, ids[1:2])
    n_tokens = max(1, min(n_tokens, int(a.seconds / 4 / one)))
    probe = 32 if one < a.seconds / 100 else 4
    if one > a.seconds / 10:  # hopeless at prompts
        n_prompt = 2
    elif n_prompt > probe:
        n_prompt = max(probe, min(n_prompt, int(a.seconds / 2 / (timed(step, ids[:probe]) / probe))))
    reset()
    for i in range(0, a.depth, 512):
        step(ids[i:min(i + 512, a.depth)])
    prefill = sum(timed(step, ids[i:min(i + 512, a.depth + n_prompt)]) for i in range(a.depth, a.depth + n_prompt, 512))
    decode = sum(timed(step, [ids[i % len(ids)]]) for i in range(n_tokens))
    return {"prefill": n_prompt / prefill, "decode": n_tokens / decode, "prompt": n_prompt, "tokens": n_tokens,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def measure_mica(a):
    command = [a.mica, "bench", "-m", a.model, "--prompt", str(a.prompt), "--tokens", str(a.tokens), "--runs", "1", "--depth", str(a.depth),
               "--threads", str(a.threads), "--json"] + (["--precision", a.precision] if a.precision else []) + ([] if a.start else ["--no-start"])
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        raise RuntimeError(child.stderr.strip())
    r = json.loads(child.stdout)
    return {"prefill": r["prefill_tokens_per_second"]["median"], "decode": r["decode_tokens_per_second"]["median"], "load": r["load_seconds"],
            "start": r.get("start_seconds", {}).get("median"), "peak": r["peak_bytes"], "fraction": r["bandwidth_fraction"],
            "bandwidth": r["bandwidth_bytes_per_second"], "bytes": r["read_bytes_per_token"], "isa": r["isa"]}


def measure_llama_bench(a):
    command = [a.llama_bench, "-m", a.model, "-t", str(a.threads), "-p", str(a.prompt), "-n", str(a.tokens), "-r", "1", "-o", "json"]
    child = subprocess.run(command + (["-d", str(a.depth)] if a.depth else []), capture_output=True, text=True)
    if child.returncode:
        raise RuntimeError(child.stderr.strip().splitlines()[-1])
    runs = json.loads(child.stdout)
    return {**{"prefill" if r["n_prompt"] else "decode": r["avg_ts"] for r in runs}, "bytes": os.path.getsize(a.model),
            "peak": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024}


def measure_llama_cpp(a):
    import ctypes
    import llama_cpp as L
    quiet = L.llama_log_callback(lambda *_: None)
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    L.llama_backend_init()
    begin = time.perf_counter()
    model = L.llama_model_load_from_file(a.model.encode(), L.llama_model_default_params())
    cp = L.llama_context_default_params()
    cp.n_ctx = a.depth + a.prompt + a.tokens + 64
    cp.n_batch = cp.n_ubatch = 512
    cp.n_threads = cp.n_threads_batch = a.threads
    context = L.llama_init_from_model(model, cp)
    load = time.perf_counter() - begin
    vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))

    def step(ids):
        array = (L.llama_token * len(ids))(*ids)  # the batch only points to it
        failure = L.llama_decode(context, L.llama_batch_get_one(array, len(ids)))
        if failure:
            raise RuntimeError(f"llama_decode of {len(ids)} tokens gave {failure}")
        L.llama_get_logits_ith(context, -1)

    step([1])
    start = time.perf_counter() - begin  # without the start of Python
    figures = measure(a, vocab, step, lambda: L.llama_memory_clear(L.llama_get_memory(context), True))
    return {**figures, "load": load, "start": start, "bytes": os.path.getsize(a.model)}


def measure_transformers(a):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.initialization import no_init_weights
    from transformers.utils import logging
    logging.set_verbosity_error()
    torch.set_num_threads(a.threads)
    dtype = getattr(torch, a.dtype)
    begin = time.perf_counter()
    if a.model.endswith(".gguf"):
        folder, name = os.path.split(os.path.abspath(a.model))
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=dtype).eval()
    else:
        torch.set_default_dtype(dtype)
        with no_init_weights():
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(a.model), dtype=dtype).eval()
        some = torch.rand(1 << 22).to(dtype) * 0.02 - 0.01
        for p in model.parameters():  # speeds do not depend on values, but pages that nobody wrote are all one
            flat = p.data.view(-1)
            for i in range(0, flat.numel(), some.numel()):
                part = flat[i:i + some.numel()]
                part.copy_(some[:part.numel()])
    load = time.perf_counter() - begin
    state = {"past": None}

    def step(ids):
        with torch.inference_mode():
            out = model(torch.tensor([ids]), past_key_values=state["past"], use_cache=True, logits_to_keep=1)
        state["past"] = out.past_key_values

    figures = measure(a, model.config.vocab_size, step, lambda: state.update(past=None))
    return {**figures, "load": load, "bytes": sum(p.numel() * p.element_size() for p in model.parameters())}


def measure_mlx(a):
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.utils import _get_classes
    mx.set_default_device(mx.cpu)
    with open(os.path.join(a.model, "config.json") if os.path.isdir(a.model) else a.model) as f:
        config = json.load(f)
    begin = time.perf_counter()
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    model.set_dtype(mx.bfloat16)
    if a.bits:
        nn.quantize(model, 64, a.bits)
    mx.eval(model.parameters())
    load = time.perf_counter() - begin
    state = {"cache": make_prompt_cache(model)}

    def step(ids):
        mx.eval(model(mx.array([ids]), cache=state["cache"])[:, -1])

    figures = measure(a, config["vocab_size"], step, lambda: state.update(cache=make_prompt_cache(model)))
    return {**figures, "load": load, "bytes": sum(v.nbytes for _, v in tree_flatten(model.parameters()))}


MEASURE = {"mica": measure_mica, "llama.cpp": measure_llama_cpp, "llama-bench": measure_llama_bench, "transformers": measure_transformers,
           "mlx-lm": measure_mlx}

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program", choices=MEASURE)
    p.add_argument("--model", required=True)
    p.add_argument("--mica")
    p.add_argument("--llama-bench")
    p.add_argument("--precision")
    p.add_argument("--dtype", default="bfloat16")
    p.add_argument("--bits", type=int, default=0)
    p.add_argument("--prompt", type=int, required=True)
    p.add_argument("--tokens", type=int, required=True)
    p.add_argument("--depth", type=int, default=0)
    p.add_argument("--threads", type=int, required=True)
    p.add_argument("--seconds", type=float, default=40)
    p.add_argument("--start", action="store_true")
    arguments = p.parse_args()
    print(json.dumps(MEASURE[arguments.program](arguments)))
