"""mica download against a Hub of our own: what is fetched and how, what is refused, what survives interruptions."""
import json
import math
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hub"))

import hub_test  # noqa: E402
from hub_server import Fault  # noqa: E402
from hub_test import HubTest, content, layout, model_files  # noqa: E402
from program import PROGRAM  # noqa: E402

ID = "org/name"
MIB = 1 << 20


class Whole(HubTest):
    def setUp(self):
        super().setUp()
        self.files = {"config.json": b"{}", "README.md": b"# hello\n", "empty.txt": b"", "a/b/deep.txt": b"deep",
                      "model.safetensors": content(3 * MIB), "odd name +%.txt": b"odd"}
        self.commit = self.hub.add(ID, self.files)

    def test_content_and_layout(self):
        folder = self.download(ID)
        self.assertEqual(folder, self.cache / "models--org--name/snapshots" / self.commit)
        self.check_snapshot(folder, self.files)
        self.assertEqual((self.cache / "models--org--name/refs/main").read_bytes(), self.commit.encode())
        self.check_nothing_left()

    def test_again_is_one_request(self):
        self.download(ID)
        before = len(self.hub.log)
        self.download(ID)
        self.assertEqual([r.path for r in self.requests(before)], [f"/api/models/{ID}/revision/main"])
        self.download(ID, "--revision", self.commit)
        self.assertEqual(len(self.hub.log), before + 1)
        self.download(ID, HF_HUB_OFFLINE=1)
        self.download(ID, "--local-only")
        self.assertEqual(len(self.hub.log), before + 1)

    def test_revisions(self):
        pull = self.hub.add(ID, {"config.json": b"other"}, ref="refs/pr/3")
        self.check_snapshot(self.download(ID, "--revision", "refs/pr/3"), {"config.json": b"other"})
        self.assertEqual((self.cache / "models--org--name/refs/refs/pr/3").read_text(), pull)
        self.check_snapshot(self.download(ID, "--revision", self.commit), self.files)
        self.assertFalse((self.cache / "models--org--name/refs/main").exists())
        self.assertFalse((self.cache / "models--org--name/refs" / self.commit).exists())
        self.refused(66, "download", ID, "--revision", "nowhere", says="no revision 'nowhere'")

    def test_a_new_commit_shares_what_did_not_change(self):
        self.download(ID)
        before = len(self.hub.log)
        second = self.hub.add(ID, {**self.files, "README.md": b"# changed\n"})
        self.check_snapshot(self.download(ID), {**self.files, "README.md": b"# changed\n"})
        self.assertEqual((self.cache / "models--org--name/refs/main").read_text(), second)
        self.assertEqual([r.path for r in self.requests(before, lambda r: "resolve" in r.path)],
                         [f"/{ID}/resolve/{second}/README.md"])

    def test_patterns_and_json(self):
        answer = json.loads(self.good("download", ID, "--include", "*.json", "--include", "a/", "--json", env=self.env()))
        self.check_snapshot(pathlib.Path(answer["path"]), {k: self.files[k] for k in ("config.json", "a/b/deep.txt")})
        self.assertEqual((answer["files"], answer["bytes"], answer["commit"]), (2, 6, self.commit))
        self.download(ID, "--exclude", "*.safetensors", "--exclude", "*.md")
        self.assertEqual(self.requests(0, lambda r: "README" in r.path or r.server == "storage"), [])
        self.refused(66, "download", ID, "--include", "*.gguf")

    def test_places(self):
        for variables, where in (({"HF_HOME": "", "HF_HUB_CACHE": self.home / "x"}, "x"), ({"HF_HOME": self.home / "y"}, "y/hub"),
                                 ({"HF_HOME": "~/$NAME", "NAME": "z"}, "z/hub"), ({"HF_HOME": ""}, ".cache/huggingface/hub")):
            self.assertTrue(self.download(ID, "--include", "*.md", **variables).is_relative_to(self.home / where))
        self.assertTrue(self.download(ID, "--include", "*.md", "--cache-dir", self.home / "c").is_relative_to(self.home / "c"))

    def test_force(self):
        self.download(ID)
        before = self.hub.body_bytes()
        self.check_snapshot(self.download(ID, "--force"), self.files)
        self.assertGreater(self.hub.body_bytes() - before, 3 * MIB)

    def test_no_links(self):
        self.check_snapshot(self.download(ID, HF_HUB_DISABLE_SYMLINKS=1), self.files)
        self.assertFalse(any(p.is_symlink() for p in self.cache.rglob("*")))
        before = len(self.hub.log)
        self.download(ID, HF_HUB_DISABLE_SYMLINKS=1)
        self.assertEqual(len(self.hub.log), before + 1)

    def test_storage_of_the_other_protocol(self):
        """Xet: what the answers say about it does not confuse us, and resolve leads to plain https all the same."""
        self.hub.xet = True
        self.check_snapshot(self.download(ID), self.files)
        self.check_nothing_left()
        self.assertEqual(self.requests(0, lambda r: "xet" in r.path), [])
        tree = json.loads((self.cache / "models--org--name/trees" / f"{self.commit}.json").read_text())
        self.assertEqual(len(tree["files"]["model.safetensors"]["xet_hash"]), 64)

    def test_a_listing_of_many_pages(self):
        self.hub.page = 2
        self.check_snapshot(self.download(ID), self.files)

    def test_quiet(self):
        result = self.run_mica("download", ID)
        self.assertEqual(result.stderr, "")


