"""Texts on their way to encodings: one text or two, how they are cut, and what the cut leaves over."""

from __future__ import annotations

from typing import Any, Optional

STRATEGIES = ("do_not_truncate", "longest_first", "only_first", "only_second")
_ONLY_FIRST, _ONLY_SECOND = STRATEGIES[2:]
_TEXT_EXPECTED = "expected a text (str), a list of texts, or pairs of texts"
Place = tuple[int, int, int]  # first character, end, word


class Part:
    """The ids of a text, or of a list of words, without special tokens; or a window on them. Where they stand is looked up when it is asked for."""

    def __init__(self, tokenizer: Any, text: Any, words: bool, split_special: bool):
        if not words and not isinstance(text, str):
            raise ValueError(_TEXT_EXPECTED)
        self._tokenizer, self._words, self._split = tokenizer, words, split_special
        self._text = text
        self._all: Optional[list[Place]] = None
        self._whole = self
        pieces = [tokenizer._encode(word, split_special) for word in (text if words else [text])]
        self.ids: list[int] = pieces[0] if len(pieces) == 1 else [i for piece in pieces for i in piece]
        self._start = 0

    def window(self, start: int, stop: int) -> "Part":
        if (start, stop) == (0, len(self.ids)):
            return self
        part = Part.__new__(Part)
        part._whole, part._start, part.ids = self, start, self.ids[start:stop]
        return part

    def places(self) -> list[Place]:
        """Of each id. Characters are those of its word where the text came in words."""
        whole = self._whole
        if whole._all is None:
            find = whole._tokenizer._places
            if whole._words:
                found = [(start, end, w) for w, word in enumerate(whole._text) for start, end, _ in find(word, whole._split)]
            else:
                found = find(whole._text, whole._split)
            whole._all = found
        return whole._all[self._start : self._start + len(self.ids)]


Window = tuple[Part, Optional[Part]]


def whole(a: Part, b: Optional[Part]) -> list[Window]:
    return [(a, b)]


def cut(a: Part, b: Optional[Part], room: int, strategy: str, stride: int, right: bool) -> list[Window]:
    """Windows of at most `room` tokens on a text or two: what is kept first, then what it leaves over, each beginning with the last
    `stride` tokens of the one before."""
    n_a, n_b = len(a.ids), len(b.ids) if b is not None else 0
    over = n_a + n_b - room
    if over <= 0:
        return [(a, b)]
    if room <= 0:
        return [(a.window(0, 0), None if b is None else b.window(0, 0))]
    keep_a, keep_b = n_a, n_b
    if strategy == _ONLY_SECOND and b is not None:
        keep_b -= over
    elif strategy == _ONLY_FIRST or b is None:
        keep_a -= over
    else:
        keep_a, keep_b = _share(n_a, n_b, room)
    for n, keep in ((n_a, keep_a), (n_b, keep_b)):
        if keep < n and keep < 1 and strategy in (_ONLY_FIRST, _ONLY_SECOND):
            raise ValueError(f"truncation would leave nothing of a text of {n} tokens")
    firsts = _windows(a, keep_a, stride, right)
    seconds: list[Optional[Part]] = [None] if b is None else list(_windows(b, keep_b, stride, right))
    rest = [(one, other) for one in firsts[1:] for other in seconds]
    return [(firsts[0], seconds[0])] + rest + [(firsts[0], other) for other in seconds[1:]]


def _windows(part: Part, width: int, stride: int, right: bool) -> list[Part]:
    n = len(part.ids)
    if width >= n:
        return [part]
    if width < 1:
        return [part.window(0, 0), part]
    if not 0 <= stride < width:
        raise ValueError(f"stride is {stride}, expected less than the {width} tokens that there is room for")
    made = []
    for at in range(0, n, width - stride):
        made.append(part.window(at, min(n, at + width)) if right else part.window(max(0, n - at - width), n - at))
        if at + width >= n:
            break
    return made


def _share(n_a: int, n_b: int, room: int) -> tuple[int, int]:
    """How many tokens two texts keep of the room for both: the longer one is cut to the other's length first, then both to halves."""
    short = min(n_a, n_b)
    if short >= room:
        return room // 2, room - room // 2
    rest = max(short, room - short)
    if short + rest > room:
        short, rest = room // 2, room - room // 2
    return (rest, short) if n_a > n_b else (short, rest)


def pairs(text: Any, pair: Any, words: bool) -> tuple[bool, list[tuple[Any, Any]]]:
    """Whether there are several, and the (text, pair or None) of each."""
    if not isinstance(text, (str, list, tuple)) or (words and isinstance(text, str)):
        raise ValueError(f"{_TEXT_EXPECTED}, found {type(text).__name__}")
    batched = isinstance(text, (list, tuple)) and (not words or (bool(text) and isinstance(text[0], (list, tuple))))
    if not batched:
        return False, [(text, pair or None)]
    if isinstance(pair, str):
        raise TypeError("text is a list, so text_pair has to be one of the same length")
    if pair is not None:
        if len(text) != len(pair):
            raise ValueError(f"there are {len(text)} texts and {len(pair)} in text_pair")
        return True, list(zip(text, pair))
    if words:
        return True, [(t, None) for t in text]
    return True, [(t[0], t[1]) if isinstance(t, (list, tuple)) and len(t) == 2 else (t, None) for t in text]


def mask_of(encoding: Any, spans: list[tuple[int, int]]) -> list[int]:
    """1 for the tokens of an encoding that stand for characters of the spans. What truncation took away ends it."""
    mask = [0] * len(encoding)
    for start, end in spans:
        first, last = encoding.char_to_token(start), encoding.char_to_token(end - 1)
        if first is None:
            break
        for i in range(first, last + 1 if last else len(mask)):
            mask[i] = 1
    return mask
