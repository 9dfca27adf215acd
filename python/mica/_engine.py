"""One call of the batch engine: a request made of plain values, callbacks, and the result taken out of C's memory.

Memory is only moved here. Callbacks run on the thread that generates; an exception in one ends the generation and is raised
when the C function has returned, so nothing is lost on the way through C.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int32, c_void_p
from typing import Any, Callable, Optional

from . import _lib, _tensors
from ._interrupt import interruptible
from ._lib import C

STOP_REASONS = ("length", "eos", "stop_string", "callback", "time")


class Callbacks:
    """The callables of one generation. Any may be None; `kind` says what their arrays are: "np" or "pt"."""

    def __init__(
        self,
        kind: str,
        process: Optional[Callable[[Any, Any], Any]] = None,
        stop: Optional[Callable[[Any, Any], list[bool]]] = None,
        allow: Optional[Callable[[int, Any], list[int]]] = None,
        tokens: Optional[Callable[[Any], None]] = None,
        plain_tokens: Optional[Callable[[list[int]], None]] = None,
        beams: bool = False,
        inside: Optional[Callable[[int, int, int, Any, Any], None]] = None,
    ):
        self.kind = kind
        self.process, self.stop, self.allow, self.tokens = process, stop, allow, tokens
        self.inside = inside  # of a step, row, number of rows: hidden states and attentions, views that end with the call
        self.model: Any = None  # what is inside belongs to
        self.plain_tokens = plain_tokens  # in the place of `tokens`: lists rather than arrays
        self.failure: Optional[BaseException] = None
        self._allowed: Any = None
        self._scores_kept: Any = None
        # Something is called for every token in any case: it lets the interpreter see signals (Ctrl-C).
        self.c: Any = _lib.BatchCallbacks()
        if process:
            self.c.process = _lib.PROCESS(self._guarded(self._on_process))
        if stop or beams:
            self.c.stop = _lib.STOP(self._guarded(self._on_stop))
        if allow:
            self.c.allow = _lib.ALLOW(self._guarded(self._on_allow))
        if inside:
            self.c.inside = _lib.INSIDE(self._guarded(self._on_inside))
        if not beams:
            self.c.tokens = _lib.TOKENS(self._guarded(self._on_tokens))

    def _guarded(self, function: Callable[..., None]) -> Callable[..., int]:
        def run(_context: Any, *args: Any) -> int:
            try:
                function(*args)
                return 0
            except BaseException as e:  # KeyboardInterrupt, too: it is raised again outside
                self.failure = e
                return 1

        return run

    def _ids(self, step: Any) -> Any:
        """The ids of a step, [n_rows, length], as arrays that the callee may keep."""
        np = _tensors.numpy()
        rows = view(step.ids, (step.n_rows, step.stride), "int32")
        return _tensors.from_numpy(rows[:, : step.lengths[0]].astype(np.int64), self.kind)

    def _on_process(self, pointer: Any) -> None:
        assert self.process is not None
        step = pointer.contents
        scores = view(step.scores, (step.n_rows, step.vocab), "float32")
        given = _tensors.from_numpy(scores, self.kind)
        result = self.process(self._ids(step), given)
        if result is None:
            raise TypeError("a logits processor gave None: it has to return the scores")
        if result is not given:
            scores[...] = _tensors.to_numpy(result)

    def _on_stop(self, pointer: Any, done: Any) -> None:
        if self.stop is None:
            return
        step = pointer.contents
        scores = None
        if step.scores:
            scores = _tensors.from_numpy(view(step.scores, (step.n_rows, step.vocab), "float32"), self.kind)
        for row, value in enumerate(self.stop(self._ids(step), scores)):
            done[row] = value

    def _on_allow(self, prompt: int, ids: Any, n: int, allowed: Any, n_allowed: Any) -> None:
        assert self.allow is not None
        row = _tensors.make(ids[:n], self.kind)
        tokens = [int(i) for i in self.allow(prompt, row)]
        self._allowed = _lib.ids_array(tokens)
        allowed[0] = ctypes.addressof(self._allowed)
        n_allowed[0] = len(tokens)

    def _on_inside(self, pointer: Any) -> None:
        assert self.inside is not None
        at = pointer.contents
        info = C.mica_model_get_info(self.model.value).contents
        states = weights = None
        if at.hidden_states:
            states = view(at.hidden_states, (info.n_layers + 1, at.n, info.hidden_size), "float32")
        if at.attentions:
            weights = view(at.attentions, (info.n_layers, info.n_heads, at.n, at.length), "float32")
        self.inside(at.step, at.row, at.n_rows, states, weights)

    def _on_tokens(self, ids: Any, n: int) -> None:
        if self.plain_tokens is not None:
            self.plain_tokens(ids[:n])
        elif self.tokens is not None:
            self.tokens(_tensors.make(ids[:n], self.kind))


def view(address: int, shape: tuple[int, ...], dtype: str) -> Any:
    """A numpy array over memory of the library."""
    np = _tensors.numpy()
    size = np.dtype(dtype).itemsize
    for n in shape:
        size *= n
    if not size:
        return np.empty(shape, dtype)
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)


def copied(address: Optional[int], shape: tuple[int, ...], dtype: str) -> Any:
    return view(address, shape, dtype).copy() if address else None


class Result:
    """What a generation gave, in arrays of Python's own."""

    def __init__(self, c: Any):
        n, steps = c.n_sequences, c.n_steps
        self.ids = copied(c.ids, (n, c.n_new), "int32") if n else _tensors.numpy().empty((0, 0), "int32")
        self.lengths = c.lengths[:n] if n else []
        self.reasons = [STOP_REASONS[r] for r in c.reasons[:n]] if n else []
        self.sequences_scores = copied(c.sequences_scores, (n,), "float32")
        self.beam_indices = copied(c.beam_indices, (n, c.n_new), "int32")
        self.scores = copied(c.scores, (steps, c.n_rows, c.vocab), "float32")
        self.logits = copied(c.logits, (steps, c.n_rows, c.vocab), "float32")
        self.n_prompt = c.n_prompt
        self.n_guessed, self.n_accepted = c.n_guessed, c.n_accepted
        self.prompt_seconds, self.decode_seconds = c.prompt_seconds, c.decode_seconds


