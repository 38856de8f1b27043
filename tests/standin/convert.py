"""Values held against the types that pybind11 signatures name."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .enums import EnumType
from .errors import MismatchError, RefusedError
from .signatures import Parameter, Signature, split

if TYPE_CHECKING:
    from .release import Release

_NAMESPACES = re.compile(r"\b(nvinfer1|nvonnxparser|v_\d_\d)::")
_SEQUENCE = re.compile(r"^(?:List|list|collections\.abc\.Sequence|Iterable)\[(.*)\]$")
_TUPLE = re.compile(r"^(?:Tuple|tuple)\[(.*)\]$")
_ENUM_DEFAULT = re.compile(r"^<\w+\.(\w+): -?\d+>$")

# pybind11 takes more than these (True for an int, 1 for a bool, anything with __float__): code that
# needs such a conversion has a mistake in it, so the stand-in does not make it.
_SCALARS: dict[str, Callable[[Any], bool]] = {
    "int": lambda v: isinstance(v, (int, np.integer)) and not isinstance(v, bool),
    "float": lambda v: isinstance(v, (int, float, np.number)) and not isinstance(v, bool),
    "bool": lambda v: isinstance(v, (bool, np.bool_)),
    "str": lambda v: isinstance(v, str),
    "bytes": lambda v: isinstance(v, bytes),
    "buffer": lambda v: isinstance(v, (bytes, bytearray, memoryview, np.ndarray)),
    "numpy.ndarray": lambda v: isinstance(v, np.ndarray),
    "slice": lambda v: isinstance(v, slice),
    "tuple": lambda v: isinstance(v, tuple),
    "list": lambda v: isinstance(v, list),
    "function": callable,
    "object": lambda v: True,
    "None": lambda v: v is None,
    # Not in the bindings: what IFillLayer.alpha and beta take from 10.0 on, printed as ``object``.
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}
_ALIASES = {
    "typing.SupportsInt": "int",
    "typing.SupportsFloat": "float",
    "typing_extensions.Buffer": "buffer",
    "typing_extensions.CapsuleType": "object",
    "capsule": "object",
    "collections.abc.Callable": "function",
    "Callable": "function",
    "FallbackString": "str",
}
IMPLICIT = {"Dims", "Dims2", "Dims3", "Dims4", "DimsHW", "Permutation", "Weights"}
"""Classes that pybind11 makes out of a sequence of ints, or an ndarray, where one is asked for."""


def normal(expression: str) -> str:
    """A type as Python would write it: no C++ namespaces, one name a type."""
    name = _NAMESPACES.sub("", expression.strip()).replace("::", ".")
    return _ALIASES.get(name, name)


def convert(release: Release, expression: str, value: Any) -> Any:
    """The value as the release's bindings take it; MismatchError where they do not.

    A type that Python has no name for (a C++ detail) takes any value.
    """
    name = normal(expression)
    if sequence := _SEQUENCE.match(name):
        if not isinstance(value, (list, tuple)):
            raise MismatchError(f"{_show(value)} is no list or tuple")
        return [convert(release, sequence[1], v) for v in value]
    if parts := _TUPLE.match(name):
        return _convert_tuple(release, split(parts[1]), value)
    if name in _SCALARS:
        if not _SCALARS[name](value):
            raise MismatchError(f"{_show(value)} is no {name}")
        return value
    if name == "PluginFieldCollection_" and type(value).__name__ == "PluginFieldCollection":
        return value  # which the bindings convert
    kind = release.kind(name)
    if kind is None or isinstance(value, kind):
        return value
    if name in IMPLICIT:
        return _implicit(kind, name, value)
    raise MismatchError(f"{_show(value)} is no {name}")


def _convert_tuple(release: Release, parts: list[str], value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) != len(parts):
        raise MismatchError(f"{_show(value)} is no tuple of {len(parts)}")
    return tuple(convert(release, part, v) for part, v in zip(parts, value, strict=True))


def _implicit(kind: Any, name: str, value: Any) -> Any:
    wanted = np.ndarray if name == "Weights" else (list, tuple)
    if not isinstance(value, wanted):
        raise MismatchError(f"{_show(value)} is no {name}")
    try:
        return kind(value)
    except RefusedError as error:
        raise MismatchError(str(error)) from error


def default(release: Release, parameter: Parameter) -> Any:
    """The value that a parameter has when it is not given."""
    text = parameter.default or "None"
    if member := _ENUM_DEFAULT.match(text):
        kind = release.kind(normal(parameter.type))
        assert isinstance(kind, EnumType), parameter
        return getattr(kind, member[1])
    return ast.literal_eval(text)


def bind(
    release: Release, signature: Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments by parameter name, converted; MismatchError where they do not fit."""
    if len(args) > len(signature.parameters):
        raise MismatchError(f"takes {len(signature.parameters)} arguments, {len(args)} given")
    given: dict[str, Any] = dict(zip((p.name for p in signature.parameters), args, strict=False))
    names = {p.name for p in signature.parameters if not p.positional_only}
    for name, value in kwargs.items():
        if name not in names:
            raise MismatchError(f"has no parameter {name!r}")
        if name in given:
            raise MismatchError(f"{name!r} given twice")
        given[name] = value
    return {p.name: _argument(release, p, given) for p in signature.parameters}


def _argument(release: Release, parameter: Parameter, given: Mapping[str, Any]) -> Any:
    if parameter.name not in given:
        if parameter.default is None:
            raise MismatchError(f"{parameter.name!r} is missing")
        return default(release, parameter)
    value = given[parameter.name]
    if value is None and parameter.default == "None":
        return None
    try:
        return convert(release, parameter.type, value)
    except MismatchError as error:
        raise MismatchError(f"{parameter.name!r}: {error}") from error


def _show(value: Any) -> str:
    kind = type(value)
    text = repr(value)
    return f"{kind.__module__}.{kind.__qualname__} {text if len(text) <= 80 else text[:77] + '...'}"
