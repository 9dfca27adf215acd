"""Tokenizers: call forms, padding, truncation, conversations. What has a value here is what Transformers gives."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_python
from script_runs import torch_python

from mica import AddedToken, AutoTokenizer, BatchEncoding

TEXTS = ["The river", "When the sun comes, they turn gold.", "", "a"]
CHAT = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "The river runs"}]


def test_forms_of_a_call(tokenizer: Any) -> None:
    one = tokenizer("The river")
    assert isinstance(one, BatchEncoding) and one.input_ids == one["input_ids"] == tokenizer.encode("The river")
    assert one.attention_mask == [1] * len(one.input_ids) and set(one) == {"input_ids", "attention_mask"}
    many = tokenizer(TEXTS[:2])
    assert [len(m) for m in many["attention_mask"]] == [len(i) for i in many["input_ids"]]
    assert many["input_ids"][0] == one["input_ids"]
    assert tokenizer("The", "river")["input_ids"] == tokenizer([("The", "river")])["input_ids"][0]
    pair = tokenizer("The", "river", return_token_type_ids=True, return_special_tokens_mask=True, return_length=True)
    assert set(pair["token_type_ids"]) == {0, 1} and pair["length"] == [len(pair["input_ids"])]
    assert tokenizer(["The", "river"], is_split_into_words=True)["input_ids"]
    assert tokenizer("x", return_attention_mask=False).keys() == {"input_ids"}
    assert one.tokens() == tokenizer.convert_ids_to_tokens(one.input_ids)


def test_padding(tokenizer: Any) -> None:
    left = tokenizer(TEXTS[:2], padding=True, padding_side="left", return_tensors="np")
    right = tokenizer(TEXTS[:2], padding="longest", return_tensors="np")
    assert left["input_ids"].dtype == np.int64 and left["input_ids"].shape == right["input_ids"].shape
    assert left["attention_mask"][0, 0] == 0 and right["attention_mask"][0, -1] == 0
    assert left["input_ids"][0, 0] == tokenizer.pad_token_id
    assert len(tokenizer("a", padding="max_length", max_length=9)["input_ids"]) == 9
    assert len(tokenizer("a", padding=True, pad_to_multiple_of=8)["input_ids"]) == 8
    later = tokenizer.pad([tokenizer("a"), tokenizer("The river")], return_tensors="np")
    assert later["input_ids"].shape[0] == 2 and later["attention_mask"][0].sum() == len(tokenizer("a")["input_ids"])
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="padding token"):
        tokenizer(TEXTS, padding=True)
    tokenizer.pad_token = tokenizer.eos_token
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert tokenizer(TEXTS, padding=True, return_tensors="np")["input_ids"].shape[0] == len(TEXTS)


def test_truncation(tokenizer: Any) -> None:
    whole = tokenizer(TEXTS[1])["input_ids"]
    assert tokenizer(TEXTS[1], truncation=True, max_length=4)["input_ids"] == whole[:4]
    tokenizer.truncation_side = "left"
    cut = tokenizer(TEXTS[1], truncation=True, max_length=4)["input_ids"]
    assert len(cut) == 4 and cut[0] == whole[0] and cut[1:] == whole[-3:]
    with pytest.raises(ValueError, match="truncation"):
        tokenizer("a", truncation="nothing")


@pytest.mark.parametrize("wrong", [None, 5, [5], [["a", 5]]])
def test_what_is_no_text(tokenizer: Any, wrong: Any) -> None:
    with pytest.raises(ValueError):
        tokenizer(wrong)


def test_tensors_need_rows_of_one_length(tokenizer: Any) -> None:
    with pytest.raises(ValueError):
        tokenizer(TEXTS[:2], return_tensors="np")
    with pytest.raises(ValueError, match="return_tensors"):
        tokenizer("a", return_tensors="jax")


def test_decoding(tokenizer: Any) -> None:
    ids = tokenizer("The river")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "The river"
    assert tokenizer.decode(np.array(ids)) == tokenizer.decode(ids) == "<|begin_of_text|>The river"
    assert tokenizer.batch_decode(np.array([ids, ids]), skip_special_tokens=True) == ["The river"] * 2
    assert tokenizer.decode([ids, ids]) == tokenizer.batch_decode([ids, ids])
    assert tokenizer.decode(ids[-1]) == " river"


def test_vocabulary(tokenizer: Any) -> None:
    assert len(tokenizer) == len(tokenizer.get_vocab()) == 500
    assert tokenizer.convert_tokens_to_ids(tokenizer.convert_ids_to_tokens(7)) == 7
    assert tokenizer.convert_tokens_to_ids(["a", "no such token"]) == [69, None]
    assert (tokenizer.bos_token, tokenizer.bos_token_id) == ("<|begin_of_text|>", 0)
    assert tokenizer.eos_token_id in tokenizer.all_special_ids and tokenizer.unk_token is None
    assert tokenizer.special_tokens_map["pad_token"] == "<|end_of_text|>"
    assert tokenizer.added_tokens_decoder[4] == AddedToken("<|eot_id|>", special=True)
    with pytest.raises(AttributeError):
        tokenizer.no_such_attribute


def test_tokens_can_be_added(tokenizer: Any) -> None:
    n = len(tokenizer)
    assert tokenizer.add_tokens(["<new>", "a"]) == 1 and len(tokenizer) == n + 1
    assert tokenizer.add_special_tokens({"pad_token": "<pad>"}) == 1
    assert tokenizer.pad_token == "<pad>" and tokenizer.pad_token_id == n + 1
    ids = tokenizer("The <new> river")["input_ids"]
    assert n in ids and tokenizer.decode(ids, skip_special_tokens=True) == "The <new> river"


def test_conversations(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(CHAT, tokenize=False)
    assert text.count("<|eot_id|>") == 2
    encoded = tokenizer.apply_chat_template(CHAT, return_tensors="np")
    assert isinstance(encoded, BatchEncoding) and encoded["input_ids"].ndim == 2
    assert tokenizer.apply_chat_template(CHAT, return_dict=False) == encoded["input_ids"][0].tolist()
    assert tokenizer.apply_chat_template([CHAT, CHAT], tokenize=False) == [text, text]
    going_on = tokenizer.apply_chat_template(CHAT, tokenize=False, continue_final_message=True)
    assert going_on.endswith("The river runs") and text.startswith(going_on)
    asking = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    assert asking.startswith(text) and "assistant" in asking[len(text) :]
    own = "{{ bos_token }}{{ mood }}{% for m in messages %}{{ m.content }}{% endfor %}"
    assert tokenizer.apply_chat_template(CHAT, chat_template=own, tokenize=False, mood="!") == (
        "<|begin_of_text|>!HelloThe river runs"
    )
    with pytest.raises(ValueError, match="exclude"):
        tokenizer.apply_chat_template(CHAT, continue_final_message=True, add_generation_prompt=True)
    with pytest.raises(ValueError, match="empty"):
        tokenizer.apply_chat_template([])
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="chat template"):
        tokenizer.apply_chat_template(CHAT)


def test_tools_are_described(tokenizer: Any) -> None:
    def weather(place: str, days: int = 1) -> str:
        """Says what the weather will be.

        Args:
            place: Where, a town
                or a village
            days: How far ahead
        """
        return place

    template = "{{ tools | tojson }}"
    said = json.loads(tokenizer.apply_chat_template(CHAT, tools=[weather], chat_template=template, tokenize=False))
    assert said[0]["function"]["parameters"]["required"] == ["place"]
    assert said[0]["function"]["parameters"]["properties"]["place"] == {
        "type": "string",
        "description": "Where, a town or a village",
    }
    with pytest.raises(ValueError, match="docstring"):
        tokenizer.apply_chat_template(CHAT, tools=[lambda x: x], chat_template=template, tokenize=False)


def test_saving(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = "{{ messages[0].content }}"
    files = tokenizer.save_pretrained(tmp_path / "saved")
    assert {Path(f).name for f in files} >= {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again.padding_side == "left" and again.pad_token == tokenizer.eos_token
    assert again.apply_chat_template(CHAT, tokenize=False) == "Hello"
    assert again(TEXTS, padding=True)["input_ids"] == tokenizer(TEXTS, padding=True)["input_ids"]


def test_arguments_of_from_pretrained(llama: str) -> None:
    assert AutoTokenizer.from_pretrained(llama, padding_side="left", use_fast=True).padding_side == "left"
    assert AutoTokenizer.from_pretrained(llama, pad_token="<|eot_id|>").pad_token_id == 4
    with pytest.raises(OSError):
        AutoTokenizer.from_pretrained("/no/such/folder")


COMPARED = """
import json, sys
if sys.argv[2] == "ours":
    sys.modules["transformers"] = None
    from mica import AutoTokenizer
