"""Logits processors and stopping criteria: Python callables inside the loop, and the library's own by name.

A processor of one's own is a callable `(input_ids, scores) -> scores`, a criterion one `(input_ids, scores) -> bool` (or one bool
for each row). Those that Transformers ships are settings of the C library; their classes here only carry the settings, so that programs which
put them into a list keep working and stay fast; called by themselves, they ask the library for the same.
"""

from __future__ import annotations

import time
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
    """In a list given to generate it is a setting where that comes to the same; called by itself it asks the library for what the setting does.

    `place` is its rank in the order in which settings take effect.
    """

    place = 0
    n_prompt: Optional[int] = None  # ids of the prompt, where that matters; None: all so far
    filter_value = float("-inf")

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        from . import _generate

        return _generate.processed(self.settings, input_ids, scores, self.n_prompt, self.filter_value)


class _Warper(_Processor):
    """Removes tokens, but never the best min_tokens_to_keep."""

    def __init__(self, filter_value: float, min_tokens_to_keep: Any, **settings: Any):
        _check_whole("min_tokens_to_keep", min_tokens_to_keep, 1)
        super().__init__(**settings)
        self.filter_value, self.min_tokens_to_keep = filter_value, min_tokens_to_keep
        self.settings["min_tokens_to_keep"] = min_tokens_to_keep


def _check_whole(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}, expected a whole number of at least {least}")


def _check_positive(name: str, value: Any) -> None:
    if not isinstance(value, float) or not value > 0:
        raise ValueError(f"{name} is {value!r}, expected a float above 0")


def _share(name: str, value: Any, ends: str = "") -> float:
    """A float between 0 and 1; `ends` says which of them may be it, too."""
    share = float(value)
    if not (0 < share < 1 or (share == 0 and "0" in ends) or (share == 1 and "1" in ends)):
        raise ValueError(f"{name} is {value!r}, expected a float between 0 and 1")
    return share


def _ends(value: Any) -> list[int]:
    """Ids of end tokens: one, a list of them, or an array. Those below 0 are none."""
    given = _tensors.to_list(value)
    ids: list[int] = given if isinstance(given, list) else [given]
    if not all(isinstance(i, int) for i in ids):
        raise ValueError(f"eos_token_id is {value!r}, expected whole numbers")
    return [i for i in ids if i >= 0]


class _Criterion(_Setting, StoppingCriteria):
    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} works inside generate; it cannot be called by itself")


class SequenceBiasLogitsProcessor(_Processor):
    place = 2

    def __init__(self, sequence_bias: Any):
        if not isinstance(sequence_bias, (dict, list)) or not sequence_bias:
            raise ValueError(f"sequence_bias is {sequence_bias!r}, expected a dictionary or a list that is not empty")
        pairs = list(sequence_bias.items()) if isinstance(sequence_bias, dict) else sequence_bias
        kind = tuple if isinstance(sequence_bias, dict) else list
        for ids, bias in pairs:
            if not isinstance(ids, kind) or not ids or not all(int(i) == i and i >= 0 for i in ids) or not isinstance(bias, float):
                raise ValueError(f"sequence_bias has {ids!r}: {bias!r}, expected ids and a float")
        super().__init__(sequence_bias=sequence_bias)


class EncoderRepetitionPenaltyLogitsProcessor(_Processor):
    place = 3

    def __init__(self, penalty: float, encoder_input_ids: Any):
        _check_positive("penalty", penalty)
        super().__init__(encoder_repetition_penalty=penalty)
        self.encoder_input_ids = encoder_input_ids

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        return super().__call__(_for_rows(self.encoder_input_ids, scores), scores)


class RepetitionPenaltyLogitsProcessor(_Processor):
    place = 4

    def __init__(self, penalty: float, prompt_ignore_length: Optional[int] = None):
        _check_positive("penalty", penalty)
        if prompt_ignore_length is not None:
            _check_whole("prompt_ignore_length", prompt_ignore_length, 0)
        super().__init__(repetition_penalty=penalty, prompt_ignore_length=prompt_ignore_length)
        self.penalty = penalty


