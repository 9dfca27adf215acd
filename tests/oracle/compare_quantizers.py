"""Random matrices quantized by mica's convert and by MLX: the same bytes, in every mode, width, group and dtype.

    MICA_PROGRAM=build/release/mica python tests/oracle/compare_quantizers.py [SEED [HOW_MANY]]

Each round makes a checkpoint of one layer whose matrices come from distributions that are hard on rounding (ties, tiny, huge, one-sided,
constant, with outliers), converts it in all modes, and compares weight, scales and biases of every matrix with mlx.core.quantize.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import mlx.core as mx
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}", file=sys.stderr)
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("MICA_PROGRAM", str(ROOT / "build/release/mica"))
HIDDEN, INNER, VOCAB = 256, 384, 64
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": 1,
          "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCAB, "tie_word_embeddings": False}
SHAPES = {"self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (HIDDEN // 2, HIDDEN), "self_attn.v_proj": (HIDDEN // 2, HIDDEN),
          "self_attn.o_proj": (HIDDEN, HIDDEN), "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN), "mlp.down_proj": (HIDDEN, INNER)}
MODES = [f"affine-{bits}-{group}" for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)] + ["mxfp4", "mxfp8", "nvfp4"]
DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}


def draw(rng, shape, dtype):
    kind = rng.integers(0, 10)
    w = rng.standard_normal(shape)
    if kind == 0:
        w *= 10.0 ** rng.uniform(-6, 3)
    elif kind == 1:
        w = rng.integers(-16, 17, shape) / 8.0
    elif kind == 2:
        w = rng.standard_t(2, shape) * 0.02
    elif kind == 3:
        w[rng.random(shape) < 0.9] = 0
    elif kind == 4:
        w = -np.abs(w)
    elif kind == 5:
        w = np.abs(w) + 3
    elif kind == 6:
        w = np.repeat(rng.standard_normal((shape[0], shape[1] // 32)), 32, 1)
    elif kind == 7:
        w *= 10.0 ** rng.uniform(-7.5, -5, (shape[0], 1)) if dtype == "float16" else 10.0 ** rng.uniform(-33, -28, (shape[0], 1))
    elif kind == 8:
        w *= 10.0 ** rng.uniform(2, 4, (shape[0], 1)) if dtype == "float16" else 10.0 ** rng.uniform(10, 30, (shape[0], 1))
    else:
        w[:, ::37] *= 100
        w[rng.random(shape) < 0.1] = -0.0
    return np.clip(w, -60000, 60000) if dtype == "float16" else w


def one_round(rng, dtype, folder):
    weights = {f"model.layers.0.{name}.weight": shape for name, shape in SHAPES.items()}
    weights.update({"model.embed_tokens.weight": (VOCAB, HIDDEN), "lm_head.weight": (VOCAB, HIDDEN)})
    tensors = {name: mx.array(draw(rng, shape, dtype).astype(np.float32)).astype(DTYPES[dtype]) for name, shape in weights.items()}
    for name in ("model.norm", "model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm"):
        tensors[name + ".weight"] = mx.ones(HIDDEN, DTYPES[dtype])
    source = os.path.join(folder, "source")
    os.mkdir(source)
    mx.save_safetensors(os.path.join(source, "model.safetensors"), tensors, {"format": "pt"})
    pathlib.Path(source, "config.json").write_text(json.dumps(CONFIG))
    wrong = 0
    for mode in MODES:
        target = os.path.join(folder, mode)
        run = subprocess.run([PROGRAM, "convert", source, target, "-q", mode], capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{dtype} {mode}: {run.stderr}")
        made = mx.load(os.path.join(target, "model.safetensors"))
        kind, _, rest = mode.partition("-")
        bits, group = map(int, rest.split("-")) if rest else (None, None)
        for name, shape in weights.items():
            if group and shape[1] % group:
                continue
            expected = mx.quantize(tensors[name], group_size=group, bits=bits, mode=kind)
            for part, e in zip(("weight", "scales", "biases"), expected):
                got = made[name[:-len("weight")] + part]
                a, b = (np.array(x.view(mx.uint8) if x.dtype == mx.bfloat16 else x) for x in (got, e))
                if a.tobytes() == b.tobytes():
                    continue
                wrong += 1
                differ = np.argwhere(a != b)
                print(f"{dtype} {mode} {name} {part}: {len(differ)} of {a.size} differ, the first at {differ[:1].tolist()}")
    return wrong


def main():
    seed, rounds = (int(x) for x in (sys.argv[1:] + ["1", "3"][len(sys.argv) - 1:])[:2])
    rng, wrong = np.random.default_rng(seed), 0
    for i in range(rounds):
        for dtype in DTYPES:
            with tempfile.TemporaryDirectory() as folder:
                wrong += one_round(rng, dtype, folder)
    print(f"{rounds} rounds of {len(MODES)} modes in {len(DTYPES)} dtypes: {wrong} tensors differ")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
