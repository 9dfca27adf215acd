"""Stopping criteria of one's own, stop strings, and the library's criteria in a list."""
import json
import sys
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer, MaxLengthCriteria, StoppingCriteria, StoppingCriteriaList

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer("The river", return_tensors=tensors)


class StopOn(StoppingCriteria):
    def __init__(self, text: str):
        self.text = text

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
        return self.text in tokenizer.decode(input_ids[0])


output = model.generate(**inputs, stopping_criteria=StoppingCriteriaList([StopOn("mill")]), max_new_tokens=60)
print(json.dumps([output.tolist(), tokenizer.decode(output[0])]))
output = model.generate(**inputs, stopping_criteria=[MaxLengthCriteria(max_length=9)], max_new_tokens=60)
print(json.dumps(output.tolist()))
output = model.generate(**inputs, stop_strings=[" old", "sea"], tokenizer=tokenizer, max_new_tokens=60)
print(json.dumps([output.tolist(), tokenizer.decode(output[0])]))
