"""Writes tests/data/models/configs.json: what Transformers' config classes make of minimal and odd config.json files.

    python tests/oracle/make_config_values.py > tests/data/models/configs.json
"""
import json
import sys

try:
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
except ImportError as missing:
    print(f"skipped: {missing}", file=sys.stderr)
    sys.exit(77)

FAMILIES = ["llama", "mistral", "ministral", "ministral3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"]
SMALL = {"hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 4, "num_hidden_layers": 8}
EXTRA = [
    {"head_dim": None},
    {"num_key_value_heads": 2},
    {"num_key_value_heads": None},
    {"tie_word_embeddings": True},
    {"tie_word_embeddings": False},
    {"sliding_window": None},
    {"sliding_window": 16},
    {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 3},
    {"use_sliding_window": True, "max_window_layers": 0},
    {"layer_types": ["full_attention", "sliding_attention"] * 4, "sliding_window": 16},
    {"layer_types": ["full_attention", "sliding_attention"] * 4, "sliding_window": 16, "use_sliding_window": True},
    {"sliding_window_pattern": 2},
    {"eos_token_id": [3, 4], "bos_token_id": None, "pad_token_id": 7},
    {"eos_token_id": None},
    {"rope_theta": 123456.0},
    {"rope_theta": 50000.0, "rope_scaling": {"type": "linear", "factor": 4.0}},
    {"rope_parameters": {"rope_type": "linear", "rope_theta": 777.0, "factor": 2.0}},
    {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
    {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}},
    {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
     "original_max_position_embeddings": 96, "rope_theta": 500000.0},
    {"rope_scaling": {"rope_type": "dynamic", "factor": 4.0}, "max_position_embeddings": 99},
]


def windows(config, kind):
    """Window of each layer, 0 for full attention."""
    n, window = config.num_hidden_layers, getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if kind in ("mistral", "ministral3"):
        types = ["sliding_attention"] * n
    if types is None or window is None:
        return [0] * n
    return [window if t == "sliding_attention" else 0 for t in types]


def ropes(config):
    p = config.rope_parameters
    if "full_attention" in p or "sliding_attention" in p:
        p = [p.get("full_attention"), p.get("sliding_attention")]
    else:
        p = [p]
    keep = ("rope_type", "rope_theta", "factor", "original_max_position_embeddings")
    return [{k: x[k] for k in keep if k in x} for x in p]


def listed(x):
    return [] if x is None else x if isinstance(x, list) else [x]


def expected(config, kind):
    return {
        "hidden": config.hidden_size, "intermediate": config.intermediate_size, "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads, "kv_heads": config.num_key_value_heads,
        "head_dim": getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        "vocab": config.vocab_size, "context": config.max_position_embeddings, "eps": config.rms_norm_eps,
        "tied": config.tie_word_embeddings, "bos": config.bos_token_id if config.bos_token_id is not None else -1,
        "pad": config.pad_token_id if config.pad_token_id is not None else -1, "eos": listed(config.eos_token_id),
        "windows": windows(config, kind), "ropes": ropes(config),
    }


rows = []
for family in FAMILIES:
    for base in ({}, SMALL):
        for extra in EXTRA if base else [{}]:
            # The JSON goes through text so that nothing is shared with the class.
            source = json.loads(json.dumps({"model_type": family, **base, **extra}))
            if family == "mistral" and "layer_types" in source:
                kind = "ministral"
            else:
                kind = family
            if kind.startswith(("gemma", "qwen")) and extra.get("head_dim", 0) is None:
                continue
            if "layer_types" in extra and kind in ("llama", "gemma", "ministral3"):
                continue
            try:
                config = CONFIG_MAPPING[kind](**json.loads(json.dumps(source)))
                if hasattr(config, "standardize_rope_params"):
                    config.standardize_rope_params()
                rows.append({"config": source, "expect": expected(config, kind)})
            except Exception as problem:  # a class that refuses the combination is no case
                print(family, extra, type(problem).__name__, str(problem)[:200], file=sys.stderr)
print("[" + ",\n".join(json.dumps(r) for r in rows) + "]")
