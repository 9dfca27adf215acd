#!/usr/bin/env python3
"""Measures mica beside its peers, in alternation, and prints one table.

    python3 bench/compare.py                                          the three shapes of bench/configs in 4 bits, 8 bits and bfloat16
    python3 bench/compare.py --config bench/configs/Llama-3.2-1B.json --quantize 4,8 --peers llama.cpp --minutes 5
    python3 bench/compare.py --config bench/configs/Llama-3.2-1B.json --quantize 4 --depth 8192 --rounds 1
    python3 bench/compare.py --model MODEL.gguf                       a real file, the same for mica, llama.cpp and Transformers

A part is a shape in one type. In it every program gets random weights (bench/random_model.py makes the files that are not yet in --files): mica a
safetensors checkpoint in MLX's layout, llama.cpp Q4_0 and Q4_K_M, Q8_0, or BF16, Transformers bfloat16 and float32 (beside bf16 only),
mlx-lm its own quantization. Peers are used if they are there: llama_cpp (PyPI llama-cpp-python) and transformers with torch in this Python,
mlx_lm in the Python that --mlx-python names, any number of llama-bench programs by path (ik_llama.cpp has one, too).

Every measurement is a process of its own; a round runs each program once, so that a busy neighbour hits all alike. The parts share --minutes: a part
makes rounds until its time is over, at least one and at most --rounds. A program that takes longer than --slow seconds is measured in the
first round only, and one that could not finish the prompt in --seconds reads less of it. Shown are medians over the rounds (lowest to highest); `x` is mica's figure over the
peer's; the share of the read bandwidth counts the weights that a token reads, for mica the cache as well. Rounds in which mica measured less than two
thirds of the best round's bandwidth are left out.
"""
import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = ["Llama-3.2-1B", "Qwen3-0.6B", "SmolLM2-135M"]
NEEDS = {"llama.cpp": ["llama_cpp"], "transformers": ["transformers", "torch"]}
GGUF_TYPES = {"4": ["q4_0", "q4_k_m"], "8": ["q8_0"], "bf16": ["bf16"]}


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mica", default=os.path.join(HERE, "../build/release/mica"))
    what = p.add_mutually_exclusive_group()
    what.add_argument("--model", help="a GGUF file instead of random weights")
    what.add_argument("--config", action="append", help="a config.json: random weights; may be given several times; default: the three shapes")
    p.add_argument("--quantize", default="4,8,bf16", help="types of the random weights; default: 4,8,bf16")
    p.add_argument("--peers", default="llama.cpp,transformers,mlx-lm", help="default: llama.cpp,transformers,mlx-lm; '' for none")
    p.add_argument("--prompt", type=int, default=512)
    p.add_argument("--tokens", type=int, default=32)
    p.add_argument("--depth", type=int, default=0, help="tokens in the context before the prompt, not measured")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--minutes", type=float, default=10, help="for all parts together, the making of files not counted; default: 10")
    p.add_argument("--seconds", type=float, default=20, help="that a slow peer may spend on a prompt and its answer; default: 20")
    p.add_argument("--slow", type=float, default=25, help="seconds after which a program is measured once only; default: 25")
    p.add_argument("--llama-bench", action="append", default=[], metavar="NAME=PATH", help="a llama-bench program; may be given several times")
    p.add_argument("--mlx-python", default=sys.executable, help="the Python that has mlx_lm; default: this one")
    p.add_argument("--tokenizer", help="a byte-level tokenizer.json (or .xz) that the files of Llama-3.2-1B get, for the time to the first token")
    p.add_argument("--precision", help="of mica: fast, exact or int8; several, separated by commas, are measured side by side (int8 for 4 bits only)")
    p.add_argument("--files", default="/tmp/mica-bench", help="folder of the random models; default: /tmp/mica-bench")
    p.add_argument("--json", metavar="FILE", help="every measurement, too")
    return p.parse_args()


# ---- what runs ----


