"""torchvision's operators where its own library does not load: schemas, and loops as kernels.

torchvision registers fake implementations of some on import, which fails where they do not exist:
with a build for CUDA on a machine without. The kernels here are the definitions, element by
element, and so slow; tests compare with them.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import warnings
from pathlib import Path
from typing import Any

import torch

SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height,"
    " SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
    "roi_pool": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height,"
    " SymInt pooled_width) -> (Tensor, Tensor)",
    "ps_roi_align": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height,"
    " SymInt pooled_width, int sampling_ratio) -> (Tensor, Tensor)",
    "ps_roi_pool": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height,"
    " SymInt pooled_width) -> (Tensor, Tensor)",
    "deform_conv2d": "(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias,"
    " SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h,"
    " SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask) -> Tensor",
}


def nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    boxes = dets.tolist()
    kept: list[int] = []
    for i in scores.sort(descending=True, stable=True).indices.tolist():
        if all(_overlap(boxes[i], boxes[k]) <= iou_threshold for k in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)


def _overlap(a: list[float], b: list[float]) -> float:
    sides = [max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0) for i in (0, 1)]
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    union = sum(areas) - sides[0] * sides[1]
    return sides[0] * sides[1] / union if union else 0.0  # two of no size stay, both


def _bilinear(plane: torch.Tensor, y: float, x: float) -> float:
    """An image at a point; up to 1 outside of it, its nearest edge."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, h = y - top, x - left
    upper = plane[top, left] * (1 - h) + plane[top, right] * h
    lower = plane[bottom, left] * (1 - h) + plane[bottom, right] * h
    return float(upper * (1 - v) + lower * v)


def _sampled(planes: Any, size: Any, roi: list[float], ratio: int) -> torch.Tensor:
    """``planes(h, w)`` sampled in each part of a region ``(y, x, height, width)``."""
    tall, wide = size
    y, x, height, width = roi
    counts = [ratio if ratio > 0 else math.ceil(s / n) for s, n in ((height, tall), (width, wide))]
    out = []
    for h in range(tall):
        for w in range(wide):
            ys = [y + height / tall * (h + (i + 0.5) / counts[0]) for i in range(counts[0])]
            xs = [x + width / wide * (w + (i + 0.5) / counts[1]) for i in range(counts[1])]
            for plane in planes(h, w):
                total = sum(_bilinear(plane, a, b) for a in ys for b in xs)
                out.append(total / max(counts[0] * counts[1], 1))
    return torch.tensor(out).reshape(tall, wide, -1).permute(2, 0, 1)


def roi_align(input, rois, scale, tall, wide, ratio, aligned):  # type: ignore[no-untyped-def]
    out = [torch.empty(0, input.shape[1], tall, wide)]
    for image, *corners in rois.tolist():
        x, y, right, bottom = (c * scale - 0.5 * aligned for c in corners)
        sides = [bottom - y, right - x] if aligned else [max(bottom - y, 1), max(right - x, 1)]
        channels = input[int(image)]
        out.append(_sampled(lambda h, w, c=channels: c, (tall, wide), [y, x, *sides], ratio)[None])
    return torch.cat(out)


def ps_roi_align(input, rois, scale, tall, wide, ratio):  # type: ignore[no-untyped-def]
    out = []
    for image, *corners in rois.tolist():
        x, y, right, bottom = (c * scale - 0.5 for c in corners)
        own = input[int(image)].reshape(-1, tall, wide, *input.shape[2:])
        size = (tall, wide)
        roi = [y, x, bottom - y, right - x]
        out.append(_sampled(lambda h, w, own=own: own[:, h, w], size, roi, ratio))
    return torch.stack(out), torch.zeros(len(rois), dtype=torch.int32)


def _parts(start: float, end: float, count: int, size: int) -> list[slice]:
    """The elements of each part of a region from ``start`` on, ``end - start`` long."""
    part = max(end - start, 1) / count
    edges = [
        (start + math.floor(i * part), start + math.ceil((i + 1) * part)) for i in range(count)
    ]
    return [slice(min(max(a, 0), size), min(max(b, 0), size)) for a, b in edges]


def _round(x: float) -> int:
    """Halves away from 0."""
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def roi_pool(input, rois, scale, tall, wide):  # type: ignore[no-untyped-def]
    out = torch.zeros(len(rois), input.shape[1], tall, wide)
    for k, (image, *corners) in enumerate(rois.tolist()):
        x, y, right, bottom = (_round(c * scale) for c in corners)
        for h, rows in enumerate(_parts(y, bottom + 1, tall, input.shape[2])):
            for w, columns in enumerate(_parts(x, right + 1, wide, input.shape[3])):
                part = input[int(image), :, rows, columns]
                if part.numel():
                    out[k, :, h, w] = part.amax((1, 2))
    return out, torch.zeros(len(rois), dtype=torch.int32)


