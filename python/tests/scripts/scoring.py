"""Which of several answers a model finds likeliest, from logits and from compute_transition_scores; and a dictionary of words allowed next."""
import json
import sys

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name, padding_side="right")
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")

question, answers = "The river is", [" long", " old and long", " a ship"]
batch = tokenizer([question + a for a in answers], return_tensors=tensors, padding=True, return_offsets_mapping=True)
offsets = np.asarray(batch.pop("offset_mapping"))
logits = model(**batch).logits
logits = np.asarray(logits.detach() if tensors == "pt" else logits)
shifted = logits[:, :-1] - np.log(np.exp(logits[:, :-1]).sum(-1, keepdims=True))
ids = np.asarray(batch["input_ids"])
scores = np.take_along_axis(shifted, ids[:, 1:, None], -1)[..., 0]
counted = (offsets[:, 1:, 1] > len(question)) & (np.asarray(batch["attention_mask"])[:, 1:] == 1)
print(json.dumps([[round(float(x), 3) for x in (scores * counted).sum(-1)], offsets[1].tolist()]))

inputs = tokenizer(question, return_tensors=tensors)
out = model.generate(**inputs, max_new_tokens=6, return_dict_in_generate=True, output_scores=True, output_logits=True)
transition = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
print(json.dumps([[round(float(x), 3) for x in transition[0]], out.sequences.tolist(), len(out.logits)]))
out = model.generate(**inputs, max_new_tokens=6, num_beams=4, num_return_sequences=2, return_dict_in_generate=True, output_scores=True)
transition = model.compute_transition_scores(out.sequences, out.scores, out.beam_indices, normalize_logits=False)
print(json.dumps([[[round(float(x), 3) for x in row] for row in transition], [round(float(x), 3) for x in out.sequences_scores]]))

warpers = LogitsProcessorList([TemperatureLogitsWarper(0.5), TopKLogitsWarper(3)])
last = model(**inputs).logits[:, -1, :]
kept = warpers(inputs["input_ids"], last)
kept = np.asarray(kept.detach() if tensors == "pt" else kept)
print(json.dumps([int(np.isfinite(kept).sum()), int(kept.argmax())]))
