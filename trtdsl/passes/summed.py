"""``with_sums``: plugins that add up what they read, and give the sum to others that read it.

A residual stream is read by the norm that follows each of its sums, and by the next sum. A kernel
of a plugin's that is given both summands saves one that only adds.
"""

from __future__ import annotations

from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.fold import biased
from trtdsl.passes.rewrite import named, rewrite, uses

__all__ = ["with_sums"]

_SUM = ElementWise(op=ElementWiseOperation.SUM)


def with_sums(network: Network) -> Network:
    """A network that computes the same, with ``of_sum`` of the plugins that have it.

    Where both summands are like the sum, and what else the plugin reads is constant. What one of
    them is alone for, a bias added to its rows, is added by the plugin too.
    """
    plugins = any(isinstance(operation.layer, Plugin) for operation in network.operations)
    return rewrite(network, _Adding(network)) if plugins else network


class _Adding:
    """The rule of the rewrite."""

    def __init__(self, network: Network) -> None:
        self.uses = uses(network)
        self.sums: dict[Tensor, Tensor] = {}
        """Of the new network's sums, what plugins have given for them since."""

    def __call__(
        self, operation: Operation, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...] | None:
        current = tuple(self.sums.get(x, x) for x in inputs)
        outputs = self.adding(operation, current)
        if outputs is None and current != inputs:
            outputs = tuple(current[0].network.again(operation, current))
        return outputs

    def adding(self, operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        layer = operation.layer
        if not isinstance(layer, Plugin) or not all(x.is_constant for x in inputs[1:]):
            return None
        summands = self.summands(operation.inputs[0], inputs[0])
        if summands is None:
            return None
        *both, offset = summands
        keeps = self.uses[operation.inputs[0]] > 1
        adding = layer.of_sum(offset=offset is not None, keeps=keeps)
        if adding is None:
            return None
        x, other = both
        given = (x, *inputs[1:], other) if offset is None else (x, *inputs[1:], other, offset)
        y, *total = adding.outputs(*given)
        named(y, operation)
        self.sums.update({inputs[0]: total[0]} if keeps else {})
        return (y,)

    def summands(self, old: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """Two tensors whose sum x is, and a constant that is added to the first one's rows."""
        before, made = old.producer, x.producer
        if before is None or made is None or made.layer != _SUM:
            return None
        one, other = made.inputs
        if one.type != x.type or other.type != x.type or one.is_constant or other.is_constant:
            return None
        for was, (first, second) in zip(before.inputs, ((one, other), (other, one)), strict=True):
            found = _offset(first) if self.uses[was] == 1 else None
            if found is not None:
                rows, offset = found
                return rows, second, offset
        return one, other, None


def _offset(x: Tensor) -> tuple[Tensor, Tensor] | None:
    """A tensor and the constant row that x is the sum of."""
    found = biased(x.producer) if x.producer is not None else None
    if found is None:
        return None
    (rows,), row = found[0].outputs, found[1]
    one = x.type.with_shape((*(1 for _ in x.shape[1:]), x.shape[-1]))
    return (rows, row) if (rows.type, row.type) == (x.type, one) else None
