"""The few calls of libmica that the oracles need, through ctypes. The library is found by MICA_LIBRARY or in build/*/libmica.so."""
import ctypes as c
import glob
import os


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("message", c.c_char * 508)]


class Callback(c.Structure):
    _fields_ = [("function", c.c_void_p), ("context", c.c_void_p)]


class ModelOptions(c.Structure):
    _fields_ = [("device", c.c_void_p), ("n_threads", c.c_int), ("dtype", c.c_char_p), ("precision", c.c_int), ("max_rows", c.c_int),
                ("config_only", c.c_bool), ("progress", Callback), ("notices", Callback)]


class SessionOptions(c.Structure):
    _fields_ = [("max_context", c.c_int64), ("seed", c.c_uint64)]


class Ids(c.Structure):
    _fields_ = [("data", c.POINTER(c.c_int32)), ("n", c.c_size_t), ("capacity", c.c_size_t)]


class Result(c.Structure):
    _fields_ = [("ids", Ids), ("reason", c.c_int), ("n_prompt", c.c_int64), ("prompt_seconds", c.c_double), ("decode_seconds", c.c_double)]


ON_TOKEN = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_int32, c.c_void_p, c.c_size_t, c.POINTER(c.c_float))


def library():
    here = os.path.dirname(os.path.abspath(__file__))
    found = [os.environ["MICA_LIBRARY"]] if "MICA_LIBRARY" in os.environ else sorted(
        glob.glob(os.path.join(here, "../../build/*/libmica.so")), key=os.path.getmtime)
    if not found:
        raise SystemExit("skipped: no libmica.so; build first or set MICA_LIBRARY")
    return c.CDLL(found[-1])


lib = library()


class Failure(Exception):
    pass


def call(name, *args):
    err = Error()
    if getattr(lib, name)(*args, c.byref(err)):
        raise Failure(err.message.decode())


class Model:
    def __init__(self, path, rows=0, threads=2, exact=True):
        self.handle = c.c_void_p()
        options = ModelOptions(n_threads=threads, dtype=b"float32", precision=int(exact), max_rows=rows)
        call("mica_model_load", c.byref(self.handle), path.encode(), c.byref(options))

    def logits(self, ids, vocab):
        """[len(ids)][vocab]"""
        import numpy
        session = c.c_void_p()
        call("mica_session_create", c.byref(session), self.handle, None)
        out = numpy.zeros((len(ids), vocab), dtype=numpy.float32)
        array = (c.c_int32 * len(ids))(*ids)
        try:
            call("mica_session_forward", session, array, c.c_size_t(len(ids)), c.c_bool(True), out.ctypes.data_as(c.c_void_p))
        finally:
            lib.mica_session_free(session)
        return out

    def generate(self, ids, settings, vocab=0, sessions=1):
        """New ids of each round, and the scores of every step of the last; `settings` maps names to JSON texts."""
        import numpy
        session, config, scores = c.c_void_p(), c.c_void_p(), []

        def on_token(context, token, text, n, values):
            if vocab:
                scores.append(numpy.ctypeslib.as_array(values, (vocab,)).copy())
            return 0

        callback = ON_TOKEN(on_token)
        array = (c.c_int32 * len(ids))(*ids)
        call("mica_session_create", c.byref(session), self.handle, None)
        try:
            call("mica_generation_config_create", c.byref(config), self.handle)
            for name, value in settings.items():
                call("mica_generation_config_set", config, name.encode(), value.encode())
            for _ in range(sessions):
                result = Result()
                scores.clear()
                call("mica_generate", session, array, c.c_size_t(len(ids)), config, callback, None, c.byref(result))
                new = list(result.ids.data[:result.ids.n])
                lib.mica_ids_release(c.byref(result.ids))
        finally:
            lib.mica_generation_config_free(config)
            lib.mica_session_free(session)
        return new, scores

    def close(self):
        lib.mica_model_free(self.handle)


for free in ("mica_model_free", "mica_session_free", "mica_generation_config_free"):
    getattr(lib, free).argtypes = [c.c_void_p]
    getattr(lib, free).restype = None
