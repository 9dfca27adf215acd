"""Tools in a conversation: functions as schemas, a call and its answer in the history."""
import json
import sys
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
template = (
    "{% if tools %}{% for t in tools %}{{ t | tojson }}\n{% endfor %}{% endif %}{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.tool_calls %}{{ m.tool_calls[0].function | tojson }}{% else %}{{ m.content }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def get_current_temperature(location: str, unit: str = "celsius") -> float:
    """
    Get the current temperature at a location.

    Args:
        location: The location to get the temperature for, in the format "City, Country"
        unit: The unit to return the temperature in. (choices: ["celsius", "fahrenheit"])
    Returns:
        The current temperature at the specified location in the specified units, as a float.
    """
    return 22.0


messages: list[dict[str, Any]] = [{"role": "user", "content": "Hey, what's the temperature in Paris right now?"}]
prompt = tokenizer.apply_chat_template(messages, tools=[get_current_temperature], chat_template=template, add_generation_prompt=True, tokenize=False)
print(json.dumps(prompt))
tool_call = {"name": "get_current_temperature", "arguments": {"location": "Paris, France", "unit": "celsius"}}
messages.append({"role": "assistant", "tool_calls": [{"type": "function", "function": tool_call}]})
messages.append({"role": "tool", "content": "22"})
inputs = tokenizer.apply_chat_template(
    messages, tools=[get_current_temperature], chat_template=template, add_generation_prompt=True, return_dict=True, return_tensors=tensors
)
out = model.generate(**inputs, max_new_tokens=12)
print(json.dumps(tokenizer.decode(out[0][len(inputs["input_ids"][0]) :])))
