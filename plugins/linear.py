"""Linear layers as one kernel with their bias and the function that follows, on Hopper GPUs.

``trtdsl.layers.linear`` makes a product and a sum of it; TensorRT 8.6 was seen to compute GELU by
the error function, and what goes into a plugin, in kernels of their own behind such a product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch, multiprocessors
from trtdsl.extension.tensor_map import TensorMap
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.base import Layer
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.plugin import Plugin
from trtdsl.layers.linear import addmm as addmm_of_layers
from trtdsl.layers.linear import linear as of_layers
from trtdsl.layers.linear import order_of_rows, rows_of
from trtdsl.network import Tensor
from trtdsl.types import DType, TensorType, is_static

from .gelu import Gelu
from .tiles import best

__all__ = ["CONVERTERS", "Linear", "addmm", "linear"]

_ALIGNMENT = 8
"""Elements that are stored at once; and what tensor maps want of a row, 16 bytes."""
_LEAST = 1 << 20
"""Elements of a result whose tiles busy half of an H200's multiprocessors."""
_HALVES = {DType.FLOAT16: "f16", DType.BFLOAT16: "bf16"}
_FUNCTIONS = {
    "": None,
    "relu": ActivationType.RELU,
    "gelu": ActivationType.GELU_ERF,
    "gelu_tanh": ActivationType.GELU_TANH,
}
"""What may follow, in the order of the kernel's numbers for it."""


