"""generate from embeddings beside Transformers' own: the model's folder is the argument."""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # tiny models: threads would mostly wait for each other
import mica
import torch
from transformers import AutoModelForCausalLM

ours = mica.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="float32")
theirs = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, attn_implementation="eager")
torch.manual_seed(0)
ids = torch.randint(5, 200, (2, 9))
mask = torch.ones_like(ids)
mask[0, :4] = 0
vectors = theirs.get_input_embeddings()(ids).detach()
assert torch.allclose(ours.get_input_embeddings()(ids), theirs.get_input_embeddings()(ids).detach(), atol=1e-6)
vectors[:, 3] += 0.25 * torch.randn_like(vectors[:, 3])  # what no token has
soft = torch.cat([vectors, 0.5 * torch.randn_like(vectors[:, :2])], 1)
soft_mask = torch.cat([mask, torch.ones_like(mask[:, :2])], 1)

one: dict[str, Any] = {"inputs_embeds": vectors, "attention_mask": mask}
assert (ours(**one).logits - theirs(**one).logits)[mask.bool()].abs().max() < 1e-4

base: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
full: dict[str, Any] = {"return_dict_in_generate": True, "output_scores": True, "output_hidden_states": True, "output_attentions": True}
cases: list[dict[str, Any]] = [
    {**one, "max_new_tokens": 6},
    {**one, "input_ids": ids, "max_new_tokens": 6},
    {"inputs_embeds": soft, "attention_mask": soft_mask, "input_ids": ids, "max_new_tokens": 6},
    {"inputs_embeds": vectors[:1], "max_new_tokens": 6},
    {**one, "input_ids": ids, "max_length": 14},
    {**one, "max_length": 14, "min_length": 12},
    {"inputs_embeds": soft, "attention_mask": soft_mask, "input_ids": ids, "max_length": 25},
    {**one, "max_new_tokens": 6, "num_beams": 3},
    {**one, "max_new_tokens": 8, "num_beams": 2, "num_return_sequences": 2, "length_penalty": 0.5},
    {**one, "max_new_tokens": 8, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
    {**one, "input_ids": ids, "max_new_tokens": 8, "repetition_penalty": 1.3},
    {**one, "max_new_tokens": 4, **full},
    {**one, "input_ids": ids, "max_new_tokens": 4, "use_cache": False, **full},
    {"inputs_embeds": soft, "attention_mask": soft_mask, "max_new_tokens": 4, "num_beams": 2, **full},
]
for case in cases:
    a, b = (model.generate(**{**base, **case}) for model in (ours, theirs))
    what = {k: v if not isinstance(v, torch.Tensor) else tuple(v.shape) for k, v in case.items()}
    if not isinstance(a, torch.Tensor):
        assert list(a.keys()) == list(b.keys()), (what, a.keys(), b.keys())
        assert a.past_key_values.get_seq_length() == b.past_key_values.get_seq_length(), what
        for x, y in zip(a.scores + sum(a.attentions, ()), b.scores + sum(b.attentions, ())):
            assert x.shape == y.shape and torch.where(x == y, 0, x - y).abs().max() < 1e-4, what
        for x, y in zip(a.hidden_states[-1], b.hidden_states[-1]):
            assert x.shape == y.shape and (x - y).abs().max() < 1e-4, what
        if "num_beams" not in case:
            newest = a.sequences[:, -1:]
            seen = torch.cat([case["attention_mask"], torch.ones_like(a.sequences[:, -4:])], 1)
            positions = seen.cumsum(1)[:, -1:] - 1
            again = [m(newest, attention_mask=seen, position_ids=positions, past_key_values=o.past_key_values) for m, o in ((ours, a), (theirs, b))]
            assert (again[0].logits - again[1].logits).abs().max() < 1e-4, what
        a, b = a.sequences, b.sequences
    assert a.shape == b.shape and torch.equal(a, b), (what, a, b)

for wrong in (
    {"inputs_embeds": vectors[..., 1:], "max_new_tokens": 2},
    {"inputs_embeds": vectors, "attention_mask": mask[:, 1:], "max_new_tokens": 2},
    {"inputs_embeds": vectors, "max_length": 9},
):
    errors = []
    for model in (ours, theirs):
        try:
            model.generate(**{**base, **wrong})
            errors.append("")
        except (ValueError, RuntimeError) as e:
            errors.append(type(e).__name__)
    assert all(errors), (sorted(wrong), errors)
print(f"{len(cases)} cases are the same")
