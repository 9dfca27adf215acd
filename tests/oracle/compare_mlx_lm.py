#!/usr/bin/env python3
"""What `mica convert` saves is loaded by the real mlx-lm and gives the logits that mica gives, in every mode and width.

    compare_mlx_lm.py PROGRAM FOLDER...     PROGRAM: mica; FOLDER: checkpoints that mica reads

mlx-lm computes in the type of the scales (bfloat16 for most checkpoints), so logits agree within its rounding. To tell that from a mistake, the
checkpoint is also loaded with float32 scales and activations, where they have to agree to 1e-3 of the largest logit. Needs mlx and mlx-lm; says so and ends with
77 where they are missing.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import mlx.core as mx
    import mlx_lm.utils
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

MODES = [None, "affine-2-32", "affine-3-32", "affine-4-32", "affine-4-64", "affine-5-32", "affine-6-64", "affine-8-32", "mxfp4", "mxfp8", "nvfp4",
         "mixed_2_6-32", "mixed_3_4-32", "mixed_3_6-32", "mixed_4_6-32"]
IDS = [1, 5, 9, 17, 33, 2]  # within the windows of tiny models: mlx-lm ignores those of Mistral and Gemma 2


def mica_logits(program, folder, out):
    path = out / "logits.safetensors"
    result = subprocess.run([program, "logits", "-m", folder, "--precision", "exact", "--ids", json.dumps(IDS), "--output", path],
                            capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr.strip())
    return mx.load(str(path))["logits"]


def mlx_logits(folder, dtype):
    model, _ = mlx_lm.utils.load_model(pathlib.Path(folder), strict=True)
    if dtype is not None:
        model.set_dtype(dtype)
    return model(mx.array([IDS]))[0].astype(mx.float32)


def check(program, source, mode, out):
    target = out / "saved"
    options = ["-q", mode] if mode else []
    result = subprocess.run([program, "convert", source, target, "--overwrite", "--no-evaluate", *options], capture_output=True, text=True)
    if result.returncode == 65 and "whole groups" in result.stderr:
        return None
    if result.returncode:
        return result.stderr.strip()
    ours = mica_logits(program, target, out)
    size = mx.abs(ours).max().item()
    exact = mx.abs(ours - mlx_logits(target, mx.float32)).max().item() / size
    rounded = mx.abs(ours - mlx_logits(target, None)).max().item() / size
    print(f"{pathlib.Path(source).name:28} {mode or 'plain':14} difference {exact:.1e} in float32, {rounded:.1e} in the checkpoint's type")
    if not exact < 1e-3 or not rounded < 0.2:
        return f"logits differ by {exact} in float32, {rounded} in the checkpoint's type"
    return None


def main():
    program, *sources = sys.argv[1:]
    mx.set_default_device(mx.cpu)
    faults = []
    for source in sources:
        for mode in MODES:
            with tempfile.TemporaryDirectory() as out:
                try:
                    fault = check(program, source, mode, pathlib.Path(out))
                except Exception as e:
                    fault = f"{type(e).__name__}: {e}"
            if fault:
                faults.append(f"{source} {mode}: {fault}")
    print("\n".join(faults) or "all agree")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
