"""Hidden states and attentions beside Transformers' own (eager attention): the model's folder is the argument; prints the largest difference.

Hidden states of padding are nobody's business and not compared; attention of padding is.
"""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # tiny models: threads would mostly wait for each other
import mica
import torch
from transformers import AutoModelForCausalLM, DynamicCache

LOOK = {"output_hidden_states": True, "output_attentions": True}
ours = mica.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="float32")
theirs = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, attn_implementation="eager")
torch.manual_seed(0)
ids = torch.randint(5, 200, (3, 20))
mask = torch.ones_like(ids)
mask[0, :4] = mask[2, :13] = 0
ids[mask == 0] = 0
worst = 0.0


def compare(a: Any, b: Any, what: str) -> None:
    global worst
    if isinstance(b, tuple):
        assert isinstance(a, tuple) and len(a) == len(b), what
        for i, (x, y) in enumerate(zip(a, b)):
            compare(x, y, f"{what}[{i}]")
        return
    assert a.shape == b.shape and a.dtype == b.dtype, (what, a.shape, b.shape)
    worst = max(worst, (a - b).abs().max().item())


def without_padding(states: Any, past: int = 0) -> Any:
    if isinstance(states, tuple):
        return tuple(without_padding(s, past) for s in states)
    states = states.clone()
    for i in range(len(states)):
        padding = (mask[i // (len(states) // 3)][past : past + states.shape[1]] == 0).nonzero()[:, 0]
        if states.shape[1] > 1:
            states[i, padding] = 0
    return states


def compare_outputs(a: Any, b: Any, what: str, past: int = 0) -> None:
    assert list(a.keys()) == list(b.keys()), (what, a.keys(), b.keys())
    compare(a.attentions, b.attentions, what + " attentions")
    compare(without_padding(a.hidden_states, past), without_padding(b.hidden_states, past), what + " hidden_states")


compare_outputs(ours(ids, attention_mask=mask, **LOOK), theirs(ids, attention_mask=mask, **LOOK), "a call")
for config in (None, theirs.config):
    given = {} if config is None else {"config": config}
    caches = mica.DynamicCache(**given), DynamicCache(**given), DynamicCache(**given)
    for start, stop in ((0, 12), (12, 17), (17, 18), (18, 20)):
        one: dict[str, Any] = {"input_ids": ids[:, start:stop], "attention_mask": mask[:, :stop], "use_cache": True, **LOOK}
        expected = theirs(past_key_values=caches[1], **one)
        compare_outputs(ours(past_key_values=caches[0], **one), expected, f"from {start} on", start)
        compare_outputs(ours(past_key_values=caches[2], **one), expected, f"from {start} on, a cache of Transformers", start)

several: dict[str, Any] = {"attention_mask": mask, "max_new_tokens": 5, "return_dict_in_generate": True, "eos_token_id": None, "pad_token_id": 0, "do_sample": False, **LOOK}
cases: list[dict[str, Any]] = [
    {},
    {"use_cache": False},
    {"num_beams": 3},
    {"num_beams": 2, "num_return_sequences": 2, "output_scores": True},
    {"eos_token_id": 7},
]
for settings in cases:
    both = [m.generate(ids, **{**several, **settings}) for m in (ours, theirs)]
    assert torch.equal(both[0].sequences, both[1].sequences), settings
    compare_outputs(both[0], both[1], f"generate {settings}")
positions = (mask[:, :12].cumsum(1) - 1).clamp(min=0)
both = []
for model, cache in ((ours, mica.DynamicCache(config=theirs.config)), (theirs, DynamicCache(config=theirs.config))):
    model(ids[:, :12], attention_mask=mask[:, :12], position_ids=positions, past_key_values=cache)
    both.append(model.generate(ids, past_key_values=cache, **several))
assert torch.equal(both[0].sequences, both[1].sequences)
compare_outputs(both[0], both[1], "generate from a cache", 12)
print(f"largest difference {worst:.2e}")
assert worst < 1e-4