def ps_roi_pool(input, rois, scale, tall, wide):  # type: ignore[no-untyped-def]
    out = torch.zeros(len(rois), input.shape[1] // (tall * wide), tall, wide)
    for k, (image, *corners) in enumerate(rois.tolist()):
        x, y, right, bottom = (_round(c * scale) for c in corners)
        own = input[int(image)].reshape(-1, tall, wide, *input.shape[2:])
        for h, rows in enumerate(_parts(y, bottom, tall, input.shape[2] - 1)):
            for w, columns in enumerate(_parts(x, right, wide, input.shape[3] - 1)):
                part = own[:, h, w, rows, columns]
                if part.numel():
                    out[k, :, h, w] = part.mean((1, 2))
    return out, torch.zeros(len(rois), dtype=torch.int32)


def _zero_outside(plane: torch.Tensor, y: float, x: float) -> float:
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                weight = (1 - abs(y - row)) * (1 - abs(x - column))
                total += weight * float(plane[row, column])
    return total


def deform_conv2d(  # type: ignore[no-untyped-def]
    input, weight, offset, mask, bias, sh, sw, ph, pw, dh, dw, groups, offset_groups, use_mask
):
    batch, channels = input.shape[:2]
    maps, depth, kh, kw = weight.shape
    tall, wide = offset.shape[2:]
    moves = offset.reshape(batch, offset_groups, kh, kw, 2, tall, wide)
    masks = mask.reshape(batch, offset_groups, kh, kw, tall, wide) if use_mask else None
    columns = torch.zeros(batch, channels, kh, kw, tall, wide)
    for n, c, i, j, h, w in torch.cartesian_prod(*map(torch.arange, columns.shape)).tolist():
        g = c * offset_groups // channels
        y = h * sh - ph + i * dh + float(moves[n, g, i, j, 0, h, w])
        x = w * sw - pw + j * dw + float(moves[n, g, i, j, 1, h, w])
        value = _zero_outside(input[n, c], y, x)
        columns[n, c, i, j, h, w] = value * (float(masks[n, g, i, j, h, w]) if use_mask else 1)
    columns = columns.reshape(batch, groups, depth, kh, kw, tall, wide)
    kernel = weight.reshape(groups, maps // groups, depth, kh, kw)
    y = torch.einsum("ngcijhw,gocij->ngohw", columns, kernel)
    return y.reshape(batch, maps, tall, wide) + bias.reshape(1, -1, 1, 1)


def _fakes() -> dict[str, Any]:
    def pooled(input: Any, rois: Any, scale: float, tall: Any, wide: Any, *_: Any) -> Any:
        return input.new_empty(rois.shape[0], input.shape[1], tall, wide)

    def two(input: Any, rois: Any, scale: float, tall: Any, wide: Any, *_: Any) -> Any:
        y = input.new_empty(rois.shape[0], input.shape[1], tall, wide)
        return y, y.int()

    def own(input: Any, rois: Any, scale: float, tall: Any, wide: Any, *_: Any) -> Any:
        y = input.new_empty(rois.shape[0], input.shape[1] // (tall * wide), tall, wide)
        return y, y.int()

    def convolved(input: Any, weight: Any, offset: Any, *_: Any) -> Any:
        return input.new_empty(input.shape[0], weight.shape[0], *offset.shape[2:])

    def kept(dets: Any, scores: Any, iou_threshold: float) -> Any:
        count = torch.library.get_ctx().new_dynamic_size()
        return dets.new_empty(count, dtype=torch.int64)

    fakes = {"roi_align": pooled, "roi_pool": two, "ps_roi_align": own, "ps_roi_pool": own}
    return {**fakes, "deform_conv2d": convolved, "nms": kept}


def _declare() -> torch.library.Library | None:
    spec = importlib.util.find_spec("torchvision")
    if spec is not None and spec.origin is not None:
        for path in Path(spec.origin).parent.glob("_C*.so"):
            try:
                torch.ops.load_library(path)
            except OSError:
                break
    if hasattr(torch.ops.torchvision, "nms"):
        importlib.import_module("torchvision")  # which registers what they are while exported
        return None
    library = torch.library.Library("torchvision", "DEF")
    for name, schema in SCHEMAS.items():
        library.define(name + schema)
    fakes = _fakes()
    if spec is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Failed to load image Python extension"
            importlib.import_module("torchvision")
        del fakes["nms"]  # which torchvision itself has just registered
    for name, fake in fakes.items():
        torch.library.register_fake(f"torchvision::{name}", fake, lib=library)
    for name in _fakes():
        library.impl(name, globals()[name], "CPU")
    return library


LIBRARY = _declare()
"""None where torchvision has its own operators. Its schemas go when it does."""
