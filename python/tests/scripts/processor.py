"""A logits processor of one's own, a prefix function, and library processors in a list."""
import json
import sys
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor, LogitsProcessorList

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer("The river", return_tensors=tensors)


class Ban(LogitsProcessor):
    """In place, and counts its calls."""

    def __init__(self, ids: list[int]):
        self.ids = ids
        self.calls: list[list[int]] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.calls.append(list(input_ids.shape))
        scores[:, self.ids] = -float("inf")
        return scores


greedy = model.generate(**inputs, max_new_tokens=8)
banned = sorted({int(i) for i in greedy[0, inputs["input_ids"].shape[1] :]})
ban = Ban(banned)
output = model.generate(**inputs, logits_processor=LogitsProcessorList([ban]), max_new_tokens=8)
print(json.dumps([output.tolist(), ban.calls]))


class Favour(LogitsProcessor):
    """Not in place: a new array."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        return scores * 0.5 + (scores == scores[0].max()) * 3.0


print(json.dumps(model.generate(**inputs, logits_processor=[Favour(), Ban([7, 8])], max_new_tokens=8).tolist()))

allowed = [[20, 30, 40], [50, 60]]


def allow(batch_id: int, sent: Any) -> list[int]:
    return allowed[len(sent) % 2]


print(json.dumps(model.generate(**inputs, prefix_allowed_tokens_fn=allow, max_new_tokens=6).tolist()))
