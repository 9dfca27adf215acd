"""Settings, configurations, outputs: what a script asks of them."""
import json
import sys
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

name, tensors = sys.argv[1:3]
config = AutoConfig.from_pretrained(name)
print(json.dumps([config.model_type, config.vocab_size, config.hidden_size, config.num_hidden_layers, config.architectures]))
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
print(json.dumps([model.config.model_type, model.num_parameters(), str(model.device), str(model.dtype).replace("torch.", "")]))
print(json.dumps([type(model).__name__, model.generation_config.eos_token_id, model.generation_config.pad_token_id]))
inputs = tokenizer("One says a giant", return_tensors=tensors)
cases: list[dict[str, Any]] = [
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 2},
    {"min_new_tokens": 12},
    {"bad_words_ids": [[263], [320, 388]]},
    {"suppress_tokens": [483, 82]},
    {"max_length": 12},
    {"forced_eos_token_id": 4},
    {"sequence_bias": {(263,): -10.0}},
    {"generation_config": GenerationConfig(max_new_tokens=7)},
]
for arguments in cases:
    arguments = {"max_new_tokens": 16, **arguments} if not {"max_length", "generation_config"} & set(arguments) else arguments
    print(json.dumps(model.generate(**inputs, **arguments).tolist()))
result = model.generate(**inputs, max_new_tokens=4, return_dict_in_generate=True, output_scores=True, output_logits=True)
print(json.dumps([type(result).__name__, len(result.scores), len(result.logits), list(result.scores[0].shape)]))
print(json.dumps([round(float(x), 3) for x in result.logits[0][0][:8]]))
print(json.dumps(result.sequences.tolist()))
transition = model.compute_transition_scores(result.sequences, result.scores, normalize_logits=True)
print(json.dumps([[round(float(x), 3) for x in row] for row in transition]))
logits = model(**inputs).logits
print(json.dumps([list(logits.shape), [round(float(x), 3) for x in logits[0, -1, :8]], int(logits[0, -1].argmax())]))
for wrong in ({"no_such_setting": 1}, {"num_return_sequences": 2, "do_sample": False}, {"max_length": 1}):
    try:
        model.generate(**inputs, **wrong)
        print("no error")
    except ValueError as e:
        print("ValueError", sorted(k for k in wrong if k in str(e)))
