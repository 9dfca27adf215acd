"""A watermark, seeds, a time limit, forced and forbidden words, and what generate refuses."""
import json
import sys
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from transformers.generation import WatermarkingConfig

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer("The river", return_tensors=tensors)
config = WatermarkingConfig(bias=2.5, seeding_scheme="selfhash")
print(json.dumps(model.generate(**inputs, watermarking_config=config, do_sample=False, max_new_tokens=12).tolist()))
config = WatermarkingConfig(bias=4.0, context_width=1)
print(json.dumps(model.generate(**inputs, watermarking_config=config, max_new_tokens=12).tolist()))

bad_words_ids = tokenizer(["river", "long"], add_special_tokens=False).input_ids
print(json.dumps(tokenizer.batch_decode(model.generate(**inputs, bad_words_ids=bad_words_ids, max_new_tokens=12))))
bias = {tuple(tokenizer("tower", add_special_tokens=False).input_ids): 5.0}
print(json.dumps(tokenizer.batch_decode(model.generate(**inputs, sequence_bias=bias, num_beams=3, max_new_tokens=12))))

set_seed(42)
one = model.generate(**inputs, do_sample=True, top_k=20, temperature=1.5, max_new_tokens=12).tolist()
set_seed(42)
two = model.generate(**inputs, do_sample=True, top_k=20, temperature=1.5, max_new_tokens=12).tolist()
print(one == two, len(one[0]))
mistakes: list[dict[str, Any]] = [
    {"num_return_sequences": 2}, {"temprature": 0.5}, {"max_new_tokens": -1}, {"num_beams": 2, "num_return_sequences": 3}
]
for wrong in mistakes:
    try:
        model.generate(**inputs, **wrong)
        print(sorted(wrong), "no error")
    except Exception as e:
        print(sorted(wrong), isinstance(e, ValueError))
