"""Small tokenizers, one for every kind of component in tokenizer.json, and texts that are hard for them.

Used by make_tokenizer_data.py (writes tests/data/tokenizers) and compare_tokenizers.py (compares at random).
"""

import random
import unicodedata

BYTES = [f"<0x{b:02X}>" for b in range(256)]


def visible_bytes():
    """The byte alphabet of GPT-2, in order of bytes."""
    same = list(range(0x21, 0x7F)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    out, k = [], 0
    for b in range(256):
        out.append(chr(b) if b in same else chr(0x100 + k))
        k += b not in same
    return out


def tokenizer(model, **parts):
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": model,
    }
    whole.update(parts)
    return whole


def added(id, content, **flags):
    token = dict(
        id=id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False
    )
    token.update(flags)
    return token


def bpe(vocab, merges=(), **settings):
    model = dict(
        type="BPE",
        dropout=None,
        unk_token=None,
        continuing_subword_prefix=None,
        end_of_word_suffix=None,
        fuse_unk=False,
        byte_fallback=False,
        ignore_merges=False,
        vocab=vocab,
        merges=[list(m) for m in merges],
    )
    model.update(settings)
    return model


def glass(**parts):
    """Ids are the bytes of the normalized text, with the byte of | after every piece: it shows all a pre-tokenizer does."""
    parts.setdefault("decoder", {"type": "ByteFallback"})
    return tokenizer(bpe({t: i for i, t in enumerate(BYTES)}, byte_fallback=True, end_of_word_suffix="|"), **parts)


