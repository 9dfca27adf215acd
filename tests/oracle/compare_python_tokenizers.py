#!/usr/bin/env python3
"""Compares the tokenizers of mica's Python package with those of Transformers, call by call.

    MICA_LIBRARY=path/to/libmica.so PYTHONPATH=python compare_python_tokenizers.py FOLDER-WITH-TOKENIZER-FILES ...

Every call is made with both; results, or the kinds of exceptions, must be the same.
"""

import itertools
import logging
import sys
import warnings

try:
    import transformers
except ImportError:
    print("skipped: the Python package `transformers` is not installed")
    sys.exit(77)

import mica

warnings.simplefilter("ignore")
transformers.logging.set_verbosity(50)
logging.disable(logging.WARNING)

TEXTS = [
    "Hello, world! It's 2024.", "caf\u00e9 cafe\u0301 na\u00efve \u00c5", "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 fun", "  two  spaces\n\nand lines\t",
    "\u4f60\u597d\uff0c\u4e16\u754c \ud55c\uad6d\uc5b4 \u0939\u093f\u0928\u094d\u0926\u0940", "def f(x):\n    return x**2  # <s> </s> <|endoftext|> <bos>", "", "a",
    "The quick brown fox jumps over the lazy dog. " * 3,
]  # fmt: skip
CHAT = [
    {"role": "user", "content": "What is \u4f60\u597d?"},
    {"role": "assistant", "content": "It means hello."},
    {"role": "user", "content": "Thanks \U0001f600"},
    {"role": "assistant", "content": "Welcome!"},
]
MARKED = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}!{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}\n{% endfor %}"
)


def plain(value):
    if hasattr(value, "keys"):
        return {str(k): plain(value[k]) for k in sorted(value.keys())}
    if hasattr(value, "tolist"):
        return [str(value.dtype).replace("torch.", ""), value.tolist()]
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def windows(t, text, length, stride, side):
    """What truncation leaves over. tokenizers 0.23 stops encoding where truncation would cut, and with that loses most of it: here the whole
    encoding is cut."""
    if hasattr(t, "_tokenizer"):
        t._tokenizer.no_truncation()
        whole = t._tokenizer.encode(text, add_special_tokens=False)
        whole.truncate(length, stride, side)
        rows = [whole, *whole.overflowing]
        return [[r.ids for r in rows], [r.offsets for r in rows]]
    t.truncation_side = side
    found = t(text, truncation=True, max_length=length, stride=stride, return_overflowing_tokens=True, return_offsets_mapping=True, add_special_tokens=False)
    t.truncation_side = "right"
    assert found["overflow_to_sample_mapping"] == [0] * len(found["input_ids"])
    return [found["input_ids"], found["offset_mapping"]]


def cut(t, length, side):
    t.truncation_side = side
    try:
        return t(TEXTS, truncation="only_first", max_length=length, return_offsets_mapping=True)
    finally:
        t.truncation_side = "right"


def calls():
    """(name, function of a tokenizer)"""
    full = dict(return_offsets_mapping=True, return_special_tokens_mask=True, return_token_type_ids=True, return_length=True)
    for i, text in enumerate(TEXTS):
        yield f"text {i}", lambda t, x=text: t(x, **full)
        yield f"text {i} without special tokens", lambda t, x=text: t(x, add_special_tokens=False, **full)
        yield f"tokens {i}", lambda t, x=text: [t.tokenize(x), t(x).tokens(), t(x).word_ids(), t(x).sequence_ids(0)]
        yield f"split special {i}", lambda t, x=text: t(x, split_special_tokens=True, **full)
        yield f"characters {i}", lambda t, x=text: [[t(x).char_to_token(c), t(x).char_to_word(c)] for c in range(0, len(x), 3)]
        yield f"token to characters {i}", lambda t, x=text: [t(x).token_to_chars(k) for k in range(len(t(x)["input_ids"]))]
    yield "batch", lambda t: t(TEXTS, **full)
    yield "pairs", lambda t: t(TEXTS, TEXTS[::-1], **full)
    yield "words", lambda t: t(["Hello", "caf\u00e9", "", "\U0001f600x"], is_split_into_words=True, **full)
    yield "batch of words", lambda t: t([["Hello", "you"], ["x"]], is_split_into_words=True, **full)
    for stride, side, length in itertools.product((0, 2), ("left", "right"), (5, 9)):
        yield f"windows {stride} {side} {length}", lambda t, d=stride, s=side, n=length: [windows(t, x, n, d, s) for x in TEXTS]
        yield f"cut {side} {length}", lambda t, s=side, n=length: cut(t, n, s)
    yield "pair cut", lambda t: t(TEXTS[8], TEXTS[0], truncation=True, max_length=12, **full)
    yield "no overflow", lambda t: t("a", return_overflowing_tokens=True, **full)
    yield "padded", lambda t: t(TEXTS, padding=True, return_tensors="np", pad_to_multiple_of=8, **full)
    yield "padded left", lambda t: t(TEXTS, padding="longest", padding_side="left", return_tensors="np", **full)
    yield "padded to", lambda t: t(TEXTS[0], padding="max_length", max_length=40, truncation=True, return_tensors="np")
    yield "pad", lambda t: t.pad([t(TEXTS[0]), t(TEXTS[1])], return_tensors="np")
    yield "pad one", lambda t: t.pad(t(TEXTS[0]), padding="max_length", max_length=50)
    yield "ids", lambda t: [t.convert_tokens_to_ids(t.tokenize(x)) for x in TEXTS]
    yield "decoded", lambda t: [t.decode(t(x)["input_ids"]) for x in TEXTS]
    yield "decoded without", lambda t: t.batch_decode(t(TEXTS)["input_ids"], skip_special_tokens=True)
    yield "sizes", lambda t: [t.vocab_size, len(t), len(t.vocab), len(t.get_added_vocab()), t.num_special_tokens_to_add(), t.num_special_tokens_to_add(True)]
    yield "names", lambda t: [t.all_special_tokens, t.all_special_ids, t.special_tokens_map, t.bos_token_id, t.eos_token, t.model_max_length, t.padding_side]
    yield "mask", lambda t: t.get_special_tokens_mask(t(TEXTS[0])["input_ids"], already_has_special_tokens=True)
    yield "chat", lambda t: [t.apply_chat_template(CHAT, tokenize=False), t.apply_chat_template(CHAT), t.apply_chat_template([CHAT, CHAT[:2]], return_dict=True)]
    yield "chat to the end", lambda t: t.apply_chat_template(CHAT, continue_final_message=True, tokenize=False)
    for kwargs in ({}, {"return_tensors": "np"}, {"truncation": True, "max_length": 14}):
        yield f"assistant {kwargs}", lambda t, k=kwargs: t.apply_chat_template(CHAT, chat_template=MARKED, return_assistant_tokens_mask=True, return_dict=True, **k)
    yield "assistant batch", lambda t: t.apply_chat_template([CHAT, CHAT[:2]], chat_template=MARKED, return_assistant_tokens_mask=True, return_dict=True)
    yield "assistant alone", lambda t: t.apply_chat_template(CHAT, chat_template=MARKED, return_assistant_tokens_mask=True, return_dict=False)