else:
    from transformers import AutoTokenizer
t = AutoTokenizer.from_pretrained(sys.argv[1])
texts = ["The river", "When the sun comes, they turn gold.", "a", "x\\u00e9 \\u4f60\\u597d <|eot_id|> \\n\\n  b"]
pairs = [(a, b) for a in texts for b in texts[:2]]
said = []
def note(name, f):
    try:
        value = f()
    except Exception as e:
        value = "an error"
    said.append([name, value])
def enc(*a, **k):
    return lambda: {key: value.tolist() if hasattr(value, "tolist") else value for key, value in t(*a, **k).items()}
for k in ({}, {"add_special_tokens": False}, {"return_special_tokens_mask": True, "return_token_type_ids": True, "return_length": True},
          {"padding": True}, {"padding": "max_length", "max_length": 20}, {"truncation": True, "max_length": 4},
          {"padding": True, "padding_side": "left", "return_tensors": "np"}, {"truncation": True, "max_length": 6, "padding": "max_length"},
          {"padding": True, "pad_to_multiple_of": 8}, {"max_length": 4}, {"padding": "max_length"}):
    note(f"texts {k}", enc(texts, **k))
    note(f"pairs {k}", enc(pairs, **k))
    note(f"pair {k}", enc("The river runs past", "the old mill and down", **k))
