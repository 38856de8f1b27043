"""torchvision's operators on boxes: suppression and pooling of regions of interest."""

from __future__ import annotations

import math

from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.gather import Gather
from trtdsl.ir.nms import MOST_BOXES, NMS
from trtdsl.ir.nonzero import counted
from trtdsl.ir.reduce import ReduceOperation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.network import Tensor
from trtdsl.operators import maximum, minimum, where
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .absent import Absent
from .creation import iota
from .indexing import select
from .reduction import reduced

__all__: list[str] = []

_NEIGHBOURS = 5
"""The most samples at steps of a half or more that one element of an image is read for."""


@converter("torchvision::nms")
def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """The boxes that stay, by decreasing score: ``(n, 4), (n,) -> (m,)`` int64.

    TensorRT's layer considers 5000 of them; where there may be more, a plugin considers all.
    """
    from trtdsl.plugins import suppression  # plugins import converters

    net = dets.network
    most = net.bounds(dets.shape[0])[1]
    if most > MOST_BOXES:
        found: Tensor = suppression.nms(dets, scores, iou_threshold)
        return found
    boxes, table = (x.cast(DType.FLOAT32) for x in (dets, scores))
    size = net.unknown(max=most)
    triples = NMS(count=size, iou_threshold=iou_threshold, max_output_boxes_per_class=max(most, 1))(
        boxes.reshape(1, *dets.shape), table.reshape(1, *scores.shape, 1)
    )
    net.numbers[size.name] = counted(triples, 0)
    return select(triples, 1, 2).cast(DType.INT64)


