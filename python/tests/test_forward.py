"""Calls of a model: losses, hidden states, embeddings, caches, and what is refused. What Transformers gives is compared in the scripts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def log_softmax(x: Any) -> Any:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.fixture(scope="module")
def ids() -> Any:
    return np.array([[0, 296, 494, 491, 87, 322], [0, 59, 289, 35, 442, 429]])


def test_loss(model: Any, ids: Any) -> None:
    labels = ids.copy()
    labels[0, 3] = labels[1, 1] = -100
    out = model(ids, labels=labels)
    scores = np.take_along_axis(log_softmax(out.logits[:, :-1]), ids[:, 1:, None], -1)[..., 0]
    counted = labels[:, 1:] != -100
    assert out.loss.shape == () and out.loss.dtype == np.float32
    assert abs(float(out.loss) + scores[counted].mean()) < 1e-5
    assert list(out.keys())[:2] == ["loss", "logits"]
    whole = model(ids, labels=labels, num_items_in_batch=4, return_dict=False)[0]
    assert abs(float(whole) + scores[counted].sum() / 4) < 1e-5
    assert np.isnan(model(ids, labels=np.full_like(ids, -100)).loss)
    with pytest.raises(ValueError):
        model(ids, labels=labels + 10**6)
    with pytest.raises(ValueError):
        model(ids, labels=labels[:, 1:])


def test_hidden_states_and_embeddings(model: Any, ids: Any) -> None:
    plain = model(ids)
    assert plain.hidden_states is None
    out = model(ids, output_hidden_states=True)
    assert len(out.hidden_states) == model.config.num_hidden_layers + 1
    assert all(h.shape == (*ids.shape, model.config.hidden_size) for h in out.hidden_states)
    assert np.array_equal(out.logits, plain.logits)
    embeddings = model.get_input_embeddings()(ids)
    assert np.array_equal(embeddings, out.hidden_states[0])
    assert np.array_equal(model(inputs_embeds=embeddings).logits, plain.logits)
    with pytest.raises(ValueError):
        model(ids, inputs_embeds=embeddings)
    with pytest.raises(ValueError):
        model(inputs_embeds=embeddings[..., 1:])
    with pytest.raises(ValueError):
        model()


def test_caches(model: Any, ids: Any) -> None:
    from mica import DynamicCache

    whole = model(ids).logits
    cache = DynamicCache()
    for start, stop in ((0, 3), (3, 4), (4, 6)):
        out = model(ids[:, start:stop], past_key_values=cache)
        assert out.past_key_values is cache and cache.get_seq_length() == stop
        assert np.array_equal(out.logits, whole[:, start:stop])
    cache.crop(2)
    assert np.array_equal(model(ids[:, 2:], past_key_values=cache).logits, whole[:, 2:])
    first = model(ids[:, :4])  # the default keeps a cache, as Transformers does
    assert np.array_equal(model(ids[:, 4:], past_key_values=first.past_key_values).logits, whole[:, 4:])
    assert model(ids, use_cache=False).past_key_values is None
    with pytest.raises(ValueError, match="rows"):
        model(ids[:1], past_key_values=cache)


def test_forms_of_arguments(model: Any, ids: Any) -> None:
    whole = model(ids).logits
    assert np.array_equal(model(ids, logits_to_keep=2).logits, whole[:, -2:])
    assert np.array_equal(model(ids, logits_to_keep=np.array([1, 3])).logits, whole[:, [1, 3]])
    for mask in (np.ones_like(ids), np.ones(ids.shape, bool), np.ones(ids.shape, "float32"), ids.tolist() and [[1] * 6] * 2):
        assert np.array_equal(model(ids, attention_mask=mask).logits, whole)
    assert np.array_equal(model(ids, position_ids=np.arange(6)[None]).logits, whole)
    assert np.array_equal(model(ids.tolist()).logits, whole)
    with pytest.raises(NotImplementedError):
        model(ids, position_ids=np.array([[0, 1, 2, 4, 5, 6]]))
    with pytest.raises(NotImplementedError):
        model(ids, attention_mask=np.ones((2, 1, 6, 6)))
    assert np.array_equal(model(ids, no_such_argument=1).logits, model(ids).logits)  # as in Transformers
    with pytest.raises(IndexError, match="vocabulary"):
        model(ids + 10**6)


@pytest.mark.parametrize("name", ["state_dict", "named_modules", "get_output_embeddings", "load_adapter", "generate_batch"])
def test_what_is_refused_says_what_to_do(model: Any, name: str) -> None:
    with pytest.raises(NotImplementedError, match=name) as e:
        getattr(model, name)()
    assert "\n" not in str(e.value) and len(str(e.value)) > 60


def test_what_changes_nothing(model: Any) -> None:
    assert model.to("cpu").half().float().bfloat16().eval() is model
    assert model.compile() is None
    n = model.config.vocab_size
    assert model.resize_token_embeddings(n).num_embeddings == n
    with pytest.raises(NotImplementedError, match="resize the checkpoint"):
        model.resize_token_embeddings(n + 8)
    with pytest.raises(ValueError):
        model.cuda()


def test_processors_alone() -> None:
    import mica

    ids = np.array([[1, 2, 3, 1, 2]] * 2)
    scores = np.random.default_rng(0).normal(size=(2, 20)).astype("float32")
    before = scores.copy()
    top = mica.TopKLogitsWarper(3)(ids, scores)
    assert np.array_equal(scores, before) and (np.isfinite(top).sum(1) == 3).all()
    assert np.array_equal(top[np.isfinite(top)], scores[np.isfinite(top)])
    low = mica.TopKLogitsWarper(3, filter_value=-5.0)(ids, scores)
    assert (low == -5.0).sum() == 34
    assert np.allclose(mica.TemperatureLogitsWarper(0.5)(ids, scores), scores * 2)
    banned = mica.NoRepeatNGramLogitsProcessor(3)(ids, scores)
    assert np.isneginf(banned[:, 3]).all() and np.isfinite(np.delete(banned, 3, 1)).all()
    both = mica.LogitsProcessorList([mica.SuppressTokensLogitsProcessor([0]), mica.TopKLogitsWarper(19)])
    assert np.isneginf(both(ids, scores)[:, 0]).all()
    ends = mica.MinNewTokensLengthLogitsProcessor(3, 3, 7)
    assert np.isneginf(ends(ids, scores)[:, 7]).all() and np.isfinite(ends(np.tile(ids, 2), scores)).all()
    with pytest.raises(ValueError):
        mica.TopKLogitsWarper(0)
    assert (np.isfinite(mica.TopPLogitsWarper(1e-6, min_tokens_to_keep=3)(ids, scores)).sum(1) == 3).all()
    with pytest.raises(ValueError):
        mica.TopPLogitsWarper(0.5, min_tokens_to_keep=0)
    with pytest.raises(ValueError):
        mica.TopKLogitsWarper(3)(ids, scores[:1])
