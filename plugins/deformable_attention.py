"""Multi-scale deformable attention: the core of Deformable DETR and of its many descendants."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import grid_sample

from trtdsl.binding import plugin
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.plugin import Plugin
from trtdsl.types import DType, TensorType

from .threads import per_element

__all__ = ["DeformableAttention", "deformable_attention"]


@dataclass(frozen=True, kw_only=True)
class DeformableAttention(Plugin, kernel="deformable_attention.cu"):
    """The weighted sum of points read from maps of several sizes.

    Inputs, floats all float32 or all float16, sums float32:
    value ``(N, S, heads, channels)``, the maps' elements one level after the other;
    spatial_shapes ``(levels, 2)`` int64 or int32, height and width, with ``S = sum(h * w)``;
    sampling_locations ``(N, queries, heads, levels, points, 2)``, x and y in 0..1;
    attention_weights ``(N, queries, heads, levels, points)``.
    Output: ``(N, queries, heads * channels)``. Bilinear, 0 outside of a map.
    Errors: ShapeError. Source: https://arxiv.org/abs/2010.04159, ``ms_deform_attn``.
    """

    def infer(
        self, value: TensorType, sizes: TensorType, places: TensorType, weights: TensorType
    ) -> TensorType:
        self.require_floats(value, places, weights)
        ranks = (value.rank, sizes.rank, places.rank, weights.rank)
        self.require(ranks == (4, 2, 6, 5), f"takes ranks 4, 2, 6 and 5, not {ranks}")
        integers = sizes.dtype in (DType.INT32, DType.INT64)
        self.require(integers, f"sizes are integers, not {sizes}")
        self.require(places.shape[5] == 2, f"places are of x and y, not {places}")
        heads, channels = value.shape[2:]
        return value.with_shape((*places.shape[:2], heads * channels))

    def evaluate(
        self,
        value: torch.Tensor,
        sizes: torch.Tensor,
        places: torch.Tensor,
        weights: torch.Tensor,
    ) -> torch.Tensor:
        batch, _, heads, channels = value.shape
        queries, points = places.shape[1], places.shape[4]
        maps = torch.split(value.float(), [int(h * w) for h, w in sizes.tolist()], dim=1)
        y = value.new_zeros(batch * heads, channels, queries, dtype=torch.float32)
        for level, (height, width) in enumerate(sizes.tolist()):
            image = maps[level].permute(0, 2, 3, 1).reshape(-1, channels, height, width)
            grid = places[:, :, :, level].float().transpose(1, 2) * 2 - 1
            read = grid_sample(
                image, grid.reshape(-1, queries, points, 2), mode="bilinear", align_corners=False
            )
            weight = weights[:, :, :, level].float().transpose(1, 2)
            y += (read * weight.reshape(-1, 1, queries, points)).sum(-1)
        shape = batch, heads * channels, queries
        return y.reshape(shape).transpose(1, 2).contiguous().to(value.dtype)

    def launch(
        self,
        value: Buffer,
        sizes: Buffer,
        places: Buffer,
        weights: Buffer,
        y: Buffer,
        *,
        workspace: Buffer | None,
    ) -> Launch:
        tensors = value, sizes, places, weights, y
        _, queries, _, levels, points, _ = places.shape
        numbers = *value.shape[1:], queries, levels, points
        return per_element("deformable_attention", y.volume, *tensors, *numbers)


@torch.library.custom_op("trtdsl::deformable_attention", mutates_args=())
def deformable_attention(
    value: torch.Tensor,
    spatial_shapes: torch.Tensor,
    sampling_locations: torch.Tensor,
    attention_weights: torch.Tensor,
) -> torch.Tensor:
    """``DeformableAttention`` for a PyTorch module: one operator, in the engine one plugin."""
    layer = DeformableAttention()
    return layer.evaluate(value, spatial_shapes, sampling_locations, attention_weights)


@deformable_attention.register_fake
def _(
    value: torch.Tensor,
    spatial_shapes: torch.Tensor,
    sampling_locations: torch.Tensor,
    attention_weights: torch.Tensor,
) -> torch.Tensor:
    heads, channels = value.shape[2:]
    return value.new_empty(*sampling_locations.shape[:2], heads * channels)


plugin(torch.ops.trtdsl.deformable_attention.default)(DeformableAttention)
