"""Models: loading, generate, the logits of a call, saving.

A model is used by any number of threads at once; each call of generate takes a set of caches of its own out of a pool, and a
prompt that begins like an earlier one costs only what is new in it.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from ctypes import byref, c_void_p
from typing import Any, Optional, Union

from . import _engine, _generate, _hub, _lib, _tensors
from ._lib import C, call
from .configuration import PretrainedConfig
from .generation_config import GenerationConfig
from .outputs import CausalLMOutputWithPast
from .quantization import recipe

logger = logging.getLogger("mica")

# Arguments of from_pretrained that choose among what only other engines have. They have no effect.
_WITHOUT_EFFECT = (
    "attn_implementation", "low_cpu_mem_usage", "use_safetensors", "max_memory", "offload_folder", "offload_buffers",
    "offload_state_dict", "experts_implementation", "weights_only", "disable_mmap", "use_kernels", "kernel_config", "allow_all_kernels",
    "fusion_config", "from_tf", "from_flax", "_fast_init", "_from_auto", "_from_pipeline", "ignore_mismatched_sizes", "adapter_kwargs",
    "adapter_name", "use_flash_attention_2", "use_auth_token", "tp_plan", "device_mesh", "distributed_config",
)  # fmt: skip
_REFUSED = ("state_dict", "key_mapping", "variant")
_OWN_DEVICES = ("mlx", "auto", "cpu", "balanced", "balanced_low_0", "sequential")
_PRECISIONS = {"fast": 0, "exact": 1, "int8": 2}
_DTYPES = ("auto", "float32", "bfloat16", "float16")


class Device(str):
    """Where a model is: a string with torch.device's type, for programs without torch."""

    @property
    def type(self) -> str:
        return self.split(":")[0]


