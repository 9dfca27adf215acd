"""Greedy decoding by hand: a cache object that the model fills, one token at a time, and the cache that generate returns."""
import json
import sys
from typing import Any

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer("The tower", return_tensors=tensors)


def join(parts: list[Any]) -> Any:
    if tensors == "np":
        return np.concatenate(parts, axis=-1)
    import torch

    return torch.cat(parts, dim=-1)


past_key_values = DynamicCache()
input_ids, generated = inputs["input_ids"], inputs["input_ids"]
attention_mask = inputs["attention_mask"]
for _ in range(10):
    outputs = model(input_ids=input_ids, attention_mask=attention_mask, past_key_values=past_key_values, use_cache=True)
    next_token = outputs.logits[:, -1:].argmax(-1)
    generated = join([generated, next_token])
    attention_mask = join([attention_mask, attention_mask[:, :1]])
    input_ids = next_token
print(json.dumps([generated.tolist(), past_key_values.get_seq_length()]))

past: Any = None
ids, text = inputs["input_ids"], []
for _ in range(6):
    outputs = model(ids, past_key_values=past)
    past, ids = outputs.past_key_values, outputs.logits[:, -1:, :].argmax(-1)
    text.append(int(ids[0, 0]))
print(json.dumps([tokenizer.decode(text), past.get_seq_length()]))

cache = DynamicCache()
first = model.generate(**inputs, past_key_values=cache, max_new_tokens=5, return_dict_in_generate=True)
longer = join([first.sequences, first.sequences[:, -1:]])
second = model.generate(longer, past_key_values=first.past_key_values, max_new_tokens=5)
print(json.dumps([first.sequences.tolist(), second.tolist(), cache.get_seq_length()]))

outputs = model(inputs["input_ids"], output_hidden_states=True, logits_to_keep=1)
states = outputs.hidden_states
print(json.dumps([len(states), list(states[-1].shape), list(outputs.logits.shape), round(float(states[-1][0, -1, 0]), 3)]))
embeddings = model.get_input_embeddings()(inputs["input_ids"])
print(json.dumps([round(float(x), 3) for x in model(inputs_embeds=embeddings).logits[0, -1, :4]]))
