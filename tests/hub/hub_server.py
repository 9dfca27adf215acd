"""A Hugging Face Hub in one process, for tests: the real protocol with the standard library only.

    with Hub() as hub:                              # two ports: the Hub itself, and the storage that it redirects to
        hub.add("org/name", {"config.json": b"{}", "model.safetensors": data})
        subprocess.run(["mica", "download", "org/name"], env={"HF_ENDPOINT": hub.endpoint, ...})
        hub.log                                     # [Request], in order

Large files (by name or size) are LFS: they have a SHA-256, and resolve redirects to the storage server. Files may be bytes or a path on
disk. `hub.rules` is a list of functions (request handler, Request) -> bool asked before anything else; one that answers itself returns
True. `hub.faults` changes how bodies are sent (see Fault). As a program it serves folders: hub_server.py ORG/NAME=FOLDER ...
"""
import base64
import dataclasses
import fnmatch
import hashlib
import http.server
import json
import os
import pathlib
import re
import socket
import ssl
import sys
import threading
import time
import typing
import urllib.parse

LFS_NAMES = ("*.safetensors", "*.bin", "*.gguf", "*.model")
LFS_SIZE = 1 << 20

Data = typing.Union[bytes, pathlib.Path]
Headers = typing.Dict[str, str]


def size_of(data: Data) -> int:
    return data.stat().st_size if isinstance(data, pathlib.Path) else len(data)


def bytes_of(data: Data) -> bytes:
    return data.read_bytes() if isinstance(data, pathlib.Path) else data


def sha256(data: Data) -> str:
    if isinstance(data, pathlib.Path):
        digest = hashlib.sha256()
        with open(data, "rb") as f:
            while block := f.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()
    return hashlib.sha256(data).hexdigest()


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclasses.dataclass
class Request:
    server: str  # "hub" or "storage"
    method: str
    path: str
    token: typing.Optional[str]
    range: typing.Optional[str]
    body: bytes = b""
    length: typing.Optional[str] = None
    sent: int = 0  # bytes of the body


@dataclasses.dataclass
class Fault:
    """How the storage server (or resolve, for small files) misbehaves for paths that match, `times` times (-1: always)."""
    match: str
    kind: str  # cut, reset, stall, flip, short, long, status, no_range, wrong_range, slow, chunked
    times: int = 1
    at: int = 1000  # bytes of the body before it happens
    status: int = 503
    headers: Headers = dataclasses.field(default_factory=dict)
    rate: float = 0  # bytes per second of slow


class File:
    def __init__(self, data: Data, lfs: bool) -> None:
        self.data, self.lfs = data, lfs
        self.size = size_of(data)
        self.sha256 = sha256(data) if lfs else None
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()
        self.pointer_size = len(pointer)
        self.oid = git_sha1(pointer if lfs else bytes_of(data))

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid

    def read(self) -> bytes:
        return bytes_of(self.data)


def is_lfs(path: str, data: Data) -> bool:
    size = size_of(data)
    return size > 0 and (size >= LFS_SIZE or any(fnmatch.fnmatch(path, p) for p in LFS_NAMES))


class Repository:
    def __init__(self, name: str, private: bool = False, gated: bool = False) -> None:
        self.name, self.private, self.gated = name, private, gated
        self.commits: typing.Dict[str, typing.Dict[str, File]] = {}
        self.refs: typing.Dict[str, str] = {}
        self.messages: typing.Dict[str, str] = {}
        self.commit({}, "main", "initial commit")

    def commit(self, files: typing.Dict[str, File], ref: str, message: str = "") -> str:
        text = json.dumps([self.name, ref, message, len(self.commits), sorted((p, f.etag) for p, f in files.items())])
        commit = hashlib.sha1(text.encode()).hexdigest()
        self.commits[commit], self.refs[ref], self.messages[commit] = files, commit, message
        return commit

    def find(self, revision: str) -> typing.Optional[str]:
        return revision if revision in self.commits else self.refs.get(revision)


