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
    inputs: Sequence[Node], symbols: Mapping[str, DimRange], names: Mapping[Any, str]
) -> None:
    """Hold the conditions that a graph was captured under against the ranges of its sizes.

    Errors: ConversionError where sizes of 2 and more, within their ranges, violate one.
    """
    ranges = {symbol: symbols[name] for symbol, name in names.items() if name in symbols}
    for condition in (*_guards(inputs), *_deferred(inputs)):
        if condition.expr.free_symbols <= ranges.keys():
            _hold(condition, ranges, names)


@dataclass(frozen=True, kw_only=True)
class _Condition:
    """An expression of sizes that was taken for true, and where."""

    expr: Any
    place: str | None

    def test(self) -> Callable[[Mapping[Any, int]], Any]:
        """Whether it is true of sizes by symbol; compiled, as it may be asked thousands of times.

        Source: what PyTorch writes its own guards with.
        """
        from torch.utils._sympy.printers import PythonPrinter

        code = compile(PythonPrinter().doprint(self.expr), "<condition>", "eval")
        known = {"math": math, "torch": torch}

        def holds(sizes: Mapping[Any, int]) -> Any:
            return eval(code, known, {s.name: n for s, n in sizes.items()})

        return holds


def _guards(inputs: Sequence[Node]) -> Iterator[_Condition]:
    for node in inputs:
        mode = getattr(node.meta["val"], "fake_mode", None)
        if mode is not None and mode.shape_env is not None:
            for guard in mode.shape_env.guards:
                yield _Condition(expr=guard.expr, place=_place(guard))
            return


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


def _hold(condition: _Condition, ranges: Mapping[Any, DimRange], names: Mapping[Any, str]) -> None:
    symbols = sorted(condition.expr.free_symbols, key=lambda s: names[s])
    holds = condition.test()
    for sizes in _points({s: ranges[s] for s in symbols}):
        if holds(sizes):
            continue
        expr = condition.expr.subs({s: names[s] for s in sizes})
        given = ", ".join(f"{names[s]} = {n}" for s, n in sizes.items())
        raise ConversionError(
            explain(
                f"the model was captured for sizes with {expr}, and {given} are in the ranges "
                "too: there it may take another branch, or refuse its input",
                at=condition.place,
                fix="narrow the ranges in dynamic_shapes, or convert the model once for each side",
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
