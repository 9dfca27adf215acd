"""generate: text and ids equal to the references, settings, scores, standard output that closes, signals."""
import json
import pathlib
import signal
import subprocess
import tempfile
import unittest

import program
from program import PROGRAM, ProgramTest, model, read_safetensors, run

EXACT = ["--dtype", "float32", "--precision", "exact"]


def shared_or_data(name):
    for folder in (program.ROOT / "tests/data/models", program.SHARED / "reference"):
        if (folder / name).exists():
            return folder / name
    raise unittest.SkipTest(f"no references {name}")


class EightBits(ProgramTest):
    """--precision int8: only texts of more than one token are rounded to 8 bits."""
    BASE = ["generate", "-m", model("llama"), "--quantize", "affine-4-32", "--no-do-sample", "--max-new-tokens", "24", "--precision"]
    TEXT = ["--ids", "5,9,17,33,2,8,5,9,17,33,2,8,5,9,17"]

    def scores(self, precision, ids):
        with tempfile.TemporaryDirectory() as out:
            path = pathlib.Path(out, "scores")
            self.good(*self.BASE, precision, *ids, "--output-scores", path)
            return read_safetensors(path)["scores"][1]

    def test_same_tokens_however_they_are_computed(self):
        alone = self.good(*self.BASE, "int8", *self.TEXT)
        for options in (["--threads", "1"], ["--threads", "3"], ["--prompt-lookup-num-tokens", "4"]):
            self.assertEqual(self.good(*self.BASE, "int8", *self.TEXT, *options), alone, options)

    def test_single_tokens_keep_16_bits(self):
        self.assertEqual(self.scores("int8", ["--ids", "5"]), self.scores("fast", ["--ids", "5"]))

    def test_near_the_default(self):
        vocab = json.loads((model("llama") / "config.json").read_text())["vocab_size"]
        a, b = self.scores("int8", self.TEXT)[:vocab], self.scores("fast", self.TEXT)[:vocab]
        scale = max(map(abs, b))
        self.assertLess(max(abs(x - y) for x, y in zip(a, b)), 0.05 * scale)  # a product is off by 0.4 %, and errors add up


