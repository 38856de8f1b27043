"""What torch.export found a graph to rest on, held against what an engine may be given.

A condition of sizes (a Python branch that was taken, ``torch._check``) has to hold for all sizes in
their ranges, or the model is refused: the engine would compute the other branch wrongly. Sizes of 1
are exempt, as torch.export never looks at them. A condition of values is PyTorch's to raise at run
time; an engine cannot, so a warning tells. What a tensor's dtype or device is asserted to be is
what the network's inputs are.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch.fx import Graph, Node

from trtdsl.branches import Asked
from trtdsl.dynamic import Bounds
from trtdsl.errors import ConversionError, explain
from trtdsl.source import Source
from trtdsl.types import DimRange

__all__ = ["CHECKS", "UncheckedWarning", "hold_guards", "only_checked", "warn_of_values"]

CHECKS = {
    "aten._assert_async.msg",
    "aten._assert_scalar.default",
    "aten._assert_tensor_metadata.default",
    "aten.sym_constrain_range.default",
    "aten.sym_constrain_range_for_size.default",
}
"""The operators of conditions that torch.export leaves behind."""

_MOST = 4096
"""So many combinations of sizes are tried one by one; of more, the ends of the ranges are."""


class UncheckedWarning(UserWarning):
    """The model asserts something about values, and an engine runs without looking."""


def hold_guards(
    inputs: Sequence[Node],
    symbols: Mapping[str, DimRange],
    names: Mapping[Any, str],
    asked: Asked | None,
) -> None:
    """Hold the conditions that a graph was captured under against the ranges of its sizes.

    ``asked`` are those that the model itself asked for. Of PyTorch's own, those may fail that only
    tell a size of 1 from others; without ``asked``, of a finished export, none may.
    Errors: ConversionError where sizes of 2 and more, within their ranges, violate one.
    """
    ranges = {symbol: symbols[name] for symbol, name in names.items() if name in symbols}
    graph = inputs[0].graph if inputs else Graph()
    layout = _Layout(graph) if asked is not None else None
    for condition in (*_asked(inputs, asked), *_guards(inputs), *_deferred(inputs)):
        if condition.expr.free_symbols <= ranges.keys():
            _hold(condition, ranges, names, None if condition.by_model else layout)


@dataclass(frozen=True, kw_only=True)
class _Condition:
    """An expression of sizes that was taken for true, and where."""

    expr: Any
    place: str | None
    by_model: bool = False

    def test(self) -> Callable[[Mapping[Any, int]], Any]:
        """Whether it is true of sizes by symbol."""
        return _compiled(self.expr)


def _compiled(expr: Any) -> Callable[[Mapping[Any, int]], Any]:
    """The value of an expression; compiled, as it may be asked for thousands of times.

    Source: what PyTorch writes its own guards with.
    """
    from torch.utils._sympy.printers import PythonPrinter

    code = compile(PythonPrinter().doprint(expr), "<condition>", "eval")
    known = {"math": math, "torch": torch}

    def value(sizes: Mapping[Any, int]) -> Any:
        return eval(code, known, {s.name: n for s, n in sizes.items()})

    return value


class _Layout:
    """What a graph computes where PyTorch took a size for other than 1: the same, mostly."""

    def __init__(self, graph: Graph) -> None:
        self.squeezes = any(str(n.target) == "aten.squeeze.default" for n in graph.nodes)
        values = (v for n in graph.nodes for v in _tensors(n.meta.get("val")))
        symbolic = {d.node.expr for v in values for d in _symbolic(v)}
        self.sizes = [(e.free_symbols, _compiled(e)) for e in symbolic if not e.is_Symbol]

    def allows(self, condition: _Condition, sizes: Mapping[Any, int]) -> bool:
        """Whether the condition is of layout alone: no tensor is empty there, or changes rank."""
        if self.squeezes or not _asks_for_one(condition.expr):
            return False
        known = (value for free, value in self.sizes if free <= sizes.keys())
        return all(value(sizes) > 0 for value in known)


def _asks_for_one(condition: Any) -> bool:
    """Whether a condition is that something is not 1, or that a size is at least 2."""
    kind = type(condition).__name__
    least = {"LessThan": "lhs", "GreaterThan": "rhs"}.get(kind)
    return kind in ("Unequality", "Ne") or (least is not None and getattr(condition, least) == 2)


def _symbolic(x: torch.Tensor) -> Iterator[Any]:
    return (d for d in x.shape if isinstance(d, torch.SymInt))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for v in value:
            yield from _tensors(v)


def _shape_env(inputs: Sequence[Node]) -> Any:
    modes = (getattr(node.meta["val"], "fake_mode", None) for node in inputs)
    return next((m.shape_env for m in modes if m is not None and m.shape_env is not None), None)


def _asked(inputs: Sequence[Node], asked: Asked | None) -> Iterator[_Condition]:
    import sympy

    env = _shape_env(inputs)
    for condition, (answer, place) in asked.by_model.items() if env and asked else ():
        expr = env.replace(condition)
        yield _Condition(expr=expr if answer else sympy.Not(expr), place=place, by_model=True)


def _guards(inputs: Sequence[Node]) -> Iterator[_Condition]:
    env = _shape_env(inputs)
    if env is None:
        return
    for guard in env.guards:
        # A size by the Dim that it is a multiple of, where it is of one.
        yield _Condition(expr=guard.expr.xreplace(env.replacements), place=_place(guard))
    # Of the ones to be asserted, not all have found their way into the graph.
    for several in env.deferred_runtime_asserts.values():
        for guard in several:
            place = Source(stack="".join(guard.stack.format())).line or None
            yield _Condition(expr=guard.expr.xreplace(env.replacements), place=place)


def _deferred(inputs: Sequence[Node]) -> Iterator[_Condition]:
    """What torch.export could not prove, and left in the graph to be asserted."""
    for node in inputs[0].graph.nodes if inputs else ():
        value = _asserted(node)
        if value is not None:
            stack = node.meta.get("stack_trace") or ""
            yield _Condition(expr=value.node.expr, place=Source(stack=stack).line or None)


def _asserted(node: Node) -> torch.SymBool | None:
    if str(node.target) != "aten._assert_scalar.default" or not isinstance(node.args[0], Node):
        return None
    value = node.args[0].meta.get("val")
    return value if isinstance(value, torch.SymBool) else None


def _hold(
    condition: _Condition,
    ranges: Mapping[Any, DimRange],
    names: Mapping[Any, str],
    layout: _Layout | None,
) -> None:
    symbols = sorted(condition.expr.free_symbols, key=lambda s: names[s])
    holds = condition.test()
    for sizes in _points({s: ranges[s] for s in symbols}):
        if holds(sizes) or (layout is not None and layout.allows(condition, sizes)):
            continue
        expr = condition.expr.subs({s: names[s] for s in sizes})
        given = ", ".join(f"{names[s]} = {n}" for s, n in sizes.items())
        fix = "narrow the ranges in dynamic_shapes, or convert the model once for each side"
        if expr.func.__name__ == "Equality" and expr.rhs == 1:
            fix = (
                "give a larger example input: inside of this one something has a size of 1, which "
                "torch.export takes for a constant"
            )
        raise ConversionError(
            explain(
                f"the model was captured for sizes with {expr}, and {given} are in the ranges "
                "too: there it may take another branch, or refuse its input",
                at=condition.place,
                fix=fix,
            )
        )


def _points(ranges: Mapping[Any, DimRange]) -> Iterator[dict[Any, int]]:
    """Sizes to try, from 2 on: all, or where these are too many the ends of each range."""
    every = [range(max(r.min, 2), r.max + 1) for r in ranges.values()]
    ends = [sorted({max(n, 2) for n in (r.min, r.opt, r.max)}) for r in ranges.values()]
    few = math.prod(map(len, every)) <= _MOST
    for values in product(*(every if few else ends)):
        yield dict(zip(ranges, values, strict=True))


def _place(guard: Any) -> str | None:
    user, framework = guard.sloc.maybe_user_loc, guard.sloc.framework_loc
    if user is not None or framework is None:
        return None if user is None else str(user)
    return f"{framework.filename}:{framework.lineno}, {framework.name}: {framework.line}"


def warn_of_values(node: Node, bounds: Mapping[Any, Bounds], place: str) -> None:
    """Tell that an assertion of values is not checked, unless the bounds that are known imply it.

    Numbers of known bounds are sizes of what is found: an engine keeps within them by itself.
    """
    if str(node.target) == "aten._assert_async.msg":
        _warn(f"the model asserts of values: {node.args[1]}", place)
    value = _asserted(node)
    if value is not None:
        condition = value.node.expr
        if not condition.free_symbols <= bounds.keys():
            _warn(f"the model asserts {condition} of values", place)


def only_checked(graph: Graph) -> set[Node]:
    """What nothing but checks reads, and so no engine computes.

    Numbers that sizes may be made of are not among it.
    """
    found: set[Node] = set()
    for node in reversed(graph.nodes):
        calls = node.op == "call_function" and str(node.target) not in CHECKS
        reads = [user in found or str(user.target) in CHECKS for user in node.users]
        if calls and reads and all(reads) and not node.meta.get("unbacked_bindings"):
            found.add(node)
    return found


def _warn(what: str, place: str) -> None:
    warnings.warn(
        explain(
            f"{what}; an engine does not check it, and computes with what it is given",
            at=place,
            fix="check the inputs before the engine runs, and filter this UncheckedWarning",
        ),
        UncheckedWarning,
        stacklevel=2,
    )
