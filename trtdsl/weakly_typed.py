"""What a network gains before it goes to a TensorRT that has no strongly typed networks (8.6).

There a normalization computes in float32 whatever its tensors are, "even in mixed precision mode
regardless of any set builder flags" (INormalizationLayer::setComputePrecision), so the casts around
one that keeps to float32 say nothing new, and split what TensorRT would otherwise fuse.
"""

from __future__ import annotations

from trtdsl.ir.cast import Cast
from trtdsl.ir.normalization import Normalization
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast
from trtdsl.rewrite import rewrite
from trtdsl.types import DType

__all__ = ["without_casts"]


def without_casts(network: Network) -> Network:
    """float16, cast to float32, normalized and cast back: as one normalization of float16."""
    return rewrite(network, _rule)


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if operation.layer != Cast(dtype=DType.FLOAT16):
        return None
    normalized = inputs[0].producer
    if normalized is None or not isinstance(normalized.layer, Normalization):
        return None
    wide, scale, bias = normalized.inputs
    widened = wide.producer
    if widened is None or not isinstance(widened.layer, Cast):
        return None
    (x,) = widened.inputs
    if x.dtype is not DType.FLOAT16:
        return None
    y = normalized.layer(x, cast(scale, DType.FLOAT16), cast(bias, DType.FLOAT16))
    assert y.producer is not None
    y.producer.name, y.producer.source = normalized.name, normalized.source
    return (y,)
