"""convert: the bytes that mlx-lm's convert writes, round trips, and what is left behind when it is stopped."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import program
from program import PROGRAM, ProgramTest, SHARED, model, read_safetensors, run, shared

# what mlx-lm calls the modes of the references, and what mica does
MODES = {"plain": [], "mixed_3_6": ["-q", "mixed_3_6-32"]}


def raw_tensors(path):
    """{name: (dtype, shape, bytes)} and the metadata."""
    data = pathlib.Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__", {})
    start = 8 + length
    return {name: (e["dtype"], e["shape"], data[start + e["data_offsets"][0]:start + e["data_offsets"][1]])
            for name, e in header.items()}, metadata


def all_tensors(folder):
    tensors = {}
    for path in sorted(pathlib.Path(folder).glob("model*.safetensors")):
        part, metadata = raw_tensors(path)
        assert not tensors.keys() & part.keys()
        tensors.update(part)
    return tensors, metadata


def read_json(path):
    return json.loads(pathlib.Path(path).read_text())


def split_name(folder):
    for mark in ("-affine", "-mx", "-nvfp4", "-mixed", "-plain"):
        if mark in folder:
            at = folder.index(mark)
            return folder[:at], folder[at + 1:]
    return folder, "plain"


class Convert(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = pathlib.Path(folder.name)

    def logits(self, folder, *options):
        path = self.out / "logits.safetensors"
        self.good("logits", "-m", folder, "--precision", "exact", "--ids", "5,9,17,33,2,8", "--output", path, *options)
        return read_safetensors(path)["logits"][1]

    def distance(self, a, b):
        return max(abs(x - y) for x, y in zip(a, b, strict=True))

    def left(self):
        return sorted(p.name for p in self.out.iterdir())

    # ---- what is written

    def test_same_bytes_as_mlx_lm(self):
        folders = sorted(shared("reference/mlx/models").iterdir())
        skipped = []
        for folder in folders:
            name, mode = split_name(folder.name)
            options = MODES.get(mode, ["-q", mode])
            result = run("convert", shared("reference/models") / name, self.out / folder.name, *options)
            if result.returncode == 65 and "is not supported" in result.stderr:
                skipped.append(folder.name)
                continue
            self.assertEqual(result.returncode, 0, result.stderr)
            theirs, metadata = all_tensors(folder)
            ours, our_metadata = all_tensors(self.out / folder.name)
            self.assertEqual(sorted(theirs), sorted(ours), folder.name)
            self.assertEqual([n for n in theirs if theirs[n] != ours[n]], [], folder.name)
            self.assertEqual(our_metadata, metadata)
            self.assertEqual(read_json(folder / "config.json"), read_json(self.out / folder.name / "config.json"), folder.name)
            self.assertEqual(read_json(folder / "model.safetensors.index.json"),
                             read_json(self.out / folder.name / "model.safetensors.index.json"), folder.name)
        print(f"{len(folders) - len(skipped)} folders of mlx-lm have the same tensors, config.json and index")
        if skipped:
            print(f"not supported yet: {' '.join(skipped)}")

    def test_plain_round_trip(self):
        source, start = model("llama-chat"), None
        before, _ = all_tensors(source)
        for format in ("mlx", "transformers"):
            self.good("convert", source, self.out / format, "--format", format)
            after, metadata = all_tensors(self.out / format)
            self.assertEqual(metadata, {"format": {"mlx": "mlx", "transformers": "pt"}[format]})
            self.assertEqual({n: t for n, t in before.items() if n in after}, after)
            start = start or self.logits(source)
            self.assertEqual(self.logits(self.out / format), start)
            for name in ("tokenizer.json", "tokenizer_config.json"):
                self.assertEqual((self.out / format / name).read_bytes(), (source / name).read_bytes())
        self.assertFalse((self.out / "transformers/model.safetensors.index.json").exists())
        card = (self.out / "mlx/README.md").read_text()
        self.assertIn("library_name: mlx\n", card)
        self.assertIn("tags:\n- mlx\n", card)

    def test_data_is_aligned(self):
        self.good("convert", model("llama"), self.out / "x", "-q", "affine-4-32")
        data = (self.out / "x/model.safetensors").read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + length])
        self.assertEqual((8 + length) % 64, 0)
        for name, entry in header.items():
            if name != "__metadata__" and (entry["data_offsets"][1] - entry["data_offsets"][0]) % 64 == 0:
                self.assertEqual(entry["data_offsets"][0] % 64, 0, name)

    def test_quantize_and_expand(self):
        source = model("llama")
        for mode in ("affine-2-32", "affine-3-32", "affine-4-32", "affine-5-32", "affine-6-32", "affine-8-32", "mxfp4", "mxfp8", "nvfp4"):
            packed, plain = self.out / "packed", self.out / "plain"
            report = json.loads(self.good("convert", source, packed, "-q", mode, "--json", "--overwrite"))
            for kind in report["layers"]:
                self.assertEqual(kind["as"], mode)
                self.assertGreater(kind["relative_error"], 0)
                self.assertLess(kind["relative_error"], 0.6)
                self.assertGreater(kind["largest_error"], kind["mean_error"])
            copy = self.out / "copy"
            self.good("convert", packed, copy, "--overwrite")
            self.assertEqual(all_tensors(packed), all_tensors(copy))
            self.assertEqual(read_json(packed / "config.json"), read_json(copy / "config.json"))
            self.good("convert", packed, plain, "--dequantize", "--overwrite")
            self.assertNotIn("quantization", read_json(plain / "config.json"))
            self.assertNotIn("quantization_config", read_json(plain / "config.json"))
            self.assertEqual({t[0] for t in all_tensors(plain)[0].values()}, {"BF16"})
            # elements are rounded to bfloat16 when they are expanded
            self.assertLess(self.distance(self.logits(packed), self.logits(plain)), 0.2, mode)
        self.good("convert", packed, self.out / "pt", "--format", "transformers")
        self.assertEqual(all_tensors(self.out / "pt")[0], all_tensors(plain)[0])

    def test_search_is_better(self):
        errors = {}
        for quantizer in ("mlx", "search"):
            report = json.loads(self.good("convert", model("llama"), self.out / quantizer, "-q", "affine-4-32", "--quantizer",
                                          quantizer, "--json"))
            errors[quantizer] = {k["name"]: k["mean_error"] for k in report["layers"]}
        for name, error in errors["mlx"].items():
            self.assertLess(errors["search"][name], error, name)

    def test_rules(self):
        rules = self.out / "rules.json"
        rules.write_text('{"lm_head": "affine-8-32", "*.1.self_attn.*": false, "*.down_proj": {"bits": 6, "group_size": 32}}')
        self.good("convert", model("llama"), self.out / "x", "-q", "affine-4-32", "--rules", rules)
        config = read_json(self.out / "x/config.json")["quantization"]
        self.assertEqual(config["lm_head"], {"group_size": 32, "bits": 8, "mode": "affine"})
        self.assertEqual(config["model.layers.2.mlp.down_proj"], {"group_size": 32, "bits": 6, "mode": "affine"})
        names = all_tensors(self.out / "x")[0]
        self.assertNotIn("model.layers.1.self_attn.q_proj.scales", names)
        self.assertIn("model.layers.0.self_attn.q_proj.scales", names)
        self.logits(self.out / "x")
        for text in ("[]", "{", '{"*": 9}', '{"*": {"bits": 4, "group_size": 48}}', '{"*": "mxfp5"}', '{"*": null}'):
            rules.write_text(text)
            self.fails(64, "convert", model("llama"), self.out / "y", "-q", "4", "--rules", rules, says="rule")
        self.assertFalse((self.out / "y").exists())

    def test_shards(self):
        whole, parts = self.out / "whole", self.out / "parts"
        self.good("convert", model("llama"), whole, "-q", "affine-4-32")
        self.good("convert", model("llama"), parts, "-q", "affine-4-32", "--max-shard-size", "20KB")
        self.assertEqual(all_tensors(whole), all_tensors(parts))
        shards = sorted(p.name for p in parts.glob("model-*"))
        self.assertGreater(len(shards), 3)
        self.assertEqual(shards[0], f"model-00001-of-{len(shards):05d}.safetensors")
        index = read_json(parts / "model.safetensors.index.json")
        self.assertEqual(set(index["weight_map"].values()), set(shards))
        for name, shard in index["weight_map"].items():
            self.assertIn(name, raw_tensors(parts / shard)[0])
        self.assertEqual(self.logits(whole), self.logits(parts))

    def test_threads_do_not_matter(self):
        reports = []
        for threads in (1, 2, 3, 7):
            text = self.good("convert", model("llama-chat"), self.out / "x", "-q", "affine-4-32", "--threads", threads, "--overwrite", "--json")
            report = json.loads(text)
            del report["seconds"]
            reports.append((report, {p.name: p.read_bytes() for p in (self.out / "x").iterdir()}))
        for other in reports[1:]:
            self.assertEqual(reports[0], other)

    def test_dtype(self):
        for dtype, name in (("float32", "F32"), ("float16", "F16")):
            self.good("convert", model("llama"), self.out / dtype, "--dtype", dtype)
            self.assertEqual({t[0] for t in all_tensors(self.out / dtype)[0].values()}, {name})
            self.assertEqual(read_json(self.out / dtype / "config.json")["dtype"], dtype)
        self.assertEqual(self.logits(self.out / "float32"), self.logits(model("llama")))

    def test_wrapper(self):
        source = model("gemma3-in-vision-wrapper")
        start = self.logits(source)
        self.good("convert", source, self.out / "mlx")
        self.assertTrue(all(n.startswith("language_model.model.") for n in all_tensors(self.out / "mlx")[0]))
        self.good("convert", source, self.out / "text", "--format", "transformers")
        config = read_json(self.out / "text/config.json")
        self.assertEqual((config["model_type"], config["architectures"]), ("gemma3_text", ["Gemma3ForCausalLM"]))
        for folder in ("mlx", "text"):
            self.assertEqual(self.logits(self.out / folder), start)

    def test_other_formats(self):
        start = None
        for folder in sorted(shared("reference/formats").iterdir()):
            if "malicious" in folder.name:
                self.fails(65, "convert", folder, self.out / "bad")
                self.assertFalse((self.out / "bad").exists())
                continue
            self.good("convert", folder, self.out / folder.name, "-q", "affine-8-32", "--dtype", "float32")
            logits = self.logits(self.out / folder.name)
            start = start or logits
            self.assertLess(self.distance(start, logits), 0.1)

    def test_gguf(self):
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
        file = cache / "mica/models/SmolLM2-135M-Instruct.Q4_1.gguf"
        if not file.exists():
            self.skipTest(f"{file} is not there")
        start = self.logits(file)
        self.good("convert", file, self.out / "kept")
        self.assertEqual(read_json(self.out / "kept/config.json")["quantization"]["group_size"], 32)
        self.assertEqual(self.logits(self.out / "kept"), start)
        text = "Once upon a time, 12345 naïve cats — and dogs.\n"
        self.assertEqual(self.good("tokenize", "-m", file, text), self.good("tokenize", "-m", self.out / "kept", text))
        self.good("convert", file, self.out / "plain", "--format", "transformers", "--dtype", "float32")
        self.assertLess(self.distance(self.logits(self.out / "plain"), start), 1e-3)

    # ---- folders

    def test_faults(self):
        source = model("llama")
        for options in (["-q", "7"], ["-q", "affine-4-48"], ["-q", "mixed_1_2"], ["-q", "4", "--format", "transformers"],
                        ["-q", "4", "--dequantize"], ["--rules", "x"], ["--quantizer", "search"], ["--max-shard-size", "big"],
                        ["--dtype", "int8"]):
            self.fails(64, "convert", source, self.out / "x", *options)
        self.fails(64, "convert", source)
        self.fails(66, "convert", self.out / "nothing", self.out / "x")
        self.fails(65, "convert", source, self.out / "x", "-q", "affine-4-128", says="whole groups")
        self.assertEqual(self.left(), [])

    def test_existing_target(self):
        target = self.out / "x"
        target.mkdir()
        self.good("convert", model("llama"), target)  # an empty folder is as good as none
        first = {p.name: p.read_bytes() for p in target.iterdir()}
        self.fails(73, "convert", model("llama"), target, "-q", "affine-4-32", says="exists already")
        self.assertEqual({p.name: p.read_bytes() for p in target.iterdir()}, first)
        (target / "notes.txt").write_text("mine")
        (target / "model-00007-of-00009.safetensors").write_text("stale")
        self.good("convert", model("llama"), target, "-q", "affine-4-32", "--overwrite")
        self.assertEqual((target / "notes.txt").read_text(), "mine")
        self.assertEqual([p.name for p in target.glob("model*.safetensors")], ["model.safetensors"])
        (target / "sub").mkdir()
        self.fails(73, "convert", model("llama"), target, "--overwrite", says="sub")
        file = self.out / "file"
        file.write_text("")
        self.fails(73, "convert", model("llama"), file, "--overwrite", says="is not a folder")
        self.fails(64, "convert", model("llama"), self.out / "..", says="no name")
        self.assertEqual(self.left(), ["file", "x"])

    def test_onto_itself(self):
        shutil.copytree(model("llama"), self.out / "x")
        for path in (self.out / "x").iterdir():
            path.chmod(0o644)
        self.good("convert", model("llama"), self.out / "y", "-q", "affine-4-32")
        self.good("convert", self.out / "x", self.out / "x", "-q", "affine-4-32", "--overwrite")
        self.assertEqual(all_tensors(self.out / "x"), all_tensors(self.out / "y"))

    def test_read_only(self):
        if os.geteuid() == 0:  # may write everywhere, but for disks that nobody may write
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", self.out], capture_output=True).returncode:
                print("skipped: a read-only disk cannot be mounted here")
                return
            self.addCleanup(subprocess.run, ["umount", self.out], check=True)
            self.fails(73, "convert", model("llama"), self.out / "x", says="Read-only")
            return
        self.out.chmod(0o555)
        self.addCleanup(self.out.chmod, 0o755)
        self.fails(77, "convert", model("llama"), self.out / "x")

    def test_links_out_of_the_folder_are_not_copied(self):
        source = self.out / "source"
        shutil.copytree(model("llama-chat"), source)
        secret = self.out / "secret"
        secret.write_text("secret")
        (source / "LICENSE").symlink_to(secret)
        self.good("convert", source, self.out / "x")
        self.assertFalse((self.out / "x/LICENSE").exists())

    def test_full_disk(self):
        if os.geteuid() != 0:
            print("skipped: only root can mount a small disk")
            return
        disk = self.out / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
            print("skipped: a small disk cannot be mounted here")
            return
        try:
            self.fails(74, "convert", model("llama"), disk / "x", says="disk")
            self.assertEqual(list(disk.iterdir()), [])
        finally:
            subprocess.run(["umount", disk], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
        try:  # room for the weights, not for the tokenizer
            source = self.out / "source"
            shutil.copytree(model("llama"), source)
            (source / "tokenizer.json").write_text("x" * 300000)
            self.fails(74, "convert", source, disk / "x", says="No space")
            self.assertEqual(list(disk.iterdir()), [])
        finally:
            subprocess.run(["umount", disk], check=True)

    def test_interrupted(self):
        process = subprocess.Popen([PROGRAM, "convert", model("llama-chat"), self.out / "x", "-q", "affine-4-32"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        process.send_signal(signal.SIGTERM)
        self.assertIn(process.wait(), (0, 143, -signal.SIGTERM))
        self.assertIn(self.left(), ([], [".x.mica-partial"], ["x"]))  # what was done waits for the same command


if __name__ == "__main__":
    program.main()
