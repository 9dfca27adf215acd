"""Several prompts of different lengths, padded on the left; arrays in, arrays out."""
import json
import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left")
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
prompts = ["The river", "When the sun comes, they", "A"]
inputs = tokenizer(prompts, padding=True, return_tensors=tensors)
output = model.generate(**inputs, max_new_tokens=16, do_sample=False)
print(json.dumps([inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), output.tolist()]))
print(json.dumps(tokenizer.batch_decode(output, skip_special_tokens=True)))
print(json.dumps([list(output.shape), len(output), output[0].tolist() == output[0, :].tolist()]))
texts = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :])
print(json.dumps(texts))