def _call(cancel: Callable[[], None], function: Callable[..., int], *args: Any) -> None:
    """A call that takes long, and that Ctrl-C ends."""
    with interruptible(cancel) as interrupt:
        try:
            _lib.call(function, *args)
        except _lib.CancelledError:
            if interrupt.pressed:
                raise KeyboardInterrupt from None
            raise


class Batch(_lib.Handle):
    """The caches of some sequences; used by one thread at a time."""

    __slots__ = ("model", "kv")

    def __init__(self, model: _lib.Handle, max_context: int = 0, kv: tuple[int, int] = (0, 0)):
        """kv: bits and group size of the caches; zeros are the model's."""
        options = _lib.SessionOptions(max_context=max_context, kv_bits=kv[0], kv_group_size=kv[1])
        pointer = c_void_p()
        self.kv = kv
        _lib.call(C.mica_batch_create, byref(pointer), model.value, byref(options))
        super().__init__(pointer, C.mica_batch_free)
        self.model = model  # lives at least as long

    def generate(
        self,
        rows: list[list[int]],
        mask: Optional[list[list[int]]],
        config: _lib.Handle,
        callbacks: Callbacks,
        assistant: Optional[_lib.Handle] = None,
        negative: Optional[list[list[int]]] = None,
        negative_mask: Optional[list[list[int]]] = None,
        want_scores: bool = False,
        want_logits: bool = False,
        want_hidden_states: bool = False,
        want_attentions: bool = False,
        embeddings: Any = None,
    ) -> Result:
        """Generates after rows of the same length; embeddings: numpy float32 [rows, positions, hidden], which the model sees instead."""
        width = len(rows[0])
        request = _lib.BatchRequest(
            n_prompts=len(rows), width=width, want_scores=want_scores, want_logits=want_logits, callbacks=callbacks.c
        )
        request.want_hidden_states, request.want_attentions = want_hidden_states, want_attentions
        callbacks.model = self.model
        if embeddings is not None:
            request.embeddings, request.embeddings_width = embeddings.ctypes.data, embeddings.shape[1]
        request.ids = flat(rows)
        request.mask = flat_mask(mask)
        request.config = config.value
        if negative is not None:
            request.negative_ids = flat(negative)
            request.negative_mask = flat_mask(negative_mask)
            request.negative_width = len(negative[0])
        if assistant is not None:
            request.assistant = assistant.value
        result = _lib.BatchResult()
        err = _lib.ErrorInfo()
        try:
            with interruptible(self.cancel) as interrupt:
                status = C.mica_batch_generate(self.value, byref(request), byref(result), byref(err))
            if callbacks.failure is not None:
                raise callbacks.failure
            if interrupt.pressed and status == _lib.CANCELLED:
                raise KeyboardInterrupt
            if status:
                _lib.raise_status(status, err.message.decode("utf-8", "replace"))
            return Result(result)
        finally:
            C.mica_batch_result_release(byref(result))
            callbacks.c = None  # its functions refer to the callbacks

    def forward(self, rows: list[list[int]], mask: Optional[list[list[int]]], vocab: int) -> Any:
        """Logits of every position, [n_rows, width, vocab]."""
        shape = (len(rows), len(rows[0]), vocab)
        logits = _tensors.numpy().empty(shape, "float32")
        ids, seen = flat(rows), flat_mask(mask)
        _call(self.cancel, C.mica_batch_forward, self.value, ids, seen, shape[0], shape[1], logits.ctypes.data)
        return logits

    def cancel(self) -> None:
        """Ends what another thread is doing with this batch."""
        pointer = self.pointer
        if pointer is not None:
            C.mica_batch_cancel(pointer)


