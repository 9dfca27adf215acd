"""Speculation with a model that guesses, and with the prompt."""
import json
import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
assistant = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer("The river runs past the old mill and down", return_tensors=tensors)
print(json.dumps(model.generate(**inputs, assistant_model=assistant, max_new_tokens=30).tolist()))
print(json.dumps(model.generate(**inputs, prompt_lookup_num_tokens=3, max_new_tokens=30).tolist()))
