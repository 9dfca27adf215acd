"""The border to C: layouts, functions, errors."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, run_python

from mica import _lib

# Structures of the headers and what stands for them.
STRUCTURES = {
    "mica_error": _lib.ErrorInfo,
    "mica_ids": _lib.Ids,
    "mica_text": _lib.Text,
    "mica_added_token": _lib.AddedTokenInfo,
    "mica_model_options": _lib.ModelOptions,
    "mica_model_info": _lib.ModelInfo,
    "mica_chat_template_options": _lib.ChatTemplateOptions,
    "mica_setting": _lib.Setting,
    "mica_session_options": _lib.SessionOptions,
    "mica_forward": _lib.Forward,
    "mica_batch_step": _lib.BatchStep,
    "mica_batch_inside": _lib.BatchInside,
    "mica_batch_callbacks": _lib.BatchCallbacks,
    "mica_batch_request": _lib.BatchRequest,
    "mica_batch_result": _lib.BatchResult,
    "mica_save_options": _lib.SaveOptions,
    "mica_hub_options": _lib.HubOptions,
    "mica_hub_snapshot": _lib.HubSnapshot,
    "mica_hub_upload_options": _lib.HubUploadOptions,
    "mica_hub_commit": _lib.HubCommit,
}


def test_layouts_are_those_of_the_headers(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    lines = ["#include <mica/hub.h>", "#include <mica/mica.h>", "#include <stdio.h>", "int main(void) {"]
    for name, structure in STRUCTURES.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        for field, *_ in structure._fields_:
            lines.append(f'printf("{name}.{field} %zu\\n", offsetof({name}, {field}));')
    lines.append("return 0; }")
    source = tmp_path / "layout.c"
    source.write_text("\n".join(lines))
    program = tmp_path / "layout"
    subprocess.run([compiler, "-I", str(ROOT / "include"), "-o", str(program), str(source)], check=True)
    said = dict(line.split() for line in subprocess.check_output([str(program)], text=True).splitlines())
    for name, structure in STRUCTURES.items():
        assert int(said[name]) == ctypes.sizeof(structure), name
        for field, *_ in structure._fields_:
            assert int(said[f"{name}.{field}"]) == getattr(structure, field).offset, f"{name}.{field}"


def test_every_function_is_in_the_library_and_the_headers() -> None:
    headers = "".join(p.read_text() for p in (ROOT / "include" / "mica").glob("*.h"))
    headers = re.sub(r"/\*.*?\*/", "", headers, flags=re.S)
    for name, (_, arguments) in _lib._FUNCTIONS.items():
        assert hasattr(_lib.C, name), name
        declared = re.search(rf"\b{name}\(([^;]*?)\)\s*(?:MICA_NODISCARD)?;", headers, re.S)
        assert declared, name
        text = declared.group(1)
        assert (0 if text.strip() == "void" else text.count(",") + 1) == len(arguments), name


def test_statuses_are_those_of_the_header() -> None:
    text = (ROOT / "include" / "mica" / "error.h").read_text()
    rows = re.findall(r"X\((\w+), (-?\d+), ", text)
    assert len(rows) > 10
    for name, value in rows:
        if int(value):
            assert _lib._ERRORS[int(value)].status == name


def test_errors_are_pythons_own_kinds_too(tmp_path: Path) -> None:
    from mica import AutoModelForCausalLM, MicaError

    with pytest.raises(FileNotFoundError) as missing:
        AutoModelForCausalLM.from_pretrained(str(tmp_path))
    assert isinstance(missing.value, OSError)
    with pytest.raises(OSError, match="neither a folder"):
        AutoModelForCausalLM.from_pretrained("no/such/place/here")
    (tmp_path / "config.json").write_text('{"model_type": "nothing-known"}')
    with pytest.raises(ValueError) as unknown:
        AutoModelForCausalLM.from_pretrained(str(tmp_path))
    assert isinstance(unknown.value, MicaError) and "nothing-known" in str(unknown.value)


def test_import_is_quick_and_needs_no_numpy() -> None:
    import sys

    code = "import sys, time; t = time.process_time(); import mica; t = time.process_time() - t; "
    code += "assert 'numpy' not in sys.modules and 'ctypes' not in sys.modules; print(t)"
    times = [float(run_python(sys.executable, "-c", code).stdout) for _ in range(5)]
    assert min(times) < 0.06


def test_version() -> None:
    import mica

    text = (ROOT / "include" / "mica" / "version.h").read_text()
    assert f'"{mica.__version__}"' in text


def test_public_names_exist() -> None:
    import mica

    for name in mica.__all__:
        assert getattr(mica, name) is not None
    with pytest.raises(AttributeError):
        mica.no_such_name  # noqa: B018
    assert os.path.exists(os.path.join(os.path.dirname(mica.__file__), "py.typed"))
