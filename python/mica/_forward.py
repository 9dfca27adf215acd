"""What belongs to a call of a model: its inputs checked, its continuation of a cache, the loss."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Optional

from . import _cache, _engine, _inside, _lib, _tensors

if TYPE_CHECKING:
    from .model import MicaForCausalLM

IGNORED = -100  # a label that does not count


class Inputs:
    """Ids or embeddings of the rows, and which of them are padding."""

    def __init__(self, ids: Any, embeddings: Any, mask: Any, positions: Any):
        self.rows: list[list[int]] = []
        self.embeddings: Any = None
        if embeddings is None:
            self.rows = _tensors.id_rows(ids)
            if not self.rows or not self.rows[0]:
                raise ValueError("input_ids are empty")
            self.n_rows, self.width = len(self.rows), len(self.rows[0])
        else:
            self.embeddings = embeddings_of(embeddings)
            self.n_rows, self.width = self.embeddings.shape[:2]
        self.mask = self._read_mask(mask)
        self._check_positions(positions)

    def _read_mask(self, mask: Any) -> Optional[list[list[int]]]:
        if mask is None:
            return None
        if hasattr(mask, "keys") or getattr(mask, "ndim", 2) > 2:
            raise NotImplementedError("an attention_mask has two dimensions here, [rows, positions]; masks of single pairs of positions are not supported")
        rows = _tensors.id_rows(_as_integers(mask), "attention_mask")
        if len(rows) != self.n_rows or any(len(row) < self.width for row in rows):
            raise ValueError("attention_mask and input_ids have different shapes")
        return [row[-self.width :] for row in rows]

    def _check_positions(self, positions: Any) -> None:
        """Only distances matter to the model: positions that follow one another are what it counts itself."""
        if positions is None:
            return
        rows = _tensors.id_rows(positions, "position_ids")
        if any(len(row) != self.width for row in rows) or len(rows) not in (1, self.n_rows):
            raise ValueError("position_ids and input_ids have different shapes")
        for i in range(self.n_rows):
            row = rows[i % len(rows)]
            at = [row[k] for k in self.seen(i)]
            if any(b != a + 1 for a, b in zip(at, at[1:])):
                raise NotImplementedError("position_ids that do not follow one another are not supported")

    def seen(self, row: int) -> list[int]:
        """Where a row is not padding."""
        return [k for k in range(self.width) if self.mask is None or self.mask[row][k]]

    def all_seen(self) -> list[list[int]]:
        return [self.seen(i) for i in range(self.n_rows)]

    def seen_rows(self) -> list[list[int]]:
        return [[ids[k] for k in self.seen(i)] for i, ids in enumerate(self.rows)]


def embeddings_of(value: Any) -> Any:
    """inputs_embeds as a numpy array."""
    made = _tensors.numpy().ascontiguousarray(_tensors.to_numpy(_widened(value)), dtype="float32")
    if made.ndim != 3 or not made.size:
        raise ValueError(f"inputs_embeds have the shape {made.shape}, expected [rows, positions, hidden_size]")
    return made


def check_size(model: "MicaForCausalLM", embeddings: Any) -> None:
    if embeddings.shape[2] != model._info.hidden_size:
        raise ValueError(f"inputs_embeds have {embeddings.shape[2]} elements each, the model's have {model._info.hidden_size}")


def _as_integers(mask: Any) -> Any:
    """A mask of truth values or floats."""
    values = _tensors.to_list(mask)
    rows = values if values and isinstance(values[0], list) else [values]
    return [[int(bool(m)) for m in row] for row in rows]


def _widened(tensor: Any) -> Any:
    """numpy has no bfloat16."""
    return tensor.float() if _tensors.kind_of(tensor) == "pt" else tensor


def continued(model: "MicaForCausalLM", cache: Any, inputs: Inputs, states: bool, attentions: bool) -> tuple[Any, _inside.Step]:
    """Runs the rows after what the cache object holds: logits, and what is inside, as far as it is wanted. Padding stays out of the sessions."""
    np = _tensors.numpy()
    own = _cache.own(cache)
    state = own.state(model, inputs.n_rows)
    info = model._info
    logits = np.zeros((inputs.n_rows, inputs.width, info.vocab_size), "float32")
    inside = _inside.Step(model, inputs.n_rows, state.length, inputs.width, states, attentions, own.slides)
    if inputs.embeddings is not None:
        check_size(model, inputs.embeddings)
    parts, places = [], []
    for i, session in enumerate(state.sessions):
        at = inputs.seen(i)
        if not at:
            inside.place(i, state.seen[i], None, None)
            continue
        part = _engine.Part(session, logits=np.empty((len(at), info.vocab_size), "float32"))
        if inputs.embeddings is None:
            part.ids = _lib.ids_array([inputs.rows[i][k] for k in at])
        else:
            part.embeddings = np.ascontiguousarray(inputs.embeddings[i, at])
        if states:
            part.hidden_states = np.empty((info.n_layers + 1, len(at), info.hidden_size), "float32")
        if attentions:
            part.attentions = np.empty((info.n_layers, info.n_heads, len(at), len(session) + len(at)), "float32")
        parts.append(part)
        places.append((i, at))
    _engine.forward(parts)
    for part, (i, at) in zip(parts, places):
        state.seen[i] += [state.length + k for k in at]
        logits[i, at] = part.logits
        inside.place(i, state.seen[i], part.hidden_states, part.attentions)
    state.length += inputs.width
    return logits, inside


def embed(model: "MicaForCausalLM", ids: list[int]) -> Any:
    """Embeddings of ids, [n, hidden_size]."""
    out = _tensors.numpy().empty((len(ids), model._info.hidden_size), "float32")
    _lib.call(_lib.C.mica_model_embed, model._handle.value, _lib.ids_array(ids), len(ids), out.ctypes.data)
    return out


class InputEmbeddings:
    """The embeddings of a model as a function of ids, [..., hidden_size]."""

    def __init__(self, model: "MicaForCausalLM"):
        self._model = model
        self.num_embeddings, self.embedding_dim = model._info.vocab_size, model._info.hidden_size

    def __call__(self, input_ids: Any) -> Any:
        kind = _tensors.kind_of(input_ids) or "np"
        ids = _tensors.to_numpy(input_ids)
        made = embed(self._model, ids.reshape(-1).tolist())
        return _tensors.from_numpy(made.reshape(*ids.shape, -1), kind)

    @property
    def weight(self) -> Any:
        """All embeddings, [num_embeddings, embedding_dim], as float32: a copy."""
        made = embed(self._model, list(range(self.num_embeddings)))
        return _tensors.from_numpy(made, "pt" if "torch" in sys.modules and sys.modules["torch"] is not None else "np")


def kept(logits: Any, wish: Any) -> Any:
    """The last positions, or those with these numbers."""
    if isinstance(wish, int):
        return logits[:, -wish:] if wish else logits
    return logits[:, _tensors.to_numpy(wish)]


def loss(logits: Any, labels: Any, n_items: Any) -> Any:
    """The mean cross-entropy of the tokens that follow, without those labelled -100: a numpy array of no dimensions."""
    from . import core

    np = _tensors.numpy()
    if labels.shape != logits.shape[:2]:
        raise ValueError(f"labels have the shape {labels.shape}, the positions {logits.shape[:2]}")
    rows, at = np.nonzero(labels[:, 1:] != IGNORED)
    if not len(rows):
        return np.array(np.nan, "float32")
    wanted = np.ascontiguousarray(labels[rows, at + 1])
    if wanted.min() < 0 or wanted.max() >= logits.shape[2]:
        raise ValueError(f"a label is no token id, nor {IGNORED}")
    scores = core.log_softmax(core.array(np.ascontiguousarray(logits[rows, at])))
    chosen = core.take_along_axis(scores, core.array(wanted.reshape(-1, 1)), 1)
    total = -core.sum(chosen)
    n = len(rows) if n_items is None else float(n_items)
    return np.array(total / float(n)).reshape(())
