"""From what from_pretrained is given (a folder, a .gguf file, an id of the Hub) to a path on this machine, and back to the Hub."""

from __future__ import annotations

import os
import tempfile
from ctypes import byref
from typing import Any, Optional

from . import _lib
from ._lib import C, call

_FILES = {"model": 0, "tokenizer": 1, "all": 2}
# Arguments of from_pretrained that say where from; the last line is accepted and has no meaning here.
ARGUMENTS = (
    "revision", "token", "use_auth_token", "cache_dir", "force_download", "local_files_only", "subfolder", "gguf_file",
    "proxies", "code_revision", "trust_remote_code", "_commit_hash", "mirror", "resume_download", "local_dir",
)  # fmt: skip


def split(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Takes the arguments above out of kwargs."""
    return {name: kwargs.pop(name) for name in ARGUMENTS if name in kwargs}


def resolve(name: str, kwargs: dict[str, Any], what: str = "model") -> str:
    """The folder or .gguf file that `name` stands for; takes the arguments that say how out of kwargs."""
    return locate(name, split(kwargs), what)


def locate(name: str, where: dict[str, Any], what: str = "model") -> str:
    gguf, subfolder = where.get("gguf_file"), where.get("subfolder") or ""
    if os.path.isdir(name):
        path = os.path.join(name, subfolder) if subfolder else name
        return os.path.join(path, gguf) if gguf else path
    if os.path.isfile(name):
        return name
    repository, colon, tag = name.partition(":")  # org/name:Q4_K_M, one of its GGUF files
    if not C.mica_hub_is_id(_lib.utf8(repository)) or (colon and not tag):
        raise OSError(f"{name} is neither a folder nor a .gguf file here, nor an id of the Hub (NAME or ORG/NAME)")
    return _snapshot(repository, {**where, "gguf_file": gguf or tag or None}, what)


def _token(where: dict[str, Any]) -> Optional[bytes]:
    token = where.get("token", where.get("use_auth_token"))
    if token is False:
        return b""
    return _lib.utf8(token) if isinstance(token, str) else None


def _snapshot(name: str, where: dict[str, Any], what: str) -> str:
    snapshot = _lib.HubSnapshot()
    options = _lib.HubOptions(files=_FILES[what])
    options.revision = _lib.utf8(where["revision"]) if where.get("revision") else None
    options.subfolder = _lib.utf8(where["subfolder"]) if where.get("subfolder") else None
    options.local_only = bool(where.get("local_files_only"))
    options.force = bool(where.get("force_download"))
    options.cache_dir = os.fsencode(where["cache_dir"]) if where.get("cache_dir") else None
    options.token = _token(where)
    options.notices = _lib.notices()
    options.gguf = _lib.utf8(where["gguf_file"]) if where.get("gguf_file") else None
    try:
        call(C.mica_hub_resolve, byref(snapshot), _lib.utf8(name), byref(options))
    except _lib.InvalidError as e:
        raise OSError(str(e)) from None
    path = os.fsdecode(snapshot.model)
    C.mica_hub_snapshot_release(byref(snapshot))
    return path


class CommitInfo(str):
    """What push_to_hub returns: the address of the commit, and more about it."""

    commit_url: str
    oid: str
    pr_url: Optional[str]
    commit_message: str

    @property
    def pr_revision(self) -> Optional[str]:
        return f"refs/pr/{self.pr_url.rsplit('/', 1)[-1]}" if self.pr_url else None


def _usual_message(thing: Any) -> str:
    name = type(thing).__name__
    for kind in ("Model", "Config", "Tokenizer", "Processor"):
        if kind in name:
            return f"Upload {kind.lower()}"
    return f"Upload {name}"


def push(thing: Any, repo_id: str, **kwargs: Any) -> CommitInfo:
    """Saves `thing` to a temporary folder and uploads it, as Transformers' push_to_hub does."""
    message = kwargs.get("commit_message") or _usual_message(thing)
    options = _lib.HubUploadOptions(message=_lib.utf8(message))
    for name, key in (("revision", "revision"), ("commit_description", "description")):
        if kwargs.get(name):
            setattr(options, key, _lib.utf8(kwargs[name]))
    options.is_private = bool(kwargs.get("private"))
    options.pull_request = bool(kwargs.get("create_pr"))
    options.token = _token(kwargs)
    options.notices = _lib.notices()
    source = str(getattr(thing, "name_or_path", "") or "").partition(":")[0]
    if not os.path.exists(source) and C.mica_hub_is_id(_lib.utf8(source)):
        options.base_model = _lib.utf8(source)
    commit = _lib.HubCommit()
    with tempfile.TemporaryDirectory() as parent:
        folder = os.path.join(parent, repo_id.rsplit("/", 1)[-1])
        thing.save_pretrained(folder, **{k: v for k, v in kwargs.items() if k in ("max_shard_size", "format", "quantize")})
        call(C.mica_hub_upload, byref(commit), os.fsencode(folder), _lib.utf8(repo_id), byref(options))
    info = CommitInfo(commit.url.decode("utf-8", "replace"))
    info.commit_url, info.oid, info.commit_message = str(info), commit.commit.decode("ascii"), message
    info.pr_url = commit.pull_request_url.decode("utf-8", "replace") if commit.pull_request_url else None
    C.mica_hub_commit_release(byref(commit))
    return info
