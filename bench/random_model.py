#!/usr/bin/env python3
"""Random models of a shape, for comparing speeds without a download:

    python3 bench/random_model.py CONFIG TYPE OUT [--tokenizer TOKENIZER_JSON]

CONFIG is a config.json of a Llama or Qwen3 shape. TYPE is q4_0, q4_1, q4_k_m, q8_0, f16 or bf16 for a GGUF file OUT, or mlx-4, mlx-8 or mlx-bf16 for
a folder OUT with a safetensors checkpoint in MLX's layout. Quantized blocks are random bits under a fixed scale: speeds do not depend on values.
q4_k_m is llama.cpp's mix: Q6_K for the embedding (the head of these models) and for a half of the value and down matrices, Q4_K for the rest,
and what it falls back to for rows that are no multiple of 256; the other types are used for all matrices. Without --tokenizer there is no
vocabulary; with it (a byte-level BPE tokenizer.json, plain or .xz) both kinds of model get it, to compare how fast programs start.
"""
import argparse
import json
import lzma
import os
import struct

import numpy as np

# GGUF: elements and bytes of a block, and where its float16 scales are: (first byte, one past the last)
BLOCKS = {"q4_0": (32, 18, (0, 2)), "q4_1": (32, 20, (0, 4)), "q5_0": (32, 22, (0, 2)), "q8_0": (32, 34, (0, 2)), "q4_k": (256, 144, (0, 4)),
          "q6_k": (256, 210, (208, 210))}
FALLBACK = {"q4_k": "q5_0", "q6_k": "q8_0"}
FLOATS = {"f16": (0x83FF, 10 << 10), "bf16": (0x807F, 121 << 7)}  # random bits that are kept, and the exponent


def floats(random, shape, kind):
    mask, exponent = FLOATS[kind]
    return random.integers(0, 1 << 16, shape, dtype=np.uint16) & np.uint16(mask) | np.uint16(exponent)