def _dtype_name(dtype: Any) -> str:
    """ "float32" for a torch dtype, a name of it or None ("auto")."""
    name = "auto" if dtype is None else str(dtype).replace("torch.", "")
    name = {"half": "float16", "float": "float32", "fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}.get(name, name)
    if name not in _DTYPES:
        raise ValueError(f"dtype is {dtype!r}, expected 'auto', 'float32', 'bfloat16' or 'float16'")
    return name


def _device_name(device_map: Any) -> Optional[str]:
    """The device that a device_map asks for; None: the one the library chooses."""
    if isinstance(device_map, dict):
        places = {str(v) for v in device_map.values()}
        if len(places) != 1:
            raise ValueError("a model is on one device here: device_map can only name one")
        device_map = places.pop()
    name = "auto" if device_map is None else str(device_map)
    return None if name in _OWN_DEVICES else name


class MicaForCausalLM(_generate.GenerationMixin):
    """A causal language model as `AutoModelForCausalLM.from_pretrained` returns it."""

    training = False
    main_input_name = "input_ids"
    base_model_prefix = "model"

    def __init__(self, handle: _lib.Handle, config: Any, path: str, name_or_path: str, dtype: str, max_context: int):
        self._handle = handle
        self.config = config
        self.name_or_path = name_or_path
        self._path = path
        self._dtype = dtype
        self._max_context = max_context
        self._info = C.mica_model_get_info(handle.value).contents
        self.generation_config = GenerationConfig()
        self._pool: list[_engine.Batch] = []
        self._pool_lock = threading.Lock()

    # ---- loading ----

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Union[str, os.PathLike],
        *model_args: Any,
        config: Any = None,
        dtype: Any = None,
        torch_dtype: Any = None,
        device_map: Any = None,
        quantization_config: Any = None,
        quantize: Any = None,
        generation_config: Optional[GenerationConfig] = None,
        output_loading_info: bool = False,
        precision: Optional[str] = None,
        n_threads: int = 0,
        max_context: int = 0,
        load_in_4bit: bool = False,
        load_in_8bit: bool = False,
        **kwargs: Any,
    ) -> Any:
        """From a folder, a .gguf file or a Hub id.

        dtype "float32" computes in float32 throughout; other dtypes say how the key-value cache is kept (weights keep their stored
        type). Of mica's own: quantize ("4", "affine-6-32", "mxfp4"), precision ("fast", "exact", "int8"), n_threads, max_context.
        """
        name = os.fspath(pretrained_model_name_or_path)
        path = _hub.resolve(name, kwargs)
        for ignored in _WITHOUT_EFFECT:
            kwargs.pop(ignored, None)
        for refused in _REFUSED:
            if kwargs.pop(refused, None) is not None:
                raise NotImplementedError(f"from_pretrained(..., {refused}=) is not supported")
        if isinstance(config, (str, os.PathLike)):
            config = PretrainedConfig.from_pretrained(config)
        model_config, unused = PretrainedConfig.from_pretrained(path, return_unused_kwargs=True, **kwargs)
        if unused:
            raise TypeError(f"from_pretrained() got an unexpected keyword argument {sorted(unused)[0]!r}")
        dtype_name = _dtype_name(dtype if dtype is not None else torch_dtype)
        wish = quantization_config
        if wish is None and (load_in_4bit or load_in_8bit):
            wish = {"load_in_4bit": load_in_4bit, "load_in_8bit": load_in_8bit}
        handle = load(
            path,
            dtype_name,
            precision or ("exact" if dtype_name == "float32" else "fast"),
            _device_name(device_map),
            n_threads,
            str(quantize) if quantize is not None else recipe(wish),
        )
        architecture = C.mica_model_get_info(handle.value).contents.architecture.decode()
        made = type(architecture or cls.__name__, (cls,), {"__module__": cls.__module__})
        model = made(handle, config or model_config, path, name, dtype_name, max_context)
        model._config_changed = config is not None or bool(kwargs)
        model.config.name_or_path = name
        model.generation_config = generation_config or _generate.settings_of(path, model.config)
        if output_loading_info:
            keys = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")
            return model, {key: set() if key.endswith("_keys") else [] for key in keys}
        return model

    # ---- a call ----

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        use_cache: Optional[bool] = None,
        cache_position: Any = None,
        logits_to_keep: int = 0,
        return_dict: Optional[bool] = None,
        **kwargs: Any,
    ) -> Any:
        """Logits of every position (`.logits`, float32). With past_key_values (any object, DynamicCache() say) the ids are a continuation
        of what was computed with that object before."""
        for name, value in (("inputs_embeds", inputs_embeds), ("labels", labels)):
            if value is not None:
                raise NotImplementedError(f"model(..., {name}=) is not supported")
        if input_ids is None:
            raise ValueError("input_ids are needed")
        kind = _tensors.kind_of(input_ids) or "np"
        rows = _tensors.id_rows(input_ids)
        if not rows or not rows[0]:
            raise ValueError("input_ids are empty")
        mask = None if attention_mask is None else _tensors.id_rows(attention_mask, "attention_mask")
        if past_key_values is not None or use_cache:
            past_key_values = past_key_values if past_key_values is not None else DynamicCache()
            logits = _continue(self, past_key_values, rows, mask)
        else:
            if mask is not None and [len(m) for m in mask] != [len(r) for r in rows]:
                raise ValueError("attention_mask and input_ids have different shapes")
            with self._batch() as batch:
                logits = batch.forward(rows, mask, self._info.vocab_size)
        if isinstance(logits_to_keep, int) and logits_to_keep:
            logits = logits[:, -logits_to_keep:]
        output = CausalLMOutputWithPast(logits=_tensors.from_numpy(logits, kind), past_key_values=past_key_values)
        return output.to_tuple() if return_dict is False else output

    def _batch(self) -> "_Borrowed":
        return _Borrowed(self)

    # ---- what it is ----

    @property
    def device(self) -> Any:
        torch = _loaded_torch()
        return torch.device("cpu") if torch else Device("cpu")

    @property
    def dtype(self) -> Any:
        """Of the weights as they are stored, unless another was asked for."""
        name = self._dtype
        if name == "auto":
            name = _dtype_name(str(getattr(self.config, "dtype", None) or "float32").replace("torch.", ""))
        torch = _loaded_torch()
        return getattr(torch, name) if torch else name

    @property
    def vocab_size(self) -> int:
        return self._info.vocab_size

    @property
    def hf_device_map(self) -> dict[str, str]:
        return {"": "mlx"}

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        n = self._info.n_parameters
        return n - self._info.vocab_size * self._info.hidden_size if exclude_embeddings else n

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Bytes of the weights as they are held in memory."""
        return self._info.weight_bytes

    def can_generate(self) -> bool:
        return True

    def eval(self) -> "MicaForCausalLM":
        return self

    def train(self, mode: bool = True) -> "MicaForCausalLM":
        if mode:
            raise NotImplementedError("models cannot be trained from Python")
        return self

    def requires_grad_(self, requires_grad: bool = False) -> "MicaForCausalLM":
        return self if not requires_grad else self.train()

    def to(self, *args: Any, **kwargs: Any) -> "MicaForCausalLM":
        """The model itself: it stays on its device, and weights keep their type. ValueError for a device that it is not on."""
        for wish in (*args, *kwargs.values()):
            place = getattr(wish, "type", wish)
            if isinstance(place, str) and place.split(":")[0] not in (*_OWN_DEVICES, *_DTYPES):
                raise ValueError(f"the model is on the CPU and cannot be moved to {place}")
        return self

    def cpu(self) -> "MicaForCausalLM":
        return self

    def float(self) -> "MicaForCausalLM":
        return self

    def tie_weights(self, *args: Any, **kwargs: Any) -> None:
        return None

    # ---- saving ----

    def save_pretrained(
        self,
        save_directory: Union[str, os.PathLike],
        is_main_process: bool = True,
        state_dict: Any = None,
        push_to_hub: bool = False,
        max_shard_size: Union[int, str] = "50GB",
        safe_serialization: bool = True,
        format: Optional[str] = None,
        quantize: Any = None,
        **kwargs: Any,
    ) -> None:
        """Writes config.json, generation_config.json and safetensors. format "mlx" (the default of quantized models) is what mlx-lm
        reads, "transformers" has plain tensors under their Hub names; quantize makes a quantized "mlx" checkpoint."""
        from . import _save

        _save.save(self, os.fspath(save_directory), state_dict, max_shard_size, format, quantize)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", os.path.basename(os.fspath(save_directory))), **kwargs)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Saves the model and uploads it; returns the address of the commit."""
        return _hub.push(self, repo_id, **kwargs)

    def __repr__(self) -> str:
        info = self._info
        return (
            f"{type(self).__name__}({self.name_or_path!r}, {info.n_parameters} parameters, "
            f"{info.weights.decode('utf-8', 'replace')}, {info.n_layers} layers)"
        )


