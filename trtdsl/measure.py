"""Numbers that values decide: PyTorch's unbacked symbols, and what holds them in a network.

``x.nonzero()`` has a size ``u0`` in PyTorch, and here the size that the converter gave it;
``x.item()`` is ``u1`` there, and here a scalar tensor, or a size where one is needed.
Source: torch.fx.experimental.symbolic_shapes, "unbacked".
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import CallMethodKey, DivideByKey
from torch.utils._pytree import SequenceKey

from trtdsl.errors import ConversionError, explain
from trtdsl.export.dynamic import Bounds
from trtdsl.ir.fill import Fill
from trtdsl.ir.nonzero import positions
from trtdsl.network import Network, Tensor
from trtdsl.operators import cast, equal, identity, logical_not, reshape
from trtdsl.reference import fold
from trtdsl.types import Dim, DimRange, DType

__all__ = ["bindings", "computed", "number", "symbols_of"]

_LONGEST = 2**20
"""The most elements that a number may stand for as a size: it is found by counting up to it."""


def symbols_of(node: Node) -> Mapping[Any, Any]:
    """The unbacked symbols that a node makes, each with the path that leads to it in its value."""
    bound: Mapping[Any, Any] = node.meta.get("unbacked_bindings") or {}
    return bound


def bindings(net: Network, node: Node, result: Any, bounds: Mapping[Any, Bounds]) -> dict[Any, Dim]:
    """What each unbacked symbol of a node is, once its converter has given a result.

    A size is as large as ``torch._check`` promises where that is less than all there could be.
    """
    found = {}
    for symbol, path in symbols_of(node).items():
        value = _at(result, path)
        if isinstance(value, Tensor) and value.dtype.is_integer:
            value = number(value, bounds.get(symbol, (None, None)))
        if value is not None and not isinstance(value, Tensor):  # a float stays in its tensor
            found[symbol] = value
            _narrow(net, value, bounds.get(symbol, (None, None))[1])
    return found


def _narrow(net: Network, size: Dim, most: int | None) -> None:
    known = net.symbols.get(str(size))
    if known is not None and str(size) in net.numbers and most is not None and most < known.max:
        net.symbols[str(size)] = DimRange(min=known.min, opt=min(known.opt, most), max=most)


def _at(value: Any, path: Any) -> Any:
    for key in path:
        match key:
            case CallMethodKey(name="size"):
                value = value.shape
            case CallMethodKey(name="storage_offset"):
                return None  # a network's tensors have none
            case SequenceKey(idx=i):
                value = value[i]
            case DivideByKey(divisor=divisor):
                value = value // divisor
    return value


def number(x: Tensor, bounds: Bounds) -> Dim:
    """An integer scalar as a number to compute sizes with.

    TensorRT lets a value decide a size in one way only: by how much is found. So a number of known
    bounds is the count of the steps below it; one without can be computed with, but be no size.
    """
    if x.is_constant:
        return int(fold(x))
    net = x.network
    low, high = bounds
    scalar = cast(reshape(x, ()), DType.INT64)
    if low is None or high is None or high - low > _LONGEST:
        size = net.unknown()
        net.numbers[size.name] = scalar if scalar.producer else identity(scalar)
        return size
    if low == high:
        return low
    steps = net.append(Fill(shape=(high - low,)), ())[0]
    above = scalar - low if low else scalar
    size = positions(steps < above).shape[1]
    net.numbers[size.name] = above if above.producer else identity(above)
    return size + low


def computed(function: Any, args: Sequence[Any]) -> Tensor:
    """Python arithmetic on a float that is held in a tensor. Source: torch.SymFloat."""
    if function not in _ARITHMETIC:
        raise ConversionError(
            explain(
                f"{getattr(function, '__name__', function)} of a number that is read from a tensor",
                fix="compute with the tensor itself, without item(), int() or float()",
            )
        )
    result: Tensor = _ARITHMETIC[function](*args)
    return result


_COMPUTED = (operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv,
             operator.mod, operator.pow, operator.neg, operator.lt, operator.le, operator.gt,
             operator.ge)  # fmt: skip
_ARITHMETIC = {
    **{function: function for function in _COMPUTED},
    operator.eq: equal,
    operator.ne: lambda x, y: logical_not(equal(x, y)),
    torch.sym_float: lambda x: x,
}
