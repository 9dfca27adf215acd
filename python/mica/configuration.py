"""Model configurations: config.json as an object with attributes."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any, Optional, Union

from . import _files, _hub, _lib

# Other names under which Transformers shows a field.
_ALIASES = {
    "n_embd": "hidden_size", "n_layer": "num_hidden_layers", "n_head": "num_attention_heads", "n_positions": "max_position_embeddings",
    "torch_dtype": "dtype", "rope_scaling": "rope_parameters",
}  # fmt: skip
# What every configuration has, whatever the file says.
_DEFAULTS: dict[str, Any] = {
    "architectures": None, "is_encoder_decoder": False, "output_hidden_states": False, "output_attentions": False, "return_dict": True,
    "use_return_dict": True, "chunk_size_feed_forward": 0, "problem_type": None, "num_labels": 2, "transformers_version": None,
    "id2label": {0: "LABEL_0", 1: "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}, "attribute_map": {}, "sub_configs": {},
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "tie_word_embeddings": True,
}  # fmt: skip


class PretrainedConfig:
    """What config.json says, as attributes. Fields that the file does not have are set by the model's loader, not here."""

    model_type = ""

    def __init__(self, name_or_path: str = "", **fields: Any):
        self.name_or_path = name_or_path
        for key, value in fields.items():
            setattr(self, key, value)
        if not hasattr(self, "dtype"):
            self.dtype = fields.get("torch_dtype")

    def __getattr__(self, name: str) -> Any:
        if name == "_name_or_path":
            return self.__dict__.get("name_or_path", "")
        other = _ALIASES.get(name)
        if other is not None and other in self.__dict__:
            return self.__dict__[other]
        for file_name, shown in _ALIASES.items():
            if shown == name and file_name in self.__dict__:
                return self.__dict__[file_name]
        text = self.__dict__.get("text_config")
        if isinstance(text, dict) and name in text:
            return text[name]
        if name in _DEFAULTS:
            return copy.copy(_DEFAULTS[name])
        raise AttributeError(f"the configuration has no field {name!r}")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Union[str, os.PathLike[str]], return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any:
        """From a folder, a .json or .gguf file, or a Hub id. Other arguments override fields that the file has."""
        name = os.fspath(pretrained_model_name_or_path)
        where = _hub.split(kwargs)
        if name.endswith(".json") and os.path.isfile(name):
            text: Optional[str] = Path(name).read_text(encoding="utf-8")
        else:
            text = _lib.checkpoint_text(_hub.locate(name, where, "tokenizer"), "config.json")
        if text is None:
            raise _lib.NotFoundError(f"{name} has no config.json")
        fields = json.loads(text)
        if not isinstance(fields, dict) or not fields.get("model_type"):
            raise ValueError(f"{name}: config.json does not say a model_type")
        config = cls.from_dict(fields, name_or_path=name)
        unused = {}
        for key, value in kwargs.items():
            if key in fields:
                setattr(config, key, value)
            else:
                unused[key] = value
        return (config, unused) if return_unused_kwargs else config

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> "PretrainedConfig":
        name = "".join(part.capitalize() for part in str(config_dict.get("model_type", "")).split("_")) + "Config"
        made = type(name, (PretrainedConfig,), {"__module__": cls.__module__})
        config: PretrainedConfig = made(**{**config_dict, **kwargs})
        return config

    def get_text_config(self, decoder: Optional[bool] = None, encoder: Optional[bool] = None) -> "PretrainedConfig":
        text = self.__dict__.get("text_config")
        return PretrainedConfig.from_dict(text) if isinstance(text, dict) else self

    def to_dict(self) -> dict[str, Any]:
        """The fields, as they go to config.json."""
        fields = {k: copy.deepcopy(v) for k, v in self.__dict__.items() if k not in ("name_or_path", "torch_dtype")}
        return {k: str(v).replace("torch.", "") if k == "dtype" and v is not None else v for k, v in fields.items()}

    def to_json_string(self, use_diff: bool = True) -> str:
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def update(self, config_dict: dict[str, Any]) -> None:
        for key, value in config_dict.items():
            setattr(self, key, value)

    def save_pretrained(self, save_directory: Union[str, os.PathLike[str]], push_to_hub: bool = False, **kwargs: Any) -> None:
        folder = Path(save_directory)
        if folder.is_file():
            raise ValueError(f"{folder} is a file; a configuration is saved to a folder")
        folder.mkdir(parents=True, exist_ok=True)
        _files.write_text(folder / "config.json", self.to_json_string())
        if push_to_hub:
            _hub.push(self, kwargs.pop("repo_id", folder.name), **kwargs)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Saves it and uploads that; returns the address of the commit."""
        return _hub.push(self, repo_id, **kwargs)

    def __reduce__(self) -> Any:
        """The class is made for the model type, so it is not found by its name."""
        return _restored, (self.__dict__.copy(),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PretrainedConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


def _restored(fields: dict[str, Any]) -> PretrainedConfig:
    config = PretrainedConfig.from_dict({"model_type": fields.get("model_type", "")})
    config.__dict__.update(fields)
    return config


class AutoConfig:
    """Makes configurations: `AutoConfig.from_pretrained(folder, .gguf file or Hub id)`."""

    def __init__(self) -> None:
        raise OSError("AutoConfig is made with AutoConfig.from_pretrained(...)")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Union[str, os.PathLike[str]], **kwargs: Any) -> Any:
        return PretrainedConfig.from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def for_model(cls, model_type: str, **kwargs: Any) -> PretrainedConfig:
        return PretrainedConfig.from_dict({"model_type": model_type, **kwargs})
