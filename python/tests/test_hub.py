"""Ids of the Hub and push_to_hub, against a Hub in this process."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "hub"))
from hub_server import Hub  # noqa: E402

ID = "org/pushed"


@pytest.fixture()
def hub(tmp_path: Path, monkeypatch: Any) -> Iterator[Hub]:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN_PATH", "http_proxy",
                 "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    with Hub() as hub:
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", "hf_good")
        yield hub


def stored(hub: Hub, revision: str = "main") -> dict[str, bytes]:
    repository = hub.repositories[ID]
    return {p: f.read() for p, f in repository.commits[repository.find(revision) or revision].items() if p != ".gitattributes"}


def test_there_and_back(hub: Hub, llama: str, model: Any, tokenizer: Any) -> None:
    from mica import AutoModelForCausalLM, AutoTokenizer

    info = model.push_to_hub(ID, private=True, quantize=8)
    assert info == info.commit_url == f"{hub.endpoint}/{ID}/commit/{info.oid}"
    assert info.oid == hub.repositories[ID].refs["main"] and info.pr_url is None
    assert hub.repositories[ID].private
    assert hub.repositories[ID].messages[info.oid] == info.commit_message == "Upload LlamaForCausalLM"
    tokenizer.push_to_hub(ID, commit_message="and its tokenizer")  # saved with the model already: nothing to do
    files = stored(hub)
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(files)
    card = files["README.md"].decode()
    assert "library_name: mlx" in card and "- mlx" in card and f'load("{ID}")' in card and "base_model" not in card

    again = AutoModelForCausalLM.from_pretrained(ID, device_map="mlx")
    ids = AutoTokenizer.from_pretrained(ID)("The river", return_tensors="np")
    assert ids["input_ids"].tolist() == tokenizer("The river", return_tensors="np")["input_ids"].tolist()
    np.testing.assert_allclose(again(**ids).logits, model(**ids).logits, atol=0.5)


def test_nothing_new(hub: Hub, model: Any) -> None:
    first = model.push_to_hub(ID)
    n = len(hub.log)
    again = model.push_to_hub(ID)
    assert again.oid == "" and str(again) == f"{hub.endpoint}/{ID}"
    assert not [r for r in hub.log[n:] if r.method == "PUT" or "/commit/" in r.path]
    assert hub.repositories[ID].refs["main"] == first.oid


def test_branches_and_pull_requests(hub: Hub, model: Any, tokenizer: Any) -> None:
    main = tokenizer.push_to_hub(ID)
    info = model.push_to_hub(ID, create_pr=True, commit_message="a model", commit_description="of which more could be said")
    assert info.pr_url == f"{hub.endpoint}/{ID}/discussions/1" and info.pr_revision == "refs/pr/1"
    assert "model.safetensors" in stored(hub, "refs/pr/1") and hub.repositories[ID].refs["main"] == main.oid
    commits = [r.body for r in hub.log if "/commit/" in r.path]
    assert b"of which more could be said" in commits[-1] or not commits[-1]  # the log keeps small bodies only
    model.generation_config.push_to_hub(ID, revision="dev")
    model.config.push_to_hub(ID, revision="dev", commit_message="settings")
    assert {"generation_config.json", "config.json"} <= set(stored(hub, "dev")) and "config.json" not in stored(hub)
    assert "settings" in hub.repositories[ID].messages.values()


def test_from_a_model_of_the_hub(hub: Hub, llama: str) -> None:
    from mica import AutoModelForCausalLM

    root = Path(llama)
    hub.add("them/theirs", {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()})
    model = AutoModelForCausalLM.from_pretrained("them/theirs", device_map="mlx")
    model.push_to_hub(ID, format="mlx")
    assert "base_model: them/theirs\n" in stored(hub)["README.md"].decode()


def test_saving_and_pushing(hub: Hub, model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "saved", push_to_hub=True, repo_id=ID)
    assert "model.safetensors" in stored(hub) and (tmp_path / "saved" / "config.json").exists()


def test_refusals(hub: Hub, tokenizer: Any, monkeypatch: Any, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(OSError) as e:
        tokenizer.push_to_hub(ID, token="hf_unknown")
    assert "hf_unknown" not in str(e.value)
    with pytest.raises(ValueError):
        tokenizer.push_to_hub("a/b/c")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(OSError, match="HF_TOKEN"):
        tokenizer.push_to_hub(ID)
    assert tokenizer.push_to_hub(ID, token="hf_good").oid
    assert "hf_good" not in caplog.text


def test_one_of_several_gguf_files(hub: Hub) -> None:
    from mica import _hub

    hub.add("org/gguf", {"m-Q4_0.gguf": b"GGUF4", "m-Q8_0.gguf": b"GGUF8"})
    assert Path(_hub.locate("org/gguf:Q8_0", {})).read_bytes() == b"GGUF8"
    assert Path(_hub.locate("org/gguf", {"gguf_file": "m-Q4_0.gguf"})).read_bytes() == b"GGUF4"
    with pytest.raises(OSError, match="several GGUF files"):
        _hub.locate("org/gguf", {})
