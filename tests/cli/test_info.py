"""info: the table and the JSON object; models that are broken."""
import json
import pathlib
import shutil
import tempfile

import program
from program import ProgramTest, model


class Info(ProgramTest):
    def test_json(self):
        folder = model("llama-chat")
        config = json.loads((folder / "config.json").read_text())
        info = json.loads(self.good("info", "--json", "-m", folder))
        self.assertEqual(info["model"], str(folder))
        self.assertEqual(info["model_type"], "llama")
        self.assertEqual(info["format"], "safetensors")
        self.assertEqual(info["layers"], config["num_hidden_layers"])
        self.assertEqual(info["hidden_size"], config["hidden_size"])
        self.assertEqual(info["context"], config["max_position_embeddings"])
        self.assertTrue(info["tokenizer"] and info["chat_template"])
        self.assertGreater(info["parameters"], 1000)

    def test_table(self):
        text = self.good("info", model("llama"))
        for word in ("architecture", "llama", "parameters", "context", "missing", "tokenizer"):
            self.assertIn(word, text)
        self.fails(64, "info", "-m", "a", "b")

    def test_broken_models(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder, "model")
            self.fails(66, "info", folder)
            shutil.copytree(model("llama"), copy)
            config = (copy / "config.json").read_text()
            for text in ("", "{", "[]", '{"model_type": "no-such-model"}', config.replace('"hidden_size"', '"hidden_sizes"')):
                (copy / "config.json").write_text(text)
                self.fails(65, "info", copy)
            (copy / "config.json").write_text(config)
            weights = copy / "model.safetensors"
            data = weights.read_bytes()
            for broken in (b"", data[:7], data[:100], data[:-1], b"\xff" * 8 + data[8:]):
                weights.write_bytes(broken)
                self.fails(65, "info", copy)
            pathlib.Path(folder, "x.gguf").write_bytes(b"GGUF")
            self.fails(65, "info", pathlib.Path(folder, "x.gguf"))


if __name__ == "__main__":
    program.main()
