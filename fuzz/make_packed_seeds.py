"""Writes fuzz/corpus/packed: one small matrix in each layout of quantized Hugging Face checkpoints."""
import json
import pathlib
import random
import struct

OUT, IN = 32, 64
SIZES = {"F32": 4, "F16": 2, "BF16": 2, "I32": 4, "I64": 8, "I8": 1, "U8": 1, "F8_E4M3": 1, "F8_E8M0": 1}
generator = random.Random(1)


def seed(name, quantization, tensors):
    header, data = {}, b""
    for key, (kind, *shape) in tensors.items():
        count = SIZES[kind]
        for n in shape:
            count *= n
        raw = generator.randbytes(count)
        if kind == "F32":
            raw = struct.pack("<f", 0.125) * (count // 4)
        elif kind in ("F16", "BF16"):
            raw = b"\x00\x2c" * (count // 2)
        elif kind == "F8_E4M3" or key == "_scales":
            raw = bytes(x & 63 for x in raw)  # finite
        if key.endswith("g_idx"):
            raw = struct.pack(f"<{IN}i", *(i % 2 for i in range(IN)))
        if key == "weight_shape":
            raw = struct.pack("<2q", OUT, IN)
        if key.endswith("nf4"):
            raw = json.dumps({"quant_type": "nf4", "blocksize": 64, "shape": [OUT, IN], "dtype": "bfloat16"}).encode()
            shape = [len(raw)]
        header["model.layers.0.mlp.up_proj." + key] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    config = json.dumps({"quantization_config": quantization}).encode()
    folder = pathlib.Path(__file__).parent / "corpus/packed"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(config + b"\0" + struct.pack("<Q", len(text)) + text + data)


def ints(bits, **more):
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": bits, "group_size": 32, "type": "int", **more}}}}


for bits in (2, 3, 4, 8):
    seed(f"gptq{bits}", {"quant_method": "gptq", "bits": bits, "group_size": 32, "desc_act": True},
         {"qweight": ("I32", IN * bits // 32, OUT), "qzeros": ("I32", 2, OUT * bits // 32), "scales": ("F16", 2, OUT), "g_idx": ("I32", IN)})
seed("awq", {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True},
     {"qweight": ("I32", IN, OUT // 8), "qzeros": ("I32", 2, OUT // 8), "scales": ("F16", 2, OUT)})
for bits in (4, 8):
    seed(f"rows{bits}", ints(bits, symmetric=False, strategy="group"),
         {"weight_packed": ("I32", OUT, IN * bits // 32), "weight_zero_point": ("I32", OUT * bits // 32, 2), "weight_scale": ("BF16", OUT, 2),
          "weight_shape": ("I64", 2)})
seed("int8", ints(8, symmetric=True, strategy="channel"), {"weight": ("I8", OUT, IN), "weight_scale": ("BF16", OUT, 1)})
seed("bnb8", {"quant_method": "bitsandbytes", "load_in_8bit": True}, {"weight": ("I8", OUT, IN), "SCB": ("F32", OUT)})
seed("bitnet", {"quant_method": "bitnet"}, {"weight": ("U8", OUT // 4, IN), "weight_scale": ("BF16", 1)})
seed("fp8", {"quant_method": "fp8", "weight_block_size": [16, 16]}, {"weight": ("F8_E4M3", OUT, IN), "weight_scale_inv": ("F32", 2, 4)})
seed("mxfp4", {"quant_method": "mxfp4"}, {"_blocks": ("U8", OUT, 2, 16), "_scales": ("U8", OUT, 2)})
seed("nvfp4", ints(4, type="float", group_size=16), {"weight_packed": ("U8", OUT, IN // 2), "weight_scale": ("F8_E4M3", OUT, IN // 16),
                                                    "weight_global_scale": ("F32", 1)})
seed("bnb4", {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
     {"weight": ("U8", OUT * IN // 2, 1), "weight.absmax": ("F32", OUT * IN // 64), "weight.quant_map": ("F32", 16),
      "weight.quant_state.bitsandbytes__nf4": ("U8", 0)})
