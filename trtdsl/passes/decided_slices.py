"""``decided_slices``: slices and steps of as many elements as a value says, by the places counted.

A mixture of experts that splits its tokens by how many each expert has (JetMoE) has such slices.
TensorRT 8.6 was seen to build none of them, and to end the process over some; it builds gathers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
                # A float would make floats of integers, which are exact to 2**24 only.
                number = float if layer.dtype.is_float else int
                made = cast(places, layer.dtype) * number(layer.beta) + number(layer.alpha)
        return None if made is None else (named(made, operation),)

    def _gathered(self, layer: Slice, x: Tensor) -> Tensor | None:
        """A slice of a counted size along the one axis that it does not read all of."""
        parts = zip(layer.start, layer.shape, layer.stride, x.shape, strict=True)
        whole = [(start, n, step) == (0, size, 1) for start, n, step, size in parts]
        axis = whole.index(False) if whole.count(False) == 1 else None
        places = None if axis is None else self._of(layer.shape[axis])
        if axis is None or places is None:
            return None
        net, start, stride = x.network, layer.start[axis], layer.stride[axis]
        if stride != 1:
            places = places * cast(net.size(stride), DType.INT32)
        if start != 0:
            places = places + cast(net.size(start), DType.INT32)
        return Gather(axis=axis)(x, places)

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
