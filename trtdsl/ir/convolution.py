"""``Convolution`` and ``Deconvolution``: kernels that slide over one, two or three axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from trtdsl.ir.base import Layer
from trtdsl.ir.detour import detour
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.types import Dim, DType, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Convolution", "Deconvolution"]


@dataclass(frozen=True, kw_only=True)
class _Sliding(Layer):
    """What the two have in common: one stride, dilation and padding for each spatial axis."""

    weight_operands: ClassVar[frozenset[int]] = frozenset({1, 2})

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pre_padding: tuple[int, ...]
    post_padding: tuple[int, ...]
    groups: int = 1

    def available(self, api: Api) -> bool:
        # TensorRT slides over two or three axes.
        return len(self.stride) > 1

    def expand(self, x: Tensor, kernel: Tensor, *bias: Tensor) -> Tensor:
        """One axis as two, of which the last has size 1."""
        if len(self.stride) > 1:
            return cast("Tensor", super().expand(x, kernel, *bias))
        layer = type(self)(
            stride=(*self.stride, 1),
            dilation=(*self.dilation, 1),
            pre_padding=(*self.pre_padding, 0),
            post_padding=(*self.post_padding, 0),
            groups=self.groups,
        )
        image, taps = (Unsqueeze(axes=(3,))(tensor) for tensor in (x, kernel))
        return Squeeze(axes=(3,))(layer(image, taps, *bias))

    def _require_operands(
        self, x: TensorType, kernel: TensorType, bias: TensorType | None, maps: Dim
    ) -> None:
        spatial = len(self.stride)
        lengths = {len(self.dilation), len(self.pre_padding), len(self.post_padding), spatial}
        self.require(
            len(lengths) == 1 and 1 <= spatial <= 3, "needs one value for each of 1 to 3 axes"
        )
        self.require(min(*self.stride, *self.dilation, self.groups) >= 1, "has a value below 1")
        self.require(min(*self.pre_padding, *self.post_padding) >= 0, "has a padding below 0")
        self.require_floats(x)
        self.require(
            x.rank == kernel.rank == spatial + 2,
            f"takes x and a kernel of rank {spatial + 2}: {x}, {kernel}",
        )
        self.require(kernel.is_static, f"takes a kernel of known sizes, not {kernel}")
        self.require(isinstance(x.shape[1], int), f"takes a known number of channels, not {x}")
        self.require(kernel.dtype is x.dtype, f"dtypes differ: x {x}, kernel {kernel}")
        if bias is not None:
            wanted = TensorType(x.dtype, (maps,))
            self.require(bias == wanted, f"takes a bias {wanted}, not {bias}")

    def _axes(self, x: TensorType, window: Sequence[int]) -> Iterator[tuple[Dim, ...]]:
        """For each spatial axis its size, taps, stride, dilation and padding before and after."""
        padding = (self.pre_padding, self.post_padding)
        return zip(x.shape[2:], window, self.stride, self.dilation, *padding, strict=True)

    def _require_sizes(self, x: TensorType, output: TensorType) -> TensorType:
        sizes = [size for size in output.shape[2:] if isinstance(size, int)]
        self.require(min(sizes, default=1) >= 1, f"the kernel is larger than the padded x: {x}")
        return output

    def _set(self, layer: Any) -> Any:
        layer.stride_nd = self.stride
        layer.dilation_nd = self.dilation
        layer.pre_padding = self.pre_padding
        layer.post_padding = self.post_padding
        layer.num_groups = self.groups
        return layer


@dataclass(frozen=True, kw_only=True)
class Convolution(_Sliding):
    """Cross-correlation: ``(N, C, *S), (K, C / groups, *F)[, (K,)] -> (N, K, *S')``.

    x is padded with zeros. The kernel and the bias are weights where they are constants.
    Errors: ShapeError when C is not the kernel's times ``groups``. Source: add_convolution_nd.
    """

    def infer(
        self, x: TensorType, kernel: TensorType, bias: TensorType | None = None
    ) -> TensorType:
        self._require_operands(x, kernel, bias, kernel.shape[0] if kernel.rank else 0)
        maps, channels, *window = kernel.shape
        self.require(
            x.shape[1] == channels * self.groups and maps % self.groups == 0,
            f"{x.shape[1]} channels do not fit kernel {kernel} in {self.groups} groups",
        )
        sizes = tuple(
            (size + before + after - dilation * (taps - 1) - 1) // stride + 1
            for size, taps, stride, dilation, before, after in self._axes(x, window)
        )
        return self._require_sizes(x, x.with_shape((x.shape[0], maps, *sizes)))

    def evaluate(
        self, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        from torch.nn import functional as F

        convolve = (F.conv1d, F.conv2d, F.conv3d)[len(self.stride) - 1]
        if self.pre_padding == self.post_padding:
            return convolve(
                x, kernel, bias, self.stride, self.pre_padding, self.dilation, self.groups
            )
        sides = zip(self.pre_padding, self.post_padding, strict=True)
        padded = F.pad(x, [side for pair in reversed(list(sides)) for side in pair])
        return convolve(padded, kernel, bias, self.stride, 0, self.dilation, self.groups)

    def lower(self, api: Api, x: Any, kernel: Any, bias: Any = None) -> Any:
        return self._set(_added(api, api.add_convolution_nd, x, kernel, bias, maps_axis=0))


@dataclass(frozen=True, kw_only=True)
class Deconvolution(_Sliding):
    """The transpose of a convolution: ``(N, C, *S), (C, K / groups, *F)[, (K,)] -> (N, K, *S')``.

    Padding is taken off the output. Errors: ShapeError when C is not the kernel's.
    Source: INetworkDefinition.add_deconvolution_nd.
    """

    def infer(
        self, x: TensorType, kernel: TensorType, bias: TensorType | None = None
    ) -> TensorType:
        maps = kernel.shape[1] * self.groups if kernel.rank > 1 else 0
        self._require_operands(x, kernel, bias, maps)
        channels, _, *window = kernel.shape
        self.require(
            x.shape[1] == channels and channels % self.groups == 0,
            f"{x.shape[1]} channels do not fit kernel {kernel} in {self.groups} groups",
        )
        sizes = tuple(
            (size - 1) * stride + dilation * (taps - 1) + 1 - before - after
            for size, taps, stride, dilation, before, after in self._axes(x, window)
        )
        return self._require_sizes(x, x.with_shape((x.shape[0], maps, *sizes)))

    def evaluate(
        self, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        from torch.nn import functional as F

        spatial = len(self.stride)
        deconvolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[spatial - 1]
        y = deconvolve(x, kernel, bias, self.stride, 0, 0, self.groups, self.dilation)
        for axis, (before, after) in enumerate(
            zip(self.pre_padding, self.post_padding, strict=True)
        ):
            y = y.narrow(axis + 2, before, y.shape[axis + 2] - before - after)
        return y

    def takes(self, x: TensorType, *_: TensorType) -> bool:  # type: ignore[override]
        # "TRT supposedly supports BF16 in deconv, but actually trying to use it results in a bug."
        # Source: NVIDIA's nvtripy, conv_transpose.
        return x.dtype is not DType.BFLOAT16

    def expand(self, x: Tensor, kernel: Tensor, *bias: Tensor) -> Tensor:
        """One axis as two; bfloat16 by way of float32."""
        if len(self.stride) == 1:
            return super().expand(x, kernel, *bias)
        return cast("Tensor", detour(self, (x, kernel, *bias), around=DType.BFLOAT16))

    def lower(self, api: Api, x: Any, kernel: Any, bias: Any = None) -> Any:
        add = api.add_deconvolution_nd
        return self._set(_added(api, add, x, kernel, bias, maps_axis=1, groups=self.groups))


def _added(
    api: Api, add: Any, x: Any, kernel: Any, bias: Any, *, maps_axis: int, groups: int = 1
) -> Any:
    """The new layer; a kernel or bias that an input reaches becomes a tensor input of it."""
    from trtdsl.tensorrt_api import Folded

    assert api.operation is not None
    given = api.operation.inputs[1]
    constant = isinstance(kernel, Folded)
    sizes = tuple(kernel.tensor.shape) if constant else given.shape
    dtype = DType.of(kernel.tensor.dtype) if constant else given.dtype
    weights, bias_weights = (
        api.weights(operand) if isinstance(operand, Folded) else api.no_weights(dtype)
        for operand in (kernel, bias)
    )
    layer = add(x, sizes[maps_axis] * groups, sizes[2:], weights, bias_weights)
    if not constant:
        layer.set_input(1, kernel)
    if bias is not None and not isinstance(bias, Folded):
        layer.set_input(2, bias)
    return layer
