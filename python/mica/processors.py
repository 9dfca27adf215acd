"""Logits processors and stopping criteria: Python callables inside the loop, and the library's own by name.

A processor of one's own is a callable `(input_ids, scores) -> scores`, a criterion one `(input_ids, scores) -> bool` (or one bool
for each row). Those that Transformers ships are settings of the C library; their classes here only carry the settings, so that programs which
put them into a list keep working and stay fast; called by themselves, they ask the library for the same.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

from . import _tensors


class LogitsProcessor:
    """Base of processors: override __call__."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not say what it does with scores (no __call__)")


LogitsWarper = LogitsProcessor


class LogitsProcessorList(list[Any]):
    """Processors, applied one after the other."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        for processor in self:
            scores = apply_processor(processor, input_ids, scores, kwargs)
        return scores


def apply_processor(processor: Callable[..., Any], input_ids: Any, scores: Any, kwargs: dict[str, Any]) -> Any:
    if not kwargs:
        return processor(input_ids, scores)
    import inspect

    known = inspect.signature(processor).parameters
    return processor(input_ids, scores, **{k: v for k, v in kwargs.items() if k in known})


class StoppingCriteria:
    """Base of criteria: override __call__."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not say when to stop (no __call__)")


class StoppingCriteriaList(list[Any]):
    """Criteria, any of which may end a row."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        done = self.rows_done(input_ids, scores, **kwargs)
        return _tensors.from_numpy(_tensors.numpy().array(done), _tensors.kind_of(input_ids) or "np")

    def rows_done(self, input_ids: Any, scores: Any, **kwargs: Any) -> list[bool]:
        return rows_done(self, input_ids, scores, **kwargs)

    @property
    def max_length(self) -> Optional[int]:
        return next((c.max_length for c in self if isinstance(c, MaxLengthCriteria)), None)


def rows_done(criteria: Any, input_ids: Any, scores: Any, **kwargs: Any) -> list[bool]:
    """For each row, whether one of the criteria ends it. A criterion gives one truth value for all rows, or one for each."""
    done = [False] * len(input_ids)
    for criterion in criteria:
        said = _tensors.to_list(criterion(input_ids, scores, **kwargs))
        rows = said if isinstance(said, list) else [said] * len(done)
        if len(rows) != len(done):
            raise ValueError(f"{type(criterion).__name__} gave {len(rows)} truth values for {len(done)} rows")
        done = [a or bool(b) for a, b in zip(done, rows)]
    return done


# ---- the library's own ------------------------------------------------------------------------------------------------


class _Setting:
    """Something that the library does itself when these settings are given."""

    def __init__(self, **settings: Any):
        self.settings = settings
        for name, value in settings.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.settings.items())})"


class _Processor(_Setting, LogitsProcessor):
    """In a list given to generate it is a setting; called by itself it asks the library for what the setting does."""

    n_prompt: Optional[int] = None  # ids of the prompt, where that matters; None: all so far
    filter_value = float("-inf")

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        from . import _generate

        return _generate.processed(self.settings, input_ids, scores, self.n_prompt, self.filter_value)


class _Warper(_Processor):
    """Removes tokens; the library always keeps one."""

    def __init__(self, filter_value: float, min_tokens_to_keep: int, **settings: Any):
        if min_tokens_to_keep != 1:
            raise NotImplementedError(f"{type(self).__name__}: min_tokens_to_keep other than 1 is not supported")
        super().__init__(**settings)
        self.filter_value = filter_value


class _Criterion(_Setting, StoppingCriteria):
    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} works inside generate; it cannot be called by itself")


class MinLengthLogitsProcessor(_Processor):
    def __init__(self, min_length: int, eos_token_id: Any, device: Any = None):
        super().__init__(min_length=min_length, eos_token_id=eos_token_id)


class MinNewTokensLengthLogitsProcessor(_Processor):
    def __init__(self, prompt_length_to_skip: int, min_new_tokens: int, eos_token_id: Any, device: Any = None):
        super().__init__(min_new_tokens=min_new_tokens, eos_token_id=eos_token_id)
        self.n_prompt = prompt_length_to_skip


class TemperatureLogitsWarper(_Processor):
    def __init__(self, temperature: float):
        if not isinstance(temperature, float) or not temperature > 0:
            raise ValueError(f"temperature is {temperature!r}, expected a float above 0")
        super().__init__(temperature=temperature)


class RepetitionPenaltyLogitsProcessor(_Processor):
    def __init__(self, penalty: float, prompt_ignore_length: Optional[int] = None):
        if prompt_ignore_length:
            raise NotImplementedError("prompt_ignore_length is not supported")
        super().__init__(repetition_penalty=penalty)


class TopKLogitsWarper(_Warper):
    def __init__(self, top_k: int, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1):
        if not isinstance(top_k, int) or top_k <= 0:
            raise ValueError(f"top_k is {top_k!r}, expected a whole number above 0")
        super().__init__(filter_value, 1, top_k=max(top_k, min_tokens_to_keep))


class TopPLogitsWarper(_Warper):
    def __init__(self, top_p: float, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1):
        super().__init__(filter_value, min_tokens_to_keep, top_p=float(top_p))


class TopHLogitsWarper(_Warper):
    def __init__(self, top_h: float, filter_value: float = float("-inf")):
        super().__init__(filter_value, 1, top_h=top_h)


class MinPLogitsWarper(_Warper):
    def __init__(self, min_p: float, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1):
        super().__init__(filter_value, min_tokens_to_keep, min_p=min_p)


class TypicalLogitsWarper(_Warper):
    def __init__(self, mass: float = 0.9, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1):
        super().__init__(filter_value, min_tokens_to_keep, typical_p=float(mass))


class EpsilonLogitsWarper(_Warper):
    def __init__(self, epsilon: float, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1):
        super().__init__(filter_value, min_tokens_to_keep, epsilon_cutoff=float(epsilon))


class EtaLogitsWarper(_Warper):
    def __init__(
        self, epsilon: float, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1, device: Any = None
    ):
        super().__init__(filter_value, min_tokens_to_keep, eta_cutoff=float(epsilon))


class NoRepeatNGramLogitsProcessor(_Processor):
    def __init__(self, ngram_size: int):
        if not isinstance(ngram_size, int) or ngram_size <= 0:
            raise ValueError(f"ngram_size is {ngram_size!r}, expected a whole number above 0")
        super().__init__(no_repeat_ngram_size=ngram_size)


class SequenceBiasLogitsProcessor(_Processor):
    def __init__(self, sequence_bias: Any):
        super().__init__(sequence_bias=sequence_bias)


class NoBadWordsLogitsProcessor(_Processor):
    def __init__(self, bad_words_ids: list[list[int]], eos_token_id: Any = None):
        super().__init__(bad_words_ids=bad_words_ids)


class ForcedBOSTokenLogitsProcessor(_Processor):
    def __init__(self, bos_token_id: int):
        super().__init__(forced_bos_token_id=bos_token_id)


class ForcedEOSTokenLogitsProcessor(_Processor):
    def __init__(self, max_length: int, eos_token_id: Any, device: Any = None):
        super().__init__(max_length=max_length, forced_eos_token_id=eos_token_id)


class InfNanRemoveLogitsProcessor(_Processor):
    def __init__(self) -> None:
        super().__init__(remove_invalid_values=True)


class ExponentialDecayLengthPenalty(_Processor):
    def __init__(self, exponential_decay_length_penalty: Any, eos_token_id: Any, input_ids_seq_length: int):
        super().__init__(exponential_decay_length_penalty=list(exponential_decay_length_penalty), eos_token_id=eos_token_id)
        self.n_prompt = input_ids_seq_length


class LogitNormalization(_Processor):
    def __init__(self) -> None:
        super().__init__(renormalize_logits=True)


class SuppressTokensLogitsProcessor(_Processor):
    def __init__(self, suppress_tokens: Any, device: Any = None):
        super().__init__(suppress_tokens=list(suppress_tokens))


class SuppressTokensAtBeginLogitsProcessor(_Processor):
    def __init__(self, begin_suppress_tokens: Any, begin_index: int = 0, device: Any = None):
        super().__init__(begin_suppress_tokens=list(begin_suppress_tokens))
        self.n_prompt = begin_index


class PrefixConstrainedLogitsProcessor(LogitsProcessor):
    """Allows only what a function says; generate passes the function on to the library."""

    def __init__(self, prefix_allowed_tokens_fn: Callable[[int, Any], list[int]], num_beams: int = 1):
        self.prefix_allowed_tokens_fn = prefix_allowed_tokens_fn
        self._beams = num_beams

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        np = _tensors.numpy()
        kept = np.full(tuple(scores.shape), -np.inf, "float32")
        given = _tensors.to_numpy(scores)
        for row, ids in enumerate(input_ids):
            allowed = list(self.prefix_allowed_tokens_fn(row // self._beams, ids))
            if not allowed:
                raise ValueError(f"prefix_allowed_tokens_fn allows no token for row {row}")
            kept[row, allowed] = given[row, allowed]
        return _tensors.from_numpy(kept, _tensors.kind_of(scores) or "np")


class MaxLengthCriteria(_Criterion):
    max_length: int

    def __init__(self, max_length: int, max_position_embeddings: Optional[int] = None):
        super().__init__(max_length=max_length)

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> list[bool]:
        return [len(row) >= self.max_length for row in input_ids]


class MaxTimeCriteria(_Criterion):
    def __init__(self, max_time: float, initial_timestamp: Optional[float] = None):
        super().__init__(max_time=max_time)


class EosTokenCriteria(_Criterion):
    eos_token_id: Any

    def __init__(self, eos_token_id: Any):
        super().__init__(eos_token_id=_tensors.to_list(eos_token_id))

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> list[bool]:
        ends = self.eos_token_id if isinstance(self.eos_token_id, list) else [self.eos_token_id]
        return [int(row[-1]) in ends for row in input_ids]


class StopStringCriteria(_Criterion):
    def __init__(self, tokenizer: Any, stop_strings: Any):
        super().__init__(stop_strings=[stop_strings] if isinstance(stop_strings, str) else list(stop_strings))


def split_own(items: Any) -> tuple[dict[str, Any], list[Any]]:
    """What the library does itself, as settings, and the callables that are left."""
    settings: dict[str, Any] = {}
    left = []
    for item in items or ():
        if isinstance(item, _Setting):
            settings.update(item.settings)
        else:
            left.append(item)
    return settings, left
