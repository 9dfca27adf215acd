"""Key-value caches that a program passes from call to call: our DynamicCache, and what stands behind a cache object of Transformers."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Optional

from . import _engine

if TYPE_CHECKING:
    from .model import MicaForCausalLM


class DynamicCache:
    """A key-value cache that a program passes from call to call."""

    is_compileable = False

    def __init__(self, *args: Any, config: Any = None, **kwargs: Any):
        self.slides = config is not None  # as Transformers' does: with a config it drops what no sliding window reaches
        self.reset()

    def remember(self, rows: list[list[int]], seen: list[list[int]], length: int, embeddings: Optional[list[Any]] = None) -> None:
        """Stands for what was computed of these ids; that is computed again when the cache is used in a call of the model.
        seen: where they are among `length` positions; the others are padding. embeddings: what comes before the ids of each row, [n, hidden]."""
        self._state: Optional[Continued] = None
        self._rows, self._seen, self._length, self._embeddings = rows, seen, length, embeddings

    def state(self, model: "MicaForCausalLM", n: int) -> "Continued":
        if self._state is None:
            self._state = Continued(model, n)
            if self._rows:
                self._state.fill(self._rows, self._seen, self._length, self._embeddings)
        if len(self._state.sessions) != n:
            raise ValueError(f"the cache holds {len(self._state.sessions)} rows, there are {n} now")
        return self._state

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._state.length if self._state else self._length

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        return -1  # it grows

    def crop(self, max_length: int) -> None:
        """Forgets all but the first max_length positions; a negative number forgets that many."""
        n = max_length if max_length >= 0 else self.get_seq_length() + max_length
        if self._state:
            self._state.crop(n)
        elif n < self._length:
            seen = [_before(places, n) for places in self._seen]
            vectors = None
            if self._embeddings is not None:
                vectors = [e[: len(places)] for e, places in zip(self._embeddings, seen)]
            before = [0] * len(seen) if vectors is None else [len(e) for e in vectors]
            self.remember([row[: len(places) - b] for row, places, b in zip(self._rows, seen, before)], seen, n, vectors)

    def reset(self) -> None:
        self.remember([], [], 0)


def _before(places: list[int], n: int) -> list[int]:
    return [k for k in places if k < n]


class Continued:
    """Sessions of the rows of a batch that grows from call to call."""

    sessions: list[_engine.Session]
    length: int

    def __init__(self, model: "MicaForCausalLM", n: int):
        self.sessions = [_engine.Session(model._handle, model._max_context) for _ in range(n)]
        self.length = 0  # positions, padding included
        self.seen: list[list[int]] = [[] for _ in range(n)]  # those that are no padding

    def fill(self, rows: list[list[int]], seen: list[list[int]], length: int, embeddings: Optional[list[Any]]) -> None:
        if len(rows) != len(self.sessions):
            raise ValueError(f"the cache holds {len(rows)} rows, there are {len(self.sessions)} now")
        if embeddings is not None:
            _engine.forward([_engine.Part(session, embeddings=e) for session, e in zip(self.sessions, embeddings) if len(e)])
        _engine.forward([_engine.Part(session, row) for session, row in zip(self.sessions, rows) if row])
        self.length, self.seen = length, [list(places) for places in seen]

    def crop(self, n: int) -> None:
        self.seen = [_before(places, n) for places in self.seen]
        for session, places in zip(self.sessions, self.seen):
            session.truncate(len(places))
        self.length = min(n, self.length)


_foreign: "weakref.WeakKeyDictionary[Any, DynamicCache]" = weakref.WeakKeyDictionary()


def behind(cache: Any) -> Optional[DynamicCache]:
    """Ours, or the one that stands behind another's object, if a model of mica has seen that."""
    if isinstance(cache, DynamicCache):
        return cache
    return _foreign.get(cache)


def own(cache: Any) -> DynamicCache:
    """As behind, made if there is none yet."""
    found = behind(cache)
    if found is not None:
        return found
    if not hasattr(cache, "get_seq_length"):
        raise TypeError(f"past_key_values is a {type(cache).__name__}, expected a cache object such as DynamicCache()")
    if cache.get_seq_length():
        raise ValueError("past_key_values holds what another model computed; a model of mica needs a cache that is empty or its own")
    made = _foreign[cache] = DynamicCache()
    made.slides = any(getattr(layer, "is_sliding", False) for layer in getattr(cache, "layers", ()))
    return made