class Models(HubTest):
    def test_generate_fetches_what_it_needs(self):
        files = model_files()
        self.hub.add(ID, {**files, "pytorch_model.bin": b"x", "original/consolidated.pth": b"x", "onnx/m.onnx": b"x", "a.gguf": b"x"})
        out = self.good("generate", "-m", ID, "--ids", "1,2,3", "--max-new-tokens", "4", env=self.env())
        self.assertEqual(len(json.loads(out)), 4)
        asked = {r.path.split("/", 5)[-1] for r in self.requests(0, lambda r: "/resolve/" in r.path)}
        self.assertLessEqual(asked, set(files))
        before = len(self.hub.log)
        self.good("generate", "-m", ID, "--ids", "1,2,3", "--max-new-tokens", "4", env=self.env(HF_HUB_OFFLINE=1))
        self.assertEqual(len(self.hub.log), before)

    def test_shards(self):
        index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
        files = {"config.json": b"{}", "model.safetensors.index.json": json.dumps(index).encode(),
                 "model-00001-of-00002.safetensors": content(1000, 1), "model-00002-of-00002.safetensors": content(1000, 2),
                 "consolidated.safetensors": content(1000, 3)}
        commit = self.hub.add(ID, files)
        folder = self.download(ID, "--files", "model")
        self.check_snapshot(folder, {k: v for k, v in files.items() if k != "consolidated.safetensors"})
        (folder / "model-00002-of-00002.safetensors").unlink()
        self.refused(66, "download", ID, "--files", "model", "--revision", commit, says="model-00002-of-00002", HF_HUB_OFFLINE=1)
        shutil.rmtree(self.cache / "models--org--name/trees")
        self.refused(66, "download", ID, "--files", "model", "--revision", commit, says="model-00002-of-00002", HF_HUB_OFFLINE=1)

    def test_unsafe_shards(self):
        for name in ("../../x", "/etc/passwd", "a\\..\\b", "C:x", "nul"):
            self.hub.add(ID, {"config.json": b"{}", "model.safetensors.index.json":
                              json.dumps({"weight_map": {"a": name}}).encode()})
            self.refused(65, "generate", "-m", ID, "--ids", "1", says="unsafe")

    def test_what_is_no_model(self):
        self.hub.add(ID, {"README.md": b"#"})
        self.refused(66, "generate", "-m", ID, "--ids", "1", says="config.json")
        self.hub.add(ID, {"config.json": b"{}"})
        self.refused(66, "generate", "-m", ID, "--ids", "1", says="weights")
        self.hub.add(ID, {"x.gguf": b"#"})
        self.refused(65, "generate", "-m", ID, "--ids", "1", says="x.gguf")

    def test_tokenizer_only(self):
        files = model_files()
        self.hub.add(ID, files)
        self.good("tokenize", "-m", ID, "hello", env=self.env())
        self.assertEqual(self.requests(0, lambda r: "model.safetensors" in r.path), [])

    def test_complete_commits_cost_no_request(self):
        files = {k: v for k, v in model_files().items() if k != "reference.json"}
        commit = self.hub.add(ID, files)
        folder = self.cache / "models--org--name/snapshots" / commit
        folder.mkdir(parents=True)
        for path, data in files.items():  # as a program without links or listings would leave it
            (folder / path).write_bytes(data)
        self.good("generate", "-m", ID, "--revision", commit, "--ids", "1,2", "--max-new-tokens", "1", env=self.env())
        self.assertEqual(self.hub.log, [])

    def test_subfolders_stay_apart(self):
        self.hub.add(ID, {"config.json": b"{}", "model.safetensors": b"x" * 100, "sub/config.json": b"{1}", "sub/model.safetensors": b"y"})
        folder = self.download(ID, "--files", "model")
        self.assertFalse((folder / "sub").exists())


def gguf_of_a_model():
    """A GGUF file of a tiny Llama without a tokenizer."""
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()

    numbers = {"block_count": 1, "context_length": 64, "embedding_length": 32, "feed_forward_length": 64, "attention.head_count": 2,
               "vocab_size": 8}
    fields = [text("general.architecture") + struct.pack("<I", 8) + text("llama"),
              text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5)]
    fields += [text(f"llama.{k}") + struct.pack("<II", 4, v) for k, v in numbers.items()]
    square, wide, tall = (32, 32), (32, 64), (64, 32)  # ne[0] first
    shapes = {"token_embd": (32, 8), "output_norm": (32,)} | {f"blk.0.{k}": v for k, v in {
        "attn_norm": (32,), "ffn_norm": (32,), "attn_q": square, "attn_k": square, "attn_v": square, "attn_output": square,
        "ffn_gate": wide, "ffn_up": wide, "ffn_down": tall}.items()}
    tensors, at = [], 0
    for name, shape in shapes.items():
        tensors.append(text(name + ".weight") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, at))
        at += 4 * math.prod(shape)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields)) + b"".join(fields + tensors)
    return head + bytes(-len(head) % 32 + at)


