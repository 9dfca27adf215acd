#!/usr/bin/env python3
"""Writes small reference checkpoints as GGUF files and compares mica's logits on them with the reference.

    gguf_models.py path/to/mica path/to/shared/reference/models [--keep FOLDER] [--type F32|BF16|F16]

What conversion to GGUF does is done here on our own from its description (rows of q and k reordered, norms plus one, rope divisors), so
that reading a file undoes it. The matrices keep their values, so the logits must be those of the checkpoint.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

try:
    import gguf
    import numpy as np
    import torch
    from safetensors.torch import load_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ARCHS = {"llama": "llama", "mistral": "llama", "ministral3": "mistral3", "qwen2": "qwen2", "qwen3": "qwen3", "gemma": "gemma",
         "gemma2": "gemma2", "gemma3_text": "gemma3"}
MODELS = ["llama", "llama-3.2-tied-rope3", "llama-bias-linear", "ministral3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"]
NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
NORMS = {False: {"post_attention_layernorm": "ffn_norm"},
         True: {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
                "post_feedforward_layernorm": "post_ffw_norm"}}


def gguf_name(name, four_norms):
    outer = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in outer:
        return outer[name]
    _, _, layer, rest = name.split(".", 3)
    base, suffix = rest.rsplit(".", 1)
    return f"blk.{layer}.{(NAMES | NORMS[four_norms])[base]}.{suffix}"


def permute(tensor, heads):
    half = tensor.shape[0] // heads // 2
    return tensor.reshape(heads, 2, half, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)


def rope_divisors(rope, theta, dim):
    out = []
    for k in range(dim // 2):
        wavelength = 2 * math.pi * theta ** (2 * k / dim)
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        original, factor = rope["original_max_position_embeddings"], rope["factor"]
        if wavelength < original / high:
            out.append(1.0)
        elif wavelength > original / low:
            out.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            out.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(out, np.float32)


def add_rope(writer, arch, config, head_dim):
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    theta = config.get("rope_theta") or rope.get("rope_theta") or 1e4
    writer.add_rope_freq_base(theta)
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "llama3":
        writer.add_tensor("rope_freqs.weight", rope_divisors(rope, theta, head_dim))
    elif kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR if kind == "linear" else gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        if kind == "yarn":
            writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
            writer.add_float32(f"{arch}.rope.scaling.yarn_log_multiplier", rope["mscale_all_dim"])
    if "llama_4_scaling_beta" in rope:
        writer.add_float32(f"{arch}.attention.temperature_scale", rope["llama_4_scaling_beta"])
    if "rope_local_base_freq" in config:
        writer.add_float32(f"{arch}.rope.freq_base_swa", config["rope_local_base_freq"])


def convert(folder, path, kind):
    config = json.loads((folder / "config.json").read_text())
    arch = ARCHS[config["model_type"]]
    four_norms = arch in ("gemma2", "gemma3")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer = gguf.GGUFWriter(str(path), arch)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if four_norms:
        writer.add_sliding_window(config["sliding_window"])
    add_rope(writer, arch, config, head_dim)
    for name, tensor in load_file(folder / "model.safetensors").items():
        data = tensor.to(torch.float32).numpy()
        if arch.startswith("gemma") and name.endswith("norm.weight"):
            data = data + np.float32(1)
        if arch in ("llama", "mistral3") and (".q_proj." in name or ".k_proj." in name):
            data = permute(data, heads if ".q_proj." in name else kv_heads)
        if data.ndim == 1 or kind == "F32":
            writer.add_tensor(gguf_name(name, four_norms), np.ascontiguousarray(data))
        else:
            packed = gguf.quants.quantize(np.ascontiguousarray(data), gguf.GGMLQuantizationType[kind])
            writer.add_tensor(gguf_name(name, four_norms), packed, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mica")
    parser.add_argument("models", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--type", default="BF16")
    args = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or pathlib.Path(scratch)
        for name in MODELS:
            path = folder / f"{name}.gguf"
            convert(args.models / name, path, args.type)
            reference = load_file(args.models / name / "reference.safetensors")
            ids = ",".join(str(i) for i in reference["input_ids"].flatten().tolist())
            out = pathlib.Path(scratch) / "logits.safetensors"
            done = subprocess.run([args.mica, "logits", "-m", str(path), "--ids", ids, "--dtype", "float32", "--precision", "exact",
                                   "--output", str(out)], capture_output=True, text=True)
            if done.returncode:
                print(f"{name}: {done.stderr.strip()}")
                bad += 1
                continue
            found, expected = load_file(out)["logits"], reference["logits"].to(torch.float32).reshape(-1, load_file(out)["logits"].shape[-1])
            worst = (found - expected).abs().max().item()
            print(f"{name}: largest difference {worst:.2e}")
            bad += not worst <= 1e-3
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
