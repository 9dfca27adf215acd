"""mica cache: what is listed, removed, verified; the real client sees the same."""
import json
import os
import pathlib
import pwd
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hub"))

import hub_test  # noqa: E402
from hub_server import Fault  # noqa: E402
from hub_test import HubTest, content  # noqa: E402
from program import PROGRAM  # noqa: E402

MIB = 1 << 20


class Cache(HubTest):
    def setUp(self):
        super().setUp()
        self.shared, self.old, self.new = content(5000, 1), content(3000, 2), content(4000, 3)
        self.first = self.hub.add("org/one", {"shared.bin": self.shared, "w.bin": self.old, "c.json": b"{}"})
        self.download("org/one")
        self.second = self.hub.add("org/one", {"shared.bin": self.shared, "w.bin": self.new, "c.json": b"{}"})
        self.download("org/one")
        self.hub.add("org/one", {"a.txt": b"pr"}, ref="refs/pr/1")
        self.download("org/one", "--revision", "refs/pr/1")
        self.hub.add("solo", {"a/b.bin": content(100)})
        self.download("solo")

    def listing(self):
        return json.loads(self.good("cache", "list", "--json", env=self.env()))

    def names(self):
        return {r["id"]: sorted(v["commit"] for v in r["revisions"]) for r in self.listing()["repositories"]}

    def act(self, *arguments):
        return json.loads(self.good("cache", *arguments, "--json", env=self.env()))

    def test_list(self):
        cache = self.listing()
        self.assertEqual(cache["path"], str(self.cache))
        one, solo = cache["repositories"]
        self.assertEqual((one["id"], one["kind"], one["bytes"], one["files"]), ("org/one", "model", 5000 + 3000 + 4000 + 2 + 2, 5))
        self.assertEqual({v["commit"]: v["refs"] for v in one["revisions"]},
                         {self.first: [], self.second: ["main"], self.hub.repositories["org/one"].refs["refs/pr/1"]: ["refs/pr/1"]})
        self.assertEqual((solo["id"], solo["bytes"]), ("solo", 100))
        self.assertEqual(cache["bytes"], one["bytes"] + solo["bytes"])
        text = self.good("cache", env=self.env())
        self.assertIn("org/one", text)
        self.assertIn("2 repositories", text)

    def test_an_empty_cache(self):
        answer = json.loads(self.good("cache", "--json", env=self.env(HF_HOME=self.home / "none")))
        self.assertEqual((answer["repositories"], answer["bytes"]), ([], 0))
        self.good("cache", "prune", env=self.env(HF_HOME=self.home / "none"))

    def test_the_real_client_agrees(self):
        out = json.loads(self.client("import huggingface_hub as h, json; s = h.scan_cache_dir(); print(json.dumps([sorted("
                                     "[r.repo_id, r.size_on_disk, r.nb_files, len(r.revisions)] for r in s.repos), s.size_on_disk]))"))
        cache = self.listing()
        self.assertEqual(out[0], [[r["id"], r["bytes"], r["files"], len(r["revisions"])] for r in cache["repositories"]])
        self.assertEqual(out[1], cache["bytes"])

    def test_delete(self):
        self.assertEqual(self.act("delete", "org/*", "--dry-run")["bytes"], 12004)
        self.assertEqual(len(self.names()), 2)
        removed = self.act("delete", f"org/one@{self.first[:12]}")
        self.assertEqual((removed["revisions"], removed["files"], removed["bytes"]), (1, 1, 3000))
        self.download("org/one", HF_HUB_OFFLINE=1)
        removed = self.act("delete", "@refs/pr/*")
        self.assertEqual((removed["revisions"], removed["bytes"]), (1, 2))
        self.assertEqual(self.names(), {"org/one": [self.second], "solo": [self.hub.repositories["solo"].refs["main"]]})
        removed = self.act("delete", "org/one")
        self.assertEqual((removed["repositories"], removed["bytes"]), (1, 9002))
        self.assertFalse((self.cache / "models--org--one").exists())
        self.refused(66, "cache", "delete", "org/one")
        self.refused(66, "cache", "delete", "solo@nowhere")
        self.assertEqual(self.act("delete", "*")["repositories"], 1)

    def test_a_reader_goes_on(self):
        with open(self.cache / "models--org--one/refs/../snapshots" / self.second / "w.bin", "rb") as f:
            self.act("delete", "org/one")
            self.assertEqual(f.read(), self.new)

    def test_prune(self):
        blobs = self.cache / "models--org--one/blobs"
        (blobs / ("0" * 64)).write_bytes(b"unused")
        (blobs / ("1" * 64 + ".incomplete")).write_bytes(b"partial")
        (blobs / ("1" * 64 + ".mica.map")).write_bytes(b"partial")
        removed = self.act("prune")
        self.assertEqual((removed["repositories"], removed["revisions"], removed["files"]), (0, 1, 4))
        self.assertEqual(len(list(blobs.iterdir())), 4)
        self.assertEqual(self.act("prune")["files"], 0)
        self.assertEqual(self.act("verify")["faults"], 0)

    def test_prune_leaves_what_it_does_not_know(self):
        folder = self.cache / "models--org--one/snapshots/mine"
        folder.mkdir()
        (folder / "w.bin").symlink_to(os.readlink(self.cache / "models--org--one/snapshots" / self.first / "w.bin"))
        self.assertEqual(self.act("prune")["files"], 0)
        self.assertEqual((folder / "w.bin").read_bytes(), self.old)

    def test_links_that_lead_elsewhere(self):
        outside = self.home / "outside"
        outside.write_bytes(b"outside")
        link = self.cache / "models--org--one/snapshots" / self.second / "stray"
        link.symlink_to(outside)
        result = self.run_mica("cache", "verify")
        self.assertEqual(result.returncode, 65)
        self.assertIn(f"{link}: leads to something that is no blob", result.stdout)
        self.run_mica("cache", "verify", "--remove-bad")
        self.assertFalse(link.is_symlink())
        self.assertEqual(outside.read_bytes(), b"outside")
        self.assertEqual(self.act("verify")["faults"], 0)

    def test_a_user_without_home(self):
        answer = json.loads(self.good("cache", "list", "--json", env={**self.env(HF_HOME=""), "HOME": ""}))
        self.assertEqual(answer["path"], pwd.getpwuid(os.getuid()).pw_dir + "/.cache/huggingface/hub")

    def test_verify(self):
        self.assertEqual(self.act("verify"), {"files": 6, "bytes": 12104, "faults": 0})
        path = self.cache / "models--org--one/snapshots" / self.second / "w.bin"
        path.resolve().write_bytes(self.new[:-1] + b"?")
        self.assertEqual(self.act("verify", "solo")["faults"], 0)
        result = self.run_mica("cache", "verify", "org/*")
        self.assertEqual(result.returncode, 65)
        self.assertIn("differs", result.stdout)
        self.assertEqual(self.run_mica("cache", "verify", "--remove-bad").returncode, 65)
        self.assertFalse(path.exists())
        self.assertEqual(self.run_mica("cache", "verify").returncode, 65)  # a link to nothing
        self.download("org/one")
        self.assertEqual(path.read_bytes(), self.new)
        self.assertEqual(self.act("verify")["faults"], 0)

    def test_verify_without_links(self):
        folder = self.download("solo", HF_HUB_DISABLE_SYMLINKS=1, HF_HOME=self.home / "plain")
        self.good("cache", "verify", env=self.env(HF_HOME=self.home / "plain"))
        (folder / "a/b.bin").write_bytes(b"x" * 100)
        self.assertEqual(self.run_mica("cache", "verify", HF_HOME=self.home / "plain").returncode, 65)

    def test_what_is_being_downloaded_stays(self):
        self.hub.add("org/slow", {"w.bin": content(8 * MIB)})
        self.hub.faults[:] = [Fault("*", "slow", times=-1, rate=0.4 * MIB)]
        process = subprocess.Popen([PROGRAM, "download", "org/slow"], env={**os.environ, **self.env()}, stdout=subprocess.DEVNULL)
        time.sleep(1)
        self.refused(75, "cache", "delete", "org/slow", says="being downloaded")
        self.act("prune")
        self.assertEqual(process.wait(), 0)
        self.assertEqual(self.act("verify", "org/slow")["faults"], 0)

    def test_usage(self):
        for arguments in (("remove",), ("delete",), ("list", "x"), ("delete", ""), ("delete", "a@")):
            self.assertEqual(self.run_mica("cache", *arguments).returncode, 64, arguments)


if __name__ == "__main__":
    hub_test.main()
