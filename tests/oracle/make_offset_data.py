#!/usr/bin/env python3
"""Writes tests/data/tokenizers/offsets.json: where the tokens of hard texts stand, by the `tokenizers` package, for the small tokenizers of zoo.json.

    {"glass": {...}, "tokenizers": [{"name": of zoo.json, "rows": [[text of zoo.json, [start, end, word, start, ...]], ...]}, ...]}

glass: the model that replaces zoo.json's. It has no suffix: the library counts the bytes of one as if they were in the text.
"""

import json
import os
import sys

try:
    import tokenizers
except ImportError:
    print("skipped: the Python package `tokenizers` is not installed")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tokenizer_zoo as zoo

KINDS = ("normalizer", "split", "punctuation", "bpe", "unigram", "word", "post", "added")
TEXTS = (6, 7, 8, 17, 18, 20, 23, 24, 25, 26, 32, 33, 34, 36)


def main():
    glass = {**zoo.glass()["model"], "end_of_word_suffix": None}
    out = []
    for n, (name, spec) in enumerate(zoo.zoo().items()):
        if not name.startswith(KINDS):
            continue
        real = tokenizers.Tokenizer.from_str(json.dumps({**spec, "model": glass} if spec["model"] == zoo.glass()["model"] else spec))
        rows = []
        for i in TEXTS if name.startswith(("norm", "bpe", "uni", "word", "post")) else TEXTS[n % 4 :: 4]:
            e = real.encode(zoo.TEXTS[i], add_special_tokens=False)
            rows.append([i, [x for (start, end), word in zip(e.offsets, e.word_ids) for x in (start, end, word)]])
        out.append({"name": name, "rows": rows})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "tokenizers", "offsets.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write('{"made_with": "tokenizers %s",\n"glass": %s,\n"tokenizers": [\n' % (tokenizers.__version__, json.dumps(glass)))
        f.write(",\n".join(json.dumps(t, separators=(",", ":")) for t in out))
        f.write("\n]}\n")
    print(f"{len(out)} tokenizers, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