for s in ("longest_first", "only_first", "only_second"):
    # Which of two long texts keeps the odd token depends in tokenizers on where it stops early, word by word.
    for n in range(4, 14, 2):
        note(f"{s} {n}", enc("The river runs past the mill", "the old mill and down", truncation=s, max_length=n))
note("words", enc(["The", "river", "runs"], is_split_into_words=True))
note("words batch", enc([["The", "river"], ["a"]], is_split_into_words=True))
note("decode", lambda: [t.decode(t(x)["input_ids"]) for x in texts])
note("skip", lambda: t.batch_decode(t(texts)["input_ids"], skip_special_tokens=True))
note("tokens", lambda: [t.tokenize(x) for x in texts])
note("tokens+", lambda: [t.tokenize(x, add_special_tokens=True) for x in texts])
note("special", lambda: [t.all_special_tokens, t.all_special_ids, t.special_tokens_map, t.num_special_tokens_to_add(), t.num_special_tokens_to_add(True)])
note("sizes", lambda: [len(t), t.vocab_size, t.model_max_length, t.padding_side, t.truncation_side, t.model_input_names, t.is_fast])
note("vocab", lambda: sorted(t.get_vocab().items()))
note("added", lambda: [[i, str(a.content), a.special, a.normalized, a.lstrip] for i, a in t.added_tokens_decoder.items()])
note("ids", lambda: [t.convert_tokens_to_ids(x) for x in ("a", ["a", "b"], "<|eot_id|>")])
note("sequence ids", lambda: t("a b", "c").sequence_ids(0))
note("pad", lambda: {k: v.tolist() for k, v in t.pad([t("a"), t("The river")], return_tensors="np").items()})
note("split", enc("a <|eot_id|> b", split_special_tokens=True))
chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "The river"}]
for k in ({}, {"add_generation_prompt": True}, {"continue_final_message": True}, {"tokenize": False}, {"return_dict": False}):
    note(f"chat {k}", lambda: (lambda v: dict(v) if hasattr(v, "keys") else v)(t.apply_chat_template(chat, **k)))
note("chats", lambda: dict(t.apply_chat_template([chat, chat[:1]], padding=True)))
for wrong in (5, None, [5]):
    note(f"wrong {wrong}", enc(wrong))
