"""GenerationConfig: the settings of a generation, by Transformers' names.

Which settings there are, their library defaults and what their values may be is the C library's table. A field that is None is not set:
it falls back to the model's own settings, then to the library's.
"""

from __future__ import annotations

import copy
import json
import os
from ctypes import byref, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _files, _hub, _lib
from ._lib import C

# Arguments of generate that are no settings.
NOT_SETTINGS = (
    "logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "synced_gpus", "assistant_model", "streamer",
    "negative_prompt_ids", "negative_prompt_attention_mask",
)  # fmt: skip
CACHES = (
    "static", "offloaded_static", "dynamic", "offloaded", "quantized", "sliding_window", "hybrid", "hybrid_chunked", "offloaded_hybrid",
    "offloaded_hybrid_chunked",
)  # fmt: skip
_VERSION = "5.17.0"  # of Transformers, whose format the files have


def _read_settings() -> dict[str, tuple[int, Any, bool]]:
    found: dict[str, tuple[int, Any, bool]] = {}
    i = 0
    while True:
        row = C.mica_setting_at(i)
        if not row:
            return found
        setting = row.contents
        default = json.loads(setting.library_default)
        found[setting.name.decode()] = (setting.kind, default, setting.has_effect or setting.refused)
        i += 1


SETTINGS = _read_settings()  # name: (kind, library default, whether the library looks at it)