class Gguf(HubTest):
    """Repositories of GGUF files."""

    def setUp(self):
        super().setUp()
        self.model = gguf_of_a_model()

    def add(self, *names):
        self.names = names
        return self.hub.add(ID, {"README.md": b"#", "mmproj-F16.gguf": b"#", "m.imatrix.gguf": b"#",
                                 **{name: self.model[:-1] + bytes([k]) for k, name in enumerate(names)}})

    def chosen(self, name=ID, *more, **environment):
        return self.download(name, "--files", "model", *more, **environment).name

    def test_the_only_one(self):
        commit = self.add("Name.Q8_0.gguf")
        before = len(self.hub.log)
        self.good("info", "-m", ID, env=self.env())
        self.assertEqual([r.path for r in self.requests(before, lambda r: "resolve" in r.path)], [f"/{ID}/resolve/{commit}/Name.Q8_0.gguf"])
        before = len(self.hub.log)
        self.good("info", "-m", ID, "--revision", commit, env=self.env())
        self.good("info", "-m", ID, env=self.env(HF_HUB_OFFLINE=1))
        self.assertEqual(len(self.hub.log), before)

    def test_one_of_several(self):
        self.add("Name-Q4_K_M.gguf", "Name-Q4_K_S.gguf", "Name-UD-Q4_K_XL.gguf", "Name-Q8_0.gguf", "bf16/Name.gguf")
        for tag, name in (("Q8_0", "Name-Q8_0.gguf"), ("q4_k_s", "Name-Q4_K_S.gguf"), ("Q4_K_XL", "Name-UD-Q4_K_XL.gguf"),
                          ("Name-Q8_0.gguf", "Name-Q8_0.gguf"), ("bf16", "Name.gguf"), ("bf16/Name.gguf", "Name.gguf")):
            self.assertEqual(self.chosen(f"{ID}:{tag}"), name)
            self.assertEqual(self.chosen(ID, "--gguf-file", tag), name)
            self.assertEqual(self.chosen(f"{ID}:{tag}", HF_HUB_OFFLINE=1), name)
        result = self.run_mica("download", ID, "--files", "model")
        self.assertIn("Name-Q4_K_M.gguf", result.stdout)
        self.assertIn("several GGUF files", result.stderr)
        self.assertEqual({r.path.rsplit("/", 1)[-1] for r in self.requests(0, lambda r: "resolve" in r.path)},
                         {name.rsplit("/", 1)[-1] for name in self.names})
        for tag in ("Q4_K", "K_M", "8_0", "mmproj-F16", "nothing", "*"):
            line = self.refused(66, "info", "-m", f"{ID}:{tag}", says=f"'{tag}'")
            self.assertIn("Name-Q4_K_S.gguf", line)

    def test_ambiguous(self):
        self.add("a-Q4_0.gguf", "b-Q4_0.gguf", "c-Q5_0.gguf")
        for name in (ID, f"{ID}:Q4_0"):
            line = self.refused(64, "info", "-m", name, says="a-Q4_0.gguf, b-Q4_0.gguf")
            self.assertEqual("c-Q5_0" in line, name == ID)
        self.add(*(f"{'long' * 8}-{k}.gguf" for k in range(99)))
        self.refused(64, "info", "-m", ID, says=" more")
        self.assertEqual(self.requests(0, lambda r: "resolve" in r.path), [])

    def test_parts(self):
        parts = [f"Q6_K/n-Q6_K-0000{k}-of-00003.gguf" for k in (1, 2, 3)]
        self.add(*parts, "n-Q2_K.gguf")
        folder = self.download(f"{ID}:Q6_K").parent
        self.assertEqual(sorted(p.name for p in folder.iterdir()), [p.split("/")[1] for p in parts])
        self.assertEqual(self.chosen(f"{ID}:Q6_K", HF_HUB_OFFLINE=1), "n-Q6_K-00001-of-00003.gguf")
        self.add(parts[0], parts[2])
        self.refused(66, "download", f"{ID}:Q6_K", says="00002-of-00003")

    def test_beside_a_model(self):
        files = model_files()
        self.hub.add(ID, {**files, "x-Q4_0.gguf": self.model})
        self.good("generate", "-m", ID, "--ids", "1,2", "--max-new-tokens", "1", env=self.env())
        self.assertEqual(self.requests(0, lambda r: "gguf" in r.path), [])
        self.assertEqual(self.chosen(f"{ID}:Q4_0"), "x-Q4_0.gguf")

    def test_what_others_fetched(self):
        commit = self.add("Name-Q8_0.gguf", "Name-Q2_K.gguf")
        folder = self.cache / "models--org--name/snapshots" / commit
        folder.mkdir(parents=True)
        (folder / "Name-Q8_0.gguf").write_bytes(self.model)
        self.good("info", "-m", f"{ID}:Q8_0", "--revision", commit, env=self.env())
        self.assertEqual(self.hub.log, [])
        self.good("info", "-m", ID, "--revision", commit, env=self.env(HF_HUB_OFFLINE=1))
        self.refused(66, "info", "-m", f"{ID}:Q2_K", "--revision", commit, HF_HUB_OFFLINE=1, says="Q2_K")

    def test_names(self):
        for name in ("a/b/c:Q4", ":Q4", "org/name:", "../x:Q4"):
            self.assertIn(self.run_mica("download", name).returncode, (64,), name)
            self.assertIn(self.run_mica("info", "-m", name).returncode, (66,), name)
        folder = self.home / "folder"
        folder.mkdir()
        (folder / "m.gguf").write_bytes(self.model)
        self.good("info", "-m", folder, "--gguf-file", "m.gguf", env=self.env())
        self.refused(66, "info", "-m", folder, "--gguf-file", "n.gguf", says="n.gguf")


