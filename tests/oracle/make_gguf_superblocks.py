#!/usr/bin/env python3
"""Writes tests/data/formats/superblocks.gguf (a tensor of every type that src/formats/superblocks.c decodes, with random blocks) and
superblocks.safetensors (the same tensors in float32, as the Python package gguf dequantizes them; Q8_K, which it does not know, by its formula).

    make_gguf_superblocks.py tests/data/formats [--seed N]
"""
import argparse
import pathlib
import sys

try:
    import gguf
    import numpy as np
    from gguf import GGMLQuantizationType as T
    from safetensors.numpy import save_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ROWS, COLUMNS = 3, 512
# elements and bytes of a block, offsets of its half floats
TYPES = {T.Q2_K: (256, 84, (80, 82)), T.Q3_K: (256, 110, (108,)), T.Q4_K: (256, 144, (0, 2)), T.Q5_K: (256, 176, (0, 2)),
         T.Q6_K: (256, 210, (208,)), T.TQ1_0: (256, 54, (52,)), T.TQ2_0: (256, 66, (64,)), T.IQ4_NL: (32, 18, (0,)),
         T.IQ4_XS: (256, 136, (0,)), T.MXFP4: (32, 17, ()), T.Q8_K: (256, 292, ()),
         T.IQ2_XXS: (256, 66, (0,)), T.IQ2_XS: (256, 74, (0,)), T.IQ2_S: (256, 82, (0,)), T.IQ3_XXS: (256, 98, (0,)), T.IQ3_S: (256, 110, (0,)),
         T.IQ1_S: (256, 50, (0,)), T.IQ1_M: (256, 56, ())}


def random_blocks(rng, kind):
    n_elements, n_bytes, halves = TYPES[kind]
    n = ROWS * COLUMNS // n_elements
    blocks = rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)
    for at in halves:
        values = (rng.standard_normal(n) * 10.0 ** rng.integers(-7, 3, n)).astype(np.float16)
        values[:2] = 0, np.float16(6e-8)
        blocks[:, at : at + 2] = values.view(np.uint8).reshape(n, 2)
    if kind == T.MXFP4:
        blocks[:, 0] = rng.integers(100, 150, n)
        blocks[:3, 0] = 0, 1, 254
    if kind == T.IQ1_M:  # the scale is spread over the highest bits of four numbers
        bits = (rng.standard_normal(n) * 0.1).astype(np.float16).view(np.uint16)
        for i in range(4):
            blocks[:, 49 + 2 * i] = (blocks[:, 49 + 2 * i] & 15) | ((bits >> (4 * i) & 15) << 4).astype(np.uint8)
    if kind == T.Q8_K:
        blocks[:, :4] = rng.standard_normal(n).astype(np.float32).view(np.uint8).reshape(n, 4)
    return blocks.reshape(ROWS, -1)


def numbers(data, kind):
    if kind != T.Q8_K:
        return gguf.quants.dequantize(data, kind).astype(np.float32)
    blocks = data.reshape(-1, 292)
    scales = blocks[:, :4].copy().view(np.float32)
    return (scales * blocks[:, 4:260].view(np.int8).astype(np.float32)).reshape(ROWS, COLUMNS)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=20260103)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    writer = gguf.GGUFWriter(str(args.folder / "superblocks.gguf"), "test")
    expected = {}
    for kind in TYPES:
        data = random_blocks(rng, kind)
        writer.add_tensor(kind.name, data, raw_dtype=kind, raw_shape=data.shape if kind != T.Q8_K else None)
        expected[kind.name] = numbers(data, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, args.folder / "superblocks.safetensors")


if __name__ == "__main__":
    main()
