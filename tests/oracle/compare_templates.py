#!/usr/bin/env python3
"""Compares libmica's template language with the real Jinja on the snippets of template_snippets.py.

usage: compare_templates.py [--library libmica.so] [--messages]    (--messages: also where only the error's wording differs)"""
import argparse
import sys

import jinja_oracle
from mica_template import Library
from template_snippets import snippets


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--library")
    options.add_argument("--messages", action="store_true")
    args = options.parse_args()
    compile, library = jinja_oracle.compiler(), Library(args.library)
    same = different = 0
    for template, values in snippets():
        expected, got = jinja_oracle.render(compile, template, values), library.render(template, values)
        if "0x" in expected.get("text", "") and " at 0x" in expected["text"]:
            continue  # shows an address
        if "text" in expected:
            ok = got == expected["text"]
        else:
            ok = isinstance(got, tuple) and got[0] not in ("MEMORY", "INTERNAL")
            own = expected["error"].removeprefix("TemplateError: ")
            if own != expected["error"]:
                ok = ok and got[0] == "INVALID" and got[1] == own.replace("\n", "\\n").replace("\t", "\\t")
            if ok and args.messages and expected["error"].split(": ", 1)[1] not in got[1]:
                print(f"message: {template!r}\n   real {expected['error']}\n   mica {got[1]}")
        same, different = same + ok, different + (not ok)
        if not ok:
            print(f"{template!r}\n   real {expected}\n   mica {got!r}")
    print(f"{same} equal, {different} different")
    return different != 0


if __name__ == "__main__":
    sys.exit(main())
