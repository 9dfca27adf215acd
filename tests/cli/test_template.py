"""template: a model's template and template files, --jsonl, and the reference renderings of many real templates."""
import json
import pathlib
import tempfile
import unittest

import program
from program import ProgramTest, model, shared

NOW = "2026-01-02T03:04:05"


class Single(ProgramTest):
    def setUp(self):
        self.model = model("llama-chat")
        self.expected = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        self.generation = "<|start_header_id|>assistant<|end_header_id|>\n\n"

    def test_one_message(self):
        self.assertEqual(self.good("template", "-m", self.model, " Hi "), self.expected + self.generation)
        text = self.good("template", "-m", self.model, "--system", "Be brief", "Hi")
        self.assertIn("<|start_header_id|>system<|end_header_id|>\n\nBe brief<|eot_id|>", text)

    def test_input_object(self):
        value = json.dumps({"messages": [{"role": "user", "content": "Hi"}]})
        self.assertEqual(self.good("template", "-m", self.model, stdin=value), self.expected)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "input.json")
            path.write_text(value)
            self.assertEqual(self.good("template", "-m", self.model, "--input", path), self.expected)
        self.fails(64, "template", "-m", self.model, "--input", "x", "word")
        self.fails(66, "template", "-m", self.model, "--input", "/nonexistent")

    def test_template_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "t.jinja")
            path.write_text("{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{{ extra }}")
            value = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "extra": "!"})
            self.assertEqual(self.good("template", "--template", path, stdin=value), "<user>Hi!")
            self.assertEqual(self.good("template", "--template", path, "-m", self.model, stdin=value),
                             "<|begin_of_text|><user>Hi!")
            path.write_text("{{ strftime_now('%d %b %Y %H:%M:%S') }}")
            self.assertEqual(self.good("template", "--template", path, "--now", NOW, stdin=value), "02 Jan 2026 03:04:05")

    def test_faults_of_templates(self):
        value = json.dumps({"messages": []})
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "t.jinja")
            path.write_text("{% for m in %}")
            self.fails(65, "template", "--template", path, stdin=value)
            path.write_text("{{ raise_exception('no system message') }}")
            self.fails(64, "template", "--template", path, stdin=value, says="no system message")
            path.write_text("{% for i in range(10**9) %}{% endfor %}")
            self.fails(65, "template", "--template", path, stdin=value)
            self.fails(66, "template", "--template", pathlib.Path(folder, "missing"), stdin=value)
        self.fails(64, "template", "-m", self.model, "--now", "yesterday", "Hi")

    def test_no_template(self):
        self.fails(66, "template", "-m", model("llama"), "Hi")


class Streams(ProgramTest):
    def test_lines_that_fail_do_not_end_the_stream(self):
        good = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True})
        lines = [good, "", "[]", "{}", '{"messages": 3}', good]
        out = self.good("template", "-m", model("llama-chat"), "--jsonl", stdin="\n".join(lines)).splitlines()
        out = [json.loads(line) for line in out]
        self.assertEqual(len(out), len(lines))
        self.assertEqual(list(out[0]), ["text"])
        self.assertEqual(out[0], out[-1])
        for i in (1, 2):
            self.assertEqual(list(out[i]), ["error"], lines[i])


class Reference(ProgramTest):
    def test_every_case_of_every_template(self):
        cases = json.loads(shared("reference/templates/cases.json").read_text())
        n, wrong = 0, []
        for path in sorted(shared("reference/templates").glob("*.json")):
            if path.name == "cases.json":
                continue
            reference = json.loads(path.read_text())
            names = list(reference["rows"])
            lines = "".join(json.dumps({**cases["special_tokens"], **cases["cases"][name]}) + "\n" for name in names)
            with tempfile.TemporaryDirectory() as folder:
                template = pathlib.Path(folder, "t.jinja")
                template.write_bytes(reference["template"].encode())
                out = self.good("template", "--template", template, "--now", cases["now"], "--jsonl", stdin=lines).split("\n")[:-1]
            self.assertEqual(len(out), len(names), path.name)
            for name, line in zip(names, out):
                n += 1
                expected, found = reference["rows"][name], json.loads(line)
                if "text" in expected and found != {"text": expected["text"]} or "text" not in expected and "error" not in found:
                    wrong.append((path.name, name, expected, found))
        self.assertFalse(wrong, f"{len(wrong)} of {n} differ, the first: {wrong[:1]!r:.1000}")
        print(f"{n} cases equal")


if __name__ == "__main__":
    program.main()
