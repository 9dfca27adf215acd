"""mica upload against a Hub of our own: what is sent, what is not sent again, and that the real client can fetch it."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hub"))

import hub_test  # noqa: E402
from hub_server import Fault, Hub  # noqa: E402
from hub_test import HubTest, content  # noqa: E402
from program import PROGRAM  # noqa: E402

ID = "org/name"
MIB = 1 << 20


class Upload(HubTest):
    def setUp(self):
        super().setUp()
        self.files = {"config.json": b"{}", "README.md": b"# model\n", "empty": b"", "a/b.txt": b"b", "odd \xc3\xbc.txt".encode().decode(): b"x",
                      "small.safetensors": content(5000, 1), "large.safetensors": content(12 * MIB + 5, 2)}
        self.folder = self.home / "model"
        for path, data in self.files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(data)

    def upload(self, *arguments, **more):
        more.setdefault("HF_TOKEN", "hf_good")
        return json.loads(self.good("upload", self.folder, ID, "--json", *arguments, env=self.env(**more)))

    def stored(self, revision="main"):
        repository = self.hub.repositories[ID]
        return {p: f.read() for p, f in repository.commits[repository.find(revision)].items() if p != ".gitattributes"}

    def puts(self, since=0):
        return self.requests(since, lambda r: r.method == "PUT")

    def test_all_of_it(self):
        (self.folder / ".git").mkdir()
        (self.folder / ".git/config").write_text("secret")
        (self.folder / ".cache/huggingface").mkdir(parents=True)
        (self.folder / ".cache/huggingface/x").write_text("x")
        (self.folder / "link.txt").symlink_to("a/b.txt")
        answer = self.upload()
        self.assertEqual(self.stored(), {**self.files, "link.txt": b"b"})
        self.assertEqual(answer["files"], len(self.files) + 1)
        self.assertEqual(answer["commit"], self.hub.repositories[ID].refs["main"])
        self.assertEqual(answer["sent_bytes"], 5000 + 12 * MIB + 5)
        self.assertEqual(len(self.requests(0, lambda r: "/commit/" in r.path)), 1)
        self.assertEqual(len(self.puts()), 1 + 3)  # in parts of 5 MiB
        for r in self.puts():
            self.assertIsNone(r.token)
            self.assertIsNotNone(r.length)
        self.assertFalse(self.hub.repositories[ID].private)

    def test_again_does_nothing(self):
        self.upload()
        before, commit = len(self.hub.log), self.hub.repositories[ID].refs["main"]
        answer = self.upload()
        self.assertEqual((answer["commit"], answer["files"], answer["sent_bytes"]), (None, 0, 0))
        self.assertEqual(self.puts(before) + self.requests(before, lambda r: "/commit/" in r.path), [])
        (self.folder / "config.json").write_bytes(b"{ }")
        self.upload()
        self.assertEqual(self.stored(), {**self.files, "config.json": b"{ }"})
        self.assertNotEqual(self.hub.repositories[ID].refs["main"], commit)
        self.assertEqual(self.puts(before), [])

    def test_servers_that_do_not_say_what_they_have(self):
        self.upload()

        def rule(handler, request):
            if "/preupload/" not in request.path:
                return False
            files = json.loads(handler.body)["files"]
            handler.reply(200, {"files": [{"path": f["path"], "uploadMode": "lfs" if "safe" in f["path"] else "regular"} for f in files]})
            return True
        self.hub.rules.append(rule)
        self.assertEqual(self.upload()["files"], 0)

    def test_what_the_real_client_fetches(self):
        self.upload()
        out = self.client(f"import huggingface_hub as h; print(h.snapshot_download('{ID}'))")
        (pathlib.Path(out) / ".gitattributes").unlink()
        self.check_snapshot(pathlib.Path(out), self.files)

    def test_nothing_new_in_what_the_real_client_sent(self):
        self.client(f"import huggingface_hub as h; h.create_repo('{ID}'); h.upload_folder(repo_id='{ID}', folder_path={str(self.folder)!r})",
                    HF_TOKEN="hf_good")
        self.assertEqual(self.upload()["files"], 0)

    def test_private_branches_and_pull_requests(self):
        self.upload("--private")
        self.assertTrue(self.hub.repositories[ID].private)
        main = self.hub.repositories[ID].refs["main"]
        (self.folder / "new").write_bytes(b"new")
        answer = self.upload("--create-pr", "--message", "new file")
        self.assertEqual(answer["pull_request_url"], f"{self.hub.endpoint}/{ID}/discussions/1")
        self.assertEqual(self.hub.repositories[ID].refs["main"], main)
        self.assertIn("new", self.stored("refs/pr/1"))
        self.upload("--revision", "dev")
        self.assertIn("new", self.stored("dev"))
        self.assertNotIn("new", self.stored())
        self.assertIn("new file", self.hub.repositories[ID].messages.values())

    def test_patterns(self):
        self.upload("--include", "*.json", "--include", "a/")
        self.assertEqual(sorted(self.stored()), ["a/b.txt", "config.json"])

    def test_own_name(self):
        out = self.good("upload", self.folder, "mine", "--exclude", "*.safetensors", env=self.env(HF_TOKEN="hf_good"))
        self.assertIn("tester/mine", self.hub.repositories)
        self.assertIn("/tester/mine/commit/", out)

    def test_a_model_card_where_there_is_none(self):
        (self.folder / "README.md").unlink()
        self.upload("--private")  # config.json is no model's
        self.assertNotIn("README.md", self.stored())
        (self.folder / "config.json").write_text('{"model_type": "llama", "_name_or_path": "them/Theirs", "quantization": {"bits": 4}}')
        self.assertEqual(self.upload("--no-model-card")["files"], 1)
        self.assertEqual(self.upload()["files"], 1)
        card = self.stored()["README.md"].decode()
        front = card.split("---\n")[1]
        for line in ("library_name: mlx", "pipeline_tag: text-generation", "base_model: them/Theirs", "base_model_relation: quantized", "- mlx"):
            self.assertIn(line, front.splitlines())
        self.assertIn(f'load("{ID}")', card)
        self.assertFalse((self.folder / "README.md").exists())
        self.assertEqual(self.upload()["files"], 0)
        before = self.stored()
        self.upload("--base-model", "me/Mine")  # theirs stays
        self.assertEqual(self.stored(), before)
        self.client(f"import huggingface_hub as h; c = h.ModelCard.load(h.hf_hub_download('{ID}', 'README.md')); d = c.data; "
                    "assert (d.library_name, d.tags, d.base_model, d.pipeline_tag) == ('mlx', ['mlx'], 'them/Theirs', 'text-generation'), d",
                    HF_TOKEN="hf_good")

    def test_the_card_says_whose_format_it_is(self):
        (self.folder / "README.md").unlink()
        (self.folder / "config.json").write_text('{"model_type": "llama"}')
        for form, library in (("pt", "transformers"), ("mlx", "mlx")):
            head = json.dumps({"__metadata__": {"format": form}}).encode()
            (self.folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
            self.good("upload", self.folder, f"org/{form}", env=self.env(HF_TOKEN="hf_good"))
            repository = self.hub.repositories[f"org/{form}"]
            card = repository.commits[repository.refs["main"]]["README.md"].read().decode()
            self.assertIn(f"library_name: {library}\n", card)
            self.assertEqual("- mlx" in card, form == "mlx")
            self.assertNotIn("base_model", card)

    def test_busy_storage(self):
        self.hub.faults[:] = [Fault("*", "status", times=2, status=503), Fault("*", "status", times=1, status=503)]
        self.upload()
        self.assertEqual(self.stored(), self.files)

    def test_killed(self):
        slow = []

        def rule(handler, request):
            if request.server == "storage" and slow:
                time.sleep(0.3)
            return False
        self.hub.rules.append(rule)
        slow.append(1)
        for k in range(6):
            process = subprocess.Popen([PROGRAM, "upload", self.folder, ID, "--connections", "1"], stdout=subprocess.DEVNULL,
                                       env={**os.environ, **self.env(HF_TOKEN="hf_good")})
            time.sleep(0.2 + 0.15 * k)
            process.send_signal(signal.SIGKILL)
            process.wait()
        slow.clear()
        before = len(self.hub.log)
        self.upload()
        self.assertEqual(self.stored(), self.files)
        self.assertLessEqual(len(self.puts(before)), 4)

    def test_refusals(self):
        arguments = ("upload", self.folder, ID)
        self.refused(77, *arguments, says="HF_TOKEN")
        self.refused(77, *arguments, HF_TOKEN="hf_unknown", says="settings/tokens")
        self.hub.tokens["hf_reader"] = {"name": "reader", "write": False, "read": set()}
        self.refused(77, *arguments, HF_TOKEN="hf_reader", says="may not")
        self.refused(66, "upload", self.home / "nowhere", ID, HF_TOKEN="hf_good")
        (self.home / "nothing").mkdir()
        self.refused(66, "upload", self.home / "nothing", ID, HF_TOKEN="hf_good")
        self.refused(69, *arguments, HF_TOKEN="hf_good", HF_HUB_OFFLINE=1)
        for name in ("../x", "a/b/c", "a b"):
            self.assertEqual(self.run_mica("upload", self.folder, name, HF_TOKEN="hf_good").returncode, 64)
        self.hub.close()
        self.refused(69, *arguments, HF_TOKEN="hf_good", says="cannot reach")

    def test_a_commit_is_not_repeated(self):
        def rule(handler, request):
            if "/commit/" in request.path:
                handler.error(503)
                return True
            return False
        self.hub.rules.append(rule)
        self.refused(69, "upload", self.folder, ID, HF_TOKEN="hf_good", says="503")
        self.assertEqual(len(self.requests(0, lambda r: "/commit/" in r.path)), 1)

    def test_bad_answers(self):
        answers = []

        def rule(handler, request):
            for part, body in answers:
                if part in request.path:
                    handler.reply(200, body)
                    return True
            return False
        self.hub.rules.append(rule)
        oid = self.hub_oid()
        for part, body in (("/batch", b"{"), ("/batch", {"objects": []}), ("/preupload/", b"["), ("/commit/", b"x"),
                           ("/batch", {"objects": [{"oid": "0" * 64, "size": 1}] * 2}),
                           ("/batch", {"objects": [{"oid": o, "size": 1, "actions": {"upload": {"href": "http://10.0.0.1/x"}}} for o in oid]}),
                           ("/batch", {"objects": [{"oid": o, "size": 1, "actions": {"upload": {"href": "x", "header": {"chunk_size": "0"}}}}
                                                   for o in oid]}),
                           ("/batch", {"objects": [{"oid": o, "size": 1, "actions": {"upload": {"href": "x", "header": {"chunk_size": "1"}}}}
                                                   for o in oid]}),
                           ("/batch", {"objects": [{"oid": o, "error": {"code": 422, "message": "no"}} for o in oid]})):
            answers[:] = [(part, body)]
            result = self.run_mica("upload", self.folder, ID, HF_TOKEN="hf_good")
            self.assertIn(result.returncode, (65, 69, 77), (part, body, result.stderr))

    def test_an_answer_that_names_no_commit(self):
        for body in (b"", b"{}", b"x", b"[]"):
            self.hub.rules[:] = [lambda handler, request: "/commit/" in request.path and (handler.reply(200, body) or True)]
            self.refused(69, "upload", self.folder, ID, HF_TOKEN="hf_good", says=ID)

    def test_contents_go_to_no_other_server(self):
        other = Hub()
        self.addCleanup(other.close)
        for part in ("/repos/create", "/preupload/", "/batch", "/commit/"):
            for status in (301, 302, 307, 308):
                self.hub.rules[:] = [lambda handler, request: part in request.path and (
                    handler.reply(status, b"", {"Location": other.endpoint + request.path}) or True)]
                self.refused(69, "upload", self.folder, ID, HF_TOKEN="hf_good", says="another server")
        self.assertEqual(other.log, [])

    def hub_oid(self):
        import hashlib
        return [hashlib.sha256(self.files[f]).hexdigest() for f in ("small.safetensors", "large.safetensors")]


if __name__ == "__main__":
    hub_test.main()