def changes():
    """Functions that change a tokenizer, or the arguments it is loaded with; each on a fresh one."""
    look = lambda t: [t(TEXTS[:6], return_offsets_mapping=True), t(TEXTS[0], TEXTS[1], return_token_type_ids=True), len(t), t.num_special_tokens_to_add()]
    for bos, eos in itertools.product((True, False), (True, False)):
        yield f"loaded with {bos} {eos}", dict(add_bos_token=bos, add_eos_token=eos), look
    yield "loaded with eos only", dict(add_eos_token=True), look

    def set_eos(t):
        t.add_eos_token = True
        return [look(t), t.add_bos_token, t.add_eos_token]

    yield "add_eos_token set", {}, set_eos
    yield "tokens added", {}, lambda t: [t.add_tokens(["<new>", "brown fox"]), t.add_tokens("<new>"), look(t), t("a<new> brown fox", return_offsets_mapping=True)]
    yield "special added", {}, lambda t: [t.add_special_tokens({"additional_special_tokens": ["<x>"], "pad_token": "<mine>"}), t.pad_token_id, t("a <x> b"), t.decode(t("a<x>b")["input_ids"], skip_special_tokens=True)]
    yield "sides", dict(padding_side="left", truncation_side="left", model_max_length=7), lambda t: [t(TEXTS, truncation=True), t.padding_side, t.truncation_side]


def outcome(function, tokenizer):
    try:
        return plain(function(tokenizer))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as e:
        return type(e).__mro__[-3 if not isinstance(e, LookupError) else -4].__name__
    except BaseException as e:
        if "PanicException" in type(e).__name__:
            return "ValueError"  # what the library asserts
        raise


def prepare(t):
    if t.pad_token is None:
        t.pad_token = t.eos_token
    return t


def shown(value):
    text = ascii(value)
    return text if len(text) < 200 else text[:200] + "..."


def difference(want, got, where=""):
    """The first place where two results differ."""
    if isinstance(want, dict) and isinstance(got, dict) and want.keys() == got.keys():
        return next((d for k in want if (d := difference(want[k], got[k], f"{where}[{k!r}]"))), None)
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        return next((d for i, (a, b) in enumerate(zip(want, got)) if (d := difference(a, b, f"{where}[{i}]"))), None)
    return None if want == got else f"{where}\n    want {shown(want)}\n    got  {shown(got)}"


def main():
    wrong = total = 0
    for folder in sys.argv[1:]:
        load = lambda module, **k: prepare(module.AutoTokenizer.from_pretrained(folder, **k))
        real, ours = load(transformers), load(mica)
        pairs = [(name, outcome(f, real), outcome(f, ours)) for name, f in calls()]
        pairs += [(name, outcome(f, load(transformers, **k)), outcome(f, load(mica, **k))) for name, k, f in changes()]
        for name, want, got in pairs:
            total += 1
            found = difference(want, got)
            if found:
                wrong += 1
                print(f"{folder}: {name}: {found}")
    print(f"{total} calls, {wrong} different")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
