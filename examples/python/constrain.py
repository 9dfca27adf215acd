"""A processor of one's own: no letter "e" in the answer. constrain.py MODEL [PROMPT]"""

import sys

from mica import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor

name, prompt = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "Once upon a time"
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name)


class Without(LogitsProcessor):
    def __init__(self, letter):
        self.banned = [i for i in range(len(tokenizer)) if letter in tokenizer.decode([i])]

    def __call__(self, input_ids, scores):
        scores[:, self.banned] = -float("inf")
        return scores


output = model.generate(
    **tokenizer(prompt, return_tensors="np"), logits_processor=[Without("e")], max_new_tokens=40, repetition_penalty=1.1
)
print(tokenizer.decode(output[0], skip_special_tokens=True))
