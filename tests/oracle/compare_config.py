"""Random tiny models of every family, saved and run by Transformers, then loaded by mica: logits, and greedy ids through the cache.

    python tests/oracle/compare_config.py [SEED [HOW_MANY]]

Each family is tried with both spellings of its config, every rope type, windows, soft caps, biases, ties and odd widths.
"""
import json
import os
import random
import sys
import tempfile

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
try:
    import numpy
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
except ImportError as missing:
    print(f"skipped: {missing}", file=sys.stderr)
    sys.exit(77)

from mica_library import Failure, Model

VOCAB, LENGTH = 96, 48
FAMILIES = ["llama", "mistral", "ministral", "ministral3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"]


def rope(r, head_dim, kinds):
    kind = r.choice(kinds)
    p = {"rope_type": kind, "rope_theta": r.choice([500.0, 10000.0, 1000000.0])}
    if kind in ("linear", "dynamic", "yarn", "llama3"):
        p["factor"] = r.choice([1.0, 2.0, 4.0, 8.0, 16.0])
    if kind in ("yarn", "llama3", "longrope") and r.random() < 0.7:
        p["original_max_position_embeddings"] = r.choice([8, 16, 32])
    if kind == "yarn":
        for key, values in (("beta_fast", [16.0, 32.0]), ("beta_slow", [1.0, 2.0]), ("attention_factor", [0.75, 1.5]),
                            ("truncate", [True, False])):
            if r.random() < 0.3:
                p[key] = r.choice(values)
        if r.random() < 0.3:
            p["mscale"], p["mscale_all_dim"] = r.choice([0.5, 1.0]), r.choice([0.707, 1.0])
    if kind == "llama3":
        p["low_freq_factor"], p["high_freq_factor"] = 1.0, r.choice([2.0, 4.0])
    if kind == "longrope":
        p["short_factor"] = [r.uniform(1, 2) for _ in range(head_dim // 2)]
        p["long_factor"] = [r.uniform(1, 8) for _ in range(head_dim // 2)]
        if r.random() < 0.5:
            p["factor"] = r.choice([2.0, 8.0])
    return p


def make(r, family):
    kv = r.choice([1, 2, 3])
    heads = kv * r.choice([1, 2, 4])
    head_dim = r.choice([8, 12, 16, 20, 32])
    hidden = heads * r.choice([8, 12, 16]) if r.random() < 0.7 else heads * head_dim
    layers = r.choice([1, 2, 3, 7])
    c = {"vocab_size": VOCAB, "hidden_size": hidden, "intermediate_size": r.choice([24, 52, 96]), "num_hidden_layers": layers,
         "num_attention_heads": heads, "num_key_value_heads": kv, "rms_norm_eps": r.choice([1e-6, 1e-5, 1e-3]),
         "max_position_embeddings": r.choice([32, 64, 128]), "tie_word_embeddings": r.random() < 0.5, "eos_token_id": 2,
         "bos_token_id": 1, "pad_token_id": 0, "initializer_range": 0.25}
    if family in ("qwen2",) or r.random() < 0.2:
        c["hidden_size"] = heads * head_dim
    if family != "qwen2" and (family in ("qwen3", "gemma", "gemma2", "gemma3_text") or r.random() < 0.7 or hidden % heads):
        c["head_dim"] = head_dim
    width = c.get("head_dim") or c["hidden_size"] // heads
    kinds = ["default", "default", "linear", "dynamic", "yarn", "llama3", "longrope"]
    if family == "gemma3_text":
        c["rope_parameters"] = {"full_attention": rope(r, width, ["default", "linear"]), "sliding_attention": rope(r, width, ["default"])}
    elif family == "ministral3":
        p = rope(r, width, ["yarn"])
        p.setdefault("original_max_position_embeddings", r.choice([8, 16]))
        p["llama_4_scaling_beta"] = r.choice([0.0, 0.1, 0.5])
        if r.random() < 0.8:
            c["rope_parameters"] = p
    elif r.random() < 0.9:
        c["rope_parameters"] = rope(r, width, kinds)
    if family in ("llama", "qwen3", "gemma", "gemma2", "gemma3_text"):
        c["attention_bias"] = r.random() < 0.4
    if family == "llama":
        c["mlp_bias"] = r.random() < 0.4
    if family in ("mistral", "ministral", "ministral3"):
        c["sliding_window"] = r.choice([None, 4, 9, 100])
    if family in ("qwen2", "qwen3"):
        c.update(use_sliding_window=r.random() < 0.6, sliding_window=r.choice([4, 9]), max_window_layers=r.choice([0, 1, 2]))
    if family == "gemma2":
        c.update(sliding_window=r.choice([4, 9]), attn_logit_softcapping=r.choice([None, 2.0, 50.0]),
                 final_logit_softcapping=r.choice([None, 3.0, 30.0]), query_pre_attn_scalar=r.choice([8, 16, 144]))
    if family == "gemma3_text":
        c.update(sliding_window=r.choice([4, 9]), sliding_window_pattern=r.choice([2, 3, 6]),
                 final_logit_softcapping=r.choice([None, 3.0]), query_pre_attn_scalar=r.choice([8, 16, 168]),
                 attn_logit_softcapping=r.choice([None, 5.0]))
    if family in ("ministral", "qwen2", "qwen3", "gemma2", "gemma3_text") and r.random() < 0.4:
        c["layer_types"] = [r.choice(["full_attention", "sliding_attention"]) for _ in range(layers)]
        if family == "ministral":
            c["sliding_window"] = 5
    if r.random() < 0.3 and family != "mistral":
        c["hidden_activation" if family in ("gemma2", "gemma3_text") else "hidden_act"] = r.choice(["silu", "gelu", "gelu_pytorch_tanh", "relu"])
    return c


def older(c, family):
    """The same config in the spelling from before Transformers 5."""
    c = dict(c)
    c["torch_dtype"] = c.pop("dtype", "float32")
    p = c.pop("rope_parameters", None)
    if family == "gemma3_text":
        full, local = dict(p["full_attention"]), p["sliding_attention"]
        c["rope_theta"], c["rope_local_base_freq"] = full.pop("rope_theta"), local["rope_theta"]
        c["rope_scaling"] = full if full["rope_type"] != "default" else None
        return c
    if p:
        p = dict(p)
        c["rope_theta"] = p.pop("rope_theta", 10000.0)
        if p.get("rope_type", "default") != "default":
            c["rope_scaling"] = p
        else:
            c["rope_scaling"] = None
    return c


def compare(seed):
    r = random.Random(seed)
    family = r.choice(FAMILIES)
    torch.manual_seed(seed)
    config = make(r, family)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[family](**json.loads(json.dumps(config))), attn_implementation="eager")
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name:
                p.copy_(torch.randn_like(p) * 0.2 + (0 if family.startswith("gemma") else 1))
            elif name.endswith("bias"):
                p.copy_(torch.randn_like(p) * 0.3)
    with tempfile.TemporaryDirectory() as folder:
        dtype = r.choice([torch.float32, torch.bfloat16, torch.float16])
        model.to(dtype).save_pretrained(folder)
        spelling = r.choice(["new", "old", "written"])
        path = os.path.join(folder, "config.json")
        if spelling != "written":
            c = {"model_type": family, "architectures": [type(model).__name__], **config, "dtype": str(dtype).split(".")[1]}
            if spelling == "old":
                c = older(c, family)
            for key in ("rms_norm_eps",):  # a missing key takes the class's default
                pass
            with open(path, "w") as f:
                json.dump(c, f)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        ids = [r.randrange(3, VOCAB) for _ in range(LENGTH)]
        with torch.no_grad():
            expected = model(torch.tensor([ids])).logits[0].numpy()
        try:
            ours = Model(folder, rows=r.choice([0, 0, 1, 7]))
        except Failure as problem:
            return family, spelling, config, f"refused: {problem}"
        got = ours.logits(ids, VOCAB)
        worst = float(numpy.abs(got - expected).max())
        # How far float32 itself is from double precision says what can be asked for: big random weights magnify every rounding.
        with torch.no_grad():
            exact = model.double()(torch.tensor([ids])).logits[0].numpy()
        model.float()
        noise = float(numpy.abs(expected - exact).max())
        note = "" if worst <= max(5e-5, 5 * noise) else f"logits differ by {worst:.3g}, rounding alone by {noise:.2g}"
        kind = (config.get("rope_parameters") or {}).get("rope_type")
        # A text that grows past a length-dependent rope's limit is compared by logits only: its cache keeps older rotations.
        if kind not in ("dynamic", "longrope"):
            prompt = ids[:20]
            model.generation_config.eos_token_id = None
            with torch.no_grad():
                out = model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False, output_logits=True,
                                     return_dict_in_generate=True, pad_token_id=0)
            theirs = out.sequences[0, len(prompt):].tolist()
            gaps = [float(l[0].topk(2).values.diff().abs()) for l in out.logits]
            mine, _ = ours.generate(prompt, {"max_new_tokens": "24", "eos_token_id": "null"})
            for i, (a, b) in enumerate(zip(theirs, mine)):
                if a != b:
                    if gaps[i] > 1e-3:
                        note += f" greedy token {i} is {b}, expected {a} (gap {gaps[i]:.2g})"
                    break
        ours.close()
        return family, spelling, {**config, "worst": worst}, note


def main():
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    bad, worst = 0, {}
    for seed in range(first, first + count):
        try:
            family, spelling, config, note = compare(seed)
        except Exception as problem:
            print(f"seed {seed}: Transformers itself refuses: {type(problem).__name__}: {str(problem)[:160]}")
            continue
        worst[family] = max(worst.get(family, 0), config.get("worst", 0))
        if note:
            bad += 1
            print(f"seed {seed}: {family}, {spelling} spelling: {note}\n  {json.dumps(config)}")
    print(f"{count} models, {bad} differ; worst difference of logits:", {k: float(f"{v:.2g}") for k, v in worst.items()})
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