class Refusals(HubTest):
    def test_ids(self):
        for name in ("../../x", "a/../b", "a//b", "/abs", "C:\\x", "\\\\host\\x", "x" * 300, "%2e%2e", "name.", "-name", "a/b/c",
                     "a--b", "x.git", "a b", "", "name\n", "é"):
            line = self.run_mica("download", "--", name)
            self.assertEqual(line.returncode, 64, (name, line.stderr))
        for revision in ("../x", "/x", "a//b", "a\\b", "x" * 300, "-x", "..", "a/../b", "a\nb", ""):
            self.assertEqual(self.run_mica("download", ID, "--revision=" + revision).returncode, 64, revision)
        self.assertEqual(self.hub.log, [])
        self.assertFalse(self.cache.exists())

    def test_missing_private_gated(self):
        self.hub.add(ID, {"config.json": b"{}"}, private=True)
        self.refused(66, "download", "org/other", says="HF_TOKEN")
        self.refused(66, "download", ID, says="private")
        self.refused(66, "download", "org/other", HF_TOKEN="hf_good")
        self.refused(77, "download", ID, HF_TOKEN="hf_unknown", says="settings/tokens")
        self.download(ID, HF_TOKEN="hf_good")
        self.hub.add("org/gated", {"config.json": b"{}"}, gated=True)
        line = self.refused(77, "download", "org/gated", says="/org/gated")
        self.assertIn("HF_TOKEN", line)
        self.hub.tokens["hf_other"] = {"name": "other", "write": True, "read": set()}
        self.assertNotIn("HF_TOKEN", self.refused(77, "download", "org/gated", HF_TOKEN="hf_other", says="/org/gated"))

    def test_tokens(self):
        self.hub.add(ID, {"config.json": b"{}", "m.safetensors": content(9000)}, private=True)
        (self.home / "token").write_text(" hf_good\r\n")
        self.download(ID)
        self.assertEqual({r.token for r in self.requests(0, lambda r: r.server == "hub")}, {"hf_good"})
        self.assertEqual({r.token for r in self.requests(0, lambda r: r.server == "storage")}, {None})
        self.refused(77, "download", ID, "--force", HF_TOKEN="hf_unknown")
        shutil.rmtree(self.cache)
        self.refused(66, "download", ID, HF_HUB_DISABLE_IMPLICIT_TOKEN=1)
        before = len(self.hub.log)
        for token in ("two words", "hf_\u00fc", "hf_\x01x", "x" * 5000):
            self.refused(64, "download", ID, HF_TOKEN=token, says="HF_TOKEN holds no token")
        self.assertEqual(len(self.hub.log), before)

    def test_a_server_that_repeats_the_token(self):
        def echo(handler, request):
            handler.error(403, message=f"no access for {request.token}")
            return True
        self.hub.rules.append(echo)
        self.refused(77, "download", ID, HF_TOKEN="hf_very_secret_token")

    def test_unsafe_listings(self):
        for name in ("../x", "../../x", "/abs", "a/../../x", "a\\..\\x", "C:\\x", "C:x", "./x", "a//b", "a/./b", "x/", "nul", "COM1.txt",
                     "a\x00b", "a\nb", "..", "x" * 300, "con", "a/.. /b"):
            self.hub.add(ID, {"config.json": b"{}", name: b"evil"})
            self.refused(65, "download", ID, says="unsafe file name")
        self.assertFalse(list(self.cache.rglob("config.json")))
        self.hub.add(ID, {"a": b"1", "a/b": b"2"})
        self.refused(65, "download", ID, says="file and a folder")

    def test_bad_listings(self):
        listing = []

        def rule(handler, request):
            if "/tree/" in request.path:
                handler.reply(200, listing[0])
                return True
            return False
        self.hub.add(ID, {"config.json": b"{}"})
        self.hub.rules.append(rule)
        entry = {"type": "file", "path": "a", "size": 1, "oid": "0" * 40}
        for body in (b"", b"{", b"{}", b"[1]", b"[" * 100000, json.dumps([{**entry, "size": 1 << 63}]).encode(),
                     json.dumps([{**entry, "size": -1}]).encode(), json.dumps([{**entry, "oid": "../../x"}]).encode(),
                     json.dumps([{**entry, "lfs": {"oid": "x" * 64, "size": 1}}]).encode(),
                     json.dumps([{**entry, "path": f"f{i}"} for i in range(100001)]).encode()):
            listing[:] = [body]
            self.refused(65, "download", ID)

    def test_redirects(self):
        place = []

        def rule(handler, request):
            if "/resolve/" in request.path or request.path.startswith("/loop"):
                handler.reply(302, b"", {"Location": place[0]})
                return True
            return False
        self.hub.add(ID, {"config.json": b"{}"})
        self.hub.rules.append(rule)
        for where in ("/loop", "https://10.0.0.1/x", "http://192.168.1.1/x", "file:///etc/passwd", "https://127.0.0.1:1/x",
                      "http://169.254.169.254/latest", "http://[fe80::1]/x", "gopher://x/", "https://0x7f.1/x", "https://[::ffff:10.0.0.1]/"):
            place[:] = [where]
            before, start = len(self.hub.log), time.monotonic()
            self.refused(69, "download", ID)
            self.assertLess(len(self.hub.log) - before, 100)
            self.assertLess(time.monotonic() - start, 20)

    def test_a_renamed_repository(self):
        def rule(handler, request):
            if "/old/name" in request.path:
                handler.reply(307, b"", {"Location": request.path.replace("/old/name", "/org/name")})
                return True
            return False
        self.hub.rules.append(rule)
        self.hub.add(ID, {"config.json": b"{}"})
        self.assertIn("models--old--name", str(self.download("old/name")))

    def test_no_server(self):
        self.hub.close()
        self.refused(69, "download", ID, says="cannot reach")
        self.refused(66, "download", ID, HF_HUB_OFFLINE=1, says="HF_HUB_OFFLINE")
        self.refused(64, "download", ID, HF_ENDPOINT="ftp://x")

    def test_hostile_cache(self):
        self.hub.add(ID, {"config.json": b"{}"})
        folder = self.download(ID)
        blob = folder / os.readlink(folder / "config.json")
        shutil.move(blob, self.home / "elsewhere")
        blob.symlink_to(self.home / "elsewhere")
        self.refused(65, "download", ID, says="leads out")
        (self.cache / "models--org--name/refs/main").write_text("../../x")
        self.refused(65, "download", ID, HF_HUB_OFFLINE=1, says="holds no commit")