def random_file(a, config, kind):
    """The path of the random model, which is made if it is not there."""
    name = os.path.splitext(os.path.basename(config))[0]
    path = os.path.join(a.files, f"{name}.{kind}" + ("" if kind.startswith("mlx") else ".gguf"))
    if not os.path.exists(path):
        os.makedirs(a.files, exist_ok=True)
        unfinished = os.path.join(a.files, f"unfinished.{os.getpid()}")
        tokenizer = ["--tokenizer", a.tokenizer] if a.tokenizer and name == SHAPES[0] else []
        print(f"making {path}", file=sys.stderr)
        subprocess.run([sys.executable, os.path.join(HERE, "random_model.py"), config, kind, unfinished, *tokenizer], check=True)
        os.rename(unfinished, path)
    return path


def has_module(python, name):
    if python == sys.executable:
        return importlib.util.find_spec(name) is not None
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 0


def find_peers(a):
    found = []
    for peer in filter(None, a.peers.split(",")):
        if peer not in ("llama.cpp", "transformers", "mlx-lm"):
            sys.exit(f"compare: no peer '{peer}'; there are llama.cpp, transformers and mlx-lm")
        python, modules = (a.mlx_python, ["mlx_lm"]) if peer == "mlx-lm" else (sys.executable, NEEDS[peer])
        missing = [m for m in modules if not has_module(python, m)]
        if missing:
            print(f"without {peer}: {python} lacks {', '.join(missing)}", file=sys.stderr)
        elif peer == "mlx-lm" and a.model:
            print("without mlx-lm: it does not read GGUF files", file=sys.stderr)
        else:
            found.append(peer)
    return found


def programs(a, peers, config, kind):
    """(label, Python, options of peers.py) of a part; mica first."""
    precisions = [p for p in (a.precision or "").split(",") if p != "int8" or a.model or kind == "4"] or [""]
    benches = [b.partition("=")[::2] for b in a.llama_bench]
    if a.model:
        ggufs, checkpoint = {"": a.model}, a.model
    else:
        ggufs = {t: random_file(a, config, t) for t in GGUF_TYPES[kind] if "llama.cpp" in peers or benches}
        checkpoint = random_file(a, config, "mlx-" + kind)
    start = ["--start"] if a.model or kind == "4" else []
    out = [(f"mica {p}" if k else "mica", sys.executable,
            ["mica", "--mica", a.mica, "--model", checkpoint, *(["--precision", p] if p else []), *start])
           for k, p in enumerate(precisions)]
    for t, path in ggufs.items():
        if "llama.cpp" in peers:
            out.append((f"llama.cpp {t}".strip(), sys.executable, ["llama.cpp", "--model", path]))
        for name, program in benches:
            out.append((f"{name} {t}".strip(), sys.executable, ["llama-bench", "--llama-bench", program, "--model", path]))
    if "transformers" in peers and (a.model or kind == "bf16"):
        for dtype in ["float32"] if a.model else ["bfloat16", "float32"]:
            out.append((f"transformers {dtype}", sys.executable, ["transformers", "--model", a.model or config, "--dtype", dtype]))
    if "mlx-lm" in peers:
        out.append(("mlx-lm", a.mlx_python, ["mlx-lm", "--model", config, "--bits", "0" if kind == "bf16" else kind]))
    return out


# ---- measuring ----


def measure(a, python, options):
    """The figures of one process, or why there are none."""
    command = [python, os.path.join(HERE, "peers.py"), *options]
    for name in ("prompt", "tokens", "depth", "threads", "seconds"):
        command += [f"--{name}", str(getattr(a, name))]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=a.seconds * 4 + 120 + a.depth / 10)
    except subprocess.TimeoutExpired:
        return None, "not done in time"
    if child.returncode == 0:
        return json.loads(child.stdout.splitlines()[-1]), None
    return None, child.stderr.strip().splitlines()[-1] if child.stderr.strip() else "failed"


