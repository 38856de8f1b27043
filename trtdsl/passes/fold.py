"""``fold_scale``: batch norms folded into the convolution or linear layer before them.

``scale * (kernel * x + bias) + shift`` is ``(scale * kernel) * x + (scale * bias + shift)``. The
new weights are constants written as layers, so they keep their recipe.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from trtdsl.ir.convolution import Convolution, Deconvolution
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.scale import Scale, ScaleMode
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import named, rewrite, uses
from trtdsl.types import DType

__all__ = ["biased", "fold_scale"]


def fold_scale(network: Network) -> Network:
    """A network that computes the same with fewer layers.

    A Scale with a coefficient for each channel goes into the layer that it reads when nothing else
    reads that layer and the layer's weights are constants; any other Scale stays.
    """
    counts = uses(network)

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        axis = _channel_axis(operation)
        producer = inputs[0].producer if inputs else None
        if axis is None or producer is None or counts[operation.inputs[0]] > 1:
            return None
        affine = _Affine(shift=inputs[1], scale=inputs[2])
        folded: Tensor | None = None
        if isinstance(producer.layer, Convolution | Deconvolution):
            folded = _into_convolution(producer, affine) if axis == 1 else None
        elif axis == inputs[0].rank - 1 and not _shared(operation.inputs[0], counts):
            folded = _into_linear(producer, affine)
        return None if folded is None else (folded,)

    return rewrite(network, rule)


@dataclass(frozen=True, kw_only=True)
class _Affine:
    """``scale * y + shift``, a coefficient for each channel."""

    scale: Tensor
    shift: Tensor

    def of_weight(self, weight: Tensor, scale: Tensor) -> Tensor:
        """A weight times the reshaped scale, multiplied in float32."""
        return (weight.cast(DType.FLOAT32) * scale.cast(DType.FLOAT32)).cast(weight.dtype)

    def of_bias(self, bias: Tensor | None) -> Tensor:
        if bias is None:
            return self.shift
        wide, scale, shift = (t.cast(DType.FLOAT32) for t in (bias, self.scale, self.shift))
        return (wide * scale + shift).cast(bias.dtype)


def _channel_axis(operation: Operation) -> int | None:
    """The axis of a Scale with constant coefficients for each channel; None for anything else."""
    layer = operation.layer
    if not isinstance(layer, Scale) or layer.mode is not ScaleMode.CHANNEL:
        return None
    constant = all(x.is_constant for x in operation.inputs[1:])
    return layer.channel_axis if constant and len(operation.inputs) == 3 else None


def _shared(tensor: Tensor, counts: Counter[Tensor]) -> bool:
    """Whether a product that the tensor is made of is read elsewhere too, and so stays anyway."""
    made_of = tensor.producer.inputs if tensor.producer else ()
    product = [x for x in made_of if x.producer and isinstance(x.producer.layer, MatrixMultiply)]
    return any(counts[x] > 1 for x in product)


def _into_convolution(producer: Operation, affine: _Affine) -> Tensor | None:
    layer = producer.layer
    assert isinstance(layer, Convolution | Deconvolution)
    x, kernel, *bias = producer.inputs
    if x.is_constant or not all(t.is_constant for t in (kernel, *bias)):
        return None
    ones = (1,) * (kernel.rank - 2)
    if isinstance(layer, Convolution):
        weight = affine.of_weight(kernel, affine.scale.reshape(kernel.shape[0], 1, *ones))
    else:
        # The kernel is (C, K / groups, *F), and group g of C makes group g of K.
        channels, maps, *window = kernel.shape
        grouped = kernel.reshape(layer.groups, channels // layer.groups, maps, *window)
        scale = affine.scale.reshape(layer.groups, 1, maps, *ones)
        weight = affine.of_weight(grouped, scale).reshape(*kernel.shape)
    return _renamed(layer(x, weight, affine.of_bias(bias[0] if bias else None)), producer)


def _into_linear(producer: Operation, affine: _Affine) -> Tensor | None:
    """Into a product with a constant matrix, or into that product plus a constant bias."""
    product, bias = biased(producer) or (producer, None)
    layer = product.layer
    if not isinstance(layer, MatrixMultiply):
        return None
    x, matrix = product.inputs
    if x.is_constant or not matrix.is_constant or MatrixOperation.VECTOR in (layer.op0, layer.op1):
        return None
    columns = (-1, 1) if layer.op1 is MatrixOperation.TRANSPOSE else (1, -1)
    ones = (1,) * (matrix.rank - 2)
    weight = affine.of_weight(matrix, affine.scale.reshape(*ones, *columns))
    return _renamed(layer(x, weight), product) + affine.of_bias(bias)


def biased(producer: Operation) -> tuple[Operation, Tensor] | None:
    """The product and the constant of a sum of the two."""
    layer = producer.layer
    if not isinstance(layer, ElementWise) or layer.op is not ElementWiseOperation.SUM:
        return None
    constants = [x for x in producer.inputs if x.is_constant]
    products = [x.producer for x in producer.inputs if not x.is_constant and x.producer]
    return (products[0], constants[0]) if len(constants) == len(products) == 1 else None


def _renamed(folded: Tensor, producer: Operation) -> Tensor:
    """The folded layer, and what it gives, under the names of the layer that it stands for."""
    folded.name = producer.outputs[0].name
    return named(folded, producer)