class NoRepeatNGramLogitsProcessor(_Processor):
    place = 5

    def __init__(self, ngram_size: int):
        _check_whole("ngram_size", ngram_size, 1)
        super().__init__(no_repeat_ngram_size=ngram_size)
        self.ngram_size = ngram_size


class EncoderNoRepeatNGramLogitsProcessor(_Processor):
    place = 6

    def __init__(self, encoder_ngram_size: int, encoder_input_ids: Any):
        _check_whole("encoder_ngram_size", encoder_ngram_size, 1)
        super().__init__(encoder_no_repeat_ngram_size=encoder_ngram_size)
        self.encoder_input_ids = encoder_input_ids

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        from . import _generate

        prompts = _for_rows(self.encoder_input_ids, scores)
        both = [a + b for a, b in zip(prompts, _tensors.id_rows(input_ids))]  # what follows the prompt ends in what counts
        return _generate.processed(self.settings, both, scores, len(prompts[0]), self.filter_value)


def _for_rows(ids: Any, scores: Any) -> list[list[int]]:
    """Prompts, each as often as there are rows of it."""
    rows = _tensors.id_rows(ids)
    each = len(scores) // len(rows)
    return [row for row in rows for _ in range(each)]


class NoBadWordsLogitsProcessor(_Processor):
    place = 7

    def __init__(self, bad_words_ids: list[list[int]], eos_token_id: Any = None):
        if not isinstance(bad_words_ids, list) or not bad_words_ids:
            raise ValueError(f"bad_words_ids is {bad_words_ids!r}, expected a list that is not empty")
        for word in bad_words_ids:
            if not isinstance(word, list) or not all(int(i) == i and i >= 0 for i in word):
                raise ValueError(f"bad_words_ids has {word!r}, expected a list of ids")
        ends = {} if eos_token_id is None else {"eos_token_id": _ends(eos_token_id)}
        super().__init__(bad_words_ids=bad_words_ids, **ends)


class MinLengthLogitsProcessor(_Processor):
    place = 8

    def __init__(self, min_length: int, eos_token_id: Any, device: Any = None):
        _check_whole("min_length", min_length, 0)
        super().__init__(min_length=min_length, eos_token_id=_ends(eos_token_id))


class MinNewTokensLengthLogitsProcessor(_Processor):
    place = 9

    def __init__(self, prompt_length_to_skip: int, min_new_tokens: int, eos_token_id: Any, device: Any = None):
        _check_whole("prompt_length_to_skip", prompt_length_to_skip, 0)
        _check_whole("min_new_tokens", min_new_tokens, 0)
        super().__init__(min_new_tokens=min_new_tokens, eos_token_id=_ends(eos_token_id))
        self.n_prompt = prompt_length_to_skip


class ForcedBOSTokenLogitsProcessor(_Processor):
    place = 11

    def __init__(self, bos_token_id: int):
        super().__init__(forced_bos_token_id=bos_token_id)


class ForcedEOSTokenLogitsProcessor(_Processor):
    place = 12

    def __init__(self, max_length: int, eos_token_id: Any, device: Any = None):
        ends = _ends(eos_token_id)
        if not ends:
            raise ValueError(f"eos_token_id is {eos_token_id!r}, expected whole numbers of at least 0")
        super().__init__(max_length=max_length, forced_eos_token_id=ends)


class InfNanRemoveLogitsProcessor(_Processor):
    place = 13

    def __init__(self) -> None:
        super().__init__(remove_invalid_values=True)


class ExponentialDecayLengthPenalty(_Processor):
    place = 14

    def __init__(self, exponential_decay_length_penalty: Any, eos_token_id: Any, input_ids_seq_length: int):
        super().__init__(
            exponential_decay_length_penalty=list(exponential_decay_length_penalty), eos_token_id=_ends(eos_token_id)
        )
        self.n_prompt = input_ids_seq_length


