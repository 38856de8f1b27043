"""``written_apart``: heads of attention next to other columns, by a layer of their own.

Of two linear layers whose results are added, as the attention and the MLP of a parallel block
(GPT-NeoX, Phi, Falcon), TensorRT 8.6 makes one product of both inputs, side by side. Where a batch
of products writes one of them, heads moved behind the tokens, it was seen to write all rows but the
first in a wrong place: it steps by the columns of the one, not of both.
"""

from __future__ import annotations

from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.select import Select
from trtdsl.ir.shuffle import Shuffle
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.fold import biased
from trtdsl.passes.rewrite import rewrite

__all__ = ["written_apart"]

_SUM = ElementWise(op=ElementWiseOperation.SUM)
_EQUAL = ElementWise(op=ElementWiseOperation.EQUAL)


def written_apart(network: Network) -> Network:
    """A network that computes the same, with a selection behind such products.

    It selects what it is given either way, which TensorRT does not see.
    """
    wanted = {made for op in network.operations for x in _columns(op) if (made := _batched(x))}

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if operation not in wanted:
            return None
        y = operation.layer(*inputs)
        assert y.producer is not None
        y.producer.name = operation.name
        return (Select()(_EQUAL(y, y), y, y),)

    return rewrite(network, rule) if wanted else network


def _columns(operation: Operation) -> list[Tensor]:
    """What TensorRT puts side by side for an operation: what it joins, or sums the products of."""
    layer, last = operation.layer, operation.outputs[0].rank - 1
    if isinstance(layer, Concatenation) and layer.axis == last:
        return list(operation.inputs)
    products = [_linear(x) for x in operation.inputs] if layer == _SUM else [None]
    return [op.inputs[0] for op in products if op is not None] if None not in products else []


def _linear(x: Tensor) -> Operation | None:
    """The product with a constant matrix that a tensor is, perhaps plus a bias."""
    made = x.producer
    if made is None:
        return None
    made, _ = biased(made) or (made, None)
    is_product = isinstance(made.layer, MatrixMultiply)
    return made if is_product and made.inputs[1].is_constant else None


def _batched(x: Tensor) -> Operation | None:
    """The product of two inputs whose elements a tensor has in another order."""
    made, order = x.producer, False
    while made is not None and isinstance(made.layer, Shuffle):
        order = order or made.layer.first_transpose is not None
        made = made.inputs[0].producer
    if made is None or not order or not isinstance(made.layer, MatrixMultiply):
        return None
    return None if any(y.is_constant for y in made.inputs) else made
