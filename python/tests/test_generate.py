"""generate, its arguments and its results."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mica
from mica import AutoModelForCausalLM, AutoTokenizer, GenerationConfig


def test_greedy_texts_are_those_of_transformers(folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, device_map="mlx", dtype="float32")
    rows = json.loads(Path(folder, "reference.json").read_text(encoding="utf-8"))["generate"]
    assert rows
    for row in rows:
        inputs = tokenizer(row["prompt"], return_tensors="np")
        assert inputs["input_ids"].tolist() == [row["input_ids"]]
        n = len(row["output_ids"]) - len(row["input_ids"])
        output = model.generate(**inputs, max_new_tokens=n)
        assert isinstance(output, np.ndarray) and output.dtype == np.int64
        assert output.tolist() == [row["output_ids"]]
        assert tokenizer.decode(output[0][len(row["input_ids"]) :], skip_special_tokens=True) == row["text"]


def test_a_batch_with_left_padding_gives_what_each_row_gives(model: Any, tokenizer: Any) -> None:
    prompts = ["The river", "When the sun comes", "One"]
    batch = tokenizer(prompts, padding=True, padding_side="left", return_tensors="np")
    together = model.generate(**batch, max_new_tokens=12)
    width = batch["input_ids"].shape[1]
    for row, prompt in zip(together, prompts):
        alone = model.generate(**tokenizer(prompt, return_tensors="np"), max_new_tokens=12)
        n = len(tokenizer(prompt)["input_ids"])
        assert row[width:].tolist() == alone[0][n:].tolist()


def test_settings_go_by_rank(model: Any, tokenizer: Any) -> None:
    ids = tokenizer("The river")["input_ids"]
    assert len(model.generate([ids], max_new_tokens=3)[0]) == len(ids) + 3
    config = GenerationConfig(max_new_tokens=4)
    assert len(model.generate([ids], config)[0]) == len(ids) + 4
    assert len(model.generate([ids], config, max_new_tokens=2)[0]) == len(ids) + 2
    assert len(model.generate([ids], max_length=len(ids) + 1)[0]) == len(ids) + 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"max_new_token": 3}, "max_new_token"),
        ({"num_return_sequences": 2}, "num_return_sequences"),
        ({"max_length": 2}, "max_length"),
        ({"temperature": -1.0, "do_sample": True}, "temperature"),
        ({"top_p": 7.0, "do_sample": True}, "top_p"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
    ],
)
def test_wrong_arguments_are_value_errors(model: Any, tokenizer: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.generate(**tokenizer("The river", return_tensors="np"), **arguments)


def test_logits_of_a_call(model: Any, tokenizer: Any) -> None:
    inputs = tokenizer("The river runs", return_tensors="np")
    output = model(**inputs)
    n = inputs["input_ids"].shape[1]
    assert output.logits.shape == (1, n, model.config.vocab_size) and output.logits.dtype == np.float32
    assert output.logits[0, -1].argmax() == model.generate(**inputs, max_new_tokens=1)[0, -1]
    assert output[0] is output.logits and output["logits"] is output.logits


def test_copies_of_a_model(model: Any) -> None:
    copied = copy.deepcopy(model)
    copied.generation_config.max_new_tokens = 2
    assert model.generation_config.max_new_tokens != 2 and copied.generate([[5, 6]]).shape == (1, 4)
    with pytest.raises(TypeError, match="from_pretrained"):
        pickle.dumps(model)


def test_parameters(model: Any) -> None:
    assert sum(p.numel() for p in model.parameters()) == model.num_parameters()
    name, parameter = next(iter(model.named_parameters()))
    assert name.endswith("weight") and str(parameter.device) == "cpu" and str(parameter.dtype).endswith("float32")
    assert not parameter.requires_grad and parameter.size() == parameter.shape and parameter.element_size() == 4


def test_settings_that_cannot_be() -> None:
    mistakes: list[dict[str, Any]] = [
        {"early_stopping": "soon"}, {"num_return_sequences": 3}, {"num_beams": 2, "num_return_sequences": 3}, {"cache_implementation": "none"},
        {"watermarking_config": {"greenlist_ratio": 3.0}}, {"compile_config": 3}, {"max_new_tokens": 0},
    ]  # fmt: skip
    for wrong in mistakes:
        with pytest.raises(ValueError):
            GenerationConfig(**wrong)


def test_speculation_without_effect(model: Any) -> None:
    plain = model.generate([[5, 6, 7]], max_new_tokens=6).tolist()
    ignored: list[dict[str, Any]] = [{"assistant_early_exit": 1}, {"speculation_type": "other"}, {"assistant_ensemble_weight": 0.5}]
    for settings in ignored:
        assert model.generate([[5, 6, 7]], max_new_tokens=6, **settings).tolist() == plain
    assert model.generate([[5, 6, 7]], max_new_tokens=6, num_beams=2, prompt_lookup_num_tokens=3).shape == (1, 9)


def test_criteria_called_by_themselves(llama: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama)
    ids = tokenizer("past the old mill", return_tensors="np")["input_ids"]
    assert mica.StopStringCriteria(tokenizer, ["mill"])(ids, None).tolist() == [True]
    assert mica.StopStringCriteria(tokenizer, "the old")(ids, None).tolist() == [False]
    assert mica.MaxTimeCriteria(100.0)(ids, None).tolist() == [False] and mica.MaxTimeCriteria(1.0, 0.0)(ids, None).tolist() == [True]
    assert mica.EosTokenCriteria([9, int(ids[0, -1])])(ids, None).tolist() == [True]


def test_the_models_maximum_of_new_tokens_goes_before_a_length(model: Any) -> None:
    copied = copy.deepcopy(model)
    copied.generation_config.max_new_tokens = 2
    assert copied.generate([[5, 6, 7]], max_length=20).shape == (1, 5)


def test_a_length_that_the_prompt_has_lets_one_token_come(model: Any) -> None:
    assert model.generate([[5, 6, 7]], stopping_criteria=[mica.MaxLengthCriteria(3)], max_new_tokens=9).shape == (1, 4)
    assert model.generate([[5, 6, 7]], stopping_criteria=[mica.MaxLengthCriteria(5)], max_new_tokens=9).shape == (1, 5)


def test_mistakes_of_processors(model: Any) -> None:
    with pytest.raises(TypeError, match="None"):
        model.generate([[5, 6]], logits_processor=[lambda ids, scores: None], max_new_tokens=2)
    with pytest.raises(ValueError, match="tuples"):
        model.generate([[5, 6]], sequence_bias={3: 1.0}, max_new_tokens=2)


def test_copies_of_a_configuration(model: Any) -> None:
    for copied in (copy.deepcopy(model.config), pickle.loads(pickle.dumps(model.config))):
        assert copied == model.config and type(copied).__name__ == type(model.config).__name__
        assert copied.name_or_path == model.config._name_or_path and copied.is_encoder_decoder is False
