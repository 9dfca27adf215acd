#!/usr/bin/env python3
"""Writes the seeds of fuzz_safetensors, fuzz_gguf and fuzz_json: small files of every shape that the readers know.

    make_format_seeds.py fuzz/corpus
"""
import json
import pathlib
import struct
import sys

STRING, ARRAY, U32, I32, F32, BOOL = 8, 9, 4, 5, 6, 7


def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(s)) + s


def value(v):
    if isinstance(v, bool):
        return struct.pack("<IB", BOOL, v)
    if isinstance(v, int):
        return struct.pack("<II", U32, v)
    if isinstance(v, float):
        return struct.pack("<If", F32, v)
    if isinstance(v, str):
        return struct.pack("<I", STRING) + text(v)
    kind = STRING if isinstance(v[0], str) else F32 if isinstance(v[0], float) else I32
    items = b"".join(text(x) if kind == STRING else struct.pack("<f" if kind == F32 else "<i", x) for x in v)
    return struct.pack("<IIQ", ARRAY, kind, len(v)) + items


def gguf(keys, tensors=(), version=3):
    """tensors: (name, dims fastest first, type, bytes)"""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    head += b"".join(text(k) + value(v) for k, v in keys.items())
    data = b""
    for name, dims, kind, n in tensors:
        head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        data += bytes((7 * i) & 0x3B for i in range(n)) + b"\0" * (-n % 32)
    return head + b"\0" * (-len(head) % 32 if tensors else 0) + data


def model(arch, **more):
    keys = {"general.architecture": arch, f"{arch}.block_count": 1, f"{arch}.context_length": 64, f"{arch}.embedding_length": 32,
            f"{arch}.feed_forward_length": 32, f"{arch}.attention.head_count": 2, f"{arch}.attention.head_count_kv": 1,
            f"{arch}.attention.layer_norm_rms_epsilon": 1e-5}
    keys.update({k.replace("__", "."): v for k, v in more.items()})
    return keys


PIECES = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "<0x41>", "▁", "a", "b", "ab", "▁ab", "  "],
          "tokenizer.ggml.scores": [0.0, 0.0, 0.0, 0.0, -4.0, -5.0, -6.0, -1.0, -2.0, -1000.0],
          "tokenizer.ggml.token_type": [2, 3, 3, 6, 1, 1, 1, 1, 1, 4], "tokenizer.ggml.bos_token_id": 1}
BYTES = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": ["a", "b", "ab", "<|im_end|>"],
         "tokenizer.ggml.token_type": [1, 1, 1, 3], "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.eos_token_id": 3,
         "tokenizer.ggml.add_bos_token": False, "tokenizer.chat_template": "{{ messages }}", "tokenizer.chat_template.tool_use": "x"}
ATTENTION = [("token_embd.weight", (32, 4), 8, 136), ("blk.0.attn_q.weight", (32, 32), 2, 576), ("blk.0.attn_k.weight", (32, 16), 3, 320),
             ("blk.0.attn_norm.weight", (32,), 0, 128), ("blk.0.attn_k.bias", (16,), 0, 64), ("rope_freqs.weight", (8,), 0, 32)]
GGUF = {
    "empty": gguf({}),
    "v2": gguf({"general.alignment": 64, "general.name": "x"}, version=2),
    "llama": gguf(model("llama") | PIECES, ATTENTION),
    "fused": gguf(model("llama"), [("blk.0.attn_qkv.weight", (32, 64), 6, 1408), ("blk.0.ffn_up.weight", (32, 2), 7, 48)]),
    "gemma3": gguf(model("gemma3") | PIECES | {"gemma3.attention.sliding_window": 8, "tokenizer.ggml.add_space_prefix": False},
                   [("blk.0.attn_q_norm.weight", (16, 1), 0, 64), ("blk.0.post_ffw_norm.weight", (32,), 1, 64)]),
    "qwen2": gguf(model("qwen2") | BYTES, [("blk.0.attn_q.bias", (32,), 30, 64)]),
    "mistral3": gguf(model("mistral3") | {"mistral3.rope.scaling.type": "yarn", "mistral3.rope.scaling.factor": 4.0,
                                          "mistral3.attention.temperature_scale": 0.1, "mistral3.rope.scaling.yarn_log_multiplier": 1.0}),
    "embedded": gguf({"tokenizer.huggingface.json": '{"model": {}}', "tokenizer.ggml.model": "gpt2"}),
    "blocks": gguf({}, [(str(kind), (n, 1), kind, size) for kind, n, size in
                        [(10, 256, 84), (11, 256, 110), (12, 256, 144), (13, 256, 176), (14, 256, 210), (15, 256, 292), (20, 32, 18),
                         (23, 256, 136), (34, 256, 54), (35, 256, 66), (39, 32, 17), (8, 64, 68)]]),
    "types": gguf({}, [("a", (2, 2), 28, 32), ("b", (3,), 27, 24), ("c", (256,), 12, 144), ("d", (4,), 24, 4)]),
}


def safetensors(entries, n_data, pad=0):
    head = json.dumps(entries, separators=(",", ":")).encode() + b" " * pad
    return struct.pack("<Q", len(head)) + head + bytes(range(n_data))


def entry(dtype, shape, start, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


SAFETENSORS = {
    "empty": safetensors({}, 0),
    "metadata": safetensors({"__metadata__": {"format": "pt"}, "w": entry("F32", [2, 1], 0, 8)}, 8, 5),
    "order": safetensors({"b": entry("BF16", [2], 4, 8), "a": entry("F16", [1, 2], 0, 4), "s": entry("I64", [], 8, 16)}, 16),
    "zero": safetensors({"z": entry("U8", [0, 3], 0, 0), "f": entry("F8_E4M3", [2], 0, 2), "q": entry("F4", [2, 2], 2, 4)}, 4),
    "kinds": safetensors({"a": entry("BOOL", [1], 0, 1), "b": entry("F64", [1], 1, 9), "c": entry("U16", [1], 9, 11)}, 11),
    "bad": safetensors({"w": entry("F32", [4294967296, 4294967296], 0, 0)}, 0),
}
JSON = {
    "values": b'\x04{"a":[1,-2.5e3,true,false,null,"x\\u00e9\\n\\ud83d\\ude00"],"b":{}}',
    "nonfinite": b"\x1c[NaN,Infinity,-Infinity,1e999]",
    "unique": b'\x0c{"a":1,"a":2}',
    "deep": b"\x00[[[[[[1]]]]]]",
    "config": b'\x04{"model_type":"llama","rope_scaling":{"factor":8.0},"eos_token_id":[1,2]}',
}


def main():
    for name, seeds in {"gguf": GGUF, "safetensors": SAFETENSORS, "json": JSON}.items():
        folder = pathlib.Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, data in seeds.items():
            (folder / seed).write_bytes(data)


if __name__ == "__main__":
    main()