def learned_bpe(words, n_merges, alphabet, **settings):
    """A vocabulary with merges, made by counting pairs."""
    vocab = {c: i for i, c in enumerate(alphabet)}
    rows = [list(w) for w in words]
    merges = []
    for _ in range(n_merges):
        counts = {}
        for row in rows:
            for pair in zip(row, row[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        best = max(sorted(counts), key=lambda p: counts[p])
        merges.append(best)
        joined = best[0] + best[1]
        vocab.setdefault(joined, len(vocab))
        for k, row in enumerate(rows):
            out, i = [], 0
            while i < len(row):
                if i + 1 < len(row) and (row[i], row[i + 1]) == best:
                    out.append(joined)
                    i += 2
                else:
                    out.append(row[i])
                    i += 1
            rows[k] = out
    return bpe(vocab, merges, **settings)


WORDS = (
    "the then there hello world low lower lowest newer newest wider aaaa aaaaaaa banana ananas mississippi "
    "tokenizer tokenization unable table tables able ability in ing ending sending 12 123 2024 don't we'll"
).split()


def charsmap(entries):
    """A SentencePiece charsmap: a double array built the plain way, and the replacements. base64."""
    import base64
    import struct

    blob, where = b"", {}
    for key, value in entries.items():
        where[key.encode()] = len(blob)
        blob += value.encode() + b"\0"
    units = {0: 0}
    used = {0}

    def children(prefix):
        return sorted({k[len(prefix)] for k in where if k.startswith(prefix) and len(k) > len(prefix)})

    def place(prefix, node):
        labels = children(prefix)
        leaf = prefix in where and prefix
        base = 1
        slots = ([0] if leaf else []) + labels
        if not slots:
            return
        while True:  # offset must be expressible, and all slots free
            offset = node ^ base
            if all((base ^ s) not in used for s in slots) and offset < 1 << 21:
                break
            base += 1
        used.update(base ^ s for s in slots)
        units[node] = units.get(node, 0) | (offset << 10) | (0x100 if leaf else 0)
        if leaf:
            units[base] = 0x80000000 | where[prefix]
        for s in labels:
            units[base ^ s] = s
        for s in labels:
            place(prefix + bytes([s]), base ^ s)

    place(b"", 0)
    n = max(used) + 256
    trie = b"".join(struct.pack("<I", units.get(i, 0)) for i in range(n))
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + blob).decode()


CHARSMAP = charsmap(
    {
        "\u00a0": " ", "\t": " ", "\n": " ", "\uff21": "A", "\ufb01": "fi", "\u2460": "1", "e\u0301": "\u00e9",
        "\u200b": "", "\u30ab\u3099": "\u30ac", "\u3326": "\u30c9\u30eb", "a": "a", "\u1100\u1161": "\uac00",
    }
)  # fmt: skip

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^" + "\r\n" + r"\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[" + "\r\n" + r"]*|\s*[" + "\r\n" + r"]+|\s+(?!\S)|\s+"
KIMI = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

REGEXES = [
    GPT2, LLAMA3, QWEN2, QWEN35, O200K, TEKKEN, DEEPSEEK, KIMI,
    r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", r"\h+", r"\H+", r"[\h\s]+", r"^.", r".$", r"(?m)a.b", r"a.b", r"\w+|[^\w\s]+",
    r"\d+", r"\D+", r"\W", r"\bl", r"o\b", r"\Bo", r"[a-z&&[^aeiou]]+", r"[^a-z&&[^aeiou]]+", r"[[a-c][x-z]]+", r"[[:alpha:]]+",
    r"[[:^alpha:]]+", r"[[:punct:]]", r"[[:space:][:digit:]]+", r"\p{^L}+", r"\P{L}+", r"\p{Letter}+", r"\p{Lowercase_Letter}",
    r"\p{Greek}+", r"\p{Hiragana}+|\p{Katakana}+", r"[\p{Script=Han}]" if False else r"\p{Han}+", r"a{2}", r"a{,2}b", r"a{2,}", r"a{1,2}?", r"(?:ab)++",
    r"a**", r"(?i)hello|WORLD", r"x(?i)a|b", r"(?<=l)o", r"(?<!l)o", r"l(?=o)", r"(?>a+)b", r"(a|b)\1", r"(?<name>l)+", r"\R", r"\x41|\x{1F600}|\u00e9",
    r"\t|\n|\e", r"[\]\-\\]", r"[a\-z]", r"[-az]", r"[az-]", r"\$|\^|\(", r"(?#comment)l+", r"[\S\n]+", r"[^\S\r\n]+", r"[^\D]", r"\O", r"\N+",
    r"{", r"a{x}", r"l{0,1}", r"", r"x*", r"(?i:straße)", r"[\p{L}&&\p{Lu}&&[^A]]", r"(?-m:.)", r"\A.", r".\z", r"\p{Alnum}+", r"\p{Space}", r"[^\p{L}\P{N}]" ,
    r" {2,}", r"\.|,|!",
]  # fmt: skip

BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def zoo():
    """name -> tokenizer.json as a dictionary."""
    out = {}
    # Normalizers.
    normal = {
        "bert": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "bert-cased": {"type": "BertNormalizer", "clean_text": False, "handle_chinese_chars": False, "strip_accents": True, "lowercase": False},
        "strip": {"type": "Strip", "strip_left": True, "strip_right": True},
        "strip-left": {"type": "Strip", "strip_left": True, "strip_right": False},
        "strip-accents": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]},
        "nfc": {"type": "NFC"}, "nfd": {"type": "NFD"}, "nfkc": {"type": "NFKC"}, "nfkd": {"type": "NFKD"},
        "lowercase": {"type": "Lowercase"}, "nmt": {"type": "Nmt"}, "byte-level": {"type": "ByteLevel"},
        "precompiled": {"type": "Precompiled", "precompiled_charsmap": CHARSMAP},
        "replace": {"type": "Replace", "pattern": {"String": "ab"}, "content": "(x)"},
        "replace-regex": {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "_"},
        "replace-empty": {"type": "Replace", "pattern": {"Regex": "x*"}, "content": "-"},
        "prepend": {"type": "Prepend", "prepend": "\u2581"},
    }  # fmt: skip
    for name, n in normal.items():
        out["normalizer-" + name] = glass(normalizer=n)
    # Pre-tokenizers.
    split = {
        "bert": {"type": "BertPreTokenizer"},
        "byte-level": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "byte-level-plain": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "byte-level-then": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, {"type": "Digits", "individual_digits": True}]},
        "char-delimiter": {"type": "CharDelimiterSplit", "delimiter": "o"},
        "metaspace-first": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True},
        "metaspace-always": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
        "metaspace-never": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "never", "split": True},
        "metaspace-whole": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": False},
        "metaspace-old": {"type": "Metaspace", "replacement": "_", "add_prefix_space": True},
        "words-metaspace-first": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}]},
        "whitespace": {"type": "Whitespace"}, "whitespace-split": {"type": "WhitespaceSplit"},
        "digits": {"type": "Digits", "individual_digits": False}, "digits-single": {"type": "Digits", "individual_digits": True},
        "punctuation": {"type": "Punctuation", "behavior": "Contiguous"}, "scripts": {"type": "UnicodeScripts"},
        "fixed-length": {"type": "FixedLength", "length": 3},
    }  # fmt: skip
    for name, p in split.items():
        out["split-" + name] = glass(pre_tokenizer=p)
    for behavior in BEHAVIORS:
        for invert in (False, True):
            p = {"type": "Split", "pattern": {"Regex": "o+|l"}, "behavior": behavior, "invert": invert}
            out[f"split-{behavior}{'-inverted' if invert else ''}"] = glass(pre_tokenizer=p)
        out[f"punctuation-{behavior}"] = glass(pre_tokenizer={"type": "Punctuation", "behavior": behavior})
    out["split-string"] = glass(pre_tokenizer={"type": "Split", "pattern": {"String": "ll"}, "behavior": "MergedWithNext", "invert": False})
    out["split-empty-string"] = glass(pre_tokenizer={"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": False})
    for i, r in enumerate(REGEXES):
        p = {"type": "Split", "pattern": {"Regex": r}, "behavior": "Isolated", "invert": False}
        out[f"regex-{i}"] = glass(pre_tokenizer=p)
    # Models.
    alphabet = visible_bytes()
    level = [" " + w for w in WORDS] + WORDS
    level = ["".join(alphabet[b] for b in w.encode()) for w in level]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    out["bpe-byte-level"] = tokenizer(
        learned_bpe(level, 120, alphabet), pre_tokenizer=byte_level, decoder=byte_level,
        post_processor=byte_level,
    )  # fmt: skip
    out["bpe-ignore-merges"] = tokenizer(
        learned_bpe(level, 60, alphabet, ignore_merges=True), pre_tokenizer=byte_level, decoder=byte_level
    )
    out["bpe-ignore-merges"]["model"]["vocab"]["banana"] = 900  # no merges lead there
    out["bpe-whole-text"] = tokenizer(
        learned_bpe(["\u2581" + w for w in WORDS], 90, ["<unk>"] + BYTES + sorted(set("".join(WORDS)) | {"\u2581"}), byte_fallback=True, fuse_unk=True, unk_token="<unk>"),
        normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        decoder={"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        added_tokens=[added(0, "<unk>", special=True), added(800, "<s>", special=True)],
    )  # fmt: skip
    for fuse in (False, True):
        out[f"bpe-unk{'-fused' if fuse else ''}"] = tokenizer(
            learned_bpe(WORDS, 60, ["<unk>"] + sorted(set("".join(WORDS))), fuse_unk=fuse, unk_token="<unk>"),
            pre_tokenizer={"type": "Whitespace"}, decoder={"type": "Fuse"},
        )  # fmt: skip
    out["bpe-dropped"] = tokenizer(learned_bpe(WORDS, 30, sorted(set("".join(WORDS)))))
    letters = sorted(set("".join(WORDS)))
    suffixed = bpe({t: i for i, t in enumerate(["<unk>"] + letters + [c + "</w>" for c in letters] + ["th", "the</w>", "lo", "low</w>", "aa", "aaaa", "er</w>", "in</w>"])},
                   [("t", "h"), ("th", "e</w>"), ("l", "o"), ("lo", "w</w>"), ("a", "a"), ("aa", "aa"), ("e", "r</w>"), ("i", "n</w>")],
                   end_of_word_suffix="</w>", unk_token="<unk>")  # fmt: skip
    out["bpe-suffix"] = tokenizer(suffixed, pre_tokenizer={"type": "Whitespace"}, decoder={"type": "BPEDecoder", "suffix": "</w>"})
    prefixed = bpe({t: i for i, t in enumerate(["<unk>"] + letters + ["##" + c for c in letters] + ["th", "the", "low", "lo", "##in", "##ing", "aa"])},
                   [("t", "##h"), ("th", "##e"), ("l", "##o"), ("lo", "##w"), ("##i", "##n"), ("##in", "##g"), ("a", "##a")],
                   continuing_subword_prefix="##", unk_token="<unk>")  # fmt: skip
    out["bpe-prefix"] = tokenizer(prefixed, pre_tokenizer={"type": "Whitespace"}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True})
    legacy = bpe({"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4, "bc": 5}, [])
    legacy["merges"] = ["#version: 0.2", "b c", "a b", "a bc", "b c"]
    out["bpe-old-merges"] = tokenizer(legacy)
    pieces = [["<unk>", 0.0], ["<s>", 0.0], ["\u2581", -2.5], ["\u2581the", -3.0], ["\u2581low", -4.0], ["er", -3.5], ["est", -3.9], ["\u2581lower", -7.4]]
    pieces += [[c, -6.0 - i / 7] for i, c in enumerate(letters)] + [["an", -4.0], ["ana", -4.5], ["ban", -5.5], ["nana", -6.5], ["a", -2.0], ["aa", -4.0]]
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    out["unigram"] = tokenizer({"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": False}, pre_tokenizer=metaspace, decoder=metaspace,
                               added_tokens=[added(0, "<unk>", special=True), added(1, "<s>", special=True)])  # fmt: skip
    out["unigram-bytes"] = tokenizer({"type": "Unigram", "unk_id": 0, "vocab": pieces + [[b, -9.0] for b in BYTES], "byte_fallback": True}, pre_tokenizer=metaspace,
                                     decoder={"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace]})  # fmt: skip
    words = ["[UNK]", "[CLS]", "[SEP]", "the", "low", "##er", "##est", "##l", "##o", "a", "##a", "ban", "##ana", "##na", "un", "##able", "\u00e9", "##\u00e9", ".", ",", "n", "##'", "##t", "'", "t"]
    bert = dict(
        normalizer=normal["bert"], pre_tokenizer={"type": "BertPreTokenizer"}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
        post_processor={"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
        added_tokens=[added(i, words[i], special=True) for i in range(3)],
    )  # fmt: skip
    wordpiece = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 12, "vocab": {w: i for i, w in enumerate(words)}}
    out["wordpiece"] = tokenizer(wordpiece, **bert)
    out["wordlevel"] = tokenizer({"type": "WordLevel", "vocab": {"<unk>": 0, "the": 1, "low": 2, "a": 3, ",": 4}, "unk_token": "<unk>"}, pre_tokenizer={"type": "Whitespace"})
    # Post-processors.
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 3}}, {"SpecialToken": {"id": "y", "type_id": 1}}],
        "pair": [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "y", "type_id": 2}}, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 5}}],
        "special_tokens": {"x": {"id": "x", "ids": [7, 8], "tokens": ["x1", "x2"]}, "y": {"id": "y", "ids": [9], "tokens": ["y"]}},
    }  # fmt: skip
    out["post-template"] = glass(post_processor={"type": "Sequence", "processors": [byte_level, template]})
    out["post-roberta"] = glass(post_processor={"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": True})
    out["post-bert"] = glass(post_processor=bert["post_processor"])
    # Added tokens.
    for name, n in {"none": None, "lower": {"type": "Lowercase"}, "prepend": normal["prepend"], "strip": normal["strip"], "nfc": {"type": "NFC"}}.items():
        out["added-" + name] = glass(
            normalizer=n,
            added_tokens=[
                added(256, "<s>", special=True), added(257, "<s><s>", special=True), added(258, "[MASK]", special=True, lstrip=True),
                added(259, "[R]", rstrip=True), added(260, "low", single_word=True), added(261, "Hello", normalized=True),
                added(262, "  ", normalized=False), added(263, "e\u0301", normalized=True), added(264, "[B]", lstrip=True, rstrip=True, single_word=True, normalized=True),
                added(265, "\n\n"), added(266, "\n\n\n\n"), added(267, "abcde"), added(268, "bcd"), added(269, "low", normalized=True, special=True),
            ],
        )  # fmt: skip
    few = [added(256, "<s>", special=True), added(257, "[R]", rstrip=True), added(258, "low", single_word=True, normalized=True)]
    for name, parts in {
        "strip-metaspace": dict(normalizer=normal["strip"], pre_tokenizer=split["metaspace-first"]),
        "replace-metaspace": dict(normalizer={"type": "Replace", "pattern": {"String": "a"}, "content": ""}, pre_tokenizer=split["metaspace-first"]),
        "metaspace-first": dict(pre_tokenizer=split["metaspace-first"]),
        "metaspace-always": dict(pre_tokenizer=split["metaspace-always"]),
        "byte-level": dict(pre_tokenizer=split["byte-level"]),
        "words": dict(pre_tokenizer=split["words-metaspace-first"], normalizer=normal["lowercase"]),
        "precompiled": dict(normalizer=normal["precompiled"], pre_tokenizer=split["metaspace-first"]),
    }.items():
        out["added-and-" + name] = glass(added_tokens=few, **parts)
    # Decoders.
    odd = ["<pad>", "|", "##a", "a", "b", " ", "\u2581", "\u2581a", "a\u2581b", "a</w>", "</w>", "b</w>c", ".", "n't", "'s", " do not", "do", "<0xE4>", "<0xBD>", "<0xA0>", "<0x41>",
           "<0xFF>", "<0xe4>", "\u0120a", "\u00e4", "\u00bd\u0142", "\u00c3", "\u00a9", "\u4f60", "ab", "ba", "aab", "", "  a  ", "'", " '", "<0x4>", "<0xGG>", "?", "aba"]  # fmt: skip
    decoders = {
        "none": None, "byte-level": byte_level, "fuse": {"type": "Fuse"}, "byte-fallback": {"type": "ByteFallback"},
        "metaspace": metaspace, "metaspace-never": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "never", "split": True},
        "wordpiece": {"type": "WordPiece", "prefix": "##", "cleanup": True}, "wordpiece-plain": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "bpe": {"type": "BPEDecoder", "suffix": "</w>"}, "ctc": {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
        "ctc-plain": {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": False},
        "replace": {"type": "Replace", "pattern": {"String": "a"}, "content": "xyz"},
        "fuse-replace": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "ab"}, "content": "-"}]},
        "fuse-replace-long": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "aba\u2581"}, "content": "aba"}, {"type": "Replace", "pattern": {"String": "ab"}, "content": ""}]},
        "fuse-regex": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"Regex": "a+"}, "content": "-"}]},
        "byte-level-replace": {"type": "Sequence", "decoders": [byte_level, {"type": "Replace", "pattern": {"String": "\u4f60"}, "content": "you"}]},
        "sequence": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": "a", "start": 2, "stop": 0}]},
        "strip": {"type": "Strip", "content": " ", "start": 1, "stop": 0}, "empty": {"type": "Sequence", "decoders": []},
        "fuse-strip": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    }  # fmt: skip
    for name, d in decoders.items():
        out["decoder-" + name] = tokenizer({"type": "WordLevel", "vocab": {t: i for i, t in enumerate(odd)}, "unk_token": "<pad>"}, decoder=d,
                                           added_tokens=[added(3, "a", special=True), added(len(odd), "<new>"), added(len(odd) + 1, "<new special> x", special=True)])  # fmt: skip
    return out


