"""bench: the figures are there and make sense."""
import json

import program
from program import ProgramTest, model


class Bench(ProgramTest):
    def test_json(self):
        out = self.good("bench", "--json", "-m", model("llama-chat"), "--prompt", "40", "--tokens", "20", "--runs", "2", "--threads", "1")
        figures = json.loads(out)
        self.assertEqual((figures["prompt_tokens"], figures["new_tokens"], figures["runs"], figures["threads"]), (40, 20, 2, 1))
        for name in ("prefill_tokens_per_second", "decode_tokens_per_second"):
            rate = figures[name]
            self.assertTrue(0 < rate["low"] <= rate["median"] <= rate["high"], rate)
        self.assertGreater(figures["peak_bytes"], 1e6)
        self.assertGreater(figures["bandwidth_bytes_per_second"], 1e8)
        self.assertGreater(figures["bandwidth_fraction"], 0) # above 1 where the whole model sits in a cache

    def test_table(self):
        text = self.good("bench", "-m", model("llama-chat"), "--prompt", "10", "--tokens", "5", "--runs", "1", "--no-bandwidth")
        for word in ("load", "prefill", "decode", "memory"):
            self.assertIn(word, text)
        self.assertNotIn("bandwidth", text)

    def test_config(self):
        config = str(model("llama-chat") / "config.json")
        for kind, weights in (("affine-4-32", "random affine 4-bit group 32"), ("f16", "random float16"), (None, "random bfloat16")):
            with self.subTest(kind=kind):
                out = self.good("bench", "--json", "--config", config, *(["--quantize", kind] if kind else []), "--depth", "50",
                                "--prompt", "10", "--tokens", "5", "--runs", "2", "--no-bandwidth")
                figures = json.loads(out)
                self.assertEqual((figures["weights"], figures["depth"], figures["prompt_tokens"]), (weights, 50, 10))
                self.assertGreater(figures["decode_tokens_per_second"]["low"], 0)

    def test_config_errors(self):
        config = str(model("llama-chat") / "config.json")
        self.fails(64, "bench", "--config", config, "-m", model("llama-chat"))
        self.fails(64, "bench", "-m", model("llama-chat"), "--quantize", "7")
        self.fails(64, "bench", "--config", config, "--quantize", "affine-7-64")
        self.fails(66, "bench", "--config", config + ".missing")


if __name__ == "__main__":
    program.main()
