"""Hidden states and attentions, of calls and of generate, and generate from embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import OWN_MODEL, SHARED, folder_name, run_python
from script_runs import torch_python

LOOK = {"output_hidden_states": True, "output_attentions": True}
FAMILIES = [p for p in (SHARED / "reference" / "models" / n for n in ("gemma2", "gemma3_text")) if p.exists()]


@pytest.mark.parametrize("folder", [OWN_MODEL, *FAMILIES], ids=folder_name)
def test_as_transformers(folder: Path) -> None:
    done = run_python(torch_python(), str(Path(__file__).with_name("inside_script.py")), str(folder))
    assert "largest difference" in done.stdout, done.stderr[-2000:]


def test_shapes_and_sums(model: Any) -> None:
    ids = np.array([[1, 1, 0, 296, 494], [0, 59, 289, 35, 442]])
    mask = np.array([[0, 0, 1, 1, 1], [1] * 5])
    plain = model(ids, attention_mask=mask)
    assert plain.attentions is None and "attentions" not in plain
    out = model(ids, attention_mask=mask, **LOOK)
    info = model.config
    assert len(out.attentions) == info.num_hidden_layers and len(out.hidden_states) == info.num_hidden_layers + 1
    assert np.array_equal(out.logits, plain.logits)
    for layer in out.attentions:
        assert layer.shape == (2, info.num_attention_heads, 5, 5) and layer.dtype == np.float32
        assert np.allclose(layer.sum(-1), 1, atol=1e-5)
        assert not layer[0, :, 2:, :2].any() and not np.triu(layer[1, 0], 1).any()
    settings = {"attention_mask": mask, "max_new_tokens": 4, "do_sample": False, "return_dict_in_generate": True, "eos_token_id": None}
    without, looked = model.generate(ids, **settings), model.generate(ids, **settings, **LOOK)
    assert without.hidden_states is None and np.array_equal(without.sequences, looked.sequences)
    assert [a[0].shape[-2:] for a in looked.attentions] == [(5, 5), (1, 6), (1, 7), (1, 8)]
    assert [h[-1].shape for h in looked.hidden_states] == [(2, n, info.hidden_size) for n in (5, 1, 1, 1)]
    again = model(looked.sequences, attention_mask=np.concatenate([mask, np.ones((2, 4), int)], 1), **LOOK)
    for step in range(4):
        for a, b in zip(looked.hidden_states[step], again.hidden_states):
            assert np.array_equal(a[:, -1], b[:, 4 + step])  # the same to the bit, with whatever it is computed
        for a, b in zip(looked.attentions[step], again.attentions):
            assert np.allclose(a[:, :, -1], b[:, :, 4 + step, : 5 + step], atol=1e-6)
    assert not isinstance(model.generate(ids, **{**settings, "return_dict_in_generate": False}, **LOOK), dict)


def test_what_guesses_ahead_does_not_when_it_is_looked_at(model: Any) -> None:
    ids = np.array([[0, 59, 289, 35, 59, 289]])
    settings = {"max_new_tokens": 6, "do_sample": False, "return_dict_in_generate": True, "eos_token_id": None}
    plain = model.generate(ids, **settings, **LOOK)
    guessed = model.generate(ids, prompt_lookup_num_tokens=3, **settings, **LOOK)
    assert np.array_equal(plain.sequences, guessed.sequences)
    assert [h[0].shape for h in guessed.hidden_states] == [h[0].shape for h in plain.hidden_states]


@pytest.mark.parametrize("folder", [OWN_MODEL, *FAMILIES], ids=folder_name)
def test_embeddings_as_transformers(folder: Path) -> None:
    done = run_python(torch_python(), str(Path(__file__).with_name("embeddings_script.py")), str(folder))
    assert "are the same" in done.stdout, done.stderr[-2000:]


def test_generate_from_embeddings(model: Any) -> None:
    ids = np.array([[1, 1, 0, 296, 494], [0, 59, 289, 35, 442]])
    settings = {"attention_mask": np.array([[0, 0, 1, 1, 1], [1] * 5]), "max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    plain = model.generate(ids, **settings)
    vectors = model.get_input_embeddings()(ids)
    assert np.array_equal(model.generate(inputs_embeds=vectors, **settings), plain[:, 5:])
    assert np.array_equal(model.generate(ids, inputs_embeds=vectors, **settings), plain)
    assert np.array_equal(model.generate(inputs_embeds=vectors[1:], prompt_lookup_num_tokens=3, max_new_tokens=6, eos_token_id=None), plain[1:, 5:])
    out = model.generate(inputs_embeds=vectors, return_dict_in_generate=True, **settings)
    assert out.past_key_values.get_seq_length() == 10
    out.past_key_values.crop(7)
    mask = np.concatenate([settings["attention_mask"], np.ones((2, 3), int)], 1)
    last = model(plain[:, 7:8], attention_mask=mask, past_key_values=out.past_key_values)
    assert np.array_equal(last.logits[:, 0].argmax(-1), plain[:, 8])
    with pytest.raises(ValueError, match="rows"):
        model.generate(ids[:1], inputs_embeds=vectors, max_new_tokens=1)
    with pytest.raises(ValueError, match="shapes"):
        model.generate(inputs_embeds=vectors, attention_mask=np.ones((2, 4), int), max_new_tokens=1)