def measure_part(a, part, minutes):
    """label -> figures of each round"""
    end, left = time.monotonic() + minutes * 60, list(part)
    out = {label: [] for label, _, _ in part}
    for r in range(a.rounds):
        begin = time.monotonic()
        for label, python, options in list(left):
            started = time.monotonic()
            figures, failure = measure(a, python, options)
            took = time.monotonic() - started
            print(f"  round {r + 1} {label}: " + (failure or f"prefill {figures['prefill']:.1f} decode {figures['decode']:.2f} ({took:.0f} s)"),
                  file=sys.stderr)
            if figures:
                out[label].append({**figures, "round": r})
            if label != "mica" and (failure or took > a.slow):
                left.remove((label, python, options))
            elif failure:
                sys.exit("compare: mica failed")
        if time.monotonic() + (time.monotonic() - begin) / 2 > end:
            break
    best = max(f["bandwidth"] for f in out["mica"])
    good = {f["round"] for f in out["mica"] if f["bandwidth"] > best * 2 / 3}
    return {label: [f for f in rounds if f["round"] in good] or rounds for label, rounds in out.items()}


# ---- the table ----


def middle(rounds, key):
    values = [f[key] for f in rounds if f.get(key) is not None]
    return statistics.median(values) if values else None


def cell(rounds, key, digits):
    values = [f[key] for f in rounds if f.get(key) is not None]
    if not values:
        return ""
    text = f"{statistics.median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def rate(rounds, key):
    value = middle(rounds, key)
    return cell(rounds, key, 1 if value is not None and value >= 20 else 2 if value is not None and value >= 1 else 3)


def row(name, label, rounds, mica):
    """One line of the table."""
    if not rounds:
        return f"| {name} | {label} | failed | | | | | | |"
    times = [""] * 2
    if label != "mica":
        times = [f" **x {middle(mica, key) / middle(rounds, key):.2f}**" for key in ("prefill", "decode")]
    share = middle(rounds, "fraction")
    if share is None:
        share = middle(rounds, "decode") * rounds[0]["bytes"] / middle(mica, "bandwidth")
    less = f" (prompt {rounds[0]['prompt']}, {rounds[0]['tokens']} new)" if "prompt" in rounds[0] else ""
    start = "start" if middle(rounds, "start") is not None else "load"
    return (f"| {name} | {label}{less} | {rate(rounds, 'prefill')}{times[0]} | {rate(rounds, 'decode')}{times[1]} | {100 * share:.0f} % | "
            f"{cell(rounds, start, 2)}{' (load)' if start == 'load' else ''} | {middle(rounds, 'peak') / 1e6:.0f} | {len(rounds)} |")


def print_table(a, results):
    bandwidths = [f["bandwidth"] for part in results.values() for f in part["mica"]]
    isa = next(iter(results.values()))["mica"][0]["isa"]
    depth = f"{a.depth} tokens before it, " if a.depth else ""
    print(f"\n{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {a.threads} threads, {isa}; prompt {a.prompt}, {depth}{a.tokens} new tokens; read "
          f"bandwidth {statistics.median(bandwidths) / 1e9:.1f} GB/s ({min(bandwidths) / 1e9:.1f} to {max(bandwidths) / 1e9:.1f})\n")
    print("| model | program | prefill tokens/s | decode tokens/s | of the bandwidth | start to first token, s | memory, MB | rounds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, part in results.items():
        for label, rounds in part.items():
            for f in rounds:
                if f.get("prompt", a.prompt) == a.prompt and f.get("tokens", a.tokens) == a.tokens:
                    f.pop("prompt", None)
            print(row(name, label, rounds, part["mica"]))


def main():
    a = parse()
    peers = find_peers(a)
    kinds = a.quantize.split(",")
    for kind in kinds:
        if kind not in GGUF_TYPES:
            sys.exit(f"compare: no type '{kind}'; there are {', '.join(GGUF_TYPES)}")
    parts = {}
    if a.model:
        parts[os.path.basename(a.model)] = programs(a, peers, None, None)
    else:
        for config in a.config or [os.path.join(HERE, "configs", s + ".json") for s in SHAPES]:
            for kind in kinds:
                name = os.path.splitext(os.path.basename(config))[0]
                parts[f"{name} {kind}" + ("-bit" if kind != "bf16" else "")] = programs(a, peers, config, kind)
    results, end = {}, time.monotonic() + a.minutes * 60
    for i, (name, part) in enumerate(parts.items()):
        print(name, file=sys.stderr)
        results[name] = measure_part(a, part, max(0, end - time.monotonic()) / 60 / (len(parts) - i))
    print_table(a, results)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
