"""``turned_before``: linear layers whose results are added, of inputs that are turned before.

Of two such products, as the attention's and the MLP's of a parallel block (GPT-NeoX, Phi, Falcon),
TensorRT 8.6 adds the one while it computes the other. Where one reads heads that were moved behind
the tokens, it was seen to leave out the kernel that moves them, and to give a wrong answer.
"""

from __future__ import annotations

from collections import Counter

from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.shuffle import Shuffle, Squeeze, Unsqueeze
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import rewrite

__all__ = ["turned_before"]

_SUM = ElementWise(op=ElementWiseOperation.SUM)
_SCALES = (ElementWiseOperation.PROD, ElementWiseOperation.DIV)
_MOVES = (Shuffle, Squeeze, Unsqueeze)
_NEGATIVE = Unary(op=UnaryOperation.NEG)


def turned_before(network: Network) -> Network:
    """A network that computes the same, with another sign of what is turned, and of what it meets.

    Two changes of sign round nothing, and the first is a kernel that writes what it turns.
    """
    summed = [product for products in _sums(network) for product in products]
    turned = {product: i for product in summed for i in (1, 0) if _reads_turned(product, i)}

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if operation not in turned:
            return None
        at = turned[operation]
        factors = [_negative(x) if i == at else x * -1.0 for i, x in enumerate(inputs)]
        y = operation.layer(*factors)
        assert y.producer is not None
        y.producer.name = operation.name
        return (y,)

    return rewrite(network, rule) if turned else network


def _sums(network: Network) -> list[list[Operation]]:
    """The products that are terms of one sum, of which nothing else reads what it adds up."""
    uses = Counter(x for operation in network.operations for x in operation.inputs)
    uses.update(network.outputs)
    terms: dict[Tensor, list[Operation]] = {}
    for operation in network.operations:
        (y, *_) = operation.outputs
        if isinstance(operation.layer, MatrixMultiply):
            terms[y] = [operation]
        elif operation.layer == _SUM or _scales(operation):
            found = [terms.pop(x) for x in operation.inputs if uses[x] == 1 and x in terms]
            if found:
                terms[y] = found[0] + found[1] if len(found) > 1 else found[0]
    return [products for products in terms.values() if len(products) > 1]


def _scales(operation: Operation) -> bool:
    """Whether it multiplies with a constant, or divides by one."""
    layer = operation.layer
    return (
        isinstance(layer, ElementWise)
        and layer.op in _SCALES
        and any(x.is_constant for x in operation.inputs)
    )


def _reads_turned(product: Operation, at: int) -> bool:
    """Whether a factor's elements were put in another order by a layer that TensorRT leaves out."""
    x, other = product.inputs[at], product.inputs[1 - at]
    if x.is_constant or any(isinstance(made.layer, FakeQuantize) for made in other.ancestry()):
        return False
    turns = False
    while (made := x.producer) is not None and isinstance(made.layer, _MOVES):
        turns = turns or not _only_reshapes(made)
        x = made.inputs[0]
    return turns


def _only_reshapes(operation: Operation) -> bool:
    layer = operation.layer
    if not isinstance(layer, Shuffle):
        return True
    return layer.first_transpose is None and layer.second_transpose is None


def _negative(x: Tensor) -> Tensor:
    """x with another sign, changed before its elements are moved."""
    made = x.producer
    if made is None or not isinstance(made.layer, _MOVES):
        return _NEGATIVE(x)
    return made.layer(_negative(made.inputs[0]))
