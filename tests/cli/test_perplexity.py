"""perplexity: the figures equal those computed here from the logits of `mica logits`, window by window."""
import json
import math
import pathlib
import tempfile

import program
from program import ProgramTest, model, read_safetensors

TEXT = "The river was low that summer, and the boats stayed where they were. Nobody minded; there was time, and the fish did not mind either. " * 3


def log_softmax(row):
    most = max(row)
    norm = most + math.log(sum(math.exp(v - most) for v in row))
    return [v - norm for v in row]


def mean_and_error(values):
    n = len(values)
    mean = sum(values) / n
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / n / (n - 1))


class Perplexity(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = pathlib.Path(folder.name)

    def rows(self, folder, ids, *options):
        path = self.out / "logits.safetensors"
        self.good("logits", "-m", folder, "--ids", json.dumps(ids), "--output", path, *options)
        (n, vocab), values = read_safetensors(path)["logits"]
        return [log_softmax(values[i * vocab:(i + 1) * vocab]) for i in range(n)]

    def expected(self, folder, ids, prefix, window, stride, *options):
        """[(token, log distribution)] of every scored position."""
        scored, begin, out = 0, 0, []
        room = window - len(prefix)
        while scored < len(ids):
            end = min(begin + room, len(ids))
            text = prefix + ids[begin:end]
            rows = self.rows(folder, text, *options)
            for i in range(max(scored - begin + len(prefix), 1), len(text)):
                out.append((text[i], rows[i - 1]))
            scored = end
            begin += stride
        return out

    def ids(self, folder):
        plain = json.loads(self.good("tokenize", "-m", folder, "--no-special-tokens", TEXT))
        marked = json.loads(self.good("tokenize", "-m", folder, TEXT))
        return plain, marked[:len(marked) - len(plain)]

    def test_against_logits(self):
        for name in ("llama-chat", "qwen3-chat", "gemma-chat"):
            try:
                folder = model(name)
            except Exception:
                print(f"skipped: no {name}")
                continue
            ids, prefix = self.ids(folder)
            text = self.out / "text"
            text.write_text(TEXT)
            for window, stride in ((48, 16), (40, None), (1024, 512)):
                options = ["--window", window] + (["--stride", stride] if stride else [])
                found = json.loads(self.good("perplexity", "-m", folder, text, "--json", "--precision", "exact", *options))
                scored = self.expected(folder, ids, prefix, window, stride or window // 2, "--precision", "exact")
                nll, error = mean_and_error([-row[token] for token, row in scored])
                self.assertEqual(found["positions"], len(scored))
                self.assertAlmostEqual(found["nll"], nll, delta=1e-6)
                self.assertAlmostEqual(found["nll_error"], error, delta=1e-6)
                self.assertAlmostEqual(found["perplexity"], math.exp(nll), delta=1e-4)

    def test_divergence(self):
        folder = model("llama-chat")
        ids, prefix = self.ids(folder)
        self.good("convert", folder, self.out / "x", "-q", "affine-4-32", "--no-evaluate")
        found = json.loads(self.good("perplexity", "-m", self.out / "x", "--reference", folder, "--json", "--precision", "exact",
                                     "--text", TEXT, "--window", "32", "--stride", "16"))
        ours = self.expected(self.out / "x", ids, prefix, 32, 16, "--precision", "exact")
        theirs = self.expected(folder, ids, prefix, 32, 16, "--precision", "exact")
        divergences = [sum(math.exp(q) * (q - p) for p, q in zip(x, y)) for (_, x), (_, y) in zip(ours, theirs)]
        kl, error = mean_and_error(divergences)
        self.assertGreater(kl, 1e-4)
        self.assertAlmostEqual(found["kl"], kl, delta=1e-6)
        self.assertAlmostEqual(found["kl_error"], error, delta=1e-6)
        self.assertAlmostEqual(found["kl_max"], max(divergences), delta=1e-5)
        same = sum(x.index(max(x)) == y.index(max(y)) for (_, x), (_, y) in zip(ours, theirs)) / len(ours)
        self.assertAlmostEqual(found["top1_agreement"], same, delta=1e-9)
        change, error = mean_and_error([y[t] - x[t] for (t, x), (_, y) in zip(ours, theirs)])
        self.assertAlmostEqual(found["nll_change"], change, delta=1e-6)
        self.assertAlmostEqual(found["nll_change_error"], error, delta=1e-6)
        self.assertAlmostEqual(found["reference_nll"] + found["nll_change"], found["nll"], delta=2e-9)  # of ten digits each

    def test_with_itself(self):
        folder = model("llama-chat")
        found = json.loads(self.good("perplexity", "-m", folder, "--text", TEXT, "--reference", folder, "--json"))
        self.assertEqual((found["kl"], found["kl_max"], found["nll_change"], found["top1_agreement"]), (0, 0, 0, 1))
        table = self.good("perplexity", "-m", folder, "--text", TEXT, "--reference-precision", "exact")
        self.assertIn("KL divergence", table)
        self.assertNotIn("KL divergence", self.good("perplexity", "-m", folder, "-", stdin=TEXT))

    def test_threads_do_not_matter(self):
        found = []
        for threads in (1, 2, 5):
            r = json.loads(self.good("perplexity", "-m", model("llama-chat"), "--text", TEXT, "--json", "--threads", threads))
            del r["seconds"]
            found.append(r)
        self.assertEqual(found[0], found[1])
        self.assertEqual(found[0], found[2])

    def test_faults(self):
        folder = model("llama-chat")
        self.fails(64, "perplexity", "-m", folder, "--text", "")
        self.fails(64, "perplexity", "-m", folder, "--text", TEXT, "--window", "8", "--stride", "9")
        self.fails(64, "perplexity", "-m", folder, "--text", TEXT, "--window", "1")
        self.fails(64, "perplexity", "-m", folder, self.out / "x", "--text", TEXT)
        self.fails(66, "perplexity", "-m", folder, self.out / "nothing")
        self.fails(64, "perplexity", "-m", folder, "--text", TEXT, "--reference", model("llama"), says="vocabulary")
        (self.out / "latin1").write_bytes(b"caf\xe9 au lait")
        self.fails(64, "perplexity", "-m", folder, self.out / "latin1")


if __name__ == "__main__":
    program.main()