@converter("torchvision::roi_align")
def roi_align(
    input: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: Dim,
    pooled_width: Dim,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """The mean of points in each part of a region: ``(N, C, H, W), (K, 5) -> (K, C, h, w)``.

    Bilinear weights of a row and of a column are independent of each other, so what a part reads
    of all elements is the product of a matrix for its rows and one for its columns.
    """
    corners = rois.cast(DType.FLOAT32)
    sides = [
        _side(corners, axis, spatial_scale, pooled, offset=0.5 if aligned else 0.0)
        for axis, pooled in ((2, pooled_height), (1, pooled_width))
    ]
    if not aligned:
        sides = [(start, maximum(length, 1.0), pooled) for start, length, pooled in sides]
    height, width = input.shape[2:]
    rows = _aligned_weights(*sides[0], height, sampling_ratio)
    columns = _aligned_weights(*sides[1], width, sampling_ratio)
    return _averaged(input, corners, rows, columns)


@converter("torchvision::ps_roi_align")
def ps_roi_align(
    input: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: Dim,
    pooled_width: Dim,
    sampling_ratio: int,
) -> tuple[Tensor, Absent]:
    """``roi_align`` in which each part of a region reads channels of its own."""
    corners = rois.cast(DType.FLOAT32)
    rows, columns = (
        _aligned_weights(
            *_side(corners, axis, spatial_scale, pooled, offset=0.5), size, sampling_ratio
        )
        for axis, pooled, size in (
            (2, pooled_height, input.shape[2]),
            (1, pooled_width, input.shape[3]),
        )
    )
    return _of_own_channels(input, corners, rows, columns), _CHANNELS


@converter("torchvision::ps_roi_pool")
def ps_roi_pool(
    input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: Dim, pooled_width: Dim
) -> tuple[Tensor, Absent]:
    """The mean of the elements in each part of a region, each part of channels of its own.

    torchvision's CPU reads no element of the last row and column, nor does this.
    """
    corners = rois.cast(DType.FLOAT32)
    weights = []
    for axis, pooled, size in ((2, pooled_height, 2), (1, pooled_width, 3)):
        members = _members(corners, axis, spatial_scale, pooled, input.shape[size], last=1)
        number = members.cast(DType.FLOAT32)
        count = reduced(ReduceOperation.SUM, number, -1, True)
        weights.append(number / maximum(count, 1.0))
    return _of_own_channels(input, corners, weights[0], weights[1]), _CHANNELS


@converter("torchvision::roi_pool")
def roi_pool(
    input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: Dim, pooled_width: Dim
) -> tuple[Tensor, Absent]:
    """The largest element in each part of a region; 0 in a part without elements."""
    corners = rois.cast(DType.FLOAT32)
    height, width = input.shape[2:]
    rows = _members(corners, 2, spatial_scale, pooled_height, height, last=0, both_ends=1)
    columns = _members(corners, 1, spatial_scale, pooled_width, width, last=0, both_ends=1)
    images = Gather(axis=0)(input, select(corners, 1, 0).cast(DType.INT32))
    # (K, 1, h, H, 1) picks of (K, C, 1, H, W), then (K, 1, 1, w, W) of (K, C, h, 1, W).
    lowest = float("-inf")
    picked = where(Unsqueeze(axes=(1, 4))(rows), Unsqueeze(axes=(2,))(images), lowest, input.dtype)
    tall = reduced(ReduceOperation.MAX, picked, 3, False)
    picked = where(Unsqueeze(axes=(1, 2))(columns), Unsqueeze(axes=(3,))(tall), lowest, input.dtype)
    largest = reduced(ReduceOperation.MAX, picked, 4, False)
    some = [reduced(ReduceOperation.MAX, m.cast(DType.INT32), -1, False) for m in (rows, columns)]
    full = Unsqueeze(axes=(1, 3))(some[0]) * Unsqueeze(axes=(1, 2))(some[1])
    return where(full.equal(0), 0.0, largest, input.dtype), Absent(
        "the places of the maxima that roi_pool found"
    )


_CHANNELS = Absent("the channels that a position-sensitive pooling read")


def _side(
    rois: Tensor, axis: int, scale: float, pooled: Dim, *, offset: float
) -> tuple[Tensor, Tensor, Dim]:
    """Where regions start along an axis and how long they are, both ``(K, 1, 1)``; their parts."""
    start, end = (select(rois, 1, a) * scale - offset for a in (axis, axis + 2))
    start, length = (Unsqueeze(axes=(1, 2))(x) for x in (start, end - start))
    return start, length, pooled


def _aligned_weights(start: Tensor, length: Tensor, pooled: Dim, size: Dim, ratio: int) -> Tensor:
    """What each part of a region reads of each element along an axis: ``(K, pooled, size)``."""
    net = start.network
    part = length / pooled
    places = iota(net, size).cast(DType.FLOAT32).reshape(1, 1, size, 1)
    first = start + part * iota(net, pooled).cast(DType.FLOAT32).reshape(1, pooled, 1)
    first, part = (Unsqueeze(axes=(3,))(x) for x in (first, part))
    if ratio > 0:
        steps = iota(net, ratio).cast(DType.FLOAT32).reshape(1, 1, 1, ratio)
        points = first + (steps + 0.5) * part / ratio
        return reduced(ReduceOperation.SUM, _weight(points, places, size), 3, False) / ratio
    # A point a step, at steps of a half to one: of those, only the ones around a place read it.
    count = Unary(op=UnaryOperation.CEIL)(part)
    step = part / maximum(count, 1.0)
    near = (places - 1 - first) / where(step.equal(0), 1.0, step) - 0.5
    begin = maximum(Unary(op=UnaryOperation.CEIL)(near), 0.0)
    steps = begin + iota(net, _NEIGHBOURS).cast(DType.FLOAT32).reshape(1, 1, 1, _NEIGHBOURS)
    read = where(steps < count, _weight(first + (steps + 0.5) * step, places, size), 0.0)
    return reduced(ReduceOperation.SUM, read / maximum(count, 1.0), 3, False)


def _weight(points: Tensor, places: Tensor, size: Dim) -> Tensor:
    """The bilinear weight of a place at a point, which may lie up to 1 outside of the image."""
    inside = minimum(maximum(points, 0.0), size - 1)
    distance = Unary(op=UnaryOperation.ABS)(inside - places)
    within = (points >= -1.0) & (points <= size)
    return where(within, maximum(1.0 - distance, 0.0), 0.0)


def _averaged(x: Tensor, rois: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``rows @ x @ columns`` of the region's image: ``(K, h, H), (K, w, W) -> (K, C, h, w)``."""
    batch, channels, height, width = x.shape
    regions, tall, _ = rows.shape
    rows = _of_image(rows, rois, batch).reshape(regions * tall, math.prod((batch, height)))
    flat = x.permute(0, 2, 1, 3).reshape(math.prod((batch, height)), channels * width)
    lines = (rows.cast(x.dtype) @ flat).reshape(regions, tall, channels, width)
    return lines.permute(0, 2, 1, 3) @ Unsqueeze(axes=(1,))(columns.permute(0, 2, 1)).cast(x.dtype)


def _of_own_channels(x: Tensor, rois: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The same with channels for each part: x has ``(C, h, w)`` of them, and so is the result."""
    batch, channels, height, width = x.shape
    regions, tall, _ = rows.shape
    wide = columns.shape[1]
    own = channels // (tall * wide)
    rows = _of_image(rows, rois, batch).permute(1, 0, 2, 3)
    rows = rows.reshape(tall, regions, math.prod((batch, height))).cast(x.dtype)
    parts = x.reshape(batch, own, tall, wide, height, width).permute(2, 0, 4, 1, 3, 5)
    parts = parts.reshape(tall, math.prod((batch, height)), own * wide * width)
    lines = (rows @ parts).reshape(tall, regions, own, wide, width)
    weights = columns.cast(x.dtype).reshape(1, regions, 1, wide, width)
    return reduced(ReduceOperation.SUM, lines * weights, 4, False).permute(1, 2, 0, 3)


def _of_image(rows: Tensor, rois: Tensor, batch: Dim) -> Tensor:
    """Weights of rows as weights of the rows of all images: ``(K, h, N, H)``, 0 in the others."""
    images = iota(rows.network, batch).cast(DType.FLOAT32).reshape(1, 1, batch, 1)
    own = images.equal(Unsqueeze(axes=(1, 2, 3))(select(rois, 1, 0)))
    return where(own, Unsqueeze(axes=(2,))(rows), 0.0)


def _members(
    rois: Tensor, axis: int, scale: float, pooled: Dim, size: Dim, *, last: int, both_ends: int = 0
) -> Tensor:
    """Which elements lie in each part of a region, along an axis: bool ``(K, pooled, size)``.

    ``last`` is the number of elements at the end that none has. ``both_ends`` is 1 where a region
    has its last element too.
    """
    net = rois.network
    start, end = (Unsqueeze(axes=(1, 2))(_rounded(select(rois, 1, a) * scale))
                  for a in (axis, axis + 2))  # fmt: skip
    part = maximum(end - start + both_ends, 1.0) / pooled
    bins = iota(net, pooled).cast(DType.FLOAT32).reshape(1, pooled, 1)
    begin = start + Unary(op=UnaryOperation.FLOOR)(bins * part)
    stop = minimum(start + Unary(op=UnaryOperation.CEIL)((bins + 1) * part), size - last)
    places = iota(net, size).cast(DType.FLOAT32).reshape(1, 1, size)
    return (places >= begin) & (places < stop)


def _rounded(x: Tensor) -> Tensor:
    """To the nearest whole number, halves away from 0, where TensorRT rounds them to even."""
    up = Unary(op=UnaryOperation.FLOOR)(Unary(op=UnaryOperation.ABS)(x) + 0.5)
    return where(x < 0, -up, up)
