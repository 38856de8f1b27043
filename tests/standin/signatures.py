"""pybind11 signatures, read from the text that the bindings print."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

_PARAMETER = re.compile(r"^(?P<name>\*{0,2}\w+)(?:: (?P<type>.*?))?(?: ?= ?(?P<default>.*))?$")
_OPEN, _CLOSE = "([<{", ")]>}"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter; ``default`` is its text, None where there is no default."""

    name: str
    type: str
    default: str | None

    @property
    def positional_only(self) -> bool:
        """pybind11 prints ``arg0`` for a parameter without a name: it takes no keyword."""
        return re.fullmatch(r"arg\d+", self.name) is not None


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One overload, without ``self``; ``text`` is what the bindings print."""

    text: str
    parameters: tuple[Parameter, ...]
    returns: str
    is_static: bool


def split(text: str) -> list[str]:
    """The parts between the commas that stand outside brackets and quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth -= 1
        elif char == "," and not depth:
            parts.append(text[start:at].strip())
            start = at + 1
    return [part for part in (*parts, text[start:].strip()) if part]


def _parameter(text: str) -> Parameter:
    match = _PARAMETER.match(text)
    if match is None:
        raise ValueError(f"cannot read the parameter {text!r}")
    return Parameter(
        name=match["name"], type=(match["type"] or "object").strip(), default=match["default"]
    )


@cache
def parse(text: str) -> Signature:
    """Read ``name(self: C, x: int = 0) -> None``; ``# python`` marks what is no binding."""
    body = text.removesuffix("  # python")
    head, _, returns = body.partition(" -> ")
    name, _, inside = head.partition("(")
    parameters = [_parameter(part) for part in split(inside.rstrip()[:-1])]
    if parameters and parameters[0].name in ("self", "this", "cls"):
        parameters = parameters[1:]
    return Signature(
        text=body,
        parameters=tuple(parameters),
        returns=returns.strip() or "object",
        is_static=name.startswith("static "),
    )
