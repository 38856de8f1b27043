"""``turned_before``: linear layers whose results are added, of inputs that are turned before.

Of two such products, as the attention's and the MLP's of a parallel block (GPT-NeoX, Phi, Falcon),
TensorRT 8.6 adds the one while it computes the other. Where one reads heads that were moved behind
the tokens, it was seen to leave out the kernel that moves them, and to give a wrong answer; and to
build no engine where the number of tokens varies. Each has a form of its own, as neither form was
seen to mend the other: with known sizes the second gave the wrong answer again.
"""

from __future__ import annotations

from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.shuffle import Shuffle, Squeeze, Unsqueeze, reshapes
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import named, rewrite, uses

__all__ = ["turned_before"]

_SUM = ElementWise(op=ElementWiseOperation.SUM)
_MOVES = (Shuffle, Squeeze, Unsqueeze)


def turned_before(network: Network) -> Network:
    """A network that computes the same, with other signs, which round nothing.

    Of known sizes, of what is turned and of what it meets: the first is a kernel that writes what
    it turns. Of sizes that vary, of the product, taken back behind it: what follows is then no sum.
    """
    summed = [product for products in _sums(network) for product in products]
    turned = {product: i for product in summed for i in (1, 0) if _reads_turned(product, i)}

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if operation not in turned:
            return None
        static, at = operation.outputs[0].type.is_static, turned[operation]
        moved = _negative(inputs[at]) if static else inputs[at]
        factors = [moved if i == at else x * -1.0 for i, x in enumerate(inputs)]
        product = named(operation.layer(*factors), operation)
        return (product if static else -product,)

    return rewrite(network, rule) if turned else network


def _sums(network: Network) -> list[list[Operation]]:
    """The products that are terms of one sum, of which nothing else reads what it adds up."""
    counts = uses(network)
    terms: dict[Tensor, list[Operation]] = {}
    for operation in network.operations:
        (y, *_) = operation.outputs
        if isinstance(operation.layer, MatrixMultiply):
            terms[y] = [operation]
        elif operation.layer == _SUM or _scales(operation):
            found = [terms.pop(x) for x in operation.inputs if counts[x] == 1 and x in terms]
            if found:
                terms[y] = found[0] + found[1] if len(found) > 1 else found[0]
    return [products for products in terms.values() if len(products) > 1]


def _scales(operation: Operation) -> bool:
    """Whether it multiplies with a constant, or divides by one."""
    match operation.layer:
        case ElementWise(op=ElementWiseOperation.PROD):
            return any(x.is_constant for x in operation.inputs)
        case ElementWise(op=ElementWiseOperation.DIV):
            return operation.inputs[1].is_constant
    return False


def _reads_turned(product: Operation, at: int) -> bool:
    """Whether a factor's elements were put in another order by a layer that TensorRT leaves out."""
    x, other = product.inputs[at], product.inputs[1 - at]
    if x.is_constant or any(isinstance(made.layer, FakeQuantize) for made in other.ancestry()):
        return False
    turns = False
    while (made := x.producer) is not None and isinstance(made.layer, _MOVES):
        turns = turns or (isinstance(made.layer, Shuffle) and not reshapes(made.layer))
        x = made.inputs[0]
    return turns


def _negative(x: Tensor) -> Tensor:
    """x with another sign, changed before its elements are moved."""
    made = x.producer
    if made is None or not isinstance(made.layer, _MOVES):
        return -x
    return made.layer(_negative(made.inputs[0]))
