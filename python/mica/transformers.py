"""Zero changes: scripts written for Transformers run on mica.

`import mica.transformers` (or `python -m mica script.py`) makes `from transformers import AutoModelForCausalLM` give models of mica for
device_map="mlx", and leaves everything else as it is:

- Transformers and torch are installed: only from_pretrained(..., device_map="mlx") of causal language models, and pipelines of such models,
  come here. Tokenizers, configurations, streamers, processors are Transformers' own; tensors are torch's.
- Transformers without torch: what would need torch there (models, pipelines, criteria, processors) is mica's.
- no Transformers: a stand-in module has mica's classes under Transformers' names, and says what it lacks.

Modules of Transformers are changed when they are loaded, and none is loaded earlier than the script does it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import Any, Callable, Optional

_OURS = "mlx"


def _wants_us(device_map: Any) -> bool:
    if isinstance(device_map, dict):
        return bool(device_map) and all(_wants_us(v) for v in device_map.values())
    return isinstance(device_map, str) and device_map == _OURS


def _is_ours(model: Any) -> bool:
    loaded = sys.modules.get("mica.model")
    return loaded is not None and isinstance(model, loaded.MicaForCausalLM)


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


# ---- changes to modules of Transformers --------------------------------------------------------------------------------


def _redirect_from_pretrained(cls: Any) -> None:
    """cls.from_pretrained(..., device_map="mlx") loads a model of mica."""
    original = cls.__dict__.get("from_pretrained")
    if original is None or getattr(original, "_mica", False):
        return

    @functools.wraps(getattr(original, "__func__", original))
    def from_pretrained(klass: Any, *args: Any, **kwargs: Any) -> Any:
        if _wants_us(kwargs.get("device_map")):
            from .model import MicaForCausalLM

            return MicaForCausalLM.from_pretrained(*args, **kwargs)
        return original.__get__(None, klass)(*args, **kwargs)

    changed: Any = classmethod(from_pretrained)
    cls.from_pretrained = changed


def _change_auto_models(module: ModuleType) -> None:
    _redirect_from_pretrained(module.AutoModelForCausalLM)


def _change_modeling_utils(module: ModuleType) -> None:
    """LlamaForCausalLM.from_pretrained(..., device_map="mlx"), and the like."""
    cls = module.PreTrainedModel
    original = cls.__dict__["from_pretrained"]

    @functools.wraps(original.__func__)
    def from_pretrained(klass: Any, *args: Any, **kwargs: Any) -> Any:
        if klass.__name__.endswith("ForCausalLM") and _wants_us(kwargs.get("device_map")):
            from .model import MicaForCausalLM

            return MicaForCausalLM.from_pretrained(*args, **kwargs)
        return original.__get__(None, klass)(*args, **kwargs)

    cls.from_pretrained = classmethod(from_pretrained)


def _change_caches(module: ModuleType) -> None:
    """Cache objects that a model of mica has filled know their length, and can be cut back."""
    for name in ("get_seq_length", "crop", "reset"):
        _redirect_cache(module.Cache, name)


def _redirect_cache(cls: Any, name: str) -> None:
    original = getattr(cls, name)

    @functools.wraps(original)
    def redirected(self: Any, *args: Any, **kwargs: Any) -> Any:
        caches = sys.modules.get("mica._cache")
        ours = caches.behind(self) if caches is not None else None
        return original(self, *args, **kwargs) if ours is None else getattr(ours, name)(*args, **kwargs)

    setattr(cls, name, redirected)


def _change_pipelines(module: ModuleType) -> None:
    original = module.pipeline

    @functools.wraps(original)
    def pipeline(task: Any = None, model: Any = None, *args: Any, **kwargs: Any) -> Any:
        if _is_ours(model) or any(
            _wants_us(place) for place in (kwargs.get("device_map"), kwargs.get("device"), (kwargs.get("model_kwargs") or {}).get("device_map"))
        ):
            from .pipelines import pipeline as ours

            return ours(task, model, *args, **kwargs)
        return original(task, model, *args, **kwargs)

    module.pipeline = pipeline  # type: ignore[attr-defined]


def _change_text_pipeline(module: ModuleType) -> None:
    """TextGenerationPipeline(model=...) with a model of mica."""
    cls = module.TextGenerationPipeline

    def __new__(klass: Any, *args: Any, **kwargs: Any) -> Any:
        model = kwargs.get("model", args[0] if args else None)
        if not _is_ours(model):
            return object.__new__(klass)
        from .pipelines import TextGenerationPipeline

        return TextGenerationPipeline(*args, **kwargs)

    cls.__new__ = __new__


def _change_generation(module: ModuleType) -> None:
    """Without torch: from transformers.generation import LogitsProcessor, and the like."""
    if _has_torch():
        return
    import mica

    package = sys.modules[module.__name__]  # a second copy is in its place
    for name in mica.__all__:
        if name.endswith(_OF_TORCH):
            setattr(package, name, getattr(mica, name))


_OF_TORCH = ("LogitsProcessor", "LogitsProcessorList", "Warper", "Criteria", "CriteriaList", "Penalty", "Normalization", "WatermarkDetector")


def _change_package(module: ModuleType) -> None:
    """Without torch: names that Transformers could only say are missing become mica's."""
    if _has_torch():
        return
    package = sys.modules["transformers"]
    import mica

    places = getattr(package, "_class_to_module", {})
    for name in _stand_ins():
        # Asking the package for a name would load its module; where names are is known without that.
        lacking = name not in places and name.endswith(("Processor", "Warper", "Criteria"))
        if "dummy" in str(places.get(name, "")) or lacking or name == "AutoModelForCausalLM":
            setattr(package, name, _for_transformers(name, getattr(mica, name), package))


