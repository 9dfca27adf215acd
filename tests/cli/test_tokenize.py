"""tokenize and detokenize: single calls, --jsonl streams, and the reference rows of real tokenizers."""
import json
import lzma
import pathlib
import subprocess
import tempfile
import unittest

import program
from program import ProgramTest, model, shared


class Single(ProgramTest):
    def setUp(self):
        self.model = model("llama-chat")

    def test_text_to_ids_and_back(self):
        ids = json.loads(self.good("tokenize", "-m", self.model, "The river"))
        plain = json.loads(self.good("tokenize", "-m", self.model, "--no-special-tokens", "The river"))
        self.assertEqual(ids, [0, 296, 494])
        self.assertEqual(plain, [296, 494])
        self.assertEqual(self.good("tokenize", "-m", self.model, "--count", "The river"), "3\n")
        for spelled in ("296,494", "[296, 494]", " 296 , 494 "):
            self.assertEqual(self.good("detokenize", "-m", self.model, spelled), "The river")
        self.assertEqual(self.good("detokenize", "-m", self.model, "--skip-special-tokens", "0,296,494"), "The river")
        self.assertEqual(self.good("detokenize", "-m", self.model, "0,296"), "<|begin_of_text|>The")

    def test_sources_of_text(self):
        expected = self.good("tokenize", "-m", self.model, "The river")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "text")
            path.write_text("The river")
            self.assertEqual(self.good("tokenize", "-m", self.model, "--file", path), expected)
            self.fails(64, "tokenize", "-m", self.model, "--file", path, "word")
        self.assertEqual(self.good("tokenize", "-m", self.model, stdin="The river"), expected)
        self.assertEqual(self.good("tokenize", "-m", self.model, "-", stdin="The river"), expected)
        self.assertEqual(self.good("tokenize", "-m", self.model, "--no-special-tokens", stdin=""), "[]\n")
        self.fails(66, "tokenize", "-m", self.model, "--file", "/nonexistent")
        self.fails(64, "tokenize", "-m", self.model, stdin=b"\xff\xfe")

    def test_tokens(self):
        lines = self.good("tokenize", "-m", self.model, "--tokens", "The river").splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["0", "296", "494"])
        self.assertIn("special", lines[0])

    def test_special_tokens_in_text(self):
        joined = json.loads(self.good("tokenize", "-m", self.model, "--no-special-tokens", "<|eot_id|>"))
        split = json.loads(self.good("tokenize", "-m", self.model, "--no-special-tokens", "--split-special-tokens", "<|eot_id|>"))
        self.assertEqual(len(joined), 1)
        self.assertGreater(len(split), 1)

    def test_bad_ids(self):
        for spelled in ("1,", "x", "1.5", "-1", "[1", "2147483648", "1 2"):
            self.fails(64, "detokenize", "-m", self.model, "--", spelled)


