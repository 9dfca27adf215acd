"""Every row of the reference settings, through Python: sequences, beam scores, first-step scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import SHARED, reference


def rows(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = reference("settings", "reference.json")[kind]
    return found


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    bias = settings.get("sequence_bias")
    if isinstance(bias, list):
        settings = {**settings, "sequence_bias": {tuple(ids): value for ids, value in bias}}
    return settings


def test_deterministic_rows(model: Any, tokenizer: Any) -> None:
    prompt = reference("settings", "reference.json")["prompt_ids"]
    found = rows("deterministic")
    assert len(found) > 10
    for name, row in found.items():
        settings = dict(plain(row["settings"]))
        if not {"max_new_tokens", "max_length"} & set(settings):
            settings["max_new_tokens"] = 24
        if "stop_strings" in settings:
            settings["tokenizer"] = tokenizer
        scores = row.get("sequences_scores") is not None
        output = model.generate([prompt], return_dict_in_generate=True, output_scores=True, **settings)
        assert output.sequences.tolist() == row["sequences"], name
        if scores:
            np.testing.assert_allclose(output.sequences_scores, row["sequences_scores"], atol=1e-4, err_msg=name)


def test_first_step_scores(model: Any) -> None:
    prompt = reference("settings", "reference.json")["prompt_ids"]
    path = SHARED / "reference" / "settings" / "first_step_scores.safetensors"
    stored = read_safetensors(path)
    found = rows("first_step_scores")
    names = list(found) if isinstance(found, (dict, list)) else []
    assert names
    for name in names:
        row = found[name]
        settings = plain(dict(row.get("settings", row)))
        settings.setdefault("do_sample", True)
        settings["max_new_tokens"] = 1
        output = model.generate([prompt], return_dict_in_generate=True, output_scores=True, **settings)
        ours, theirs = output.scores[0].reshape(-1), stored[name].reshape(-1)
        assert (np.isneginf(ours) == np.isneginf(theirs)).all(), name
        kept = ~np.isneginf(theirs)
        np.testing.assert_allclose(ours[kept], theirs[kept], atol=1e-4, err_msg=name)


def read_safetensors(path: Any) -> dict[str, Any]:
    import json

    data = path.read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    out = {}
    for name, entry in header.items():
        if name != "__metadata__":
            assert entry["dtype"] == "F32"
            begin, end = entry["data_offsets"]
            out[name] = np.frombuffer(data[8 + n + begin : 8 + n + end], np.float32).reshape(entry["shape"])
    return out


@pytest.mark.parametrize("recipe", [4, "affine-8-32"])
def test_quantize_while_loading(llama: str, recipe: Any) -> None:
    from mica import AutoModelForCausalLM, BitsAndBytesConfig, MicaConfig

    whole = AutoModelForCausalLM.from_pretrained(llama)
    small = AutoModelForCausalLM.from_pretrained(llama, quantize=recipe)
    assert small.get_memory_footprint() < 0.8 * whole.get_memory_footprint()
    assert small.num_parameters() == whole.num_parameters()
    same = {4: BitsAndBytesConfig(load_in_4bit=True), "affine-8-32": MicaConfig(bits=8, group_size=32)}[recipe]
    again = AutoModelForCausalLM.from_pretrained(llama, quantization_config=same, device_map="mlx")
    assert again.get_memory_footprint() == small.get_memory_footprint()
    prompt = [[0, 296, 494]]
    assert again.generate(prompt, max_new_tokens=8).tolist() == small.generate(prompt, max_new_tokens=8).tolist()


def test_arguments_of_from_pretrained(llama: str) -> None:
    from mica import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        llama, torch_dtype="bfloat16", low_cpu_mem_usage=True, attn_implementation="sdpa", output_loading_info=True
    )
    model, info = loaded
    assert info["missing_keys"] == set() and model.config.torch_dtype == "bfloat16" and str(model.dtype) == "bfloat16"
    cases: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"dtype": "int3"}, ValueError),
        ({"device_map": "cuda"}, ValueError),
        ({"no_such_thing": 1}, TypeError),
        ({"precision": "vague"}, ValueError),
        ({"state_dict": {}}, NotImplementedError),
    ]
    for wrong, error in cases:
        with pytest.raises(error):
            AutoModelForCausalLM.from_pretrained(llama, **wrong)
    assert model.eval() is model and model.to("cpu") is model and model.can_generate()
    with pytest.raises(ValueError):
        model.to("cuda")


def test_a_cache_of_ones_own(model: Any) -> None:
    from mica import DynamicCache

    ids = [[0, 296, 494, 491, 87, 322]]
    whole = model(ids).logits
    cache = DynamicCache()
    first = model([ids[0][:4]], past_key_values=cache, use_cache=True)
    second = model([ids[0][4:]], past_key_values=first.past_key_values)
    np.testing.assert_allclose(np.concatenate([first.logits, second.logits], 1), whole, atol=1e-5)
    assert cache.get_seq_length() == 6
    cache.crop(4)
    np.testing.assert_allclose(model([ids[0][4:]], past_key_values=cache).logits, second.logits, atol=1e-5)
    output = model.generate(ids, max_new_tokens=3, return_dict_in_generate=True)
    assert output.past_key_values.get_seq_length() == 8
    last = model([output.sequences[0, -1:].tolist()], past_key_values=output.past_key_values)
    np.testing.assert_allclose(last.logits[0, -1], model(output.sequences).logits[0, -1], atol=1e-5)


def test_quantized_caches(model: Any, llama: str) -> None:
    """By Transformers' names and by mlx-lm's, for one call or for a model; no warning, for they do something here."""
    import warnings

    from mica import AutoModelForCausalLM, GenerationConfig

    ids = [[0, 296, 494, 491, 87, 322]]
    wanted = {"max_new_tokens": 4, "output_logits": True, "return_dict_in_generate": True}

    def logits(model: Any, **settings: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return np.concatenate(model.generate(ids, **wanted, **settings).logits)

    plain = logits(model)
    eight, four = logits(model, kv_bits=8, kv_group_size=32), logits(model, cache_implementation="quantized")
    assert 0 < np.abs(eight[0] - plain[0]).max() < np.abs(four[0] - plain[0]).max() < 2
    assert np.array_equal(eight, logits(model, cache_implementation="quantized", cache_config={"nbits": 8, "q_group_size": 32}))
    config = GenerationConfig(cache_implementation="quantized", cache_config={"nbits": 4, "backend": "quanto"})
    assert np.array_equal(four, logits(model, generation_config=config))
    assert np.array_equal(plain, logits(model, cache_implementation="dynamic"))
    loaded = AutoModelForCausalLM.from_pretrained(llama, dtype="float32", kv_bits=8, kv_group_size=32)
    assert np.array_equal(eight, logits(loaded))
    with pytest.raises(ValueError):
        model.generate(ids, max_new_tokens=1, kv_bits=3)


def test_a_model_of_the_hub_that_is_on_this_machine(llama: str, tmp_path: Any, monkeypatch: Any) -> None:
    """The cache of huggingface_hub: snapshots by commit, refs by branch."""
    import shutil

    from mica import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--small"
    shutil.copytree(llama, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert AutoConfig.from_pretrained("someone/small").model_type == "llama"
    model = AutoModelForCausalLM.from_pretrained("someone/small", device_map="mlx")
    tokenizer = AutoTokenizer.from_pretrained("someone/small", revision="main")
    assert model.generate(**tokenizer("The river", return_tensors="np"), max_new_tokens=2).shape == (1, 5)
    with pytest.raises(OSError):
        AutoModelForCausalLM.from_pretrained("someone/other")
