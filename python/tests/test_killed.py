"""save_pretrained, killed: the folder is absent or complete at every moment, and a script that is run again goes on.

MICA_KILLS says how often (6 by default)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

KILLS = int(os.environ.get("MICA_KILLS", "6"))
SCRIPT = """
import sys
from mica import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], quantize="affine-4-32")
print("loaded", flush=True)
model.save_pretrained(sys.argv[2], max_shard_size="20KB")
print("saved", flush=True)
"""


def save(folder: str, target: Path, after: float = -1) -> float:
    """Runs the script and kills it `after` seconds of saving; how long that took."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, folder, str(target)], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"loaded\n"
    start = time.monotonic()
    if after < 0:
        assert process.stdout.readline() == b"saved\n"
    else:
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
    took = time.monotonic() - start
    process.stdout.close()
    process.wait()
    return took


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_absent_or_complete(llama: str, tmp_path: Path) -> None:
    target = tmp_path / "x"
    takes = save(llama, target)
    complete = files(target)
    # saving ends with the program's own settings; until then the checkpoint's are there
    settings = {complete["generation_config.json"], Path(llama, "generation_config.json").read_bytes()}
    for path in target.iterdir():
        path.unlink()
    target.rmdir()
    generator = random.Random(7)
    seen = {"absent": 0, "complete": 0}
    for _ in range(KILLS):
        save(llama, target, generator.uniform(0, takes * 1.2))
        seen["complete" if target.exists() else "absent"] += 1
        if not target.exists():
            continue
        found = files(target)
        assert found["generation_config.json"] in settings
        found["generation_config.json"] = complete["generation_config.json"]
        assert {name: data for name, data in found.items() if not name.startswith(".")} == complete
        for path in target.iterdir():
            path.unlink()
        target.rmdir()
    print(f"killed {KILLS} times: {seen}")
    save(llama, target)
    assert files(target) == complete
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
