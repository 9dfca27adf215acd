#!/usr/bin/env python3
"""Writes tests/data/templates: snippets.json with what the real Jinja makes of every snippet, and some real templates with their
cases from a reference folder (cases.json and NAME.json as made by Transformers).

usage: make_template_data.py [REFERENCE_FOLDER]"""
import json
import os
import sys

import jinja_oracle
from template_snippets import VALUES, snippets

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "templates")
REAL = ["Qwen-Qwen3-0.6B", "google-gemma-2-2b-it", "meta-llama-Llama-3.1-8B-Instruct", "mistralai-Mistral-Nemo-Instruct-2407",
        "ibm-granite-granite-3.3-2B-Instruct", "openai-gpt-oss-120b"]


def write(name, value):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=0)
        f.write("\n")


def main():
    compile = jinja_oracle.compiler()
    rows = []
    for template, values in snippets():
        row = jinja_oracle.render(compile, template, values)
        if " at 0x" not in row.get("text", ""):  # shows an address
            rows.append({"template": template, **row})
    write("snippets.json", {"now": jinja_oracle.NOW, "values": VALUES, "rows": rows})
    if len(sys.argv) > 1:
        for name in ["cases"] + REAL:
            with open(os.path.join(sys.argv[1], name + ".json"), encoding="utf-8") as f:
                write(name + ".json", json.load(f))
    print(len(rows), "snippets")


if __name__ == "__main__":
    main()