class Ids(ProgramTest):
    def greedy(self, name, *options):
        folder = model(name)
        reference = read_safetensors(folder / "reference.safetensors")
        prompt, expected = list(reference["prompt_ids"][1]), list(reference["greedy_ids"][1])
        expected = expected[len(prompt):] if expected[:len(prompt)] == prompt else expected
        out = self.good("generate", "-m", folder, *EXACT, "--no-do-sample", "--ids", ",".join(map(str, prompt)),
                        "--max-new-tokens", len(expected), *options)
        self.assertEqual(out.count("\n"), 1)
        return expected, json.loads(out)

    def test_greedy_continuation(self):
        expected, found = self.greedy("llama")
        self.assertEqual(expected, found)

    def test_any_number_of_threads(self):
        expected, _ = self.greedy("llama")
        for threads in (1, 2, 3):
            self.assertEqual(self.greedy("llama", "--threads", threads)[1], expected)

    def test_no_length_gives_transformers_20(self):
        out = self.good_but_warned("generate", "-m", model("llama"), "--ids", "1,2,3", "--no-do-sample")
        self.assertLessEqual(len(json.loads(out)), 20)

    def good_but_warned(self, *arguments):
        result = run(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_scores(self):
        folder = model("llama")
        with tempfile.TemporaryDirectory() as out:
            path = pathlib.Path(out, "scores")
            ids = json.loads(self.good("generate", "-m", folder, *EXACT, "--no-do-sample", "--ids", "1,2,3", "--max-new-tokens", "4",
                                       "--suppress-tokens", "[7]", "--output-scores", path))
            (steps, vocab), scores = read_safetensors(path)["scores"]
        self.assertEqual(steps, len(ids))
        for step, chosen in enumerate(ids):
            row = scores[step * vocab:(step + 1) * vocab]
            self.assertEqual(max(range(vocab), key=row.__getitem__), chosen)
            self.assertEqual(row[7], float("-inf"))

    def test_several_sequences(self):
        """Every row of the settings' reference that returns more than one, and one by beams."""
        folder = model("llama-chat")
        reference = json.loads((shared_or_data("settings") / "reference.json").read_text())
        prompt, rows = reference["prompt_ids"], reference["deterministic"]
        for name in ("beams5-n3", "beams3-lpneg-early", "cfg", "prompt_lookup", "sequence_bias"):
            options = []
            for key, value in rows[name]["settings"].items():
                options += [f"--{key.replace('_', '-')}", json.dumps(value)]
            out = self.good("generate", "-m", folder, *EXACT, "--ids", ",".join(map(str, prompt)), "--max-new-tokens", "24", *options)
            self.assertEqual([prompt + json.loads(line) for line in out.splitlines()], rows[name]["sequences"], name)

    def test_an_assistant_changes_nothing(self):
        folder = model("llama-chat")
        base = ["generate", "-m", folder, *EXACT, "--no-chat-template", "--max-new-tokens", "40", "The river"]
        for settings in ([], ["--do-sample", "--seed", "3", "--temperature", "1.3"]):
            plain = self.good(*base, *settings)
            result = run(*base, *settings, "--assistant-model", folder, "--stats")
            self.assertEqual(result.stdout, plain)
            self.assertRegex(result.stderr, r"\d+ of \d+ guesses were right")
            self.assertEqual(self.good(*base, *settings, "--prompt-lookup-num-tokens", "4"), plain)
        self.fails(66, *base, "--assistant-model", "/nowhere/at/all")
        self.fails(64, *base, "--assistant-model", folder, "--num-beams", "2")

    def test_negative_prompts(self):
        folder = model("llama-chat")
        base = ["generate", "-m", folder, *EXACT, "--ids", "0,59,330", "--max-new-tokens", "12", "--guidance-scale", "3"]
        last = self.good(*base)
        self.assertEqual(self.good(*base, "--negative-ids", "330"), last)
        self.assertNotEqual(self.good(*base, "--negative-ids", "0,59,330,263,492"), last)
        self.assertNotEqual(self.good(*base, "--negative-prompt", "The river runs"), last)
        self.fails(64, *base, "--negative-ids", "330", "--negative-prompt", "x")
        self.fails(64, *base, "--negative-ids", "x")

    def test_several_texts(self):
        base = ["generate", "-m", model("llama-chat"), *EXACT, "--no-chat-template", "--max-new-tokens", "8", "The river"]
        best = self.good(*base, "--num-beams", "3")
        texts = self.good(*base, "--num-beams", "3", "--num-return-sequences", "2").split("\n---\n")
        self.assertEqual(len(texts), 2)
        self.assertEqual(texts[0], best)
        self.fails(64, *base, "--num-return-sequences", "2")
        self.fails(64, *base, "--num-beams", "2", "--early-stopping", "sometimes")

    def test_scores_of_beams(self):
        folder = model("llama-chat")
        with tempfile.TemporaryDirectory() as out:
            path = pathlib.Path(out, "scores")
            self.good("generate", "-m", folder, *EXACT, "--num-beams", "3", "--ids", "0,59", "--max-new-tokens", "4", "--output-scores", path)
            (rows, vocab), scores = read_safetensors(path)["scores"]
        self.assertEqual((rows, vocab), (12, 512))
        self.assertAlmostEqual(sum(2.718281828 ** x for x in scores[:vocab]), 1, 4)

    def test_ids_outside_the_vocabulary(self):
        self.fails(64, "generate", "-m", model("llama"), "--ids", "1,100000", "--max-new-tokens", "4")


class Text(ProgramTest):
    def test_reference_texts(self):
        folder = model("llama-chat")
        reference = json.loads((folder / "reference.json").read_text())
        for row in reference["generate"]:
            n = len(row["output_ids"]) - len(row["input_ids"])
            arguments = ["generate", "-m", folder, *EXACT, "--no-do-sample", "--no-chat-template", "--max-new-tokens", n]
            self.assertEqual(self.good(*arguments, row["prompt"]), row["text"])
            self.assertEqual(self.good(*arguments, "--prompt", row["prompt"]), row["text"])
            self.assertEqual(self.good(*arguments, "-", stdin=row["prompt"]), row["text"])
            self.assertEqual(self.good(*arguments, "--prompt-file", "-", stdin=row["prompt"]), row["text"])

    def test_reference_chats(self):
        folder = model("llama-chat")
        for row in json.loads((folder / "reference.json").read_text())["chat"]:
            if len(row["messages"]) > 1:
                continue
            n = len(row["output_ids"]) - len(row["input_ids"])
            self.assertEqual(self.good("generate", "-m", folder, *EXACT, "--no-do-sample", "--max-new-tokens", n,
                                       row["messages"][0]["content"]), row["text"])

    def test_system_message_and_variables(self):
        folder = model("llama-chat")
        base = ["generate", "-m", folder, *EXACT, "--no-do-sample", "--max-new-tokens", "8"]
        plain = self.good(*base, "Hi")
        self.assertEqual(self.good(*base, "Hi", "--chat-template-kwargs", "{}"), plain)
        self.assertEqual(self.good(*base, "Hi", "--chat-template-kwargs", ' {"unused": [1, {"a": 2}]} '), plain)
        self.assertEqual(self.good(*base, "--system", "Be brief.", "Hi"), self.good(
            *base, "--no-chat-template", "--prompt-file", "-", stdin=self.good(
                "template", "-m", folder, "--system", "Be brief.", "Hi").removeprefix("<|begin_of_text|>")))
        for variables in ("{nonsense}", "nonsense", "[1]", ""):
            self.fails(64, *base, "Hi", "--chat-template-kwargs", variables, says="--chat-template-kwargs")
        self.fails(64, "generate", "-m", folder, "--no-chat-template", "--system", "x", "Hi")

    def test_seed(self):
        base = ["generate", "-m", model("llama-chat"), "--do-sample", "--temperature", "1.5", "--max-new-tokens", "30", "Hi"]
        self.assertEqual(self.good(*base, "--seed", "5"), self.good(*base, "--seed", "5"))
        self.assertNotEqual(self.good(*base, "--seed", "5"), self.good(*base, "--seed", "6"))
        self.assertGreater(len({self.good(*base) for _ in range(4)}), 1)

    def test_settings_from_a_file(self):
        folder = model("llama-chat")
        base = ["generate", "-m", folder, *EXACT, "--no-chat-template", "The river"]
        with tempfile.TemporaryDirectory() as out:
            path = pathlib.Path(out, "settings.json")
            path.write_text('{"max_new_tokens": 5, "do_sample": false}')
            text = self.good(*base, "--generation-config", path)
            self.assertEqual(text, self.good(*base, "--max-new-tokens", "5", "--no-do-sample"))
            longer = self.good(*base, "--generation-config", path, "--max-new-tokens", "9")
            self.assertTrue(longer.startswith(text) and len(longer) > len(text))
            path.write_text('{"max_new_token": 5}')
            self.fails(64, *base, "--generation-config", path, says="max_new_token")
            path.write_text("[")
            self.assertIn(run(*base, "--generation-config", path).returncode, (64, 65))
            self.fails(66, *base, "--generation-config", pathlib.Path(out, "none"))

    def test_stop_string_as_it_is_typed(self):
        base = ["generate", "-m", model("llama-chat"), *EXACT, "--no-do-sample", "--no-chat-template", "--max-new-tokens", "40",
                "The river"]
        whole = self.good(*base)
        self.assertIn("sea.", whole)
        stopped = self.good(*base, "--stop-strings", "sea.")
        self.assertTrue(whole.startswith(stopped) and stopped.rstrip().endswith("sea."), stopped)
        self.assertEqual(self.good(*base, "--stop-strings", '["sea.", "never"]'), stopped)

    def test_setting_without_effect_warns(self):
        result = run("generate", "-m", model("llama-chat"), "--max-new-tokens", "2", "--use-cache", "Hi")
        self.assertEqual(result.returncode, 0)
        self.assertIn("warning: use_cache has no effect here", result.stderr)

    def test_no_tokenizer(self):
        self.fails(66, "generate", "-m", model("llama"), "--max-new-tokens", "2", "Hi")

    def test_stats(self):
        result = run("generate", "-m", model("llama-chat"), "--max-new-tokens", "4", "--stats", "Hi")
        self.assertRegex(result.stderr, r"prompt tokens in .* new")


class Endings(ProgramTest):
    def start(self):
        """A generation that would take very long."""
        return subprocess.Popen([PROGRAM, "generate", "-m", self.long_model(), "--no-do-sample", "--max-new-tokens", "90000", "Hi"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_reader_that_leaves(self):
        with self.start() as process:
            process.stdout.read(1)
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"")
            self.assertEqual(process.wait(60), 0)

    def test_signal_in_the_middle_of_an_answer(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.start() as process:
                process.stdout.read(20)
                process.send_signal(number)
                process.stdout.read()
                self.assertEqual(process.wait(60), code)
                self.assertEqual(process.stderr.read(), b"")

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([PROGRAM, "generate", "-m", model("llama-chat"), "--max-new-tokens", "3", "Hi"], stdout=full,
                                    stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(result.returncode, 74)
        self.assertIn(b"standard output: ", result.stderr)

    def test_signal_while_waiting_for_input(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with subprocess.Popen([PROGRAM, "tokenize", "-m", model("llama-chat"), "--jsonl"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                process.stdin.write(b'"a"\n')
                process.stdin.flush()
                process.stdout.readline()
                process.send_signal(number)
                self.assertEqual(process.wait(60), code)
                self.assertEqual(process.stderr.read(), b"")


if __name__ == "__main__":
    program.main()