class _Borrowed:
    """A batch out of a model's pool, for one call."""

    def __init__(self, model: MicaForCausalLM):
        self._model = model

    def __enter__(self) -> _engine.Batch:
        model = self._model
        model._handle.value  # refuses a fork
        with model._pool_lock:
            self._batch = model._pool.pop() if model._pool else None
        if self._batch is None:
            self._batch = _engine.Batch(model._handle, model._max_context)
        return self._batch

    def __exit__(self, kind: Any, *rest: Any) -> None:
        model = self._model
        with model._pool_lock:
            if kind is None and len(model._pool) < 8:
                model._pool.append(self._batch)  # type: ignore[arg-type]


def load(path: str, dtype: str, precision: str, device: Optional[str], n_threads: int, quantize: Optional[str]) -> _lib.Handle:
    """A C model."""
    if precision not in _PRECISIONS:
        raise ValueError(f"precision is {precision!r}, expected 'fast', 'exact' or 'int8'")
    if device is not None:
        raise ValueError(f"there is no device {device!r} here: device_map can be 'mlx', 'auto' or 'cpu'")
    options = _lib.ModelOptions(n_threads=n_threads, dtype=dtype.encode(), precision=_PRECISIONS[precision])
    options.device = _lib.device() if not n_threads else None
    options.notices = _lib.notices()
    if quantize is not None:
        options.quantize = quantize.encode()
    pointer = c_void_p()
    call(C.mica_model_load, byref(pointer), os.fsencode(path), byref(options))
    return _lib.Handle(pointer, C.mica_model_free)


