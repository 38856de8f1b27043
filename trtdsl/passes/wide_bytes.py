"""``wide_bytes``: numbers of one byte as int32 inside a network; TensorRT computes with none.

Its uint8 only enters and leaves a network, and converts to and from float32 and float16 there; its
int8 stands for quantized floats. Source: DataType::kUINT8, kINT8.
"""

from __future__ import annotations

from trtdsl.ir.cast import Cast
from trtdsl.ir.constant import Constant
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast
from trtdsl.passes.rewrite import rewrite
from trtdsl.types import DType

__all__ = ["wide_bytes"]

_BYTES = (DType.INT8, DType.UINT8)
_READABLE = (DType.FLOAT32, DType.FLOAT16)


def wide_bytes(network: Network) -> Network:
    """A network that computes the same, with bytes among its inputs, outputs and weights alone.

    What becomes a byte is cut to its last eight bits. Plugins get the bytes that they ask for, and
    so do loops.
    """
    tensors = (x for operation in network.operations for x in operation.outputs)
    if all(x.dtype not in _BYTES for x in (*network.inputs, *tensors)):
        return network
    return rewrite(network, _Widening(frozenset(network.outputs)))


class _Widening:
    """The rule of the rewrite, and the int32 of every byte so far."""

    def __init__(self, outputs: frozenset[Tensor]) -> None:
        self.outputs = outputs
        self.wide: dict[Tensor, Tensor] = {}

    def __call__(
        self, operation: Operation, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...] | None:
        layer = operation.layer
        if all(x.dtype not in _BYTES for x in (*operation.inputs, *operation.outputs)):
            return None
        if isinstance(layer, Constant):
            return None
        if isinstance(layer, Plugin) or layer.networks:
            pairs = zip(inputs, operation.inputs, strict=True)
            return layer.outputs(*(self.narrowed(x, old.dtype) for x, old in pairs))
        if isinstance(layer, Cast):
            made: tuple[Tensor, ...] = (self.converted(inputs[0], layer.dtype),)
        else:
            made = layer.outputs(*map(self.widened, inputs))
        pairs = zip(made, operation.outputs, strict=True)
        return tuple(self.narrowed(y, old.dtype) if old in self.outputs else y for y, old in pairs)

    def converted(self, x: Tensor, dtype: DType) -> Tensor:
        """``Cast(dtype)(x)``, to int32 where that is a byte."""
        if x.dtype is DType.UINT8 and dtype in _READABLE and not x.is_constant:
            return Cast(dtype=dtype)(x)
        x = self.widened(x)
        if dtype not in _BYTES:
            return cast(x, dtype)
        number = x if x.dtype.is_integer else cast(x, DType.INT32)
        return cast(_cut(number, dtype), DType.INT32)

    def widened(self, x: Tensor) -> Tensor:
        """x, or the int32 of a byte that enters the network or is known."""
        if x.dtype not in _BYTES:
            return x
        if x not in self.wide:
            between = DType.FLOAT32 if x.dtype is DType.UINT8 and not x.is_constant else DType.INT32
            self.wide[x] = cast(cast(x, between), DType.INT32)
        return self.wide[x]

    def narrowed(self, x: Tensor, dtype: DType) -> Tensor:
        """x as a byte again, to leave the network."""
        if dtype not in _BYTES or x.dtype is dtype:
            return x
        narrow = cast(cast(x, DType.FLOAT32) if dtype is DType.UINT8 else x, dtype)
        self.wide[narrow] = x
        return narrow


def _cut(x: Tensor, dtype: DType) -> Tensor:
    """The last eight bits of an integer, as a number of the dtype's range."""
    return x % 256 if dtype is DType.UINT8 else (x + 128) % 256 - 128
