"""Quantized Hugging Face checkpoints, made here bit by bit as their libraries store them, against the same weights in float32.

Each format packs random codes, scales and zero points of a tiny Llama; what they stand for is computed here once more, independently, and
written as a plain checkpoint. The logits of both must agree to rounding."""
import json
import os
import struct
import sys
import tempfile
import unittest

try:
    import numpy as np
except ImportError:
    if sys.executable != "/usr/bin/python3" and os.path.exists("/usr/bin/python3"):  # Debian's package is for its own interpreter
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    print("skipped: no numpy")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program import ProgramTest, main, model

BASE = str(model("llama"))
TYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I8": np.int8, "U8": np.uint8, "I32": np.int32, "I64": np.int64,
         "F8_E4M3": np.uint8, "F8_E8M0": np.uint8}
NAMES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.int8): "I8", np.dtype(np.uint8): "U8",
         np.dtype(np.int32): "I32", np.dtype(np.int64): "I64"}
rng = np.random.default_rng(1)


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name == "__metadata__":
            continue
        begin, end = t["data_offsets"]
        a = np.frombuffer(data[8 + n + begin:8 + n + end], TYPES[t["dtype"]]).reshape(t["shape"])
        out[name] = from_bf16(a) if t["dtype"] == "BF16" else a.astype(np.float32)
    return out


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, a in tensors.items():
        kind, a = a if isinstance(a, tuple) else (NAMES[a.dtype], a)
        raw = np.ascontiguousarray(a).tobytes()
        header[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def from_bf16(a):
    return (a.astype(np.uint32) << 16).view(np.float32)


def bf16(a):
    """To the nearest bfloat16, as its 16 bits."""
    u = np.asarray(a, np.float32).view(np.uint32)
    return ((u + 0x7fff + ((u >> 16) & 1)) >> 16).astype(np.uint16)


def rounded(a, kind):
    return from_bf16(bf16(a)) if kind == "BF16" else a.astype(np.float16).astype(np.float32) if kind == "F16" else a


def small_float(v, n_exponent, n_mantissa):
    v = np.asarray(v, np.int64)
    bias = 2 ** (n_exponent - 1) - 1
    m, e = v & (2 ** n_mantissa - 1), v >> n_mantissa & (2 ** n_exponent - 1)
    x = np.where(e == 0, m * 2.0 ** (1 - bias - n_mantissa), (m + 2 ** n_mantissa) * 2.0 ** (e - bias - n_mantissa))
    return np.where(v >> (n_exponent + n_mantissa) & 1, -x, x).astype(np.float32)


def stream(codes, bits):
    """Codes along the last axis as little-endian 32-bit words."""
    flat = codes.astype(np.uint64).reshape(-1, codes.shape[-1])
    fields = (flat[:, :, None] >> np.arange(bits, dtype=np.uint64) & 1).astype(np.uint8).reshape(len(flat), -1)
    words = np.packbits(fields, axis=1, bitorder="little").view(np.uint32)
    return words.view(np.int32).reshape(*codes.shape[:-1], -1)


def spread(x, group, n):
    """[rows, groups] to [rows, n]"""
    return np.repeat(x, group, axis=1)[:, :n]


def scales(shape, kind=np.float16):
    return (rng.uniform(0.5, 1.5, shape) * 0.01).astype(kind)


# Each maker takes a shape and gives the parts (by suffix) and the float32 weights that they stand for.


def gptq(bits, group, order, version):
    def make(shape):
        rows, columns = shape
        groups = -(-columns // group) if group > 0 else 1
        size = group if group > 0 else columns
        codes = rng.integers(0, 2 ** bits, (rows, columns))
        zeros = rng.integers(0, 2 ** bits, (rows, groups))
        if order == "symmetric":
            zeros[:] = 2 ** (bits - 1)
        index = np.arange(columns) // size
        if order == "act":
            index = rng.permutation(index)
        s = scales((rows, groups))
        w = s[:, index].astype(np.float32) * (codes - zeros[:, index]).astype(np.float32)
        stored = (zeros - (version == 1)) % 2 ** bits
        parts = {".qweight": stream(codes, bits).T, ".qzeros": stream(stored.T, bits),
                 ".scales": s.T, ".g_idx": index.astype(np.int32)}
        return parts, rounded(w, "F16") if order == "act" else w
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": order == "act", "sym": order == "symmetric",
              "checkpoint_format": "gptq" if version == 1 else "gptq_v2"}
    return make, config


def awq(group):
    def pack(a):  # [.., rows] to [.., rows / 8]
        order = [0, 2, 4, 6, 1, 3, 5, 7]
        a = a.astype(np.uint32).reshape(*a.shape[:-1], -1, 8)
        out = np.zeros(a.shape[:-1], np.uint32)
        for place, j in enumerate(order):
            out |= a[..., j] << np.uint32(4 * place)
        return out.view(np.int32)

    def make(shape):
        rows, columns = shape
        groups = columns // group
        codes, zeros = rng.integers(0, 16, (columns, rows)), rng.integers(0, 16, (groups, rows))
        s = scales((groups, rows))
        w = np.repeat(s, group, 0).astype(np.float32) * (codes - np.repeat(zeros, group, 0)).astype(np.float32)
        return {".qweight": pack(codes), ".qzeros": pack(zeros), ".scales": s}, w.T
    return make, {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm", "zero_point": True}


def compressed(bits, group, zero_points=False, kind=np.float16):
    def make(shape):
        rows, columns = shape
        size = group or columns
        codes = rng.integers(0, 2 ** bits, shape)
        groups = columns // size
        zeros = rng.integers(0, 2 ** bits, (rows, groups)) if zero_points else np.full((rows, groups), 2 ** (bits - 1))
        s = scales((rows, groups), kind)
        parts = {".weight_packed": stream(codes, bits), ".weight_scale": s, ".weight_shape": np.array(shape, np.int64)}
        if zero_points:
            parts[".weight_zero_point"] = np.ascontiguousarray(stream(zeros.T, bits).T)
        return parts, spread(s, size, columns).astype(np.float32) * (codes - spread(zeros, size, columns)).astype(np.float32)
    return make, {"quant_method": "compressed-tensors", "format": "pack-quantized"}


def int8(scale_shape):
    def make(shape):
        codes = rng.integers(-127, 128, shape).astype(np.int8)
        s = scales((shape[0], 1) if scale_shape == "row" else (1,), np.float32) / 8
        return {".weight": codes, ".weight_scale": s}, codes.astype(np.float32) * s
    return make, {"quant_method": "compressed-tensors", "format": "int-quantized"}


def bnb8():
    def make(shape):
        codes = rng.integers(-127, 128, shape).astype(np.int8)
        s = rng.uniform(0.05, 0.2, shape[0]).astype(np.float32)
        w = codes.astype(np.float32) * s[:, None] / 127
        return {".weight": codes, ".SCB": s, ".weight_format": np.zeros((), np.uint8)}, w
    return make, {"quant_method": "bitsandbytes", "load_in_8bit": True}


BLOCKS = {"block": (32, 32), "exponent": (32, 48)}  # the second does not divide the matrices


def fp8(how):
    def make(shape):
        rows, columns = shape
        codes = rng.integers(0, 0x7f, shape) | rng.integers(0, 2, shape) << 7
        block = BLOCKS.get(how)
        if block:
            s = rng.uniform(0.5, 1.5, (-(-rows // block[0]), -(-columns // block[1]))).astype(np.float32) * 2e-4
            stored = s
            if how == "exponent":
                e = rng.integers(113, 117, s.shape).astype(np.uint8)
                s, stored = 2.0 ** (e.astype(np.float32) - 127), ("F8_E8M0", e)
            wide = np.repeat(np.repeat(s, block[0], 0)[:rows], block[1], 1)[:, :columns]
        elif how == "row":
            s = stored = (rng.uniform(0.5, 1.5, (rows, 1)) * 2e-4).astype(np.float32)
            wide = s
        else:
            s = np.float32(2.1e-4)
            stored = ("BF16", bf16(np.array(s)).reshape(()))
            wide = from_bf16(bf16(np.array([s])))
        w = small_float(codes, 4, 3) * wide.astype(np.float32)
        name = ".weight_scale" if how == "row" else ".weight_scale_inv"
        parts = {".weight": ("F8_E4M3", codes.astype(np.uint8)), name: stored}
        if how == "tensor":
            parts[".activation_scale"] = ("BF16", bf16(np.array([1.0])).reshape(()))
        return parts, rounded(w, "BF16")
    config = {"quant_method": "compressed-tensors" if how == "row" else "fp8", "activation_scheme": "dynamic"}
    if how in BLOCKS:
        config["weight_block_size"] = list(BLOCKS[how])
    return make, config


def fp4(kind):
    def make(shape):
        rows, columns = shape
        codes = rng.integers(0, 16, shape)
        packed = (codes[:, ::2] | codes[:, 1::2] << 4).astype(np.uint8)
        if kind == "mxfp4":
            e = rng.integers(118, 123, (rows, columns // 32)).astype(np.uint8)
            w = small_float(codes, 2, 1) * np.repeat(2.0 ** (e.astype(np.float32) - 127), 32, 1)
            return {".weight_packed": packed, ".weight_scale": e}, w.astype(np.float32)
        s, whole = rng.integers(0x30, 0x60, (rows, columns // 16)), np.array([300.0], np.float32)
        w = small_float(codes, 2, 1) * np.repeat(small_float(s, 4, 3) * (np.float32(1) / whole), 16, 1)
        return {".weight_packed": packed, ".weight_scale": ("F8_E4M3", s.astype(np.uint8)), ".weight_global_scale": whole}, rounded(w, "BF16")
    return make, {"quant_method": "compressed-tensors", "format": kind + "-pack-quantized"}


def bitnet(linear_class):
    def make(shape):
        rows, columns = shape
        values = rng.integers(-1, 2, shape)
        quarters = (values + 1).astype(np.uint8).reshape(4, rows // 4, columns)
        packed = quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6
        s = from_bf16(bf16(np.array([0.07 if linear_class else 13.0], np.float32)))
        w = values * (s if linear_class else np.float32(1) / s)
        return {".weight": packed, ".weight_scale": ("BF16", bf16(s))}, w.astype(np.float32)
    config = {"quant_method": "bitnet", "quantization_mode": "offline"}
    if linear_class:
        config["linear_class"] = linear_class
    return make, config


NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
       -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
       0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]


def bnb4(double, kind="nf4", dtype="bfloat16"):
    def make(shape):
        n, block = shape[0] * shape[1], 64
        codes = rng.integers(0, 16, n)
        table = np.array(NF4 if kind == "nf4" else small_float(np.arange(16), 2, 1) / 6, np.float32)
        blocks = -(-n // block)
        state = {"quant_type": kind, "blocksize": block, "dtype": dtype, "shape": list(shape)}
        parts = {".weight": (codes[::2] << 4 | codes[1::2]).astype(np.uint8).reshape(-1, 1), ".weight.quant_map": table}
        if double:
            nested = np.linspace(-1, 1, 256).astype(np.float32)
            bytes_, outer = rng.integers(0, 256, blocks).astype(np.uint8), (rng.uniform(0.01, 0.03, -(-blocks // 256))).astype(np.float32)
            state.update({"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.061})
            absmax = nested[bytes_] * np.repeat(outer, 256)[:blocks] + np.float32(0.061)
            parts.update({".weight.absmax": bytes_, ".weight.nested_absmax": outer, ".weight.nested_quant_map": nested})
        else:
            absmax = parts[".weight.absmax"] = rng.uniform(0.02, 0.1, blocks).astype(np.float32)
        parts[".weight.quant_state.bitsandbytes__" + kind] = np.frombuffer(json.dumps(state).encode(), np.uint8)
        w = (table[codes] * np.repeat(absmax, block)[:n]).reshape(shape)
        return parts, rounded(w, "BF16" if dtype == "bfloat16" else "F16")
    return make, {"quant_method": "bitsandbytes", "load_in_4bit": True}


FORMATS = {
    "gptq-2": (gptq(2, 32, "", 1), "affine 2-bit group 32"),
    "gptq-3": (gptq(3, 32, "", 1), "affine 3-bit group 32"),
    "gptq-4": (gptq(4, 32, "", 1), "affine 4-bit group 32"),
    "gptq-8-v2": (gptq(8, 32, "", 2), "affine 8-bit group 32"),
    "gptq-4-row-symmetric": (gptq(4, -1, "symmetric", 1), "affine 4-bit group 64"),
    "gptq-4-act-order": (gptq(4, 32, "act", 1), "float16"),
    "gptq-3-act-order": (gptq(3, 32, "act", 2), "float16"),
    "awq": (awq(32), "affine 4-bit group 32"),
    "compressed-4": (compressed(4, 32), "affine 4-bit group 32"),
    "compressed-8-row": (compressed(8, 0, kind=np.float32), "affine 8-bit group 64"),
    "compressed-4-zero-points": (compressed(4, 32, True), "affine 4-bit group 32"),
    "int8-row": (int8("row"), "affine 8-bit group 64"),
    "int8-tensor": (int8("tensor"), "affine 8-bit group 64"),
    "bitsandbytes-8": (bnb8(), "affine 8-bit group 64"),
    "fp8-block": (fp8("block"), "bfloat16"),
    "fp8-block-exponents": (fp8("exponent"), "bfloat16"),
    "fp8-row": (fp8("row"), "bfloat16"),
    "fp8-tensor": (fp8("tensor"), "bfloat16"),
    "mxfp4": (fp4("mxfp4"), "mxfp4"),
    "nvfp4": (fp4("nvfp4"), "bfloat16"),
    "bitnet": (bitnet(""), "affine 2-bit group 64"),
    "bitnet-auto": (bitnet("autobitlinear"), "affine 2-bit group 64"),
    "nf4": (bnb4(False), "bfloat16"),
    "nf4-double": (bnb4(True), "bfloat16"),
    "fp4-float16": (bnb4(True, "fp4", "float16"), "float16"),
}
LAYER = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
IDS = "1,5,9,200,31,77,2,250"


class Formats(ProgramTest):
    def make(self, folder, maker, config):
        """Two checkpoints: of the format, and of the float32 weights that it stands for."""
        base = read_safetensors(os.path.join(BASE, "model.safetensors"))
        packed, plain = {}, {}
        for name, w in base.items():
            module, last = name.rsplit(".", 1)
            if last == "weight" and module.rsplit(".", 1)[-1] in LAYER:
                parts, expanded = maker(w.shape)
                for suffix, a in parts.items():
                    packed[module + suffix] = a
                plain[name] = np.ascontiguousarray(expanded.astype(np.float32))
                self.assertEqual(plain[name].shape, w.shape)
            else:
                packed[name] = plain[name] = np.ascontiguousarray(w)
        for sub, tensors, more in (("packed", packed, {"quantization_config": config}), ("plain", plain, {})):
            path = os.path.join(folder, sub)
            os.mkdir(path)
            with open(os.path.join(BASE, "config.json")) as f:
                text = json.load(f)
            text.update(more)
            with open(os.path.join(path, "config.json"), "w") as f:
                json.dump(text, f)
            write_safetensors(os.path.join(path, "model.safetensors"), tensors)
        return os.path.join(folder, "packed"), os.path.join(folder, "plain")

    def logits(self, path, folder):
        out = os.path.join(folder, "logits.safetensors")
        result = self.good("logits", "-m", path, "--ids", IDS, "--precision", "exact", "--output", out)
        return read_safetensors(out)["logits"], result

    def test_all(self):
        for name, ((maker, config), kind) in FORMATS.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                packed, plain = self.make(folder, maker, config)
                got, _ = self.logits(packed, folder)
                expected, _ = self.logits(plain, folder)
                info = json.loads(self.good("info", "-m", packed, "--json"))
                difference = float(np.abs(got - expected).max())
                print("%-26s %-50s largest difference %.2g of %.2g" % (name, info["weights"], difference, np.abs(expected).max()))
                self.assertLess(difference, 2e-5 * max(1.0, float(np.abs(expected).max())))
                self.assertIn(kind, info["weights"])

    def test_converted(self):
        """What is exact stays exact when it is written in MLX's format."""
        for name in ("gptq-4", "compressed-4", "int8-row", "mxfp4", "bitnet"):
            (maker, config), kind = FORMATS[name]
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                packed, _ = self.make(folder, maker, config)
                saved = os.path.join(folder, "saved")
                self.good("convert", packed, saved)
                a, b = self.logits(packed, folder)[0], self.logits(saved, folder)[0]
                self.assertLess(float(np.abs(a - b).max()), 1e-5)
                self.assertIn(kind, json.loads(self.good("info", "-m", saved, "--json"))["weights"])

    def test_broken(self):
        """Parts that are missing, of another shape, or not finite: a line that names the tensor."""
        cases = (("gptq-4", ".scales", None), ("gptq-4", ".qzeros", "shape"), ("gptq-4-act-order", ".g_idx", "range"),
                 ("gptq-4", ".scales", "nan"), ("awq", ".qzeros", "shape"), ("compressed-4", ".weight_shape", None),
                 ("compressed-4", ".weight_scale", "shape"), ("fp8-block", ".weight_scale_inv", "shape"), ("nf4-double", ".weight.nested_absmax", "shape"),
                 ("nf4", ".weight.absmax", "shape"), ("mxfp4", ".weight_scale", "shape"), ("int8-row", ".weight_scale", None))
        for name, suffix, how in cases:
            (maker, config), _ = FORMATS[name]

            def broken(shape):
                parts, w = maker(shape)
                a = parts[suffix]
                if how is None:
                    del parts[suffix]
                elif how == "shape":
                    parts[suffix] = np.ascontiguousarray(np.atleast_1d(a)[:-1])
                elif how == "range":
                    parts[suffix] = a + 1000
                else:
                    parts[suffix] = np.full_like(a, np.nan)
                return parts, w
            with self.subTest(name=name, part=suffix, how=how), tempfile.TemporaryDirectory() as folder:
                packed, _ = self.make(folder, broken, config)
                self.fails(65, "logits", "-m", packed, "--ids", IDS, "--output", os.path.join(folder, "x"))


if __name__ == "__main__":
    main()