print(json.dumps(said))
"""


def test_everything_is_as_in_transformers(folder: str) -> None:
    python = torch_python()
    said = [run_python(python, "-c", COMPARED, folder, who) for who in ("theirs", "ours")]
    theirs, ours = (json.loads(s.stdout.splitlines()[-1]) if s.returncode == 0 else pytest.fail(s.stderr) for s in said)
    assert len(theirs) == len(ours) > 60
    different = [(a[0], a[1], b[1]) for a, b in zip(theirs, ours) if a != b]
    assert not different, different[0]


def test_offsets(tokenizer: Any) -> None:
    text = "The r\u00efver \U0001f600 runs"
    found = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    pieces = [text[a:b] for (a, b), special in zip(found["offset_mapping"], found["special_tokens_mask"]) if not special]
    assert pieces[0] == "The" and "\U0001f600" in pieces and "" not in pieces
    assert found["offset_mapping"][0] == (0, 0) and found["offset_mapping"][-1][1] == len(text)
    assert found.char_to_token(0) == 1 and tuple(found.token_to_chars(1)) == (0, 3)
    assert found.token_to_chars(0) is None and found.word_ids()[:2] == [None, 0]
    assert tokenizer(["a", "bc"], is_split_into_words=True, return_offsets_mapping=True)["offset_mapping"][1] == (0, 1)


def test_windows(tokenizer: Any) -> None:
    text = "The river runs past the old mill and down to the sea"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = tokenizer(
        text, max_length=6, truncation=True, stride=2, return_overflowing_tokens=True, return_offsets_mapping=True, add_special_tokens=False
    )
    rows = found["input_ids"]
    assert found["overflow_to_sample_mapping"] == [0] * len(rows) and len(rows) > 2
    assert rows[0] + [i for row in rows[1:] for i in row[2:]] == ids
    assert all(a[-2:] == b[:2] for a, b in zip(rows, rows[1:]))
    assert found["offset_mapping"][1][0] == found["offset_mapping"][0][4]
    assert len(tokenizer(text, max_length=6, truncation=True)["input_ids"]) == 6
    pair = tokenizer(["Who?"], [text], max_length=14, truncation="only_second", stride=1, return_overflowing_tokens=True)
    assert len({tuple(row[:3]) for row in pair["input_ids"]}) == 1 and len(pair["input_ids"]) > 1
    with pytest.raises(ValueError):
        tokenizer(text, max_length=4, truncation=True, stride=4, return_overflowing_tokens=True)


def test_what_an_assistant_said(tokenizer: Any) -> None:
    template = "{% for m in messages %}<{{ m.role }}>{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    chat = [{"role": "user", "content": "Hi \U0001f600"}, {"role": "assistant", "content": "you"}]
    found = tokenizer.apply_chat_template(chat, chat_template=template, return_assistant_tokens_mask=True)
    said = [i for i, m in zip(found["input_ids"], found["assistant_masks"]) if m]
    assert "you" in tokenizer.decode(said) and "user" not in tokenizer.decode(said)
    with pytest.raises(ValueError):
        tokenizer.apply_chat_template(chat, chat_template=template, return_assistant_tokens_mask=True, return_dict=False)


def test_tokens_round_the_text(llama: str) -> None:
    from mica import AutoTokenizer

    t = AutoTokenizer.from_pretrained(llama, add_eos_token=True)
    assert t("a")["input_ids"][-1] == t.eos_token_id and t("a")["input_ids"][0] != t.bos_token_id
    t.add_bos_token = True
    assert t("a")["input_ids"][0] == t.bos_token_id and t.num_special_tokens_to_add() == 2
    assert t("a", "b", return_token_type_ids=True)["token_type_ids"].count(1) == 3


def test_copies(tokenizer: Any) -> None:
    tokenizer.add_tokens(["<new>"])
    tokenizer.pad_token = "<new>"
    encoded = tokenizer("a <new> b")
    for copied in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert copied("a <new> b")["input_ids"] == encoded["input_ids"] and copied.pad_token_id == tokenizer.pad_token_id
        copied.add_tokens(["<other>"])
        assert len(copied) == len(tokenizer) + 1
    for again in (copy.deepcopy(encoded), pickle.loads(pickle.dumps(encoded))):
        assert again["input_ids"] == encoded["input_ids"] and again.tokens() == encoded.tokens()


def test_mistakes(llama: str, tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="padding_side"):
        AutoTokenizer.from_pretrained(llama, padding_side="middle")
    with pytest.raises(ValueError, match="foo_token"):
        tokenizer.add_special_tokens({"foo_token": "x"})
    with pytest.raises(TypeError):
        tokenizer.decode("text")
    tokenizer.unk_token = "<not in the vocabulary>"
    assert tokenizer.unk_token_id is None and tokenizer.convert_tokens_to_ids("neither is this") is None
    assert tokenizer.batch_decode([5, 6]) == [tokenizer.decode([5, 6])]
