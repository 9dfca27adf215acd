"""mica: Hugging Face language models at the speed of the memory they sit in.

    from mica import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("path/to/model")
    model = AutoModelForCausalLM.from_pretrained("path/to/model", device_map="mlx")
    inputs = tokenizer("The river", return_tensors="np")
    print(tokenizer.batch_decode(model.generate(**inputs, max_new_tokens=40))[0])

The names are Transformers' own. `python -m mica script.py` runs a script written for Transformers as it is. Nothing but this file is
loaded by `import mica`; the rest comes with the first name that is used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; typing itself is not worth its loading time here
if TYPE_CHECKING:
    from typing import Any

    from ._encoding import AddedToken as AddedToken
    from ._encoding import BatchEncoding as BatchEncoding
    from ._generate import set_seed as set_seed
    from ._lib import MicaError as MicaError
    from .configuration import AutoConfig as AutoConfig
    from .configuration import PretrainedConfig as PretrainedConfig
    from .core import array as array
    from .generation_config import GenerationConfig as GenerationConfig
    from .model import AutoModelForCausalLM as AutoModelForCausalLM
    from ._cache import DynamicCache as DynamicCache
    from .model import MicaForCausalLM as MicaForCausalLM
    from .pipelines import TextGenerationPipeline as TextGenerationPipeline
    from .pipelines import pipeline as pipeline
    from .processors import LogitsProcessor as LogitsProcessor
    from .processors import LogitsProcessorList as LogitsProcessorList
    from .processors import StoppingCriteria as StoppingCriteria
    from .processors import StoppingCriteriaList as StoppingCriteriaList
    from .streamers import AsyncTextIteratorStreamer as AsyncTextIteratorStreamer
    from .streamers import BaseStreamer as BaseStreamer
    from .streamers import TextIteratorStreamer as TextIteratorStreamer
    from .streamers import TextStreamer as TextStreamer
    from .tokenizer import AutoTokenizer as AutoTokenizer
    from .tokenizer import Tokenizer as Tokenizer
    from .watermarking import WatermarkDetector as WatermarkDetector
    from .watermarking import WatermarkingConfig as WatermarkingConfig

    __version__: str

# Where each public name is.
_PLACES = {
    "_encoding": ("AddedToken", "BatchEncoding"),
    "_generate": ("set_seed",),
    "_lib": ("MicaError",),
    "configuration": ("AutoConfig", "PretrainedConfig"),
    "core": ("array",),
    "generation_config": ("GenerationConfig",),
    "_cache": ("DynamicCache",),
    "model": ("AutoModelForCausalLM", "MicaForCausalLM"),
    "outputs": ("CausalLMOutputWithPast", "GenerateBeamDecoderOnlyOutput", "GenerateDecoderOnlyOutput", "ModelOutput"),
    "pipelines": ("TextGenerationPipeline", "pipeline"),
    "processors": (
        "EncoderNoRepeatNGramLogitsProcessor", "EncoderRepetitionPenaltyLogitsProcessor", "EosTokenCriteria", "EpsilonLogitsWarper", "EtaLogitsWarper", "ExponentialDecayLengthPenalty", "ForcedBOSTokenLogitsProcessor",
        "ForcedEOSTokenLogitsProcessor", "InfNanRemoveLogitsProcessor", "LogitNormalization", "LogitsProcessor", "LogitsProcessorList",
        "LogitsWarper", "MaxLengthCriteria", "MaxTimeCriteria", "MinLengthLogitsProcessor", "MinNewTokensLengthLogitsProcessor",
        "MinPLogitsWarper", "NoBadWordsLogitsProcessor", "NoRepeatNGramLogitsProcessor", "PrefixConstrainedLogitsProcessor",
        "RepetitionPenaltyLogitsProcessor", "SequenceBiasLogitsProcessor", "StopStringCriteria", "StoppingCriteria",
        "StoppingCriteriaList", "SuppressTokensAtBeginLogitsProcessor", "SuppressTokensLogitsProcessor", "TemperatureLogitsWarper",
        "TopHLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper", "TypicalLogitsWarper", "WatermarkLogitsProcessor",
    ),
    "quantization": (
        "AwqConfig", "BitsAndBytesConfig", "GPTQConfig", "HqqConfig", "MetalConfig", "MicaConfig", "Mxfp4Config", "QuantoConfig",
        "TorchAoConfig",
    ),
    "streamers": ("AsyncTextIteratorStreamer", "BaseStreamer", "TextIteratorStreamer", "TextStreamer"),
    "tokenizer": ("AutoTokenizer", "Tokenizer"),
    "watermarking": ("WatermarkDetector", "WatermarkDetectorOutput", "WatermarkingConfig"),
}  # fmt: skip
_HOME = {name: module for module, names in _PLACES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        value: Any = import_module("mica._lib").C.mica_version().decode()
    elif name in _HOME:
        value = getattr(import_module(f"mica.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'mica' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
