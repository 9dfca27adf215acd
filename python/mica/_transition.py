"""compute_transition_scores, with the engine's arrays."""

from __future__ import annotations

from typing import Any

from . import _tensors, core


def scores(sequences: Any, steps: Any, beam_indices: Any, normalize: bool) -> Any:
    """The score of every generated token, [n_sequences, n_new]; 0 after the end of a beam."""
    np = _tensors.numpy()
    kind = _tensors.kind_of(sequences) or "np"
    chosen = _tensors.to_numpy(sequences)
    n_steps = len(steps)
    if beam_indices is None:
        rows = np.broadcast_to(np.arange(len(chosen))[:, None], (len(chosen), n_steps))
    else:
        rows = _tensors.to_numpy(beam_indices)
        longest = int((rows >= 0).sum(axis=1).max())
        rows = rows[:, :longest]
    n_new = rows.shape[1]
    tokens = chosen[:, chosen.shape[1] - n_new :]
    columns = []
    for i in range(n_new):
        step = core.array(_tensors.to_numpy(steps[i]))  # [n_rows, vocab]
        step = core.log_softmax(step) if normalize else step
        picked = step[core.array(np.maximum(rows[:, i], 0))]
        columns.append(core.take_along_axis(picked, core.array(np.ascontiguousarray(tokens[:, i : i + 1])), 1))
    found = np.array(core.concatenate(columns, axis=1))
    found[rows < 0] = 0
    return _tensors.from_numpy(found, kind)
