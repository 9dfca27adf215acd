"""chat: with a pipe, and at a terminal (a pseudo-terminal): editing, history, commands, Ctrl-C."""
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import tempfile
import termios
import time

import program
from program import PROGRAM, ProgramTest, model, run

EXACT = ["--dtype", "float32", "--precision", "exact", "--no-do-sample"]


class Piped(ProgramTest):
    def chat(self, text, *options):
        result = run("chat", "-m", model("llama-chat"), *EXACT, *options, stdin=text)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def test_reference_chats(self):
        for row in json.loads((model("llama-chat") / "reference.json").read_text())["chat"]:
            n = len(row["output_ids"]) - len(row["input_ids"])
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder, "before.json")
                path.write_text(json.dumps(row["messages"][:-1]))
                text = row["messages"][-1]["content"]
                quoted = f'"""{text}"""\n' if "\n" in text else text + "\n"
                out = self.chat(quoted, "--load", path, "--max-new-tokens", n).stdout
            self.assertEqual(out, row["text"] + "\n")

    def test_conversation_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "saved.json")
            result = self.chat(f"Hi\nGo on\n/save {path}\n", "--max-new-tokens", "8", "--system", "Be brief.")
            messages = json.loads(path.read_text())
            self.assertEqual([m["role"] for m in messages], ["system", "user", "assistant", "user", "assistant"])
            self.assertEqual(messages[1]["content"], "Hi")
            self.assertEqual(result.stdout, messages[2]["content"] + "\n" + messages[4]["content"] + "\n")
            # a saved conversation goes on where it was
            whole = self.chat("Hi\nGo on\nAnd then?\n", "--max-new-tokens", "8", "--system", "Be brief.").stdout
            rest = self.chat(f"/load {path}\nAnd then?\n", "--max-new-tokens", "8", "--system", "Be brief.").stdout
            self.assertEqual(whole, result.stdout + rest)
            # and /reset forgets all but the system message
            self.chat(f"Hi\n/reset\n/save {path}\n", "--max-new-tokens", "8", "--system", "Be brief.")
            self.assertEqual([m["role"] for m in json.loads(path.read_text())], ["system"])

    def test_several_lines(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "saved.json")
            self.chat(f'one\\\ntwo\n"""\nthree\nfour\n"""\n"""five"""\n//six\n\n   \n/save {path}\n', "--max-new-tokens", "2")
            asked = [m["content"] for m in json.loads(path.read_text()) if m["role"] == "user"]
        self.assertEqual(asked, ["one\ntwo", "three\nfour", "five", "/six"])

    def test_set(self):
        result = self.chat("/set max_new_tokens 3\n/set max_new_tokens\n/set no_such 1\n/set top-k many\n/set stop-strings sea.\n/set\n",
                           "--max-new-tokens", "2")
        self.assertEqual(result.stdout, "")
        lines = result.stderr.splitlines()
        self.assertRegex(lines[0], r"max_new_tokens +3$")
        self.assertRegex(lines[1], r"max_new_tokens +3$")
        self.assertIn("no setting 'no_such'", lines[2])
        self.assertTrue(lines[3].startswith("mica: "), lines[3])
        self.assertIn('sea.', lines[4])
        self.assertTrue(any(re.match(r" *stop_strings ", line) for line in lines[5:]))

    def test_commands(self):
        result = self.chat("/help\n/hlep\n/save\n/load\n/load /nonexistent\n/save /nonexistent/x\n/exit\nnever asked\n")
        self.assertEqual(result.stdout, "")
        for text in ("/reset", "did you mean /help", "/save FILE", "/load FILE", "/nonexistent: No such file"):
            self.assertIn(text, result.stderr)
        self.assertEqual(self.chat("/quit\n").stderr, "")

    def test_faults(self):
        self.fails(66, "chat", "-m", model("llama-chat"), "--load", "/nonexistent")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "bad.json")
            path.write_text('[{"role": 1}]')
            result = run("chat", "-m", model("llama-chat"), "--load", path)
            self.assertNotEqual(result.returncode, 0)
        self.assertNotEqual(run("chat", "-m", model("llama"), stdin="Hi\n").returncode, 70)

    def test_stats(self):
        self.assertRegex(self.chat("Hi\n", "--max-new-tokens", "4", "--stats").stderr, r"prompt tokens in .* new")

    def test_signals(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with subprocess.Popen([PROGRAM, "chat", "-m", model("llama-chat"), "--max-new-tokens", "4"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                process.stdin.write(b"Hi\n")
                process.stdin.flush()
                process.stdout.read(1)
                time.sleep(0.2)
                process.send_signal(number)
                self.assertEqual(process.wait(60), code)


class Terminal:
    """A chat at a pseudo-terminal."""

    def __init__(self, folder, state, *options):
        self.state = state
        pid, self.fd = pty.fork()
        if pid == 0:
            os.environ.update(TERM="xterm", XDG_STATE_HOME=state, HOME=state, LC_ALL="C.UTF-8")
            os.execv(PROGRAM, [PROGRAM, "chat", "-m", str(folder), *map(str, options)])
        self.pid, self.text = pid, ""

    def expect(self, pattern, seconds=60):
        """Waits until the pattern has come since the last match; returns what came up to its end."""
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.text)):
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"waited for {pattern!r}, came {self.text!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"ended while waiting for {pattern!r}, came {self.text!r}")
            self.text += data.decode(errors="replace")
        before, self.text = self.text[:match.end()], self.text[match.end():]
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def ends(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError("did not end")


class AtATerminal(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = folder.name
        try:
            for fd in pty.openpty():
                os.close(fd)
        except OSError as error:
            self.skipTest(f"no pseudo-terminal here: {error}")

    def open(self, folder, *options):
        terminal = Terminal(folder, self.state, *EXACT, *options)
        self.addCleanup(os.close, terminal.fd)
        terminal.expect(">>> ")
        return terminal

    def test_answer_with_speed_then_ctrl_d(self):
        t = self.open(model("llama-chat"), "--max-new-tokens", "6")
        t.type("Hi\n")
        t.expect(r"tokens/s")
        t.expect(">>> ")
        t.type("\x04")
        self.assertEqual(t.ends(), 0)

    def test_ctrl_c_stops_the_answer_and_not_the_program(self):
        t = self.open(self.long_model(), "--max-new-tokens", "90000")
        for _ in range(2):
            t.type("Hi\n")
            t.expect(r"Hi\r\n.{20}(?s:.)*")
            t.type("\x03")
            t.expect(r"\(stopped\)")
            t.expect(">>> ")
        t.type("/save " + self.state + "/saved\n")
        t.expect("saved to")
        t.expect(">>> ")
        t.type("/exit\n")
        self.assertEqual(t.ends(), 0)
        messages = json.loads(pathlib.Path(self.state, "saved").read_text())
        self.assertEqual([m["role"] for m in messages], ["user", "assistant"] * 2)
        self.assertGreater(len(messages[1]["content"]), 10)

    def test_ctrl_c_at_the_prompt_drops_the_line(self):
        t = self.open(model("llama-chat"), "--max-new-tokens", "4")
        t.type("never sent")
        t.expect("never sent")
        t.type("\x03")
        t.expect("/exit leaves")
        t.expect(">>> ")
        t.type("/save " + self.state + "/saved\n")
        t.expect("saved to")
        t.expect(">>> ")
        t.type("/exit\n")
        self.assertEqual(t.ends(), 0)
        self.assertEqual(json.loads(pathlib.Path(self.state, "saved").read_text()), [])

    def test_editing_history_and_several_lines(self):
        t = self.open(model("llama-chat"), "--max-new-tokens", "2")
        t.type("caf\u00e9 x\x7fy\x01> \n") # backspace, then to the start of the line
        t.expect("tokens/s")
        t.expect(">>> ")
        t.type("first \\\n")
        t.expect(r"\.\.\. ")
        t.type("second\n")
        t.expect("tokens/s")
        t.expect(">>> ")
        t.type("/save " + self.state + "/saved\n")
        t.expect("saved to")
        t.expect(">>> ")
        t.type("/exit\n")
        self.assertEqual(t.ends(), 0)
        asked = [m["content"] for m in json.loads(pathlib.Path(self.state, "saved").read_text()) if m["role"] == "user"]
        self.assertEqual(asked, ["> caf\u00e9 y", "first \nsecond"])
        history = pathlib.Path(self.state, "mica/history")
        self.assertEqual(history.stat().st_mode & 0o077, 0)

        t = self.open(model("llama-chat"), "--max-new-tokens", "2")
        t.type("\x1b[A") # the line before: /exit
        t.expect("/exit")
        t.type("\n")
        self.assertEqual(t.ends(), 0)

    def test_the_terminal_is_as_it_was(self):
        t = self.open(model("llama-chat"), "--max-new-tokens", "4")
        t.type("Hi\n")
        t.expect("tokens/s")
        t.expect(">>> ")
        os.kill(t.pid, signal.SIGTERM)
        mode = termios.tcgetattr(t.fd)[3]
        self.assertEqual(t.ends(), 143)
        self.assertTrue(mode is not None)

    def test_no_history(self):
        t = self.open(model("llama-chat"), "--no-history")
        t.type("/exit\n")
        self.assertEqual(t.ends(), 0)
        self.assertFalse(pathlib.Path(self.state, "mica/history").exists())


if __name__ == "__main__":
    program.main()
