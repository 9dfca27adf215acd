"""Generation settings in files: saved, read, changed, passed; and a model and tokenizer that are saved with them."""
import json
import os
import sys
import tempfile

from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer(["The tower", "Who?"], padding=True, padding_side="left", return_tensors=tensors) if tokenizer.pad_token else tokenizer("The tower", return_tensors=tensors)
with tempfile.TemporaryDirectory() as folder:
    settings = GenerationConfig(max_new_tokens=7, num_beams=2, early_stopping=True, eos_token_id=model.generation_config.eos_token_id, pad_token_id=model.generation_config.pad_token_id)
    settings.save_pretrained(folder, "beams.json")
    with open(os.path.join(folder, "beams.json")) as f:
        saved = json.load(f)
    saved.pop("transformers_version")
    print(json.dumps(saved, sort_keys=True))
    again, unused = GenerationConfig.from_pretrained(folder, "beams.json", num_beams=3, foo=1, return_unused_kwargs=True)
    print(json.dumps([again.num_beams, again.max_new_tokens, unused]))
    print(json.dumps(model.generate(**inputs, generation_config=again).tolist()))
    model.generation_config.max_new_tokens = 4
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    print("config.json" in os.listdir(folder), "generation_config.json" in os.listdir(folder), "tokenizer.json" in os.listdir(folder))
    other = AutoModelForCausalLM.from_pretrained(folder, device_map="mlx", dtype="float32")
    print(other.generation_config.max_new_tokens, AutoConfig.from_pretrained(folder).hidden_size)
    print(json.dumps(other.generate(**AutoTokenizer.from_pretrained(folder)("The tower", return_tensors=tensors)).tolist()))
print(model.num_parameters() > 1000, model.config.model_type, model.can_generate(), str(model.device))
