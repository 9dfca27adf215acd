"""The real Jinja, set up as Transformers does it: by Transformers itself if it is there."""
import datetime

NOW = "2026-01-02T03:04:05"


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat(NOW)


def compiler():
    """A function from template source to a compiled template."""
    try:
        from transformers.utils import chat_template_utils as utils

        utils.datetime = FixedClock
        return utils._cached_compile_jinja_template
    except ImportError:
        pass
    try:
        import json

        import jinja2
        from jinja2.ext import Extension, loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise SystemExit("skipped: neither transformers nor jinja2 is installed")

    class Generation(Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

        def _same(self, caller):
            return caller()

    def fail(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = fail
    env.globals["strftime_now"] = lambda f: FixedClock.now().strftime(f)
    return env.from_string


def render(compile, template, values):
    """{"text": ...} or {"error": "Type: message"}."""
    try:
        given = {"tools": None, "documents": None, "add_generation_prompt": False, **values}
        return {"text": compile(template).render(**given)}
    except Exception as e:
        return {"error": f"{type(e).__name__}: {e}"}
