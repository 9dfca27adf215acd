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
        for word in ("load", "prefill", "decode", "memory", "start"):
            self.assertIn(word, text)
        self.assertNotIn("bandwidth", text)

    def test_lists(self):
        out = self.good("bench", "--json", "-m", model("llama-chat"), "--prompt", "9,40", "--batch", "1,3", "--depth", "0,20", "--threads", "1,2",
                        "--tokens", "5", "--runs", "1", "--no-bandwidth", "--no-start")
        figures = json.loads(out)
        keys = ("threads", "depth", "prompt_tokens", "batch")
        found = [tuple(r[k] for k in keys) for r in figures["results"]]
        self.assertEqual(found, [(t, d, p, b) for t in (1, 2) for d in (0, 20) for p in (9, 40) for b in (1, 3)])
        for r in figures["results"]:
            whole = r["decode_tokens_per_second"]["median"]
            self.assertGreater(whole, 0)
            self.assertAlmostEqual(whole / r["batch"], r["decode_tokens_per_second_per_row"], delta=whole / 1000)
        self.assertEqual({k: figures[k] for k in figures["results"][0]}, figures["results"][0]) # the first stands at the top, too
        self.assertNotIn("start_seconds", figures)

    def test_start(self):
        out = self.good("bench", "--json", "-m", model("llama-chat"), "--prompt", "4", "--tokens", "2", "--runs", "3", "--no-bandwidth")
        start = json.loads(out)["start_seconds"]
        self.assertTrue(0 < start["low"] <= start["median"] <= start["high"] < 60, start)

    def test_bad_lists(self):
        for name, value in (("--batch", "0"), ("--batch", "1,"), ("--prompt", ""), ("--prompt", "1,,2"), ("--threads", "1,300"), ("--depth", "-1"),
                            ("--batch", "1 2"), ("--batch", ",".join(["1"] * 17)), ("--prompt", "99999999999999999999")):
            with self.subTest(name=name, value=value):
                self.fails(64, "bench", "-m", model("llama-chat"), name, value)

    def test_config(self):
        config = str(model("llama-chat") / "config.json")
        for kind, weights in (("affine-4-32", "random affine 4-bit group 32"), ("f16", "random float16"), (None, "random bfloat16")):
            with self.subTest(kind=kind):
                out = self.good("bench", "--json", "--config", config, *(["--quantize", kind] if kind else []), "--depth", "50",
                                "--prompt", "10", "--tokens", "5", "--runs", "2", "--no-bandwidth")
                figures = json.loads(out)
                self.assertNotIn("start_seconds", figures) # nothing that a process of its own could load
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
