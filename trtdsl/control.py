"""Control flow that torch.export captures: ``torch.cond``, ``while_loop``, ``map`` and ``scan``.

An engine computes both branches of a ``cond`` and chooses, element by element; neither can have an
effect but its result. A few trips of ``map`` and ``scan`` are written out, one after the other;
many of them, a number that is known at run time only, and a ``while_loop`` are TensorRT's loops.
Source: torch.ops.higher_order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trtdsl.complex import Complex
from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.repeat import Repeat
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.ir.slice import section
from trtdsl.network import Network, Tensor
from trtdsl.operators import as_tensor, equal, less, less_equal, logical_not, where
from trtdsl.types import TensorType

__all__ = ["OPERATORS", "Bodies", "lower_control"]

Run = Callable[[Any, Sequence[Any]], Sequence[Any]]
"""Writes a captured body into the network: the body, its inputs; its outputs."""

Apart = Callable[[Any, Sequence[Any]], Network]
"""Writes a captured body into a network of its own, with inputs for the tensors among the given."""

_MOST_TRIPS = 32


@dataclass(frozen=True, kw_only=True)
class Bodies:
    """What can be done with a captured body: write it in place, or into a network of its own."""

    run: Run
    apart: Apart


def lower_control(
    net: Network, operator: str, bodies: Bodies, args: Sequence[Any]
) -> Sequence[Tensor]:
    """The outputs of a control flow operator, one of ``OPERATORS``.

    Errors: ConversionError for a carried value that is no tensor, or branches of several shapes.
    """
    return OPERATORS[operator](net, bodies, *args)


def _cond(
    net: Network, bodies: Bodies, condition: Any, yes: Any, no: Any, inputs: Any
) -> list[Tensor]:
    """Both branches, and of each two outputs the one that the condition says."""
    if isinstance(condition, bool):
        return list(bodies.run(yes if condition else no, inputs))
    chosen = condition if isinstance(condition, Tensor) else _truth(net, condition)
    pairs = list(zip(bodies.run(yes, inputs), bodies.run(no, inputs), strict=True))
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


def _map(net: Network, bodies: Bodies, body: Any, xs: Any, rest: Any) -> Sequence[Tensor]:
    """A body for each slice along the first axis of ``xs``; its outputs stacked."""
    return _scan(net, bodies, body, (), xs, rest)


def _scan(
    net: Network, bodies: Bodies, body: Any, init: Any, xs: Any, rest: Any
) -> Sequence[Tensor]:
    """A body for each slice, which also reads and gives the carried values."""
    count = xs[0].shape[0]
    if not isinstance(count, int) or not 0 < count <= _MOST_TRIPS:
        return _repeated(bodies, body, None, init, xs, rest)
    carried, trips = list(init), []
    for i in range(count):
        slices = [Squeeze(axes=(0,))(section(x, 0, i, 1)) for x in xs]
        outputs = bodies.run(body, [*carried, *slices, *rest])
        carried, ys = list(outputs[: len(init)]), outputs[len(init) :]
        trips.append(ys)
    return [*carried, *_stacked(trips)]


def _stacked(trips: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    columns = zip(*trips, strict=True)
    rows = [[Unsqueeze(axes=(0,))(y) for y in column] for column in columns]
    return [Concatenation(axis=0)(*row) if len(row) > 1 else row[0] for row in rows]


def _while_loop(
    net: Network, bodies: Bodies, condition: Any, body: Any, init: Any, rest: Any
) -> Sequence[Tensor]:
    """A body again and again while the condition of the carried values holds."""
    return _repeated(bodies, body, condition, init, (), rest)


def _repeated(
    bodies: Bodies, body: Any, condition: Any, init: Any, xs: Any, rest: Any
) -> Sequence[Tensor]:
    for value in (*init, *xs):
        if not isinstance(value, Tensor):
            kind = "a complex tensor" if isinstance(value, Complex) else f"the number {value}"
            raise ConversionError(
                explain(
                    f"a loop carries {kind} from trip to trip",
                    fix="carry tensors of real numbers: torch.tensor(0), or torch.view_as_real(x)",
                )
            )
    inner = bodies.apart(body, [*init, *map(_slice_type, xs), *rest])
    test = None if condition is None else bodies.apart(condition, [*init, *rest])
    others = [x for x in rest if isinstance(x, Tensor)]
    layer = Repeat(body=inner, condition=test, carried=len(init), scanned=len(xs))
    return layer.outputs(*init, *xs, *others)


def _slice_type(x: Tensor) -> TensorType:
    return x.type.with_shape(x.shape[1:])


OPERATORS: dict[str, Callable[..., Sequence[Tensor]]] = {
    "cond": _cond,
    "map_impl": _map,
    "scan": _scan,
    "while_loop": _while_loop,
}
