"""--quantize in the verbs that load weights: the same logits as converting first, and what is refused."""
import json
import os
import tempfile

from program import ProgramTest, main, model, read_safetensors

IDS = ("--ids", "1,5,9,200,31,77,2")


class Quantize(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.source = model("llama")

    def logits(self, *arguments):
        out = os.path.join(self.folder, "logits.safetensors")
        self.good("logits", *IDS, "--output", out, *arguments)
        return read_safetensors(out)["logits"]

    def test_same_as_convert(self):
        rules = os.path.join(self.folder, "rules.json")
        with open(rules, "w") as f:
            json.dump({"lm_head": "8-32", "*.v_proj": False}, f)
        for i, more in enumerate(([], ["--quantizer", "search"], ["rules"])):
            target = os.path.join(self.folder, str(i))
            converted, loaded = ([name if word == "rules" else word for word in more] for name in ("--rules", "--quantize-rules"))
            if more == ["rules"]:
                converted.append(rules)
                loaded.append(rules)
            self.good("convert", self.source, target, "-q", "affine-4-32", *converted)
            self.assertEqual(self.logits("-m", target), self.logits("-m", self.source, "-q", "affine-4-32", *loaded))

    def test_every_verb(self):
        info = json.loads(self.good("info", "-m", self.source, "-q", "mxfp4", "--json"))
        self.assertEqual(info["weights"], "mxfp4")
        self.good("generate", "-m", self.source, *IDS, "-q", "nvfp4", "--max-new-tokens", "2")
        self.good("bench", "-m", self.source, "-q", "affine-8-32", "--prompt", "4", "--tokens", "2", "--runs", "1", "--no-bandwidth")

    def test_refused(self):
        self.fails(64, "logits", "-m", self.source, *IDS, "--output", "x", "-q", "7", says="'7'")
        self.fails(64, "info", "-m", self.source, "--quantizer", "search", says="need a quantization")
        self.fails(65, "info", "-m", self.source, "-q", "affine-4-128", says="whole groups of 128")
        self.fails(66, "info", "-m", self.source, "-q", "4", "--quantize-rules", "/no/such/file", says="/no/such/file")


if __name__ == "__main__":
    main()
