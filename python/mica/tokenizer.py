"""Tokenizers with the calls of Transformers: text to ids and back, padding, truncation, conversations.

The work is the C library's; what is here is the shapes that Python programs expect. A tokenizer is read-only for the
threads that use it; only setting its attributes needs care.
"""

from __future__ import annotations

import json
import os
import warnings
from ctypes import byref, c_char_p, c_size_t, c_void_p, pointer, string_at
from pathlib import Path
from typing import Any, Callable, Optional, Union

from . import _files, _hub, _lib, _log, _tensors, _texts
from ._encoding import AddedToken, BatchEncoding, Encoding
from ._lib import C, call

NO_LIMIT = int(1e30)  # model_max_length of a tokenizer that says nothing
_LARGE = int(1e20)
_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_ADD_SPECIAL, _SPLIT_SPECIAL = 1, 2
# Fields of tokenizer_config.json that are attributes, with their defaults.
_ATTRIBUTES: dict[str, Any] = {
    "model_max_length": None,
    "padding_side": "right",
    "truncation_side": "right",
    "clean_up_tokenization_spaces": False,
    "split_special_tokens": False,
    "model_input_names": None,
    "chat_template": None,
}
_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
)
_NO_PADDING, _LONGEST, _MAX_LENGTH = "do_not_pad", "longest", "max_length"
_NO_CUT, _LONGEST_FIRST, _ONLY_FIRST, _ONLY_SECOND = _texts.STRATEGIES


