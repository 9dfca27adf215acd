"""Lazy arrays: what they compute is numpy's, and memory goes in and out without a copy."""

from __future__ import annotations

import gc
import weakref
from typing import Any, Callable

import numpy as np
import pytest

import mica
import mica.core as mx

rng = np.random.default_rng(1)
A = rng.standard_normal((3, 4)).astype(np.float32)
B = rng.standard_normal((4, 5)).astype(np.float32)


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (lambda a: a + 1, lambda a: a + 1),
        (lambda a: 2 - a * a, lambda a: 2 - a * a),
        (lambda a: 1 / (a * a + 1), lambda a: 1 / (a * a + 1)),
        (lambda a: -abs(a), lambda a: -abs(a)),
        (lambda a: (a * a) ** 1.5, lambda a: (a * a) ** 1.5),
        (lambda a: a // 0.3, lambda a: a // np.float32(0.3)),
        (lambda a: a.T @ a, lambda a: a.T @ a),
        (lambda a: a @ a[0], lambda a: a @ a[0]),
        (lambda a: mx.where(a > 0, a, 0.0), lambda a: np.where(a > 0, a, 0)),
        (lambda a: mx.softmax(a, axis=0), lambda a: np.exp(a) / np.exp(a).sum(0)),
        (lambda a: mx.exp(a).sum(axis=1, keepdims=True), lambda a: np.exp(a).sum(1, keepdims=True)),
        (lambda a: a.mean(), lambda a: a.mean()),
        (lambda a: a.max(axis=(0, 1)), lambda a: a.max()),
        (lambda a: mx.var(a, axis=1), lambda a: a.var(1)),
        (lambda a: mx.std(a), lambda a: a.std()),
        (lambda a: mx.argmax(a, axis=1), lambda a: a.argmax(1)),
        (lambda a: mx.sort(a, axis=0), lambda a: np.sort(a, 0)),
        (lambda a: mx.cumsum(a, axis=1), lambda a: a.cumsum(1)),
        (lambda a: mx.clip(a, -0.5, 0.5), lambda a: a.clip(-0.5, 0.5)),
        (lambda a: mx.concatenate([a, a * 2], axis=1), lambda a: np.concatenate([a, a * 2], 1)),
        (lambda a: mx.stack([a, a], axis=1), lambda a: np.stack([a, a], 1)),
        (lambda a: mx.split(a, [1, 3], axis=1)[1], lambda a: a[:, 1:3]),
        (lambda a: mx.log_softmax(a), lambda a: a - np.log(np.exp(a).sum(-1, keepdims=True))),
        (lambda a: mx.broadcast_to(a[:1], (5, 4)), lambda a: np.broadcast_to(a[:1], (5, 4))),
        (lambda a: mx.addmm(a[:, :1], a, a.T), lambda a: a[:, :1] + a @ a.T),
        (lambda a: mx.fast.rms_norm(a, mx.ones(4), 1e-5), lambda a: a / np.sqrt((a * a).mean(-1, keepdims=True) + 1e-5)),
    ],
)
def test_operations(ours: Callable[[Any], Any], theirs: Callable[[Any], Any]) -> None:
    found = ours(mx.array(A))
    close(found, theirs(A))
    assert found.shape == np.shape(theirs(A))


@pytest.mark.parametrize(
    "key",
    [0, -1, (1, 2), slice(None, None, 2), (slice(None), 1), (..., 0), (None, 0), (slice(2, 0, -1),), [2, 0, -1], (0, [1, 1, 3]),
     (slice(None), slice(3, 1)), (slice(None), None, slice(-2, None))],
)  # fmt: skip
def test_slices(key: Any) -> None:
    found = np.asarray(mx.array(A)[key])
    assert found.shape == A[key].shape and (found == A[key]).all()


def test_wrong_indices_and_shapes() -> None:
    a = mx.array(A)
    for key in (3, (0, 0, 0), (slice(None), 9)):
        with pytest.raises(IndexError):
            a[key]
    before = a * 2
    with pytest.raises(ValueError, match="do not fit"):
        a + mx.array([1.0, 2.0, 3.0, 4.0, 5.0])
    close(before, A * 2)  # an error leaves what was built before it


def test_it_is_lazy() -> None:
    a = mx.array(A)
    b = a + 1
    assert b.shape == (3, 4) and b._graph is not None
    mx.eval({"b": [b]})
    assert b._graph is None
    close(b * 2 + a, (A + 1) * 2 + A)  # arrays of an earlier graph go on


