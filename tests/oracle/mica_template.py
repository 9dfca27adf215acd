"""Chat templates of libmica through ctypes, for the scripts that compare them with the real Jinja."""
import ctypes
import json
import os


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 508)]


class Text(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("n", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


class Options(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("now", ctypes.c_char_p), ("max_steps", ctypes.c_uint64), ("max_bytes", ctypes.c_size_t)]


class Library:
    def __init__(self, path=None):
        root = os.path.join(os.path.dirname(__file__), "..", "..")
        tried = [path] if path else [os.path.join(root, "build", kind, "libmica.so") for kind in ("release", "dbg", "debug", "land")]
        found = [p for p in tried if p and os.path.exists(p)]
        if not found:
            raise SystemExit("skipped: no libmica.so; build the target mica_shared or name it with --library")
        self.c = ctypes.CDLL(found[0])
        self.c.mica_chat_template_free.argtypes = [ctypes.c_void_p]
        self.c.mica_status_name.restype = ctypes.c_char_p

    def render(self, template, values, special=None, now="2026-01-02T03:04:05", name=None):
        """The text, or (status, message)."""
        err, out, handle = Error(), Text(), ctypes.c_void_p()
        source = template.encode()
        tokens = json.dumps(special).encode() if special else None
        status = self.c.mica_chat_template_create(ctypes.byref(handle), source, ctypes.c_size_t(len(source)), tokens, ctypes.byref(err))
        if status == 0:
            data = values if isinstance(values, bytes) else json.dumps(values).encode()
            options = Options(name.encode() if name else None, now.encode() if now else None, 0, 0)
            status = self.c.mica_chat_template_render(handle, data, ctypes.c_size_t(len(data)), ctypes.byref(options),
                                                      ctypes.byref(out), ctypes.byref(err))
        self.c.mica_chat_template_free(handle)
        if status:
            return (self.c.mica_status_name(status).decode(), err.message.decode("utf-8", "replace"))
        text = ctypes.string_at(out.data, out.n).decode()
        self.c.mica_text_release(ctypes.byref(out))
        return text