TEXTS = [
    "", " ", "  ", "\n", "a", "hello world", "Hello, world! It's 2024; we'll see...", " leading and trailing  ", "\t tabs\tand\nlines\r\n\r\n end\n",
    "the lower, the lowest: newest banana ananas mississippi", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "tokenization unable tables ability sending",
    "don't DON'T Don\u2019t we'LL I\u017fn't 'S 'ſ", "1234567890 12.5 1,000,000 ½ ② Ⅷ ٣٤ १२", "The-final--countdown", "__init__ snake_case camelCase HTTPServer XMLHttpRequest2",
    "ab abab xabx (x) aab bba", "caf\u00e9 cafe\u0301 \u00c5ngstr\u00f6m A\u030angstro\u0308m \u1e9b\u0323 \ufb01 \u2460 \uff21\uff22", "e\u0301 [MASK] low lower low.low <s><s><s> [R]   x [B] [B]x  [MASK]", "Hello hello HELLO",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u3053\u3093\u306b\u3061\u306f\u30ab\u3099\u30ac\u30fc\u30c9 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 \u0393\u03b5\u03b9\u03ac \u03a3\u0391\u03a3 \u0130stanbul",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea \u0e44\u0e17\u0e22 \u0939\u093f\u0928\u094d\u0926\u0940 \u0ba4\u0bae\u0bbf\u0bb4\u0bcd", "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f", "\u00a0\u2003\u3000\u200b\ufeff\u2028\u0085x\u180ey",
    "\x00\x01\x1f\x7f\ufffd nul", "a\u0300\u0301\u0302\u0303\u0323\u0301", "abcde abcd bcd xbcdy", "\n\n\n\n\n\n\n", "   \n  \n \n", "x = [i for i in range(10) if i % 2 == 0]  # comment\n\tdef f():\n        return {'a': 1}\n",
    "https://example.org/path?q=1&r=2#frag user@host.com $100 50% \u20ac5 #tag @user C++ C# A&B", "\u2581a\u2581\u2581b \u2581", "|pipes| and </w> ## <0x41>", "\u01c5 \u02b0 \u00aa \u2160 \u24d0 \u0345", "a" * 200 + "b" * 100 + " " * 150 + "c",
    "\u0958\u0929 \u0b94 \u1e0b\u0323 \u0344 \u212b \u2126 \uf900 \U0002f800 \U000e0001 \U0010ffff", "l\u0301o\u0302w",
]  # fmt: skip

