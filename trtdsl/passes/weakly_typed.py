"""What a network gains before it goes to a TensorRT that has no strongly typed networks (8.6).

There a normalization computes in float32 whatever its tensors are, "even in mixed precision mode
regardless of any set builder flags" (INormalizationLayer::setComputePrecision), and a softmax of
float16 adds up in float32. So the casts around one that keeps to float32 say nothing new, and split
what TensorRT would otherwise fuse: attention becomes one kernel only where its products and its
softmax are of float16.
"""

from __future__ import annotations

import math

from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.attention import Attention
from trtdsl.ir.base import Layer
from trtdsl.ir.cast import Cast
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.nonzero import NonZero
from trtdsl.ir.normalization import Normalization
from trtdsl.ir.recurrent import Recurrent
from trtdsl.ir.softmax import SoftMax
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast, less
from trtdsl.passes.rewrite import named, rewrite
from trtdsl.types import DType

__all__ = ["without_casts"]

_GELU = Activation(type=ActivationType.GELU_TANH)


def without_casts(network: Network) -> Network:
    """float16, cast to float32, normalized and cast back: as one normalization of float16.

    So for softmax; and attention, of which this TensorRT has no layer, as its parts in float16.
    Recurrent layers of float16 go the other way: TensorRT 8.6 was seen to compute them wrong. And
    it was seen to build no engine where what gathers reads the positions of an input's true
    elements: these are computed first; nor where a normalization of groups in float16 is compiled
    with what is of float32: these keep their casts, and are as fast with them.
    """
    return rewrite(network, _rule)


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if isinstance(operation.layer, Attention):
        return (named(operation.layer.expand(*inputs, wide=False), operation),)
    if operation.layer == _GELU and inputs[0].dtype is DType.FLOAT16:
        return (named(_gelu(inputs[0]), operation),)
    if isinstance(operation.layer, Recurrent) and inputs[0].dtype is DType.FLOAT16:
        return _wide(operation, inputs)
    if isinstance(operation.layer, NonZero) and inputs[0].producer is None:
        return (named(operation.layer(less(0, cast(inputs[0], DType.INT32))), operation),)
    if operation.layer != Cast(dtype=DType.FLOAT16):
        return None
    wide = inputs[0].producer
    if wide is None or not _takes_halves(wide.layer):
        return None
    x, *coefficients = wide.inputs
    widened = x.producer
    if widened is None or not isinstance(widened.layer, Cast):
        return None
    (x,) = widened.inputs
    if x.dtype is not DType.FLOAT16:
        return None
    return (named(wide.layer(x, *(cast(c, DType.FLOAT16) for c in coefficients)), wide),)


def _takes_halves(layer: Layer) -> bool:
    """Whether TensorRT 8.6 may be given float16 for what it computes in float32."""
    if isinstance(layer, Normalization):
        return layer.groups == 1
    return isinstance(layer, SoftMax)


def _gelu(x: Tensor) -> Tensor:
    """GELU by tanh as TensorRT's pattern for it has it, which becomes part of a product's kernel.

    A power that leaves float16 is an infinity, of which the tangent is right.
    """
    three = x.network.constant(3.0, x.dtype).reshape(*(1,) * x.rank)
    cube = ElementWise(op=ElementWiseOperation.POW)(x, three)
    inner = (x + cube * 0.044715) * math.sqrt(2 / math.pi)
    return (x * 0.5) * (Activation(type=ActivationType.TANH)(inner) + 1.0)


def _wide(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    outputs = operation.layer.outputs(*(cast(x, DType.FLOAT32) for x in inputs))
    named(outputs[0], operation)
    return tuple(cast(y, DType.FLOAT16) for y in outputs)
