"""The registry of converters: ATen operator -> the Python function that writes it as layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from trtdsl.errors import ConversionError, explain

if TYPE_CHECKING:
    import torch

__all__ = ["Converter", "converter", "find", "load", "registered"]

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Converter:
    """A registered function, and whether it asks for the network as its first argument."""

    function: Callable[..., Any]
    wants_network: bool


_CONVERTERS: dict[Any, Converter] = {}


def converter(
    *operators: torch._ops.OpOverload, override: bool = False
) -> Callable[[Function], Function]:
    """Register a function as the converter of ATen (or ``torch.library``) operators.

    Its signature is the operator's schema: the same names, defaults and keyword-only marks;
    ``self`` may be named ``x``, and a first parameter ``net`` receives the network, for converters
    that make constants. Tensors arrive as ``trtdsl.Tensor``, dtypes as ``trtdsl.DType``, sizes as
    ints or expressions, all else as PyTorch has it.

    Errors: ConversionError when the signature is not the schema, or when the operator has a
    converter already, unless ``override=True``.
    """
    if not operators or any(map(inspect.isfunction, operators)):
        raise ConversionError(
            explain(
                "@trtdsl.converter names no operator",
                at=", ".join(map(_place, operators)),
                fix="name one, as in @trtdsl.converter(torch.ops.aten.add.Tensor)",
            )
        )

    def register(function: Function) -> Function:
        for operator in operators:
            entry = _checked(operator, function)
            before = _CONVERTERS.get(operator)
            if before and not override:
                raise ConversionError(
                    explain(
                        f"{operator} has a converter already: {_place(before.function)}",
                        at=_place(function),
                        fix="pass override=True to replace it",
                    )
                )
            _CONVERTERS[operator] = entry
        return function

    return register


def find(operator: Any) -> Converter | None:
    """The converter of an operator, if there is one."""
    load()
    return _CONVERTERS.get(operator)


def registered() -> Iterator[Any]:
    """Every operator that has a converter."""
    load()
    return iter(tuple(_CONVERTERS))


@cache
def load() -> None:
    """Import the families of converters that trtdsl ships, which registers them."""
    import importlib
    import pkgutil

    import trtdsl.layers

    for module in pkgutil.iter_modules(trtdsl.layers.__path__):
        importlib.import_module(f"trtdsl.layers.{module.name}")


def _checked(operator: Any, function: Callable[..., Any]) -> Converter:
    """Hold a function's signature against the operator's schema."""
    schema = getattr(operator, "_schema", None)
    if schema is None:
        raise ConversionError(
            explain(
                f"{operator} is no overload of an operator",
                at=_place(function),
                fix="name one, as in torch.ops.aten.add.Tensor",
            )
        )
    parameters = list(inspect.signature(function).parameters.values())
    wants_network = bool(parameters) and parameters[0].name == "net"
    written = [_written(p) for p in parameters[wants_network:]]
    expected = [_expected(a) for a in schema.arguments]
    renamed = [("x", *e[1:]) if e[0] == "self" else e for e in expected]
    # Leading with a name like "self" would read as a method, so "x" stands in for it.
    if written not in (expected, renamed):
        _refuse(operator, function, written, renamed)
    return Converter(function=function, wants_network=wants_network)


def _written(parameter: inspect.Parameter) -> tuple[str, bool, Any]:
    default = parameter.default
    required = default is inspect.Parameter.empty
    keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    return parameter.name, keyword_only, "required" if required else _plain(default)


def _expected(argument: Any) -> tuple[str, bool, Any]:
    default = _plain(argument.default_value) if argument.has_default_value() else "required"
    return argument.name, argument.kwarg_only, default


def _plain(default: Any) -> Any:
    """A default as schemas have it: lists compare as tuples, and contiguous_format is 0."""
    import torch

    if default is torch.contiguous_format:
        return 0
    return tuple(default) if isinstance(default, list | tuple) else default


def _refuse(operator: Any, function: Callable[..., Any], written: Any, expected: Any) -> None:
    wrong = [(w, e) for w, e in zip(written, expected, strict=False) if w != e]
    detail = (
        f"parameter {_signature(wrong[0][0])} should be {_signature(wrong[0][1])}"
        if wrong
        else f"{len(written)} parameters should be {len(expected)}"
    )
    raise ConversionError(
        explain(
            f"the converter's signature is not the schema of {operator}: {detail}",
            at=_place(function),
            fix=f"write it as {operator._schema}",
        )
    )


def _signature(parameter: tuple[str, bool, Any]) -> str:
    name, keyword_only, default = parameter
    value = "" if isinstance(default, str) and default == "required" else f"={default!r}"
    return f"{'*, ' if keyword_only else ''}{name}{value}"


def _place(function: Callable[..., Any]) -> str:
    code = function.__code__
    return f"{code.co_filename}:{code.co_firstlineno}, {function.__qualname__}"
