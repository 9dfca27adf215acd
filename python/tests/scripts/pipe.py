"""pipeline: a prompt, a batch, a conversation, a prefilled answer."""
import json
import sys

from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

name, tensors = sys.argv[1:3]
pipe = pipeline("text-generation", model=name, device_map="mlx", dtype="float32")
print(json.dumps(pipe("The river", max_new_tokens=12, do_sample=False)))
print(json.dumps(pipe("The river", max_new_tokens=12, do_sample=False, return_full_text=False)))
print(json.dumps(pipe(["The river", "When the sun"], max_new_tokens=8, do_sample=False, batch_size=2)))
messages = [{"role": "user", "content": "Who built the tower?"}]
print(json.dumps(pipe(messages, max_new_tokens=10, do_sample=False)))
print(json.dumps(pipe([messages, messages], max_new_tokens=6, do_sample=False)))
started = [*messages, {"role": "assistant", "content": "The river runs"}]
print(json.dumps(pipe(started, max_new_tokens=6, do_sample=False)[0]["generated_text"][-1]))
print(json.dumps(pipe("The river", max_new_tokens=4, do_sample=False, return_tensors=True)))
for item in pipe((p for p in ["One", "A"]), max_new_tokens=4, do_sample=False):
    print(json.dumps(item))
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
other = pipeline("text-generation", model=model, tokenizer=tokenizer, max_new_tokens=5, do_sample=False)
print(json.dumps(other("The river")))
