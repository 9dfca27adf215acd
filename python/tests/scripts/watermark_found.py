"""A watermark, and whether it is found."""
import json
import sys
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer, WatermarkDetector, WatermarkingConfig

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left")
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")
inputs = tokenizer(["The river runs past"], return_tensors=tensors)
configs: list[dict[str, Any]] = [
    {"bias": 2.5, "seeding_scheme": "selfhash"},
    {"bias": 3.0},
    {"bias": 2.5, "seeding_scheme": "selfhash", "context_width": 3},
    {"greenlist_ratio": 0.5, "hashing_key": 99, "context_width": 2},
]
for fields in configs:
    config = WatermarkingConfig(**fields)
    output = model.generate(**inputs, watermarking_config=config, do_sample=False, max_length=24, min_length=24)
    detector = WatermarkDetector(model_config=model.config, device="cpu", watermarking_config=config)
    found = detector(output, return_dict=True)
    print(json.dumps([output.tolist(), detector(output, z_threshold=0.5).tolist()]))
    print(json.dumps([[round(float(x), 3) for x in getattr(found, field)] for field in ("num_green_tokens", "z_score", "p_value", "confidence")]))
try:
    detector(output[:, :1])
except ValueError:
    print("too short")
print(json.dumps([WatermarkingConfig(bias=2.5).to_dict(), json.loads(WatermarkingConfig().to_json_string())], sort_keys=True))
