"""A look inside the model: hidden states and attentions in the shapes that Transformers gives them.

The engine computes them for tokens that are not padding. Here they go to their places among the padding, whose hidden states are 0 and whose
attention is the same for all positions (what a softmax makes of a row in which everything is masked). In layers with a sliding window the keys
are those that Transformers' cache still holds: the last window - 1 of the past, and the new ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Sequence

from . import _lib, _tensors

if TYPE_CHECKING:
    from .model import MicaForCausalLM


class Step:
    """What one pass gives for all rows: `new` positions after `past` ones, padding included.

    slides: the cache drops what no window reaches. hidden: [layers + 1, rows, new, hidden]; attentions: of each layer [rows, heads, new, keys]."""

    def __init__(self, model: "MicaForCausalLM", n_rows: int, past: int, new: int, states: bool, attentions: bool, slides: bool):
        np, info = _tensors.numpy(), model._info
        self.past, self.new = past, new
        self.padding = np.ones((n_rows, new), bool)
        self.hidden: Any = np.zeros((info.n_layers + 1, n_rows, new, info.hidden_size), "float32") if states else None
        self.attentions: Optional[list[Any]] = None
        if attentions:
            windows = [_lib.C.mica_model_window(model._handle.value, i) if slides else 0 for i in range(info.n_layers)]
            keys = [(min(past, w - 1) if w else past) + new for w in windows]
            self.attentions = [np.zeros((n_rows, info.n_heads, new, k), "float32") for k in keys]

    def place(self, row: int, seen: Sequence[int], states: Any, weights: Any) -> None:
        """seen: where the row's tokens are, from the first position of all on. states [layers + 1, n, hidden] and weights [layers, heads, n, n_seen] are of
        the last n of them."""
        np = _tensors.numpy()
        places = np.asarray(seen, "int64")
        first = int(np.searchsorted(places, self.past))  # of the new ones
        n = len(places) - first
        at = places[first:] - self.past
        self.padding[row, at] = False
        if self.hidden is not None and n:
            self.hidden[:, row, at] = states[:, -n:]
        for layer, out in enumerate(self.attentions or []):
            hidden_keys = self.past + self.new - out.shape[-1]
            kept = int(np.searchsorted(places, hidden_keys))
            out[row][:, self.padding[row]] = 1 / out.shape[-1]
            if n:
                columns = places[kept:] - hidden_keys
                out[row][:, at[:, None], columns[None]] = weights[layer, :, -n:, kept:]

    def after(self, before: "Step") -> "Step":
        """As if this step had run over the positions of the one before, too."""
        np = _tensors.numpy()
        made = object.__new__(Step)
        made.past, made.new = before.past, before.new + self.new
        made.padding = np.concatenate([before.padding, self.padding], 1)
        made.hidden = None if self.hidden is None else np.concatenate([before.hidden, self.hidden], 2)
        made.attentions = None
        if self.attentions is not None:
            made.attentions = []
            for old, new in zip(before.attentions or [], self.attentions):
                later = np.zeros((*old.shape[:3], new.shape[3] - old.shape[3]), "float32")
                grown = np.concatenate([np.concatenate([old, later], 3), new], 2)
                grown.swapaxes(1, 2)[made.padding] = 1 / grown.shape[-1]
                made.attentions.append(grown)
        return made

    def hidden_of(self, kind: str) -> Any:
        return None if self.hidden is None else tuple(_tensors.from_numpy(h, kind) for h in self.hidden)

    def attentions_of(self, kind: str) -> Any:
        return None if self.attentions is None else tuple(_tensors.from_numpy(a, kind) for a in self.attentions)


class Steps:
    """Those of a generation, as its callback tells of them."""

    def __init__(
        self, model: "MicaForCausalLM", seen: list[list[int]], width: int, states: bool, attentions: bool, past: int, slides: bool, whole: bool
    ):
        """seen: where each prompt has tokens among its `width` positions, the first `past` of which the caller's cache holds. whole: each step runs
        over everything (use_cache=False)."""
        self._model, self._seen, self._width, self._past = model, seen, width, past
        self.states, self.attentions, self._slides, self._whole = states, attentions, slides, whole
        self._steps: list[Step] = []

    def take(self, number: int, row: int, n_rows: int, hidden: Any, attentions: Any) -> None:
        end = self._width + number
        if number == len(self._steps):
            past = end - 1 if number else self._past
            self._steps.append(Step(self._model, n_rows, past, end - past, self.states, self.attentions, self._slides))
        seen = self._seen[row // (n_rows // len(self._seen))] + list(range(self._width, end))
        self._steps[number].place(row, seen, hidden, attentions)

    def results(self, kind: str) -> tuple[Any, Any]:
        """Hidden states and attentions: a tuple of steps of tuples of layers each, or None."""
        steps = self._steps
        for i in range(1, len(steps) if self._whole else 0):
            steps[i] = steps[i].after(steps[i - 1])
        return (
            tuple(s.hidden_of(kind) for s in steps) if self.states else None,
            tuple(s.attentions_of(kind) for s in steps) if self.attentions else None,
        )
