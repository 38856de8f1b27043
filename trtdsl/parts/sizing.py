"""Numbers between the parts of a graph: read from a tensor or its shape, held to their bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Graph, Node, Proxy

from trtdsl.errors import RunError, explain

__all__ = ["Measure", "linear", "within", "written"]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How a number that values decide is known once there is a tensor.

    It is the tensor's only element where ``axis`` is None; else the tensor's size along the axis is
    ``scale`` times the number, and ``offset``.
    """

    symbol: str
    """PyTorch's name for the number."""
    value: str
    """The name of the node that gives the tensor."""
    axis: int | None = None
    scale: int = 1
    offset: int = 0
    low: int | None = None
    high: int | None = None
    place: str = ""
    """Where in the user's model it arises."""

    def __call__(self, x: torch.Tensor) -> Any:
        """The number. Errors: RunError where it is none that the model promised."""
        if self.axis is None:
            number = _read(x)
        else:
            number = _solved(x.shape[self.axis], self.scale, self.offset)
        return within(number, self.low, self.high, self.place)

    @property
    def is_bounded(self) -> bool:
        """Whether the model checks more of the number than that a size is not negative."""
        least = None if self.axis is None else 0
        return self.high is not None or self.low not in (None, least)

    def write(self, graph: Graph, x: Node) -> Node:
        """The number as a node of a graph in which ``x`` is the tensor."""
        if self.axis is None:
            read = graph.call_function(_read, (x,))
        else:
            size = graph.call_function(torch.ops.aten.sym_size.int, (x, self.axis))
            read = graph.call_function(_solved, (size, self.scale, self.offset))
        if not self.is_bounded:
            return read
        return graph.call_function(within, (read, self.low, self.high, self.place))


def within(number: Any, low: int | None, high: int | None, place: str) -> Any:
    """The number itself. Errors: RunError where it is not from ``low`` to ``high``."""
    if (low is not None and number < low) or (high is not None and number > high):
        raise RunError(
            explain(
                f"a number that values decide is {number}, and the model checks that it is "
                f"{'anything' if low is None else low} to {'anything' if high is None else high}",
                at=place or None,
                fix="widen torch._check in the model, or give other inputs",
            )
        )
    return number


def _read(x: torch.Tensor) -> Any:
    found = x.item()
    return int(found) if isinstance(found, bool) else found


def _solved(size: int, scale: int, offset: int) -> int:
    return (size - offset) // scale


def linear(size: Any, symbol: Any) -> tuple[int, int] | None:
    """``(a, b)`` where a size of PyTorch's is ``a * symbol + b``."""
    if not isinstance(size, torch.SymInt):
        return None
    expr = size.node.expr
    if expr.free_symbols != {symbol}:
        return None
    scale, offset = expr.diff(symbol), expr.subs(symbol, 0)
    if not (scale.is_Integer and scale != 0 and offset.is_Integer):
        return None
    return int(scale), int(offset)


def written(graph: Graph, value: Any, number: Callable[[Any], Node]) -> Node:
    """A SymInt, SymFloat or SymBool as nodes of a graph; ``number`` gives those of its symbols.

    Source: torch.fx.passes.runtime_assert, which writes PyTorch's own conditions so.
    """
    from torch.utils._sympy.interp import sympy_interp
    from torch.utils._sympy.reference import PythonReferenceAnalysis

    expr = value.node.expr
    tracer = torch.fx.proxy.GraphAppendingTracer(graph)
    known = {s: Proxy(number(s), tracer) for s in expr.free_symbols}
    made = sympy_interp(PythonReferenceAnalysis, known, expr)
    return made.node if isinstance(made, Proxy) else made
