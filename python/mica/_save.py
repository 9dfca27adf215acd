"""save_pretrained: the library writes the weights and what is beside them, Python what a program may have changed."""

from __future__ import annotations

import os
import re
from ctypes import byref, c_void_p
from typing import Any, Optional, Union

from . import _lib
from ._lib import C, call

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_FORMATS = {"mlx": 0, "transformers": 1}


def n_bytes(size: Union[int, str]) -> int:
    """ "5GB", "2GiB" or a number."""
    if isinstance(size, int):
        return size
    found = re.fullmatch(r"\s*(\d+)\s*([KMGT]I?B)?\s*", size.upper())
    if not found:
        raise ValueError(f"{size!r} is no size: write a number of bytes, '5GB' or '2GiB'")
    return int(found.group(1)) * _UNITS[found.group(2) or ""]


def save(model: Any, folder: str, state_dict: Any, shard: Union[int, str], form: Optional[str], quantize: Any) -> None:
    if state_dict is not None:
        raise NotImplementedError("save_pretrained(state_dict=) is not supported")
    if os.path.isfile(folder):
        raise ValueError(f"{folder} is a file; a model is saved to a folder")
    quantized = quantize is not None or "bit" in model._info.weights.decode("utf-8", "replace")
    form = form or ("mlx" if quantized else "transformers")
    if form not in _FORMATS:
        raise ValueError(f"format is {form!r}, expected 'mlx' or 'transformers'")
    model.generation_config.validate(strict=True)
    options = _lib.SaveOptions(format=_FORMATS[form], max_shard_bytes=n_bytes(shard), overwrite=True, no_model_card=True)
    options.quantize = None if quantize is None else str(quantize).encode()
    options.dtype = None if model._dtype == "auto" or quantized else model._dtype.encode()
    options.notices = _lib.notices()
    report = c_void_p()
    call(C.mica_save_pretrained, model._handle.value, os.fsencode(folder), byref(options), byref(report))
    C.mica_save_report_free(report)
    model.generation_config.save_pretrained(folder)