class GenerationConfig:
    """Settings of generate. Unknown names are kept as attributes, as in Transformers."""

    def __init__(self, **kwargs: Any):
        for name in NOT_SETTINGS:
            if name in kwargs:
                raise ValueError(f"{name} is an argument of generate, not a setting of GenerationConfig")
        kwargs.pop("_from_model_config", None)
        kwargs.pop("transformers_version", None)
        if isinstance(kwargs.get("watermarking_config"), dict):
            from .watermarking import WatermarkingConfig

            kwargs["watermarking_config"] = WatermarkingConfig.from_dict(kwargs["watermarking_config"])
        for name in SETTINGS:
            setattr(self, name, kwargs.pop(name, None))
        for name, value in kwargs.items():
            setattr(self, name, value)
        if self.max_new_tokens is not None and self.max_new_tokens <= 0:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}, expected more than 0")
        self._check()

    def _check(self) -> None:
        """What cannot be, whatever the model is."""
        if self.early_stopping is not None and not isinstance(self.early_stopping, bool) and self.early_stopping != "never":
            raise ValueError(f"early_stopping is {self.early_stopping!r}, expected True, False or 'never'")
        if self.cache_implementation is not None and self.cache_implementation not in CACHES:
            raise ValueError(f"cache_implementation is {self.cache_implementation!r}, expected one of {', '.join(CACHES)}")
        if hasattr(self.watermarking_config, "validate"):
            self.watermarking_config.validate()
        if self.compile_config is not None and isinstance(self.compile_config, (int, float, str, list)):
            raise ValueError(f"compile_config is {self.compile_config!r}, expected a CompileConfig")
        answers, beams = self.num_return_sequences or 1, self.num_beams or 1
        if answers > 1 and beams == 1 and not self.do_sample:
            raise ValueError(f"greedy decoding has one answer; num_return_sequences={answers} needs do_sample or num_beams")
        if beams > 1 and answers > beams:
            raise ValueError(f"num_return_sequences is {answers}, and there are only {beams} beams (num_beams)")

    # Fields come from the table above; these two tell type checkers.
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no generation setting {name!r}")

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None: ...

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name: Union[str, os.PathLike[str]],
        config_file_name: Optional[str] = None,
        return_unused_kwargs: bool = False,
        **kwargs: Any,
    ) -> Any:
        """From generation_config.json of a folder, a .gguf file or a Hub id; OSError if there is none."""
        name = os.fspath(pretrained_model_name)
        path = _hub.resolve(name, kwargs, "tokenizer")
        if name.endswith(".json") and os.path.isfile(name):
            text: Optional[str] = Path(name).read_text(encoding="utf-8")
        else:
            text = _lib.checkpoint_text(path, config_file_name or "generation_config.json")
        if text is None:
            raise _lib.NotFoundError(f"{name} has no {config_file_name or 'generation_config.json'}")
        return cls.from_dict(json.loads(text), return_unused_kwargs=return_unused_kwargs, **kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        config = cls(**{**config_dict, **kwargs})  # names that are no settings become attributes, as in Transformers
        return (config, {}) if return_unused_kwargs else config

    @classmethod
    def from_model_config(cls, model_config: Any) -> "GenerationConfig":
        """The settings that a config.json has among its fields."""
        fields = model_config.to_dict()
        text = fields.get("text_config")
        known = {**(text if isinstance(text, dict) else {}), **fields}
        return cls(**{k: v for k, v in known.items() if k in SETTINGS and k not in ("use_cache",)})

    def to_dict(self) -> dict[str, Any]:
        return {k: copy.deepcopy(v) for k, v in self.__dict__.items()}

    def to_diff_dict(self) -> dict[str, Any]:
        return {k: v for k, v in self.to_dict().items() if v is not None}

    def to_json_string(self, use_diff: bool = True, **kwargs: Any) -> str:
        fields = self.to_diff_dict() if use_diff else self.to_dict()
        fields.pop("compile_config", None)
        fields["transformers_version"] = _VERSION
        plain = {k: v.to_dict() if hasattr(v, "to_dict") else v for k, v in fields.items()}
        return json.dumps(plain, indent=2, sort_keys=True, default=str) + "\n"

    def save_pretrained(
        self,
        save_directory: Union[str, os.PathLike[str]],
        config_file_name: Optional[str] = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        self.validate(strict=True)
        folder = Path(save_directory)
        if folder.is_file():
            raise ValueError(f"{folder} is a file; settings are saved to a folder")
        folder.mkdir(parents=True, exist_ok=True)
        _files.write_text(folder / (config_file_name or "generation_config.json"), self.to_json_string())
        if push_to_hub:
            _hub.push(self, kwargs.pop("repo_id", folder.name), **kwargs)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Saves it and uploads that; returns the address of the commit."""
        return _hub.push(self, repo_id, **kwargs)

    def validate(self, strict: bool = False) -> None:
        """ValueError for values that cannot be; with strict also for sampling settings that do_sample does not make use of."""
        self._check()
        core = CoreConfig(self.to_diff_dict())
        core.close()
        if not strict or self.do_sample:
            return
        unused = {"temperature": 1.0, "top_p": 1.0, "min_p": None, "typical_p": 1.0, "top_h": None}
        idle = [k for k, default in unused.items() if getattr(self, k) not in (None, default)]
        if self.top_k not in (None, 0, 50):
            idle.append("top_k")
        if idle:
            raise ValueError(f"{', '.join(idle)} has no effect without do_sample=True; unset it, or set do_sample")

    def update(self, defaults_only: bool = False, allow_custom_entries: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Sets fields; returns the arguments that are none."""
        unused = {}
        for name, value in kwargs.items():
            if not (hasattr(self, name) or allow_custom_entries):
                unused[name] = value
            elif not defaults_only or getattr(self, name, None) is None:
                setattr(self, name, value)
        self.validate()
        return unused

    def get_generation_mode(self, assistant_model: Any = None) -> str:
        beams, sample = (self.num_beams or 1) > 1, bool(self.do_sample)
        if assistant_model is not None or self.prompt_lookup_num_tokens:
            return "assisted_generation"
        return ("beam_sample" if sample else "beam_search") if beams else ("sample" if sample else "greedy_search")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationConfig) and self.to_diff_dict() == other.to_diff_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


def _plain(name: str, value: Any) -> Any:
    """A value as JSON can write it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if name == "sequence_bias" and isinstance(value, dict):
        if not all(isinstance(ids, tuple) for ids in value):
            raise ValueError(f"sequence_bias is {value!r}, expected tuples of ids as keys")
        return [[list(ids), float(bias)] for ids, bias in value.items()]
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return value


class CoreConfig(_lib.Handle):
    """The C library's own copy of settings, which checks them."""

    def __init__(self, fields: dict[str, Any]):
        pointer = c_void_p()
        _lib.call(C.mica_generation_config_create, byref(pointer), None)
        super().__init__(pointer, C.mica_generation_config_free, plain=True)
        # Names that the library does not know are attributes of the program's own.
        known = {k: _plain(k, v) for k, v in fields.items() if k in SETTINGS and v is not None}
        for name in ("compile_config", "cache_config", "continuous_batching_config"):
            known.pop(name, None)
        text = json.dumps(known, default=str).encode()
        _lib.call(C.mica_generation_config_update, self.value, text, len(text))
