#!/usr/bin/env python3
"""Compares mica's tokenizers with the `tokenizers` package on random and hostile texts.

    compare_tokenizers.py path/to/libmica.so [--seconds 60] [--seed 1] [--only NAME] [tokenizer.json ...]

Without files: the small tokenizers of tokenizer_zoo.py. Prints every difference (at most five per tokenizer).
"""

import argparse
import ctypes
import json
import lzma
import os
import sys
import time

try:
    from tokenizers import Tokenizer
except ImportError:
    print("skipped: the Python package `tokenizers` is not installed")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tokenizer_zoo as zoo


class Ids(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(ctypes.c_int32)), ("n", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


class Text(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("n", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 508)]


class Mica:
    """One tokenizer through the C interface."""

    lib = None

    def __init__(self, text):
        self.t, self.err = ctypes.c_void_p(), Error()
        self.check(self.lib.mica_tokenizer_create(ctypes.byref(self.t), text, len(text), None, 0, ctypes.byref(self.err)))

    def check(self, status):
        if status:
            raise ValueError(self.err.message.decode())

    def encode(self, text, special=False, pair=None):
        ids, types, data = Ids(), Ids(), text.encode()
        if pair is None:
            status = self.lib.mica_tokenizer_encode(self.t, data, len(data), int(special), ctypes.byref(ids), ctypes.byref(self.err))
        else:
            other = pair.encode()
            status = self.lib.mica_tokenizer_encode_pair(
                self.t, data, len(data), other, len(other), int(special), ctypes.byref(ids), ctypes.byref(types), ctypes.byref(self.err)
            )  # fmt: skip
        out = ids.data[: ids.n], types.data[: types.n]
        self.lib.mica_ids_release(ctypes.byref(ids))
        self.lib.mica_ids_release(ctypes.byref(types))
        self.check(status)
        return out

    def offsets(self, text):
        """The characters that each id stands for, and its word."""
        ids, numbers, data = Ids(), Ids(), text.encode()
        self.check(
            self.lib.mica_tokenizer_encode_offsets(
                self.t, data, len(data), 0, ctypes.byref(ids), ctypes.byref(numbers), ctypes.byref(self.err)
            )
        )
        out = numbers.data[: numbers.n]
        self.lib.mica_ids_release(ctypes.byref(ids))
        self.lib.mica_ids_release(ctypes.byref(numbers))
        return list(zip(out[::3], out[1::3])), out[2::3]

    def decode(self, ids, skip=False):
        array, text = (ctypes.c_int32 * len(ids))(*ids), Text()
        status = self.lib.mica_tokenizer_decode(self.t, array, len(ids), skip, ctypes.byref(text), ctypes.byref(self.err))
        out = ctypes.string_at(text.data, text.n) if text.data else b""
        self.lib.mica_text_release(ctypes.byref(text))
        self.check(status)
        return out.decode()

    def stream(self, ids, skip=False):
        s, part, n = ctypes.c_void_p(), ctypes.c_char_p(), ctypes.c_size_t()
        self.check(self.lib.mica_decode_stream_create(ctypes.byref(s), self.t, skip, ctypes.byref(self.err)))
        out = b""
        for i in [*ids, None]:
            args = ctypes.byref(part), ctypes.byref(n), ctypes.byref(self.err)
            self.check(self.lib.mica_decode_stream_flush(s, *args) if i is None else self.lib.mica_decode_stream_push(s, i, *args))
            piece = ctypes.string_at(part, n.value)
            piece.decode()  # never half a character
            out += piece
        self.lib.mica_decode_stream_free(s)
        return out.decode()

    def close(self):
        self.lib.mica_tokenizer_free(self.t)


def load(path):
    lib = ctypes.CDLL(path, mode=os.RTLD_LAZY)
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    lib.mica_tokenizer_create.argtypes = [pointer, ctypes.c_char_p, size, pointer, size, pointer]
    lib.mica_tokenizer_encode.argtypes = [pointer, ctypes.c_char_p, size, ctypes.c_uint, pointer, pointer]
    lib.mica_tokenizer_encode_pair.argtypes = [pointer, ctypes.c_char_p, size, ctypes.c_char_p, size, ctypes.c_uint, pointer, pointer, pointer]
    lib.mica_tokenizer_encode_offsets.argtypes = [pointer, ctypes.c_char_p, size, ctypes.c_uint, pointer, pointer, pointer]
    lib.mica_tokenizer_decode.argtypes = [pointer, pointer, size, ctypes.c_bool, pointer, pointer]
    lib.mica_tokenizer_free.argtypes = [pointer]
    lib.mica_decode_stream_create.argtypes = [pointer, pointer, ctypes.c_bool, pointer]
    lib.mica_decode_stream_push.argtypes = [pointer, ctypes.c_int32, pointer, pointer, pointer]
    lib.mica_decode_stream_flush.argtypes = [pointer, pointer, pointer, pointer]
    lib.mica_decode_stream_free.argtypes = [pointer]
    Mica.lib = lib


class Comparison:
    def __init__(self, name, text):
        self.name, self.differences, self.cases = name, 0, 0
        self.real = Tokenizer.from_str(text)
        self.real.no_truncation()
        self.real.no_padding()
        self.ours = Mica(text.encode())
        self.plain = self.real, self.ours
        spec = json.loads(text)
        if spec["model"].get("byte_fallback") and spec["model"].get("end_of_word_suffix"):
            # The bytes of a suffix are counted as if they were in the text: offsets would point nowhere.
            spec["model"]["end_of_word_suffix"] = None
            text = json.dumps(spec)
            self.plain = Tokenizer.from_str(text), Mica(text.encode())
        self.size = max(self.real.get_vocab(True).values()) + 1

    def same(self, what, given, want, got):
        self.cases += 1
        if want == got:
            return
        self.differences += 1
        if self.differences <= 5:
            print(f"{self.name}: {what} of {ascii(given)}\n  want {want!r}\n  got  {got!r}")

    def shrink(self, text):
        """The shortest part of a text that still gives other ids."""

        def differs(t):
            return self.real.encode(t, add_special_tokens=False).ids != self.ours.encode(t)[0]

        n = len(text) // 2
        while differs(text) and n:
            shorter = [s for i in range(0, len(text), n) if differs(s := text[:i] + text[i + n :])]
            text, n = (shorter[0], n) if shorter else (text, n // 2)
        return text

    def text(self, text, other):
        want, got = self.real.encode(text, add_special_tokens=False).ids, self.ours.encode(text)[0]
        if want != got:
            text = self.shrink(text)
            want, got = self.real.encode(text, add_special_tokens=False).ids, self.ours.encode(text)[0]
        self.same("ids", text, want, got)
        if want == got:
            real = self.plain[0].encode(text, add_special_tokens=False)
            self.same("offsets", text, (real.offsets, real.word_ids), self.plain[1].offsets(text))
        self.same("ids with special tokens", text, self.real.encode(text).ids, self.ours.encode(text, True)[0])
        pair = self.real.encode(text, other)
        got = self.ours.encode(text, True, other)
        if self.real.encode(other, add_special_tokens=False).ids == self.ours.encode(other)[0]:
            self.same("pair", (text, other), (pair.ids, pair.type_ids), got)
        else:
            self.text(other, "")
        self.ids(want)

    def ids(self, ids):
        for skip in (False, True):
            want, got = self.real.decode(ids, skip_special_tokens=skip), self.ours.decode(ids, skip)
            self.same("text", ids, want, got)
            self.same("stream", ids, got, self.ours.stream(ids, skip))


def compare(name, text, seconds, rng):
    try:
        c = Comparison(name, text)
    except Exception as e:
        print(f"{name}: {e}")
        return 1
    end, texts = time.time() + seconds, list(zoo.TEXTS)
    while time.time() < end or texts:
        case = texts.pop() if texts else zoo.random_text(rng)
        try:
            c.text(case, zoo.random_text(rng))
            c.ids(zoo.random_ids(rng, c.size))
        except BaseException as e:
            c.same("outcome", case, "a result", f"{type(e).__name__}: {e}")
            if isinstance(e, KeyboardInterrupt):
                raise
    c.ours.close()
    if c.differences:
        print(f"{name}: {c.differences} differences in {c.cases} cases")
    return c.differences


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    load(args.library)
    todo = {}
    for path in args.files:
        with (lzma.open if path.endswith(".xz") else open)(path, "rt", encoding="utf-8") as f:
            todo[path] = f.read()
    if not todo:
        todo = {k: json.dumps(v) for k, v in zoo.zoo().items() if args.only in k}
    wrong = {name: d for name, text in todo.items() if (d := compare(name, text, args.seconds / len(todo), zoo.rng(args.seed)))}
    print(f"{len(todo)} tokenizers, {len(wrong)} with differences {list(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
