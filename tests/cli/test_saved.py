"""What convert saves is loaded by the real mlx-lm and the real Transformers (tests/oracle/compare_mlx_lm.py, compare_saved.py).

The interpreters that have them are named by MICA_MLX_PYTHON and MICA_TRANSFORMERS_PYTHON; without these this one is tried.
"""
import os
import subprocess
import sys

import program
from program import PROGRAM, ROOT, ProgramTest, model

NAMES = ["llama", "gemma3_text", "qwen3", "gemma3-in-vision-wrapper"]


class Saved(ProgramTest):
    def oracle(self, script, variable, sources):
        python = os.environ.get(variable, sys.executable)
        result = subprocess.run([python, ROOT / "tests/oracle" / script, PROGRAM, *sources], capture_output=True, text=True)
        if result.returncode == 77:
            self.skipTest(f"{result.stdout.strip().removeprefix('skipped: ')} ({variable} names an interpreter that has it)")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        print(result.stdout.strip().splitlines()[-1])

    def sources(self):
        found = []
        for name in NAMES:
            try:
                found.append(model(name))
            except Exception as e:
                print(e)
        return found

    def test_mlx_lm(self):
        self.oracle("compare_mlx_lm.py", "MICA_MLX_PYTHON", self.sources())

    def test_transformers(self):
        self.oracle("compare_saved.py", "MICA_TRANSFORMERS_PYTHON", [*self.sources(), model("llama-chat")])


if __name__ == "__main__":
    program.main()
