#!/usr/bin/env python3
"""Writes real tokenizers as GGUF vocabularies and compares what mica makes of them with the reference rows.

    gguf_tokenizers.py path/to/mica path/to/shared

The vocabulary goes into the file the way converters put it there: SentencePiece's pieces with scores (here by rank of the merge that
makes them), byte-level ones with merges and the name of their pre-tokenizer.
"""
import json
import lzma
import pathlib
import re
import subprocess
import sys
import tempfile

try:
    import gguf
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

TOKENIZERS = {"llama2": None, "llama3_1": "llama-bpe", "qwen2_5": "qwen2", "mistral_nemo": "tekken", "deepseek_v3": "deepseek-v3"}
ADDS_BOS = {"qwen2_5": False, "deepseek_v3": True}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def read(folder, name):
    return json.loads(lzma.open(folder / f"{name}.xz").read())


def vocabulary(tokenizer, is_pieces):
    texts = {i: t for t, i in tokenizer["model"]["vocab"].items()}
    types = {a["id"]: CONTROL if a["special"] else USER_DEFINED for a in tokenizer["added_tokens"]}
    texts |= {a["id"]: a["content"] for a in tokenizer["added_tokens"]}
    tokens, kinds = [], []
    for i in range(max(texts) + 1):
        text = texts.get(i, f"[PAD{i}]")
        kind = types.get(i, NORMAL if i in texts else UNUSED)
        if is_pieces and re.fullmatch("<0x[0-9A-F]{2}>", text):
            kind = BYTE
        if is_pieces and i == 0:
            kind = UNKNOWN
        tokens.append(text)
        kinds.append(kind)
    return tokens, kinds


def write(path, folder, name):
    tokenizer, config = read(folder, "tokenizer.json"), read(folder, "tokenizer_config.json")
    pre = TOKENIZERS[name]
    tokens, kinds = vocabulary(tokenizer, pre is None)
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_tokenizer_model("llama" if pre is None else "gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    if pre is None:
        rank = {}
        for merge in merges:
            rank.setdefault(merge.replace(" ", ""), len(rank))
        writer.add_token_scores([-float(rank.get(t, len(rank) + i)) if k == NORMAL else 0.0 for i, (t, k) in enumerate(zip(tokens, kinds))])
    else:
        writer.add_tokenizer_pre(pre)
        writer.add_token_merges(merges)
    for role in ("bos", "eos"):
        token = config.get(f"{role}_token")
        token = token["content"] if isinstance(token, dict) else token
        if token:
            writer.add_uint32(f"tokenizer.ggml.{role}_token_id", tokens.index(token))
    if name in ADDS_BOS:
        writer.add_add_bos_token(ADDS_BOS[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    mica, shared = sys.argv[1], pathlib.Path(sys.argv[2])
    texts = json.loads((shared / "reference/tokenizers/texts.json").read_text())
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in TOKENIZERS:
            path = pathlib.Path(scratch) / f"{name}.gguf"
            write(path, shared / "tokenizers" / name, name)
            rows = json.loads((shared / f"reference/tokenizers/{name}.json").read_text())["rows"]
            lines = "".join(json.dumps(t) + "\n" for t in texts)
            differ = 0
            for field, options in {"ids": ["--no-special-tokens"], "with_special": []}.items():
                out = subprocess.run([mica, "tokenize", "-m", str(path), "--jsonl", *options], input=lines, capture_output=True, text=True,
                                     check=True).stdout.splitlines()
                differ += sum(row[field] is not None and json.loads(line) != row[field] for line, row in zip(out, rows, strict=True))
            print(f"{name}: {len(rows)} texts, {differ} differ")
            bad += differ
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