class Network(HubTest):
    """Servers and connections that fail in every way."""

    def setUp(self):
        super().setUp()
        self.files = {"config.json": b"{}" * 500, "model.safetensors": content(20 * MIB)}
        self.commit = self.hub.add(ID, self.files)

    def fetch(self, most=1.1, faults=(), **more):
        self.hub.faults[:] = faults
        self.check_snapshot(self.download(ID, **more), self.files)
        self.assertLessEqual(self.hub.body_bytes(), most * sum(map(len, self.files.values())))
        self.check_nothing_left()

    def test_cut_and_reset(self):
        self.fetch(faults=[Fault("*", kind, times=8, at=700000) for kind in ("cut", "reset")])

    def test_many_cuts_of_one_file(self):
        self.fetch(faults=[Fault("*", "cut", times=40, at=300000)])

    def test_busy_servers(self):
        self.fetch(faults=[Fault("*", "status", times=2, status=503), Fault("*", "status", times=2, status=503)])

    def test_retry_after(self):
        start = time.monotonic()
        self.fetch(faults=[Fault("*.json", "status", times=1, status=429, headers={"Retry-After": "2"})])
        self.assertGreater(time.monotonic() - start, 2)

    def test_a_spent_allowance(self):
        start = time.monotonic()
        self.fetch(faults=[Fault("*.json", "status", times=1, status=429, headers={"RateLimit": '"resolvers";r=0;t=2'})])
        self.assertGreater(time.monotonic() - start, 2)

    def test_the_api_is_busy(self):
        left = [2]

        def rule(handler, request):
            if left[0] and request.path.startswith("/api"):
                left[0] -= 1
                handler.error(503)
                return True
            return False
        self.hub.rules.append(rule)
        self.fetch()

    def test_no_ranges(self):
        self.fetch(faults=[Fault("*", "no_range", times=-1)])

    def test_no_ranges_and_a_cut(self):
        self.fetch(2.5, [Fault("*", "cut", times=1, at=15 * MIB), Fault("*", "no_range", times=-1)])

    def test_ranges_now_and_then(self):
        self.fetch(2.5, [Fault("*", "wrong_range", times=1), Fault("*", "chunked", times=2)])

    def test_stall(self):
        self.fetch(faults=[Fault("*", "stall", times=1, at=1000, rate=30)], HF_HUB_DOWNLOAD_TIMEOUT=1)

    def test_a_server_that_sends_a_byte_now_and_then(self):
        """Nobody waits for it longer than for one that says nothing."""
        def trickle(handler, request):
            handler.send_response(200)
            handler.send_header("Content-Length", "100")
            handler.end_headers()
            for _ in range(100):
                handler.wfile.write(b" ")
                time.sleep(0.1)
            return True

        self.hub.rules.append(trickle)
        start = time.monotonic()
        self.refused(69, "download", ID, says="does not answer", HF_HUB_ETAG_TIMEOUT=1)
        self.assertLess(time.monotonic() - start, 6)

    def test_files_of_the_same_content(self):
        """One of them is fetched, and nobody speaks of another process."""
        data = content(4 * MIB, 7)
        files = {f"{k}.safetensors": data for k in "abc"}
        self.hub.add("org/twins", files)
        self.hub.faults[:] = [Fault("*", "slow", times=-1, rate=4 * MIB)]
        before = self.hub.body_bytes()
        result = self.run_mica("download", "org/twins")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.check_snapshot(pathlib.Path(result.stdout.strip()), files)
        self.assertLess(self.hub.body_bytes() - before, 1.1 * len(data))

    def test_wrong_content(self):
        large = self.hub.repositories[ID].commits[self.commit]["model.safetensors"].sha256
        for match, kind, path in ((large, "flip", "model.safetensors"), (f"{ID}/*", "flip", "config.json"),
                                  (large, "short", "model.safetensors"), (large, "long", "model.safetensors"),
                                  (f"{ID}/*", "short", "config.json")):
            shutil.rmtree(self.cache, ignore_errors=True)
            self.hub.faults[:] = [Fault(match, kind, times=-1, at=100)]
            self.refused(69, "download", ID, says=path)
            for p in (self.cache / "models--org--name/blobs").iterdir():
                if len(p.name) == 64:
                    self.assertEqual(p.read_bytes(), self.files["model.safetensors"])
        self.hub.faults[:] = []
        self.check_snapshot(self.download(ID), self.files)
        self.check_nothing_left()

    def test_one_wrong_answer_is_forgiven(self):
        self.fetch(2.2, [Fault("*", "flip", times=1, at=100)])

    def test_signed_addresses_expire(self):
        n = [0]

        def rule(handler, request):
            if request.server == "storage":
                n[0] += 1
                if n[0] == 2:
                    handler.error(403)
                    return True
            return False
        self.hub.rules.append(rule)
        self.fetch()

    def test_a_silent_server_and_a_full_cache(self):
        self.download(ID)

        def rule(handler, request):
            time.sleep(30)
            return True
        self.hub.rules.append(rule)
        start = time.monotonic()
        result = self.run_mica("download", ID)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertLess(time.monotonic() - start, 3.5)
        self.assertIn("as it was fetched before", result.stderr)

    def test_a_broken_server_and_a_full_cache(self):
        self.download(ID)
        self.hub.rules.append(lambda handler, request: handler.error(500) or True)
        self.assertEqual(self.run_mica("download", ID).returncode, 0)

    def test_partial_files_of_others(self):
        blobs = self.cache / "models--org--name/blobs"
        data = self.files["model.safetensors"]
        name = self.hub.repositories[ID].commits[self.commit]["model.safetensors"].sha256
        for suffix, start, most in ((".incomplete", data[:15 * MIB], 0.4), (".0a1b2c3d.incomplete", data[:15 * MIB], 0.4),
                                    (".incomplete", b"\0" * 15 * MIB, 1.4), (".incomplete", data + b"more", 1.1),
                                    (".mica.incomplete", b"\1" * len(data), 1.1), (".incomplete", b"", 1.1)):
            shutil.rmtree(self.cache, ignore_errors=True)
            blobs.mkdir(parents=True)
            (blobs / (name + suffix)).write_bytes(start)
            self.hub.log.clear()
            self.fetch(most)

    def test_corrupted_map_of_an_earlier_run(self):
        self.hub.faults[:] = [Fault("*", "cut", times=-1, at=3 * MIB)]
        self.run_mica("download", ID, HF_HUB_DOWNLOAD_TIMEOUT=1)
        self.hub.faults[:] = []
        for damage in (b"", b"\xff" * 500, b"micamap1" + b"\xff" * 100):
            blobs = self.cache / "models--org--name/blobs"
            for p in blobs.glob("*.map"):
                p.write_bytes(damage)
            self.hub.log.clear()
            self.fetch(1.9)
            shutil.rmtree(self.cache)


