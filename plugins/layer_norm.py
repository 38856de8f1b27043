"""``LayerNorm``: rows of zero mean and unit variance, and the sum that they may be made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.normalization import Normalization
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Tensor
from trtdsl.types import DType, TensorType, is_static

__all__ = ["ALIGNMENT", "WIDEST", "LayerNorm"]

T = TypeVar("T")

ALIGNMENT = 8
"""Elements that are read at once."""
WIDEST = 8192
"""Elements of the widest row."""


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Plugin, kernel="layer_norm.cu"):
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias`` of each row, in float32.

    Inputs: x ``(.., width)``; scale and bias of x's rank, ``(1, .., width)``, floats of one dtype.
    With ``summed`` another tensor like x follows, and rows are those of the sum of both; with
    ``offset`` then what is added to every row of x before, a tensor like the bias. A product in
    front of a plugin has its bias and the residual added here, and not in kernels of their own.

    Outputs: a tensor like x; and with ``keeps_sum`` the sum.

    The kernel takes float16 and bfloat16, widths up to 8192 that are multiples of 8; anything else
    is lowered as ``trtdsl.ir.normalization`` has it.
    Errors: ShapeError. Source: aten::layer_norm; https://arxiv.org/abs/1607.06450.
    """

    narrows: ClassVar[bool] = True
    by_row: ClassVar[bool] = True

    width: int
    epsilon: float = 1e-5
    summed: bool = False
    offset: bool = False
    keeps_sum: bool = False

    def infer(self, x: TensorType, *rest: TensorType) -> TensorType | tuple[TensorType, TensorType]:
        given = ", ".join(map(str, (x, *rest)))
        self.require_floats(x, *rest)
        count = 3 + self.summed + self.offset
        self.require(len(rest) == count - 1, f"takes {count} inputs: {given}")
        wide = bool(x.rank) and x.shape[-1] == self.width
        self.require(wide, f"takes rows of {self.width}: {given}")
        row = x.with_shape((*(1 for _ in x.shape[1:]), self.width))
        scale, bias, other, offset = self._optional(rest)
        rows = all(t in (None, row) for t in (scale, bias, offset))
        self.require(rows, f"takes scale, bias and offset {row}: {given}")
        self.require(other is None or _alike(x, other), f"adds another tensor like x: {given}")
        return (x, x) if self.keeps_sum else x

    def _optional(self, rest: Sequence[T]) -> tuple[T, T, T | None, T | None]:
        """Scale, bias, the other summand and the offset, of what follows x."""
        scale, bias, *more = rest
        other = more.pop(0) if self.summed else None
        return scale, bias, other, more[0] if self.offset else None

    def evaluate(
        self, x: torch.Tensor, *rest: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        scale, bias, other, offset = (
            None if t is None else t.float() for t in self._optional(rest)
        )
        total = x.float()
        for more in (offset, other):
            total = total if more is None else total + more
        mean = total.mean(-1, keepdim=True)
        variance = (total - mean).square().mean(-1, keepdim=True)
        assert scale is not None
        assert bias is not None
        y = ((total - mean) / (variance + self.epsilon).sqrt() * scale + bias).to(x.dtype)
        return (y, total.to(x.dtype)) if self.keeps_sum else y

    def takes(self, *inputs: TensorType) -> bool:
        fits = self.width % ALIGNMENT == 0 and 0 < self.width <= WIDEST
        return inputs[0].dtype in (DType.FLOAT16, DType.BFLOAT16) and fits

    def expand(self, x: Tensor, *rest: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        scale, bias, other, offset = self._optional(rest)
        for more in (offset, other):
            x = x if more is None else x + more
        y: Tensor = Normalization(axes=(x.rank - 1,), epsilon=self.epsilon)(x, scale, bias)
        return (y, x) if self.keeps_sum else y

    def of_sum(self, *, offset: bool, keeps: bool) -> LayerNorm | None:
        if self.summed:
            return None
        return replace(self, summed=True, offset=offset, keeps_sum=keeps)

    def defines(self, *dtypes: DType) -> tuple[tuple[str, str], ...]:
        flags = {"SUMMED": self.summed, "OFFSET": self.offset, "KEEPS_SUM": self.keeps_sum}
        numbers = {"WIDTH": self.width, **flags}
        return *super().defines(*dtypes), *((name, str(int(n))) for name, n in numbers.items())

    def launch(self, x: Buffer, *rest: Buffer, workspace: Buffer | None) -> Launch:
        given, made = rest[: 2 + self.summed + self.offset], rest[2 + self.summed + self.offset :]
        rows, team = x.volume // self.width, _team(self.width)
        block = max(team, 128)
        return Launch(
            kernel="layer_norm",
            grid=-(-rows * team // block),
            block=block,
            args=(x, *self._optional(given), *(*made, None)[:2], rows, self.epsilon),
        )


def _alike(x: TensorType, other: TensorType) -> bool:
    """Whether sizes are equal where both are known: TensorRT has each input's by another name."""
    pairs = zip(x.shape, other.shape, strict=False)
    return x.rank == other.rank and all(a == b or not is_static((a, b)) for a, b in pairs)


def _team(width: int) -> int:
    """How many threads hold a row, as the kernel has it."""
    if width <= 1024:
        return 32
    return 128 if width <= 4096 else 256
