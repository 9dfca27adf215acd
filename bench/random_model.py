"""Random GGUF files of a shape, for peers that cannot make weights themselves: python3 bench/random_model.py CONFIG TYPE OUT.gguf

CONFIG is a config.json of a Llama or Qwen3 shape, TYPE one of q4_0, q4_1, q8_0, f16, bf16. Blocks are random bits under a fixed scale: speeds do
not depend on values. There is no vocabulary in the file. The embedding, which serves as the head of these models, has the type of the rest.
"""
import json
import sys

import gguf
import numpy as np

TYPES = gguf.GGMLQuantizationType
# bytes of a block of 32 elements, and where its float16 scales are
BLOCKS = {"q4_0": (TYPES.Q4_0, 18, 2), "q4_1": (TYPES.Q4_1, 20, 4), "q8_0": (TYPES.Q8_0, 34, 2)}
FLOATS = {"f16": (TYPES.F16, 0x83FF, 10 << 10), "bf16": (TYPES.BF16, 0x807F, 121 << 7)}


def matrix(random, rows, columns, kind):
    """(bytes [rows, row bytes], type)"""
    if kind in FLOATS:
        dtype, mask, exponent = FLOATS[kind]
        bits = random.integers(0, 1 << 16, (rows, columns), dtype=np.uint16) & np.uint16(mask) | np.uint16(exponent)
        return bits.view(np.uint8), dtype
    dtype, size, scales = BLOCKS[kind]
    blocks = random.integers(0, 256, (rows, columns // 32, size), dtype=np.uint8)
    blocks[:, :, :scales] = np.frombuffer(np.array([0.002, -0.015][:scales // 2], np.float16).tobytes(), np.uint8)
    return blocks.reshape(rows, -1), dtype


def write(config, kind, path):
    c = json.load(open(config))
    arch = c["model_type"]
    hidden, inner, heads, kv = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"], c["num_key_value_heads"]
    dim = c.get("head_dim") or hidden // heads
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(c["num_hidden_layers"])
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(hidden)
    w.add_feed_forward_length(inner)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_key_length(dim)
    w.add_value_length(dim)
    w.add_rope_dimension_count(dim)
    w.add_rope_freq_base(c["rope_theta"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_vocab_size(c["vocab_size"])
    w.add_tokenizer_model("no_vocab")
    random = np.random.default_rng(1)

    def add(name, rows, columns):
        data, dtype = matrix(random, rows, columns, kind)
        w.add_tensor(name, data, raw_dtype=dtype)

    def ones(name, n):
        w.add_tensor(name, np.ones(n, np.float32))

    add("token_embd.weight", c["vocab_size"], hidden)
    ones("output_norm.weight", hidden)
    if not c.get("tie_word_embeddings"):
        add("output.weight", c["vocab_size"], hidden)
    for i in range(c["num_hidden_layers"]):
        p = f"blk.{i}."
        ones(p + "attn_norm.weight", hidden)
        ones(p + "ffn_norm.weight", hidden)
        if arch == "qwen3":
            ones(p + "attn_q_norm.weight", dim)
            ones(p + "attn_k_norm.weight", dim)
        add(p + "attn_q.weight", heads * dim, hidden)
        add(p + "attn_k.weight", kv * dim, hidden)
        add(p + "attn_v.weight", kv * dim, hidden)
        add(p + "attn_output.weight", hidden, heads * dim)
        add(p + "ffn_gate.weight", inner, hidden)
        add(p + "ffn_up.weight", inner, hidden)
        add(p + "ffn_down.weight", hidden, inner)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    write(*sys.argv[1:4])
