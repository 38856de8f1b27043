"""GELU by the error function, as one kernel with the bias of the linear layer before it.

``trtdsl.layers.activation`` makes TensorRT's activation of it. The form by ``tanh`` stays one:
TensorRT 8.6 makes it part of the product in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.plugin import Plugin
from trtdsl.layers.activation import gelu as of_layers
from trtdsl.network import Tensor
from trtdsl.types import DType, TensorType, is_static

from .biases import unbiased
from .threads import per_element

__all__ = ["CONVERTERS", "Gelu", "gelu"]

_ALIGNMENT = 8
"""Elements of a thread."""


@dataclass(frozen=True, kw_only=True)
class Gelu(Plugin, kernel=("gelu_of.cu", "gelu.cu")):
    """``0.5 * x * (1 + erf(x / sqrt(2)))`` of ``x + bias``, in float32.

    Inputs: x ``(.., W)``; optionally a bias of x's rank and dtype, ``(1, .., W)``. Output: like x.

    The kernel takes float16 and bfloat16, and W that are known and multiples of 8; anything else
    becomes TensorRT's activation.
    Errors: ShapeError. Source: aten::gelu; https://arxiv.org/abs/1606.08415.
    """

    narrows: ClassVar[bool] = True
    by_row: ClassVar[bool] = True

    def infer(self, x: TensorType, *bias: TensorType) -> TensorType:
        given = ", ".join(map(str, (x, *bias)))
        self.require_floats(x, *bias)
        self.require(x.rank > 0 and len(bias) <= 1, f"takes rows and a bias: {given}")
        row = x.with_shape((*(1 for _ in x.shape[1:]), x.shape[-1]))
        self.require(not bias or bias[0] == row, f"takes a bias {row}: {given}")
        return x

    def evaluate(self, x: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
        total = sum((b.float() for b in bias), start=x.float())
        return torch.nn.functional.gelu(total).to(x.dtype)

    def takes(self, *inputs: TensorType) -> bool:
        x = inputs[0]
        fits = is_static(x.shape[-1:]) and x.shape[-1] % _ALIGNMENT == 0
        return x.dtype in (DType.FLOAT16, DType.BFLOAT16) and fits

    def expand(self, x: Tensor, *bias: Tensor) -> Tensor:
        y: Tensor = Activation(type=ActivationType.GELU_ERF)(x + bias[0] if bias else x)
        return y

    def launch(self, x: Buffer, *rest: Any, workspace: Buffer | None) -> Launch:
        *bias, y = rest
        given = (x, bias[0] if bias else None, y, x.shape[-1] // _ALIGNMENT)
        return per_element("gelu", x.volume // _ALIGNMENT, *given)


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """``aten::gelu``, by the kernel where it takes the rows."""
    if approximate != "none" or x.rank == 0 or not x.dtype.is_float:
        kept: Tensor = of_layers(x, approximate=approximate)
        return kept
    rows, bias = unbiased(x)
    given = [] if bias is None else [bias.reshape(*(1 for _ in x.shape[1:]), x.shape[-1])]
    y: Tensor = Gelu()(rows, *given)
    return y


CONVERTERS = {torch.ops.aten.gelu.default: gelu}