class Interrupted(HubTest):
    def start(self, *arguments):
        return subprocess.Popen([PROGRAM, "download", ID, *arguments], env={**os.environ, **self.env()}, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE)

    def kill_often(self, files, n_kills, rate, wait):
        """Kills the program n times at random moments of one download, then lets it end."""
        self.hub.add(ID, files)
        self.hub.faults[:] = [Fault("*", "slow", times=-1, rate=rate)] if rate else []
        for k in range(n_kills):
            process = self.start()
            time.sleep(wait(k))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            for p in self.cache.glob("models--org--name/blobs/*"):
                if len(p.name) in (40, 64):
                    self.assertIn(p.read_bytes(), files.values())
        self.hub.faults[:] = []
        self.check_snapshot(self.download(ID), files)
        self.check_nothing_left()
        return self.hub.body_bytes() / sum(map(len, files.values()))

    def test_killed_often(self):
        n = int(os.environ.get("MICA_HUB_KILLS", "15"))
        done = 0
        while done < n:
            k = min(12, n - done)
            shutil.rmtree(self.cache, ignore_errors=True)
            self.hub.repositories.clear()
            self.hub.log.clear()
            random = hub_test.random.Random(done)
            files = {"a.safetensors": content(50 * MIB, done), "b.safetensors": content(9 * MIB, done + 1), "c.json": b"{}" * 1000}
            ratio = self.kill_often(files, k, 4 * MIB, lambda _: random.uniform(0.01, 0.8))
            self.assertLessEqual(ratio, 1.1)
            done += k

    def test_killed_at_full_speed(self):
        """What the server has put on its way counts, too, and nothing slows it down."""
        random = hub_test.random.Random(1)
        files = {"a.safetensors": content(150 * MIB, 1), "b.safetensors": content(30 * MIB, 2), "c.json": b"{}" * 1000}
        self.assertLessEqual(self.kill_often(files, 25, 0, lambda _: random.uniform(0.05, 0.12)), 1.1)

    def test_interrupt(self):
        self.hub.add(ID, {"a.safetensors": content(20 * MIB)})
        self.hub.faults[:] = [Fault("*", "slow", times=-1, rate=MIB)]
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.start()
            time.sleep(0.7)
            start = time.monotonic()
            process.send_signal(number)
            process.communicate()
            self.assertEqual(process.returncode, code)
            self.assertLess(time.monotonic() - start, 2)

    def test_several_processes(self):
        files = {f"{k}.safetensors": content(7 * MIB, k) for k in range(3)} | {"large.safetensors": content(30 * MIB, 9), "c.json": b"{}"}
        for n in (2, 4, 8):
            shutil.rmtree(self.cache, ignore_errors=True)
            self.hub.repositories.clear()
            self.hub.log.clear()
            self.hub.add(ID, files)
            self.hub.faults[:] = [Fault("*", "slow", times=-1, rate=20 * MIB)]
            processes = [self.start() for _ in range(n)]
            for p in processes:
                _, err = p.communicate()
                self.assertEqual(p.returncode, 0, err)
            self.check_snapshot(next((self.cache / "models--org--name/snapshots").iterdir()), files)
            self.check_nothing_left()
            self.assertLessEqual(self.hub.body_bytes(), 1.01 * sum(map(len, files.values())))

    def test_the_first_of_two_is_killed(self):
        files = {"a.safetensors": content(20 * MIB)}
        self.hub.add(ID, files)
        self.hub.faults[:] = [Fault("*", "slow", times=-1, rate=4 * MIB)]
        first = self.start()
        time.sleep(0.5)
        second = self.start()
        time.sleep(0.5)
        first.kill()
        first.communicate()
        _, err = second.communicate()
        self.assertEqual(second.returncode, 0, err)
        self.assertLessEqual(self.hub.body_bytes(), 1.1 * 20 * MIB)


    def test_eight_of_which_five_are_killed(self):
        files = {"a.safetensors": content(40 * MIB), "b.safetensors": content(20 * MIB, 1), "c.json": b"{}"}
        self.hub.add(ID, files)
        self.hub.faults[:] = [Fault("*", "slow", times=-1, rate=2 * MIB)]
        processes = [self.start() for _ in range(8)]
        for p in processes[:5]:
            time.sleep(0.5)
            p.kill()
            p.communicate()
        for p in processes[5:]:
            _, err = p.communicate()
            self.assertEqual(p.returncode, 0, err)
        self.check_snapshot(next((self.cache / "models--org--name/snapshots").iterdir()), files)
        self.check_nothing_left()
        self.assertLessEqual(self.hub.body_bytes(), 1.1 * sum(map(len, files.values())))


