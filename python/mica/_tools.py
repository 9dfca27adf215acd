"""JSON schemas of Python functions, for chat templates that take tools.

A function says what it does and what its arguments mean in its docstring (Google's style: a line for each under "Args:"), and their types in
its annotations.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from typing import Any, Callable, Literal, Optional, Union

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", Any: None, dict: "object", list: "array"}
_SECTION = re.compile(r"^\s*(Args|Arguments|Parameters|Returns|Return|Raises|Yields|Example|Examples)\s*:\s*$")
_CHOICES = re.compile(r"\(choices:\s*(.*?)\)\s*$", re.I | re.S)


def _type_schema(kind: Any) -> dict[str, Any]:
    """What JSON says of a Python type."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is Union or (hasattr(types, "UnionType") and origin is types.UnionType):
        options = [_type_schema(t) for t in inside if t is not type(None)]
        names = [o["type"] for o in options if set(o) == {"type"}]
        if len(options) == 1:
            schema = options[0]
        elif len(names) == len(options):
            schema = {"type": sorted(names)}
        else:
            schema = {"anyOf": options}
        return {**schema, "nullable": True} if type(None) in inside else schema
    if origin is Literal:
        kinds = sorted({str(_PLAIN[type(v)]) for v in inside if v is not None})
        return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": list(inside)}
    if origin in (list, set):
        return {"type": "array", "items": _type_schema(inside[0])} if inside else {"type": "array"}
    if origin is tuple:
        return {"type": "array", "prefixItems": [_type_schema(t) for t in inside]}
    if origin is dict:
        schema = {"type": "object"}
        return {**schema, "additionalProperties": _type_schema(inside[1])} if len(inside) == 2 else schema
    if kind not in _PLAIN:
        raise ValueError(f"a tool's argument cannot have the type {kind!r}")
    name = _PLAIN[kind]
    return {} if name is None else {"type": name}


def _sections(doc: str) -> dict[str, str]:
    """A docstring by the headings in it; "" is what comes before the first."""
    found: dict[str, list[str]] = {"": []}
    heading = ""
    for line in inspect.cleandoc(doc).splitlines():
        match = _SECTION.match(line)
        if match:
            heading = {"Arguments": "Args", "Parameters": "Args", "Return": "Returns"}.get(match.group(1), match.group(1))
            found[heading] = []
        else:
            found[heading].append(line)
    return {name: "\n".join(lines).strip("\n") for name, lines in found.items()}


def _arguments(text: str) -> dict[str, str]:
    """Descriptions of the arguments: "name: text", "name (type): text"; deeper lines go on with the one before."""
    found: dict[str, str] = {}
    lines = inspect.cleandoc(text).splitlines()
    name: Optional[str] = None
    for line in lines:
        match = re.match(r"^(\*{0,2}\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$", line)
        if match:
            name = match.group(1)
            found[name] = match.group(2).strip()
        elif name is not None and line.strip():
            found[name] += " " + line.strip()
    return found


def function_schema(function: Callable[..., Any]) -> dict[str, Any]:
    """The schema that templates expect of a function; ValueError if its documentation does not say enough."""
    name = function.__name__
    if not function.__doc__:
        raise ValueError(f"the tool {name} has no docstring to describe it")
    sections = _sections(function.__doc__)
    described = _arguments(sections.get("Args", ""))
    hints = typing.get_type_hints(function)
    result = hints.pop("return", None)
    properties: dict[str, Any] = {}
    required = []
    for argument in inspect.signature(function).parameters.values():
        if argument.name not in hints:
            raise ValueError(f"the argument {argument.name} of the tool {name} has no type")
        if argument.name not in described:
            raise ValueError(f"the docstring of the tool {name} does not describe the argument {argument.name}")
        schema = _type_schema(hints[argument.name])
        text = described[argument.name]
        choices = _CHOICES.search(text)
        if choices:
            schema["enum"] = [c.strip().strip("\"'") for c in choices.group(1).strip("[]").split(",")]
            text = text[: choices.start()].strip()
        properties[argument.name] = {**schema, "description": text}
        if argument.default is inspect.Parameter.empty:
            required.append(argument.name)
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        parameters["required"] = required
    described_function: dict[str, Any] = {"name": name, "description": sections[""].strip(), "parameters": parameters}
    if result is not None:
        described_function["return"] = {**_type_schema(result)}
        if sections.get("Returns"):
            described_function["return"]["description"] = sections["Returns"].strip()
    return {"type": "function", "function": described_function}
