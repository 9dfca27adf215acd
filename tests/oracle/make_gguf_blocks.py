#!/usr/bin/env python3
"""Writes tests/data/formats/blocks.gguf (a tensor of every readable type, with random blocks) and blocks.safetensors (the same tensors in
float32, as the Python package gguf dequantizes them).

    make_gguf_blocks.py tests/data/formats
"""
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

ROWS, COLUMNS = 6, 96
BLOCKS = {T.Q4_0: 18, T.Q4_1: 20, T.Q5_0: 22, T.Q5_1: 24, T.Q8_0: 34}
PLAIN = {T.F32: np.float32, T.F16: np.float16, T.F64: np.float64, T.I8: np.int8, T.I16: np.int16, T.I32: np.int32, T.I64: np.int64}


def random_blocks(rng, n_bytes, n_halves):
    """Any bytes for the codes; scales of every sign and size, subnormal ones and zero included, but not too large for affine groups."""
    n = ROWS * COLUMNS // 32
    blocks = rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)
    halves = (rng.standard_normal((n, n_halves)) * 10.0 ** rng.integers(-7, 3, (n, n_halves))).astype(np.float16)
    halves[0, 0], halves[1, 0], halves[2, 0] = 0, np.float16(6e-8), -np.float16(3e-5)
    assert np.abs(halves.astype(np.float32)).max() < 512
    blocks[:, : 2 * n_halves] = halves.view(np.uint8).reshape(n, -1)
    return blocks.reshape(ROWS, -1)


def main():
    folder = pathlib.Path(sys.argv[1])
    rng = np.random.default_rng(20260102)
    writer = gguf.GGUFWriter(str(folder / "blocks.gguf"), "test")
    expected = {}
    for kind, n_bytes in BLOCKS.items():
        data = random_blocks(rng, n_bytes, 2 if kind in (T.Q4_1, T.Q5_1) else 1)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        expected[kind.name] = gguf.quants.dequantize(data, kind).astype(np.float32)
    for kind, dtype in PLAIN.items():
        data = (rng.standard_normal((3, 5)) * 50).astype(dtype)
        writer.add_tensor(kind.name, data)
        expected[kind.name] = data.astype(np.float32)
    data = rng.standard_normal((3, 5)).astype(np.float32)
    half = gguf.quants.quantize(data, T.BF16)
    writer.add_tensor("BF16", half, raw_dtype=T.BF16)
    expected["BF16"] = gguf.quants.dequantize(half, T.BF16).astype(np.float32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file({name: np.ascontiguousarray(value) for name, value in expected.items()}, folder / "blocks.safetensors")


if __name__ == "__main__":
    main()
