"""What the tests of the program share: running it, finding models, reading safetensors, and the end of a test run.

Standard library only. Models come from tests/data/models, or from the references beside the tree (MICA_SHARED, by default
../shared); a test whose model is in neither is skipped, and says so.
"""
import array
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("MICA_PROGRAM", str(ROOT / "build/release/mica"))
SHARED = pathlib.Path(os.environ.get("MICA_SHARED", ROOT.parent / "shared"))
VERBS = ["generate", "chat", "convert", "info", "logits", "perplexity", "tokenize", "detokenize", "template", "download", "upload", "cache", "bench"]


def run(*arguments, stdin=None, env=None, cwd=None):
    """Runs the program; the result has returncode, stdout and stderr, as text if stdin is text or None."""
    text = not isinstance(stdin, bytes)
    environment = {**os.environ, **(env or {})}
    return subprocess.run([PROGRAM, *map(str, arguments)], input="" if stdin is None else stdin, capture_output=True,
                          text=text, encoding="utf-8" if text else None, env=environment, cwd=cwd, timeout=300)


def model(name):
    for folder in (ROOT / "tests/data/models", SHARED / "reference/chat-models", SHARED / "reference/models"):
        if (folder / name / "config.json").exists():
            return folder / name
    raise unittest.SkipTest(f"no model {name} in tests/data/models, and no references in {SHARED}")


def shared(path):
    if not (SHARED / path).exists():
        raise unittest.SkipTest(f"no references in {SHARED} ({path})")
    return SHARED / path


def read_safetensors(path):
    """{name: (shape, values)} of the F32, I64 and I32 tensors of a file."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    tensors = {}
    for name, entry in json.loads(data[8:8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values = array.array({"F32": "f", "I64": "q", "I32": "i"}[entry["dtype"]])
        values.frombytes(data[8 + length + begin:8 + length + end])
        tensors[name] = (entry["shape"], values)
    return tensors


class ProgramTest(unittest.TestCase):
    def long_model(self):
        """llama-chat with room for 100,000 tokens, so that an answer can be interrupted; without end tokens."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        copy = pathlib.Path(folder.name, "model")
        shutil.copytree(model("llama-chat"), copy)
        for path, change in ((copy / "config.json", {"max_position_embeddings": 100000, "eos_token_id": None}),
                             (copy / "generation_config.json", {"eos_token_id": None})):
            path.chmod(0o644)
            path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        return copy

    def good(self, *arguments, **options):
        """Runs, expects success and quiet standard error; returns standard output."""
        result = run(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def fails(self, code, *arguments, says="", **options):
        """Runs, expects the exit code and one line on standard error (with a usage line after it for 64 of the parser)."""
        result = run(*arguments, **options)
        self.assertEqual(result.returncode, code, f"{arguments}: {result.stdout[:200]!r} {result.stderr!r}")
        if isinstance(result.stderr, bytes):
            result.stderr = result.stderr.decode()
        lines = result.stderr.splitlines()
        self.assertTrue(lines and lines[0].startswith("mica"), result.stderr)
        self.assertLessEqual(len(lines), 2, result.stderr)
        self.assertEqual(len(lines) == 2, lines[-1].startswith("usage: mica"), result.stderr)
        self.assertIn(says, result.stderr)
        return result


def main():
    program = unittest.main(exit=False, verbosity=1)
    for test, reason in program.result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    if not program.result.wasSuccessful():
        sys.exit(1)
    if program.result.testsRun and program.result.testsRun == len(program.result.skipped):
        sys.exit(77)
    if not program.result.testsRun:
        sys.exit("no test was run")
