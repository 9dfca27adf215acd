"""What scripts use of Transformers beside its classes, where Transformers is not installed: logging, availability tests."""

from __future__ import annotations

import importlib.util
import logging as _logging
from typing import Any, Callable, Optional

VERSION = "5.17.0"  # of the API


class logging:  # noqa: N801  (a namespace, called as Transformers calls its module)
    """transformers.utils.logging: levels of the logger "mica"."""

    DEBUG, INFO, WARNING, ERROR, CRITICAL = 10, 20, 30, 40, 50

    @staticmethod
    def get_logger(name: Optional[str] = None) -> _logging.Logger:
        return _logging.getLogger(name or "mica")

    @staticmethod
    def set_verbosity(level: int) -> None:
        _logging.getLogger("mica").setLevel(level)

    @staticmethod
    def get_verbosity() -> int:
        return _logging.getLogger("mica").getEffectiveLevel()

    @classmethod
    def set_verbosity_error(cls) -> None:
        cls.set_verbosity(cls.ERROR)

    @classmethod
    def set_verbosity_warning(cls) -> None:
        cls.set_verbosity(cls.WARNING)

    @classmethod
    def set_verbosity_info(cls) -> None:
        cls.set_verbosity(cls.INFO)

    @classmethod
    def set_verbosity_debug(cls) -> None:
        cls.set_verbosity(cls.DEBUG)

    @staticmethod
    def disable_progress_bar() -> None:
        return None

    @staticmethod
    def enable_progress_bar() -> None:
        return None


def is_torch_available() -> bool:
    return importlib.util.find_spec("torch") is not None


def is_mlx_available() -> bool:
    return importlib.util.find_spec("mlx") is not None


def _no(*args: Any, **kwargs: Any) -> bool:
    return False


def get_json_schema(func: Callable[..., Any]) -> dict[str, Any]:
    """What a tool takes and gives, out of its signature and its docstring."""
    from ._tools import function_schema

    return function_schema(func)


_UTILS = {
    "get_json_schema": get_json_schema,
    "logging": logging,
    "is_torch_available": is_torch_available,
    "is_mlx_available": is_mlx_available,
    "is_flash_attn_2_available": _no,
    "is_accelerate_available": _no,
    "is_bitsandbytes_available": _no,
}
# Modules below `transformers`; further names in them are looked up among mica's.
SUBMODULES: dict[str, dict[str, Any]] = {
    "utils": _UTILS,
    "utils.logging": {k: getattr(logging, k) for k in dir(logging) if not k.startswith("_")},
    "generation": {},
    "generation.utils": {},
    "generation.streamers": {},
    "generation.stopping_criteria": {},
    "generation.logits_process": {},
    "generation.configuration_utils": {},
    "cache_utils": {},
    "pipelines": {},
    "trainer_utils": {},
    "tokenization_utils_base": {},
    "modeling_utils": {},
    "modeling_outputs": {},
    "models": {},
    "models.auto": {},
}
