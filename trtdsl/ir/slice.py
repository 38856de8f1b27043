"""``Slice``: a part of a tensor, evenly spaced along each axis, in or beyond its bounds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.cast import Cast
from trtdsl.ir.detour import Mover, detour
from trtdsl.types import Dim, DType, TensorType, as_dim, is_static

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["SampleMode", "Slice", "section"]


class SampleMode(Enum):
    """What is read at a coordinate outside of the tensor. Source: tensorrt.SampleMode."""

    STRICT_BOUNDS = auto()
    """Nothing: TensorRT refuses such a slice."""
    WRAP = auto()
    """The tensor repeats itself."""
    CLAMP = auto()
    """The element nearest to it."""
    FILL = auto()
    """A value of its own: the layer's second input, 0 without one."""
    REFLECT = auto()
    """The tensor mirrored about its first and last element, which are not repeated."""


# TensorRT 8.6 finds no kernel that reads one-byte elements out of bounds. "CLAMP, FILL and REFLECT
# modes do not support int64 or bfloat16." Source: TensorRT's operator reference (10.x), Slice.
_INSIDE_ONLY = {DType.BOOL, DType.INT8, DType.INT64, DType.BFLOAT16}


@dataclass(frozen=True, kw_only=True)
class Slice(Mover):
    """``y[i] = x[start + i * stride]`` along every axis; y has the given ``shape``.

    Inputs: x of any dtype; for FILL also a scalar of x's dtype. ``stride`` may be negative, and 0
    repeats one element. Source: INetworkDefinition.add_slice.
    """

    start: tuple[Dim, ...]
    shape: tuple[Dim, ...]
    stride: tuple[Dim, ...]
    mode: SampleMode = SampleMode.STRICT_BOUNDS

    def __post_init__(self) -> None:
        for name in ("start", "shape", "stride"):
            object.__setattr__(self, name, tuple(map(as_dim, getattr(self, name))))

    def infer(self, x: TensorType, fill: TensorType | None = None) -> TensorType:
        for name in ("start", "shape", "stride"):
            count = len(getattr(self, name))
            self.require(count == x.rank, f"{name} has {count} entries, {x} has {x.rank} axes")
        if fill is not None:
            self.require(self.mode is SampleMode.FILL, "takes a fill value in mode FILL only")
            self.require(
                fill == TensorType(x.dtype, ()), f"the fill value is {fill}, no scalar of {x.dtype}"
            )
        for axis, size in enumerate(x.shape):
            self._check(axis, size)
        return x.with_shape(self.shape)

    def _check(self, axis: int, size: Dim) -> None:
        start, count, stride = self.start[axis], self.shape[axis], self.stride[axis]
        if not is_static((size, start, count, stride)):
            return
        self.require(count >= 0, f"shape of axis {axis} is negative")
        if count == 0 or self.mode is SampleMode.FILL:
            return
        self.require(size > 0, f"axis {axis} has no elements to read")
        last = start + (count - 1) * stride
        self.require(
            self.mode is not SampleMode.STRICT_BOUNDS or (0 <= start < size and 0 <= last < size),
            f"reads {start} to {last} of axis {axis}, which has {size} elements",
        )

    def evaluate(self, x: torch.Tensor, fill: torch.Tensor | None = None) -> torch.Tensor:
        import torch

        outside = []
        for axis, size in enumerate(x.shape):
            start, count, stride = self.start[axis], self.shape[axis], self.stride[axis]
            if (start, count, stride) == (0, size, 1):
                continue
            index = start + stride * torch.arange(count, device=x.device)
            if self.mode is SampleMode.FILL:
                lost = (index < 0) | (index >= size)
                outside.append(lost.view(-1, *[1] * (x.dim() - axis - 1)))
                if size == 0:
                    x = x.new_zeros((*x.shape[:axis], 1, *x.shape[axis + 1 :]))
            x = x.index_select(axis, self._inside(index, size))
        for lost in outside:
            x = x.masked_fill(lost, 0 if fill is None else fill)
        return x

    def _inside(self, index: torch.Tensor, size: int) -> torch.Tensor:
        """The element that is read at each coordinate."""
        if self.mode is SampleMode.WRAP:
            return index % size
        if self.mode is SampleMode.REFLECT:
            period = max(2 * (size - 1), 1)
            index = index % period
            return index.minimum(period - index) if size > 1 else index * 0
        if self.mode is SampleMode.STRICT_BOUNDS:
            return index
        return index.clamp(0, max(size - 1, 0))

    def takes(self, *inputs: TensorType) -> bool:
        inside = self.mode in (SampleMode.STRICT_BOUNDS, SampleMode.WRAP)
        return super().takes(*inputs) and (inside or inputs[0].dtype not in _INSIDE_ONLY)

    def expand(self, *inputs: Tensor) -> Any:
        """By way of a dtype that is read out of bounds; int64, which fits into none, by indices."""
        if inputs[0].dtype is DType.BFLOAT16:
            return detour(self, inputs, around=DType.BFLOAT16)
        if inputs[0].dtype is DType.INT64:
            from trtdsl.ir.gathered import gathered

            return gathered(self, *inputs)
        wide = (Cast(dtype=DType.INT32)(x) for x in inputs)
        return Cast(dtype=inputs[0].dtype)(self(*wide))

    def lower(self, api: Api, x: Any, fill: Any = None) -> Any:
        vectors = (self.start, self.shape, self.stride)
        # What only the engine knows comes as an input; TensorRT ignores what stands for it.
        static = [tuple(d if isinstance(d, int) else 0 for d in dims) for dims in vectors]
        layer = api.add_slice(x, *static)
        layer.mode = api.enum("SampleMode", self.mode)
        for index, dims in enumerate(vectors, 1):
            if not is_static(dims):
                layer.set_input(index, api.shape_tensor(dims))
        if fill is not None:
            layer.set_input(4, fill)
        return layer


def section(x: Tensor, axis: int, start: Dim, size: Dim, stride: int = 1) -> Tensor:
    """``size`` elements of one axis, from ``start`` on; x itself where that is all of it."""
    if start == 0 and stride == 1 and size == x.shape[axis]:
        return x

    def along(value: Dim, others: tuple[Dim, ...]) -> tuple[Dim, ...]:
        return (*others[:axis], value, *others[axis + 1 :])

    return Slice(
        start=along(start, (0,) * x.rank),
        shape=along(size, x.shape),
        stride=along(stride, (1,) * x.rank),
    )(x)