class SuppressTokensLogitsProcessor(_Processor):
    place = 15

    def __init__(self, suppress_tokens: Any, device: Any = None):
        super().__init__(suppress_tokens=list(suppress_tokens))


class SuppressTokensAtBeginLogitsProcessor(_Processor):
    place = 16

    def __init__(self, begin_suppress_tokens: Any, begin_index: int, device: Any = None):
        super().__init__(begin_suppress_tokens=list(begin_suppress_tokens))
        self.n_prompt = begin_index


class TemperatureLogitsWarper(_Processor):
    place = 18

    def __init__(self, temperature: float):
        _check_positive("temperature", temperature)
        super().__init__(temperature=temperature)


class TopHLogitsWarper(_Warper):
    place = 19

    def __init__(self, top_h: float, filter_value: float = float("-inf")):
        super().__init__(filter_value, 1, top_h=_share("top_h", top_h, "1"))


class TopKLogitsWarper(_Warper):
    place = 20

    def __init__(self, top_k: int, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1):
        _check_whole("top_k", top_k, 1)
        super().__init__(filter_value, 1, top_k=max(top_k, min_tokens_to_keep))


class TopPLogitsWarper(_Warper):
    place = 21

    def __init__(self, top_p: float, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1):
        super().__init__(filter_value, min_tokens_to_keep, top_p=_share("top_p", top_p, "01"))


class MinPLogitsWarper(_Warper):
    place = 22

    def __init__(self, min_p: float, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1):
        super().__init__(filter_value, min_tokens_to_keep, min_p=_share("min_p", min_p, "01"))


class TypicalLogitsWarper(_Warper):
    place = 23

    def __init__(self, mass: float = 0.9, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1):
        super().__init__(filter_value, min_tokens_to_keep, typical_p=_share("mass", mass))


class EpsilonLogitsWarper(_Warper):
    place = 24

    def __init__(self, epsilon: float, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1):
        super().__init__(filter_value, min_tokens_to_keep, epsilon_cutoff=_share("epsilon", epsilon))


class EtaLogitsWarper(_Warper):
    place = 25

    def __init__(
        self, epsilon: float, filter_value: float = float("-inf"), min_tokens_to_keep: int = 1, device: Any = None
    ):
        super().__init__(filter_value, min_tokens_to_keep, eta_cutoff=_share("epsilon", epsilon))


class WatermarkLogitsProcessor(_Processor):
    place = 26

    def __init__(
        self,
        vocab_size: int,
        device: Any = None,
        greenlist_ratio: float = 0.25,
        bias: float = 2.0,
        hashing_key: int = 15485863,
        seeding_scheme: str = "lefthash",
        context_width: int = 1,
    ):
        if seeding_scheme not in ("selfhash", "lefthash"):
            raise ValueError(f"seeding_scheme is {seeding_scheme!r}, expected 'selfhash' or 'lefthash'")
        config = {
            "greenlist_ratio": _share("greenlist_ratio", greenlist_ratio), "bias": bias, "hashing_key": hashing_key,
            "seeding_scheme": seeding_scheme, "context_width": context_width,
        }  # fmt: skip
        super().__init__(watermarking_config=config)


class LogitNormalization(_Processor):
    place = 27

    def __init__(self) -> None:
        super().__init__(renormalize_logits=True)


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


def _for_each(input_ids: Any, done: list[bool]) -> Any:
    """Truth values of rows as an array of the kind that the ids have."""
    return _tensors.from_numpy(_tensors.numpy().array(done), _tensors.kind_of(input_ids) or "np")


class MaxLengthCriteria(_Criterion):
    max_length: int

    def __init__(self, max_length: int, max_position_embeddings: Optional[int] = None):
        super().__init__(max_length=max_length)

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        return _for_each(input_ids, [len(row) >= self.max_length for row in input_ids])