class Session(_lib.Handle):
    """One sequence that grows: a key-value cache and a position."""

    __slots__ = ("model",)

    def __init__(self, model: _lib.Handle, max_context: int = 0):
        options = _lib.SessionOptions(max_context=max_context)
        pointer = c_void_p()
        _lib.call(C.mica_session_create, byref(pointer), model.value, byref(options))
        super().__init__(pointer, C.mica_session_free)
        self.model = model

    def __len__(self) -> int:
        return int(C.mica_session_length(self.value))

    def truncate(self, n: int) -> None:
        _lib.call(C.mica_session_truncate, self.value, n)

    def cancel(self) -> None:
        pointer = self.pointer
        if pointer is not None:
            C.mica_session_cancel(pointer)


class Part:
    """New positions of one session: ids, or embeddings [n, hidden], and what is wanted of them, numpy float32 arrays that are written in
    place: logits [n, vocab], hidden_states [layers + 1, n, hidden], attentions [layers, heads, n, length]."""

    __slots__ = ("session", "ids", "embeddings", "logits", "hidden_states", "attentions")

    def __init__(self, session: Session, ids: Any = None, embeddings: Any = None, logits: Any = None, hidden_states: Any = None):
        self.session = session
        self.ids = None if ids is None else _lib.ids_array(ids)
        self.embeddings, self.logits, self.hidden_states = embeddings, logits, hidden_states
        self.attentions: Any = None

    def c(self) -> Any:
        def address(array: Any) -> Any:
            return None if array is None else array.ctypes.data

        n = len(self.embeddings) if self.ids is None else len(self.ids)
        made = _lib.Forward(session=self.session.value, embeddings=address(self.embeddings), n=n)
        if self.ids is not None:
            made.ids = self.ids
        made.logits, made.hidden_states, made.attentions = map(address, (self.logits, self.hidden_states, self.attentions))
        return made


def forward(parts: list[Part]) -> None:
    """Runs the model over new positions of different sessions of one model, all of them together."""
    sessions = [part.session for part in parts]

    def cancel() -> None:
        for session in sessions:
            session.cancel()

    if parts:
        _call(cancel, C.mica_sessions_forward, (_lib.Forward * len(parts))(*(part.c() for part in parts)), len(parts))


def flat(rows: list[list[int]]) -> Any:
    """Rows of one length, one after the other."""
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        raise ValueError("the rows have different lengths: pad them (padding=True, padding_side='left')")
    try:
        return (c_int32 * (width * len(rows)))(*(i for row in rows for i in row))
    except (TypeError, ctypes.ArgumentError):
        raise ValueError("token ids have to be whole numbers") from None


def flat_mask(mask: Optional[list[list[int]]]) -> Optional[bytes]:
    return None if mask is None else bytes(1 if i else 0 for row in mask for i in row)
