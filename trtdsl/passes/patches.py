"""``in_patches``: convolutions that cut an image into patches, as products of one patch a row.

Vision transformers make their tokens so. TensorRT 8.6 was seen to turn the image before such a
convolution and the answer behind it, and to take seven times the time of the product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trtdsl.ir.convolution import Convolution
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.shuffle import reshapes, transposes
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import named, rewrite, uses
from trtdsl.types import Shape, is_static

__all__ = ["in_patches"]


def in_patches(network: Network) -> Network:
    """A network that computes the same, with products where patches become tokens.

    Where a convolution's windows do not overlap and leave nothing out, and its answer is read with
    the channels last only. Convolutions of single pixels stay, unless their channels were last.
    """
    counts = uses(network)

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        old, new = _Tokens.of(operation, operation.inputs), _Tokens.of(operation, inputs)
        if old is None or new is None or any(counts[x] > 1 for x in old.path):
            return None
        return (new.by_product(operation.outputs[0].shape),)

    return rewrite(network, rule)


@dataclass(frozen=True, kw_only=True)
class _Tokens:
    """A convolution ``(B, C, *S) -> (B, K, *S')`` that is read as ``(B, *S', K)``, or flattened."""

    convolution: Operation
    path: tuple[Tensor, ...]
    """The tensors from the convolution on, before the channels are last."""

    @classmethod
    def of(cls, operation: Operation, inputs: tuple[Tensor, ...]) -> _Tokens | None:
        if not transposes(operation.layer):
            return None
        x, order = inputs[0], operation.layer.first_transpose
        path = [x]
        if (made := x.producer) is not None and reshapes(made.layer):
            flat = made.inputs[0]
            if x.shape != (*flat.shape[:2], math.prod(flat.shape[2:])):
                return None
            path.append(flat)
        convolution = path[-1].producer
        if order != (0, *range(2, x.rank), 1) or convolution is None:
            return None
        return cls(convolution=convolution, path=tuple(path)) if _cuts(convolution) else None

    def by_product(self, shape: Shape) -> Tensor:
        """The same, in that shape, as rows of patches times the kernel as a matrix."""
        x, kernel, *bias = self.convolution.inputs
        pairs = zip(x.shape[2:], kernel.shape[2:], strict=True)
        counts = [int(size) // int(taps) for size, taps in pairs]
        patch, lead = math.prod(kernel.shape[1:]), (x.shape[0], math.prod(counts))
        rows = (math.prod(lead),) if is_static(lead) else lead
        with x.network.at(self.convolution.source):
            patches, taps = _of_last(x, kernel, counts) or _of_first(x, kernel, counts)
            matrix = taps.reshape(*(1,) * (len(rows) - 1), kernel.shape[0], patch)
            turned = MatrixMultiply(op1=MatrixOperation.TRANSPOSE)
            y = named(turned(patches.reshape(*rows, patch), matrix), self.convolution)
            if bias:
                y = y + bias[0].reshape(*(1,) * len(rows), -1)
            return y.reshape(*shape)


def _cuts(operation: Operation) -> bool:
    """Whether it is a convolution with constant weights that reads every element once."""
    layer = operation.layer
    if not isinstance(layer, Convolution):
        return False
    x, kernel, *_ = operation.inputs
    window, sizes = kernel.shape[2:], x.shape[2:]
    if layer.groups != 1 or layer.stride != window or not is_static((*x.shape[1:], *kernel.shape)):
        return False
    if any((*layer.pre_padding, *layer.post_padding)):
        return False
    if any(size % taps for size, taps in zip(sizes, window, strict=True)):
        return False
    if any(d != 1 for d, taps in zip(layer.dilation, window, strict=True) if taps > 1):
        return False
    constant = all(w.is_constant for w in operation.inputs[1:]) and not x.is_constant
    rounded = any(_is_rounded(tensor) for tensor in (x, kernel))
    return constant and not rounded and (math.prod(window) > 1 or _last(x) is not None)


def _is_rounded(x: Tensor) -> bool:
    """Whether it is rounded for a product in int8."""
    return x.producer is not None and isinstance(x.producer.layer, FakeQuantize)


def _last(x: Tensor) -> Tensor | None:
    """The tensor ``(B, *S, C)`` that x, ``(B, C, *S)``, was made of."""
    made = x.producer
    if made is None or x.is_constant:
        return None
    if transposes(made.layer):
        turned = made.layer.first_transpose == (0, x.rank - 1, *range(1, x.rank - 1))
        return made.inputs[0] if turned else None
    before = made.inputs[0].producer if reshapes(made.layer) else None
    if before is None or not transposes(before.layer) or before.layer.first_transpose != (0, 2, 1):
        return None
    (tokens,) = before.inputs
    batch, channels, *sizes = x.shape
    if tokens.shape != (batch, math.prod(sizes), channels):
        return None
    return tokens.reshape(batch, *sizes, channels)


def _of_last(x: Tensor, kernel: Tensor, counts: list[int]) -> tuple[Tensor, Tensor] | None:
    """Patches ``(B, *S', *F, C)`` of channels that were last, and the kernel ``(K, *F, C)``."""
    image = _last(x)
    if image is None:
        return None
    axes, window = len(counts), kernel.shape[2:]
    taps = kernel.permute(0, *range(2, kernel.rank), 1)
    if math.prod(window) == 1:
        return image, taps
    cut = [d for pair in zip(counts, window, strict=True) for d in pair]
    order = (*range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2))
    image = image.reshape(x.shape[0], *cut, x.shape[1])
    return image.permute(0, *order, 2 * axes + 1), taps


def _of_first(x: Tensor, kernel: Tensor, counts: list[int]) -> tuple[Tensor, Tensor]:
    """Patches ``(B, *S', C, *F)`` of an image with the channels first, and the kernel as it is."""
    axes, window = len(counts), kernel.shape[2:]
    cut = [d for pair in zip(counts, window, strict=True) for d in pair]
    lengths, taps = range(2, 2 * axes + 2, 2), range(3, 2 * axes + 2, 2)
    return x.reshape(*x.shape[:2], *cut).permute(0, *lengths, 1, *taps), kernel
