"""The shared library: where it is, its functions, its errors.

Everything that crosses the border to C is declared here, once, in the words of the headers. ctypes lets go of the interpreter
lock while a C function runs and takes it back for a callback, so several Python threads may be inside the library at once.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    byref,
    c_bool,
    c_char,
    c_char_p,
    c_double,
    c_float,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint,
    c_uint64,
    c_void_p,
)
from pathlib import Path
from typing import Any, Callable, Optional

from . import _log

# ---- errors -----------------------------------------------------------------------------------------------------------


class MicaError(Exception):
    """What the library reports. `status` is the name of the status in the C headers ("DATA", "NOT_FOUND" ...)."""

    status = "UNKNOWN"


class InvalidError(MicaError, ValueError):
    status = "INVALID"


class DataError(MicaError, ValueError):
    status = "DATA"


class UnsupportedError(MicaError, ValueError, NotImplementedError):
    status = "UNSUPPORTED"


class NotFoundError(MicaError, FileNotFoundError):
    status = "NOT_FOUND"


class UnavailableError(MicaError, ConnectionError):
    status = "UNAVAILABLE"


class InternalError(MicaError, RuntimeError):
    status = "INTERNAL"


class OutOfMemoryError(MicaError, MemoryError):
    status = "MEMORY"


class SystemLimitError(MicaError, OSError):
    status = "SYSTEM"


class CannotCreateError(MicaError, OSError):
    status = "CANNOT_CREATE"


class IoError(MicaError, OSError):
    status = "IO"


class BusyError(MicaError, RuntimeError):
    status = "BUSY"


class AccessError(MicaError, PermissionError):
    status = "ACCESS"


class CancelledError(MicaError, RuntimeError):
    status = "CANCELLED"


class LimitError(MicaError, ValueError):
    status = "LIMIT"


_ERRORS = {
    -1: InvalidError,
    -2: DataError,
    -3: UnsupportedError,
    -4: NotFoundError,
    -5: UnavailableError,
    -6: InternalError,
    -7: OutOfMemoryError,
    -8: SystemLimitError,
    -9: CannotCreateError,
    -10: IoError,
    -11: BusyError,
    -12: AccessError,
    -13: CancelledError,
    -14: LimitError,
}
CANCELLED = -13

# ---- structures -------------------------------------------------------------------------------------------------------


class ErrorInfo(Structure):
    _fields_ = [("status", c_int), ("message", c_char * 508)]


class Ids(Structure):
    _fields_ = [("data", POINTER(c_int32)), ("n", c_size_t), ("capacity", c_size_t)]


class Text(Structure):
    _fields_ = [("data", c_void_p), ("n", c_size_t), ("capacity", c_size_t)]


class AddedTokenInfo(Structure):
    _fields_ = [
        ("content", c_void_p),
        ("n", c_size_t),
        ("id", c_int32),
        ("single_word", c_bool),
        ("lstrip", c_bool),
        ("rstrip", c_bool),
        ("normalized", c_bool),
        ("special", c_bool),
    ]


REPORT = CFUNCTYPE(c_bool, c_void_p, c_char_p, c_uint64, c_uint64)
NOTICE = CFUNCTYPE(None, c_void_p, c_char_p)


class Progress(Structure):
    _fields_ = [("report", REPORT), ("context", c_void_p)]


class Notices(Structure):
    _fields_ = [("notice", NOTICE), ("context", c_void_p)]


class ModelOptions(Structure):
    _fields_ = [
        ("device", c_void_p),
        ("n_threads", c_int),
        ("dtype", c_char_p),
        ("precision", c_int),
        ("quantize", c_char_p),
        ("quantize_rules", c_char_p),
        ("quantizer", c_char_p),
        ("max_rows", c_int),
        ("with_tokenizer", c_bool),
        ("config_only", c_bool),
        ("progress", Progress),
        ("notices", Notices),
        ("random_weights", c_char_p),
        ("kv_bits", c_int),
        ("kv_group_size", c_int),
    ]


class ModelInfo(Structure):
    _fields_ = [
        ("model_type", c_char_p),
        ("architecture", c_char_p),
        ("format", c_char_p),
        ("weights", c_char_p),
        ("n_parameters", c_uint64),
        ("weight_bytes", c_uint64),
        ("file_bytes", c_uint64),
        ("read_bytes", c_uint64),
        ("cache_bytes_per_token", c_uint64),
        ("context", c_int64),
        ("n_layers", c_int),
        ("n_heads", c_int),
        ("n_kv_heads", c_int),
        ("head_dim", c_int),
        ("hidden_size", c_int64),
        ("intermediate_size", c_int64),
        ("vocab_size", c_int64),
        ("tied", c_bool),
        ("has_tokenizer", c_bool),
        ("has_chat_template", c_bool),
        ("eos_token_ids", POINTER(c_int32)),
        ("n_eos_token_ids", c_int),
        ("bos_token_id", c_int32),
        ("pad_token_id", c_int32),
    ]


class ChatTemplateOptions(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("now", c_char_p),
        ("max_steps", c_uint64),
        ("max_bytes", c_size_t),
        ("generated", POINTER(Ids)),
    ]


class Setting(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("kind", c_int),
        ("library_default", c_char_p),
        ("help", c_char_p),
        ("has_effect", c_bool),
        ("refused", c_bool),
    ]


class SessionOptions(Structure):
    _fields_ = [("max_context", c_int64), ("seed", c_uint64), ("kv_bits", c_int), ("kv_group_size", c_int)]


class Forward(Structure):
    _fields_ = [
        ("session", c_void_p),
        ("ids", POINTER(c_int32)),
        ("embeddings", c_void_p),
        ("n", c_size_t),
        ("last_only", c_bool),
        ("logits", c_void_p),
        ("hidden_states", c_void_p),
        ("attentions", c_void_p),
    ]


class BatchStep(Structure):
    _fields_ = [
        ("step", c_size_t),
        ("n_rows", c_size_t),
        ("vocab", c_size_t),
        ("stride", c_size_t),
        ("ids", c_void_p),
        ("lengths", POINTER(c_size_t)),
        ("scores", c_void_p),
    ]


class BatchInside(Structure):
    _fields_ = [
        ("step", c_size_t),
        ("row", c_size_t),
        ("n_rows", c_size_t),
        ("n", c_size_t),
        ("length", c_size_t),
        ("hidden_states", c_void_p),
        ("attentions", c_void_p),
    ]


PROCESS = CFUNCTYPE(c_int, c_void_p, POINTER(BatchStep))
STOP = CFUNCTYPE(c_int, c_void_p, POINTER(BatchStep), POINTER(c_bool))
ALLOW = CFUNCTYPE(c_int, c_void_p, c_size_t, POINTER(c_int32), c_size_t, POINTER(c_void_p), POINTER(c_size_t))
TOKENS = CFUNCTYPE(c_int, c_void_p, POINTER(c_int32), c_size_t)
INSIDE = CFUNCTYPE(c_int, c_void_p, POINTER(BatchInside))
ON_TOKEN = CFUNCTYPE(c_int, c_void_p, c_int32, c_void_p, c_size_t, POINTER(c_float))


class BatchCallbacks(Structure):
    _fields_ = [
        ("context", c_void_p),
        ("process", PROCESS),
        ("stop", STOP),
        ("allow", ALLOW),
        ("tokens", TOKENS),
        ("inside", INSIDE),
        ("token", ON_TOKEN),
        ("token_context", c_void_p),
    ]


class BatchRequest(Structure):
    _fields_ = [
        ("ids", POINTER(c_int32)),
        ("mask", c_char_p),
        ("lengths", POINTER(c_size_t)),
        ("n_prompts", c_size_t),
        ("width", c_size_t),
        ("embeddings", c_void_p),
        ("embeddings_width", c_size_t),
        ("config", c_void_p),
        ("negative_ids", POINTER(c_int32)),
        ("negative_mask", c_char_p),
        ("negative_width", c_size_t),
        ("assistant", c_void_p),
        ("want_scores", c_bool),
        ("want_logits", c_bool),
        ("want_hidden_states", c_bool),
        ("want_attentions", c_bool),
        ("callbacks", BatchCallbacks),
    ]


class BatchResult(Structure):
    _fields_ = [
        ("n_sequences", c_size_t),
        ("n_new", c_size_t),
        ("ids", c_void_p),
        ("lengths", POINTER(c_size_t)),
        ("reasons", POINTER(c_int)),
        ("sequences_scores", c_void_p),
        ("beam_indices", c_void_p),
        ("n_steps", c_size_t),
        ("n_rows", c_size_t),
        ("vocab", c_size_t),
        ("scores", c_void_p),
        ("logits", c_void_p),
        ("n_prompt", c_int64),
        ("n_guessed", c_int64),
        ("n_accepted", c_int64),
        ("prompt_seconds", c_double),
        ("decode_seconds", c_double),
    ]


class SaveOptions(Structure):
    _fields_ = [
        ("format", c_int),
        ("quantize", c_char_p),
        ("rules", c_char_p),
        ("quantizer", c_char_p),
        ("dequantize", c_bool),
        ("dtype", c_char_p),
        ("max_shard_bytes", c_uint64),
        ("overwrite", c_bool),
        ("no_model_card", c_bool),
        ("base_model", c_char_p),
        ("n_threads", c_int),
        ("progress", Progress),
        ("notices", Notices),
    ]


class HubOptions(Structure):
    _fields_ = [
        ("revision", c_char_p),
        ("subfolder", c_char_p),
        ("files", c_int),
        ("include", POINTER(c_char_p)),
        ("n_include", c_size_t),
        ("exclude", POINTER(c_char_p)),
        ("n_exclude", c_size_t),
        ("gguf", c_char_p),
        ("local_only", c_bool),
        ("force", c_bool),
        ("cache_dir", c_char_p),
        ("endpoint", c_char_p),
        ("token", c_char_p),
        ("n_connections", c_int),
        ("progress", Progress),
        ("notices", Notices),
    ]


class HubSnapshot(Structure):
    _fields_ = [
        ("path", c_char_p),
        ("model", c_char_p),
        ("commit", c_char * 41),
        ("n_files", c_uint64),
        ("bytes", c_uint64),
        ("fetched_bytes", c_uint64),
    ]


class HubUploadOptions(Structure):
    _fields_ = [
        ("revision", c_char_p),
        ("message", c_char_p),
        ("description", c_char_p),
        ("is_private", c_bool),
        ("pull_request", c_bool),
        ("no_model_card", c_bool),
        ("base_model", c_char_p),
        ("include", POINTER(c_char_p)),
        ("n_include", c_size_t),
        ("exclude", POINTER(c_char_p)),
        ("n_exclude", c_size_t),
        ("endpoint", c_char_p),
        ("token", c_char_p),
        ("n_connections", c_int),
        ("progress", Progress),
        ("notices", Notices),
    ]


class HubCommit(Structure):
    _fields_ = [
        ("url", c_char_p),
        ("pull_request_url", c_char_p),
        ("commit", c_char * 41),
        ("n_files", c_uint64),
        ("sent_bytes", c_uint64),
    ]


# ---- functions --------------------------------------------------------------------------------------------------------

_IDS = POINTER(c_int32)
_ERR = POINTER(ErrorInfo)
# name: (result, arguments). A function whose last argument is _ERR returns a status and is called through `call`.
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "mica_version": (c_char_p, []),
    "mica_ids_release": (None, [POINTER(Ids)]),
    "mica_text_release": (None, [POINTER(Text)]),
    "mica_device_create": (c_int, [POINTER(c_void_p), c_void_p, _ERR]),
    "mica_device_free": (None, [c_void_p]),
    "mica_checkpoint_text": (c_int, [c_char_p, c_char_p, POINTER(Text), _ERR]),
    "mica_tokenizer_load": (c_int, [POINTER(c_void_p), c_char_p, _ERR]),
    "mica_tokenizer_create": (c_int, [POINTER(c_void_p), c_char_p, c_size_t, c_char_p, c_size_t, _ERR]),
    "mica_tokenizer_free": (None, [c_void_p]),
    "mica_tokenizer_encode": (c_int, [c_void_p, c_char_p, c_size_t, c_uint, POINTER(Ids), _ERR]),
    "mica_tokenizer_encode_offsets": (
        c_int,
        [c_void_p, c_char_p, c_size_t, c_uint, POINTER(Ids), POINTER(Ids), _ERR],
    ),
    "mica_tokenizer_wrap": (
        c_int,
        [c_void_p, _IDS, c_size_t, _IDS, c_size_t, POINTER(Ids), POINTER(Ids), POINTER(Ids), _ERR],
    ),
    "mica_tokenizer_decode": (c_int, [c_void_p, _IDS, c_size_t, c_bool, POINTER(Text), _ERR]),
    "mica_decode_stream_create": (c_int, [POINTER(c_void_p), c_void_p, c_bool, _ERR]),
    "mica_decode_stream_free": (None, [c_void_p]),
    "mica_decode_stream_push": (c_int, [c_void_p, c_int32, POINTER(c_void_p), POINTER(c_size_t), _ERR]),
    "mica_decode_stream_flush": (c_int, [c_void_p, POINTER(c_void_p), POINTER(c_size_t), _ERR]),
    "mica_tokenizer_size": (c_int32, [c_void_p]),
    "mica_tokenizer_id": (c_int32, [c_void_p, c_char_p, c_size_t]),
    "mica_tokenizer_token": (c_void_p, [c_void_p, c_int32, POINTER(c_size_t)]),
    "mica_tokenizer_is_special": (c_bool, [c_void_p, c_int32]),
    "mica_tokenizer_vocab_size": (c_int32, [c_void_p]),
    "mica_tokenizer_model_type": (c_char_p, [c_void_p]),
    "mica_tokenizer_added_at": (c_bool, [c_void_p, c_size_t, POINTER(AddedTokenInfo)]),
    "mica_tokenizer_special_at": (c_char_p, [c_void_p, c_size_t, POINTER(c_char_p)]),
    "mica_chat_template_load": (c_int, [POINTER(c_void_p), c_char_p, _ERR]),
    "mica_chat_template_create": (c_int, [POINTER(c_void_p), c_char_p, c_size_t, c_char_p, _ERR]),
    "mica_chat_template_free": (None, [c_void_p]),
    "mica_chat_template_render": (
        c_int,
        [c_void_p, c_char_p, c_size_t, POINTER(ChatTemplateOptions), POINTER(Text), _ERR],
    ),
    "mica_model_load": (c_int, [POINTER(c_void_p), c_char_p, POINTER(ModelOptions), _ERR]),
    "mica_model_free": (None, [c_void_p]),
    "mica_model_embed": (c_int, [c_void_p, _IDS, c_size_t, c_void_p, _ERR]),
    "mica_model_get_info": (POINTER(ModelInfo), [c_void_p]),
    "mica_generation_config_create": (c_int, [POINTER(c_void_p), c_void_p, _ERR]),
    "mica_generation_config_free": (None, [c_void_p]),
    "mica_generation_config_update": (c_int, [c_void_p, c_char_p, c_size_t, _ERR]),
    "mica_process_scores": (
        c_int,
        [c_void_p, _IDS, c_size_t, c_size_t, c_size_t, c_size_t, c_void_p, _ERR],
    ),
    "mica_setting_at": (POINTER(Setting), [c_size_t]),
    "mica_session_create": (c_int, [POINTER(c_void_p), c_void_p, POINTER(SessionOptions), _ERR]),
    "mica_session_free": (None, [c_void_p]),
    "mica_session_cancel": (None, [c_void_p]),
    "mica_session_length": (c_int64, [c_void_p]),
    "mica_session_truncate": (c_int, [c_void_p, c_int64, _ERR]),
    "mica_session_forward": (c_int, [c_void_p, _IDS, c_size_t, c_bool, c_void_p, _ERR]),
    "mica_model_window": (c_int64, [c_void_p, c_int]),
    "mica_sessions_forward": (c_int, [POINTER(Forward), c_size_t, _ERR]),
    "mica_batch_create": (c_int, [POINTER(c_void_p), c_void_p, POINTER(SessionOptions), _ERR]),
    "mica_batch_free": (None, [c_void_p]),
    "mica_batch_cancel": (None, [c_void_p]),
    "mica_batch_generate": (c_int, [c_void_p, POINTER(BatchRequest), POINTER(BatchResult), _ERR]),
    "mica_batch_result_release": (None, [POINTER(BatchResult)]),
    "mica_batch_forward": (c_int, [c_void_p, _IDS, c_char_p, c_size_t, c_size_t, c_void_p, _ERR]),
    "mica_save_pretrained": (c_int, [c_void_p, c_char_p, POINTER(SaveOptions), POINTER(c_void_p), _ERR]),
    "mica_save_report_free": (None, [c_void_p]),
    "mica_hub_is_id": (c_bool, [c_char_p]),
    "mica_hub_resolve": (c_int, [POINTER(HubSnapshot), c_char_p, POINTER(HubOptions), _ERR]),
    "mica_hub_snapshot_release": (None, [POINTER(HubSnapshot)]),
    "mica_hub_upload": (c_int, [POINTER(HubCommit), c_char_p, c_char_p, POINTER(HubUploadOptions), _ERR]),
    "mica_hub_commit_release": (None, [POINTER(HubCommit)]),
}


def _candidates() -> list[str]:
    """Where the library may be, best first: named by MICA_LIBRARY, inside the package, wherever the loader looks."""
    named = os.environ.get("MICA_LIBRARY")
    if named:
        return [named]
    suffix = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
    inside = Path(__file__).parent / "lib" / f"libmica.{suffix}"
    return [str(inside)] if inside.exists() else [f"libmica.{suffix}.0", f"libmica.{suffix}"]


def _load() -> ctypes.CDLL:
    reasons = []
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
            break
        except OSError as e:
            reasons.append(str(e))
    else:
        raise ImportError("mica's shared library was not found: " + "; ".join(reasons))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name, None)
        if function is None:  # an older library, or one without the Hub: who calls it is told
            continue
        function.restype = result
        function.argtypes = arguments
    return library


C = _load()

# ---- calling ----------------------------------------------------------------------------------------------------------


def raise_status(status: int, message: str) -> None:
    """Raises what a status stands for."""
    raise _ERRORS.get(status, MicaError)(message)


def call(function: Callable[..., int], *args: Any) -> None:
    """Calls a function that takes a mica_error last; raises what it reports."""
    err = ErrorInfo()
    status = function(*args, byref(err))
    if status:
        raise_status(status, err.message.decode("utf-8", "replace"))


def ids_array(ids: Any) -> Any:
    """A C array of a list of token ids."""
    try:
        return (c_int32 * len(ids))(*ids)
    except TypeError:
        raise ValueError(f"token ids have to be whole numbers, found {ids!r}"[:300]) from None


def take_ids(ids: Ids) -> list[int]:
    """The list that the library made, as Python's; it is released."""
    values: list[int] = ids.data[: ids.n] if ids.n else []
    C.mica_ids_release(byref(ids))
    return values


