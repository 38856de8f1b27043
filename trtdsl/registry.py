"""The registry of converters: ATen operator -> the Python function that writes it as layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from trtdsl.errors import ConversionError, explain

if TYPE_CHECKING:
    import torch

__all__ = ["Converter", "converter", "find", "load", "of_parts", "of_products", "registered"]

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Converter:
    """A registered function, and whether it asks for the network as its first argument."""

    function: Callable[..., Any]
    wants_network: bool


_CONVERTERS: dict[Any, Converter] = {}
_NAMED: dict[str, Callable[..., Any]] = {}
"""Those of libraries that may not be there, by the operator's name."""
_OF_COMPLEX: dict[Any, Converter] = {}
"""Those that take or give complex tensors."""


def converter(
    *operators: torch._ops.OpOverload | str, override: bool = False, complex: bool = False
) -> Callable[[Function], Function]:
    """Register a function as the converter of ATen (or ``torch.library``) operators.

    Its signature is the operator's schema: the same names, defaults and keyword-only marks;
    ``self`` may be named ``x``, and a first parameter ``net`` receives the network, for converters
    that make constants. Tensors arrive as ``trtdsl.Tensor``, dtypes as ``trtdsl.DType``, sizes as
    ints or expressions, all else as PyTorch has it. With ``complex=True`` it is the converter for
    calls with a complex tensor among arguments or results: those are ``trtdsl.complex.Complex``.
    An operator of a library that may not be there goes by its name, ``"torchvision::nms"``, and its
    schema is looked at when it is met.

    Errors: ConversionError when the signature is not the schema, or when the operator has a
    converter already, unless ``override=True``.
    """
    _require_names(operators)

    def register(function: Function) -> Function:
        if not _is_shipped(function):
            load()  # what trtdsl ships comes first, to be replaced
        for operator in operators:
            entry = None if isinstance(operator, str) else _checked(operator, function)
            before = _before(operator, complex)
            if before and not override:
                raise ConversionError(
                    explain(
                        f"{operator} has a converter already: {_place(before)}",
                        at=_place(function),
                        fix="pass override=True to replace it",
                    )
                )
            if entry is None:
                _NAMED[str(operator)] = function
                for found in [o for o in _CONVERTERS if _name(o) == operator]:
                    del _CONVERTERS[found]  # by its former function
            else:
                _table(complex)[operator] = entry
        return function

    return register


def _require_names(operators: Sequence[Any]) -> None:
    if not operators or any(map(inspect.isfunction, operators)):
        raise ConversionError(
            explain(
                "@trtdsl.converter names no operator",
                at=", ".join(map(_place, operators)),
                fix="name one, as in @trtdsl.converter(torch.ops.aten.add.Tensor)",
            )
        )
    for name in (o for o in operators if isinstance(o, str) and "::" not in o):
        fix = 'write "torchvision::nms", or the overload itself, torch.ops.torchvision.nms.default'
        raise ConversionError(explain(f"{name!r} is no operator's name", fix=fix))


def _is_shipped(function: Callable[..., Any]) -> bool:
    owner = getattr(function, "plugin", function)
    return owner.__module__.partition(".")[0] == "trtdsl"


def _before(operator: Any, complex: bool) -> Callable[..., Any] | None:
    """The function that an operator has been registered with."""
    if (entry := _table(complex).get(operator)) is not None:
        return entry.function
    name = operator if isinstance(operator, str) else _name(operator)
    return None if complex else _NAMED.get(name)


def of_parts(*operators: torch._ops.OpOverload, joined: Sequence[str] = ()) -> None:
    """Register operators that act alike on the real and the imaginary part of a complex tensor.

    Each runs its own converter on either. The arguments named ``joined``, and tensors in a list,
    may also be real, with an imaginary part of 0.
    """
    from trtdsl.complex import each_part

    for operator in operators:
        function = each_part(operator, frozenset(joined))
        _OF_COMPLEX[operator] = Converter(function=function, wants_network=True)


def of_products(*operators: torch._ops.OpOverload) -> None:
    """Register operators that are linear in either of their first two tensors, but for a bias.

    Of complex tensors each is four of its own converter's calls, or two where one tensor is real.
    """
    from trtdsl.complex import each_product

    for operator in operators:
        _OF_COMPLEX[operator] = Converter(function=each_product(operator), wants_network=True)


def find(operator: Any, *, complex: bool = False) -> Converter | None:
    """The converter of an operator, or of its calls with complex tensors, if there is one."""
    load()
    if operator not in _CONVERTERS and (function := _NAMED.get(_name(operator))):
        _CONVERTERS[operator] = _checked(operator, function)
    return _table(complex).get(operator)


def _name(operator: Any) -> str:
    """``torchvision::nms``; an overload that is not the default follows behind a dot."""
    schema = getattr(operator, "_schema", None)
    return ".".join(filter(None, (schema.name, schema.overload_name))) if schema else ""


def registered(*, complex: bool = False) -> Iterator[Any]:
    """Every operator that has a converter, or one for complex tensors."""
    load()
    return iter(tuple(_table(complex)))


def _table(complex: bool) -> dict[Any, Converter]:
    return _OF_COMPLEX if complex else _CONVERTERS


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


def _place(function: Any) -> str:
    if (cls := getattr(function, "plugin", None)) is not None:
        return f"plugin {cls.__module__}.{cls.__qualname__}"
    code = function.__code__
    return f"{code.co_filename}:{code.co_firstlineno}, {function.__qualname__}"