class Disk(HubTest):
    def setUp(self):
        super().setUp()
        self.files = {"config.json": b"{}", "model.safetensors": content(12 * MIB)}
        self.hub.add(ID, self.files)

    def small_disk(self, size):
        disk = self.home / "disk"
        disk.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True)
        if done.returncode:
            raise unittest.SkipTest("no small disk: mounting needs root")
        self.addCleanup(lambda: subprocess.run(["umount", "-l", disk], check=False))
        return disk

    def test_too_small(self):
        disk = self.small_disk("5m")
        line = self.refused(74, "download", ID, HF_HOME=disk, says="not enough space")
        self.assertIn("12.6 MB", line)
        self.assertEqual(self.hub.body_bytes(), 0)

    def test_it_fills_up(self):
        disk = self.small_disk("16m")
        self.hub.faults[:] = [Fault("*", "slow", times=-1, rate=4 * MIB)]
        process = subprocess.Popen([PROGRAM, "download", ID, "--connections", "1"], env={**os.environ, **self.env(HF_HOME=disk)},
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        (disk / "other").write_bytes(b"x" * 9 * MIB)
        _, err = process.communicate()
        self.assertEqual(process.returncode, 74, err)
        self.assertIn("No space left", err)
        (disk / "other").unlink()
        self.check_snapshot(self.download(ID, HF_HOME=disk), self.files)
        self.assertLessEqual(self.hub.body_bytes(), 1.2 * 12 * MIB)

    def test_read_only(self):
        disk = self.small_disk("30m")
        self.download(ID, HF_HOME=disk)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        self.download(ID, HF_HOME=disk)
        self.hub.add("org/other", self.files)
        result = self.run_mica("download", "org/other", HF_HOME=disk)
        self.assertIn(result.returncode, (73, 77), result.stderr)

    def test_a_file_in_the_way(self):
        self.home.joinpath("hub").write_text("a file")
        self.refused(73, "download", ID)

    def test_not_ours(self):
        if os.geteuid() == 0:
            raise unittest.SkipTest("root may write everywhere")
        self.cache.mkdir()
        self.cache.chmod(0o555)
        self.refused(77, "download", ID)


class Client(HubTest):
    """The same cache as Python's huggingface_hub."""

    def setUp(self):
        super().setUp()
        self.files = {"config.json": b"{}", "empty": b"", "a/b/c.txt": b"deep", "model.safetensors": content(3 * MIB),
                      "ümlaut.txt": b"u", "model.bin": content(100)}
        self.commit = self.hub.add(ID, self.files)

    def test_layouts_are_equal(self):
        self.client(f"import huggingface_hub as h; h.snapshot_download('{ID}')", HF_HOME=self.home / "theirs")
        self.download(ID)
        mine, theirs = layout(self.cache), layout(self.home / "theirs/hub")
        trees = {k for k in theirs if "/trees/" in k}  # theirs are for the owner's eyes
        self.assertEqual({k: v for k, v in mine.items() if k not in trees}, {k: v for k, v in theirs.items() if k not in trees})
        for k in trees:
            self.assertEqual(mine[k][0], theirs[k][0])

    def test_they_find_what_we_fetched(self):
        folder = self.download(ID)
        before = len(self.hub.log)
        out = self.client(f"import huggingface_hub as h; print(h.snapshot_download('{ID}'))\n"
                          f"print(h.hf_hub_download('{ID}', 'a/b/c.txt', local_files_only=True))\n"
                          f"print(h.try_to_load_from_cache('{ID}', 'config.json'))\n"
                          "scan = h.scan_cache_dir(); print(len(scan.repos), scan.warnings)")
        self.assertEqual(out.splitlines(), [str(folder), f"{folder}/a/b/c.txt", f"{folder}/config.json", "1 []"])
        self.assertEqual(self.requests(before, lambda r: "resolve" in r.path), [])

    def test_we_find_what_they_fetched(self):
        self.client(f"import huggingface_hub as h; h.snapshot_download('{ID}', revision='{self.commit}')")
        before = len(self.hub.log)
        self.check_snapshot(self.download(ID, "--revision", self.commit), self.files)
        self.assertEqual(len(self.hub.log), before)

    def test_we_find_single_files_and_marks_of_absent_ones(self):
        files = model_files()
        files.pop("reference.json", None)
        files.pop("generation_config.json", None)
        commit = self.hub.add("org/model", files)
        code = "import huggingface_hub as h\nfor f in " + repr([*files, "generation_config.json"]) + (
            f":\n  try: h.hf_hub_download('org/model', f, revision='{commit}')\n  except h.errors.EntryNotFoundError: pass\n")
        self.client(code)
        self.assertTrue(list(self.cache.glob("models--org--model/.no_exist/*/generation_config.json")))
        before = len(self.hub.log)
        self.good("generate", "-m", "org/model", "--revision", commit, "--ids", "1,2", "--max-new-tokens", "1", env=self.env())
        self.assertEqual(len(self.hub.log), before)

    def test_layouts_without_links(self):
        self.client(f"import huggingface_hub as h; h.snapshot_download('{ID}')", HF_HOME=self.home / "theirs", HF_HUB_DISABLE_SYMLINKS=1)
        self.download(ID, HF_HUB_DISABLE_SYMLINKS=1)
        mine, theirs = layout(self.cache), layout(self.home / "theirs/hub")
        self.assertEqual({k: v for k, v in mine.items() if "/trees/" not in k}, {k: v for k, v in theirs.items() if "/trees/" not in k})
        before = len(self.hub.log)
        self.download(ID, "--revision", self.commit, HF_HOME=self.home / "theirs")
        self.client(f"import huggingface_hub as h; h.snapshot_download('{ID}', revision='{self.commit}')")
        self.assertEqual(self.requests(before, lambda r: "resolve" in r.path), [])

    def test_layouts_of_revisions(self):
        self.hub.add(ID, {**self.files, "config.json": b"{ }", "%41 b+&.txt": b"odd", "deep/er/x.bin": content(9)}, ref="refs/pr/1")
        self.hub.add(ID, {"only": b"1"}, ref="a/branch")
        for revision in ("refs/pr/1", "a/branch", "main", self.commit):
            self.client(f"import huggingface_hub as h; h.snapshot_download('{ID}', revision='{revision}')", HF_HOME=self.home / "theirs")
            self.download(ID, "--revision", revision)
        mine, theirs = layout(self.cache), layout(self.home / "theirs/hub")
        self.assertEqual({k: v for k, v in mine.items() if "/trees/" not in k}, {k: v for k, v in theirs.items() if "/trees/" not in k})
        out = self.client("import huggingface_hub as h; s = h.scan_cache_dir(); print(sorted(r for x in s.repos for r in x.refs), s.warnings)")
        self.assertEqual(out, "['a/branch', 'main', 'refs/pr/1'] []")

    def test_they_find_our_marks_of_absent_files(self):
        files = model_files()
        for path in ("generation_config.json", "chat_template.jinja"):
            files.pop(path, None)
        commit = self.hub.add("org/model", files)
        self.good("generate", "-m", "org/model", "--ids", "1,2", "--max-new-tokens", "1", env=self.env())
        marks = self.cache / "models--org--model/.no_exist" / commit
        self.assertEqual({p.name for p in marks.iterdir()} & set(files), set())
        out = self.client("import huggingface_hub as h\nfor f in ('generation_config.json', 'adapter_config.json', 'other.json', 'config.json'):\n"
                          "  p = h.try_to_load_from_cache('org/model', f); print('none' if p is None else 'path' if isinstance(p, str) else 'absent')")
        self.assertEqual(out.split(), ["absent", "absent", "none", "path"])
        self.good("cache", "delete", "org/model", env=self.env())
        self.assertFalse(marks.exists())

    def test_both_at_once(self):
        if not hub_test.has_client():
            raise unittest.SkipTest(f"no huggingface_hub in {hub_test.PYTHON}")
        self.hub.faults[:] = [Fault("*", "slow", times=-1, rate=MIB)]
        mine = subprocess.Popen([PROGRAM, "download", ID], env={**os.environ, **self.env()}, stdout=subprocess.DEVNULL)
        self.client(f"import huggingface_hub as h; h.snapshot_download('{ID}')")
        self.assertEqual(mine.wait(), 0)
        self.check_snapshot(self.cache / "models--org--name/snapshots" / self.commit, self.files)
        self.check_nothing_left()


if __name__ == "__main__":
    hub_test.main()
