"""``channel_scales``: int8's scales by channel where a product takes its weights, and only there.

TensorRT has them for weights alone. Release 8.6 was seen to round by one scale for all channels
where anything but a convolution or a product reads what was rounded.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trtdsl.ir.convolution import Convolution, Deconvolution
from trtdsl.ir.fake_quantize import FakeQuantize, rounded
from trtdsl.ir.gather import Gather
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.moves import MOVES
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import rewrite

if TYPE_CHECKING:
    import torch

__all__ = ["channel_scales"]

_PRODUCTS = (Convolution, Deconvolution, MatrixMultiply)
_WEIGHTS = 1
"""The operand of these that holds the weights."""


def channel_scales(network: Network) -> Network:
    """A network that computes the same, rounding by channel what becomes the weights of a product.

    Weights that are moved after they were rounded are moved before; what is read otherwise is
    rounded in floats.
    """
    if not any(map(_is_by_channel, network.operations)):
        return network
    return _in_floats(rewrite(rewrite(network, _over_two_axes), _moved_before))


def _is_by_channel(operation: Operation | None) -> bool:
    layer = None if operation is None else operation.layer
    return isinstance(layer, FakeQuantize) and layer.axis is not None


def _over_two_axes(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    """A convolution over one axis as the lowering has it, which puts an axis into the weights."""
    layer = operation.layer
    if not isinstance(layer, Convolution | Deconvolution) or len(layer.stride) > 1:
        return None
    if not _is_by_channel(inputs[_WEIGHTS].producer):
        return None
    return (layer.expand(*inputs),)


def _moved_before(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    import torch

    layer = operation.layer
    if not isinstance(layer, MOVES) or len(inputs) != 1 or not _is_by_channel(inputs[0].producer):
        return None
    rounding = inputs[0].producer
    assert rounding is not None
    x, scale = rounding.inputs
    found = _Line.of(layer.evaluate(_channels(rounding).expand(*x.shape)))
    if found is None:
        return None
    if found.channels != list(range(int(scale.shape[0]))):
        scale = Gather(axis=0)(scale, x.network.constant(torch.tensor(found.channels).int()))
    return (FakeQuantize(axis=found.axis)(layer(x), scale),)


def _channels(rounding: Operation) -> torch.Tensor:
    """The number of each channel, as it broadcasts to what is rounded."""
    import torch

    x, scale = rounding.inputs
    assert isinstance(rounding.layer, FakeQuantize)
    assert rounding.layer.axis is not None
    behind = x.rank - 1 - rounding.layer.axis
    return torch.arange(int(scale.shape[0])).reshape(-1, *(1,) * behind)


@dataclass(frozen=True, kw_only=True)
class _Line:
    """An axis along which alone the channels differ, and the channel of each element there."""

    axis: int
    channels: list[int]

    @classmethod
    def of(cls, there: torch.Tensor) -> _Line | None:
        if not there.numel():
            return None
        for axis in range(there.dim()):
            lines = there.movedim(axis, -1).reshape(-1, there.shape[axis])
            if (lines == lines[:1]).all():
                return cls(axis=axis, channels=lines[0].tolist())
        return None


def _in_floats(network: Network) -> Network:
    """Rounds in floats what is read by anything but a product, as its weights."""
    readers: dict[Tensor, set[bool]] = defaultdict(set)
    for operation in network.operations:
        for index, x in enumerate(operation.inputs):
            as_weights = index == _WEIGHTS and isinstance(operation.layer, _PRODUCTS)
            readers[x].add(as_weights)
    for x in network.outputs:
        readers[x].add(False)

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if not _is_by_channel(operation) or False not in readers[operation.outputs[0]]:
            return None
        assert isinstance(operation.layer, FakeQuantize)
        return (rounded(*inputs, axis=operation.layer.axis),)

    return rewrite(network, rule)
