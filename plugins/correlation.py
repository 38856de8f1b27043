"""The correlation of FlowNet: how alike two images' features are at each displacement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import pad

from trtdsl.binding import plugin
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.plugin import Plugin
from trtdsl.types import TensorType

from .threads import per_element

__all__ = ["Correlation", "correlation"]


@dataclass(frozen=True, kw_only=True)
class Correlation(Plugin, kernel="correlation.cu"):
    """``mean_c x[c, p] * other[c, p + d]`` for displacements d, with kernels of one element.

    Inputs: both ``(N, C, H, W)``, float32 or float16, padded by ``padding`` zeros all around; sums
    are float32. Output: ``(N, D * D, H', W')`` with ``D = 2 * (max_displacement // step) + 1``,
    rows of displacements first, and places ``stride`` apart, of which the first is
    ``max_displacement`` from the padded edge. FlowNetC has padding 20, max_displacement 20,
    stride 1, step 2.
    Errors: ShapeError. Source: https://arxiv.org/abs/1504.06852.
    """

    narrows: ClassVar[bool] = True

    padding: int
    max_displacement: int
    stride: int = 1
    step: int = 1

    @property
    def across(self) -> int:
        """Displacements along one axis."""
        return 2 * (self.max_displacement // self.step) + 1

    def infer(self, x: TensorType, other: TensorType) -> TensorType:
        self.require_floats(x, other)
        self.require(x.rank == other.rank == 4, f"takes images, not {x} and {other}")
        places = [
            (size + 2 * (self.padding - self.max_displacement) + self.stride - 1) // self.stride
            for size in x.shape[2:]
        ]
        small = [p for p in places if isinstance(p, int) and p < 1]
        self.require(not small, f"{x} has no place {self.max_displacement} from its edges")
        return x.with_shape((x.shape[0], self.across**2, *places))

    def evaluate(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        x, wide = (pad(t.float(), [self.padding] * 4) for t in (x, other))
        far = self.max_displacement
        rows, columns = (range(far, size - far, self.stride) for size in x.shape[2:])

        def read(image: torch.Tensor, down: int, across: int) -> torch.Tensor:
            row = torch.tensor([r + down for r in rows], device=image.device)
            column = torch.tensor([c + across for c in columns], device=image.device)
            return image[:, :, row][:, :, :, column]

        reach = range(-(far // self.step) * self.step, far + 1, self.step)
        y = [(read(x, 0, 0) * read(wide, d, r)).mean(1) for d in reach for r in reach]
        return torch.stack(y, 1).to(other.dtype)

    def launch(self, x: Buffer, other: Buffer, y: Buffer, *, workspace: Buffer | None) -> Launch:
        first = self.max_displacement - self.padding
        sizes = *x.shape[1:], self.across, *y.shape[2:]
        rule = first, self.stride, self.step
        return per_element("correlation", y.volume, x, other, y, *sizes, *rule)


@torch.library.custom_op("trtdsl::correlation", mutates_args=())
def correlation(
    x: torch.Tensor,
    other: torch.Tensor,
    padding: int,
    max_displacement: int,
    stride: int = 1,
    step: int = 1,
) -> torch.Tensor:
    """``Correlation`` for a PyTorch module: one operator, in the engine one plugin."""
    layer = Correlation(
        padding=padding, max_displacement=max_displacement, stride=stride, step=step
    )
    return layer.evaluate(x, other)


@correlation.register_fake
def _(
    x: torch.Tensor,
    other: torch.Tensor,
    padding: int,
    max_displacement: int,
    stride: int = 1,
    step: int = 1,
) -> torch.Tensor:
    across = 2 * (max_displacement // step) + 1
    inner = [size + 2 * (padding - max_displacement) for size in x.shape[2:]]
    return x.new_empty(x.shape[0], across**2, *((s + stride - 1) // stride for s in inner))


plugin(torch.ops.trtdsl.correlation.default)(Correlation)
