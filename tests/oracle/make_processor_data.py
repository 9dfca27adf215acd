"""Writes tests/data/generate/processors.json: what Transformers' own logits processors make of made-up scores, one setting at a time.

    python tests/oracle/make_processor_data.py
"""
import json
import os
import random
import sys
import types

try:
    import torch
    from transformers import GenerationConfig, WatermarkingConfig
    from transformers.generation import logits_process
    from transformers.generation.utils import GenerationMixin
except ImportError as missing:
    print(f"skipped: {missing}", file=sys.stderr)
    sys.exit(77)

VOCAB, EOS = 48, 3  # forty are looked at by a watermark
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../data/generate/processors.json")
PROMPT = [1, 5, 6, 1, 5]
SETTINGS = [
    {}, {"sequence_bias": [[[4], 2.5], [[5, 6], -3.0], [[7, 8], 1.0]]}, {"encoder_repetition_penalty": 1.5}, {"repetition_penalty": 1.5},
    {"repetition_penalty": 0.5}, {"no_repeat_ngram_size": 1}, {"no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 3},
    {"encoder_no_repeat_ngram_size": 2}, {"bad_words_ids": [[4], [5, 6], [5, 7], [EOS]]}, {"min_length": 7}, {"min_length": 6},
    {"min_new_tokens": 1}, {"min_new_tokens": 3}, {"forced_bos_token_id": 2}, {"forced_eos_token_id": 7, "max_length": 7},
    {"forced_eos_token_id": [7, 8], "max_length": 8}, {"remove_invalid_values": True}, {"exponential_decay_length_penalty": [0, 1.5]},
    {"exponential_decay_length_penalty": [3, 1.5]}, {"suppress_tokens": [1, 11]}, {"begin_suppress_tokens": [2, 3]},
    {"begin_suppress_tokens": [2], "forced_bos_token_id": 4}, {"renormalize_logits": True}, {"eos_token_id": [3, 4], "min_length": 99},
]
SAMPLING = [
    {"temperature": 0.5}, {"temperature": 3.0}, {"top_k": 1}, {"top_k": 3}, {"top_k": 100}, {"top_p": 0.0}, {"top_p": 0.5}, {"top_p": 0.99},
    {"min_p": 0.1}, {"min_p": 0.9}, {"top_h": 0.1}, {"top_h": 0.6}, {"typical_p": 0.2}, {"typical_p": 0.8}, {"epsilon_cutoff": 0.05},
    {"eta_cutoff": 0.05}, {"watermarking_config": {}}, {"watermarking_config": {"greenlist_ratio": 0.5, "bias": 1.5, "hashing_key": 17}},
    {"watermarking_config": {"seeding_scheme": "selfhash", "context_width": 2}, "temperature": 0.5},
    {"watermarking_config": {"seeding_scheme": "selfhash", "greenlist_ratio": 0.6}}, {"temperature": 0.7, "top_k": 6, "top_p": 0.9, "renormalize_logits": True},
]


# Settings of mica's own, which Transformers has as arguments of classes.
ARGUMENTS = [
    ("RepetitionPenaltyLogitsProcessor", {"penalty": 1.5, "prompt_ignore_length": n}, {"repetition_penalty": 1.5, "prompt_ignore_length": n})
    for n in (0, 1, 3, 5, 6)
] + [
    (name, {field: value, "min_tokens_to_keep": n}, {"do_sample": True, "top_k": 0, "min_tokens_to_keep": n, setting: value})
    for n in (1, 2, 5, 48)
    for name, field, setting, value in (
        ("TopKLogitsWarper", "top_k", "top_k", 3), ("TopPLogitsWarper", "top_p", "top_p", 0.3), ("TopPLogitsWarper", "top_p", "top_p", 0.9),
        ("MinPLogitsWarper", "min_p", "min_p", 0.5), ("TypicalLogitsWarper", "mass", "typical_p", 0.2),
        ("EpsilonLogitsWarper", "epsilon", "epsilon_cutoff", 0.2), ("EtaLogitsWarper", "epsilon", "eta_cutoff", 0.2),
    )
]


def process(settings, prompt, ids, scores, beams):
    config = GenerationConfig(**{"eos_token_id": EOS, "max_length": 99, **settings})
    config.num_beams = beams
    if "watermarking_config" in settings:
        config.watermarking_config = WatermarkingConfig(**settings["watermarking_config"])
    eos = config.eos_token_id
    config._eos_token_tensor = torch.tensor(eos if isinstance(eos, list) else [eos])
    owner = types.SimpleNamespace(config=types.SimpleNamespace(
        is_encoder_decoder=False, get_text_config=lambda: types.SimpleNamespace(vocab_size=VOCAB)))
    owner._merge_criteria_processor_list = types.MethodType(GenerationMixin._merge_criteria_processor_list, owner)
    processors = GenerationMixin._get_logits_processor(
        owner, generation_config=config, input_ids_seq_length=len(prompt), encoder_input_ids=torch.tensor([prompt]), logits_processor=[],
        device="cpu")
    return processors(torch.tensor([ids]), torch.tensor([scores]))[0].tolist()


def text(x):
    """JSON has no infinity and no NaN."""
    return float(f"{x:.7g}") if abs(x) != float("inf") else "-inf" if x < 0 else "inf"


def main():
    r = random.Random(7)
    rows = []
    for settings in SETTINGS + [{**s, "do_sample": True, "top_k": s.get("top_k", 0)} for s in SAMPLING]:
        for prompt, ids in ((PROMPT, PROMPT), (PROMPT, PROMPT + [6]), (PROMPT, PROMPT + [7, 5]), ([5], [5])):
            for beams in (1, 2) if settings.get("do_sample") else (1,):
                scores = [round(r.gauss(0, 2), 4) for _ in range(VOCAB)]
                if settings.get("remove_invalid_values"):
                    scores[2], scores[5] = float("inf"), float("-inf")
                expected = process(settings, prompt, ids, scores, beams)
                rows.append({"settings": {**settings, **({"num_beams": beams} if beams > 1 else {})}, "n_prompt": len(prompt), "ids": ids,
                             "scores": [text(x) for x in scores], "expected": [text(x) for x in expected]})
    for name, arguments, settings in ARGUMENTS:
        scores = [round(r.gauss(0, 2), 4) for _ in range(VOCAB)]
        ids = PROMPT + [6]
        expected = getattr(logits_process, name)(**arguments)(torch.tensor([ids]), torch.tensor([scores]))[0].tolist()
        rows.append({"settings": settings, "n_prompt": len(PROMPT), "ids": ids, "scores": [text(x) for x in scores],
                     "expected": [text(x) for x in expected]})
    os.makedirs(os.path.dirname(OUT), exist_ok=True)
    with open(OUT, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    main()
