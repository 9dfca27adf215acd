#!/usr/bin/env python3
"""Models whose matrices are GGUF blocks of each type, against the same model in F32 as the Python package gguf dequantizes it: mica's logits
must agree.

    compare_gguf_types.py path/to/mica
"""
import pathlib
import subprocess
import sys
import tempfile

try:
    import gguf
    import numpy as np
    from gguf import GGMLQuantizationType as T
    from safetensors.numpy import load_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, VOCAB = 256, 512, 2, 4, 2, 300
# bytes of a block; offsets of its half floats and how large they are for numbers of about 0.05
TYPES = {T.Q4_0: (18, {0: 1e-2}), T.Q4_1: (20, {0: 1e-2, 2: 5e-2}), T.Q5_0: (22, {0: 5e-3}), T.Q5_1: (24, {0: 5e-3, 2: 5e-2}),
         T.Q8_0: (34, {0: 1e-3}), T.Q2_K: (84, {80: 4e-3, 82: 6e-3}), T.Q3_K: (110, {108: 2e-3}), T.Q4_K: (144, {0: 2e-4, 2: 1e-3}),
         T.Q5_K: (176, {0: 1e-4, 2: 1e-3}), T.Q6_K: (210, {208: 5e-5}), T.TQ1_0: (54, {52: 6e-2}), T.TQ2_0: (66, {64: 6e-2}),
         T.IQ4_NL: (18, {0: 1e-3}), T.IQ4_XS: (136, {0: 4e-5}), T.MXFP4: (17, {}),
         T.IQ2_XXS: (66, {0: 1e-3}), T.IQ2_XS: (74, {0: 1e-3}), T.IQ2_S: (82, {0: 1e-3}), T.IQ3_XXS: (98, {0: 5e-4}), T.IQ3_S: (110, {0: 5e-4}),
         T.IQ1_S: (50, {0: 1e-2})}


def random_matrix(rng, kind, rows, columns):
    n_bytes, halves = TYPES[kind]
    n = rows * columns // gguf.GGML_QUANT_SIZES[kind][0]
    blocks = rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)
    for at, size in halves.items():
        blocks[:, at : at + 2] = (rng.standard_normal(n) * size).astype(np.float16).view(np.uint8).reshape(n, 2)
    if kind == T.MXFP4:
        blocks[:, 0] = rng.integers(120, 124, n)
    return blocks.reshape(rows, -1)


def write(path, kind, dense):
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)

    def matrix(name, rows, columns):
        blocks = random_matrix(rng, kind, rows, columns)
        if dense:
            writer.add_tensor(name, gguf.quants.dequantize(blocks, kind).astype(np.float32))
        else:
            writer.add_tensor(name, blocks, raw_dtype=kind)

    matrix("token_embd.weight", VOCAB, HIDDEN)
    matrix("output.weight", VOCAB, HIDDEN)
    writer.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(HIDDEN, np.float32))
        kv = HIDDEN // HEADS * KV_HEADS
        for name, rows, columns in (("attn_q", HIDDEN, HIDDEN), ("attn_k", kv, HIDDEN), ("attn_v", kv, HIDDEN), ("attn_output", HIDDEN, HIDDEN),
                                    ("ffn_gate", INNER, HIDDEN), ("ffn_up", INNER, HIDDEN), ("ffn_down", HIDDEN, INNER)):
            matrix(f"blk.{layer}.{name}.weight", rows, columns)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits(mica, path, scratch):
    out = scratch / "logits.safetensors"
    subprocess.run([mica, "logits", "-m", str(path), "--ids", ",".join(str(7 * i % VOCAB) for i in range(40)), "--precision", "exact",
                    "--output", str(out)], check=True)
    return load_file(out)["logits"]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        for kind in TYPES:
            found = []
            for dense in (False, True):
                path = scratch / "model.gguf"
                write(path, kind, dense)
                found.append(logits(sys.argv[1], path, scratch))
            worst, size = np.abs(found[0] - found[1]).max(), np.abs(found[1]).max()
            print(f"{kind.name}: largest logit {size:.3g}, largest difference {worst:.2e}")
            bad += not worst <= 1e-4 * max(1, size)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
