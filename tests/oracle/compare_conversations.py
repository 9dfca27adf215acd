#!/usr/bin/env python3
"""Compares libmica with the real Jinja on random conversations through real templates.

usage: compare_conversations.py FOLDER_OF_JINJA_FILES [--library libmica.so] [--seed N] [--count N_PER_TEMPLATE]"""
import argparse
import glob
import os
import random
import sys

import jinja_oracle
from mica_template import Library

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
TEXTS = ["Hello", "", " ", "Hi <b>&\"x\"</b> 😀", "line\nline\n", "<think>\nplan\n</think>\n\nanswer", "<think></think>", "a</think>b", "[INST] x", "{\"a\": 1}",
         "  padded \t\n", "<|im_start|>", "Grüße 中文", "<tool_response>\nx\n</tool_response>", "/no_think", "/think go", "1", "x" * 300, "```py\nprint('{{ a }}')\n```"]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Current weather, \"now\"", "parameters": {"type": "object", "properties": {"location": {"type": "string", "description": "City"}, "unit": {"type": "string", "enum": ["c", "f"]}, "n": {"type": ["integer", "null"], "default": 1.5}}, "required": ["location"]}}},
         {"type": "function", "function": {"name": "noop", "description": "Does nothing é", "parameters": {"type": "object", "properties": {}}}},
         {"type": "function", "function": {"name": "nested", "description": "N", "parameters": {"type": "object", "properties": {"o": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}, "b": {"anyOf": [{"type": "integer"}, {"type": "string"}]}}}, "l": {"type": "array", "items": {"type": "object", "properties": {"q": {"type": "number"}}}}}, "required": ["o", "l"]}, "return": {"type": "object"}}},
         {"name": "bare", "description": "no wrapper", "parameters": {}}]


def message(r):
    role = r.choice(["user"] * 5 + ["assistant"] * 5 + ["system", "tool", "tool", "developer", "critic"])
    m = {"role": role}
    text = r.choice(TEXTS)
    k = r.random()
    if k < 0.8:
        m["content"] = text
    elif k < 0.9:
        m["content"] = [{"type": "text", "text": text}] + ([{"type": r.choice(["text", "image", "image_url"]), "text": "t2"}] if r.random() < 0.5 else [])
    elif k < 0.96:
        m["content"] = None
    if role == "assistant" and r.random() < 0.4:
        call = {"type": "function", "function": {"name": "get_weather", "arguments": r.choice([{"location": "Zürich", "n": 1}, {}, "{\"location\": \"x\"}", {"a": [1, {"b": None}], "c": True, "d": "x<y"}])}}
        if r.random() < 0.8:
            call["id"] = r.choice(["abc123def", "x", "123456789"])
        m["tool_calls"] = [call] * r.randint(1, 2)
    if role == "assistant" and r.random() < 0.3:
        m[r.choice(["reasoning_content", "reasoning", "thinking"])] = r.choice(TEXTS)
    if role == "tool":
        if r.random() < 0.7:
            m["tool_call_id"] = "abc123def"
        if r.random() < 0.6:
            m["name"] = "get_weather"
    return m


def conversation(r):
    case = {"messages": []}
    if r.random() < 0.6:  # well-behaved
        if r.random() < 0.5:
            case["messages"].append({"role": "system", "content": r.choice(TEXTS)})
        for i in range(r.randint(1, 5)):
            case["messages"].append({"role": "assistant" if i % 2 else "user", "content": r.choice(TEXTS)})
            if i % 2 and r.random() < 0.3:
                case["messages"][-1]["tool_calls"] = [{"id": "abc123def", "type": "function", "function": {"name": "noop", "arguments": {"q": 1}}}]
                case["messages"].append({"role": "tool", "content": r.choice(TEXTS), "tool_call_id": "abc123def", "name": "noop"})
    else:
        case["messages"] = [message(r) for _ in range(r.randint(1, 6))]
    if r.random() < 0.4:
        case["tools"] = r.sample(TOOLS, r.randint(0, 3))
    if r.random() < 0.6:
        case["add_generation_prompt"] = r.random() < 0.8
    if r.random() < 0.15:
        case["documents"] = [{"title": "T", "text": r.choice(TEXTS)}]
    for name, values in [("enable_thinking", [True, False]), ("reasoning_effort", ["low", "high", None]), ("thinking", [True, False]), ("date_string", ["1 Jan 2026"]),
                         ("builtin_tools", [["brave_search", "code_interpreter"]]), ("custom_instructions", ["Be nice"]), ("xml_tools", [[]]), ("functions", ["[]"]), ("datetime", ["now"]),
                         ("keep_past_thinking", [True]), ("clear_thinking", [False]), ("model_identity", ["Bob"]), ("preserve_thinking", [True]), ("tools_in_user_message", [False])]:
        if r.random() < 0.12:
            case[name] = r.choice(values)
    return case


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder")
    options.add_argument("--library")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--count", type=int, default=60)
    args = options.parse_args()
    compile, library = jinja_oracle.compiler(), Library(args.library)
    total = errors = different = 0
    for path in sorted(glob.glob(os.path.join(args.folder, "*.jinja"))):
        with open(path, encoding="utf-8") as f:
            source = f.read()
        for i in range(args.count):
            case = conversation(random.Random(f"{args.seed} {os.path.basename(path)} {i}"))
            expected, got = jinja_oracle.render(compile, source, {**SPECIAL, **case}), library.render(source, case, SPECIAL)
            total += 1
            errors += "error" in expected
            ok = got == expected["text"] if "text" in expected else isinstance(got, tuple)
            own = expected.get("error", "").removeprefix("TemplateError: ")
            if own != expected.get("error", ""):
                ok = ok and got[1] == own.replace("\n", "\\n")
            if not ok:
                different += 1
                if different < 10:
                    print(f"{path}: {case}\n   real {expected}\n   mica {got!r}")
    print(f"{total} conversations, {errors} of them errors, {different} different")
    return different != 0


if __name__ == "__main__":
    sys.exit(main())
