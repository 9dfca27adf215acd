"""The library's processors called by themselves, and in a list: those that take the place of a setting, and those that come after."""
import json
import sys
from typing import Any

import numpy as np
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessorList, TopHLogitsWarper

name, tensors = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, device_map="mlx", dtype="float32")


def made(values: Any) -> Any:
    if tensors == "np":
        return np.array(values, "float32" if isinstance(values[0][0], float) else "int64")
    import torch

    return torch.tensor(values)


def shown(scores: Any) -> list[Any]:
    """The scores that are left."""
    return [[[i, round(x, 3)] for i, x in enumerate(row) if x > -1e20] for row in scores.tolist()]


def of(kind: str, *arguments: Any, **settings: Any) -> Any:
    return getattr(transformers, kind)(*arguments, **settings)


ids = [[3, 5, 7, 9, 3, 5], [1, 2, 1, 2, 1, 2]]
prompts = [[3, 5, 8, 1], [1, 2, 9, 4]]
scores = (np.random.RandomState(0).randn(2, 48) * 2).round(3).tolist()
alone: list[tuple[Any, ...]] = [
    ("RepetitionPenalty", 1.5, 4), ("RepetitionPenalty", 1.5, 40), ("EncoderRepetitionPenalty", 1.4, made(prompts)),
    ("EncoderNoRepeatNGram", 2, made(prompts)), ("NoRepeatNGram", 2), ("NoBadWords", [[4], [5, 6], [2, 3]], 4), ("MinLength", 10, [3, 4]),
    ("MinNewTokensLength", 4, 5, 2), ("ForcedEOSToken", 7, [3, 4]), ("SuppressTokensAtBegin", [3, 4], 6), ("Watermark", 48, "cpu"),
    ("Watermark", 48, "cpu", 0.4, 3.0, 15485863, "selfhash", 2),
]  # fmt: skip
for kind, *arguments in alone:
    print(kind, json.dumps(shown(of(kind + "LogitsProcessor", *arguments)(made(ids), made(scores)))))
warpers: list[tuple[Any, ...]] = [
    ("TopK", 2, 7), ("TopP", 0.1, 4), ("TopP", 0.6, 1), ("MinP", 0.3, 6), ("Typical", 0.3, 5), ("Epsilon", 0.1, 5), ("Eta", 0.1, 3),
]  # fmt: skip
for kind, value, least in warpers:
    warper = of(kind + "LogitsWarper", value, min_tokens_to_keep=least)
    print(kind, json.dumps(shown(warper(made(ids), made(scores)))))
print(json.dumps(shown(TopHLogitsWarper(0.4)(made(ids), made(scores)))))
wrong: list[tuple[Any, ...]] = [
    ("TopPLogitsWarper", 2.0), ("TopPLogitsWarper", 0.5, -1.0, 0), ("TypicalLogitsWarper", 1.0), ("EtaLogitsWarper", 1.0),
    ("MinPLogitsWarper", 1.5), ("RepetitionPenaltyLogitsProcessor", 2), ("RepetitionPenaltyLogitsProcessor", 1.5, -1),
    ("SequenceBiasLogitsProcessor", {(3,): 1}), ("NoBadWordsLogitsProcessor", [3]), ("WatermarkLogitsProcessor", 64, "cpu", 1.0),
]  # fmt: skip
for kind, *arguments in wrong:
    try:
        print(kind, type(of(kind, *arguments)).__name__)
    except ValueError:
        print(kind, "ValueError")

inputs = tokenizer("The river runs past the", return_tensors=tensors)


def generated(processors: list[Any], **settings: Any) -> str:
    """Tokens, and the scores of the first of them that processors left."""
    output = model.generate(
        **inputs, logits_processor=LogitsProcessorList(processors), return_dict_in_generate=True, output_scores=True,
        **{"max_new_tokens": 6, **settings},
    )  # fmt: skip
    best = sorted((x for _, x in shown(output.scores[0])[0]), reverse=True)
    return json.dumps([[] if settings.get("do_sample") else output.sequences.tolist(), len(best), best[:8]])


n = inputs["input_ids"].shape[1]
penalty = of("RepetitionPenaltyLogitsProcessor", 1.8)
print(generated([of("TopKLogitsWarper", 3)]))
print(generated([of("TopKLogitsWarper", 3)], do_sample=True, top_k=50))
print(generated([of("TemperatureLogitsWarper", 0.5)], do_sample=True, temperature=0.7))
print(generated([of("TopPLogitsWarper", 0.8), of("TemperatureLogitsWarper", 0.5)], do_sample=True, top_k=0))
print(generated([of("TopPLogitsWarper", 0.1, min_tokens_to_keep=5)], do_sample=True, top_k=0))
print(generated([penalty], repetition_penalty=1.1))
print(generated([of("RepetitionPenaltyLogitsProcessor", 1.8, prompt_ignore_length=n)], max_new_tokens=12))
print(generated([penalty], min_new_tokens=3))
print(generated([of("TopKLogitsWarper", 2)], num_beams=3))
print(generated([of("ForcedEOSTokenLogitsProcessor", 8, 5)]))
print(generated([of("MinNewTokensLengthLogitsProcessor", n, 3, 300)]))


class Seven(transformers.TopKLogitsWarper):
    """Derived from the library's, and something else."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        scores[:, 7] = 99.0
        return scores


print(generated([Seven(3)]))