class Tokenizer:
    """A tokenizer as `AutoTokenizer.from_pretrained` returns it."""

    is_fast = True
    model_max_length: int
    model_input_names: list[str]
    padding_side: str
    truncation_side: str
    clean_up_tokenization_spaces: bool
    split_special_tokens: bool
    chat_template: Any

    def __init__(self, path: str, name_or_path: Optional[str] = None, **overrides: Any):
        self._path = path
        self.name_or_path = name_or_path or path
        self.init_kwargs = dict(overrides)
        text = _lib.checkpoint_text(path, "tokenizer_config.json")
        config = json.loads(text) if text else {}
        if not isinstance(config, dict):
            raise ValueError(f"{path}: tokenizer_config.json is not an object")
        changed = {k: _plain_token(v) for k, v in overrides.items()}
        self._changed = bool(changed)
        config.update(changed)
        self._config = config
        self._load()
        self._special: dict[str, Optional[str]] = {}
        self._read_roles()
        for name, default in _ATTRIBUTES.items():
            setattr(self, name, config.get(name, default))
        if self.model_max_length is None:
            self.model_max_length = NO_LIMIT
        if not self.model_input_names:
            self.model_input_names = ["input_ids", "attention_mask"]
        # Only who asks for them in a program changes what tokenizer.json says about the tokens round a text.
        self._frame: Optional[tuple[bool, bool]] = None
        for name in ("padding_side", "truncation_side"):
            if getattr(self, name) not in ("left", "right"):
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected 'left' or 'right'")
        if "add_bos_token" in overrides or "add_eos_token" in overrides:
            self._frame = bool(overrides.get("add_bos_token")), bool(overrides.get("add_eos_token"))
        self._own_template = "chat_template" in overrides
        self._template: Optional[_lib.Handle] = None
        self._templates: dict[str, _lib.Handle] = {}
        file_template = _lib.checkpoint_text(path, "chat_template.jinja") if not self._own_template else None
        if file_template:
            self.chat_template = file_template
        self._file_template = self.chat_template

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: what is C's is made anew."""
        return {**self.__dict__, "_handle": None, "_vocab": None, "_template": None, "_templates": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._load()

    # ---- loading and saving ----

    def _load(self) -> None:
        made = c_void_p()
        path = self._path
        if self._changed:
            text = _lib.utf8(_lib.checkpoint_text(path, "tokenizer.json") or "")
            config = json.dumps(self._config).encode()
            call(C.mica_tokenizer_create, byref(made), text, len(text), config, len(config))
        else:
            call(C.mica_tokenizer_load, byref(made), os.fsencode(path))
        self._handle = _lib.Handle(made, C.mica_tokenizer_free, plain=True)
        self._vocab: Optional[dict[str, int]] = None

    def _read_roles(self) -> None:
        token = c_char_p()
        i = 0
        self._special = {role: None for role in _ROLES}
        while True:
            role = C.mica_tokenizer_special_at(self._handle.value, i, byref(token))
            if not role:
                return
            self._special[role.decode()] = (token.value or b"").decode("utf-8", "replace")
            i += 1

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Union[str, os.PathLike[str]], *inputs: Any, **kwargs: Any) -> Any:
        """From a folder, a .gguf file or a Hub id. Keyword arguments override entries of tokenizer_config.json."""
        name = os.fspath(pretrained_model_name_or_path)
        path = _hub.resolve(name, kwargs, what="tokenizer")
        for ignored in ("use_fast", "tokenizer_type", "config", "_from_auto", "fix_mistral_regex", "legacy", "device_map"):
            kwargs.pop(ignored, None)
        return cls(path, name, **kwargs)

    def save_pretrained(
        self,
        save_directory: Union[str, os.PathLike[str]],
        legacy_format: Optional[bool] = None,
        filename_prefix: Optional[str] = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> tuple[str, ...]:
        """Writes tokenizer.json, tokenizer_config.json and the chat template; returns the files written."""
        folder = Path(save_directory)
        if folder.is_file():
            raise ValueError(f"{folder} is a file; a tokenizer is saved to a folder")
        folder.mkdir(parents=True, exist_ok=True)
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        source = Path(self._path)
        written = []
        for name in _FILES:
            target = folder / (prefix + name)
            text: Optional[str] = None
            if name == "tokenizer_config.json":
                text = json.dumps(self._saved_config(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
            elif name == "chat_template.jinja":
                text = self.chat_template if isinstance(self.chat_template, str) else None
            elif name == "tokenizer.json" and not source.is_dir():
                text = _lib.checkpoint_text(self._path, name)
            elif (source / name).is_file():
                if not target.exists() or not os.path.samefile(source / name, target):
                    _files.copy(source / name, target)
                written.append(str(target))
            if text is not None:
                _files.write_text(target, text)
                written.append(str(target))
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", folder.name), **kwargs)
        return tuple(written)

    def _saved_config(self) -> dict[str, Any]:
        config = dict(self._config)
        config.pop("chat_template", None)
        for name in ("padding_side", "truncation_side", "model_max_length"):
            if name in config or getattr(self, name) != (_ATTRIBUTES[name] or NO_LIMIT):
                config[name] = getattr(self, name)
        for role, token in self._special.items():
            if token is not None and str(_plain_token(config.get(role))) != token:
                config[role] = token
        config.setdefault("tokenizer_class", "PreTrainedTokenizerFast")
        return config

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Uploads the tokenizer's files to a repository of the Hub."""
        return _hub.push(self, repo_id, **kwargs)

    # ---- vocabulary ----

    @property
    def vocab_size(self) -> int:
        """Tokens of the model's vocabulary, without added ones."""
        return int(C.mica_tokenizer_vocab_size(self._handle.value))

    @property
    def is_bpe(self) -> bool:
        """Tokens join without spaces that would have to be cleaned up."""
        return bool(C.mica_tokenizer_model_type(self._handle.value) == b"BPE")

    def __len__(self) -> int:
        return len(self._all())

    def __bool__(self) -> bool:
        return True

    def _all(self) -> dict[str, int]:
        if self._vocab is None:
            ids = range(C.mica_tokenizer_size(self._handle.value))
            tokens = ((self._token(i), i) for i in ids)
            self._vocab = {token: i for token, i in tokens if token is not None}
        return self._vocab

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id, added ones too."""
        return dict(self._all())

    @property
    def vocab(self) -> dict[str, int]:
        return self.get_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        found: dict[int, AddedToken] = {}
        info = _lib.AddedTokenInfo()
        i = 0
        while C.mica_tokenizer_added_at(self._handle.value, i, byref(info)):
            content = string_at(info.content, info.n).decode("utf-8", "replace")
            found[info.id] = AddedToken(
                content, info.single_word, info.lstrip, info.rstrip, info.normalized, info.special
            )
            i += 1
        return dict(sorted(found.items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        return {token.content: i for i, token in self.added_tokens_decoder.items()}

    def get_added_vocab(self) -> dict[str, int]:
        return self.added_tokens_encoder

    def _token(self, i: int) -> Optional[str]:
        n = c_size_t()
        found = C.mica_tokenizer_token(self._handle.value, i, byref(n))
        return string_at(found, n.value).decode("utf-8", "replace") if found else None

    def _id(self, token: str) -> Optional[int]:
        text = _lib.utf8(token)
        i = C.mica_tokenizer_id(self._handle.value, text, len(text))
        if i >= 0:
            return int(i)
        unknown: Optional[int] = None if token == self.unk_token else self.unk_token_id
        return unknown

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Id of a token, or ids of a list of them; the unknown token's for one that is not there."""
        if tokens is None:
            return None
        return self._id(tokens) if isinstance(tokens, str) else [self._id(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Token of an id, or tokens of a list of them."""
        ids = _tensors.to_list(ids)
        if isinstance(ids, int):
            return self._token(ids)
        special = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._token(int(i)) for i in ids if int(i) not in special]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return str(self.decode([i for i in self.convert_tokens_to_ids(tokens) if i is not None]))

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Adds tokens that are then found in the text as a whole; returns how many are new."""
        tokens = [new_tokens] if isinstance(new_tokens, (str, AddedToken)) else list(new_tokens)
        before = set(self._all())
        decoder = {
            str(i): {k: v for k, v in vars(t).items()} for i, t in self.added_tokens_decoder.items()
        }
        free = C.mica_tokenizer_size(self._handle.value)
        fresh = 0
        for token in tokens:
            made = token if isinstance(token, AddedToken) else AddedToken(token, special=special_tokens)
            if not made.content or made.content in self.added_tokens_encoder:
                continue
            known = made.content in before
            key = self._all()[made.content] if known else free + fresh
            decoder[str(key)] = dict(vars(made))
            fresh += not known
        self._config["added_tokens_decoder"] = decoder
        self._changed = True
        self._load()
        return len(set(self._all()) - before)

    def add_special_tokens(self, special_tokens_dict: dict[str, Any], replace_extra_special_tokens: bool = True) -> int:
        """Names special tokens ({"pad_token": "<pad>"}), and adds those that are not in the vocabulary."""
        added = 0
        lists = ("additional_special_tokens", "extra_special_tokens")
        known = (*_ROLES, *lists, *self._special)
        for role in special_tokens_dict:
            if role not in known:
                raise ValueError(f"{role} is no special token, expected one of {', '.join(dict.fromkeys(known))}")
        for role, value in sorted(special_tokens_dict.items(), key=lambda item: item[0] in lists):
            values = list(value) if isinstance(value, (list, tuple)) else [value]
            unknown = [v for v in values if str(v) not in self._all()]
            if unknown:
                made = [v if isinstance(v, AddedToken) else AddedToken(v, special=True) for v in unknown]
                added += self.add_tokens(made, special_tokens=True)
            if role not in lists:
                self._special[role] = str(value)
                continue
            before = [] if replace_extra_special_tokens else self._config.get("extra_special_tokens") or []
            self._config.pop("additional_special_tokens", None)
            self._config["extra_special_tokens"] = list(dict.fromkeys([*before, *map(str, values)]))
        return added

    # ---- special tokens ----

    @property
    def special_tokens_map(self) -> dict[str, str]:
        return {role: token for role, token in self._special.items() if token is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        named = list(self.special_tokens_map.values())
        named += [str(t) for t in self._config.get("additional_special_tokens") or []]
        extra = self._config.get("extra_special_tokens")
        named += [str(_plain_token(t)) for t in extra] if isinstance(extra, list) else []
        return list(dict.fromkeys(named))

    @property
    def all_special_ids(self) -> list[int]:
        return [i for i in self.convert_tokens_to_ids(self.all_special_tokens) if i is not None]

    def __getattr__(self, name: str) -> Any:
        special = self.__dict__.get("_special")
        if special is not None:
            if name in special:
                return special[name]
            if name.endswith("_id") and name[:-3] in special:
                token = special[name[:-3]]
                return None if token is None else self.convert_tokens_to_ids(token)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        special = self.__dict__.get("_special")
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        elif special is not None and (name in special or name.endswith("_token")):
            special[name] = None if value is None else str(value)
        elif special is not None and name.endswith("_token_id"):
            special[name[:-3]] = None if value is None else self.convert_ids_to_tokens(int(value))
        else:
            object.__setattr__(self, name, value)

    @property
    def add_bos_token(self) -> bool:
        return self._frame is not None and self._frame[0]

    @add_bos_token.setter
    def add_bos_token(self, value: bool) -> None:
        self._frame = bool(value), self.add_eos_token

    @property
    def add_eos_token(self) -> bool:
        return self._frame is not None and self._frame[1]

    @add_eos_token.setter
    def add_eos_token(self, value: bool) -> None:
        self._frame = self.add_bos_token, bool(value)

    def _frame_ids(self) -> tuple[list[int], list[int]]:
        """What goes before and after each text."""
        before = [self.bos_token_id] if self.add_bos_token and self.bos_token_id is not None else []
        after = [self.eos_token_id] if self.add_eos_token and self.eos_token_id is not None else []
        return before, after

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: Any = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        if already_has_special_tokens:
            special = set(self.all_special_ids)
            return [int(i in special) for i in token_ids_0]
        sources = self._wrap(token_ids_0, token_ids_1, True)[2]
        return [int(s < 0) for s in sources]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        return len(self._wrap([], [] if pair else None, True)[0])

    def build_inputs_with_special_tokens(self, token_ids_0: list[int], token_ids_1: Any = None) -> list[int]:
        return self._wrap(token_ids_0, token_ids_1, True)[0]

    # ---- encoding ----

    def _encode(self, text: str, split_special: bool) -> list[int]:
        data = _lib.utf8(text)
        ids = _lib.Ids()
        flags = _SPLIT_SPECIAL if split_special else 0
        call(C.mica_tokenizer_encode, self._handle.value, data, len(data), flags, byref(ids))
        return _lib.take_ids(ids)

    def _places(self, text: str, split_special: bool) -> list[tuple[int, int, int]]:
        """Where the ids of a text stand: first character, end, and word of each."""
        data = _lib.utf8(text)
        ids, numbers = _lib.Ids(), _lib.Ids()
        flags = _SPLIT_SPECIAL if split_special else 0
        try:
            call(C.mica_tokenizer_encode_offsets, self._handle.value, data, len(data), flags, byref(ids), byref(numbers))
        finally:
            C.mica_ids_release(byref(ids))
        flat = _lib.take_ids(numbers)
        return list(zip(flat[::3], flat[1::3], flat[2::3]))

    def _wrap(self, a: list[int], b: Optional[list[int]], special: bool) -> tuple[list[int], list[int], list[int]]:
        """The ids of one or two texts with special tokens round them, their types, and which text they are from."""
        if special and self._frame is not None:
            return _framed(a, b, *self._frame_ids())
        if not special:
            second = b or []
            return a + second, [0] * len(a) + [1] * len(second), [0] * len(a) + [1] * len(second)
        out, types, sources = _lib.Ids(), _lib.Ids(), _lib.Ids()
        pointer_b, n_b = (None, 0) if b is None else (_lib.ids_array(b), len(b))
        call(
            C.mica_tokenizer_wrap,
            self._handle.value,
            _lib.ids_array(a),
            len(a),
            pointer_b,
            n_b,
            byref(out),
            byref(types),
            byref(sources),
        )
        return _lib.take_ids(out), _lib.take_ids(types), _lib.take_ids(sources)

    def _strategies(self, padding: Any, truncation: Any, max_length: Optional[int], multiple: Optional[int]) -> tuple[str, str, Optional[int]]:
        """The names of the strategies, and the length that they need."""
        if max_length is not None and padding is False and truncation is None:
            truncation = _LONGEST_FIRST
        pad = _LONGEST if padding is True else _NO_PADDING if not padding else str(getattr(padding, "value", padding))
        cut = _LONGEST_FIRST if truncation is True else _NO_CUT if not truncation else str(getattr(truncation, "value", truncation))
        if pad not in (_NO_PADDING, _LONGEST, _MAX_LENGTH):
            raise ValueError(f"padding is {padding!r}, expected True, False, 'longest', 'max_length' or 'do_not_pad'")
        if cut not in (_NO_CUT, _LONGEST_FIRST, _ONLY_FIRST, _ONLY_SECOND):
            raise ValueError(
                f"truncation is {truncation!r}, expected True, False, 'longest_first', 'only_first', 'only_second' or "
                "'do_not_truncate'"
            )
        if pad == _LONGEST and padding is True and max_length is not None and cut == _NO_CUT:
            warnings.warn("max_length has no effect with padding=True and no truncation; padding='max_length' pads to it")
        if max_length is None and (pad == _MAX_LENGTH or cut != _NO_CUT):
            if self.model_max_length > _LARGE:
                pad = _NO_PADDING if pad == _MAX_LENGTH else pad
                cut = _NO_CUT
            else:
                max_length = self.model_max_length
        if pad != _NO_PADDING and (self.pad_token is None or self.pad_token_id is None):
            raise ValueError(
                "there is no padding token to pad with: set one, such as tokenizer.pad_token = tokenizer.eos_token, or add "
                "one with tokenizer.add_special_tokens({'pad_token': '[PAD]'})"
            )
        if cut != _NO_CUT and pad != _NO_PADDING and multiple and max_length is not None and max_length % multiple:
            raise ValueError(f"max_length {max_length} is not a multiple of pad_to_multiple_of {multiple}")
        return pad, cut, max_length

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        padding: Any = False,
        truncation: Any = None,
        max_length: Optional[int] = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: Optional[int] = None,
        padding_side: Optional[str] = None,
        return_tensors: Any = None,
        return_token_type_ids: Optional[bool] = None,
        return_attention_mask: Optional[bool] = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: Optional[bool] = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Encodes a text, a list of texts, or pairs of them."""
        if text is None and text_target is None:
            raise ValueError("neither text nor text_target is given")
        options = {k: v for k, v in locals().items() if k not in ("self", "text", "text_pair", "text_target", "text_pair_target", "kwargs")}
        if kwargs:
            _log.warning("the tokenizer does not know %s; ignored", ", ".join(sorted(kwargs)))
        encoded = self._encode_all(text, text_pair, **options) if text is not None else None
        if text_target is None:
            assert encoded is not None
            return encoded
        target = self._encode_all(text_target, text_pair_target, **options)
        if encoded is None:
            return target
        encoded["labels"] = target["input_ids"]
        return encoded

    def _encode_all(
        self,
        text: Any,
        text_pair: Any,
        add_special_tokens: bool,
        padding: Any,
        truncation: Any,
        max_length: Optional[int],
        stride: int,
        is_split_into_words: bool,
        pad_to_multiple_of: Optional[int],
        padding_side: Optional[str],
        return_tensors: Any,
        return_token_type_ids: Optional[bool],
        return_attention_mask: Optional[bool],
        return_overflowing_tokens: bool,
        return_special_tokens_mask: bool,
        return_offsets_mapping: bool,
        return_length: bool,
        verbose: bool,
        split_special_tokens: Optional[bool],
    ) -> BatchEncoding:
        batched, pairs = _texts.pairs(text, text_pair, is_split_into_words)
        pad, cut, length = self._strategies(padding, truncation, max_length, pad_to_multiple_of)
        split = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        rows = []
        samples = []  # the text that a row is from
        for sample, (first, second) in enumerate(pairs):
            a = _texts.Part(self, first, is_split_into_words, split)
            b = None if second is None else _texts.Part(self, second, is_split_into_words, split)
            windows = _texts.whole(a, b)
            if cut != _NO_CUT and length is not None:
                extra = self.num_special_tokens_to_add(b is not None) if add_special_tokens else 0
                windows = _texts.cut(a, b, length - extra, cut, stride, self.truncation_side == "right")
            for one, other in windows if return_overflowing_tokens else windows[:1]:
                ids, types, sources = self._wrap(one.ids, other.ids if other else None, add_special_tokens)
                rows.append(Encoding(self, ids, types, [1] * len(ids), sources, (one, other)))
                samples.append(sample)
        if verbose and length is None and rows:
            self._warn_about_length(max(len(r) for r in rows))
        self._pad_rows(rows, pad, length, pad_to_multiple_of, padding_side)
        names = self.model_input_names
        data: dict[str, Any] = {"input_ids": [r.ids for r in rows]}
        if "token_type_ids" in names if return_token_type_ids is None else return_token_type_ids:
            data["token_type_ids"] = [r.type_ids for r in rows]
        if "attention_mask" in names if return_attention_mask is None else return_attention_mask:
            data["attention_mask"] = [r.attention_mask for r in rows]
        if return_special_tokens_mask:
            data["special_tokens_mask"] = [r.special_tokens_mask for r in rows]
        if return_offsets_mapping:
            data["offset_mapping"] = [r.offsets for r in rows]
        if return_length:
            data["length"] = [len(r) for r in rows]
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = samples
        elif not batched and return_tensors is None:
            data = {k: v[0] if isinstance(v[0], list) else v for k, v in data.items()}
        return BatchEncoding(data, rows, return_tensors)

    def _warn_about_length(self, n: int) -> None:
        if n > self.model_max_length:
            _log.warning("a text of %d tokens is longer than this model's limit of %d", n, self.model_max_length)

    def _pad_rows(self, rows: list[Encoding], pad: str, length: Optional[int], multiple: Optional[int], side: Optional[str]) -> None:
        if pad == _NO_PADDING or not rows:
            return
        side = side or self.padding_side
        if side not in ("left", "right"):
            raise ValueError(f"padding_side is {side!r}, expected 'left' or 'right'")
        target = max(len(r) for r in rows) if pad == _LONGEST or length is None else length
        if multiple:
            target = (target + multiple - 1) // multiple * multiple
        for row in rows:
            n = target - len(row)
            if n > 0:
                row.pad(n, self.pad_token_id, side == "left")

    def encode(self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **kwargs: Any) -> Any:
        """The ids of a text: a list, or a tensor with return_tensors."""
        return self(text, text_pair, add_special_tokens=add_special_tokens, **kwargs)["input_ids"]

    def encode_plus(self, text: Any, text_pair: Any = None, **kwargs: Any) -> BatchEncoding:
        return self(text, text_pair, **kwargs)

    def batch_encode_plus(self, batch_text_or_text_pairs: Any, **kwargs: Any) -> BatchEncoding:
        return self(batch_text_or_text_pairs, **kwargs)

    def tokenize(self, text: str, pair: Optional[str] = None, add_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        """The tokens of a text."""
        return self(text, pair, add_special_tokens=add_special_tokens, **kwargs).tokens()

    def pad(
        self,
        encoded_inputs: Any,
        padding: Any = True,
        max_length: Optional[int] = None,
        pad_to_multiple_of: Optional[int] = None,
        padding_side: Optional[str] = None,
        return_attention_mask: Optional[bool] = None,
        return_tensors: Any = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pads what was encoded before: one dictionary of lists, or a list of dictionaries."""
        if isinstance(encoded_inputs, (list, tuple)):
            keys = encoded_inputs[0].keys()
            encoded_inputs = {k: [_tensors.to_list(example[k]) for example in encoded_inputs] for k in keys}
        data = {k: _tensors.to_list(v) for k, v in encoded_inputs.items()}
        if "input_ids" not in data:
            raise ValueError(f"there is no input_ids to pad, only {', '.join(data)}")
        single = not data["input_ids"] or not isinstance(data["input_ids"][0], list)
        if single:
            data = {k: [v] for k, v in data.items()}
        pad, _, length = self._strategies(padding, False, max_length, pad_to_multiple_of)
        n = [len(ids) for ids in data["input_ids"]]
        if return_attention_mask is not False and "attention_mask" not in data:
            data["attention_mask"] = [[1] * k for k in n]
        target = max(n) if pad == _LONGEST or length is None else length
        if pad_to_multiple_of:
            target = (target + pad_to_multiple_of - 1) // pad_to_multiple_of * pad_to_multiple_of
        fill = {"input_ids": self.pad_token_id, "special_tokens_mask": 1, "labels": -100}
        left = (padding_side or self.padding_side) == "left"
        if pad != _NO_PADDING:
            for key, rows in data.items():
                if isinstance(rows[0], list) and [len(r) for r in rows] == n:
                    added = [[fill.get(key, 0)] * max(0, target - k) for k in n]
                    data[key] = [extra + row if left else row + extra for extra, row in zip(added, rows)]
        if single and return_tensors is None:
            data = {k: v[0] for k, v in data.items()}
        return BatchEncoding(data, tensor_type=return_tensors)

    # ---- decoding ----

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: Optional[bool] = None,
        **kwargs: Any,
    ) -> Any:
        """The text of a sequence of ids, or the texts of a batch of them."""
        if hasattr(token_ids, "keys"):
            token_ids = token_ids["input_ids"]
        ids = _tensors.to_list(token_ids)
        if isinstance(ids, int):
            ids = [ids]
        if not isinstance(ids, list):
            raise TypeError(f"decode takes ids, or a batch of them, found {type(token_ids).__name__}")
        if ids and hasattr(ids[0], "tolist"):
            ids = _tensors.to_list(ids)
        if ids and isinstance(ids[0], list):
            return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces, **kwargs) for row in ids]
        text = self._decode(ids, skip_special_tokens)
        clean = self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        if clean and not self.is_bpe:
            text = self.clean_up_tokenization(text)
        return text

    def _decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        out = _lib.Text()
        call(C.mica_tokenizer_decode, self._handle.value, _lib.ids_array(ids), len(ids), skip_special_tokens, byref(out))
        return _lib.take_text(out)

    def _stream(self, skip_special_tokens: bool) -> "_DecodeStream":
        return _DecodeStream(self._handle, skip_special_tokens)

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        """The text of each sequence."""
        if hasattr(sequences, "keys"):
            sequences = sequences["input_ids"]
        texts = self.decode(sequences, skip_special_tokens, **kwargs)
        return [texts] if isinstance(texts, str) and len(sequences) else list(texts)

    @staticmethod
    def clean_up_tokenization(text: str) -> str:
        """Takes away the spaces that a word-piece tokenizer leaves before punctuation and contractions."""
        for mark in (".", "?", "!", ",", "'s", "'ve", "'re", "n't", "'m"):
            text = text.replace(" " + mark, mark)
        return text.replace(" ' ", "'")

    # ---- conversations ----

    def get_chat_template(self, chat_template: Optional[str] = None, tools: Any = None) -> str:
        """The template to use: the one given (its text, or its name where the model has several), else the model's."""
        own = self.chat_template
        if isinstance(own, list):
            own = {entry["name"]: entry["template"] for entry in own}
        if isinstance(own, dict):
            name = chat_template if chat_template in own else None
            if name is None and chat_template is not None:
                return chat_template
            name = name or ("tool_use" if tools is not None and "tool_use" in own else "default")
            if name not in own:
                raise ValueError(f"this model has the templates {', '.join(sorted(own))}; name one with chat_template=")
            return str(own[name])
        template = chat_template if chat_template is not None else own
        if template is None:
            raise ValueError(
                "this tokenizer has no chat template: set tokenizer.chat_template, or give one with chat_template="
            )
        return str(template)

    def _compiled(self, source: str) -> _lib.Handle:
        handle = self._templates.get(source)
        if handle is None:
            made = c_void_p()
            text = _lib.utf8(source)
            call(C.mica_chat_template_create, byref(made), text, len(text), None)
            handle = self._templates[source] = _lib.Handle(made, C.mica_chat_template_free, plain=True)
        return handle

    def _render(self, template: _lib.Handle, variables: dict[str, Any]) -> tuple[str, list[tuple[int, int]]]:
        """The prompt, and the characters of it that an assistant said (where the template tells)."""
        text = _lib.utf8(json.dumps(variables, ensure_ascii=False, default=_json_value))
        out, generated = _lib.Text(), _lib.Ids()
        options = _lib.ChatTemplateOptions()
        if not variables.get("continue_final_message"):
            options.generated = pointer(generated)
        call(C.mica_chat_template_render, template.value, text, len(text), byref(options), byref(out))
        spans = _lib.take_ids(generated)
        return _lib.take_text(out), list(zip(spans[::2], spans[1::2]))

    def apply_chat_template(
        self,
        conversation: Any,
        tools: Optional[list[Union[dict[str, Any], Callable[..., Any]]]] = None,
        documents: Optional[list[dict[str, str]]] = None,
        chat_template: Optional[str] = None,
        add_generation_prompt: bool = False,
        continue_final_message: Union[bool, str] = False,
        tokenize: bool = True,
        padding: Any = False,
        truncation: bool = False,
        max_length: Optional[int] = None,
        return_tensors: Any = None,
        return_dict: bool = True,
        return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: Optional[dict[str, Any]] = None,
        **kwargs: Any,
    ) -> Any:
        """The prompt of a conversation, or of a list of them: encoded, or as text with tokenize=False."""
        if return_assistant_tokens_mask and not (return_dict and tokenize):
            raise ValueError("return_assistant_tokens_mask needs return_dict=True and tokenize=True")
        if return_assistant_tokens_mask and continue_final_message:
            raise ValueError("return_assistant_tokens_mask and continue_final_message exclude each other")
        if continue_final_message and add_generation_prompt:
            raise ValueError("continue_final_message and add_generation_prompt exclude each other")
        template = self._compiled(self.get_chat_template(chat_template, tools))
        if isinstance(conversation, (list, tuple)) and not conversation:
            raise ValueError("the conversation is empty: a template needs at least one message")
        first = conversation[0] if isinstance(conversation, (list, tuple)) else conversation
        batched = isinstance(first, (list, tuple)) or hasattr(first, "messages")
        shared: dict[str, Any] = {**self.special_tokens_map, **kwargs}
        shared["tools"] = None if tools is None else [_tool_schema(tool) for tool in tools]
        shared["documents"] = documents
        shared["add_generation_prompt"] = add_generation_prompt
        shared["continue_final_message"] = continue_final_message
        prompts, spoken = [], []
        for messages in conversation if batched else [conversation]:
            messages = getattr(messages, "messages", messages)
            prompt, spans = self._render(template, {**shared, "messages": messages})
            prompts.append(prompt)
            spoken.append(spans)
        texts = prompts if batched else prompts[0]
        if not tokenize:
            return texts
        encoded = self(
            texts,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            add_special_tokens=False,
            return_tensors=return_tensors,
            **(tokenizer_kwargs or {}),
        )
        if return_assistant_tokens_mask:
            masks = [_texts.mask_of(row, spans) for row, spans in zip(encoded.encodings or [], spoken)]
            encoded["assistant_masks"] = masks if batched or return_tensors else masks[0]
            encoded.convert_to_tensors(return_tensors)
        return encoded if return_dict else encoded["input_ids"]

    # ---- the rest ----

    def __repr__(self) -> str:
        limit = self.model_max_length
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={limit}, padding_side={self.padding_side!r}, special_tokens={self.special_tokens_map})"
        )


class _DecodeStream(_lib.Handle):
    """Text of ids that come one by one, never half a character."""

    __slots__ = ("_tokenizer", "_text", "_n", "_out")

    def __init__(self, tokenizer: _lib.Handle, skip_special_tokens: bool):
        made = c_void_p()
        call(C.mica_decode_stream_create, byref(made), tokenizer.value, skip_special_tokens)
        super().__init__(made, C.mica_decode_stream_free, plain=True)
        self._tokenizer = tokenizer  # lives at least as long
        self._text, self._n = c_void_p(), c_size_t()
        self._out = byref(self._text), byref(self._n)

    def push(self, i: int) -> str:
        call(C.mica_decode_stream_push, self.pointer, i, *self._out)
        return string_at(self._text, self._n.value).decode("utf-8", "replace") if self._n.value else ""

    def flush(self) -> str:
        call(C.mica_decode_stream_flush, self.pointer, *self._out)
        return string_at(self._text, self._n.value).decode("utf-8", "replace") if self._n.value else ""


def _framed(
    a: list[int], b: Optional[list[int]], before: list[int], after: list[int]
) -> tuple[list[int], list[int], list[int]]:
    """As Tokenizer._wrap, with the same tokens round each text."""
    ids, types, sources = [], [], []
    for k, text in enumerate([a] if b is None else [a, b]):
        ids += before + text + after
        types += [k] * (len(before) + len(text) + len(after))
        sources += [-1] * len(before) + [k] * len(text) + [-1] * len(after)
    return ids, types, sources


def _plain_token(value: Any) -> Any:
    """A token as tokenizer_config.json writes it."""
    if isinstance(value, dict) and "content" in value:
        return value["content"]
    return str(value) if type(value).__name__ == "AddedToken" else value


def _json_value(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "model_dump"):
        return value.model_dump()
    raise TypeError(f"a chat template cannot be given a {type(value).__name__}")


def _tool_schema(tool: Any) -> Any:
    if callable(tool):
        from ._tools import function_schema

        return function_schema(tool)
    if isinstance(tool, dict):
        return tool
    raise ValueError("tools have to be functions or JSON schemas (dict)")


class AutoTokenizer:
    """Makes tokenizers: `AutoTokenizer.from_pretrained(folder, .gguf file or Hub id)`."""

    def __init__(self) -> None:
        raise OSError("AutoTokenizer is made with AutoTokenizer.from_pretrained(...)")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Union[str, os.PathLike[str]], *inputs: Any, **kwargs: Any) -> Tokenizer:
        made: Tokenizer = Tokenizer.from_pretrained(pretrained_model_name_or_path, *inputs, **kwargs)
        return made