class Streams(ProgramTest):
    def setUp(self):
        self.model = model("llama-chat")

    def test_lines_that_fail_do_not_end_the_stream(self):
        lines = ['"The river"', "", "nonsense", '"lone \\ud800"', '["The"]', '"caf\\u00e9 \\ud83d\\ude00"', '"\\x"', '"a" "b"', '"tab\tin"']
        out = [json.loads(line) for line in self.good("tokenize", "-m", self.model, "--jsonl", stdin="\n".join(lines)).splitlines()]
        self.assertEqual(len(out), len(lines))
        self.assertEqual(out[0], [0, 296, 494])
        for i in (1, 2, 3, 4, 6, 7, 8):
            self.assertEqual(list(out[i]), ["error"], lines[i])
        back = self.good("detokenize", "-m", self.model, "--jsonl", "--skip-special-tokens", stdin=json.dumps(out[5]) + "\n")
        self.assertEqual(json.loads(back), "café 😀")

    def test_detokenize_lines(self):
        lines = ["[296, 494]", "[]", "[1.5]", "[-1]", "{}", "[296,]", "[2147483648]", " [ 296 ] ", "[01]"]
        out = [json.loads(line) for line in self.good("detokenize", "-m", self.model, "--jsonl", stdin="\n".join(lines)).splitlines()]
        self.assertEqual(out[0], "The river")
        self.assertEqual(out[1], "")
        self.assertEqual(out[7], "The")
        for i in (2, 3, 4, 5, 6, 8):
            self.assertEqual(list(out[i]), ["error"], lines[i])

    def test_invalid_utf8_is_an_error_line(self):
        out = self.good("tokenize", "-m", self.model, "--jsonl", stdin=b'"\xff"\n"The"\n').splitlines()
        self.assertIn(b"error", out[0])
        self.assertEqual(json.loads(out[1]), [0, 296])

    def test_answers_come_line_by_line(self):
        with subprocess.Popen([program.PROGRAM, "tokenize", "-m", self.model, "--jsonl"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as process:
            for _ in range(3):
                process.stdin.write('"The river"\n')
                process.stdin.flush()
                self.assertEqual(json.loads(process.stdout.readline()), [0, 296, 494])
            process.stdin.close()
            self.assertEqual(process.wait(60), 0)

    def test_long_line(self):
        text = "The river " * 100000
        (ids,) = self.good("tokenize", "-m", self.model, "--jsonl", "--no-special-tokens", stdin=json.dumps(text)).splitlines()
        back = self.good("detokenize", "-m", self.model, "--jsonl", stdin=ids)
        self.assertEqual(json.loads(back), text)


class Reference(ProgramTest):
    """Every text with every real tokenizer, as tokenizers 0.23 has it."""

    def rows(self, verb, folder, values, *options):
        lines = "".join(json.dumps(value) + "\n" for value in values)
        out = self.good(verb, "-m", folder, "--jsonl", *options, stdin=lines)
        return [json.loads(line) for line in out.split("\n")[:-1]] # splitlines would split at U+2028 and others, too

    def check(self, name):
        texts = json.loads(shared("reference/tokenizers/texts.json").read_text())
        reference = json.loads(shared(f"reference/tokenizers/{name}.json").read_text())
        with tempfile.TemporaryDirectory() as folder:
            packed = shared(f"tokenizers/{name}/tokenizer.json.xz") # of tokenizer.json alone
            pathlib.Path(folder, "tokenizer.json").write_bytes(lzma.decompress(packed.read_bytes()))
            rows = reference["rows"]
            plain = [row["ids"] for row in rows]
            special = [row["ids"] if row["with_special"] is None else row["with_special"] for row in rows]
            decoded = [text if row["decoded"] is True else row["decoded"] for text, row in zip(texts, rows)]
            skipped = [text if row["decoded_skip"] is True else row["decoded_skip"] for text, row in zip(texts, rows)]
            self.equal(texts, plain, self.rows("tokenize", folder, texts, "--no-special-tokens"))
            self.equal(texts, special, self.rows("tokenize", folder, texts))
            self.equal(plain, decoded, self.rows("detokenize", folder, plain))
            self.equal(special, skipped, self.rows("detokenize", folder, special, "--skip-special-tokens"))
            random_ids = [row[0] for row in reference["random_ids"]]
            self.equal(random_ids, [row[1] for row in reference["random_ids"]], self.rows("detokenize", folder, random_ids))
            self.equal(random_ids, [row[2] for row in reference["random_ids"]],
                       self.rows("detokenize", folder, random_ids, "--skip-special-tokens"))
            print(f"{name}: {len(texts)} texts and {len(random_ids)} lists of random ids equal")

    def equal(self, inputs, expected, found):
        self.assertEqual(len(expected), len(found))
        wrong = [(i, e, f) for i, e, f in zip(inputs, expected, found) if e != f]
        self.assertFalse(wrong, f"{len(wrong)} of {len(inputs)} differ, the first: {wrong[:1]!r:.600}")


for tokenizer in ("deepseek_v3", "gemma3", "llama2", "llama3_1", "mistral_nemo", "qwen2_5"):
    setattr(Reference, f"test_{tokenizer}", lambda self, name=tokenizer: self.check(name))

if __name__ == "__main__":
    program.main()
