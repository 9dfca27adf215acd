"""Save, load again, the same answers."""
import json
import os
import sys
import tempfile

from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer("The river", return_tensors=tensors)
before = model.generate(**inputs, max_new_tokens=16)
with tempfile.TemporaryDirectory() as parent:
    folder = os.path.join(parent, "saved")
    model.generation_config.max_new_tokens = 9
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    print(json.dumps([f in os.listdir(folder) for f in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")]))
    again = AutoModelForCausalLM.from_pretrained(folder, device_map="mlx", dtype="float32")
    reader = AutoTokenizer.from_pretrained(folder)
    inputs = reader("The river", return_tensors=tensors)
    print(json.dumps([before.tolist(), again.generate(**inputs, max_new_tokens=16).tolist()]))
    print(json.dumps(again.generate(**inputs).tolist()))
    print(json.dumps(GenerationConfig.from_pretrained(folder).max_new_tokens))
