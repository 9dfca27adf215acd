"""Text from a queue while a thread generates, with a stop string and a processor that looks at the text; two pipelines of one model."""
import json
import sys
from threading import Thread

from transformers import AutoModelForCausalLM, AutoTokenizer, TextGenerationPipeline, TextIteratorStreamer, TextStreamer, pipeline

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer(["The ship"], return_tensors=tensors)
streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=60)
kwargs = dict(inputs, streamer=streamer, max_new_tokens=20, stop_strings=["."], tokenizer=tokenizer)
thread = Thread(target=model.generate, kwargs=kwargs)
thread.start()
parts = list(streamer)
thread.join()
print(json.dumps("".join(parts)))


class Upper(TextStreamer):
    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        said.append(text.upper())


said: list[str] = []
model.generate(**inputs, streamer=Upper(tokenizer), max_new_tokens=8)
print(json.dumps("".join(said)))

generator = pipeline("text-generation", model=model, tokenizer=tokenizer)
print(json.dumps(generator("The king", max_new_tokens=6, do_sample=False, return_full_text=False)))
print(json.dumps(generator(["The king", "The old ship sails"], max_new_tokens=5, do_sample=False, batch_size=2 if tokenizer.pad_token else 1)))
other = TextGenerationPipeline(model=model, tokenizer=tokenizer)
messages = [{"role": "user", "content": "Who built the tower?"}]
print(json.dumps(other(messages, max_new_tokens=6, do_sample=False)[0]["generated_text"][-1]))
print(json.dumps(other([messages, messages], max_new_tokens=4, do_sample=False, return_full_text=False)))
results = model.generate(**tokenizer("The king", return_tensors=tensors), max_new_tokens=5, num_beams=2, num_return_sequences=2)
print(json.dumps([tokenizer.decode(r, skip_special_tokens=True) for r in results]))
