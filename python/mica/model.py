"""Models: loading, generate, the logits of a call, saving.

A model is used by any number of threads at once; each call of generate takes a set of caches of its own out of a pool, and a
prompt that begins like an earlier one costs only what is new in it.
"""

from __future__ import annotations

import copy
import os
import threading
from ctypes import byref, c_void_p
from typing import Any, Iterator, Optional, Union

from . import _engine, _forward, _generate, _hub, _lib, _tensors
from ._cache import DynamicCache
from ._lib import C, call
from .configuration import PretrainedConfig
from .generation_config import GenerationConfig
from .outputs import CausalLMOutputWithPast
from .quantization import recipe

# Arguments of from_pretrained that choose among what only other engines have. They have no effect.
_WITHOUT_EFFECT = (
    "attn_implementation", "low_cpu_mem_usage", "use_safetensors", "max_memory", "offload_folder", "offload_buffers",
    "offload_state_dict", "experts_implementation", "weights_only", "disable_mmap", "use_kernels", "kernel_config", "allow_all_kernels",
    "fusion_config", "from_tf", "from_flax", "_fast_init", "_from_auto", "_from_pipeline", "ignore_mismatched_sizes", "adapter_kwargs",
    "adapter_name", "use_flash_attention_2", "use_auth_token", "tp_plan", "device_mesh", "distributed_config",
)  # fmt: skip
_REFUSED = ("state_dict", "key_mapping", "variant")
OWN_DEVICES = ("mlx", "auto", "cpu", "balanced", "balanced_low_0", "sequential")
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
    return None if name in OWN_DEVICES else name


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
        pretrained_model_name_or_path: Union[str, os.PathLike[str]],
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
        kv_bits: Optional[int] = None,
        kv_group_size: int = 64,
        load_in_4bit: bool = False,
        load_in_8bit: bool = False,
        **kwargs: Any,
    ) -> Any:
        """From a folder, a .gguf file or a Hub id.

        dtype "float32" computes in float32 throughout; other dtypes say how the key-value cache is kept (weights keep their stored
        type). Of mica's own: quantize ("4", "affine-6-32", "mxfp4"), precision ("fast", "exact", "int8"), n_threads, max_context,
        kv_bits (8 or 4: quantized key-value caches) and kv_group_size.
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
            (kv_bits or 0, kv_group_size),
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
        logits_to_keep: Any = 0,
        output_attentions: Optional[bool] = None,
        output_hidden_states: Optional[bool] = None,
        return_dict: Optional[bool] = None,
        num_items_in_batch: Any = None,
        token_type_ids: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Logits of every position (`.logits`, float32), with labels the loss, too. With past_key_values (any object, DynamicCache() say) the ids
        are a continuation of what was computed with that object before. Further arguments have no effect."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("either input_ids or inputs_embeds are needed")
        given = input_ids if inputs_embeds is None else inputs_embeds
        kind = _tensors.kind_of(given) or "np"
        inputs = _forward.Inputs(input_ids, inputs_embeds, attention_mask, position_ids)
        _tensors.check_ids(inputs.seen_rows(), self._info.vocab_size)
        states, attentions = self._wanted("output_hidden_states", output_hidden_states), self._wanted("output_attentions", output_attentions)
        caching = getattr(self.config, "use_cache", True) is not False if use_cache is None else use_cache
        inside = None
        if past_key_values is not None or use_cache or inputs_embeds is not None or states or attentions:
            cache = past_key_values if past_key_values is not None else DynamicCache(config=self.config)
            logits, inside = _forward.continued(self, cache, inputs, states, attentions)
        else:
            cache = DynamicCache(config=self.config)
            cache.remember(inputs.seen_rows(), inputs.all_seen(), inputs.width)  # few programs use it: then it is computed again
            with self._batch() as batch:
                logits = batch.forward(inputs.rows, inputs.mask, self._info.vocab_size)
        loss = None
        if labels is not None:
            loss = _tensors.from_numpy(_forward.loss(logits, _tensors.to_numpy(labels), num_items_in_batch), kind)
        output = CausalLMOutputWithPast(
            loss=loss,
            logits=_tensors.from_numpy(_forward.kept(logits, logits_to_keep), kind),
            past_key_values=cache if caching or past_key_values is not None else None,
            hidden_states=None if inside is None else inside.hidden_of(kind),
            attentions=None if inside is None else inside.attentions_of(kind),
        )
        return output.to_tuple() if return_dict is False else output

    def _wanted(self, name: str, said: Optional[bool]) -> bool:
        return bool(getattr(self.config, name, False) if said is None else said)

    def _batch(self, kv: tuple[int, int] = (0, 0)) -> "_Borrowed":
        return _Borrowed(self, kv)

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
        return int(self._info.vocab_size)

    @property
    def hf_device_map(self) -> dict[str, str]:
        return {"": "mlx"}

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        n = int(self._info.n_parameters)
        return n - int(self._info.vocab_size * self._info.hidden_size) if exclude_embeddings else n

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """Names, shapes and types of the checkpoint's tensors; their values stay in the engine."""
        from . import _parameters

        return _parameters.named(self)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        return (parameter for _, parameter in self.named_parameters())

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Bytes of the weights as they are held in memory."""
        return int(self._info.weight_bytes)

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
            if isinstance(place, str) and place.split(":")[0] not in (*OWN_DEVICES, *_DTYPES):
                raise ValueError(f"the model is on the CPU and cannot be moved to {place}")
        return self

    def cpu(self) -> "MicaForCausalLM":
        return self

    def float(self) -> "MicaForCausalLM":
        return self

    def half(self) -> "MicaForCausalLM":
        return self

    def bfloat16(self) -> "MicaForCausalLM":
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        return None  # programs are compiled when the model is loaded

    def cuda(self, device: Any = None) -> "MicaForCausalLM":
        return self.to("cuda")

    def tie_weights(self, *args: Any, **kwargs: Any) -> None:
        return None

    def get_input_embeddings(self) -> "_forward.InputEmbeddings":
        """A function of ids: their embeddings, which model(inputs_embeds=...) takes."""
        return _forward.InputEmbeddings(self)

    def resize_token_embeddings(self, new_num_tokens: Optional[int] = None, *args: Any, **kwargs: Any) -> Any:
        if new_num_tokens is not None and new_num_tokens > self._info.vocab_size:
            raise NotImplementedError(
                f"the model has embeddings of {self._info.vocab_size} tokens and gets no new ones: resize the checkpoint with Transformers, "
                "save it, and load that"
            )
        return self.get_input_embeddings()

    # ---- saving ----

    def save_pretrained(
        self,
        save_directory: Union[str, os.PathLike[str]],
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

    def __deepcopy__(self, memo: dict[int, Any]) -> "MicaForCausalLM":
        """A model of its own settings and configuration; weights do not change, so both use the same."""
        made = copy.copy(self)
        made.config, made.generation_config = copy.deepcopy(self.config, memo), copy.deepcopy(self.generation_config, memo)
        return made

    def __copy__(self) -> "MicaForCausalLM":
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__, _pool=[], _pool_lock=threading.Lock())
        return made

    def __reduce__(self) -> Any:
        raise TypeError("a model cannot be pickled: load it where it is needed, with from_pretrained")

    def __repr__(self) -> str:
        info = self._info
        return (
            f"{type(self).__name__}({self.name_or_path!r}, {info.n_parameters} parameters, "
            f"{info.weights.decode('utf-8', 'replace')}, {info.n_layers} layers)"
        )


def _refuse(name: str, advice: str) -> None:
    def refused(self: MicaForCausalLM, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"model.{name} is not supported: {advice}")

    refused.__name__ = name
    setattr(MicaForCausalLM, name, refused)


_MODULES = "mica's models are not made of torch modules"
for _name, _advice in {
    "state_dict": "weights stay in the engine; save_pretrained(..., format='transformers') writes them, safetensors reads them",
    "load_state_dict": "save the weights as a checkpoint, and load that with from_pretrained",
    "modules": _MODULES,
    "named_modules": _MODULES,
    "children": _MODULES,
    "register_forward_hook": _MODULES + "; hidden states come with output_hidden_states=True",
    "set_input_embeddings": "change the checkpoint with Transformers, save it, and load that",
    "get_output_embeddings": "weights stay in the engine; safetensors reads them from the checkpoint",
    "load_adapter": "merge the adapter with PEFT (merge_and_unload), save the model, and load that",
    "add_adapter": "models cannot be trained from Python",
    "gradient_checkpointing_enable": "models cannot be trained from Python",
    "enable_input_require_grads": "models cannot be trained from Python",
    "generate_batch": "generate takes a batch of prompts: pad them on the left",
    "init_continuous_batching": "`mica serve` batches requests as they come",
}.items():
    _refuse(_name, _advice)


class _Borrowed:
    """A batch out of a model's pool, for one call."""

    def __init__(self, model: MicaForCausalLM, kv: tuple[int, int]):
        self._model = model
        self._kv = kv

    def __enter__(self) -> _engine.Batch:
        model = self._model
        model._handle.value  # refuses a fork
        with model._pool_lock:
            self._batch = next((b for b in reversed(model._pool) if b.kv == self._kv), None)
            if self._batch is not None:
                model._pool.remove(self._batch)
        if self._batch is None:
            self._batch = _engine.Batch(model._handle, model._max_context, self._kv)
        return self._batch

    def __exit__(self, kind: Any, *rest: Any) -> None:
        model = self._model
        with model._pool_lock:
            if kind is None and len(model._pool) < 8:
                model._pool.append(self._batch)  # type: ignore[arg-type]