def blocks(random, rows, columns, kind):
    """Bytes [rows, row bytes] and the type that was used."""
    if kind in FLOATS:
        return floats(random, (rows, columns), kind).view(np.uint8), kind
    if columns % BLOCKS[kind][0]:
        kind = FALLBACK[kind]
    size, n_bytes, (begin, end) = BLOCKS[kind]
    data = random.integers(0, 256, (rows, columns // size, n_bytes), dtype=np.uint8)
    data[:, :, begin:end] = np.frombuffer(np.array([0.002, 0.015][:(end - begin) // 2], np.float16).tobytes(), np.uint8)
    return data.reshape(rows, -1), kind


def read_tokenizer(path):
    with (lzma.open if path.endswith(".xz") else open)(path, "rb") as f:
        return f.read()


class Shape:
    """Names, rows and columns of the matrices, and names and lengths of the norms, in the names of Transformers."""

    def __init__(self, config):
        c = self.config = json.load(open(config))
        self.arch, self.hidden, self.layers = c["model_type"], c["hidden_size"], c["num_hidden_layers"]
        self.heads, self.kv = c["num_attention_heads"], c["num_key_value_heads"]
        self.dim, self.inner = c.get("head_dim") or self.hidden // self.heads, c["intermediate_size"]
        self.matrices, self.norms = [("model.embed_tokens", c["vocab_size"], self.hidden)], [("model.norm", self.hidden)]
        if not c.get("tie_word_embeddings"):
            self.matrices.append(("lm_head", c["vocab_size"], self.hidden))
        for i in range(self.layers):
            p = f"model.layers.{i}."
            q, k = self.heads * self.dim, self.kv * self.dim
            self.norms += [(p + "input_layernorm", self.hidden), (p + "post_attention_layernorm", self.hidden)]
            if self.arch == "qwen3":
                self.norms += [(p + "self_attn.q_norm", self.dim), (p + "self_attn.k_norm", self.dim)]
            self.matrices += [(p + "self_attn.q_proj", q, self.hidden), (p + "self_attn.k_proj", k, self.hidden),
                              (p + "self_attn.v_proj", k, self.hidden), (p + "self_attn.o_proj", self.hidden, q),
                              (p + "mlp.gate_proj", self.inner, self.hidden), (p + "mlp.up_proj", self.inner, self.hidden),
                              (p + "mlp.down_proj", self.hidden, self.inner)]


# ---- GGUF ----

GGUF_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "input_layernorm": "attn_norm",
              "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
              "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
              "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    if name in GGUF_NAMES:
        return GGUF_NAMES[name] + ".weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[rest]}.weight"


def mixed_type(name, n_layers):
    """Of q4_k_m."""
    if name == "model.embed_tokens" or name == "lm_head":
        return "q6_k"
    layer = int(name.split(".")[2])
    more = layer < n_layers // 8 or layer >= 7 * n_layers // 8 or (layer - n_layers // 8) % 3 == 2
    return "q6_k" if more and name.endswith(("v_proj", "down_proj")) else "q4_k"


def add_vocabulary(w, text, n):
    t = json.loads(text)
    vocab, merges = t["model"]["vocab"], t["model"]["merges"]
    tokens, types = [f"[unused{i}]" for i in range(n)], [5] * n
    for token, i in vocab.items():
        tokens[i], types[i] = token, 1
    for token in t["added_tokens"]:
        if token["id"] < n:
            tokens[token["id"]], types[token["id"]] = token["content"], 3
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("llama-bpe")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])


def write_gguf(shape, kind, path, tokenizer):
    import gguf
    c, random = shape.config, np.random.default_rng(1)
    w = gguf.GGUFWriter(path, shape.arch)
    w.add_block_count(shape.layers)
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(shape.hidden)
    w.add_feed_forward_length(shape.inner)
    w.add_head_count(shape.heads)
    w.add_head_count_kv(shape.kv)
    w.add_key_length(shape.dim)
    w.add_value_length(shape.dim)
    w.add_rope_dimension_count(shape.dim)
    w.add_rope_freq_base(c["rope_theta"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_vocab_size(c["vocab_size"])
    if tokenizer:
        add_vocabulary(w, tokenizer, c["vocab_size"])
    else:
        w.add_tokenizer_model("no_vocab")
    for name, n in shape.norms:
        w.add_tensor(gguf_name(name), np.ones(n, np.float32))
    for name, rows, columns in shape.matrices:
        data, used = blocks(random, rows, columns, mixed_type(name, shape.layers) if kind == "q4_k_m" else kind)
        w.add_tensor(gguf_name(name), data, raw_dtype=gguf.GGMLQuantizationType[used.upper()])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


# ---- safetensors ----


def mlx_tensors(shape, kind):
    """(name, dtype, shape, bytes)"""
    random, bits = np.random.default_rng(1), {"mlx-4": 4, "mlx-8": 8}.get(kind)
    for name, n in shape.norms:
        yield name + ".weight", "BF16", (n,), np.full(n, 0x3F80, np.uint16)
    for name, rows, columns in shape.matrices:
        if not bits:
            yield name + ".weight", "BF16", (rows, columns), floats(random, (rows, columns), "bf16")
            continue
        words, groups = columns * bits // 32, columns // 64
        yield name + ".weight", "U32", (rows, words), random.integers(0, 1 << 32, (rows, words), dtype=np.uint32)
        yield name + ".scales", "BF16", (rows, groups), np.full((rows, groups), 0x3B03, np.uint16)  # 0.002
        yield name + ".biases", "BF16", (rows, groups), np.full((rows, groups), 0xBC76, np.uint16)  # -0.015


def write_mlx(shape, kind, folder, tokenizer):
    os.makedirs(folder, exist_ok=True)
    header, at = {}, 0
    for name, dtype, dims, data in mlx_tensors(shape, kind):
        header[name] = {"dtype": dtype, "shape": dims, "data_offsets": [at, at + data.nbytes]}
        at += data.nbytes
    text = json.dumps(header).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        text += b" " * (-len(text) % 8)
        f.write(struct.pack("<Q", len(text)) + text)
        for _, _, _, data in mlx_tensors(shape, kind):
            f.write(data.tobytes())
    config = dict(shape.config)
    if kind != "mlx-bf16":
        config["quantization"] = {"group_size": 64, "bits": int(kind[-1])}
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f, indent=2)
    if tokenizer:
        with open(os.path.join(folder, "tokenizer.json"), "wb") as f:
            f.write(tokenizer)


def write(config, kind, path, tokenizer=None):
    shape, text = Shape(config), tokenizer and read_tokenizer(tokenizer)
    (write_mlx if kind.startswith("mlx") else write_gguf)(shape, kind, path, text)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("config")
    p.add_argument("type", choices=["q4_0", "q4_1", "q4_k_m", "q8_0", "f16", "bf16", "mlx-4", "mlx-8", "mlx-bf16"])
    p.add_argument("out")
    p.add_argument("--tokenizer", help="a tokenizer.json, plain or .xz")
    a = p.parse_args()
    write(a.config, a.type, a.out, a.tokenizer)