class MaxTimeCriteria(_Criterion):
    max_time: float

    def __init__(self, max_time: float, initial_timestamp: Optional[float] = None):
        super().__init__(max_time=max_time)
        self.initial_timestamp = time.time() if initial_timestamp is None else initial_timestamp

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        return _for_each(input_ids, [time.time() - self.initial_timestamp > self.max_time] * len(input_ids))


class EosTokenCriteria(_Criterion):
    eos_token_id: Any

    def __init__(self, eos_token_id: Any):
        super().__init__(eos_token_id=_tensors.to_list(eos_token_id))

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        ends = self.eos_token_id if isinstance(self.eos_token_id, list) else [self.eos_token_id]
        return _for_each(input_ids, [int(row[-1]) in ends for row in input_ids])


class StopStringCriteria(_Criterion):
    stop_strings: list[str]

    def __init__(self, tokenizer: Any, stop_strings: Any):
        super().__init__(stop_strings=[stop_strings] if isinstance(stop_strings, str) else list(stop_strings))
        self.tokenizer = tokenizer

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """Whether a text ends in its last token."""
        done = []
        for row in _tensors.id_rows(input_ids):
            text, before = self.tokenizer.decode(row), self.tokenizer.decode(row[:-1])
            found = (text.find(s, max(0, len(before) + 1 - len(s))) for s in self.stop_strings)
            done.append(any(at >= 0 for at in found))
        return _for_each(input_ids, done)


def split_criteria(items: Any, width: int) -> tuple[dict[str, Any], list[Any]]:
    """What the library does itself, as settings, and the callables that are left: a length that the prompt has already still lets one token
    come."""
    settings: dict[str, Any] = {}
    left = []
    for item in items or ():
        reached = isinstance(item, MaxLengthCriteria) and item.max_length <= width
        if isinstance(item, _Criterion) and type(item).__module__ == __name__ and not reached:
            settings.update(item.settings)
        else:
            left.append(item)
    return settings, left


def split_processors(items: Any, settings: dict[str, Any], width: int, padded: bool) -> tuple[dict[str, Any], list[Any]]:
    """What of a list the library can do itself with the same result, as settings, and the callables that are left.

    Transformers' order counts: one of a kind that a setting makes, too, up to the tokens that are suppressed, takes the place of that;
    all others come after those, one by one, and before what sampling does.
    """
    made = {place for place, is_on in _PLACES.items() if is_on(settings)}
    found: dict[str, Any] = {}
    left: list[Any] = []
    for item in items or ():
        item = _like_ours(item, made)
        place = item.place if _is_own(item) and _fits(item, settings, width, padded) else 0
        if place and place < _FIRST_WARPER and place in made and place not in {p.place for p in left if _is_own(p)}:
            found.update(item.settings)
            made.remove(place)
        else:
            left.append(item)
    while left and _is_own(left[0]) and _fits(left[0], settings, width, padded) and left[0].place < _FIRST_WARPER:
        if any(left[0].place <= place < _FIRST_WARPER for place in made) or left[0].place == 0:
            break
        made.add(left[0].place)
        found.update(left.pop(0).settings)
    places = [item.place if _is_own(item) and _fits(item, settings, width, padded) else 0 for item in left]
    warps = bool(places) and places == sorted(set(places)) and places[0] >= _FIRST_WARPER and bool(settings.get("do_sample"))
    top_k = settings.get("top_k", 50) or 0
    if warps and 20 in places and top_k and not made & {19}:
        made.discard(20)  # the smaller of two counts
    if warps and not any(_FIRST_WARPER <= place <= places[-1] for place in made) and not any(_keeps_more(item, settings) for item in left):
        for item in left:
            found.update(item.settings)
        if 20 in places and top_k:
            found["top_k"] = min(found["top_k"], top_k)
        left = []
    found.pop("min_tokens_to_keep", None)
    return found, left