ALPHABETS = [
    "ab ", "aeiou lrnst  ", "abc ABC 123 .,!'\n", "lowerest '\u2581|", " \t\n\r\u00a0", "'stmdlrevSTMDLREV\u017f ", "0123456789.,", "\u4e00\u4e8c\u3042\u30a2\uac00\u1100\u1161\u11a8 a",
    "a\u0301\u0300\u0323\u0327\u00e9\u1e9b ", "\u05d0\u05b8\u0627\u0651\u0e01\u0e34\u0915\u094d ", "\U0001f600\U0001f3fd\u200d\ufe0f\U0001f1e9 a", "<s>[MASK][R]low ", "\x00\x01\x7f\u0085\u200b\u2028\ufffd a",
    "\u01c5\u02b0\u2160\u24d0\u0345\u0130\u1e9e\u00df\u03c2\u03a3", "AaBbCc\u0410\u0430\u0391\u03b1", "/\\-_()[]{}<>#$%^&*+=~`\"'!?@;:,.", "\uff21\ufb01\u2460\u3326\u00bd\u2122\ufdfa ",
]  # fmt: skip


def random_text(rng):
    kind = rng.random()
    n = rng.choice([1, 2, 3, 5, 8, 13, 30, 80])
    if kind < 0.5:
        alphabet = rng.choice(ALPHABETS)
        return "".join(rng.choice(alphabet) for _ in range(n))
    if kind < 0.8:
        return "".join(rng.choice(rng.choice(ALPHABETS)) for _ in range(n))
    if kind < 0.9:
        return "".join(rng.choice(TEXTS)[: rng.randrange(1, 30)] for _ in range(3))
    out = []
    while len(out) < n:
        c = rng.choice([rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0x10000), rng.randrange(0x30000)])
        if unicodedata.category(chr(c)) not in ("Cn", "Cs"):  # newer Unicode than ours is another question
            out.append(chr(c))
    return "".join(out)


def random_ids(rng, size):
    return [rng.randrange(size + 1) for _ in range(rng.choice([1, 2, 3, 5, 8, 13]))]


def rng(seed):
    return random.Random(seed)
