"""convert, killed: FOLDER is absent or complete at every moment, and the same command goes on where the last one stopped.

MICA_KILLS says how often (12 by default)."""
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import program
from program import PROGRAM, ProgramTest, model

KILLS = int(os.environ.get("MICA_KILLS", "12"))


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def write_model(folder, layers=4, hidden=512, inner=1536, vocab=16384):
    """A llama with random weights and no tokenizer, large enough that converting it takes a while: 40 MB."""
    folder.mkdir()
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": hidden, "intermediate_size": inner,
              "num_hidden_layers": layers, "num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": vocab,
              "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "torch_dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"model.embed_tokens.weight": [vocab, hidden], "model.norm.weight": [hidden]}
    for i in range(layers):
        at = f"model.layers.{i}."
        shapes |= {at + f"self_attn.{p}_proj.weight": [hidden, hidden] for p in "qkvo"}
        shapes |= {at + f"mlp.{p}_proj.weight": [inner, hidden] for p in ("gate", "up")}
        shapes |= {at + "mlp.down_proj.weight": [hidden, inner]}
        shapes |= {at + f"{p}_layernorm.weight": [hidden] for p in ("input", "post_attention")}
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    # every high byte one of those of numbers between 0.002 and 0.03, of either sign
    signs = bytes(b"\x3b\x3c\xbb\xbc"[i % 4] for i in range(256))
    generator = random.Random(3)
    data = bytearray(generator.randbytes(end))
    data[1::2] = data[1::2].translate(signs)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


class Killed(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = pathlib.Path(folder.name)

    def convert(self, *arguments):
        start = time.monotonic()
        report = json.loads(self.good("convert", *arguments, "--no-evaluate", "--json"))
        return report, time.monotonic() - start

    def kill(self, after, *arguments):
        """Starts converting and kills it; true if it was still running."""
        process = subprocess.Popen([PROGRAM, "convert", *arguments, "--no-evaluate"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL

    def test_absent_or_complete(self):
        source, target, old = model("llama-chat"), self.out / "x", self.out / "old"
        options = ["-q", "affine-4-32", "--max-shard-size", "20KB"]
        _, takes = self.convert(source, target, *options)
        complete = files(target)
        self.convert(source, old)
        before = files(old)
        shutil.rmtree(target)
        seen = {"absent": 0, "old": 0, "complete": 0, "begun": 0}
        generator = random.Random(5)
        for i in range(KILLS):
            replace = i % 2 == 1
            if target.exists():
                shutil.rmtree(target)
            if replace:
                shutil.copytree(old, target)
            self.kill(generator.uniform(0, takes * 1.2), source, target, *options, "--overwrite")
            seen["begun"] += (self.out / ".x.mica-partial").exists()
            if not target.exists():
                self.assertFalse(replace)
                seen["absent"] += 1
                continue
            found = files(target)
            self.assertIn(found, [complete, before] if replace else [complete])
            seen["complete" if found == complete else "old"] += 1
        print(f"killed {KILLS} times: {seen}")
        self.convert(source, target, *options, "--overwrite")
        self.assertEqual(files(target), complete)
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), ["old", "x"])

    def test_goes_on(self):
        source, target, partial = self.out / "source", self.out / "x", self.out / ".x.mica-partial"
        write_model(source)
        options = ["-q", "4", "--max-shard-size", "3MB"]
        first, takes = self.convert(source, target, *options)
        self.assertEqual(first["resumed_bytes"], 0)
        complete = files(target)
        generator = random.Random(6)
        gained, times = [], []
        for i in range(KILLS):
            shutil.rmtree(target, ignore_errors=True)
            self.kill(takes * generator.uniform(0, 1), source, target, *options)
            if target.exists():
                self.assertEqual(files(target), complete)
                continue
            has_record = (partial / ".mica-record").exists()
            report, seconds = self.convert(source, target, *options)
            self.assertEqual(files(target), complete)
            self.assertFalse(partial.exists())
            self.assertEqual(report["layers"], first["layers"])  # the figures, too, are those of the whole
            if not has_record:
                self.assertEqual(report["resumed_bytes"], 0)
            gained.append(report["resumed_bytes"] / report["source_bytes"])
            times.append(seconds)
        gained.sort()
        print(f"killed {KILLS} times, {len(gained)} of them before the end: {[round(g, 2) for g in gained]} was there already")
        self.assertTrue(gained and gained[-1] > 0, gained)

    def test_ends_though_it_is_killed_every_time(self):
        """Never given the time that all of it takes, it gets there."""
        source, target = self.out / "source", self.out / "x"
        write_model(source, vocab=2048)
        options = ["-q", "4", "--max-shard-size", "3MB", "--threads", "1"]
        _, limit = self.convert(source, target, *options)
        complete = files(target)
        attempts = 0
        while attempts < 2:  # a machine that was busy before may do all of it at the first attempt
            shutil.rmtree(target, ignore_errors=True)
            limit *= 0.6
            attempts = 0
            while not target.exists() and attempts < 60:
                self.kill(limit, source, target, *options)
                attempts += 1
        self.assertTrue(target.exists(), "it does not get on")
        self.assertEqual(files(target), complete)
        print(f"given {limit:.2f} s each time: complete after {attempts} attempts")

    def test_another_source(self):
        source, target = self.out / "source", self.out / "x"
        write_model(source)
        record = self.out / ".x.mica-partial/.mica-record"
        for _ in range(20):  # until it is killed in the middle, just when something is recorded
            shutil.rmtree(target, ignore_errors=True)
            process = subprocess.Popen([PROGRAM, "convert", source, target, "-q", "4", "--threads", "1", "--no-evaluate"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and not (size(record) > 100):
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            process.wait()
            if record.exists():
                break
        else:
            self.fail("never killed in the middle")
        weights = source / "model.safetensors"
        stat = weights.stat()
        data = bytearray(weights.read_bytes())
        data[-1000:] = bytes(1000)
        weights.write_bytes(data)
        os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        report, _ = self.convert(source, target, "-q", "4")
        self.assertEqual(report["resumed_bytes"], 0)
        self.convert(source, self.out / "fresh", "-q", "4", "--no-model-card")
        (target / "README.md").unlink()
        self.assertEqual(files(target), files(self.out / "fresh"))


if __name__ == "__main__":
    program.main()
