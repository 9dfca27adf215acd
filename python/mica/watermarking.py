"""Watermarks: WatermarkingConfig, which generate takes, and WatermarkDetector, which finds them.

What is on the list of a token, and so marked, the C library says; here is counted.
"""

from __future__ import annotations

import json
from typing import Any, Iterator, NamedTuple, Union

from . import _generate, _tensors


class WatermarkingConfig:
    """A watermark in what is generated: some tokens, chosen by those before, get a higher score."""

    def __init__(
        self,
        greenlist_ratio: float = 0.25,
        bias: float = 2.0,
        hashing_key: int = 15485863,
        seeding_scheme: str = "lefthash",
        context_width: int = 1,
    ):
        self.greenlist_ratio, self.bias, self.hashing_key = greenlist_ratio, bias, hashing_key
        self.seeding_scheme, self.context_width = seeding_scheme, context_width

    def validate(self) -> None:
        if self.seeding_scheme not in ("selfhash", "lefthash"):
            raise ValueError(f"seeding_scheme is {self.seeding_scheme!r}, expected 'selfhash' or 'lefthash'")
        if not 0.0 <= self.greenlist_ratio <= 1.0:
            raise ValueError(f"greenlist_ratio is {self.greenlist_ratio}, expected 0 to 1")
        if not self.context_width >= 1:
            raise ValueError(f"context_width is {self.context_width}, expected at least 1")

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> "WatermarkingConfig":
        return cls(**{**config_dict, **kwargs})

    def to_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def to_json_string(self) -> str:
        return json.dumps(self.__dict__, indent=2) + "\n"

    def to_json_file(self, json_file_path: Any) -> None:
        with open(json_file_path, "w", encoding="utf-8") as file:
            file.write(json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n")

    def update(self, **kwargs: Any) -> None:
        for name, value in kwargs.items():
            if hasattr(self, name):
                setattr(self, name, value)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield from self.__dict__.items()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WatermarkingConfig) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"WatermarkingConfig({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


class WatermarkDetectorOutput(NamedTuple):
    """Of each text: how many of its tokens were on their lists, and how sure that is to be no chance. Arrays of numpy."""

    num_tokens_scored: Any = None
    num_green_tokens: Any = None
    green_fraction: Any = None
    z_score: Any = None
    p_value: Any = None
    prediction: Any = None
    confidence: Any = None


class WatermarkDetector:
    """Says whether texts, as ids, have the watermark of a configuration: that with which they were made."""

    def __init__(
        self,
        model_config: Any,
        device: Any,
        watermarking_config: Union[WatermarkingConfig, dict[str, Any]],
        ignore_repeated_ngrams: bool = False,
        max_cache_size: int = 128,
    ):
        config = watermarking_config if isinstance(watermarking_config, dict) else watermarking_config.to_dict()
        self.greenlist_ratio = float(config["greenlist_ratio"])
        WatermarkingConfig(**config).validate()
        self.bos_token_id = getattr(model_config, "bos_token_id", None)
        self.ignore_repeated_ngrams = ignore_repeated_ngrams
        self._settings = {"watermarking_config": config}
        self._width = int(config.get("context_width", 1))
        self._hashes_itself = config.get("seeding_scheme") == "selfhash"
        self._vocab = int(model_config.vocab_size)

    def __call__(self, input_ids: Any, z_threshold: float = 3.0, return_dict: bool = False) -> Any:
        """Whether each row is marked, as an array of truth values; with return_dict the numbers that this comes from, too."""
        np = _tensors.numpy()
        ids = np.array(_tensors.id_rows(input_ids), dtype=np.int64)
        if ids.shape[1] and ids[0, 0] == self.bos_token_id:
            ids = ids[:, 1:]
        if ids.shape[1] - self._width < 1:
            raise ValueError(f"a text of {ids.shape[1]} tokens is too short: the watermark needs {self._width} before one that is marked")
        n = self._width + (0 if self._hashes_itself else 1)
        parts = np.lib.stride_tricks.sliding_window_view(ids, n, axis=1)
        scored, green = np.zeros(len(ids)), np.zeros(len(ids))
        for row, grams in enumerate(parts):
            counted = np.unique(grams, axis=0) if self.ignore_repeated_ngrams else grams
            scored[row], green[row] = len(counted), self._count(counted)
        share = self.greenlist_ratio
        z = (green - share * scored) / np.sqrt(scored * share * (1 - share))
        if not return_dict:
            return z > z_threshold
        p = 1 - 0.5 * (1 + np.sign(z) * (1 - np.exp(-2 * z**2 / np.pi)))
        return WatermarkDetectorOutput(scored, green, green / scored, z, p, z > z_threshold, 1 - p)

    def _count(self, grams: Any) -> int:
        """How many of the last tokens get a bias after those before them. A token that is part of its own seed is taken for the best one."""
        np = _tensors.numpy()
        before = np.zeros((len(grams), self._width), np.int64)
        before[:, self._width - (grams.shape[1] - 1) :] = grams[:, :-1]
        found = 0
        for start in range(0, len(grams), 64):
            targets = grams[start : start + 64, -1]
            scores = np.zeros((len(targets), self._vocab), "float32")
            scores[np.arange(len(targets)), targets] = 1
            made = _generate.processed(self._settings, before[start : start + 64], scores, None, float("-inf"))
            found += int((made[np.arange(len(targets)), targets] != 1).sum())
        return found