@dataclass(frozen=True, kw_only=True)
class Linear(Plugin, kernel=("gelu_of.cu", "linear.cu")):
    """``function(x @ weight.T + bias)``, sums in float32 that are rounded once.

    Inputs: x ``(.., K)`` of rank 2 or more; weight ``(1, .., N, K)`` and optionally bias
    ``(1, .., N)`` of its rank, floats of one dtype. Output: ``(.., N)``. ``function`` is none, or
    ``relu``, ``gelu`` by the error function, ``gelu_tanh``.

    The kernel is for compute capability 9.0 (H100, H200), for float16 and bfloat16, K and N that
    are multiples of 8, and results of a million elements or more, if their size is known: smaller
    ones do not busy such a GPU, and TensorRT may divide their sums. Anything else, and an engine
    for another GPU, has TensorRT's product, sum and activation.
    Errors: ShapeError. Source: aten::linear; wgmma, PTX ISA.
    """

    capability: ClassVar[str] = "9.0"
    narrows: ClassVar[bool] = True
    multiplies: ClassVar[bool] = True
    by_row: ClassVar[bool] = True

    function: str = ""

    def infer(self, x: TensorType, weight: TensorType, *bias: TensorType) -> TensorType:
        given = ", ".join(map(str, (x, weight, *bias)))
        known = ", ".join(map(repr, _FUNCTIONS))
        self.require(self.function in _FUNCTIONS, f"knows {known}, not function {self.function!r}")
        self.require_floats(x, weight, *bias)
        self.require(x.rank > 1 and len(bias) <= 1, f"takes rows, weight and a bias: {given}")
        ones = (1,) * (x.rank - 2)
        around = (*weight.shape[:-2], *weight.shape[-1:])
        fits = weight.rank == x.rank and around == (*ones, x.shape[-1])
        self.require(fits, f"takes a weight (1, .., N, {x.shape[-1]}) of x's rank: {given}")
        row = x.with_shape((*ones, 1, weight.shape[-2]))
        self.require(not bias or bias[0] == row, f"takes a bias {row}: {given}")
        return x.with_shape((*x.shape[:-1], weight.shape[-2]))

    def evaluate(self, x: torch.Tensor, weight: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
        y = x.float() @ weight.float().mT
        y = sum((b.float() for b in bias), start=y)
        function = _FUNCTIONS[self.function]
        y = y if function is None else Activation(type=function).evaluate(y)
        return y.to(x.dtype)

    def takes(self, *inputs: TensorType) -> bool:
        x, weight = inputs[:2]
        columns, depth = weight.shape[-2:]
        fits = is_static((columns, depth)) and columns % _ALIGNMENT == depth % _ALIGNMENT == 0
        if x.dtype not in _HALVES or not fits or depth == 0:
            return False
        count = math.prod(x.shape[:-1]) * columns
        return not is_static((count,)) or count >= _LEAST

    def expand(self, x: Tensor, weight: Tensor, *bias: Tensor) -> Tensor:
        product = MatrixMultiply(op1=MatrixOperation.TRANSPOSE)
        y: Tensor = product(x, weight)
        y = y + bias[0] if bias else y
        function = _FUNCTIONS[self.function]
        return y if function is None else Activation(type=function)(y)

    def followed_by(self, layer: Layer) -> Linear | None:
        if isinstance(layer, Gelu):
            layer = Activation(type=ActivationType.GELU_ERF)
        types = {Activation(type=t): name for name, t in _FUNCTIONS.items() if t is not None}
        name = None if self.function else types.get(layer)  # type: ignore[call-overload]
        return None if name is None else replace(self, function=name)

    def defines(self, *dtypes: DType) -> tuple[tuple[str, str], ...]:
        kind = _HALVES.get(dtypes[0], "f32")
        function = [*_FUNCTIONS].index(self.function)
        return *super().defines(*dtypes), ("TYPE", kind), ("FUNCTION", str(function))

    def launch(self, x: Buffer, weight: Buffer, *rest: Any, workspace: Buffer | None) -> Launch:
        *bias, y = rest
        columns, depth = weight.shape[-2:]
        rows = x.volume // depth
        tile, abreast = best(rows, columns, depth, multiprocessors())
        row = depth * x.dtype.itemsize
        rows_map = TensorMap(
            buffer=x, sizes=(depth, rows), strides=(row,), box=(tile.depth, tile.high // 2)
        )
        weights_map = TensorMap(
            buffer=weight,
            sizes=(depth, 2, columns // 8, 4),
            strides=(row, 8 * row, 2 * row),
            box=(tile.depth, 2, tile.wide // 8, 2),
        )
        sizes = (rows, columns, depth, abreast)
        return Launch(
            kernel=tile.kernel,
            grid=tile.blocks(rows, columns, abreast, multiprocessors()),
            block=tile.threads,
            args=(rows_map, weights_map, bias[0] if bias else None, y, *sizes),
            shared=tile.shared,
        )


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``aten::linear``, by the kernel where it takes the rows."""
    if order := order_of_rows(input):
        assert input.producer is not None
        return linear(input.producer.inputs[0], weight, bias).permute(*order)
    if not _is_kernel(input, weight, bias):
        kept: Tensor = of_layers(input, weight, bias)
        return kept
    ones = (1,) * (input.rank - 2)
    offsets = [] if bias is None else [bias.reshape(*ones, 1, weight.shape[0])]
    y: Tensor = Linear()(input, weight.reshape(*ones, *weight.shape), *offsets)
    return y


def _is_kernel(input: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    constants = [x for x in (weight, bias) if x is not None]
    known = all(x.is_constant and x.dtype is input.dtype for x in constants)
    flat = bias is None or bias.rank == 1
    return known and flat and input.rank > 1 and weight.rank == 2 and input.dtype.is_float


def addmm(x: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``aten::addmm`` of rows, a matrix of weights and a bias: as ``linear``."""
    weight = mat2.permute(1, 0)
    if (beta, alpha) != (1, 1) or x.shape != (weight.shape[0],) or not _is_kernel(mat1, weight, x):
        kept: Tensor = addmm_of_layers(x, mat1, mat2, beta=beta, alpha=alpha)
        return kept
    return linear(rows_of(mat1), weight, x).reshape(mat1.shape[0], mat2.shape[1])


aten = torch.ops.aten

CONVERTERS = {aten.linear.default: linear, aten.addmm.default: addmm}