def _loaded_torch() -> Any:
    """torch, if the program uses it."""
    import sys

    return sys.modules.get("torch")


# ---- caches of one's own ----------------------------------------------------------------------------------------------


class DynamicCache:
    """A key-value cache that a program passes from call to call."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.reset()

    def remember(self, rows: list[list[int]], length: int) -> None:
        """Stands for what was computed of these ids; that is computed again when the cache is used in a call of the model."""
        self._state: Optional[_Continued] = None
        self._rows, self._length = rows, length

    def state(self, model: "MicaForCausalLM", n: int) -> "_Continued":
        if self._state is None:
            self._state = _Continued(model, n)
            if self._rows:
                self._state.fill(self._rows, self._length)
        return self._state

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._state.length if self._state else self._length

    def crop(self, max_length: int) -> None:
        """Forgets all but the first max_length positions; a negative number forgets that many."""
        n = max_length if max_length >= 0 else self.get_seq_length() + max_length
        if self._state:
            self._state.crop(n)
        elif n < self._length:
            cut = self._length - n
            self.remember([row[: max(0, len(row) - cut)] for row in self._rows], n)

    def reset(self) -> None:
        self.remember([], 0)


class _Continued:
    """Sessions of the rows of a batch that grows from call to call."""

    def __init__(self, model: MicaForCausalLM, n: int):
        self.sessions = [_engine.Session(model._handle, model._max_context) for _ in range(n)]
        self.length = 0  # positions, padding included

    def fill(self, rows: list[list[int]], length: int) -> None:
        if len(rows) != len(self.sessions):
            raise ValueError(f"the cache holds {len(rows)} rows, there are {len(self.sessions)} now")
        for session, row in zip(self.sessions, rows):
            session.append(row)
        self.length = length

    def crop(self, n: int) -> None:
        for session in self.sessions:
            session.truncate(max(0, len(session) - (self.length - n)))
        self.length = n


_CONTINUED: "weakref.WeakKeyDictionary[Any, _Continued]" = weakref.WeakKeyDictionary()


def _continue(model: MicaForCausalLM, cache: Any, rows: list[list[int]], mask: Optional[list[list[int]]]) -> Any:
    """Runs rows after what the cache object holds; padding is left out of the sessions."""
    if isinstance(cache, DynamicCache):
        state = cache.state(model, len(rows))
    else:
        state = _CONTINUED.setdefault(cache, _Continued(model, len(rows)))
    if len(state.sessions) != len(rows):
        raise ValueError(f"the cache holds {len(state.sessions)} rows, there are {len(rows)} now")
    np = _tensors.numpy()
    logits = np.zeros((len(rows), len(rows[0]), model.vocab_size), "float32")
    for i, row in enumerate(rows):
        seen = [1] * len(row) if mask is None else mask[i][-len(row) :]
        at = [k for k, m in enumerate(seen) if m]
        if at:
            out = np.empty((len(at), model.vocab_size), "float32")
            state.sessions[i].forward([row[k] for k in at], out)
            logits[i, at] = out
    state.length += len(rows[0])
    return logits


class AutoModelForCausalLM:
    """Makes models: `AutoModelForCausalLM.from_pretrained(folder, .gguf file or Hub id)`."""

    def __init__(self) -> None:
        raise OSError("AutoModelForCausalLM is made with AutoModelForCausalLM.from_pretrained(...)")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Union[str, os.PathLike], *model_args: Any, **kwargs: Any
    ) -> MicaForCausalLM:
        return MicaForCausalLM.from_pretrained(pretrained_model_name_or_path, *model_args, **kwargs)


_CODE = MicaForCausalLM.forward.__code__
FORWARD_ARGUMENTS = frozenset(_CODE.co_varnames[1 : _CODE.co_argcount])
