"""``hold``: what a graph was captured under, held against all sizes that it may be given.

A condition that the model itself asks for has to hold everywhere. One that PyTorch's functions ask
for, in cutting or viewing a tensor, mostly decides of layouts in memory alone. Where such a one
does not hold, the model is exported once more, for an example of those sizes: if that makes the
same calls of the same sizes, and all that it was captured under holds, it is the same path.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, TypeVar

import torch
from torch.fx import Graph, Node

from trtdsl.errors import ConversionError, explain
from trtdsl.export.asserted import Condition, Layout, compiled, conditions_of, only_checked, refused
from trtdsl.export.branches import Asked
from trtdsl.nodes import several
from trtdsl.types import DimRange

__all__ = ["SizeOneWarning", "Trace", "hold"]

K = TypeVar("K")
Sizes = Mapping[str, int]
"""By the user's names of the dynamic sizes."""

_MOST = 4096
"""So many combinations of sizes are tried one by one; of more, the ends of the ranges are."""

_MOST_TRACES = 4
_MOST_POINTS = 2**14
_COMPARED = 32
_COPIES = ("aten.clone.default", "aten.contiguous.default")


class SizeOneWarning(UserWarning):
    """The model does something else where a size is 1, and an engine what it does from 2 on."""


class Trace:
    """One export of a model: its calls, and the conditions that it was captured under."""

    def __init__(
        self, inputs: Sequence[Node], graph: Graph, names: Mapping[Any, str], asked: Asked | None
    ) -> None:
        """``inputs`` are those of the graph as exported, ``graph`` is what has become of it."""
        self.names, self.graph = names, graph
        self.unproved = asked is not None and asked.unproved
        self.layout = Layout(inputs[0].graph) if inputs and asked is not None else None
        found = [c for c in conditions_of(inputs, asked) if c.expr.free_symbols <= names.keys()]
        self.conditions = [(c, compiled(c.expr)) for c in found]
        self.known: dict[Any, Callable[[Mapping[Any, int]], Any]] = {}

    def broken(self, sizes: Sizes) -> Condition | None:
        """The first condition that does not hold for these sizes."""
        own = self.own(sizes)
        for condition, holds in self.conditions:
            asks = condition.expr.free_symbols <= own.keys()
            if asks and not holds(own) and not self.allows(condition, own):
                return condition
        return None

    def allows(self, condition: Condition, own: Mapping[Any, int]) -> bool:
        """Whether a condition that does not hold only tells a size of 1 from others."""
        layout = None if condition.by_model else self.layout
        return layout is not None and layout.allows(condition, own)

    def own(self, sizes: Sizes) -> dict[Any, int]:
        """The sizes by PyTorch's symbols."""
        return {symbol: sizes[name] for symbol, name in self.names.items() if name in sizes}

    def calls(self, sizes: Sizes) -> list[Any]:
        """The calls that give tensors, with what they read, and the sizes of what they give."""
        own, places, unneeded = self.own(sizes), dict[Node, int](), only_checked(self.graph)

        def shown(value: Any) -> Any:
            if isinstance(value, Node):
                return self.number(value.meta.get("val"), own, places.get(value))
            if isinstance(value, list | tuple):
                return [shown(v) for v in value]
            return str(value)

        made: list[Any] = []
        for node in self.graph.nodes:
            results = several(node.meta.get("val"))
            tensors = [v for v in results if isinstance(v, torch.Tensor)]
            if node in unneeded or not (tensors or node.op == "output"):
                continue
            if str(node.target) in _COPIES:  # writing in place is no part of the graph any more
                places[node] = places[node.args[0]]
                continue
            places[node] = len(made)
            given = [[self.number(n, own, None) for n in v.shape] for v in tensors]
            kwargs = sorted((k, shown(v)) for k, v in node.kwargs.items())
            made.append((node.op, str(node.target), shown(node.args), kwargs, given))
        return made

    def number(self, value: Any, own: Mapping[Any, int], place: int | None) -> Any:
        if not isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
            return value if isinstance(value, int) else f"%{place}"
        expr = value.node.expr
        if not expr.free_symbols <= own.keys():
            return str(expr)
        return self.known.setdefault(expr, compiled(expr))(own)


def hold(
    trace: Trace, symbols: Mapping[str, DimRange], again: Callable[[Sizes], Trace | None] | None
) -> None:
    """Hold the conditions of a trace against the ranges of its sizes, from 2 on.

    ``again`` traces the model for an example of given sizes; None where it cannot.
    Errors: ConversionError where one is violated on a path that is, or may be, another.
    """
    _hold(trace, symbols, again)
    _warn_of_one(trace, symbols)


