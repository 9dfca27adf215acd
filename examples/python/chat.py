"""A conversation in the terminal, streamed: chat.py MODEL

Written for Transformers; `python -m mica examples/python/chat.py MODEL` runs it on mica.
"""

import sys

from transformers import AutoModelForCausalLM, AutoTokenizer, TextStreamer

name = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx")
messages = []
for line in iter(lambda: input("> "), ""):
    messages.append({"role": "user", "content": line})
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="np")
    output = model.generate(**inputs, max_new_tokens=200, streamer=TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True))
    answer = tokenizer.decode(output[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    messages.append({"role": "assistant", "content": answer})
