"""Command lines: exit codes, messages, --help, and the manual beside it."""
import os
import re
import subprocess
import unittest

import program
from program import ProgramTest, ROOT, VERBS, run


def options_of(help_text):
    """Names in --help: [no-] forms give the name with and without."""
    return set(re.findall(r"^ .{0,6}--(?:\[no-\])?([a-z][a-z0-9-]*)", help_text, re.M))


class Usage(ProgramTest):
    def test_no_verb_and_unknown_verb(self):
        self.fails(64, says="no verb")
        self.fails(64, "generat", says="did you mean generate?")
        self.fails(64, "xyzzy")
        self.fails(64, "x" * 100000)

    def test_version(self):
        self.assertRegex(self.good("--version"), r"^mica \d+\.\d+\.\d+\n$")

    def test_help(self):
        overview = self.good("--help")
        for verb in VERBS:
            self.assertIn(f"\n  {verb} ", overview)
            text = self.good(verb, "--help")
            self.assertTrue(text.startswith(f"usage: mica {verb} "), text)
            self.assertEqual(text, self.good("help", verb))
            self.assertEqual(text, self.good(verb, "-h"))
            self.assertLessEqual(max(map(len, text.splitlines())), 120)
            self.assertIn("help", options_of(text))

    def test_unknown_options(self):
        for verb in VERBS:
            self.fails(64, verb, "--no-such-option", says="unknown option '--no-such-option'")
            self.fails(64, verb, "-Z")
            self.fails(64, verb, "--no-", says="unknown option")
            self.fails(64, verb, "--=x", says="unknown option")
        self.fails(64, "generate", "--tempratur", "1", says="did you mean --temperature?")
        self.fails(64, "generate", "--no-do-smple", says="did you mean --no-do-sample?")
        self.fails(64, "tokenize", "--jsnol", says="did you mean --jsonl?")

    def test_values(self):
        self.fails(64, "bench", "--prompt", says="needs a value")
        self.fails(64, "bench", "--prompt", "ten", says="whole numbers")
        self.fails(64, "bench", "--prompt", "0", says="from 1")
        self.fails(64, "bench", "--prompt", "99999999999999999999", says="whole numbers")
        self.fails(64, "bench", "--prompt", "5x")
        self.fails(64, "bench", "--prompt", " 5")
        self.fails(64, "bench", "--prompt", "")
        self.fails(64, "bench", "--precision", "sloppy", says="expected one of: fast exact")
        self.fails(64, "bench", "--precision", "fast exact")
        self.fails(64, "bench", "--json=yes", says="takes no value")
        self.fails(64, "bench", "--no-json=yes")
        self.fails(64, "bench", "--no-prompt", "3")
        self.fails(64, "bench", "--threads", "-1")

    def test_twice(self):
        self.fails(64, "bench", "--prompt", "5", "--prompt=5", says="given twice")
        self.fails(64, "bench", "--json", "--no-json", says="given twice")
        self.fails(64, "info", "-m", "a", "--model", "b", says="given twice")

    def test_words(self):
        self.fails(64, "bench", "surplus", says="unexpected 'surplus'")
        self.fails(64, "tokenize", "one", "two")
        self.fails(64, "tokenize", "--", "one", "--two")
        self.fails(64, "tokenize", *["word"] * 10000)

    def test_hostile_words(self):
        word = "x" * 120000
        for arguments in (["tokenize", "--" + word], ["tokenize", "-m", word, "text"], ["bench", "--prompt", word],
                          ["bench", "--prompt=" + word], ["bench", word], ["generate", "--ids", word]):
            result = run(*arguments)
            self.assertIn(result.returncode, (64, 66), arguments)
            self.assertLess(len(result.stderr), 1000)
        for raw in (b"\xff\xfe", b"\x1b[31m", b"a\nb", b"\xed\xa0\x80"):
            result = subprocess.run([os.fsencode(program.PROGRAM), b"bench", b"--" + raw], capture_output=True, timeout=60)
            self.assertEqual(result.returncode, 64)
            self.assertNotIn(b"\x1b", result.stderr)
            self.assertEqual(result.stderr.count(b"\n"), 2)
            result.stderr.decode("utf-8")

    def test_missing_parts(self):
        self.fails(64, "generate", says="a prompt is missing")
        self.fails(64, "generate", "a", "--prompt", "b", says="more than one prompt")
        self.fails(64, "generate", "--ids", "1,,2", says="--ids")
        self.fails(64, "generate", "--ids", "1,2x")
        self.fails(64, "generate", "--ids", "-1")
        self.fails(64, "logits", "--ids", "1", says="--output is missing")
        self.fails(64, "logits", "--output", "x", says="one of --ids and --prompt")
        self.fails(64, "logits", "--output", "x", "--ids", "")
        self.fails(64, "tokenize", "--jsonl", "text")
        self.fails(64, "detokenize", "--jsonl", "1")
        self.fails(64, "template", "--jsonl", "text")

    def test_settings_are_checked_before_loading(self):
        for arguments in (["--temperature", "hot"], ["--temperature", "-1"], ["--top-p", "1.5"], ["--max-new-tokens", "-3"],
                          ["--max-new-tokens", "1e9"], ["--top-k", "99999999999999999999"], ["--bad-words-ids", "[[1"],
                          ["--eos-token-id", "[-5]"]):
            self.fails(64, "generate", "-m", "/nonexistent", "text", *arguments)

    def test_missing_models(self):
        for verb, rest in (("generate", ["x"]), ("tokenize", ["x"]), ("detokenize", ["1"]), ("template", ["x"]), ("info", []),
                           ("bench", []), ("chat", []), ("logits", ["--ids", "1", "--output", "/tmp/never"])):
            self.fails(66, verb, "-m", "/nonexistent/model", *rest, says="/nonexistent/model")
        self.fails(64, "info", "-m", "")


class Manual(ProgramTest):
    def test_every_verb_has_a_page_with_its_options(self):
        for verb in VERBS:
            page = (ROOT / f"docs/manual/{verb}.md").read_text().partition("\n## Options\n")[2]
            self.assertEqual(options_of(self.good(verb, "--help")), options_of(page),
                             f"docs/manual/{verb}.md is out of date: scripts/update-manual.sh brings it up to date")

    def test_the_program_lists_no_option_that_is_refused(self):
        nowhere = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "", "HF_HOME": "", "HF_HUB_CACHE": ""} # no default model
        for verb in VERBS:
            for name in options_of(self.good(verb, "--help")) - {"help"}:
                self.assertNotIn("unknown option", run(verb, f"--{name}", env=nowhere).stderr)


if __name__ == "__main__":
    program.main()
