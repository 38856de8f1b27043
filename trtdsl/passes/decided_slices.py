"""``decided_slices``: slices and steps of as many elements as a value says, by the places counted.

A mixture of experts that splits its tokens by how many each expert has (JetMoE) has such slices.
TensorRT 8.6 was seen to build none of them, and to end the process over some; it builds gathers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.fill import Fill
from trtdsl.ir.gather import Gather
from trtdsl.ir.nonzero import NonZero
from trtdsl.ir.slice import SampleMode, Slice
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast
from trtdsl.passes.rewrite import Keep, named, rewrite
from trtdsl.types import Dim, DType, as_dim

__all__ = ["decided_slices"]

_BELOW = ElementWise(op=ElementWiseOperation.LESS)


def decided_slices(network: Network) -> Network:
    """A network that computes the same, without slices and steps of a size that counts to a value.

    How such a value becomes a size, ``trtdsl.measure.number`` says: the places 0, 1, .. below it
    are found, and are what is read here.
    """
    if not any(map(_counts, network.operations)):
        return network
    counted = _Counted()
    return rewrite(network, counted.rule, kept=counted.note)


@dataclass(frozen=True)
class _Counted:
    """The places that a size counts, in the new network, int32 ``(size,)``."""

    places: dict[Dim, Tensor] = field(default_factory=dict)

    def note(self, operation: Operation, _: tuple[Tensor, ...], keep: Keep) -> Sequence[Tensor]:
        outputs = keep()
        if _counts(operation):
            size = outputs[0].shape[1]
            self.places[size] = outputs[0].reshape(size)
        return outputs

    def rule(self, operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        made = None
        match operation.layer:
            case Slice(mode=SampleMode.STRICT_BOUNDS) as layer:
                made = self._gathered(layer, inputs[0])
            case Fill() as layer if (places := self._of(layer.shape[0])) is not None:
                made = cast(cast(places, layer.dtype) * layer.beta + layer.alpha, layer.dtype)
        return None if made is None else (named(made, operation),)

    def _gathered(self, layer: Slice, x: Tensor) -> Tensor | None:
        parts = zip(layer.start, layer.shape, layer.stride, x.shape, strict=True)
        cut = [
            i for i, (start, n, step, size) in enumerate(parts) if (start, n, step) != (0, size, 1)
        ]
        axes = [axis for axis in cut if self._of(layer.shape[axis]) is not None]
        if len(axes) != 1:
            return None
        (axis,) = axes
        y = Gather(axis=axis)(x, self._index(layer, axis))
        if cut == axes:
            return y
        start, stride = list(layer.start), list(layer.stride)
        start[axis], stride[axis] = 0, 1
        return replace(layer, start=tuple(start), stride=tuple(stride))(y)

    def _index(self, layer: Slice, axis: int) -> Tensor:
        """What a slice reads along an axis of a counted size."""
        index = self._of(layer.shape[axis])
        assert index is not None
        net, start, stride = index.network, layer.start[axis], layer.stride[axis]
        if stride != 1:
            index = index * cast(net.size(stride), DType.INT32)
        return index if start == 0 else index + cast(net.size(start), DType.INT32)

    def _of(self, size: Dim) -> Tensor | None:
        """The numbers from 0 on below a size that is counted, or is larger than one by a number."""
        if isinstance(size, int):
            return None
        for known, places in self.places.items():
            more = as_dim(size - known)
            if more == 0:
                return places
            if isinstance(more, int) and more > 0:
                first = places.network.constant(list(range(more)), DType.INT32)
                return Concatenation(axis=0)(first, places + more)
        return None


def _counts(operation: Operation) -> bool:
    """Whether it finds the numbers from 0 on that are below a value."""
    if not isinstance(operation.layer, NonZero):
        return False
    mask = operation.inputs[0].producer
    if mask is None or mask.layer != _BELOW or mask.inputs[0].producer is None:
        return False
    steps = mask.inputs[0].producer.layer
    return isinstance(steps, Fill) and (steps.alpha, steps.beta) == (0, 1)
