"""What the tests of download, cache and upload share: a Hub of their own, an empty home, the real huggingface_hub if there is one.

MICA_HUB_PYTHON names an interpreter that has huggingface_hub; by default the one that runs the tests. Tests that need it are skipped
where it is missing.
"""
import functools
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))

import program  # noqa: E402
from hub_server import Hub  # noqa: E402

PYTHON = os.environ.get("MICA_HUB_PYTHON", sys.executable)
HF_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH",
                "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_SYMLINKS", "http_proxy",
                "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HF_HUB_DISABLE_IMPLICIT_TOKEN")


@functools.cache
def has_client():
    return subprocess.run([PYTHON, "-c", "import huggingface_hub"], capture_output=True).returncode == 0


def content(n, seed=0):
    return random.Random(seed).randbytes(n)


def model_files(name="llama-chat"):
    """{path: bytes} of a small model."""
    root = program.model(name)
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def layout(folder):
    """{path: content or "-> target"} of everything in a cache but lock files and the tag for backups."""
    out = {}
    for p in sorted(pathlib.Path(folder).rglob("*")):
        path = p.relative_to(folder)
        if path.parts[0] == ".locks" or path.name == "CACHEDIR.TAG" or (p.is_dir() and not p.is_symlink()):
            continue
        out[str(path)] = f"-> {os.readlink(p)}" if p.is_symlink() else (p.read_bytes(), p.stat().st_mode & 0o777)
    return out


class HubTest(program.ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.hub = Hub()
        self.addCleanup(self.hub.close)

    @property
    def cache(self):
        return self.home / "hub"

    def env(self, **more):
        base = {name: "" for name in HF_VARIABLES}
        return {**base, "HOME": str(self.home), "HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.endpoint,
                **{k: str(v) for k, v in more.items()}}

    def run_mica(self, *arguments, **more):
        return program.run(*arguments, env=self.env(**more))

    def download(self, *arguments, **more):
        """Expects success; the snapshot's folder."""
        return pathlib.Path(self.good("download", *arguments, env=self.env(**more)).strip())

    def refused(self, code, *arguments, says="", **more):
        """Expects the exit code and one line of less than 300 characters, without the token."""
        result = self.run_mica(*arguments, **more)
        self.assertEqual(result.returncode, code, result.stderr)
        lines = [line for line in result.stderr.splitlines() if not line.startswith("mica: warning: ")]
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertLess(len(lines[0]), 300)
        self.assertIn(says, lines[0])
        if more.get("HF_TOKEN"):
            self.assertNotIn(more["HF_TOKEN"], result.stderr + result.stdout)
        return lines[0]

    def requests(self, since=0, match=lambda r: True):
        return [r for r in self.hub.log[since:] if match(r)]

    def client(self, code, **more):
        """Runs a piece of Python with the real client; its standard output."""
        if not has_client():
            raise unittest.SkipTest(f"no huggingface_hub in {PYTHON}")
        environment = {**os.environ, **self.env(**more), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        environment = {k: v for k, v in environment.items() if v != "" or k not in HF_VARIABLES}
        result = subprocess.run([PYTHON, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.strip()

    def check_snapshot(self, folder, files):
        found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        self.assertEqual(sorted(found), sorted(files))
        for path, data in files.items():
            self.assertTrue(found[path] == data, f"{path} differs")

    def check_nothing_left(self, repository="models--org--name"):
        for p in (self.cache / repository / "blobs").iterdir():
            self.assertRegex(p.name, r"^([0-9a-f]{40}|[0-9a-f]{64})$")


main, json_of = program.main, json.loads
