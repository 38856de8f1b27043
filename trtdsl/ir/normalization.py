"""``Normalization``: zero mean and unit variance over some axes, or over groups of channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from trtdsl.errors import BuildError, explain
from trtdsl.ir.base import Layer
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.types import TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Normalization"]


@dataclass(frozen=True, kw_only=True)
class Normalization(Layer):
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias``, with statistics over ``axes``.

    The variance is the biased one. With ``groups`` above 1 the channels of axis 1 are cut into
    groups, ``axes`` are all axes behind it, and statistics are a group's. scale and bias have x's
    rank and broadcast to it; with groups they are ``(1, C, 1, ...)``. TensorRT 8.6 computes in
    float32 whatever x is; a strongly typed network computes in x's dtype.

    Source: add_normalization_v2 of INetworkDefinition (10.15), add_normalization before.
    """

    weight_operands: ClassVar[frozenset[int]] = frozenset({1, 2})

    axes: tuple[int, ...]
    epsilon: float = 1e-5
    groups: int = 1

    def infer(self, x: TensorType, scale: TensorType, bias: TensorType) -> TensorType:
        self.require_floats(x)
        self.require(
            bool(self.axes) and all(0 <= a < x.rank for a in self.axes),
            f"axes are missing or outside 0..{x.rank - 1} for {x}",
        )
        self.require(scale == bias, f"scale {scale} and bias {bias} differ in type")
        self.require(
            scale.dtype is x.dtype and scale.rank == x.rank,
            f"scale {scale} has not the dtype and rank of x {x}",
        )
        fits = all(s in (1, size) for s, size in zip(scale.shape, x.shape, strict=True))
        self.require(fits, f"scale {scale} does not broadcast to x {x}")
        if self.groups > 1:
            self._require_groups(x, scale)
        return x

    def _require_groups(self, x: TensorType, scale: TensorType) -> None:
        channels = x.shape[1]
        behind = tuple(range(2, x.rank))
        self.require(self.axes == behind, f"axes of groups are {behind} for {x}")
        self.require(
            isinstance(channels, int) and channels % self.groups == 0,
            f"{channels} channels do not divide into {self.groups} groups",
        )
        wanted = (1, channels, *(1 for _ in behind))
        self.require(scale.shape == wanted, f"takes a scale of sizes {wanted}, not {scale}")

    def evaluate(self, x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        grouped, axes = x, self.axes
        if self.groups > 1:
            channels = x.shape[1] // self.groups
            grouped = x.reshape(x.shape[0], self.groups, channels, *x.shape[2:])
            axes = tuple(range(2, grouped.dim()))
        mean = grouped.mean(axes, keepdim=True)
        variance = (grouped - mean).square().mean(axes, keepdim=True)
        normal = (grouped - mean) / (variance + self.epsilon).sqrt()
        return normal.reshape(x.shape) * scale + bias

    def takes(self, x: TensorType, *_: TensorType) -> bool:  # type: ignore[override]
        return self.groups == 1 or x.rank > 3

    def expand(self, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        """With a size of 1 behind: TensorRT's groups start at rank 4."""
        behind = x.rank
        wider = replace(self, axes=(*self.axes, behind))
        y = wider(*(Unsqueeze(axes=(behind,))(tensor) for tensor in (x, scale, bias)))
        return Squeeze(axes=(behind,))(y)

    def lower(self, api: Api, x: Any, scale: Any, bias: Any) -> Any:
        mask = sum(1 << axis for axis in self.axes)
        if api.has("add_normalization_v2"):
            layer = api.add_normalization_v2(x, api.tensor(scale), api.tensor(bias), mask)
        elif self.groups == 1:
            layer = api.add_normalization(x, api.tensor(scale), api.tensor(bias), mask)
        else:
            return self._lower_groups(api, x, scale, bias, mask)
        layer.epsilon = self.epsilon
        layer.num_groups = self.groups
        return layer

    def _lower_groups(self, api: Api, x: Any, scale: Any, bias: Any, mask: int) -> Any:
        # Before 10.15 scale and bias have a value a group, not a channel: they stay 1 and 0.
        from trtdsl.tensorrt_api import Folded

        if not isinstance(scale, Folded):
            raise BuildError(
                explain(
                    f"{self}: scale is {scale.name}, which an input reaches",
                    fix="use TensorRT 10.15 or later, or multiply after the normalization",
                )
            )
        unit = scale.tensor.new_ones((1, self.groups, *scale.tensor.shape[2:]))
        zero = unit.new_zeros(unit.shape)
        layer = api.add_normalization(x, api.constant(unit), api.constant(zero), mask)
        layer.epsilon = self.epsilon
        layer.num_groups = self.groups
        operations = api.trt.ElementWiseOperation
        y = api.add_elementwise(layer.get_output(0), api.tensor(scale), operations.PROD)
        return api.add_elementwise(y.get_output(0), api.tensor(bias), operations.SUM)
