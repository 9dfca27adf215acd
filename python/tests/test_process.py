"""Threads, signals, memory, fork."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
from conftest import environment, run_python

from mica import AutoModelForCausalLM, AutoTokenizer

# A model of random weights that is slow enough to be interrupted.
SLOW = """
import json, os, sys, tempfile
from mica import _lib
from mica.model import MicaForCausalLM
from mica.configuration import PretrainedConfig

fields = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 1024, "intermediate_size": 4096,
          "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 1000,
          "max_position_embeddings": 100000, "bos_token_id": 1, "rms_norm_eps": 1e-5, "tie_word_embeddings": True}
folder = tempfile.mkdtemp()
open(os.path.join(folder, "config.json"), "w").write(json.dumps(fields))
options = _lib.ModelOptions(random_weights=b"affine-4-64")
pointer = _lib.c_void_p()
_lib.call(_lib.C.mica_model_load, _lib.byref(pointer), folder.encode(), _lib.byref(options))
model = MicaForCausalLM(_lib.Handle(pointer, _lib.C.mica_model_free), PretrainedConfig.from_dict(fields), folder, folder, "auto", 0)
"""


@pytest.mark.parametrize(
    "work",
    [
        "model.generate([[1, 2, 3]], max_new_tokens=90000)",  # many tokens
        "model.generate([[i % 1000 for i in range(90000)]], max_new_tokens=1)",  # a long prompt
        "model([[i % 1000 for i in range(20000)]])",
        "model([[i % 1000 for i in range(20000)]], use_cache=True)",
    ],
)
def test_ctrl_c_stops_it(work: str) -> None:
    code = SLOW + f"""
print("ready", flush=True)
try:
    {work}
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(len(model.generate([[1, 2, 3]], max_new_tokens=2)[0]), flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment(), text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    time.sleep(1.0)
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    assert child.stdout.readline() == "5\n"
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = status
    assert status == 0
    assert used.ru_utime < 30  # of its two threads; the whole work takes minutes. Not by the clock: a busy machine may stop tests


def test_several_threads_generate_at_once(model: Any, tokenizer: Any) -> None:
    prompts = ["The river", "When the sun comes", "One says", "A small boat"] * 2
    alone = [model.generate(**tokenizer(p, return_tensors="np"), max_new_tokens=20).tolist() for p in prompts]
    found: list[Any] = [None] * len(prompts)

    def run(i: int) -> None:
        found[i] = model.generate(**tokenizer(prompts[i], return_tensors="np"), max_new_tokens=20).tolist()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_the_interpreter_goes_on_meanwhile() -> None:
    code = SLOW + """
import threading, time
ticks = []
def tick():
    while len(ticks) < 10000:
        ticks.append(time.monotonic()); time.sleep(0.002)
threading.Thread(target=tick, daemon=True).start()
start = time.monotonic()
model([[i % 1000 for i in range(1500)]])
end = time.monotonic()
inside = [t for t in ticks if start < t < end]
print(len(inside) > (end - start) / 0.1, len(inside), end - start)
"""
    done = run_python(sys.executable, "-c", code)
    assert done.stdout.startswith("True"), done.stdout + done.stderr


def test_an_exception_in_a_callback_comes_out(model: Any, tokenizer: Any) -> None:
    class Broken:
        def put(self, value: Any) -> None:
            if value.ndim == 1:
                raise RuntimeError("the streamer is broken")

        def end(self) -> None:
            pass

    inputs = tokenizer("The river", return_tensors="np")
    with pytest.raises(RuntimeError, match="the streamer is broken"):
        model.generate(**inputs, streamer=Broken(), max_new_tokens=5)
    with pytest.raises(ZeroDivisionError):
        model.generate(**inputs, logits_processor=[lambda ids, scores: 1 / 0], max_new_tokens=5)
    assert model.generate(**inputs, max_new_tokens=2).shape[1] == inputs["input_ids"].shape[1] + 2


def test_what_is_dropped_is_freed(llama: str) -> None:
    own = AutoModelForCausalLM.from_pretrained(llama)
    own.generate([[1, 2, 3]], max_new_tokens=3)
    handles: list[Any] = [weakref.ref(own._handle), weakref.ref(own._pool[0])]
    tokenizer = AutoTokenizer.from_pretrained(llama)
    handles.append(weakref.ref(tokenizer._handle))
    del own, tokenizer
    gc.collect()
    assert [h() for h in handles] == [None] * 3


def test_memory_does_not_grow(llama: str) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def once() -> None:
        own = AutoModelForCausalLM.from_pretrained(llama)
        own.generate([[1, 2, 3]], max_new_tokens=3, return_dict_in_generate=True, output_scores=True)

    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc")
    for _ in range(5):
        once()
    before = resident()
    for _ in range(40):
        once()
    assert resident() - before < 8 << 20


def test_a_forked_child_is_told_and_can_load_its_own(model: Any, tokenizer: Any, llama: str) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            model.generate([[1, 2, 3]], max_new_tokens=2)
            said = "it ran"
        except RuntimeError as e:
            own = AutoModelForCausalLM.from_pretrained(llama, dtype="float32")
            said = f"{e} {tokenizer.decode(tokenizer('The river')['input_ids'], skip_special_tokens=True)} {own.generate([[1, 2, 3]], max_new_tokens=2).tolist()}"
        os.write(writer, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    said = os.read(reader, 1000).decode()
    assert "forked" in said and "The river" in said  # a tokenizer has no threads that could be missing
    assert said.endswith(str(model.generate([[1, 2, 3]], max_new_tokens=2).tolist()))
