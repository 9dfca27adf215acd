"""What a tokenizer gives back: BatchEncoding, a dictionary with attributes, and AddedToken."""

from __future__ import annotations

from collections import UserDict
from typing import Any, NamedTuple, Optional

from . import _tensors


class AddedToken:
    """A token that is found in the text before the model sees it."""

    def __init__(
        self,
        content: str = "",
        single_word: bool = False,
        lstrip: bool = False,
        rstrip: bool = False,
        normalized: Optional[bool] = None,
        special: bool = False,
    ):
        self.content, self.single_word = content, single_word
        self.lstrip, self.rstrip = lstrip, rstrip
        self.normalized = not special if normalized is None else normalized
        self.special = special

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        flags = ", ".join(f"{k}={v}" for k, v in vars(self).items() if k != "content")
        return f"AddedToken({self.content!r}, {flags})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AddedToken) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.content)


class Encoding:
    """One encoded text, or pair of texts, in full. `sources`: 0 or 1 for tokens of the first or second text, -1 for others; `parts`: these texts."""

    def __init__(
        self,
        tokenizer: Any,
        ids: list[int],
        type_ids: list[int],
        mask: list[int],
        sources: list[int],
        parts: tuple[Any, ...] = (),
    ):
        self._tokenizer = tokenizer
        self.ids = ids
        self.type_ids = type_ids
        self.attention_mask = mask
        self._sources = sources
        self._parts = parts

    def __len__(self) -> int:
        return len(self.ids)

    def pad(self, n: int, pad_id: int, left: bool) -> None:
        """Adds n tokens of padding."""
        for name, value in (("ids", pad_id), ("type_ids", 0), ("attention_mask", 0), ("_sources", -1)):
            old = getattr(self, name)
            setattr(self, name, [value] * n + old if left else old + [value] * n)

    @property
    def tokens(self) -> list[str]:
        tokens: list[str] = self._tokenizer.convert_ids_to_tokens(self.ids)
        return tokens

    @property
    def sequence_ids(self) -> list[Optional[int]]:
        return [None if s < 0 else s for s in self._sources]

    @property
    def special_tokens_mask(self) -> list[int]:
        return [int(s < 0) for s in self._sources]

    def _places(self) -> list[Any]:
        """(first character, end, word) of each token of a text, None for others."""
        found = [iter(part.places()) if part is not None else iter(()) for part in self._parts]
        return [None if s < 0 else next(found[s]) for s in self._sources]

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The characters of its text that each token stands for; (0, 0) for special tokens and padding."""
        return [(0, 0) if place is None else place[:2] for place in self._places()]

    @property
    def word_ids(self) -> list[Optional[int]]:
        return [None if place is None else place[2] for place in self._places()]

    def char_to_token(self, char: int, sequence: int = 0) -> Optional[int]:
        """The first token of a text that stands for a character."""
        for i, (place, source) in enumerate(zip(self._places(), self._sources)):
            if source == sequence and place[0] <= char < place[1]:
                return i
        return None

    def word_to_tokens(self, word: int, sequence: int = 0) -> Optional[tuple[int, int]]:
        at = [i for i, (p, s) in enumerate(zip(self._places(), self._sources)) if s == sequence and p[2] == word]
        return (at[0], at[-1] + 1) if at else None

    def word_to_chars(self, word: int, sequence: int = 0) -> Optional[tuple[int, int]]:
        at = [p for p, s in zip(self._places(), self._sources) if s == sequence and p[2] == word]
        return (at[0][0], at[-1][1]) if at else None


class BatchEncoding(UserDict[str, Any]):
    """The fields of encoded texts ("input_ids", "attention_mask" ...): a dictionary whose entries are attributes, too."""

    def __init__(
        self,
        data: Optional[dict[str, Any]] = None,
        encoding: Any = None,
        tensor_type: Any = None,
        prepend_batch_axis: bool = False,
        n_sequences: Optional[int] = None,
    ):
        super().__init__(data)
        if encoding is not None and not isinstance(encoding, (list, tuple)):
            encoding = [encoding]
        self._encodings: Optional[list[Encoding]] = encoding
        self._n_sequences = n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getattr__(self, name: str) -> Any:
        data = self.__dict__.get("data")
        if data is None or name not in data:
            raise AttributeError(name)
        return data[name]

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            return self.data[item]
        if isinstance(item, slice):
            return {key: value[item] for key, value in self.data.items()}
        return self._need_encodings()[item]

    def keys(self) -> Any:
        return self.data.keys()

    def values(self) -> Any:
        return self.data.values()

    def items(self) -> Any:
        return self.data.items()

    # ---- tensors ----

    def convert_to_tensors(self, tensor_type: Any = None, prepend_batch_axis: bool = False) -> "BatchEncoding":
        """Turns every field into tensors of the kind ("pt", "np"); None leaves them."""
        kind = _tensors.framework(tensor_type)
        if kind is None:
            return self
        for key, value in self.data.items():
            if _tensors.kind_of(value) == kind:
                continue
            rows = [value] if prepend_batch_axis else value
            try:
                self.data[key] = _tensors.make(rows, kind)
            except ValueError as e:
                raise ValueError(
                    f"the rows of {key} have different lengths, so there is no tensor of them: ask for padding=True "
                    "and truncation=True"
                ) from e
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> "BatchEncoding":
        """Moves torch tensors to a device, in place. Other values stay: mica's models take them wherever they are."""
        if str(device) == "mlx":
            return self
        for key, value in self.data.items():
            if _tensors.kind_of(value) == "pt":
                self.data[key] = value.to(device, non_blocking=non_blocking)
        return self

    # ---- what the fields leave out ----

    @property
    def is_fast(self) -> bool:
        return self._encodings is not None

    @property
    def encodings(self) -> Optional[list[Encoding]]:
        return self._encodings

    @property
    def n_sequences(self) -> Optional[int]:
        if self._n_sequences is None and self._encodings:
            return len(set(self._encodings[0].sequence_ids) - {None})
        return self._n_sequences

    def _need_encodings(self) -> list[Encoding]:
        if self._encodings is None:
            raise KeyError("only an encoding that came from a tokenizer is indexed by number")
        return self._encodings

    def tokens(self, batch_index: int = 0) -> list[str]:
        return self._need_encodings()[batch_index].tokens

    def sequence_ids(self, batch_index: int = 0) -> list[Optional[int]]:
        return self._need_encodings()[batch_index].sequence_ids

    @staticmethod
    def _two(first: int, second: Optional[int]) -> tuple[int, int]:
        return (0, first) if second is None else (first, second)

    def token_to_sequence(self, batch_or_token_index: int, token_index: Optional[int] = None) -> Optional[int]:
        batch, token = self._two(batch_or_token_index, token_index)
        return self._need_encodings()[batch].sequence_ids[token]

    def word_ids(self, batch_index: int = 0) -> list[Optional[int]]:
        return self._need_encodings()[batch_index].word_ids

    def token_to_word(self, batch_or_token_index: int, token_index: Optional[int] = None) -> Optional[int]:
        batch, token = self._two(batch_or_token_index, token_index)
        return self.word_ids(batch)[token]

    def token_to_chars(self, batch_or_token_index: int, token_index: Optional[int] = None) -> Optional["CharSpan"]:
        """The characters that a token stands for; None for a special token."""
        batch, token = self._two(batch_or_token_index, token_index)
        place = self._need_encodings()[batch]._places()[token]
        return None if place is None else CharSpan(*place[:2])

    def char_to_token(
        self, batch_or_char_index: int, char_index: Optional[int] = None, sequence_index: int = 0
    ) -> Optional[int]:
        batch, char = self._two(batch_or_char_index, char_index)
        return self._need_encodings()[batch].char_to_token(char, sequence_index)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: Optional[int] = None, sequence_index: int = 0
    ) -> Optional["TokenSpan"]:
        batch, word = self._two(batch_or_word_index, word_index)
        found = self._need_encodings()[batch].word_to_tokens(word, sequence_index)
        return None if found is None else TokenSpan(*found)

    def word_to_chars(self, batch_or_word_index: int, word_index: Optional[int] = None, sequence_index: int = 0) -> "CharSpan":
        batch, word = self._two(batch_or_word_index, word_index)
        found = self._need_encodings()[batch].word_to_chars(word, sequence_index)
        if found is None:
            raise ValueError(f"there is no word {word}")
        return CharSpan(*found)

    def char_to_word(
        self, batch_or_char_index: int, char_index: Optional[int] = None, sequence_index: int = 0
    ) -> Optional[int]:
        batch, char = self._two(batch_or_char_index, char_index)
        token = self._need_encodings()[batch].char_to_token(char, sequence_index)
        return None if token is None else self.word_ids(batch)[token]


class CharSpan(NamedTuple):
    start: int
    end: int


class TokenSpan(NamedTuple):
    start: int
    end: int