def test_integers_and_bools() -> None:
    a = np.array([[7, -7], [2, 3]], np.int32)
    close(mx.array(a) // 2, a // 2)
    close(mx.array(a) % 3, a % 3)
    assert (mx.array(a) + 1).dtype is mx.int32 and (mx.array(a) / 2).dtype is mx.float32
    close((mx.array(a) > 2) & ~(mx.array(a) == 7), (a > 2) & (a != 7))
    assert mx.array([1, 2]).tolist() == [1, 2] and mx.array(3).item() == 3 and bool(mx.array(True))


def test_numpy_shares_memory_both_ways() -> None:
    values = A.copy()
    a = mx.array(values)
    assert np.shares_memory(np.asarray(a), values)
    b = a * 2
    view = np.asarray(b.T)
    assert np.shares_memory(view, np.asarray(b)) and view.shape == (4, 3)
    again = mx.from_dlpack(b)
    assert np.shares_memory(np.asarray(again), np.asarray(b))
    assert np.shares_memory(np.from_dlpack(b), np.asarray(b))


def test_memory_is_given_back() -> None:
    class Memory(bytearray):
        pass

    memory = Memory(np.arange(6, dtype=np.float32).tobytes())
    gone = weakref.ref(memory)
    values = np.frombuffer(memory, dtype=np.float32)
    a = mx.array(values)
    kept = np.asarray(mx.array(values)[1:3] + 0)
    b = a + 1
    del values, memory
    gc.collect()
    assert gone() is not None
    close(b, np.arange(6) + 1)
    del a, b
    gc.collect()
    mx.eval(mx.zeros(1))
    gc.collect()
    assert gone() is None
    close(kept, [1, 2])


def test_bfloat16() -> None:
    a = mx.array([1.0, 2.5, -3.0]).astype(mx.bfloat16)
    assert a.dtype is mx.bfloat16 and a.tolist() == [1.0, 2.5, -3.0] and a.nbytes == 6
    with pytest.raises(TypeError, match="bfloat16"):
        np.asarray(a)


def test_torch_if_it_is_there() -> None:
    torch = pytest.importorskip("torch")
    t = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    a = mx.array(t)
    t[0, 0] = 9
    assert a[0, 0].item() == 9
    assert torch.from_dlpack(a).data_ptr() == t.data_ptr()


def test_the_public_name() -> None:
    assert mica.array is mx.array


def test_assignment() -> None:
    a = mx.arange(12).reshape(3, 4)
    numbers = np.arange(12).reshape(3, 4)
    same = a
    for key, value in (
        ((0,), 5), ((1, 2), 7), ((slice(None), slice(1, 3)), [[1], [2], [3]]), ((..., -1), 4), ((slice(None, None, 2), slice(None, None, -1)), 6),
    ):  # fmt: skip
        a[key] = mx.array(value) if isinstance(value, list) else value
        numbers[key] = value
        assert a.tolist() == numbers.tolist()
    assert same is a
    a[mx.array([0, 2]), mx.array([1, 3])] = mx.array([-1, -2])
    assert (a[0, 1].item(), a[2, 3].item()) == (-1, -2)
    a[a < 0] = 0
    assert a.min().item() == 0
    a += 1
    a[0] *= 2
    assert same.tolist() == a.tolist() and a[0, 1].item() == 2
    with pytest.raises(ValueError):
        a[1] = mx.array([1, 2])
    with pytest.raises(IndexError):
        a[3] = 1


def test_assignment_leaves_shared_memory_alone() -> None:
    numbers: Any = np.ones(4, "float32")
    a = mx.array(numbers)
    view = np.asarray(a)
    a[1] = 5
    assert numbers.tolist() == view.tolist() == [1, 1, 1, 1] and a.tolist() == [1, 5, 1, 1]


def test_updates() -> None:
    a = mx.zeros((2, 3))
    made = a.at[mx.array([0, 0, 1])].add(mx.array([[1.0], [10.0], [100.0]]))
    assert made.tolist() == [[11, 11, 11], [100, 100, 100]] and a.sum().item() == 0
    assert made.at[:, 1].multiply(2).tolist() == [[11, 22, 11], [100, 200, 100]]
    assert made.at[0].maximum(50).at[1].minimum(60).tolist() == [[50] * 3, [60] * 3]


def test_indices() -> None:
    a = mx.arange(24).reshape(2, 3, 4)
    n = np.arange(24).reshape(2, 3, 4)
    i, j = [1, 0], [2, 1]
    assert a[mx.array(i), mx.array(j)].tolist() == n[i, j].tolist()
    assert a[mx.array(i), :, mx.array(j)].tolist() == n[i, :, j].tolist()
    assert a[1, mx.array(j)].tolist() == n[1, j].tolist()
    with pytest.raises(ValueError, match="boolean"):
        a[a > 3]


def test_operations_made_of_others() -> None:
    x = mx.array([[1.0, -2.0], [3.0, 0.5]])
    assert mx.tril(x).tolist() == [[1, 0], [3, 0.5]] and mx.diag(x).tolist() == [1, 0.5]
    assert mx.tile(mx.array([1, 2]), (2, 2)).tolist() == [[1, 2, 1, 2]] * 2
    assert mx.roll(mx.arange(4), 1).tolist() == [3, 0, 1, 2] and mx.repeat(mx.arange(2), 2).tolist() == [0, 0, 1, 1]
    assert mx.pad(mx.arange(2), 1).tolist() == [0, 0, 1, 0] and mx.topk(mx.array([4, 1, 3]), 2).tolist() == [3, 4]
    assert mx.allclose(x, x + 1e-7).item() and not mx.array_equal(x, x + 1).item()
    assert mx.tensordot(x, x, 1).tolist() == (x @ x).tolist() and mx.median(x).item() == 0.75
    with pytest.raises(AttributeError):
        mx.no_such_operation


def test_bfloat16_through_dlpack() -> None:
    a = mx.array([[1.5, -2.0, 3.0]]).astype(mx.bfloat16)

    class Other:
        def __dlpack__(self, **kwargs: Any) -> Any:
            return a.__dlpack__()

        def __dlpack_device__(self) -> Any:
            return a.__dlpack_device__()

    b = mx.from_dlpack(Other())
    assert b.dtype is mx.bfloat16 and b.tolist() == a.tolist()
    from mica import _dlpack

    held = len(_dlpack._held)
    del b
    gc.collect()
    assert len(_dlpack._held) == held - 1
