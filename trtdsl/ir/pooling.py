"""``Pooling``: the maximum or the average of windows that slide over one, two or three axes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, cast

from trtdsl.ir.base import Layer
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.types import Dim, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["PaddingMode", "Pooling", "PoolingType"]


class PoolingType(Enum):
    """What becomes of a window. Source: tensorrt.PoolingType."""

    MAX = auto()
    AVERAGE = auto()
    MAX_AVERAGE_BLEND = auto()


class PaddingMode(Enum):
    """Whether a last window that only partly fits counts. Source: tensorrt.PaddingMode."""

    EXPLICIT_ROUND_DOWN = auto()
    EXPLICIT_ROUND_UP = auto()


@dataclass(frozen=True, kw_only=True)
class Pooling(Layer):
    """Windows of x, reduced: ``(N, C, *S) -> (N, C, *S')``. Source: add_pooling_nd.

    Padding never wins a maximum. An average divides by the part of the window that lies in x, or,
    with ``average_count_excludes_padding=False``, by the whole window, also where EXPLICIT_ROUND_UP
    lets it reach beyond the padding (which the header denies, and 8.6 does). MAX_AVERAGE_BLEND is
    ``(1 - blend_factor) * max + blend_factor * average``.

    Errors: ShapeError when a window lies wholly outside of x, where the answer is not defined.
    """

    type: PoolingType
    window_size: tuple[int, ...]
    stride: tuple[int, ...]
    pre_padding: tuple[int, ...]
    post_padding: tuple[int, ...]
    padding_mode: PaddingMode = PaddingMode.EXPLICIT_ROUND_DOWN
    average_count_excludes_padding: bool = True
    blend_factor: float = 0.0

    def infer(self, x: TensorType) -> TensorType:
        spatial = len(self.window_size)
        lengths = {len(self.stride), len(self.pre_padding), len(self.post_padding), spatial}
        self.require(
            len(lengths) == 1 and 1 <= spatial <= 3, "needs one value for each of 1 to 3 axes"
        )
        self.require(min(*self.stride, *self.window_size) >= 1, "has a value below 1")
        self.require(min(*self.pre_padding, *self.post_padding) >= 0, "has a padding below 0")
        self.require_floats(x)
        self.require(x.rank == spatial + 2, f"takes rank {spatial + 2}, not {x}")
        sizes = tuple(self._output_size(axis, size) for axis, size in enumerate(x.shape[2:]))
        return x.with_shape((*x.shape[:2], *sizes))

    def _output_size(self, axis: int, size: Dim) -> Dim:
        window, stride = self.window_size[axis], self.stride[axis]
        before, after = self.pre_padding[axis], self.post_padding[axis]
        room = size + before + after - window
        up = self.padding_mode is PaddingMode.EXPLICIT_ROUND_UP
        output = (room + (stride - 1 if up else 0)) // stride + 1
        if isinstance(output, int):
            padding = f"axis {axis + 2} of size {size}, padding {before} and {after}"
            self.require(output >= 1, f"the window is larger than the padded {padding}")
            inside = window > before and (output - 1) * stride < size + before
            self.require(inside, f"a window lies wholly in the padding: {padding}")
        return output

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        if len(self.window_size) == 1:
            return self._with_two_axes().evaluate(x.unsqueeze(-1)).squeeze(-1)
        match self.type:
            case PoolingType.MAX:
                return self._maximum(x)
            case PoolingType.AVERAGE:
                return self._average(x)
            case PoolingType.MAX_AVERAGE_BLEND:
                blend = self.blend_factor
                return (1 - blend) * self._maximum(x) + blend * self._average(x)

    def _maximum(self, x: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional as F

        pool = F.max_pool2d if len(self.window_size) == 2 else F.max_pool3d
        padded = self._extended(self._padded(x, -math.inf), x, -math.inf)
        return pool(padded, self.window_size, self.stride)

    def _average(self, x: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn import functional as F

        pool = F.avg_pool2d if len(self.window_size) == 2 else F.avg_pool3d
        wide = x.float()  # PyTorch has no average of half precision for three axes on a CPU
        means = pool(self._extended(self._padded(wide, 0.0), x, 0.0), self.window_size, self.stride)
        if self.average_count_excludes_padding:
            inside = self._extended(self._padded(torch.ones_like(wide[:1, :1]), 0.0), x, 0.0)
            means = means / pool(inside, self.window_size, self.stride)
        return means.to(x.dtype)

    def _padded(self, x: torch.Tensor, value: float) -> torch.Tensor:
        from torch.nn import functional as F

        sides = zip(self.pre_padding, self.post_padding, strict=True)
        return F.pad(x, [side for pair in reversed(list(sides)) for side in pair], value=value)

    def _extended(self, padded: torch.Tensor, x: torch.Tensor, value: float) -> torch.Tensor:
        """With what the last window needs beyond the padding when sizes are rounded up."""
        from torch.nn import functional as F

        missing = []
        for axis, size in reversed(list(enumerate(x.shape[2:]))):
            end = (self._output_size(axis, size) - 1) * self.stride[axis] + self.window_size[axis]
            missing += [0, max(0, end - padded.shape[axis + 2])]
        return F.pad(padded, missing, value=value)

    def available(self, api: Api) -> bool:
        # TensorRT slides over two or three axes.
        return len(self.window_size) > 1

    def expand(self, x: Tensor) -> Tensor:
        """One axis as two, of which the last has size 1."""
        if len(self.window_size) > 1:
            return cast("Tensor", super().expand(x))
        return Squeeze(axes=(3,))(self._with_two_axes()(Unsqueeze(axes=(3,))(x)))

    def _with_two_axes(self) -> Pooling:
        return replace(
            self,
            window_size=(*self.window_size, 1),
            stride=(*self.stride, 1),
            pre_padding=(*self.pre_padding, 0),
            post_padding=(*self.post_padding, 0),
        )

    def lower(self, api: Api, x: Any) -> Any:
        layer = api.add_pooling_nd(x, api.enum("PoolingType", self.type), self.window_size)
        layer.stride_nd = self.stride
        layer.pre_padding = self.pre_padding
        layer.post_padding = self.post_padding
        layer.padding_mode = api.enum("PaddingMode", self.padding_mode)
        layer.average_count_excludes_padding = self.average_count_excludes_padding
        if self.type is PoolingType.MAX_AVERAGE_BLEND:
            layer.blend_factor = self.blend_factor
        return layer
