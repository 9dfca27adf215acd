"""python -m mica SCRIPT [ARGUMENTS]: runs a script written for Transformers, with device_map="mlx" meaning mica.

`python -m mica -c CODE` and `python -m mica -m MODULE` do the same with a program text and a module.
"""

from __future__ import annotations

import os
import runpy
import sys

USAGE = "usage: python -m mica [-c CODE | -m MODULE | SCRIPT] [ARGUMENTS]\n"


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        (sys.stdout if arguments else sys.stderr).write(USAGE + "\n" + (__doc__ or ""))
        return 0 if arguments else 64
    if arguments[0] == "--version":
        import mica

        print(f"mica {mica.__version__}")
        return 0
    if arguments[0] in ("-c", "-m") and len(arguments) < 2:
        sys.stderr.write(f"python -m mica: {arguments[0]} needs an argument\n" + USAGE)
        return 64
    from . import transformers  # noqa: F401  (importing it is what it is for)

    if arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path[0] = ""
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    elif arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        script = arguments[0]
        if not os.path.exists(script):
            sys.stderr.write(f"python -m mica: there is no {script}\n")
            return 66
        sys.argv = arguments
        sys.path[0] = os.path.dirname(os.path.abspath(script))
        runpy.run_path(script, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