def _hold(
    trace: Trace, symbols: Mapping[str, DimRange], again: Callable[[Sizes], Trace | None] | None
) -> None:
    named = {s: symbols[name] for s, name in trace.names.items() if name in symbols}
    for condition, holds in trace.conditions:
        used = sorted(condition.expr.free_symbols, key=lambda s: trace.names[s])
        if not set(used) <= named.keys():
            continue
        ranges = {trace.names[s]: named[s] for s in used}  # two inputs may share a size
        if trace.unproved and math.prod(r.max - r.min + 1 for r in ranges.values()) > _MOST_POINTS:
            raise _too_many(condition, trace)
        for point in _points(ranges, _MOST_POINTS if trace.unproved else _MOST):
            sizes = {s: point[trace.names[s]] for s in used}
            if not holds(sizes) and not trace.allows(condition, sizes):
                names = {trace.names[s] for s in used}
                if condition.by_model or again is None or not _is_one(trace, symbols, names, again):
                    raise refused(condition, sizes, trace.names)
                return


def _too_many(condition: Condition, trace: Trace) -> ConversionError:
    return ConversionError(
        explain(
            f"the model was captured for sizes with {condition.expr.subs(trace.names)}: PyTorch "
            "cannot prove that of the whole ranges, and they are too wide to try all sizes",
            at=condition.place,
            fix=f"narrow them in dynamic_shapes to at most {_MOST_POINTS} combinations",
        )
    )


def _warn_of_one(trace: Trace, symbols: Mapping[str, DimRange]) -> None:
    """Tell what the model's own code asks that has another answer where a size is 1.

    torch.export takes every size to be 2 or more. What installed packages ask is left to them:
    most of it is whether there is more than one token, and comes to the same.
    """
    for condition, holds in trace.conditions:
        names = [trace.names[s] for s in condition.expr.free_symbols]
        own = condition.by_model and _is_users(condition.place)
        if not own or not all(name in symbols for name in names):
            continue
        ends = ((r.min, r.opt, r.max) for r in map(symbols.__getitem__, names))
        for sizes in (dict(zip(names, values, strict=True)) for values in product(*ends)):
            if 1 in sizes.values() and not holds(trace.own(sizes)):
                one = ", ".join(f"{name} = {n}" for name, n in sizes.items())
                shown = condition.expr.subs(trace.names)
                message = explain(
                    f"the model was captured for {shown}; where {one} it may take another "
                    "branch, and the engine does not",
                    at=condition.place,
                    fix="give the size min=2, or convert the model once for each side",
                )
                warnings.warn(message, SizeOneWarning, stacklevel=2)
                break


def _is_users(place: str | None) -> bool:
    """Whether a line is in a file that is part of no installed package."""
    return bool(place) and not re.match(r"<|.*(site|dist)-packages", place or "<")


def _is_one(
    trace: Trace,
    symbols: Mapping[str, DimRange],
    names: Collection[str],
    again: Callable[[Sizes], Trace | None],
) -> bool:
    """Whether the model makes the same calls wherever a condition of the trace does not hold.

    All sizes of these names are tried, together, and of the others the ends.
    """
    others: list[Trace] = []
    compared: Counter[Trace] = Counter()
    tried = {n: r for n, r in symbols.items() if n in names}
    if math.prod(r.max - r.min + 1 for r in tried.values()) > _MOST_POINTS:
        return False
    ends = list(_points({n: r for n, r in symbols.items() if n not in names}, 0))
    for sizes in ({**inner, **outer} for inner in _points(tried, _MOST_POINTS) for outer in ends):
        condition = trace.broken(sizes)
        if condition is None:
            continue
        other = next((t for t in others if t.broken(sizes) is None), None)
        if other is None:
            other = again(sizes) if len(others) < _MOST_TRACES else None
            if condition.by_model or other is None or other.broken(sizes) is not None:
                return False
            others.append(other)
        compared[other] += 1
        looks = compared[other] <= _COMPARED or compared[other] % _COMPARED == 0
        if looks and trace.calls(sizes) != other.calls(sizes):
            return False
    return True


def _points(ranges: Mapping[K, DimRange], most: int) -> Iterator[dict[K, int]]:
    """Sizes to try, from 2 on: all, or where these are too many the ends of each range."""
    every = [range(max(r.min, 2), r.max + 1) for r in ranges.values()]
    ends = [sorted({max(n, 2) for n in (r.min, r.opt, r.max)}) for r in ranges.values()]
    few = math.prod(map(len, every)) <= most
    for values in product(*(every if few else ends)):
        yield dict(zip(ranges, values, strict=True))