class Hub:
    def __init__(self, page: int = 1000, part_bytes: int = 5 << 20, certificate: typing.Optional[typing.Tuple[str, str]] = None) -> None:
        """certificate: (file, key file); then it is https. `xet`: answers look as those of a Hub whose storage is Xet."""
        self.xet = False
        self.scheme = "https" if certificate else "http"
        self.repositories: typing.Dict[str, Repository] = {}
        self.objects: typing.Dict[str, Data] = {}
        self.log: typing.List[Request] = []
        self.rules: typing.List[typing.Callable[["Handler", Request], object]] = []
        self.faults: typing.List[Fault] = []
        self.tokens: typing.Dict[str, typing.Dict[str, typing.Any]] = {"hf_good": {"name": "tester", "write": True, "read": {"*"}}}
        self.page, self.part_bytes = page, part_bytes
        self.parts: typing.Dict[str, typing.Dict[int, bytes]] = {}
        self.lock = threading.Lock()
        self.servers: typing.Dict[str, Server] = {}
        for name in ("hub", "storage"):
            server = Server(("127.0.0.1", 0), Handler)
            if certificate:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*certificate)
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            server.hub, server.name = self, name
            self.servers[name] = server
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def address(self, name: str) -> str:
        # two names of this machine: huggingface_hub tells hosts apart by name
        host = {"hub": "127.0.0.1", "storage": "localhost"}[name]
        return f"{self.scheme}://{host}:{self.servers[name].server_address[1]}"

    @property
    def endpoint(self) -> str:
        return self.address("hub")

    def __enter__(self) -> "Hub":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    def add(self, name: str, files: typing.Mapping[str, typing.Union[Data, File]], ref: str = "main", **options: bool) -> str:
        """Adds a commit with exactly these files; returns it."""
        repository = self.repositories.get(name) or Repository(name)
        self.repositories[name] = repository
        for key, value in options.items():
            setattr(repository, key, value)
        entries: typing.Dict[str, File] = {}
        for path, data in files.items():
            entries[path] = data if isinstance(data, File) else File(data, is_lfs(path, data))
            if entries[path].lfs:
                self.objects[entries[path].etag] = entries[path].data
        return repository.commit(entries, ref)

    def bytes_sent(self, match: str = "*") -> int:
        return sum(r.sent for r in self.log if fnmatch.fnmatch(r.path, match))

    def body_bytes(self) -> int:
        """Of file contents, not of JSON."""
        return sum(r.sent for r in self.log if r.server == "storage" or "/resolve/" in r.path)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    hub: "Hub"
    name: str

    def handle_error(self, request: typing.Any, client_address: typing.Any) -> None:
        pass  # clients that leave are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        hub = self.server.hub
        authorization = self.headers.get("Authorization")
        length = self.headers.get("Content-Length")
        body = b""
        if self.command in ("POST", "PUT") and length:
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                self.close_connection = True
                return
        self.entry = Request(self.server.name, self.command, self.path,
                             authorization.removeprefix("Bearer ") if authorization else None, self.headers.get("Range"),
                             body if len(body) < 1 << 16 else b"", length)
        self.body = body
        with hub.lock:
            hub.log.append(self.entry)
        for rule in list(hub.rules):
            if rule(self, self.entry):
                return
        try:
            (self.serve_hub if self.server.name == "hub" else self.serve_storage)()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

    # ---- answers

    def reply(self, status: int, body: typing.Any = b"", headers: typing.Optional[Headers] = None, kind: str = "application/json") -> None:
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.entry.sent += len(body)

    def error(self, status: int, code: typing.Optional[str] = None, message: typing.Optional[str] = None,
              headers: typing.Optional[Headers] = None) -> None:
        headers = dict(headers or {})
        if code:
            headers["X-Error-Code"] = code
        if message:
            headers["X-Error-Message"] = message
        self.reply(status, {"error": message or "error"}, headers)

    def fault(self, path: str) -> typing.Optional[Fault]:
        with self.server.hub.lock:
            for fault in self.server.hub.faults:
                if fault.times != 0 and fnmatch.fnmatch(path, fault.match):
                    fault.times -= 1
                    return fault
        return None

    def send_file(self, path: str, data: Data, headers: Headers) -> None:
        """A file's body, or the range of it that is asked for, with whatever fault is set for it."""
        size = size_of(data)
        fault = (self.fault(path) if self.command == "GET" else None) or Fault(path, "none")
        kind = fault.kind
        begin, end, status = 0, size, 200
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if kind == "status":
            self.error(fault.status, headers=fault.headers)
            return
        if match and kind != "no_range":
            begin, end, status = int(match[1]), min(int(match[2]) + 1 if match[2] else size, size), 206
            if begin >= size:
                self.error(416, headers={"Content-Range": f"bytes */{size}"})
                return
            shown = begin + 1 if kind == "wrong_range" else begin
            headers = {**headers, "Content-Range": f"bytes {shown}-{end - 1}/{size}"}
        length = end - begin
        if kind == "short":
            length = max(0, length - 7)
        if kind == "long":
            length += 7
        self.send_response(status)
        for key, value in {**headers, "Content-Type": "application/octet-stream"}.items():
            self.send_header(key, value)
        if kind == "chunked":
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(data, pathlib.Path) and kind == "none":
            with open(data, "rb") as f:
                os.posix_fadvise(f.fileno(), begin, end - begin, os.POSIX_FADV_SEQUENTIAL)
                while begin < end:
                    n = os.sendfile(self.connection.fileno(), f.fileno(), begin, min(end - begin, 8 << 20))
                    if n == 0:
                        break
                    begin += n
                    self.entry.sent += n
            return
        body = bytes_of(data)[begin:end]
        if kind == "short":
            body = body[:length]
        if kind == "long":
            body += b"excess!"
        if kind == "flip":
            at = min(fault.at, len(body) - 1)
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1:]
        if kind in ("cut", "reset", "stall"):
            self.write_slowly(body[:fault.at], 0)
            if kind == "stall":
                time.sleep(fault.rate or 60)
            if kind == "reset":
                time.sleep(0.1)  # what is on its way when a connection is reset is lost, and counted as sent
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.connection.close()
            self.close_connection = True
            return
        self.write_slowly(body, fault.rate if kind == "slow" else 0)

    def write_slowly(self, body: bytes, rate: float) -> None:
        step = max(1, int(rate / 50)) if rate else 1 << 18
        view, start, sent = memoryview(body), time.monotonic(), 0
        while sent < len(view):
            n = self.connection.send(view[sent:sent + step])
            sent += n
            self.entry.sent += n
            if rate:
                delay = start + sent / rate - time.monotonic()
                if delay > 0:
                    time.sleep(delay)

    # ---- the Hub

    def user(self) -> typing.Optional[typing.Dict[str, typing.Any]]:
        return self.server.hub.tokens.get(self.entry.token) if self.entry.token else None

    def repository(self, name: str) -> typing.Optional[Repository]:
        """The repository if this request may see it; else the answer was sent."""
        hub, repository = self.server.hub, self.server.hub.repositories.get(name)
        if self.entry.token and not self.user():
            self.error(401, message="Invalid credentials in Authorization header")
            return None
        if repository and (not repository.private or self.user()):
            return repository
        if self.user():
            self.error(404, "RepoNotFound", "Repository not found")
        else:
            self.error(401, message="Invalid username or password.")
        return None

    def at_revision(self, name: str, revision: str) -> typing.Optional[typing.Tuple[Repository, str]]:
        """The repository and its commit; else the answer was sent."""
        repository = self.repository(name)
        if not repository:
            return None
        commit = repository.find(revision)
        if commit:
            return repository, commit
        self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return None

    def serve_hub(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        path = url.path
        name = r"((?:[\w.-]+/)?[\w.-]+)"
        routes: typing.List[typing.Tuple[str, str, typing.Callable[..., None]]] = [
                ("GET", rf"/api/models/{name}/revision/([^/]+)", self.model_info),
                ("GET", rf"/api/models/{name}", self.model_info),
                ("GET", rf"/api/models/{name}/tree/([^/]+)", self.tree),
                ("GET", rf"/api/models/{name}/refs", self.list_refs),
                ("GET", "/api/whoami-v2", self.whoami),
                ("GET HEAD", rf"/{name}/resolve/([^/]+)/(.+)", self.resolve),
                ("POST", "/api/repos/create", self.create),
                ("POST", "/api/validate-yaml", self.validate_yaml),
                ("POST", rf"/api/models/{name}/preupload/([^/]+)", self.preupload),
                ("POST", rf"/{name}.git/info/lfs/objects/batch", self.lfs_batch),
                ("POST", r"/lfs/verify", self.lfs_verify),
                ("POST", rf"/api/models/{name}/commit/([^/]+)", self.make_commit),
                ("POST", rf"/api/models/{name}/branch/(.+)", self.make_branch)]
        for method, pattern, answer in routes:
            match = re.fullmatch(pattern, path)
            if match and self.command in method.split():
                self.query = query
                answer(*[urllib.parse.unquote(g) for g in match.groups()])
                return
        self.error(404, message=f"no route for {self.command} {path}")

    def model_info(self, name: str, revision: str = "main") -> None:
        found = self.at_revision(name, revision)
        if found:
            repository, commit = found
            files = repository.commits[commit]
            self.reply(200, {"_id": "0" * 24, "id": name, "modelId": name, "sha": commit, "private": repository.private,
                             "gated": "auto" if repository.gated else False, "disabled": False, "tags": [], "downloads": 0,
                             "siblings": [{"rfilename": p} for p in sorted(files)]})

    def whoami(self) -> None:
        user = self.user()
        if not user:
            self.error(401, message="Invalid credentials in Authorization header" if self.entry.token else "Unauthorized")
            return
        self.reply(200, {"type": "user", "id": "0" * 24, "name": user["name"], "fullname": user["name"], "orgs": [],
                         "auth": {"accessToken": {"role": "write" if user["write"] else "read"}}})

    def tree(self, name: str, revision: str) -> None:
        found = self.at_revision(name, revision)
        if not found:
            return
        repository, commit = found
        entries: typing.List[typing.Dict[str, typing.Any]] = []
        folders = set()
        for path, file in sorted(repository.commits[commit].items()):
            for parent in pathlib.PurePosixPath(path).parents:
                if str(parent) not in (".", "/") and str(parent) not in folders and not str(parent).startswith(".."):
                    folders.add(str(parent))
                    entries.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": str(parent)})
            entry: typing.Dict[str, typing.Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
            if file.lfs:
                if self.server.hub.xet:
                    entry["xetHash"] = file.etag[::-1]
                entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
            entries.append(entry)
        start, page = int(self.query.get("cursor", ["0"])[0]), self.server.hub.page
        headers = {}
        if start + page < len(entries):
            again = urllib.parse.urlencode({"recursive": "true", "expand": "false", "cursor": start + page})
            address = self.server.hub.endpoint + urllib.parse.urlsplit(self.path).path
            headers["Link"] = f'<{address}?{again}>; rel="next"'
        self.reply(200, entries[start:start + page], headers)

    def list_refs(self, name: str) -> None:
        repository = self.repository(name)
        if repository:
            self.reply(200, {"branches": [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c}
                                          for n, c in repository.refs.items() if not n.startswith("refs/")],
                             "converts": [], "tags": []})

    def resolve(self, name: str, revision: str, path: str) -> None:
        found = self.at_revision(name, revision)
        if not found:
            return
        repository, commit = found
        headers = {"X-Repo-Commit": commit, "Access-Control-Expose-Headers": "X-Repo-Commit"}
        user = self.user()
        if repository.gated and not (user and name in user["read"]):
            status = 403 if user else 401
            self.error(status, "GatedRepo", f"Access to model {name} is restricted. You must have access to it.", headers)
            return
        file = repository.commits[commit].get(path)
        if not file:
            self.error(404, "EntryNotFound", "Entry not found", headers)
        elif file.lfs:
            expires = f"?Expires={int(time.time()) + 3600}&Signature=secret"
            headers.update({"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size),
                            "Location": f"{self.server.hub.address('storage')}/objects/{file.sha256}{expires}"})
            if self.server.hub.xet:
                route = f"{self.server.hub.endpoint}/api/models/{name}/xet-read-token/{commit}"
                headers.update({"X-Xet-Hash": file.etag[::-1], "X-Xet-Refresh-Route": route, "ETag": '"' + "0" * 64 + '"',
                                "Link": f'<{route}>; rel="xet-auth", <https://cas.invalid/{file.sha256}>; rel="xet-reconstruction-info"'})
            self.reply(302, b"Found", headers, "text/plain")
        else:
            self.send_file(f"{name}/{path}", file.data, {**headers, "ETag": f'"{file.oid}"'})

    # ---- uploads

    def writer(self) -> typing.Optional[typing.Dict[str, typing.Any]]:
        user = self.user()
        if user and user["write"]:
            return user
        if not self.entry.token:
            self.error(401, message="Invalid username or password.")
        elif not user:
            self.error(401, message="Invalid credentials in Authorization header")
        else:
            self.error(403, message="You don't have the required permissions to perform this action")
        return None

    def create(self) -> None:
        hub, wanted = self.server.hub, json.loads(self.body)
        user = self.writer()
        if not user:
            return
        name = f"{wanted.get('organization') or user['name']}/{wanted['name']}"
        if name in hub.repositories:
            self.error(409, message="You already created this model repo")
            return
        private = wanted.get("private", wanted.get("visibility") == "private")
        hub.repositories[name] = Repository(name, private=private)
        attributes = File(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n", False)
        hub.repositories[name].commit({".gitattributes": attributes}, "main", "initial commit")
        self.reply(200, {"url": f"{hub.endpoint}/{name}", "name": name})

    def validate_yaml(self) -> None:
        self.reply(200, {"errors": [], "warnings": []})

    def make_branch(self, name: str, branch: str) -> None:
        repository = self.repository(name)
        if repository and self.writer():
            repository.refs.setdefault(branch, repository.refs["main"])
            self.reply(200, {})

    def preupload(self, name: str, revision: str) -> None:
        found = self.at_revision(name, revision)
        if not found or not self.writer():
            return
        repository, commit = found
        out = []
        for file in json.loads(self.body)["files"]:
            large = file["size"] > 0 and (file["size"] >= LFS_SIZE or any(fnmatch.fnmatch(file["path"], p) for p in LFS_NAMES))
            old = repository.commits[commit].get(file["path"])
            out.append({"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False,
                        "oid": old.etag if old else None})
        self.reply(200, {"files": out, "commitOid": commit})

    def lfs_batch(self, name: str) -> None:
        hub = self.server.hub
        if not self.repository(name) or not self.writer():
            return
        out = []
        for wanted in json.loads(self.body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"], "authenticated": True}
            out.append(entry)
            if wanted["oid"] in hub.objects:
                continue
            address = f"{hub.address('storage')}/upload/{wanted['oid']}"
            verify = {"href": f"{hub.endpoint}/lfs/verify", "header": {}}
            if wanted["size"] > hub.part_bytes:
                n = -(-wanted["size"] // hub.part_bytes)
                header = {"chunk_size": str(hub.part_bytes), **{str(i): f"{address}?part={i}" for i in range(1, n + 1)}}
                entry["actions"] = {"upload": {"href": f"{hub.address('storage')}/complete/{wanted['oid']}",
                                               "header": header}, "verify": verify}
            else:
                entry["actions"] = {"upload": {"href": address, "header": {}}, "verify": verify}
        self.reply(200, {"transfer": "multipart", "objects": out}, kind="application/vnd.git-lfs+json")

    def lfs_verify(self) -> None:
        wanted = json.loads(self.body)
        self.reply(200 if wanted["oid"] in self.server.hub.objects else 404, {})

    def make_commit(self, name: str, revision: str) -> None:
        hub, found = self.server.hub, self.at_revision(name, revision)
        if not found or not self.writer():
            return
        repository, commit = found
        files, message = dict(repository.commits[commit]), ""
        for line in self.body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                message = value["summary"]
            elif entry["key"] == "file":
                files[value["path"]] = File(base64.b64decode(value["content"]), False)
            elif entry["key"] == "lfsFile":
                if value["oid"] not in hub.objects:
                    self.error(400, message=f"LFS object {value['oid']} does not exist")
                    return
                files[value["path"]] = File(hub.objects[value["oid"]], True)
            elif entry["key"] == "deletedFile":
                files.pop(value["path"], None)
        answer = {"commitUrl": "", "success": True}
        if self.query.get("create_pr"):
            number = 1 + sum(ref.startswith("refs/pr/") for ref in repository.refs)
            revision = f"refs/pr/{number}"
            answer["pullRequestUrl"] = f"{hub.endpoint}/{name}/discussions/{number}"
        oid = repository.commit(files, revision, message)
        self.reply(200, {**answer, "commitOid": oid, "commitUrl": f"{hub.endpoint}/{name}/commit/{oid}"})

    # ---- the storage that the Hub redirects to

    def serve_storage(self) -> None:
        hub, url = self.server.hub, urllib.parse.urlsplit(self.path)
        kind, oid = url.path.strip("/").split("/", 1)
        query = urllib.parse.parse_qs(url.query)
        if kind == "objects" and oid in hub.objects and query.get("Signature") == ["secret"]:
            etag = f'"{oid[:32]}-7"' if hub.xet else f'"{oid}"'  # as storage that was filled in parts names it
            self.send_file(oid, hub.objects[oid], {"ETag": etag})
        elif kind == "upload" and self.command == "PUT":
            if not self.headers.get("Content-Length"):
                self.error(411)
                return
            fault = self.fault(oid)
            if fault:
                self.error(fault.status, headers=fault.headers)
            elif "part" in query:
                hub.parts.setdefault(oid, {})[int(query["part"][0])] = self.body
                self.reply(200, b"", {"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'})
            elif hashlib.sha256(self.body).hexdigest() != oid:
                self.error(400, message="wrong content")
            else:
                hub.objects[oid] = self.body
                self.reply(200, b"")
        elif kind == "complete" and self.command == "POST":
            wanted = json.loads(self.body)["parts"]
            parts = hub.parts.get(oid, {})
            good = all(p["etag"] == f'"{hashlib.md5(parts.get(p["partNumber"], b"")).hexdigest()}"' for p in wanted)
            data = b"".join(parts[p["partNumber"]] for p in wanted) if good else b""
            if hashlib.sha256(data).hexdigest() == oid:
                hub.objects[oid] = data
                self.reply(200, {})
            else:
                self.error(400, message="wrong parts")
        else:
            self.error(403 if kind == "objects" else 404)


def main() -> None:
    hub = Hub()
    for argument in sys.argv[1:]:
        name, folder = argument.split("=", 1)
        root = pathlib.Path(folder)
        hub.add(name, {str(p.relative_to(root)): p if p.stat().st_size >= LFS_SIZE else p.read_bytes()
                       for p in sorted(root.rglob("*")) if p.is_file()})
    print(hub.endpoint, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
