"""``in_rows``: what a model computes of each token alone, on matrices of one token a row.

Between linear layers, norms and sums, a batch of sequences is a longer list of rows. TensorRT 8.6
sees that by itself only where nothing else stands at the end of the sums: behind an embedding or a
class token it was seen to make three kernels of each norm, with reshapes between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from trtdsl.ir.activation import Activation
from trtdsl.ir.base import Layer
from trtdsl.ir.cast import Cast
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.normalization import Normalization
from trtdsl.ir.plugin import Plugin
from trtdsl.ir.reduce import Reduce
from trtdsl.ir.shuffle import Shuffle, reshapes
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import rewrite
from trtdsl.types import is_static

__all__ = ["in_rows"]

_RANK = 3
_ONE_BY_ONE = (Activation, Cast, ElementWise, Unary)


def in_rows(network: Network) -> Network:
    """A network that computes the same, its residual streams ``(B, L, C)`` as ``(B * L, C)``.

    Where sizes are static and neither B nor L is 1. A stream is what linear layers, norms, sums
    with tensors that came before, and functions of single elements make of one another.
    """
    streams = _Streams(network)
    return rewrite(network, _Flattening(streams.operations)) if streams.operations else network


class _Streams:
    """The operations of the residual streams: connected ones, with a norm, a product and a sum."""

    def __init__(self, network: Network) -> None:
        self.leaders: dict[Tensor, Tensor] = {}
        candidates = [op for op in network.operations if _is_by_row(op)]
        for op in candidates:
            for x in _moving(op.inputs):
                self.leaders[self.leader(x)] = self.leader(op.outputs[0])
        kinds: dict[Tensor, set[str]] = {}
        for op in candidates:
            kinds.setdefault(self.leader(op.outputs[0]), set()).add(_kind(op))
        self.operations = {
            op.outputs[0]
            for op in candidates
            if {"norm", "product", "sum"} <= kinds[self.leader(op.outputs[0])]
        }

    def leader(self, x: Tensor) -> Tensor:
        while (further := self.leaders.get(x, x)) is not x:
            self.leaders[x] = self.leaders.get(further, further)
            x = further
        return x


class _Flattening:
    """The rule of the rewrite, and the matrices so far of what has three axes."""

    def __init__(self, streams: set[Tensor]) -> None:
        self.streams = streams
        self.matrices: dict[Tensor, Tensor] = {}

    def __call__(
        self, operation: Operation, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...] | None:
        (output, *_) = operation.outputs
        if output not in self.streams:
            return self.cut(operation, inputs)
        matrix = _of_rows(operation.layer)(*map(self.matrix, inputs))
        assert matrix.producer is not None
        matrix.producer.name, matrix.name = operation.name, output.name
        y = Shuffle(reshape_dims=output.shape)(matrix)
        self.matrices[y] = matrix
        return (y,)

    def cut(self, operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """A reshape of a matrix that had become three axes only to be reshaped again."""
        if not reshapes(operation.layer) or inputs[0] not in self.matrices:
            return None
        return (operation.layer(self.matrices[inputs[0]]),)

    def matrix(self, x: Tensor) -> Tensor:
        if x.is_constant:
            return x.reshape(*x.shape[1:])
        if x not in self.matrices:
            whole = x
            if x.producer is not None and reshapes(x.producer.layer):
                (whole,) = x.producer.inputs
            self.matrices[x] = whole.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        return self.matrices[x]


def _of_rows(layer: Layer) -> Layer:
    if isinstance(layer, Normalization | Reduce):
        return replace(layer, axes=(_RANK - 2,))
    return layer


def _moving(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [x for x in tensors if not x.is_constant]


def _is_by_row(operation: Operation) -> bool:
    """Whether every row ``(1, 1, C)`` of what it gives is made of the same row of what it reads."""
    moving = _moving(operation.inputs)
    if not moving or len(operation.outputs) != 1:
        return False
    rows = operation.outputs[0].shape[:-1]
    tensors = (*moving, *operation.outputs)
    if any(x.rank != _RANK or x.shape[:-1] != rows for x in tensors):
        return False
    if not all(is_static(x.shape) for x in tensors) or 1 in rows:
        return False
    constants = [x for x in operation.inputs if x.is_constant]
    layer = operation.layer
    if isinstance(layer, MatrixMultiply):
        linear = operation.inputs[1].is_constant and layer.op0 is MatrixOperation.NONE
        matrix = layer.op1 is not MatrixOperation.VECTOR
        return linear and matrix and constants[0].shape[:1] == (1,)
    if not all(x.rank == _RANK and x.shape[0] == 1 for x in constants):
        return False
    if isinstance(layer, Plugin):
        return layer.by_row
    if any(x.shape[1] != 1 for x in constants):
        return False
    match layer:
        case Normalization(groups=1, axes=axes) | Reduce(keep_dimensions=True, axes=axes):
            return axes == (_RANK - 1,)
    return isinstance(layer, _ONE_BY_ONE)


def _kind(operation: Operation) -> str:
    layer = operation.layer
    of_matrix = any(x.is_constant and x.shape[-2] > 1 for x in operation.inputs)
    if isinstance(layer, MatrixMultiply) or (isinstance(layer, Plugin) and of_matrix):
        return "product"
    if isinstance(layer, Normalization | Reduce | Plugin):
        return "norm"
    residual = layer == ElementWise(op=ElementWiseOperation.SUM) and (
        len(_moving(operation.inputs)) == len(operation.inputs)
    )
    return "sum" if residual else ""
