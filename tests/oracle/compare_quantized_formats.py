"""Quantized checkpoints that Transformers itself can load without a GPU, made by tests/cli/test_quantized_formats.py: the same logits.

    MICA_PROGRAM=build/release/mica python tests/oracle/compare_quantized_formats.py

FP8 is dequantized by Transformers; its BitNet layers, which round activations to 8 bits, are compared by their weights.
"""
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
try:
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, FineGrainedFP8Config
    from transformers.integrations.bitnet import unpack_weights
except ImportError as missing:
    print(f"skipped: {missing}", file=sys.stderr)
    sys.exit(77)

import test_quantized_formats as formats


def fp8(name, test, folder):
    (maker, config), _ = formats.FORMATS[name]
    packed, _ = test.make(folder, maker, config)
    got, _ = test.logits(packed, folder)
    how = FineGrainedFP8Config(dequantize=True, weight_block_size=config.get("weight_block_size"))
    model = AutoModelForCausalLM.from_pretrained(packed, quantization_config=how, dtype=torch.float32).float()
    with torch.no_grad():
        expected = model(torch.tensor([[int(i) for i in formats.IDS.split(",")]])).logits[0].numpy()
    return float(np.abs(got - expected).max()), float(np.abs(expected).max())


def bitnet(name):
    parts, expected = formats.FORMATS[name][0][0]((64, 96))
    scale = formats.from_bf16(parts[".weight_scale"][1])
    w = unpack_weights(torch.from_numpy(parts[".weight"]), torch.float32).numpy()
    w = w * scale if "auto" in name else w * (np.float32(1) / scale)
    return float(np.abs(w - expected).max()), float(np.abs(expected).max())


def main():
    worst, test = 0.0, formats.Formats()
    for name in ("fp8-block", "fp8-tensor", "bitnet", "bitnet-auto"):
        with tempfile.TemporaryDirectory() as folder:
            difference, size = fp8(name, test, folder) if name.startswith("fp8") else bitnet(name)
        print(f"{name:12} largest difference {difference:.2g} of {size:.2g}")
        worst = max(worst, difference / size)
    # Transformers' dequantized elements are float32 here, mica's bfloat16.
    sys.exit(worst > 2e-2)


if __name__ == "__main__":
    main()
