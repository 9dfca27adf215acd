"""A conversation of two turns: the chat template, generate, the answer back into the history."""
import json
import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")

messages = [{"role": "system", "content": "You tell stories."}] if "gemma" not in name else []
answers = []
for question in ("Who built the tower?", "And then?"):
    messages.append({"role": "user", "content": question})
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors=tensors
    )
    if tensors == "pt":
        inputs = inputs.to(model.device)
    output = model.generate(**inputs, max_new_tokens=24)
    answer = tokenizer.decode(output[0][inputs["input_ids"].shape[-1] :], skip_special_tokens=True)
    messages.append({"role": "assistant", "content": answer})
    answers.append(answer)
prompt = tokenizer.apply_chat_template(messages, tokenize=False)
unfinished = tokenizer.apply_chat_template(messages, tokenize=False, continue_final_message=True)
print(json.dumps([answers, prompt, unfinished]))
