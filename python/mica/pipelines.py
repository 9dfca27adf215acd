"""pipeline("text-generation"): prompts or conversations in, text out."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from . import _tensors
from ._generate import _fields
from .generation_config import GenerationConfig

TASKS = ("text-generation",)
_DEFAULTS = {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}
_ENCODING = ("add_special_tokens", "padding", "truncation")
_CHAT = ("tools", "documents")


class _UnknownTask(NotImplementedError, KeyError):
    """Of a pipeline that is not here, or nowhere."""

    __str__ = NotImplementedError.__str__


def pipeline(
    task: Optional[str] = None,
    model: Any = None,
    config: Any = None,
    tokenizer: Any = None,
    revision: Optional[str] = None,
    token: Any = None,
    device: Any = None,
    device_map: Any = None,
    dtype: Any = "auto",
    torch_dtype: Any = None,
    trust_remote_code: Optional[bool] = None,
    model_kwargs: Optional[dict[str, Any]] = None,
    pipeline_class: Any = None,
    use_fast: bool = True,
    **kwargs: Any,
) -> "TextGenerationPipeline":
    """A pipeline for a task. model: a folder, a .gguf file, a Hub id, or a model that is loaded already."""
    from .model import MicaForCausalLM
    from .tokenizer import Tokenizer

    if task not in (None, *TASKS):
        raise _UnknownTask(f"there is no pipeline for {task!r}, only for {', '.join(TASKS)}")
    if task is None and model is None:
        raise RuntimeError("a pipeline needs a task or a model")
    if model is None:
        raise ValueError("name a model: pipeline('text-generation', model=...)")
    where: dict[str, Any] = {k: v for k, v in (("revision", revision), ("token", token), ("trust_remote_code", trust_remote_code)) if v is not None}
    options = dict(model_kwargs or {})
    chosen = options.pop("device_map", None) or device_map or _as_map(device)
    source = model
    if isinstance(source, str) or not hasattr(source, "generate"):
        options.setdefault("dtype", torch_dtype if torch_dtype is not None else dtype)
        model = MicaForCausalLM.from_pretrained(source, config=config, device_map=chosen, **where, **options)
    if tokenizer is None:
        tokenizer = model.name_or_path
    if isinstance(tokenizer, str):
        tokenizer = Tokenizer.from_pretrained(tokenizer, **where)
    return (pipeline_class or TextGenerationPipeline)(model=model, tokenizer=tokenizer, **kwargs)


def _as_map(device: Any) -> Any:
    """A device argument (-1, "cpu", torch.device) in the words of device_map."""
    return None if device is None or device == -1 else getattr(device, "type", device)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value and "content" in value


def _is_chat(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(_is_message(m) for m in value)


class TextGenerationPipeline:
    """Completes prompts and answers conversations. Arguments of the constructor are defaults of every call."""

    task = "text-generation"
    framework = "pt"

    def __init__(self, model: Any, tokenizer: Any = None, batch_size: Optional[int] = None, num_workers: Any = None, **kwargs: Any):
        if tokenizer is None:
            from .tokenizer import Tokenizer

            tokenizer = Tokenizer.from_pretrained(model.name_or_path)
        for ignored in ("task", "device", "framework", "feature_extractor", "image_processor", "processor", "modelcard"):
            kwargs.pop(ignored, None)
        self.model = model
        self.tokenizer = tokenizer
        self.tokenizer.padding_side = "left"
        self.batch_size = batch_size
        self.generation_config = self._settings(kwargs.pop("generation_config", None))
        self.defaults = kwargs

    def _settings(self, given: Any) -> GenerationConfig:
        """The model's settings, or those given, over the pipeline's own."""
        fields = _fields(copy.deepcopy(given if given is not None else self.model.generation_config))
        settings = {**_DEFAULTS, **fields}
        if fields.get("max_length", 20) != 20 and "max_new_tokens" not in fields:
            del settings["max_new_tokens"]
        if settings.get("pad_token_id") is None and self.tokenizer.pad_token_id is not None:
            settings["pad_token_id"] = self.tokenizer.pad_token_id
        return GenerationConfig(**settings)

    @property
    def device(self) -> Any:
        return self.model.device

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> None:
        """The model and the tokenizer, into one folder."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory)

    def __call__(self, text_inputs: Any, batch_size: Optional[int] = None, num_workers: Any = None, **kwargs: Any) -> Any:
        """A list of {"generated_text": ...} for a prompt or a conversation, a list of those lists for several of them."""
        options = {**self.defaults, **kwargs}
        size = batch_size or self.batch_size or 1
        if isinstance(text_inputs, str) or _is_chat(text_inputs):
            return self._run([text_inputs], options)[0]
        if isinstance(text_inputs, (list, tuple)):
            if not text_inputs:
                return []
            return list(self._stream(text_inputs, size, options))
        if isinstance(text_inputs, Iterable) and not isinstance(text_inputs, (dict, bytes)):
            first: list[Any] = []
            source = iter(text_inputs)
            for item in source:
                first.append(item)
                break
            if first and _is_message(first[0]):
                return self._run([[*first, *source]], options)[0]
            return self._stream([*first], size, options, source)
        raise TypeError(f"expected a prompt (str), a conversation (list of messages) or a list of them, found {type(text_inputs).__name__}")

    def _stream(self, items: Any, size: int, options: dict[str, Any], more: Iterator[Any] = iter(())) -> Iterator[Any]:
        waiting: list[Any] = []
        for source in (items, more):
            for item in source:
                waiting.append(item)
                if len(waiting) == size:
                    yield from self._run(waiting, options)
                    waiting = []
        if waiting:
            yield from self._run(waiting, options)

    # ---- one batch ----

    def _run(self, prompts: list[Any], options: dict[str, Any]) -> list[list[dict[str, Any]]]:
        shape, encoding, generation = _sort(options)
        ids = [self._encode(p, shape, encoding) for p in prompts]
        if shape["handle_long_generation"] == "hole":
            ids = [self._leave_room(row, generation) for row in ids]
        width = max(len(row) for row in ids)
        pad = self.tokenizer.pad_token_id
        pad = pad if pad is not None else self.generation_config.pad_token_id or 0
        rows = [[pad] * (width - len(row)) + row for row in ids]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in ids]
        stop = options.get("stop_sequence")
        if stop is not None:
            generation["eos_token_id"] = self.tokenizer.encode(stop, add_special_tokens=False)
        if "stop_strings" in generation:
            generation.setdefault("tokenizer", self.tokenizer)
        generation.setdefault("generation_config", self.generation_config)
        kind = "pt" if sys.modules.get("torch") is not None else "np"  # what processors and criteria of the program's own expect
        inputs = {"input_ids": _tensors.make(rows, kind), "attention_mask": _tensors.make(mask, kind)} if width else {}
        output = self.model.generate(**inputs, **generation)
        sequences = _tensors.to_list(output["sequences"] if hasattr(output, "keys") else output)
        each = len(sequences) // len(prompts)
        records = []
        for i, prompt in enumerate(prompts):
            answers = [row[width - len(ids[i]) :] for row in sequences[i * each : (i + 1) * each]]
            records.append([self._record(prompt, row, len(ids[i]), shape) for row in answers])
        return records

    def _encode(self, prompt: Any, shape: dict[str, Any], encoding: dict[str, Any]) -> list[int]:
        encoding = {k: v for k, v in encoding.items() if k != "padding"}
        if isinstance(prompt, str):
            plain = {k: v for k, v in encoding.items() if k not in _CHAT}
            return list(self.tokenizer(shape["prefix"] + prompt, **plain)["input_ids"])
        if not _is_chat(prompt):
            raise TypeError(f"expected a prompt (str) or a conversation (list of messages), found {type(prompt).__name__}")
        encoding.pop("add_special_tokens", None)
        more = _continues(prompt, shape)
        encoded = self.tokenizer.apply_chat_template(
            list(prompt), add_generation_prompt=not more, continue_final_message=more, return_dict=True, **encoding
        )
        return list(encoded["input_ids"])

    def _leave_room(self, row: list[int], generation: dict[str, Any]) -> list[int]:
        """Drops the beginning of a prompt that leaves no room for the answer."""
        new = generation.get("max_new_tokens")
        if new is None:
            limit = generation.get("max_length") or self.generation_config.max_length
            new = self.generation_config.max_new_tokens if limit is None else limit - len(row)
            if new < 0:
                raise ValueError("how many tokens are wanted is not known: give max_new_tokens")
        keep = self.tokenizer.model_max_length - new
        if keep <= 0:
            raise ValueError(f"an answer of {new} tokens is longer than the model's limit")
        return row[-keep:]

    def _record(self, prompt: Any, ids: list[int], n_prompt: int, shape: dict[str, Any]) -> dict[str, Any]:
        if shape["return_tensors"]:
            return {"generated_token_ids": ids}
        text: Any = self.tokenizer.decode(
            ids[n_prompt:],
            skip_special_tokens=shape["skip_special_tokens"],
            clean_up_tokenization_spaces=shape["clean_up_tokenization_spaces"],
        )
        if not shape["return_full_text"]:
            return {"generated_text": text}
        if isinstance(prompt, str):
            return {"generated_text": prompt + text}
        if _continues(prompt, shape):
            last = {"role": prompt[-1]["role"], "content": prompt[-1]["content"] + text}
            return {"generated_text": [*prompt[:-1], last]}
        return {"generated_text": [*prompt, {"role": "assistant", "content": text}]}


