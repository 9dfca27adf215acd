"""The perplexity of a text longer than the window: windows that overlap, and labels of -100 for what an earlier window has counted."""
import json
import sys

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
model.eval()
text = "\n\n".join(["The river is long and the tower is old.", "Who built it? The king, and his ship sailed away."] * 4)
encodings = tokenizer(text, return_tensors=tensors)

max_length, stride = 48, 20
seq_len = encodings.input_ids.shape[1]
nll_sum, n_tokens, prev_end_loc = 0.0, 0, 0
for begin_loc in range(0, seq_len, stride):
    end_loc = min(begin_loc + max_length, seq_len)
    trg_len = end_loc - prev_end_loc  # may be different from stride on the last loop
    input_ids = encodings.input_ids[:, begin_loc:end_loc]
    target_ids = input_ids.clone() if tensors == "pt" else input_ids.copy()
    target_ids[:, :-trg_len] = -100
    outputs = model(input_ids, labels=target_ids)
    num_valid_tokens = int((target_ids != -100).sum())
    num_loss_tokens = num_valid_tokens - target_ids.shape[0]
    nll_sum += float(outputs.loss) * num_loss_tokens
    n_tokens += num_loss_tokens
    prev_end_loc = end_loc
    if end_loc == seq_len:
        break
print(json.dumps([round(float(np.exp(nll_sum / n_tokens)), 2), n_tokens]))
first, rest = model(encodings.input_ids[:, :8], labels=encodings.input_ids[:, :8], return_dict=False)[:2]
print(json.dumps([round(float(first), 3), list(rest.shape)]))
