#!/usr/bin/env python3
"""What Python costs, and what it gains: imports, a streamer beside the C program, decode beside Transformers with torch.

    compare_python.py import   [--rounds 15]
    compare_python.py stream   --mica build/release/mica --model SmolLM2-135M-Instruct.Q4_1.gguf [--tokens 96] [--rounds 5]
    compare_python.py torch    --model FOLDER [--python PYTHON-WITH-TORCH] [--tokens 12] [--rounds 3]

The package is taken from PYTHONPATH and MICA_LIBRARY, or installed. Every measurement is a process of its own, in alternation; one CSV line each,
then medians. torch: FOLDER holds bfloat16 weights (random ones do: bench/random_model.py).
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time

PROMPT = "Write a long story about a river, a tower and an old ship."


def run(command, **env):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done


# ---- workers: one measurement, printed as numbers ------------------------------------------------------------------------


def worker_import():
    start, cpu = time.perf_counter(), time.process_time()
    from mica import AutoModelForCausalLM  # noqa: F401

    print(time.perf_counter() - start, time.process_time() - cpu)


class Clock:
    """A streamer that notes when tokens come."""

    def __init__(self):
        self.times = []

    def put(self, value):
        self.times.append(time.perf_counter())

    def end(self):
        pass

    def rate(self):
        return (len(self.times) - 2) / (self.times[-1] - self.times[1])  # the first is the prompt


def worker_stream(model, tokens, threads):
    from mica import AutoModelForCausalLM, AutoTokenizer, TextStreamer

    tokenizer = AutoTokenizer.from_pretrained(model)
    loaded = AutoModelForCausalLM.from_pretrained(model, device_map="mlx", n_threads=int(threads))
    inputs = tokenizer.apply_chat_template([{"role": "user", "content": PROMPT}], add_generation_prompt=True, return_dict=True, return_tensors="np")
    sys.stdout.flush()
    out, sys.stdout = sys.stdout, open(os.devnull, "w")
    streamer, times, inside, plain = TextStreamer(tokenizer, skip_prompt=True), [], [0.0], TextStreamer.put_ids

    def put_ids(self, ids):
        times.append(time.perf_counter())
        plain(self, ids)
        inside[0] += time.perf_counter() - times[-1]

    TextStreamer.put_ids = put_ids
    loaded.generate(**inputs, do_sample=False, max_new_tokens=int(tokens), min_new_tokens=int(tokens), streamer=streamer)
    sys.stdout = out
    print((len(times) - 2) / (times[-1] - times[1]), inside[0] / (times[-1] - times[1]))


def worker_decode(engine, model, tokens, quantize):
    import numpy as np

    ids = np.arange(1000, 1016)[None]
    options = {"do_sample": False, "max_new_tokens": int(tokens), "min_new_tokens": int(tokens)}
    if engine == "torch":
        import torch
        import transformers

        torch.set_num_threads(os.cpu_count())
        loaded = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
        clock = Clock()
        loaded.generate(torch.from_numpy(ids), attention_mask=torch.ones(1, 16, dtype=torch.long), streamer=clock, pad_token_id=0, **options)
    else:
        from mica import AutoModelForCausalLM

        loaded = AutoModelForCausalLM.from_pretrained(model, device_map="mlx", **({"quantize": int(quantize)} if quantize else {}))
        clock = Clock()
        loaded.generate(ids, streamer=clock, **options)
    print(clock.rate())


# ---- comparisons ------------------------------------------------------------------------------------------------------


def numbers(*arguments, python=sys.executable):
    return [float(x) for x in run([python, __file__, "worker", *map(str, arguments)]).stdout.split()[-2:]]


def report(name, values, unit):
    low, middle, high = min(values), statistics.median(values), max(values)
    print(f"# {name}: {middle:.4g} ({low:.4g} to {high:.4g}) {unit}")
    return middle


def compare_import(args):
    wall, cpu = [], []
    for i in range(args.rounds):
        w, c = numbers("import")
        print(f"import,{i},{w:.4f},{c:.4f}")
        wall.append(w * 1000)
        cpu.append(c * 1000)
    report("import, wall", wall, "ms")
    report("import, processor", cpu, "ms")


def compare_stream(args):
    rates = {"C": [], "Python": []}
    shares = []
    flags = ["--max-new-tokens", str(args.tokens), "--min-new-tokens", str(args.tokens), "--no-do-sample", "--threads", str(args.threads)]
    for i in range(args.rounds):
        said = run([args.mica, "generate", "-m", args.model, PROMPT, *flags, "--stats"]).stderr
        rates["C"].append(float(re.search(r"answer ([0-9.]+) tokens/s", said).group(1)))
        rate, share = numbers("stream", args.model, args.tokens, args.threads)
        rates["Python"].append(rate)
        shares.append(100 * share)
        print(f"stream,{i},{rates['C'][-1]:.1f},{rate:.1f},{share:.4f}")
    c, py = report("C program", rates["C"], "tokens/s"), report("Python with a TextStreamer", rates["Python"], "tokens/s")
    report("of a token's time inside the streamer", shares, "%")
    print(f"# overhead {100 * (c / py - 1):.1f} %")


def compare_torch(args):
    found = {"torch bfloat16": [], "mica bfloat16": [], "mica quantize=4": []}
    for i in range(args.rounds):
        for name, (engine, quantize, python) in {
            "torch bfloat16": ("torch", "", args.python),
            "mica bfloat16": ("mica", "", sys.executable),
            "mica quantize=4": ("mica", "4", sys.executable),
        }.items():
            if args.only and args.only not in name:
                continue
            found[name].append(numbers("decode", engine, args.model, args.tokens, quantize, python=python)[-1])
            print(f"decode,{i},{name},{found[name][-1]:.2f}", flush=True)
    middles = {name: report(name, values, "tokens/s") for name, values in found.items() if values}
    for name in list(middles)[1:]:
        print(f"# {name} beside torch: {middles[name] / middles['torch bfloat16']:.2f} x") if "torch bfloat16" in middles else None


def main():
    if sys.argv[1:2] == ["worker"]:
        return {"import": worker_import, "stream": worker_stream, "decode": worker_decode}[sys.argv[2]](*sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["import", "stream", "torch"])
    parser.add_argument("--mica", default="build/release/mica")
    parser.add_argument("--model")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--only", help="torch: only the rows with this in their name")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    {"import": compare_import, "stream": compare_stream, "torch": compare_torch}[args.what](args)


if __name__ == "__main__":
    main()
