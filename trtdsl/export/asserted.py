"""What torch.export found a graph to rest on, held against what an engine may be given.

A condition of sizes (a Python branch that was taken, ``torch._check``) has to hold for all sizes in
their ranges, or the model is refused: the engine would compute the other branch wrongly. Sizes of 1
are exempt, as torch.export never looks at them. A condition of values is PyTorch's to raise at run
time; an engine cannot, so a warning tells. What a tensor's dtype or device is asserted to be is
what the network's inputs are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import Graph, Node

from trtdsl.errors import ConversionError, explain
from trtdsl.export.branches import Asked
from trtdsl.export.unchecked import unchecked
from trtdsl.nodes import source_of
from trtdsl.source import Source, is_ours

if TYPE_CHECKING:
    from trtdsl.capture import Captured

__all__ = [
    "CHECKS",
    "Condition",
    "Layout",
    "compiled",
    "conditions_of",
    "only_checked",
    "refused",
    "warn_of_values",
]

CHECKS = {
    "aten._assert_async.msg",
    "aten._assert_scalar.default",
    "aten._assert_tensor_metadata.default",
    "aten.sym_constrain_range.default",
    "aten.sym_constrain_range_for_size.default",
}
"""The operators of conditions that torch.export leaves behind."""


def conditions_of(inputs: Sequence[Node], asked: Asked | None) -> Iterator[Condition]:
    """What a graph was captured under: ``asked`` by the model itself, and by PyTorch."""
    yield from _asked(inputs, asked)
    yield from _guards(inputs)
    yield from _deferred(inputs)


def refused(condition: Condition, sizes: Mapping[Any, int], names: Mapping[Any, str]) -> Exception:
    """The error that a condition does not hold for sizes by PyTorch's symbols."""
    expr = condition.expr.subs({s: names[s] for s in sizes})
    given = ", ".join(f"{names[s]} = {n}" for s, n in sizes.items())
    fix = "narrow the ranges in dynamic_shapes, or convert the model once for each side"
    if expr.func.__name__ == "Equality" and expr.rhs == 1:
        fix = (
            "give a larger example input: inside of this one something has a size of 1, which "
            "torch.export takes for a constant"
        )
    return ConversionError(
        explain(
            f"the model was captured for sizes with {expr}, and {given} are in the ranges "
            "too: there it may take another branch, or refuse its input",
            at=condition.place,
            fix=fix,
        )
    )


@dataclass(frozen=True, kw_only=True)
class Condition:
    """An expression of sizes that was taken for true, and where."""

    expr: Any
    place: str | None
    by_model: bool = False


def compiled(expr: Any) -> Callable[[Mapping[Any, int]], Any]:
    """The value of an expression; compiled, as it may be asked for thousands of times.

    Source: what PyTorch writes its own guards with.
    """
    from torch.utils._sympy.printers import PythonPrinter

    code = compile(PythonPrinter().doprint(expr), "<condition>", "eval")
    known = {"math": math, "torch": torch}

    def value(sizes: Mapping[Any, int]) -> Any:
        return eval(code, known, {s.name: n for s, n in sizes.items()})

    return value


class Layout:
    """What a graph computes where PyTorch took a size for other than 1: the same, mostly."""

    def __init__(self, graph: Graph) -> None:
        self.squeezes = any(str(n.target) == "aten.squeeze.default" for n in graph.nodes)
        values = (v for n in graph.nodes for v in _tensors(n.meta.get("val")))
        self.asks_for_one: dict[Any, bool] = {}
        self.symbolic = {d.node.expr for v in values for d in _symbolic(v)}
        self.sizes = [(e.free_symbols, compiled(e)) for e in self.symbolic if not e.is_Symbol]

    def is_one(self, condition: Any) -> bool:
        """Whether a condition is that a size of some tensor is not 1, however it is written."""
        if type(condition).__name__ not in ("Unequality", "Ne"):
            return False
        apart = condition.lhs - condition.rhs
        return any((apart - s * (e - 1)).expand() == 0 for e in self.symbolic for s in (1, -1))

    def allows(self, condition: Condition, sizes: Mapping[Any, int]) -> bool:
        """Whether the condition is of layout alone: no tensor is empty there, or changes rank."""
        expr = condition.expr
        if expr not in self.asks_for_one:
            self.asks_for_one[expr] = _asks_for_one(expr) or self.is_one(expr)
        if self.squeezes or not self.asks_for_one[expr]:
            return False
        known = (value for free, value in self.sizes if free <= sizes.keys())
        return all(value(sizes) > 0 for value in known)


