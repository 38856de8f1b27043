"""Maximum and average pooling over one, two and three axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.gather import Gather
from trtdsl.ir.pooling import PaddingMode, Pooling, PoolingType
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.slice import SampleMode
from trtdsl.network import Tensor
from trtdsl.operators import as_tensor, minimum
from trtdsl.operators import maximum as larger
from trtdsl.registry import converter
from trtdsl.types import Dim, DType, as_dim, is_static

from .absent import Absent
from .padding import padded
from .spatial import batched, per_axis
from .windows import reads

__all__ = ["INDICES", "Windows", "maximum", "maximum_of"]

aten = torch.ops.aten

INDICES = Absent("the indices of a maximum pooling", "pool with return_indices=False")


@converter(aten.max_pool1d.default)
def max_pool1d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Tensor:
    """``([N,] C, L)``."""
    return maximum(x, Windows.of(1, kernel_size, stride, padding, ceil_mode), dilation)


@converter(aten.max_pool2d.default)
def max_pool2d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> Tensor:
    """``([N,] C, H, W)``."""
    return maximum(x, Windows.of(2, kernel_size, stride, padding, ceil_mode), dilation)


@converter(aten.max_pool3d.default)
def max_pool3d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    ceil_mode: bool = False,
) -> Tensor:
    """``([N,] C, D, H, W)``."""
    return maximum(x, Windows.of(3, kernel_size, stride, padding, ceil_mode), dilation)


@converter(aten.avg_pool1d.default)
def avg_pool1d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """``([N,] C, L)``."""
    windows = Windows.of(1, kernel_size, stride, padding, ceil_mode)
    return _average(x, windows, count_include_pad, None)


@converter(aten.avg_pool2d.default)
def avg_pool2d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """``([N,] C, H, W)``."""
    windows = Windows.of(2, kernel_size, stride, padding, ceil_mode)
    return _average(x, windows, count_include_pad, divisor_override)


@converter(aten.avg_pool3d.default)
def avg_pool3d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """``([N,] C, D, H, W)``."""
    windows = Windows.of(3, kernel_size, stride, padding, ceil_mode)
    return _average(x, windows, count_include_pad, divisor_override)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Where PyTorch's windows lie: sizes, steps, padding, and whether a last part counts."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    ceil_mode: bool

    @classmethod
    def of(
        cls,
        axes: int,
        kernel_size: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        ceil_mode: bool,
    ) -> Windows:
        """From an operator's arguments; windows without a stride lie side by side."""
        return cls(
            size=per_axis(kernel_size, axes),
            stride=per_axis(stride or kernel_size, axes),
            padding=per_axis(padding, axes),
            ceil_mode=ceil_mode,
        )

    def count(self, axis: int, size: Dim, dilation: int = 1) -> Any:
        """The number of windows along an axis of this size, by PyTorch's rule: a Dim."""
        stride, padding = self.stride[axis], self.padding[axis]
        reach = dilation * (self.size[axis] - 1) + 1
        room = size + 2 * padding - reach
        if not self.ceil_mode:
            return as_dim(room // stride + 1)
        count = as_dim((room + stride - 1) // stride + 1)
        if reach >= stride + padding:
            return count
        # A window that would begin in the padding behind x is left out.
        known = _known(size, "a window shorter than its step and padding, with ceil_mode,")
        return count - ((count - 1) * stride >= known + padding)

    def reach(self, axis: int, size: Dim) -> int:
        """The padding behind x with which every window is whole."""
        if not self.ceil_mode:
            return self.padding[axis]
        known = _known(size, "divisor_override with ceil_mode")
        count: int = self.count(axis, known)
        end = (count - 1) * self.stride[axis] + self.size[axis]
        return max(self.padding[axis], end - known - self.padding[axis])

    def layer(self, type: PoolingType, shape: Sequence[Dim], *, counts_padding: bool) -> Pooling:
        """The Pooling with these windows. Errors: ConversionError where TensorRT has none."""
        # PyTorch divides a last window by what of it lies in the padded x, TensorRT by all of it.
        modes = (PaddingMode.EXPLICIT_ROUND_DOWN,) if counts_padding else tuple(PaddingMode)
        for mode in modes:
            behind = [
                self._padding_behind(axis, size, mode, counts_padding)
                for axis, size in enumerate(shape)
            ]
            if None not in behind:
                return Pooling(
                    type=type,
                    window_size=self.size,
                    stride=self.stride,
                    pre_padding=self.padding,
                    post_padding=tuple(b for b in behind if b is not None),
                    padding_mode=mode,
                    average_count_excludes_padding=not counts_padding,
                )
        raise ConversionError(
            explain(
                f"windows {self.size} at steps {self.stride} with padding {self.padding} and "
                f"ceil_mode leave out a last window of {tuple(shape)} that TensorRT would count",
                fix="use ceil_mode=False, or sizes that are not dynamic",
            )
        )

    def _padding_behind(
        self, axis: int, size: Dim, mode: PaddingMode, counts_padding: bool
    ) -> int | None:
        """The padding with which this rounding gives PyTorch's windows; None where none does."""
        stride, padding = self.stride[axis], self.padding[axis]
        rounds_up = mode is PaddingMode.EXPLICIT_ROUND_UP
        if not isinstance(size, int):
            # Every last window then begins in x, whatever the size, so the rounding alone decides.
            safe = not self.ceil_mode or self.size[axis] >= stride + padding
            return padding if stride == 1 or (safe and rounds_up is self.ceil_mode) else None
        room = size + 2 * padding - self.size[axis]
        count = self.count(axis, size)
        if (-(-room // stride) if rounds_up else room // stride) + 1 == count:
            return padding
        needed = padding + (count - 1) * stride - room
        fits = needed >= 0 and (needed <= padding or not counts_padding)
        return needed if fits else None


def maximum(x: Tensor, windows: Windows, dilation: Sequence[int]) -> Tensor:
    """The largest element of each window; bytes by way of float32, which has them all."""
    if x.dtype in (DType.UINT8, DType.INT8):
        return maximum(x.cast(DType.FLOAT32), windows, dilation).cast(x.dtype)
    axes = len(windows.size)
    steps = per_axis(dilation, axes)
    is_plain = x.dtype.is_float and all(step == 1 for step in steps)

    def pool(image: Tensor) -> Tensor:
        if not is_plain:
            known = is_static(image.shape[2:])
            return (_listed if known else _gathered)(image, windows, steps)
        layer = windows.layer(PoolingType.MAX, image.shape[2:], counts_padding=False)
        return layer(image)

    return batched(x, axes, pool)


def _average(
    x: Tensor, windows: Windows, count_include_pad: bool, divisor_override: int | None
) -> Tensor:
    counts_padding = count_include_pad and any(windows.padding)
    if divisor_override is not None:
        return _sum(x, windows) * (1 / divisor_override)

    def pool(image: Tensor) -> Tensor:
        if counts_padding and windows.ceil_mode and is_static(image.shape[2:]):
            return _sum(image, windows) / _counts(image, windows)
        layer = windows.layer(PoolingType.AVERAGE, image.shape[2:], counts_padding=counts_padding)
        return layer(image)

    return batched(x, len(windows.size), pool)


def _sum(x: Tensor, windows: Windows) -> Tensor:
    """The sum of each window: its average, padding included, times the number of its elements."""

    def pool(image: Tensor) -> Tensor:
        layer = Pooling(
            type=PoolingType.AVERAGE,
            window_size=windows.size,
            stride=windows.stride,
            pre_padding=windows.padding,
            post_padding=tuple(windows.reach(axis, d) for axis, d in enumerate(image.shape[2:])),
            average_count_excludes_padding=False,
        )
        return layer(image) * math.prod(windows.size)

    return batched(x, len(windows.size), pool)


def _counts(image: Tensor, windows: Windows) -> Tensor:
    """How many elements of the padded image each window holds, by PyTorch's rule."""
    counts = torch.ones(())
    for axis, size in enumerate(image.shape[2:]):
        window, stride, padding = windows.size[axis], windows.stride[axis], windows.padding[axis]
        starts = torch.arange(windows.count(axis, size)) * stride - padding
        counts = counts[..., None] * (starts + window).clamp(max=size + padding).sub(starts)
    return image.network.constant(counts.to(image.dtype.torch))


def _listed(image: Tensor, windows: Windows, steps: tuple[int, ...]) -> Tensor:
    """The maximum of windows with holes, or of integers: TensorRT has neither."""
    places = []
    for axis, size in enumerate(image.shape[2:]):
        taps = range(0, windows.size[axis] * steps[axis], steps[axis])
        starts = (
            i * windows.stride[axis] - windows.padding[axis]
            for i in range(windows.count(axis, size, steps[axis]))
        )
        places.append(
            [[start + tap for tap in taps if 0 <= start + tap < size] for start in starts]
        )
    return maximum_of(image, places)


def _gathered(image: Tensor, windows: Windows, steps: tuple[int, ...]) -> Tensor:
    """``_listed`` of sizes that are not known: what each window reads is computed."""
    for axis, size in enumerate(image.shape[2:]):
        padding, stride = windows.padding[axis], windows.stride[axis]
        count = windows.count(axis, size, steps[axis])
        index = reads(image.network, count, stride, windows.size[axis], steps[axis])
        if image.dtype.is_float:
            # Rounding up, the last window ends at most a step behind the padding.
            ends = [padding, padding + stride - 1]
            pad = [0, 0] * (image.rank - 3 - axis) + ends
            image = padded(image, pad, SampleMode.FILL, -math.inf)
        else:
            _known(size if steps[axis] > 1 else 1, "a dilated maximum pooling of integers")
            # Of a window without holes, the element nearest to its outside is in it.
            last = as_tensor(size, image.network, DType.INT32) - 1
            index = minimum(larger(index - padding, 0), last)
        image = Reduce(op=ReduceOperation.MAX, axes=(3 + axis,))(
            Gather(axis=2 + axis)(image, index)
        )
    return image


def maximum_of(image: Tensor, places: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """The maximum over any windows: for each spatial axis, the indices that each window holds.

    Windows are made equally long by repeating an index, which changes no maximum.
    """
    lengths = [max(len(window) for window in windows) for windows in places]
    for axis, (windows, length) in enumerate(zip(places, lengths, strict=True)):
        if not all(windows):
            raise ConversionError(f"a pooling window of axis {axis + 2} lies outside of {image}")
        flat = [window[min(i, len(window) - 1)] for window in windows for i in range(length)]
        if flat != list(range(image.shape[axis + 2])):
            indices = image.network.constant(flat, DType.INT32)
            image = Gather(axis=axis + 2)(image, indices)
    if not image.dtype.is_float:
        split = [n for windows, k in zip(places, lengths, strict=True) for n in (len(windows), k)]
        taps = tuple(range(3, 3 + 2 * len(lengths), 2))
        sides = image.reshape(*image.shape[:2], *split)
        return Reduce(op=ReduceOperation.MAX, axes=taps)(sides)
    none = (0,) * len(lengths)
    layer = Pooling(
        type=PoolingType.MAX,
        window_size=tuple(lengths),
        stride=tuple(lengths),
        pre_padding=none,
        post_padding=none,
    )
    return layer(image)


def _known(size: Dim, what: str) -> int:
    if isinstance(size, int):
        return size
    raise ConversionError(
        explain(
            f"{what} needs known sizes, not {size}",
            fix="use dilation=1 and ceil_mode=False, or sizes that are not dynamic",
        )
    )
