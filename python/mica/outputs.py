"""What generate and a call of a model give back: dictionaries with attributes, in a fixed order, that skip what is None."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Optional


class ModelOutput(OrderedDict[str, Any]):
    """Fields by name, attribute or position. Fields that are None are attributes only."""

    _fields: tuple[str, ...] = ()

    def __init__(self, **fields: Any):
        unknown = set(fields) - set(self._fields)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {sorted(unknown)[0]}")
        super().__init__((k, fields[k]) for k in self._fields if fields.get(k) is not None)

    def __getattr__(self, name: str) -> Any:
        if name in type(self)._fields:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._fields:
            self[name] = value
        else:
            super().__setattr__(name, value)

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        return tuple(self[k] for k in self.keys())


class CausalLMOutputWithPast(ModelOutput):
    _fields = ("loss", "logits", "past_key_values", "hidden_states", "attentions")
    loss: Optional[Any]
    logits: Any
    past_key_values: Optional[Any]
    hidden_states: Optional[tuple[Any, ...]]
    attentions: Optional[tuple[Any, ...]]


class GenerateDecoderOnlyOutput(ModelOutput):
    _fields = ("sequences", "scores", "logits", "attentions", "hidden_states", "past_key_values")
    sequences: Any
    scores: Optional[tuple[Any, ...]]
    logits: Optional[tuple[Any, ...]]
    past_key_values: Optional[Any]
    hidden_states: Optional[tuple[Any, ...]]
    attentions: Optional[tuple[Any, ...]]


class GenerateBeamDecoderOnlyOutput(ModelOutput):
    _fields = (
        "sequences",
        "sequences_scores",
        "scores",
        "logits",
        "beam_indices",
        "attentions",
        "hidden_states",
        "past_key_values",
    )
    sequences: Any
    sequences_scores: Optional[Any]
    scores: Optional[tuple[Any, ...]]
    logits: Optional[tuple[Any, ...]]
    beam_indices: Optional[Any]
    past_key_values: Optional[Any]
    hidden_states: Optional[tuple[Any, ...]]
    attentions: Optional[tuple[Any, ...]]