def _stand_ins() -> list[str]:
    import mica

    return [name for name in mica.__all__ if name not in ("Tokenizer", "MicaForCausalLM", "MicaConfig", "MicaError", "pipeline", "array")]


def _for_transformers(name: str, ours: Any, package: Any) -> Any:
    """Ours; models only for device_map="mlx": for another, Transformers says that torch is missing."""
    if name != "AutoModelForCausalLM":
        return ours

    class AutoModelForCausalLM(ours):  # type: ignore[misc]
        @classmethod
        def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
            if _wants_us(kwargs.get("device_map")):
                return ours.from_pretrained(*args, **kwargs)
            return importlib.import_module("transformers.models.auto").AutoModelForCausalLM.from_pretrained(*args, **kwargs)

    return AutoModelForCausalLM


def _change_encodings(module: ModuleType) -> None:
    """Without torch, arrays are where models of mica are: moving them there is no work."""
    if _has_torch():
        return
    original = module.BatchEncoding.to

    @functools.wraps(original)
    def to(self: Any, device: Any, *, non_blocking: bool = False) -> Any:
        from .model import OWN_DEVICES

        return self if str(device).split(":")[0] in OWN_DEVICES else original(self, device, non_blocking=non_blocking)

    module.BatchEncoding.to = to


_CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "transformers": _change_package,
    "transformers.processing_utils": _change_package,  # puts a second copy of the package in the first one's place
    "transformers.models.auto.modeling_auto": _change_auto_models,
    "transformers.modeling_utils": _change_modeling_utils,
    "transformers.cache_utils": _change_caches,
    "transformers.generation": _change_generation,
    "transformers.tokenization_utils_base": _change_encodings,
    "transformers.pipelines": _change_pipelines,
    "transformers.pipelines.text_generation": _change_text_pipeline,
}


class _Loader(importlib.abc.Loader):
    """Another loader's module, changed after it ran."""

    def __init__(self, inner: Any, change: Callable[[ModuleType], None]):
        self._inner = inner
        self._change = change

    def create_module(self, spec: Any) -> Any:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        self._change(module)

    def __getattr__(self, name: str) -> Any:  # resources and sources are the other loader's
        return getattr(self.__dict__["_inner"], name)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules above as everybody else does, and has them changed when they are loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[importlib.machinery.ModuleSpec]:
        if name in _MODULES_OF_TORCH and not _has_torch():
            return importlib.machinery.ModuleSpec(name, _StandInLoader())
        change = _CHANGES.get(name)
        if change is None:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None and not _without_torch(name):
                    spec.loader = _Loader(spec.loader, change)
                return spec
        return None


# Modules of Transformers that cannot be loaded without torch. Those of them that programs name are mica's classes then.
_MODULES_OF_TORCH = (
    "transformers.generation.logits_process", "transformers.generation.stopping_criteria", "transformers.generation.watermarking",
    "transformers.cache_utils", "transformers.modeling_outputs",
)  # fmt: skip


class _StandInLoader(importlib.abc.Loader):
    def create_module(self, spec: Any) -> Any:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        return None


def _without_torch(name: str) -> bool:
    """Modules that, without torch, hold nothing to change: their names are replaced in the package."""
    return name in ("transformers.models.auto.modeling_auto", "transformers.modeling_utils", "transformers.cache_utils") and not _has_torch()


# ---- no Transformers ---------------------------------------------------------------------------------------------------

_OTHER_NAMES = {
    "PreTrainedTokenizerFast": "Tokenizer",
    "PreTrainedTokenizer": "Tokenizer",
    "PreTrainedTokenizerBase": "Tokenizer",
    "PreTrainedModel": "MicaForCausalLM",
    "PreTrainedConfig": "PretrainedConfig",
}


class _StandIn(ModuleType):
    """`transformers`, as far as mica has it."""

    def __getattr__(self, name: str) -> Any:
        import mica

        if name == "__all__":
            return [*mica.__all__, *_OTHER_NAMES]
        if name.startswith("__"):
            raise AttributeError(name)

        ours = _OTHER_NAMES.get(name, name)
        for ending, general in (("ForCausalLM", "MicaForCausalLM"), ("TokenizerFast", "Tokenizer")):
            if name.endswith(ending) and name not in mica.__all__:
                ours = general
        if ours in mica.__all__:
            value = getattr(mica, ours)
            setattr(self, name, value)
            return value
        raise AttributeError(
            f"{self.__name__}.{name} is not part of mica, and Transformers is not installed (pip install transformers torch)"
        )


def _make_stand_in() -> ModuleType:
    from . import _stand_in

    package = _StandIn("transformers", "mica, under the name of Transformers")
    package.__path__ = []
    package.__spec__ = importlib.machinery.ModuleSpec("transformers", None, is_package=True)
    package.__version__ = _stand_in.VERSION  # type: ignore[attr-defined]
    sys.modules["transformers"] = package
    for name, members in _stand_in.SUBMODULES.items():
        module = _StandIn(f"transformers.{name}")
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None, is_package=True)
        module.__path__ = []
        vars(module).update(members)
        sys.modules[module.__name__] = module
        setattr(package, name.split(".")[0], sys.modules[f"transformers.{name.split('.')[0]}"])
    package.logging = sys.modules["transformers.utils.logging"]  # type: ignore[attr-defined]
    return package


def install() -> None:
    """Once; importing this module does it."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if importlib.util.find_spec("transformers") is None:
        _make_stand_in()
        return
    sys.meta_path.insert(0, _Finder())
    for name, change in _CHANGES.items():
        module = sys.modules.get(name)
        if module is not None and not _without_torch(name):
            change(module)


install()
