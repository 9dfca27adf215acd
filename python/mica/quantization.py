"""Quantization while loading: mica's own configuration, and Transformers' names for the same wish.

`MicaConfig(bits=4, group_size=64)` is what the engine makes of a checkpoint's matrices. A BitsAndBytesConfig, GPTQConfig and so on
asks for four or eight bits; that wish is granted in mica's format.
"""

from __future__ import annotations

from typing import Any, Optional


class QuantizationConfig:
    """Base: what a configuration of any name asks for."""

    quant_method = ""

    def __init__(self, **fields: Any):
        self.__dict__.update(fields)

    def to_dict(self) -> dict[str, Any]:
        return {"quant_method": self.quant_method, **self.__dict__}

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> "QuantizationConfig":
        fields = {k: v for k, v in {**config_dict, **kwargs}.items() if k != "quant_method"}
        return cls(**fields)

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_dict()}"


class MicaConfig(QuantizationConfig):
    """Groups of MLX's format: mode "affine" with 2, 3, 4, 5, 6 or 8 bits in groups of 32, 64 or 128, or "mxfp4", "mxfp8", "nvfp4"."""

    quant_method = "mica"

    def __init__(self, bits: int = 4, group_size: int = 64, mode: str = "affine", **fields: Any):
        super().__init__(bits=bits, group_size=group_size, mode=mode, **fields)


class MetalConfig(MicaConfig):
    quant_method = "metal"


class BitsAndBytesConfig(QuantizationConfig):
    quant_method = "bitsandbytes"

    def __init__(self, load_in_8bit: bool = False, load_in_4bit: bool = False, **fields: Any):
        if load_in_4bit and load_in_8bit:
            raise ValueError("load_in_4bit and load_in_8bit exclude each other")
        super().__init__(load_in_8bit=load_in_8bit, load_in_4bit=load_in_4bit, **fields)


class GPTQConfig(QuantizationConfig):
    quant_method = "gptq"

    def __init__(self, bits: int, group_size: int = 128, **fields: Any):
        super().__init__(bits=bits, group_size=group_size, **fields)


class AwqConfig(QuantizationConfig):
    quant_method = "awq"

    def __init__(self, bits: int = 4, group_size: int = 128, **fields: Any):
        super().__init__(bits=bits, group_size=group_size, **fields)


class QuantoConfig(QuantizationConfig):
    quant_method = "quanto"

    def __init__(self, weights: str = "int8", **fields: Any):
        super().__init__(weights=weights, **fields)


class HqqConfig(QuantizationConfig):
    quant_method = "hqq"

    def __init__(self, nbits: int = 4, group_size: int = 64, **fields: Any):
        super().__init__(nbits=nbits, group_size=group_size, **fields)


class TorchAoConfig(QuantizationConfig):
    quant_method = "torchao"

    def __init__(self, quant_type: Any = "int4_weight_only", group_size: int = 64, **fields: Any):
        super().__init__(quant_type=quant_type, group_size=group_size, **fields)


class Mxfp4Config(QuantizationConfig):
    quant_method = "mxfp4"


_GROUPS = (32, 64, 128)


def _group(fields: dict[str, Any]) -> int:
    """The group size that is asked for, if the engine has it; 64 otherwise."""
    asked: Any = fields.get("group_size") or fields.get("q_group_size")
    return int(asked) if asked in _GROUPS else 64


def recipe(config: Any) -> Optional[str]:
    """The engine's words for a configuration ("affine-4-64"), an object or a dictionary; None if it asks for nothing."""
    if config is None:
        return None
    if isinstance(config, (int, str)):
        return str(config)
    fields = config if isinstance(config, dict) else config.to_dict()
    method = str(getattr(fields.get("quant_method"), "value", fields.get("quant_method") or ""))
    if method in ("mica", "metal", "mlx", "") and (fields.get("bits") or fields.get("mode", "affine") != "affine"):
        mode = fields.get("mode", "affine")
        return f"affine-{fields['bits']}-{fields.get('group_size', 64)}" if mode == "affine" else str(mode)
    if method == "mxfp4":
        return "mxfp4"
    if fields.get("load_in_4bit") or fields.get("load_in_8bit"):
        return f"affine-{4 if fields.get('load_in_4bit') else 8}-64"
    bits = fields.get("bits") or fields.get("nbits")
    name = str(fields.get("weights") or fields.get("quant_type") or "")
    for word, n in (("int8", 8), ("int4", 4), ("int2", 2), ("float8", 8), ("fp8", 8)):
        if bits is None and word in name.lower():
            bits = n
    if bits is None:
        raise ValueError(f"the quantization {method or type(config).__name__!r} does not say how many bits are wanted")
    return f"affine-{bits}-{_group(fields)}"
