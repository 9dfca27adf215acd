#!/usr/bin/env python3
"""Writes tests/data/tokenizers/zoo.json: small tokenizers with what the `tokenizers` package makes of hard texts.

    {"texts": [...], "glass": {...}, "tokenizers": [{"name", "tokenizer": {...}, "rows": [[text, ids, with_special, pair, types, decoded,
    decoded_skip], ...], "random": [[ids, decoded, decoded_skip], ...]}, ...]}

tokenizer.model "glass": the one above; text: index of the text; pair: ids of the text and the next one with special tokens, or null; decoded: of ids;
decoded_skip: of with_special without special tokens; with_special null: as ids; decoded true: the text itself.
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

# Texts for expressions: a few of each kind are enough, there are many expressions.
FEW = [1, 6, 8, 13, 14, 16, 17, 21, 25, 29]


def rows_of(name, real, texts):
    rows = []
    chosen = FEW if name.startswith("regex-") else range(name.startswith(("split", "punct", "post")), len(texts), 2 if name.startswith(("split-R", "split-M", "split-C", "split-I", "punct", "post")) else 1)
    for i in chosen:
        ids = real.encode(texts[i], add_special_tokens=False).ids
        special = real.encode(texts[i]).ids
        pair = types = None
        if name.startswith(("post-", "wordpiece", "bpe-whole")):
            both = real.encode(texts[i], texts[(i + 1) % len(texts)])
            pair, types = both.ids, both.type_ids
        decoded, skip = real.decode(ids, skip_special_tokens=False), real.decode(special, skip_special_tokens=True)
        rows.append([i, ids, None if special == ids else special, pair, types, decoded == texts[i] or decoded, skip == texts[i] or skip])
    return rows


def random_of(name, real):
    rng, out = zoo.rng(name), []
    size = max(real.get_vocab(True).values()) + 1
    for _ in range(60 if name.startswith("decoder-") else 3):
        ids = zoo.random_ids(rng, size)
        out.append([ids, real.decode(ids, skip_special_tokens=False), real.decode(ids, skip_special_tokens=True)])
    return out


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    texts = [t if len(t) < 200 else "a" * 45 + "b" * 5 + " " * 9 + "c" for t in zoo.TEXTS]
    out, glass = [], zoo.glass()["model"]
    for name, spec in zoo.zoo().items():
        real = tokenizers.Tokenizer.from_str(json.dumps(spec))
        rows = [] if name.startswith("decoder-") else rows_of(name, real, texts)
        if spec["model"] == glass:
            spec = {**spec, "model": "glass"}
        out.append({"name": name, "tokenizer": spec, "rows": rows, "random": random_of(name, real)})
    path = os.path.join(here, "..", "data", "tokenizers", "zoo.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write('{"made_with": "tokenizers %s",\n"texts": %s,\n"glass": %s,\n' % (tokenizers.__version__, json.dumps(texts), json.dumps(glass)))
        f.write('"tokenizers": [\n')
        f.write(",\n".join(json.dumps(t, separators=(",", ":")) for t in out))
        f.write("\n]}\n")
    print(f"{len(out)} tokenizers, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
