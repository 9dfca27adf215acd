#!/usr/bin/env python3
"""Writes the seeds of fuzz_tokenizer_json and fuzz_tokenizer_text, and the tokenizers that the latter is built with, from the
small tokenizers of tests/oracle/tokenizer_zoo.py. Needs no packages."""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "oracle"))
import tokenizer_zoo as zoo

TEXT = [
    "bpe-byte-level", "bpe-ignore-merges", "bpe-whole-text", "bpe-unk-fused", "bpe-suffix", "bpe-prefix", "unigram", "unigram-bytes", "wordpiece", "normalizer-precompiled",
    "normalizer-nfkc", "split-words-metaspace-first", "split-scripts", "added-lower", "added-prepend", "regex-1", "regex-4", "regex-7", "post-template", "decoder-fuse-replace-long",
    "decoder-ctc", "decoder-sequence", "decoder-bpe", "decoder-strip",
]  # fmt: skip


def small(spec):
    """The same with a vocabulary of a few tokens, so that mutations hit what matters."""
    model = dict(spec["model"])
    if model["type"] == "BPE" and len(model["vocab"]) > 200:
        model.update(vocab={"a": 0, "b": 1, "ab": 2, "\u2581": 3, "<unk>": 4}, merges=[["a", "b"]], byte_fallback=False, unk_token="<unk>")
    return {**spec, "model": model}


def write(folder, name, text):
    os.makedirs(os.path.join(HERE, "corpus", folder), exist_ok=True)
    with open(os.path.join(HERE, "corpus", folder, name), "w", encoding="utf-8") as f:
        f.write(text)


def c_string(text):
    """A C string literal per line of at most 100 characters."""
    out, line = [], ""
    for c in json.dumps(json.loads(text), separators=(",", ":")):
        line += {'"': '\\"', "\\": "\\\\"}.get(c, c)
        if len(line) > 100:
            out.append(f'    "{line}"')
            line = ""
    return "\n".join(out + [f'    "{line}"'])


def main():
    all_of_them = zoo.zoo()
    config = json.dumps({"eos_token": "<s>", "pad_token": {"content": "<p>"}, "added_tokens_decoder": {"7": {"content": "[X]", "special": True}}})
    for name, spec in all_of_them.items():
        if not name.startswith("regex-") or int(name[6:]) < 8:
            text = json.dumps(small(spec), separators=(",", ":"), ensure_ascii=False)
            write("tokenizer_json", name, text + ("\0" + config if name.startswith("added") else ""))
    for i, text in enumerate(zoo.TEXTS):
        write("tokenizer_text", f"text-{i}", chr(i % len(TEXT)) + chr(i % 32) + text[:200])
    with open(os.path.join(HERE, "tokenizer_samples.h"), "w", encoding="utf-8") as f:
        f.write("/* fuzz/tokenizer_samples.h: written by make_tokenizer_seeds.py. */\n")
        f.write("static const char *const samples[] = {\n")
        for name in TEXT:
            f.write(f"    /* {name} */\n{c_string(json.dumps(all_of_them[name]))},\n")
        f.write("};\n")


if __name__ == "__main__":
    main()
