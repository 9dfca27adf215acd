"""TextStreamer prints as it goes; TextIteratorStreamer feeds a loop from another thread."""
import json
import sys
from threading import Thread
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer, TextStreamer

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer(["The river runs"], return_tensors=tensors)

model.generate(**inputs, streamer=TextStreamer(tokenizer), max_new_tokens=20)
model.generate(**inputs, streamer=TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True), max_new_tokens=20)

streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
thread = Thread(target=model.generate, kwargs=dict(inputs, streamer=streamer, max_new_tokens=30))
thread.start()
pieces = [piece for piece in streamer]
thread.join()
print(json.dumps([pieces, "".join(pieces)]))


class Collector(TextStreamer):
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.parts: list[tuple[str, bool]] = []

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.parts.append((text, stream_end))


collector = Collector(tokenizer)
model.generate(**inputs, streamer=collector, max_new_tokens=10)
print(json.dumps(collector.parts))
