"""``in_parts``: products of which only parts are read, as products of parts of their weights.

A model that projects to queries, keys and values at once cuts them out of what it gets, and
TensorRT 8.6 was seen to copy each. Of three products of the same rows it makes one by itself, whose
parts are then read where they lie.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace

from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.shuffle import reshapes, transposes
from trtdsl.ir.slice import SampleMode, Slice
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.fold import biased
from trtdsl.passes.rewrite import rewrite
from trtdsl.types import Dim, is_static

__all__ = ["in_parts"]

_LEAST = 8
"""Columns that a product is worth. Of one column TensorRT 8.6 was seen to build no engine."""


def in_parts(network: Network) -> Network:
    """A network that computes the same, with a product for each part that is cut out of one.

    Where all that reads a product with a constant matrix, or that plus a constant, are slices of
    its columns, also after these became several axes and changed places with the others.
    """
    readers: dict[Tensor, list[Operation]] = defaultdict(list)
    for operation in network.operations:
        for x in operation.inputs:
            readers[x].append(operation)
    whole = set(network.outputs)
    parted = {
        x
        for x, operations in readers.items()
        if x not in whole and (cut := _Cut.of(x)) and cut.serves(operations, readers, whole)
    }

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if not inputs or operation.inputs[0] not in parted:
            return None
        cut = _Cut.of(inputs[0])
        assert cut is not None
        assert isinstance(operation.layer, Slice)
        return (cut.part(operation.layer),)

    return rewrite(network, rule)


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """A product ``(*B, N)``, perhaps plus a bias, as a tensor whose axes are B's and those of N."""

    product: Operation
    bias: Tensor | None
    columns: tuple[Dim, ...]
    """What N became: one axis or several."""
    order: tuple[int, ...]
    """Where the axes went then."""
    path: tuple[Tensor, ...]
    """The tensors on the way, the last one first."""

    @classmethod
    def of(cls, x: Tensor) -> _Cut | None:
        path, order = [x], tuple(range(x.rank))
        if (made := x.producer) is not None and transposes(made.layer):
            order = made.layer.first_transpose or order
            path.append(made.inputs[0])
        shape = path[-1].shape
        if (made := path[-1].producer) is not None and reshapes(made.layer):
            path.append(made.inputs[0])
        product, bias = path[-1].producer, None
        if product is not None and (found := biased(product)):
            product, bias = found
            path.append(product.outputs[0])
        if product is None or not _is_linear(product):
            return None
        (y,) = product.outputs
        lead, columns = shape[: y.rank - 1], shape[y.rank - 1 :]
        whole = is_static(columns) and math.prod(columns) == y.shape[-1]
        if lead != y.shape[:-1] or not columns or not whole:
            return None
        if bias is not None and math.prod(bias.shape) not in (1, bias.shape[-1]):
            return None
        return cls(product=product, bias=bias, columns=columns, order=order, path=tuple(path))

    def serves(
        self,
        operations: list[Operation],
        readers: dict[Tensor, list[Operation]],
        whole: set[Tensor],
    ) -> bool:
        """Whether nothing but slices of columns is read of the product, and nothing twice."""
        inner = self.path[1:]
        alone = all(len(readers[x]) == 1 and x not in whole for x in inner)
        boxes = [self.box(operation.layer) for operation in operations]
        if not alone or len(boxes) < 2 or None in boxes:
            return False
        counts = [int(math.prod(box.shape)) for box in boxes if box is not None]
        return min(counts) >= _LEAST and sum(counts) <= math.prod(map(int, self.columns))

    def box(self, layer: object) -> Slice | None:
        """A slice of the whole as a slice of the columns; None where it cuts other axes."""
        if not isinstance(layer, Slice) or layer.mode is not SampleMode.STRICT_BOUNDS:
            return None
        x = self.path[0]
        lead = x.rank - len(self.columns)
        cuts = zip(layer.start, layer.shape, layer.stride, strict=True)
        found = dict(zip(self.order, cuts, strict=True))
        for axis in range(lead):
            if found[axis] != (0, x.shape[self.order.index(axis)], 1):
                return None
        own = [found[axis] for axis in range(lead, x.rank)]
        start, shape, stride = (tuple(part) for part in zip(*own, strict=True))
        if not is_static((*start, *shape)) or set(stride) != {1} or not self.is_block(shape):
            return None
        return Slice(start=start, shape=shape, stride=stride)

    def is_block(self, shape: tuple[Dim, ...]) -> bool:
        """Whether a box of columns is one block of them: other products are not made one again."""
        cut = [i for i, (n, all_) in enumerate(zip(shape, self.columns, strict=True)) if n != all_]
        return not cut or (len(cut) == 1 and all(n == 1 for n in shape[: cut[0]]))

    def part(self, layer: Slice) -> Tensor:
        """What the slice gives, computed by its part of the weights."""
        box = self.box(layer)
        assert box is not None
        rows, matrix = self.product.inputs
        multiply = self.product.layer
        assert isinstance(multiply, MatrixMultiply)
        lead = self.product.outputs[0].shape[:-1]
        with rows.network.at(self.product.source):
            turned = multiply.op1 is MatrixOperation.TRANSPOSE
            weight = matrix.permute(*range(matrix.rank - 2), -1, -2) if turned else matrix
            weight = self.of_columns(weight, box)
            weight = weight.permute(*range(weight.rank - 2), -1, -2) if turned else weight
            y = multiply(rows, weight)
            if self.bias is not None and math.prod(self.bias.shape) != 1:
                y = y + self.of_columns(self.bias, box)
            elif self.bias is not None:
                y = y + self.bias
            y = y.reshape(*lead, *box.shape)
            return y.permute(*self.order)

    def of_columns(self, x: Tensor, box: Slice) -> Tensor:
        """The columns of a weight ``(*L, N)`` that a box has."""
        lead = x.shape[:-1]
        zeros, ones = (0,) * len(lead), (1,) * len(lead)
        cut = replace(
            box,
            start=(*zeros, *box.start),
            shape=(*lead, *box.shape),
            stride=(*ones, *box.stride),
        )
        return cut(x.reshape(*lead, *self.columns)).reshape(*lead, -1)


def _is_linear(operation: Operation) -> bool:
    """Whether it multiplies what an input reaches with one constant matrix."""
    layer = operation.layer
    if not isinstance(layer, MatrixMultiply) or MatrixOperation.VECTOR in (layer.op0, layer.op1):
        return False
    rows, matrix = operation.inputs
    single = all(n == 1 for n in matrix.shape[:-2])
    return single and matrix.is_constant and not rows.is_constant