_FIRST_WARPER = 18
_PLACES: dict[int, Callable[[dict[str, Any]], bool]] = {
    1: lambda s: s.get("guidance_scale") not in (None, 1),
    2: lambda s: s.get("sequence_bias") is not None,
    3: lambda s: s.get("encoder_repetition_penalty") not in (None, 1),
    4: lambda s: s.get("repetition_penalty") not in (None, 1),
    5: lambda s: (s.get("no_repeat_ngram_size") or 0) > 0,
    6: lambda s: (s.get("encoder_no_repeat_ngram_size") or 0) > 0,
    7: lambda s: s.get("bad_words_ids") is not None,
    8: lambda s: (s.get("min_length") or 0) > 0 and s.get("eos_token_id") is not None,
    9: lambda s: (s.get("min_new_tokens") or 0) > 0 and s.get("eos_token_id") is not None,
    11: lambda s: s.get("forced_bos_token_id") is not None,
    12: lambda s: s.get("forced_eos_token_id") is not None,
    13: lambda s: bool(s.get("remove_invalid_values")),
    14: lambda s: s.get("exponential_decay_length_penalty") is not None,
    15: lambda s: s.get("suppress_tokens") is not None,
    16: lambda s: s.get("begin_suppress_tokens") is not None,
    18: lambda s: bool(s.get("do_sample")) and s.get("temperature") not in (None, 1),
    19: lambda s: bool(s.get("do_sample")) and s.get("top_h") is not None,
    20: lambda s: bool(s.get("do_sample")) and s.get("top_k", 50) not in (None, 0),
    21: lambda s: bool(s.get("do_sample")) and (s.get("top_p") or 1) < 1,
    22: lambda s: bool(s.get("do_sample")) and s.get("min_p") is not None,
    23: lambda s: bool(s.get("do_sample")) and (s.get("typical_p") or 1) < 1,
    24: lambda s: bool(s.get("do_sample")) and (s.get("epsilon_cutoff") or 0) > 0,
    25: lambda s: bool(s.get("do_sample")) and (s.get("eta_cutoff") or 0) > 0,
    26: lambda s: s.get("watermarking_config") is not None,
    27: lambda s: bool(s.get("renormalize_logits")),
}  # of settings that are on; numbers are the `place` of processors


def _is_own(item: Any) -> bool:
    """One of the classes above, not one derived from them."""
    return isinstance(item, _Processor) and type(item).__module__ == __name__


def _like_ours(item: Any, made: set[int]) -> Any:
    """For an object of Transformers' own class that takes the place of what a setting makes, ours with the same arguments."""
    ours = globals().get(type(item).__name__)
    if type(item).__module__ != "transformers.generation.logits_process" or ours is None or ours.place not in made:
        return item
    import inspect

    names = [name for name in inspect.signature(ours.__init__).parameters if name not in ("self", "device")]
    if ours.place >= _FIRST_WARPER or not all(hasattr(item, name) for name in names):
        return item
    return ours(**{name: _tensors.to_list(getattr(item, name)) for name in names})


def _fits(item: _Processor, settings: dict[str, Any], width: int, padded: bool) -> bool:
    """Whether the setting means the same in this call: prompts of that length, on the left of which there is padding or not."""
    if item.n_prompt not in (None, width) or item.filter_value != float("-inf") or hasattr(item, "encoder_input_ids"):
        return False
    if "max_length" in item.settings:  # it is about this processor alone
        return False
    if "eos_token_id" in item.settings or isinstance(item, NoBadWordsLogitsProcessor):
        own, others = item.settings.get("eos_token_id"), settings.get("eos_token_id")
        if (own is None) != (others is None) or (own is not None and _ends(own) != _ends(others)):
            return False
    return not (padded and item.settings.get("prompt_ignore_length"))


def _keeps_more(item: Any, settings: dict[str, Any]) -> bool:
    return (settings.get("num_beams") or 1) > 1 or item.settings.get("min_tokens_to_keep", 1) > 1