def _asks_for_one(condition: Any) -> bool:
    """Whether a condition is that something is not 1, or that a size is at least 2."""
    kind = type(condition).__name__
    least = {"LessThan": "lhs", "GreaterThan": "rhs"}.get(kind)
    if kind in ("Unequality", "Ne"):  # size != 1, which may have become size - 1 != 0
        return bool(condition.lhs.is_Integer or condition.rhs.is_Integer)
    return least is not None and bool(getattr(condition, least) == 2)


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


def _asked(inputs: Sequence[Node], asked: Asked | None) -> Iterator[Condition]:
    import sympy

    env = _shape_env(inputs)
    for condition, (answer, place) in asked.by_model.items() if env and asked else ():
        expr = env.replace(condition)
        yield Condition(expr=expr if answer else sympy.Not(expr), place=place, by_model=True)


def _guards(inputs: Sequence[Node]) -> Iterator[Condition]:
    env = _shape_env(inputs)
    if env is None:
        return
    for guard in env.guards:
        # A size by the Dim that it is a multiple of, where it is of one.
        yield Condition(expr=guard.expr.xreplace(env.replacements), place=_place(guard))
    # Of the ones to be asserted, not all have found their way into the graph.
    for several in env.deferred_runtime_asserts.values():
        for guard in several:
            place = Source(stack="".join(guard.stack.format())).line or None
            yield Condition(expr=guard.expr.xreplace(env.replacements), place=place)


def _deferred(inputs: Sequence[Node]) -> Iterator[Condition]:
    """What torch.export could not prove, and left in the graph to be asserted."""
    for node in inputs[0].graph.nodes if inputs else ():
        value = _asserted(node)
        if value is not None:
            stack = node.meta.get("stack_trace") or ""
            yield Condition(expr=value.node.expr, place=Source(stack=stack).line or None)


def _asserted(node: Node) -> torch.SymBool | None:
    if str(node.target) != "aten._assert_scalar.default" or not isinstance(node.args[0], Node):
        return None
    value = node.args[0].meta.get("val")
    return value if isinstance(value, torch.SymBool) else None


def _place(guard: Any) -> str | None:
    user, framework = guard.sloc.maybe_user_loc, guard.sloc.framework_loc
    if user is not None or framework is None or is_ours(framework.filename):
        return None if user is None else str(user)
    return f"{framework.filename}:{framework.lineno}, {framework.name}: {framework.line}"


def warn_of_values(node: Node, captured: Captured) -> None:
    """Tell that an assertion of values is not checked, unless it is of sizes within known bounds.

    An engine keeps within these by itself; not so a number that is no tensor's size, of which the
    model asserts something. (What PyTorch asserts of an index, the layers see to.)
    """
    place = source_of(node, captured.prefix).line
    if str(node.target) == "aten._assert_async.msg":
        unchecked(f"the model asserts of values: {node.args[1]}", place)
    value = _asserted(node)
    if value is not None:
        condition = value.node.expr
        known = condition.free_symbols <= captured.bounds.keys()
        promised = condition in captured.promised and not _are_sizes(condition, node.graph)
        if not known or promised:
            unchecked(f"the model asserts {condition} of values", place)


def _are_sizes(condition: Any, graph: Graph) -> bool:
    """Whether all symbols of a condition are in sizes of tensors."""
    missing = set(condition.free_symbols)
    values = (v for node in graph.nodes for v in _tensors(node.meta.get("val")))
    for size in (size for v in values for size in _symbolic(v)):
        missing -= size.node.expr.free_symbols
        if not missing:
            break
    return not missing


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
