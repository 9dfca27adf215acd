"""generate: Transformers' arguments in, a request for the batch engine out, and its result in the shape that was asked for.

Settings come from four places, the first that says something counts: keyword arguments, the generation_config argument, the model's
generation_config, the library.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any, Callable, Optional

from . import _cache, _engine, _forward, _inside, _lib, _log, _tensors
from .generation_config import CACHES, NOT_SETTINGS, SETTINGS, CoreConfig, GenerationConfig
from .outputs import GenerateBeamDecoderOnlyOutput, GenerateDecoderOnlyOutput

# What else may be passed to generate, beside settings and what a call of the model takes.
_OTHER_ARGUMENTS = (
    "tokenizer", "assistant_tokenizer", "trust_remote_code", "token_type_ids", "use_model_defaults", "synced_gpus",
    "kv_bits", "kv_group_size",
)  # fmt: skip
_OF_PYTHON = ("return_dict_in_generate", "output_scores", "output_logits", "output_attentions", "output_hidden_states")


def settings_of(path: str, config: Any) -> GenerationConfig:
    """The settings that come with a checkpoint."""
    text = _lib.checkpoint_text(path, "generation_config.json")
    if text is None:
        return GenerationConfig.from_model_config(config)
    settings: GenerationConfig = GenerationConfig.from_dict(json.loads(text))
    return settings


def _fields(config: Any) -> dict[str, Any]:
    """What a GenerationConfig (ours or Transformers') sets."""
    if config is None:
        return {}
    values = config if isinstance(config, dict) else vars(config)
    return {k: v for k, v in values.items() if v is not None and not k.startswith("_")}


def fresh_seed() -> int:
    """A seed that follows torch's generator where torch is in use, else Python's: set_seed then makes sampling repeatable."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.randint(1, 2**62, (1,)).item())
    return random.getrandbits(62) | 1


def set_seed(seed: int, deterministic: bool = False) -> None:
    """Makes what is drawn at random from here on repeatable."""
    random.seed(seed)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)
    if torch is not None:
        torch.manual_seed(seed)


def processed(settings: dict[str, Any], input_ids: Any, scores: Any, n_prompt: Optional[int], removed: float) -> Any:
    """A copy of scores [rows, vocab] after what settings do to them; tokens that they remove get the score `removed`."""
    np = _tensors.numpy()
    rows = _tensors.id_rows(input_ids)
    made = np.array(_tensors.to_numpy(scores), dtype="float32", order="C")
    if made.ndim != 2 or len(rows) != len(made):
        raise ValueError(f"scores of the shape {made.shape} do not belong to {len(rows)} rows of ids")
    width = len(rows[0])
    fields = {"do_sample": True, "top_k": 0, "max_length": 2**30, **settings}
    gone = made == -np.inf
    prompt = width if n_prompt is None else min(n_prompt, width)
    if fields["max_length"] <= prompt:
        prompt = max(0, fields["max_length"] - 1)
    core = CoreConfig(fields)
    _lib.call(
        _lib.C.mica_process_scores, core.value, _engine.flat(rows), len(rows), width, prompt, made.shape[1], made.ctypes.data
    )
    if removed != float("-inf"):
        made[(made == -np.inf) & ~gone] = removed
    return _tensors.from_numpy(made, _tensors.kind_of(scores) or "np")


class _Call:
    """The parts of one call of generate."""

    def __init__(self, model: Any, inputs: Any, given: dict[str, Any], config: Any, kwargs: dict[str, Any]):
        self.model = model
        self._read_inputs(inputs, kwargs)
        self._read_settings(config, given, kwargs)

    def _read_inputs(self, inputs: Any, kwargs: dict[str, Any]) -> None:
        if hasattr(inputs, "keys"):
            kwargs = {**inputs, **kwargs}
            inputs = None
        ids = kwargs.pop("input_ids", None)
        if inputs is not None and ids is not None:
            raise ValueError("the prompt is given twice, as inputs and as input_ids")
        inputs = ids if inputs is None else inputs
        vectors = kwargs.pop("inputs_embeds", None)
        self.embeddings: Any = None if vectors is None else _forward.embeddings_of(vectors)
        given = vectors if inputs is None else inputs
        self.kind = _tensors.kind_of(given) or ("np" if given is not None or sys.modules.get("torch") is None else "pt")
        mask = kwargs.pop("attention_mask", None)
        self.start_from_bos = given is None
        self.rows: list[list[int]] = [[] for _ in range(0 if vectors is None else len(self.embeddings))] if inputs is None else _tensors.id_rows(inputs)
        self.mask = None if mask is None else _tensors.id_rows(mask, "attention_mask")
        self.kwargs = kwargs

    def _read_settings(self, config: Any, given: dict[str, Any], kwargs: dict[str, Any]) -> None:
        from .model import FORWARD_ARGUMENTS

        from .processors import PrefixConstrainedLogitsProcessor, split_criteria, split_processors

        kwargs = self.kwargs
        unknown = [
            k for k, v in kwargs.items()
            if v is not None and k not in SETTINGS and k not in _OTHER_ARGUMENTS and k not in FORWARD_ARGUMENTS
        ]  # fmt: skip
        if unknown:
            raise ValueError(f"generate does not know these arguments (misspelt, or not of this model): {unknown}")
        own, own_config = _fields(self.model.generation_config), _fields(config)
        said = {k: v for k, v in kwargs.items() if k in SETTINGS}
        self.settings = {**own, **own_config, **said}
        padded = self.mask is not None and not all(all(row) for row in self.mask)
        width = len(self.rows[0]) if self.rows else 1
        processors, self.processors = split_processors(given.get("logits_processor"), self.settings, width, padded)
        criteria, self.criteria = split_criteria(given.get("stopping_criteria"), width)
        self.settings.update(processors)
        if "max_length" in criteria:
            self.settings.pop("max_new_tokens", None)
        self.settings.update(criteria)
        self.allow: Optional[Callable[[int, Any], list[int]]] = given.get("prefix_allowed_tokens_fn")
        for processor in [p for p in self.processors if isinstance(p, PrefixConstrainedLogitsProcessor)]:
            self.allow = processor.prefix_allowed_tokens_fn
            self.processors.remove(processor)
        self.settings = {k: v for k, v in self.settings.items() if v is not None}

    def cache(self, sequences: list[list[int]]) -> Any:
        """The cache that Transformers would return: all but the last token of each row has been seen."""
        given = self.kwargs.get("past_key_values")
        cache = _cache.DynamicCache(config=self.model.config) if given is None else _cache.own(given)
        prompts, each = self.seen(), len(sequences) // len(self.rows)
        beside = self.seen_width - self.width
        seen = [prompts[i // each] + list(range(self.seen_width, beside + len(row) - 1)) for i, row in enumerate(sequences)]
        if self.embeddings is None:
            cache.remember([[row[k] for k in places] for row, places in zip(sequences, seen)], seen, len(sequences[0]) - 1)
        else:
            vectors = [self.embeddings[i // each, prompts[i // each]] for i in range(len(sequences))]
            cache.remember([row[self.width : -1] for row in sequences], seen, beside + len(sequences[0]) - 1, vectors)
        return cache if given is None else given

    def seen(self) -> list[list[int]]:
        """Where the prompts are not padding."""
        everywhere = list(range(self.seen_width))
        return [everywhere if self.mask is None else [k for k in everywhere if self.mask[i][k]] for i in range(len(self.rows))]

    def inside(self) -> Optional[_inside.Steps]:
        """What takes the look inside that is wanted."""
        s = self.settings
        states, attentions = bool(s.get("output_hidden_states")), bool(s.get("output_attentions"))
        if not (s.get("return_dict_in_generate") and (states or attentions)):
            return None
        given = self.kwargs.get("past_key_values")
        whole = s.get("use_cache") is False and given is None
        if whole and int(s.get("num_beams") or 1) > 1:
            raise NotImplementedError("output_hidden_states and output_attentions of a beam search need use_cache=True")
        past = 0 if given is None else given.get_seq_length()
        slides = not whole if given is None else _cache.own(given).slides
        return _inside.Steps(self.model, self.seen(), self.seen_width, states, attentions, past, slides, whole)

    def _read_cache(self) -> None:
        """kv: bits and group size of the caches, by mlx-lm's names or by Transformers'; zeros are what the model was loaded with."""
        bits, group = self.kwargs.get("kv_bits"), self.kwargs.get("kv_group_size")
        if self.settings.get("cache_implementation") == "quantized":
            del self.settings["cache_implementation"]
            config = self.settings.pop("cache_config", None) or {}
            config = config if isinstance(config, dict) else vars(config)
            bits = config.get("nbits", 4) if bits is None else bits
            group = config.get("q_group_size", 64) if group is None else group
        self.kv = (int(bits or 0), int(group or 0))

    # ---- checks and defaults ----

    def prepare(self) -> None:
        s = self.settings
        self._read_cache()
        eos = s.get("eos_token_id")
        eos = _tensors.to_list(eos)
        self.ends = eos if isinstance(eos, list) else [] if eos is None else [eos]
        self.pad = s.get("pad_token_id")
        if self.pad is None and self.ends:
            self.pad = self.ends[0]
            s["pad_token_id"] = self.pad
        if self.start_from_bos:
            if s.get("bos_token_id") is None:
                raise ValueError("there is neither a prompt (input_ids) nor a bos_token_id to start from")
            self.rows = [[int(s["bos_token_id"])]]
        if self.embeddings is None and (not self.rows or not self.rows[0]):
            raise ValueError("the prompt is empty; without input_ids, generation starts from bos_token_id")
        self.width: int = len(self.rows[0])
        self.seen_width: int = self.width  # what the model sees
        if self.embeddings is not None:
            self._read_embeddings()
        self._complete_mask()
        self._check_length()
        self._check_beams()
        if s.get("stop_strings") is not None and self.kwargs.get("tokenizer") is None and "stop_strings" in self.kwargs:
            raise ValueError("stop_strings need the tokenizer: generate(..., stop_strings=..., tokenizer=tokenizer)")
        if s.get("cache_implementation") not in (None, *CACHES):
            raise ValueError(f"cache_implementation is {s['cache_implementation']!r}, expected one of {', '.join(CACHES)}")
        if s.get("do_sample") and s.get("seed") is None:
            s["seed"] = fresh_seed()

    def _read_embeddings(self) -> None:
        """The ids beside embeddings only count for processors and for what is returned; lengths are about them."""
        s = self.settings
        _forward.check_size(self.model, self.embeddings)
        if len(self.rows) != len(self.embeddings):
            raise ValueError(f"inputs_embeds have {len(self.embeddings)} rows, input_ids {len(self.rows)}")
        self.seen_width = self.embeddings.shape[1]
        s["use_cache"] = True
        if self.seen_width == self.width:
            return
        if s.get("max_length") is not None and s.get("max_new_tokens") is None:
            s["max_length"] -= self.seen_width
        if s.get("min_length") and s.get("min_new_tokens") is None:
            s["min_length"] = max(s["min_length"] - self.seen_width, 0)

    def _complete_mask(self) -> None:
        if self.mask is not None:
            if [len(m) for m in self.mask] != [self.seen_width] * len(self.rows):
                name = "input_ids" if self.embeddings is None else "inputs_embeds"
                raise ValueError(f"attention_mask and {name} have different shapes")
        elif self.embeddings is not None:
            return
        elif self.pad is not None and self.pad not in self.ends and any(self.pad in row for row in self.rows):
            self.mask = [[int(i != self.pad) for i in row] for row in self.rows]
        if self.mask is not None and any(m[-1] == 0 for m in self.mask):
            _log.warning("a prompt is padded on the right, which gives poor answers: use padding_side='left'")
        if self.mask is not None and all(all(m) for m in self.mask):
            self.mask = None
        masks = self.mask or [[1] * len(row) for row in self.rows]
        _tensors.check_ids([[i for i, m in zip(row, mask) if m] for row, mask in zip(self.rows, masks)], self.model.vocab_size)

    def _check_length(self) -> None:
        s = self.settings
        limit = s.get("max_length")
        if s.get("max_new_tokens") is None and limit is not None and self.width >= limit:
            raise ValueError(
                f"the prompt has {self.width} tokens and max_length is {limit}: nothing is left to generate; raise max_length, "
                "or give max_new_tokens"
            )

    def _check_beams(self) -> None:
        s = self.settings
        self.beams = int(s.get("num_beams") or 1)
        if self.beams > 1:
            s.pop("prompt_lookup_num_tokens", None)  # beams go before guesses
        answers = int(s.get("num_return_sequences") or 1)
        if answers > 1 and self.beams == 1 and not s.get("do_sample"):
            raise ValueError(f"greedy decoding has one answer; num_return_sequences={answers} needs do_sample or num_beams")
        if self.beams > 1 and answers > self.beams:
            raise ValueError(f"num_return_sequences is {answers}, and there are only {self.beams} beams (num_beams)")


class GenerationMixin:
    """generate, and what belongs to it."""

    generation_config: GenerationConfig

    def generate(
        self,
        inputs: Any = None,
        generation_config: Any = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Optional[Callable[[int, Any], list[int]]] = None,
        synced_gpus: Optional[bool] = None,
        assistant_model: Any = None,
        streamer: Any = None,
        negative_prompt_ids: Any = None,
        negative_prompt_attention_mask: Any = None,
        custom_generate: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Token ids after a prompt, the prompt first, as Transformers' generate gives them.

        inputs (or input_ids): lists, numpy or torch; torch gives torch, anything else numpy. Settings are keyword arguments.
        """
        if custom_generate is not None:
            if callable(custom_generate):
                return custom_generate(model=self, inputs=inputs, generation_config=generation_config, **kwargs)
            raise NotImplementedError("custom_generate takes a function here, not code of the Hub")
        given = {
            "logits_processor": logits_processor,
            "stopping_criteria": stopping_criteria,
            "prefix_allowed_tokens_fn": prefix_allowed_tokens_fn,
        }
        call = _Call(self, inputs, given, generation_config, kwargs)
        call.prepare()
        if streamer is not None and call.beams > 1:
            raise ValueError("a streamer cannot be used with beam search: its tokens are not final")
        return _run(self, call, streamer, assistant_model, negative_prompt_ids, negative_prompt_attention_mask)

    def compute_transition_scores(
        self, sequences: Any, scores: Any, beam_indices: Any = None, normalize_logits: bool = False
    ) -> Any:
        """The score of each generated token, [n_sequences, n_new], from the scores that generate gave."""
        from . import _transition

        return _transition.scores(sequences, scores, beam_indices, normalize_logits)

    def prepare_inputs_for_generation(self, input_ids: Any, **kwargs: Any) -> dict[str, Any]:
        return {"input_ids": input_ids, **kwargs}


def _run(model: Any, call: _Call, streamer: Any, assistant: Any, negative: Any, negative_mask: Any) -> Any:
    s = call.settings
    want_dict = bool(s.get("return_dict_in_generate"))
    inside = call.inside()
    if call.beams > 1:
        assistant = None
    if assistant is None:
        s.pop("assistant_ensemble_weight", None)
    if assistant is not None and s.get("use_cache") is False:
        raise ValueError("assistant_model needs use_cache=True")
    if assistant is not None and not hasattr(assistant, "_handle"):
        raise TypeError("assistant_model has to be a model of mica, too: load it with the same device_map")
    if streamer is not None:
        streamer.put(_tensors.make(call.rows, call.kind))
    callbacks = _engine.Callbacks(
        call.kind,
        process=_processing(call.processors) if call.processors else None,
        stop=_stopping(call.criteria) if call.criteria else None,
        allow=call.allow,
        tokens=streamer.put if streamer is not None else None,
        plain_tokens=_plain_put(streamer) if len(call.rows) == 1 else None,
        beams=call.beams > 1,
        inside=inside.take if inside is not None else None,
    )
    core = CoreConfig({k: v for k, v in s.items() if k not in _OF_PYTHON and k not in NOT_SETTINGS})
    with model._batch(call.kv) as batch:
        result = batch.generate(
            call.rows,
            call.mask,
            core,
            callbacks,
            assistant._handle if assistant is not None else None,
            None if negative is None else _tensors.id_rows(negative, "negative_prompt_ids"),
            None if negative_mask is None else _tensors.id_rows(negative_mask, "negative_prompt_attention_mask"),
            want_dict and bool(s.get("output_scores")),
            want_dict and bool(s.get("output_logits")),
            inside is not None and inside.states,
            inside is not None and inside.attentions,
            call.embeddings,
        )
    if streamer is not None:
        streamer.end()
    return _shaped(call, result, want_dict, inside)


def _plain_put(streamer: Any) -> Any:
    """put_ids of a streamer of ours whose put is its own: an array for each token would be made to be taken apart."""
    streamers = sys.modules.get("mica.streamers")
    ours = streamers is not None and isinstance(streamer, streamers.TextStreamer) and type(streamer).put is streamers.TextStreamer.put
    return streamer.put_ids if ours else None


def _processing(processors: list[Any]) -> Callable[[Any, Any], Any]:
    from .processors import apply_processor

    def run(input_ids: Any, scores: Any) -> Any:
        for processor in processors:
            scores = apply_processor(processor, input_ids, scores, {})
        return scores

    return run


def _stopping(criteria: list[Any]) -> Callable[[Any, Any], list[bool]]:
    from .processors import rows_done

    return lambda input_ids, scores: rows_done(criteria, input_ids, scores)


def _shaped(call: _Call, result: _engine.Result, want_dict: bool, inside: Optional[_inside.Steps]) -> Any:
    np, kind = _tensors.numpy(), call.kind
    prompts = np.array(call.rows, dtype=np.int64).repeat(len(result.ids) // len(call.rows), axis=0)
    sequences = _tensors.from_numpy(np.concatenate([prompts, result.ids.astype(np.int64)], axis=1), kind)
    if call.kwargs.get("past_key_values") is not None:
        call.cache(_tensors.to_list(sequences))
    if not want_dict:
        return sequences

    def steps(values: Any) -> Any:
        return None if values is None else tuple(_tensors.from_numpy(v, kind) for v in values)

    fields: dict[str, Any] = {"sequences": sequences, "scores": steps(result.scores), "logits": steps(result.logits)}
    if inside is not None:
        fields["hidden_states"], fields["attentions"] = inside.results(kind)
    if call.settings.get("use_cache") is not False:
        fields["past_key_values"] = call.cache(_tensors.to_list(sequences))
    if result.beam_indices is None:
        return GenerateDecoderOnlyOutput(**fields)
    fields["beam_indices"] = _tensors.from_numpy(result.beam_indices.astype(np.int64), kind)
    if call.settings.get("output_scores"):
        fields["sequences_scores"] = _tensors.from_numpy(result.sequences_scores, kind)
    return GenerateBeamDecoderOnlyOutput(**fields)
