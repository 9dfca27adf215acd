"""Writes tests/data/models/rope.json: inverse frequencies of every rope type, computed by Transformers itself.

    python tests/oracle/make_rope_values.py > tests/data/models/rope.json
"""
import json
import sys

try:
    import torch
    from transformers import LlamaConfig, PhiConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
except ImportError as missing:
    print(f"skipped: {missing}", file=sys.stderr)
    sys.exit(77)

CASES = [
    ("default", {}, [0]),
    ("linear", {"factor": 4.0}, [0]),
    ("dynamic", {"factor": 2.0}, [0, 200, 256, 257, 700]),
    ("dynamic", {"factor": 8.0}, [1000]),
    ("yarn", {"factor": 16.0, "original_max_position_embeddings": 64}, [0]),
    ("yarn", {"factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 20.0, "beta_slow": 2.0, "truncate": False}, [0]),
    ("yarn", {"factor": 40.0, "original_max_position_embeddings": 4096, "mscale": 0.707, "mscale_all_dim": 1.0}, [0]),
    ("yarn", {"factor": None, "original_max_position_embeddings": 64, "attention_factor": 1.25}, [0]),
    ("longrope", {"short_factor": "ramp", "long_factor": "steep", "original_max_position_embeddings": 64}, [0, 64, 65, 900]),
    ("longrope", {"short_factor": "ramp", "long_factor": "steep", "original_max_position_embeddings": 64, "factor": 32.0}, [65]),
    ("llama3", {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}, [0]),
    ("llama3", {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}, [0]),
    ("proportional", {"partial_rotary_factor": 0.25}, [0]),
    ("proportional", {"partial_rotary_factor": 0.5, "factor": 2.0}, [0]),
]


def expand(value, pairs):
    if value == "ramp":
        return [1.0 + 0.125 * i for i in range(pairs)]
    if value == "steep":
        return [1.5 + 1.75 * i for i in range(pairs)]
    return value


rows = []
for head_dim in (16, 80, 128):
    for theta in (10000.0, 500000.0, 1000000.0):
        for name, params, lengths in CASES:
            params = {k: expand(v, head_dim // 2) for k, v in params.items()}
            params = {"rope_type": name, "rope_theta": theta, **params}
            config = LlamaConfig(hidden_size=head_dim * 2, num_attention_heads=2, head_dim=head_dim, max_position_embeddings=256,
                                 rope_parameters=dict(params))
            for length in lengths:
                if name == "default":
                    inv, scale = LlamaRotaryEmbedding.compute_default_rope_parameters(config)
                else:
                    inv, scale = ROPE_INIT_FUNCTIONS[name](config, None, seq_len=length or None)
                rows.append({"config": {"model_type": "llama", "hidden_size": head_dim * 2, "num_attention_heads": 2,
                                        "head_dim": head_dim, "max_position_embeddings": 256, "rope_parameters": params},
                             "length": length, "scale": float(scale), "frequencies": [float(x) for x in inv.tolist()]})
# A few of each keep the file small.
kept = [r for i, r in enumerate(rows) if r["config"]["head_dim"] == 16 or i % 5 == 0]
print("[" + ",\n".join(json.dumps(r) for r in kept) + "]")