def load(
    path: str, dtype: str, precision: str, device: Optional[str], n_threads: int, quantize: Optional[str], kv: tuple[int, int]
) -> _lib.Handle:
    """A C model."""
    if precision not in _PRECISIONS:
        raise ValueError(f"precision is {precision!r}, expected 'fast', 'exact' or 'int8'")
    if device is not None:
        raise ValueError(f"there is no device {device!r} here: device_map can be 'mlx', 'auto' or 'cpu'")
    options = _lib.ModelOptions(n_threads=n_threads, dtype=dtype.encode(), precision=_PRECISIONS[precision])
    options.device = _lib.device() if not n_threads else None
    options.notices = _lib.notices()
    options.kv_bits, options.kv_group_size = kv
    if quantize is not None:
        options.quantize = quantize.encode()
    pointer = c_void_p()
    call(C.mica_model_load, byref(pointer), os.fsencode(path), byref(options))
    return _lib.Handle(pointer, C.mica_model_free)


def _loaded_torch() -> Any:
    """torch, if the program uses it."""
    import sys

    return sys.modules.get("torch")


class AutoModelForCausalLM:
    """Makes models: `AutoModelForCausalLM.from_pretrained(folder, .gguf file or Hub id)`."""

    def __init__(self) -> None:
        raise OSError("AutoModelForCausalLM is made with AutoModelForCausalLM.from_pretrained(...)")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Union[str, os.PathLike[str]], *model_args: Any, **kwargs: Any
    ) -> MicaForCausalLM:
        made: MicaForCausalLM = MicaForCausalLM.from_pretrained(pretrained_model_name_or_path, *model_args, **kwargs)
        return made


_CODE = MicaForCausalLM.forward.__code__
FORWARD_ARGUMENTS = frozenset(_CODE.co_varnames[1 : _CODE.co_argcount])
