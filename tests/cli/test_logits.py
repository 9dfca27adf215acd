"""logits: the file equals Transformers' float32 result."""
import json
import pathlib
import struct
import tempfile

import program
from program import ProgramTest, SHARED, model, read_safetensors

# what every version of the program can run; further folders of the references join as their architectures do
FOLDERS = ["llama", "llama-3.2-tied-rope3", "llama-bias-linear", "mistral", "ministral3", "qwen2", "qwen3", "gemma", "gemma2",
           "gemma3_text", "gemma3-in-vision-wrapper"]


class Logits(ProgramTest):
    def difference(self, name, *options):
        folder = model(name)
        reference = read_safetensors(folder / "reference.safetensors")
        ids = ",".join(map(str, reference["input_ids"][1]))
        shape, expected = reference["logits"]
        with tempfile.TemporaryDirectory() as out:
            path = pathlib.Path(out, "logits.safetensors")
            self.good("logits", "-m", folder, "--dtype", "float32", "--precision", "exact", "--ids", ids, "--output", path, *options)
            self.assertEqual([p.name for p in pathlib.Path(out).iterdir()], [path.name])
            found_shape, found = read_safetensors(path)["logits"]
        self.assertEqual(shape[-2:], found_shape)
        return max(abs(a - b) for a, b in zip(expected, found))

    def test_reference_models(self):
        skipped = []
        for name in FOLDERS:
            try:
                model(name)
            except Exception:
                skipped.append(name)
                continue
            for chunk in (64, 5):
                worst = self.difference(name, "--chunk", chunk)
                print(f"{name}, {chunk} at a time: largest difference {worst:.2e}")
                self.assertLess(worst, 1e-3, name)
        if skipped:
            print(f"skipped, no references in {SHARED}: {' '.join(skipped)}")

    def test_prompt_as_text(self):
        folder = model("llama-chat")
        ids = json.loads(self.good("tokenize", "-m", folder, "The river"))
        with tempfile.TemporaryDirectory() as out:
            a, b = pathlib.Path(out, "a"), pathlib.Path(out, "b")
            self.good("logits", "-m", folder, "--prompt", "The river", "-o", a)
            self.good("logits", "-m", folder, "--ids", json.dumps(ids), "-o", b)
            self.assertEqual(a.read_bytes(), b.read_bytes())
            (length,) = struct.unpack_from("<Q", a.read_bytes())
            self.assertEqual(json.loads(a.read_bytes()[8:8 + length])["logits"]["shape"][0], len(ids))

    def test_faults(self):
        folder = model("llama")
        with tempfile.TemporaryDirectory() as out:
            path = pathlib.Path(out, "x")
            self.fails(64, "logits", "-m", folder, "--ids", "1,100000", "--output", path)
            self.fails(73, "logits", "-m", folder, "--ids", "1", "--output", pathlib.Path(out, "no/such/folder"))
            self.assertEqual(list(pathlib.Path(out).iterdir()), [])
            path.write_text("what was there")
            self.fails(64, "logits", "-m", folder, "--ids", "1,100000", "--output", path)
            self.assertEqual(path.read_text(), "what was there")


if __name__ == "__main__":
    program.main()
