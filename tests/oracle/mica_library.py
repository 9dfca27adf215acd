"""The few calls of libmica that the oracles need, through ctypes. The library is found by MICA_LIBRARY or in build/*/libmica.so."""
import ctypes as c
import glob
import json
import os


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("message", c.c_char * 508)]


class Callback(c.Structure):
    _fields_ = [("function", c.c_void_p), ("context", c.c_void_p)]


class ModelOptions(c.Structure):
    _fields_ = [("device", c.c_void_p), ("n_threads", c.c_int), ("dtype", c.c_char_p), ("precision", c.c_int),
                ("quantize", c.c_char_p), ("quantize_rules", c.c_char_p), ("quantizer", c.c_char_p), ("max_rows", c.c_int),
                ("with_tokenizer", c.c_bool), ("config_only", c.c_bool), ("progress", Callback), ("notices", Callback),
                ("later", c.c_void_p * 8)]  # fields that came after these: zero means the default


class SessionOptions(c.Structure):
    _fields_ = [("max_context", c.c_int64), ("seed", c.c_uint64)]


class Ids(c.Structure):
    _fields_ = [("data", c.POINTER(c.c_int32)), ("n", c.c_size_t), ("capacity", c.c_size_t)]


class Result(c.Structure):
    _fields_ = [("ids", Ids), ("reason", c.c_int), ("n_prompt", c.c_int64), ("prompt_seconds", c.c_double), ("decode_seconds", c.c_double)]


FLOATS = c.POINTER(c.c_float)


class Step(c.Structure):
    _fields_ = [("step", c.c_size_t), ("n_rows", c.c_size_t), ("vocab", c.c_size_t), ("stride", c.c_size_t),
                ("ids", c.POINTER(c.c_int32)), ("lengths", c.POINTER(c.c_size_t)), ("scores", FLOATS)]


class Callbacks(c.Structure):
    _fields_ = [("context", c.c_void_p), ("process", c.c_void_p), ("stop", c.c_void_p), ("allow", c.c_void_p), ("tokens", c.c_void_p),
                ("token", c.c_void_p), ("token_context", c.c_void_p)]


class Request(c.Structure):
    _fields_ = [("ids", c.POINTER(c.c_int32)), ("mask", c.POINTER(c.c_uint8)), ("lengths", c.POINTER(c.c_size_t)), ("n_prompts", c.c_size_t),
                ("width", c.c_size_t), ("config", c.c_void_p), ("negative_ids", c.POINTER(c.c_int32)), ("negative_mask", c.POINTER(c.c_uint8)),
                ("negative_width", c.c_size_t), ("assistant", c.c_void_p), ("want_scores", c.c_bool), ("want_logits", c.c_bool),
                ("callbacks", Callbacks)]


class BatchResult(c.Structure):
    _fields_ = [("n_sequences", c.c_size_t), ("n_new", c.c_size_t), ("ids", c.POINTER(c.c_int32)), ("lengths", c.POINTER(c.c_size_t)),
                ("reasons", c.POINTER(c.c_int)), ("sequences_scores", FLOATS), ("beam_indices", c.POINTER(c.c_int32)), ("n_steps", c.c_size_t),
                ("n_rows", c.c_size_t), ("vocab", c.c_size_t), ("scores", FLOATS), ("logits", FLOATS), ("n_prompt", c.c_int64),
                ("n_guessed", c.c_int64), ("n_accepted", c.c_int64), ("prompt_seconds", c.c_double), ("decode_seconds", c.c_double)]


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

    def batch(self, ids, mask, settings, negative=None, assistant=None, want=True):
        """ids, mask: numpy arrays [B, T]. A dictionary with Transformers' names."""
        import numpy
        batch, config, result = c.c_void_p(), c.c_void_p(), BatchResult()
        ids, mask = numpy.ascontiguousarray(ids, numpy.int32), numpy.ascontiguousarray(mask, numpy.uint8)
        request = Request(n_prompts=ids.shape[0], width=ids.shape[1], want_scores=want, want_logits=want,
                          assistant=assistant.handle if assistant else None)
        request.ids, request.mask = ids.ctypes.data_as(c.POINTER(c.c_int32)), mask.ctypes.data_as(c.POINTER(c.c_uint8))
        if negative is not None:
            negative = numpy.ascontiguousarray(negative, numpy.int32)
            request.negative_ids, request.negative_width = negative.ctypes.data_as(c.POINTER(c.c_int32)), negative.shape[1]
        call("mica_batch_create", c.byref(batch), self.handle, None)
        try:
            call("mica_generation_config_create", c.byref(config), self.handle)
            for name, value in settings.items():
                call("mica_generation_config_set", config, name.encode(), json.dumps(value).encode())
            request.config = config
            call("mica_batch_generate", batch, c.byref(request), c.byref(result))
            shape = (result.n_sequences, result.n_new)
            take = lambda p, s: numpy.ctypeslib.as_array(p, s).copy() if p else None
            new = take(result.ids, shape)
            each = ids.shape[0] and result.n_sequences // ids.shape[0]
            return {"sequences": numpy.concatenate([numpy.repeat(ids, each, 0), new], 1),
                    "sequences_scores": take(result.sequences_scores, shape[:1]), "beam_indices": take(result.beam_indices, shape),
                    "scores": take(result.scores, (result.n_steps, result.n_rows, result.vocab)),
                    "logits": take(result.logits, (result.n_steps, result.n_rows, result.vocab)),
                    "guessed": result.n_guessed, "accepted": result.n_accepted}
        finally:
            lib.mica_batch_result_release(c.byref(result))
            lib.mica_generation_config_free(config)
            lib.mica_batch_free(batch)

    def close(self):
        lib.mica_model_free(self.handle)


for free in ("mica_model_free", "mica_batch_free", "mica_batch_result_release", "mica_session_free", "mica_generation_config_free"):
    getattr(lib, free).argtypes = [c.c_void_p]
    getattr(lib, free).restype = None