def _continues(prompt: Any, shape: dict[str, Any]) -> bool:
    """Whether the answer goes on with the last message: asked for, or because it is the assistant's."""
    asked = shape["continue_final_message"]
    return bool(prompt[-1]["role"] == "assistant" if asked is None else asked)


def _sort(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The arguments of a call: the form of the result, how to encode, and what is left, for generate."""
    rest = dict(options)
    if rest.get("return_full_text") is not None and (rest.get("return_text") is not None or rest.get("return_tensors") is not None):
        raise ValueError("return_full_text goes neither with return_text nor with return_tensors")
    if rest.get("return_tensors") is not None and rest.get("return_text") is not None:
        raise ValueError("return_tensors and return_text exclude each other")
    shape = {
        "return_full_text": True, "return_tensors": None, "return_text": None, "clean_up_tokenization_spaces": True,
        "skip_special_tokens": True, "continue_final_message": None, "prefix": "", "handle_long_generation": None,
        "stop_sequence": None,
    }  # fmt: skip
    for name in shape:
        value = rest.pop(name, None)
        if value is not None:
            shape[name] = value
    if shape["handle_long_generation"] not in (None, "hole"):
        raise ValueError(f"handle_long_generation is {shape['handle_long_generation']!r}, expected 'hole' or None")
    encoding = {k: rest.pop(k) for k in (*_ENCODING, *_CHAT) if rest.get(k) is not None}
    if encoding.get("truncation") and "max_length" in rest:
        encoding["max_length"] = rest["max_length"]
    encoding.update(rest.pop("tokenizer_encode_kwargs", None) or {})
    return shape, encoding, rest
