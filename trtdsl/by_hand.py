"""What a network that is written by hand may be given: shapes, sizes, names, tensors of a layer."""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from trtdsl.errors import ShapeError, explain

if TYPE_CHECKING:
    from trtdsl.ir.base import Layer
    from trtdsl.types import Dim

__all__ = ["require_attributes", "require_count", "require_name", "shape_of", "unpacked"]


def require_name(name: Any, what: str) -> None:
    """Refuse a name that is no word. Errors: ShapeError."""
    if not isinstance(name, str) or not name:
        raise ShapeError(explain(f"{what} is called {name!r}", fix="give it a name, a str"))


def shape_of(shape: Any, what: str) -> tuple[Dim, ...]:
    """A shape as ints and expressions. Errors: ShapeError for what is none, or below 0."""
    if isinstance(shape, str) or not hasattr(shape, "__iter__"):
        raise ShapeError(explain(f"{what}: shape is {shape!r}", fix=f"give all sizes: ({shape},)"))
    return tuple(_size(d, what, tuple(shape)) for d in shape)


def _size(size: Any, what: str, shape: tuple[Any, ...]) -> Dim:
    if hasattr(size, "free_symbols"):
        found: Dim = size
        return found
    try:
        number = operator.index(size)
    except TypeError:
        number = -1
    if number < 0:
        raise ShapeError(
            explain(
                f"{what}: {size!r} in the shape {shape} is no size",
                fix='give an int of 0 or more, or net.dim("rows", min=1, opt=8, max=32)',
            )
        )
    return number


def unpacked(values: Sequence[Any]) -> Sequence[Any]:
    """``reshape((2, 3))`` as ``reshape(2, 3)``, as PyTorch takes either."""
    return values[0] if len(values) == 1 and isinstance(values[0], tuple | list) else values


def require_count(layer: Layer, inputs: Sequence[Any]) -> None:
    """Refuse what is no tensor, or another number of them. Errors: ShapeError."""
    foreign = [x for x in inputs if not hasattr(x, "network")]
    if foreign:
        kind = f"{type(foreign[0]).__module__}.{type(foreign[0]).__qualname__}"
        fix = "give tensors of the network: of values known now, net.constant(values)"
        raise ShapeError(explain(f"{layer} is given a {kind}", fix=fix))
    signature = _signature(type(layer))
    try:
        signature.bind(layer, *inputs)
    except TypeError:
        takes = ", ".join([*signature.parameters][1:])
        raise ShapeError(f"{layer} takes the inputs {takes}; {len(inputs)} were given") from None


def require_attributes(layer: Layer) -> None:
    """Refuse a word where one of TensorRT's is wanted. Errors: ShapeError."""
    for name, kind in _enums(type(layer)):
        value = getattr(layer, name)
        if isinstance(value, str):
            members = ", ".join(member.name for member in kind)
            raise ShapeError(
                explain(
                    f"{type(layer).__name__}: {name} is {value!r}, a str",
                    fix=f"give {kind.__name__}.NAME, of {members}",
                )
            )


@cache
def _signature(cls: type[Layer]) -> inspect.Signature:
    return inspect.signature(cls.infer)


@cache
def _enums(cls: type) -> tuple[tuple[str, type[Enum]], ...]:
    """The fields of a layer that are TensorRT's enums."""
    names = vars(sys.modules[cls.__module__])
    kinds = (
        (f.name, names.get(f.type) if isinstance(f.type, str) else f.type) for f in fields(cls)
    )
    return tuple((n, k) for n, k in kinds if isinstance(k, type) and issubclass(k, Enum))
