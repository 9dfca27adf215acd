"""Beam search with its scores."""
import json
import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer("When the rain comes, the", return_tensors=tensors)
plain = model.generate(**inputs, num_beams=4, max_new_tokens=20)
print(json.dumps(plain.tolist()))
result = model.generate(
    **inputs, num_beams=4, num_return_sequences=3, max_new_tokens=20, early_stopping=True, length_penalty=0.5,
    return_dict_in_generate=True, output_scores=True,
)
print(json.dumps(result.sequences.tolist()))
print(json.dumps([round(float(s), 4) for s in result.sequences_scores]))
print(json.dumps([type(result).__name__, list(result.keys())]))
print(json.dumps(result.beam_indices.tolist()))
