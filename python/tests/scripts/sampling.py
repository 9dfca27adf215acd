"""Sampling: what has to hold whatever is drawn."""
import json
import sys

from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, set_seed

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer("The river", return_tensors=tensors)
n = inputs["input_ids"].shape[1]

set_seed(7)
first = model.generate(**inputs, do_sample=True, temperature=1.5, top_k=0, max_new_tokens=12)
set_seed(7)
again = model.generate(**inputs, do_sample=True, temperature=1.5, top_k=0, max_new_tokens=12)
print(json.dumps(["the same seed", first.tolist() == again.tolist()]))

greedy = model.generate(**inputs, max_new_tokens=12)
narrow = model.generate(**inputs, do_sample=True, top_k=1, max_new_tokens=12)
print(json.dumps(["top_k=1 is greedy", narrow.tolist() == greedy.tolist(), greedy.tolist()]))

config = GenerationConfig(do_sample=True, temperature=0.8, top_p=0.9, num_return_sequences=3, max_new_tokens=5)
many = model.generate(**inputs, generation_config=config)
print(json.dumps(["three answers", many.shape[0], many.shape[1] <= n + 5]))

result = model.generate(
    **inputs, do_sample=True, top_k=4, temperature=0.7, max_new_tokens=6, return_dict_in_generate=True, output_scores=True
)
kept = [int((step > -1e30).sum()) for step in result.scores]
print(json.dumps(["four tokens are left", kept, [list(s.shape) for s in result.scores]]))
first_step = result.scores[0]
print(json.dumps(sorted(round(float(x), 3) for x in first_step[0][first_step[0] > -1e30])))
