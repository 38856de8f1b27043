"""Control flow that torch.export captures: ``torch.cond``, ``map`` and ``scan``.

An engine computes both branches of a ``cond`` and chooses, element by element; neither can have an
effect but its result. The trips of ``map`` and ``scan`` are written out, one after the other.
Source: torch.ops.higher_order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.ir.slice import section
from trtdsl.network import Network, Tensor
from trtdsl.operators import as_tensor, equal, less, less_equal, logical_not, where

__all__ = ["OPERATORS", "lower_control"]

Run = Callable[[Any, Sequence[Any]], Sequence[Any]]
"""Writes a captured body into the network: the body, its inputs; its outputs."""

_MOST_TRIPS = 1024


def lower_control(net: Network, operator: str, run: Run, args: Sequence[Any]) -> list[Tensor]:
    """The outputs of a control flow operator, one of ``OPERATORS``.

    Errors: ConversionError where its size or its number of trips is not known.
    """
    return OPERATORS[operator](net, run, *args)


def _cond(net: Network, run: Run, condition: Any, yes: Any, no: Any, inputs: Any) -> list[Tensor]:
    """Both branches, and of each two outputs the one that the condition says."""
    if isinstance(condition, bool):
        return list(run(yes if condition else no, inputs))
    chosen = condition if isinstance(condition, Tensor) else _truth(net, condition)
    pairs = list(zip(run(yes, inputs), run(no, inputs), strict=True))
    for a, b in pairs:
        if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape:
            raise ConversionError(
                explain(
                    f"the branches of torch.cond give {_described(a)} and {_described(b)}",
                    fix="let both give tensors of one shape, padded where one is shorter",
                )
            )
    return [where(chosen.reshape(), a, b, a.dtype) for a, b in pairs]


def _described(x: Any) -> str:
    return str(x.type) if isinstance(x, Tensor) else f"the number {x}"


def _truth(net: Network, relation: Any) -> Tensor:
    """A relation between sizes as a bool scalar. Source: sympy.core.relational."""
    x, y = (as_tensor(side, net) for side in map(_int, (relation.lhs, relation.rhs)))
    match relation.rel_op:
        case "==":
            return equal(x, y)
        case "!=":
            return logical_not(equal(x, y))
        case "<":
            return less(x, y)
        case "<=":
            return less_equal(x, y)
        case ">":
            return less(y, x)
        case _:
            return less_equal(y, x)


def _int(side: Any) -> Any:
    return int(side) if side.is_Integer else side


def _map(net: Network, run: Run, body: Any, xs: Any, rest: Any) -> list[Tensor]:
    """A body for each slice along the first axis of ``xs``; its outputs stacked."""
    trips = [run(body, [*slices, *rest]) for slices in _slices("map", xs)]
    return _stacked(trips)


def _scan(net: Network, run: Run, body: Any, init: Any, xs: Any, rest: Any) -> list[Tensor]:
    """A body for each slice, which also reads and gives the carried values."""
    carried, trips = list(init), []
    for slices in _slices("scan", xs):
        outputs = run(body, [*carried, *slices, *rest])
        carried, ys = list(outputs[: len(init)]), outputs[len(init) :]
        trips.append(ys)
    return [*carried, *_stacked(trips)]


def _slices(what: str, xs: Sequence[Tensor]) -> list[list[Tensor]]:
    count = xs[0].shape[0]
    if not isinstance(count, int) or not 0 < count <= _MOST_TRIPS:
        raise ConversionError(
            explain(
                f"{what} over {count} slices of {xs[0]}: its trips are written out, 1 to "
                f"{_MOST_TRIPS} of them",
                fix="give that axis a fixed size, or compute all slices at once with torch.vmap",
            )
        )
    return [[Squeeze(axes=(0,))(section(x, 0, i, 1)) for x in xs] for i in range(count)]


def _stacked(trips: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    columns = zip(*trips, strict=True)
    rows = [[Unsqueeze(axes=(0,))(y) for y in column] for column in columns]
    return [Concatenation(axis=0)(*row) if len(row) > 1 else row[0] for row in rows]


def _while_loop(net: Network, run: Run, *_: Any) -> list[Tensor]:
    raise ConversionError(
        explain(
            "torch.while_loop: how often it runs depends on values",
            fix="a Python loop of a fixed number of trips, with torch.where for what is done",
        )
    )


OPERATORS: dict[str, Callable[..., list[Tensor]]] = {
    "cond": _cond,
    "map_impl": _map,
    "scan": _scan,
    "while_loop": _while_loop,
}