def take_text(text: Text) -> str:
    """The string that the library made, as Python's; it is released."""
    value = ctypes.string_at(text.data, text.n).decode("utf-8", "replace") if text.n else ""
    C.mica_text_release(byref(text))
    return value


def utf8(text: str) -> bytes:
    """A lone surrogate, which no UTF-8 can say, becomes a question mark."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def checkpoint_text(path: str, name: str) -> Optional[str]:
    """A text of a checkpoint ("config.json"), None if it has none."""
    out = Text()
    try:
        call(C.mica_checkpoint_text, os.fsencode(path), name.encode(), byref(out))
    except NotFoundError:
        C.mica_text_release(byref(out))
        return None
    return take_text(out)


def _log_notice(_context: Any, message: bytes) -> None:
    _log.warning("%s", message.decode("utf-8", "replace"))


_LOG_NOTICE = NOTICE(_log_notice)


def notices() -> Notices:
    """Notices of the library go to the logger "mica"."""
    return Notices(_LOG_NOTICE, None)


class Handle:
    """Owns one C object: frees it when the last Python reference is gone.

    A forked child does not free what its parent made, and may not use it: threads of the library live in the parent only. Of what has to do
    with no threads (`plain`: tokenizers, templates, settings) a child has a copy like of everything else."""

    __slots__ = ("pointer", "_free", "_pid", "__weakref__")

    def __init__(self, pointer: c_void_p, free: Callable[[Any], None], plain: bool = False):
        self.pointer: Optional[c_void_p] = pointer
        self._free = free
        self._pid: Optional[int] = None if plain else os.getpid()

    @property
    def value(self) -> c_void_p:
        if self._pid is not None and self._pid != os.getpid():
            raise RuntimeError(
                "this model was loaded before the process was forked, and its threads did not come along; load it in the "
                'child, or start children with multiprocessing.set_start_method("spawn")'
            )
        if self.pointer is None:
            raise ValueError("this object has been closed")
        return self.pointer

    def close(self) -> None:
        pointer, self.pointer = self.pointer, None
        if pointer is not None and self._pid in (None, os.getpid()):
            self._free(pointer)

    def __del__(self) -> None:
        try:
            self.close()
        except (AttributeError, TypeError):  # half-made, or the interpreter is shutting down
            pass


_devices: dict[int, Optional[Handle]] = {}  # by process


def device() -> Optional[c_void_p]:
    """The device to make things on: None, the library's own, in the process that used it first; one of its own in a forked child, where
    the threads of the library's are not."""
    pid = os.getpid()
    if not _devices:
        _devices[pid] = None
    if pid not in _devices:
        pointer = c_void_p()
        call(C.mica_device_create, byref(pointer), None)
        _devices[pid] = Handle(pointer, C.mica_device_free)
    made = _devices[pid]
    return None if made is None else made.value
