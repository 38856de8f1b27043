"""The table of the shipped plugins: plugins with inputs, and sizes that may vary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from tests.cases.base import f32, i32, i64
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Network
from trtdsl.plugins.correlation import Correlation
from trtdsl.plugins.deformable import DeformableColumns
from trtdsl.plugins.deformable_attention import DeformableAttention
from trtdsl.plugins.fft import FFT, IRFFT, RFFT
from trtdsl.plugins.flash_attention import FlashAttention
from trtdsl.plugins.gelu import Gelu
from trtdsl.plugins.grid_sample_3d import GridSample3d
from trtdsl.plugins.layer_norm import LayerNorm
from trtdsl.plugins.roi_align import RoIAlign
from trtdsl.plugins.running_extreme import RunningExtreme
from trtdsl.plugins.scatter_reduce import ScatterReduce
from trtdsl.plugins.search_sorted import SearchSorted
from trtdsl.plugins.suppression import Suppression
from trtdsl.types import DType

HALF = 2e-3
"""A rounding to float16, of the largest magnitude."""


@dataclass(frozen=True)
class PluginCase:
    """A plugin and inputs; ``dynamic`` names axes that are symbolic: ``{(0, 2): "h"}``.

    ``tolerance`` is the largest absolute difference over the largest expected magnitude; integers
    are exact.
    """

    plugin: Plugin
    inputs: tuple[torch.Tensor, ...]
    dynamic: Mapping[tuple[int, int], str] = field(default_factory=dict)
    tolerance: float = 2e-6
    half: bool = True
    """Whether it is tried in float16 too."""

    def __str__(self) -> str:
        shapes = "-".join("x".join(map(str, x.shape)) for x in self.inputs)
        kinds = {str(x.dtype).removeprefix("torch.") for x in self.inputs}
        return f"{self.plugin}-{shapes}-{'-'.join(sorted(kinds))}"

    def grown(self, by: int) -> tuple[torch.Tensor, ...]:
        """The inputs with every dynamic axis longer by so much: their beginnings follow again."""
        inputs = list(self.inputs)
        for i, axis in self.dynamic:
            size = inputs[i].shape[axis]
            inputs[i] = inputs[i].index_select(axis, torch.arange(size + by) % size)
        return tuple(inputs)

    def network(self, *, dynamic: bool = False, number: int = 0) -> Network:
        """The plugin alone; the names of sizes and tensors end in a number."""
        net = Network(f"plugin_{number}")
        names = sorted(set(self.dynamic.values())) if dynamic else []
        dims = {name: net.dim(f"{name}_{number}", min=1, opt=4, max=64) for name in names}
        inputs = []
        for i, x in enumerate(self.inputs):
            sizes = enumerate(x.shape)
            shape = [dims.get(self.dynamic.get((i, axis), ""), size) for axis, size in sizes]
            inputs.append(net.input(f"x{i}", shape, DType.of(x.dtype)))
        for i, y in enumerate(self.plugin.outputs(*inputs)):
            net.output(y, f"y{i}")
        return net

    def in_half(self) -> PluginCase:
        halves = tuple(x.half() if x.is_floating_point() else x for x in self.inputs)
        return replace(self, inputs=halves, tolerance=HALF)


def _deformable() -> Iterator[PluginCase]:
    x = f32(2, 12, 7, 9)
    places = (7, 9)
    dynamic = {(0, 0): "n", (1, 0): "n"}
    plugin = DeformableColumns(window=(3, 3), padding=(1, 1))
    yield PluginCase(plugin, (x, 2 * f32(2, 18, *places)), dynamic)
    mask = f32(2, 18, *places, low=0.0)
    plugin = DeformableColumns(window=(3, 3), padding=(1, 1), offset_groups=2)
    yield PluginCase(plugin, (x, 3 * f32(2, 36, *places), mask), {**dynamic, (2, 0): "n"})
    plugin = DeformableColumns(
        window=(2, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2), offset_groups=4
    )
    yield PluginCase(plugin, (x, f32(2, 48, 3, 9), f32(2, 24, 3, 9)))
    plugin = DeformableColumns(window=(1, 1))
    yield PluginCase(plugin, (f32(1, 10, 4, 4), torch.zeros(1, 2, 4, 4)))


def regions(count: int, images: int, size: float) -> torch.Tensor:
    """Some within an image, some beyond it, one of no extent."""
    corners = f32(count, 2, low=-0.2 * size, high=size)
    sides = f32(count, 2, seed=1, low=0.0, high=size)
    sides[0] = 0
    number = i64(count, 1, low=0, high=images).float()
    # Whole eighths, so that a float16 of them is the same, and so are the numbers of points.
    return (torch.cat([number, corners, corners + sides], 1) * 8).round() / 8


def _roi_align() -> Iterator[PluginCase]:
    x, rois = f32(2, 5, 11, 13), regions(9, 2, 12.0)
    dynamic = {(0, 0): "n", (1, 0): "k"}
    for aligned in (False, True):
        for ratio in (2, -1):
            plugin = RoIAlign(pooled=(3, 4), sampling_ratio=ratio, aligned=aligned)
            yield PluginCase(plugin, (x, rois), dynamic if ratio < 0 else {})
    plugin = RoIAlign(pooled=(7, 7), spatial_scale=0.25, sampling_ratio=0, aligned=True)
    yield PluginCase(plugin, (x, regions(4, 2, 40.0)))
    outside = rois.clone()
    outside[:, 0] = torch.tensor([-1.0, 2, 0, 1, 7, 1, 0, 0, 1])
    yield PluginCase(RoIAlign(pooled=(2, 2)), (x, outside))


def _grid_sample() -> Iterator[PluginCase]:
    x = f32(2, 9, 4, 5, 6)
    grid = 1.4 * f32(2, 3, 4, 5, 3, low=-1.0)
    dynamic = {(0, 0): "n", (1, 0): "n", (1, 3): "w"}
    for padding in ("zeros", "border", "reflection"):
        for mode in ("bilinear", "nearest"):
            for corners in (False, True):
                plugin = GridSample3d(mode=mode, padding_mode=padding, align_corners=corners)
                yield PluginCase(plugin, (x, grid), {} if corners else dynamic, tolerance=1e-5)
    far = grid.clone()
    far[0, 0, 0, 0] = torch.tensor([50.0, -3.0, 7.5])
    yield PluginCase(GridSample3d(padding_mode="reflection"), (x, far), tolerance=1e-4, half=False)
    far = far.clone()
    far[1, 0, 0, 0] = torch.tensor([float("nan"), float("inf"), 1e20])
    yield PluginCase(GridSample3d(), (x, far), tolerance=1e-5, half=False)
    yield PluginCase(GridSample3d(), (f32(1, 1, 1, 1, 1), f32(1, 2, 2, 2, 3)))
    plugin = GridSample3d(padding_mode="reflection", align_corners=True)
    yield PluginCase(plugin, (f32(1, 2, 1, 3, 1), f32(1, 2, 2, 2, 3)), tolerance=1e-5)


def _extremes() -> Iterator[PluginCase]:
    rough = i64(3, 50, 4, low=-5, high=6)
    holes = rough.float()
    holes[1, 20, 2] = holes[2, 17, 1] = float("nan")
    for largest in (True, False):
        plugin = RunningExtreme(axis=1, largest=largest)
        yield PluginCase(plugin, (holes,), {(0, 0): "a", (0, 1): "b"})
        yield PluginCase(plugin, (rough,))
        yield PluginCase(plugin, (rough.int(),))
    yield PluginCase(RunningExtreme(axis=0), (f32(1000),))
    yield PluginCase(RunningExtreme(axis=2), (f32(2, 3, 1),))


def _searches() -> Iterator[PluginCase]:
    edges = torch.tensor([-2.0, -1, -1, 0, 0, 0, 1, 2.5])
    values = (f32(3, 5) * 4).round() / 2
    values[0, 0], values[1, 1] = float("nan"), float("inf")
    several = i64(4, 6).sort().values
    for right in (False, True):
        for narrow in (False, True):
            plugin = SearchSorted(right=right, narrow=narrow)
            yield PluginCase(plugin, (edges, values), {(1, 0): "rows"})
        plugin = SearchSorted(right=right)
        yield PluginCase(plugin, (several, i64(4, 9)), {(0, 0): "a", (1, 0): "a", (1, 1): "m"})
        yield PluginCase(plugin, (several.int(), i32(4, 3)))
    yield PluginCase(SearchSorted(), (f32(1), f32(2, 2, 2)))


_SUPPRESSED = ((7, 0.5), (64, 0.3), (65, 0.0), (300, 0.4), (300, 1.0), (4096 + 70, 0.6))
"""Counts of boxes, in one and two words and tiles, and thresholds."""


def _suppressions() -> Iterator[PluginCase]:
    def boxes(count: int) -> torch.Tensor:
        corner = f32(count, 2, low=0.0, high=30.0 if count < 4096 else 200.0)
        return torch.cat([corner, corner + f32(count, 2, low=0.0, high=12.0, seed=1)], 1)

    for count, threshold in _SUPPRESSED:
        scores = f32(count, low=0.0).round(decimals=1)  # many of them equal
        inputs = boxes(count), scores
        dynamic = {(0, 0): "n", (1, 0): "n"} if count < 60 else {}
        yield PluginCase(Suppression(iou_threshold=threshold), inputs, dynamic, half=False)
    odd = f32(130)
    odd[5], odd[70], odd[9], odd[100] = float("nan"), float("nan"), float("inf"), -float("inf")
    flat = boxes(130)
    flat[40:60, 2:] = flat[40:60, :2]  # of no size: 0 / 0 is not above any threshold
    yield PluginCase(Suppression(iou_threshold=0.2), (flat, odd), half=False)


def _scatters() -> Iterator[PluginCase]:
    index = i64(2, 11, 3, low=0, high=5)
    x, updates = f32(2, 5, 3), f32(2, 11, 3)
    integers = i64(2, 5, 3), i64(2, 11, 3)
    dynamic = {(0, 0): "a", (1, 0): "a", (2, 0): "a", (1, 1): "m", (2, 1): "m"}
    for reduction in ("sum", "prod", "mean", "amax", "amin"):
        for own in (True, False):
            plugin = ScatterReduce(axis=1, reduction=reduction, include_self=own)
            yield PluginCase(plugin, (x, index, updates), dynamic if own else {})
            yield PluginCase(plugin, (integers[0], index, integers[1]))
            yield PluginCase(plugin, (integers[0].int(), index.int(), integers[1].int()))
    holes = updates.clone()
    holes[0, 3, 1] = float("nan")
    for reduction in ("amax", "amin"):
        yield PluginCase(ScatterReduce(axis=1, reduction=reduction), (x, index, holes))
    yield PluginCase(ScatterReduce(axis=1), (x, i64(2, 11, 3, low=-2, high=8), updates))
    yield PluginCase(
        ScatterReduce(axis=0), (torch.zeros(40000), i64(50, low=0, high=40000), f32(50))
    )


def _attention() -> Iterator[PluginCase]:
    sizes = torch.tensor([[5, 7], [3, 4], [1, 2]])
    length = 35 + 12 + 2
    value = f32(2, length, 4, 6)
    places = f32(2, 8, 4, 3, 2, 2, low=-0.2, high=1.2)
    weights = f32(2, 8, 4, 3, 2, low=0.0)
    dynamic = {(0, 0): "n", (2, 0): "n", (3, 0): "n", (2, 1): "q", (3, 1): "q"}
    yield PluginCase(DeformableAttention(), (value, sizes, places, weights), dynamic)
    one = value[:, :35], sizes[:1].int(), places[:, :, :, :1], weights[:, :, :, :1]
    yield PluginCase(DeformableAttention(), tuple(x.contiguous() for x in one))


def _flash() -> Iterator[PluginCase]:
    """Lengths and heads that fill no tile; each kind of strides, masks and orders."""

    def rows(*shape: int, seed: int = 0) -> torch.Tensor:
        return f32(*shape, seed=seed).half()

    def layer(heads: int, groups: int, size: int, **more: Any) -> FlashAttention:
        given = {"stride": (size,) * 3, "scale": 1.5 * size**-0.5, **more}
        return FlashAttention(heads=heads, groups=groups, size=size, **given)

    one = rows(2, 21, 3 * 2 * 24)
    places = {(i, axis): name for i in range(3) for axis, name in enumerate(("b", "n"))}
    packed = layer(2, 2, 24, first=(0, 48, 96))
    yield PluginCase(packed, (one, one, one), places, HALF, half=False)
    interleaved = layer(2, 2, 40, first=(0, 40, 80), stride=(120,) * 3, causal=True)
    long = rows(1, 70, 3 * 2 * 40)
    yield PluginCase(interleaved, (long, long, long), {}, HALF, half=False)
    query, key = rows(19, 2, 4 * 32), rows(41, 2, 2 * 32 + 8)
    turned = layer(4, 2, 32, first=(0, 8, 8), sequence_first=True)
    lengths = {(0, 0): "l", (0, 1): "b", (1, 0): "s", (1, 1): "b", (2, 0): "s", (2, 1): "b"}
    yield PluginCase(turned, (query, key, key.flip(0)), lengths, HALF, half=False)
    whole = (rows(2, 2, 18, 128), rows(2, 1, 37, 128, seed=1), rows(2, 37, 128, seed=2))
    for mask, attending in (((2, 1, 1, 37), (2, 1, 1, 1)), ((1, 2, 18, 37), (1, 1, 18, 1))):
        hidden = torch.where(f32(*mask) > 0.5, -32752.0, f32(*mask, seed=1)).half()
        attends = (f32(*attending, seed=3) > -0.3).half()
        yield PluginCase(layer(2, 1, 128), (*whole, hidden), {}, HALF, half=False)
        biased = layer(2, 1, 128, biased=True), (*whole, rows(384), hidden, attends)
        yield PluginCase(*biased, {}, HALF, half=False)
    matrix = layer(2, 2, 48, first=(0, 96, 192), lengths=(53,) * 3, biased=True)
    bias = rows(4 * 48, seed=4)
    yield PluginCase(matrix, (*[rows(2 * 53, 288)] * 3, bias), {}, HALF, half=False)
    for causal in (False, True):  # long enough for two times 16 queries a warp
        paired = layer(1, 1, 56, lengths=(150,) * 3, biased=True, causal=causal)
        given = [rows(150, 56, seed=i) for i in range(3)]
        yield PluginCase(paired, (*given, rows(112)), {}, HALF, half=False)
    turned = layer(2, 1, 80, lengths=(17, 40, 40), sequence_first=True)
    given = rows(17 * 3, 160), rows(40 * 3, 80), rows(40 * 3, 80, seed=1)
    yield PluginCase(turned, given, {}, HALF, half=False)
    single = rows(3, 1, 16), rows(3, 33, 16), rows(3, 33, 16, seed=1)
    yield PluginCase(layer(1, 1, 16), single, {}, HALF, half=False)


def _norms() -> Iterator[PluginCase]:
    """Rows that a warp, four and eight hold, wholly and not; alone, and as a sum."""
    for width in (768, 40, 1032, 4104):
        one = {(0, 0): "n", (0, 1): "m"}
        both = {**one, (3, 0): "n", (3, 1): "m"}
        rows, sums = (one, both) if width < 1000 else ({}, {})  # a thread each makes many slow
        x, other = (f32(2, 3, width, seed=i).half() for i in range(2))
        scale, bias, offset = (f32(1, 1, width, seed=i, low=0.3).half() for i in range(2, 5))
        yield PluginCase(LayerNorm(width=width), (x, scale, bias), rows, HALF, half=False)
        kept = LayerNorm(width=width, summed=True, keeps_sum=True)
        yield PluginCase(kept, (x, scale, bias, other), sums, HALF, half=False)
        whole = LayerNorm(width=width, epsilon=0.5, summed=True, offset=True, keeps_sum=True)
        yield PluginCase(whole, (x, scale, bias, other, offset), sums, HALF, half=False)
    matrix = tuple(f32(n, 64, seed=n).half() for n in (5, 1, 1, 5, 1))
    layer = LayerNorm(width=64, summed=True, offset=True)
    yield PluginCase(layer, matrix, {(0, 0): "n", (3, 0): "n"}, HALF, half=False)


def _gelus() -> Iterator[PluginCase]:
    x = 3 * f32(3, 37, 56)
    rows = {(0, 0): "n", (0, 1): "m"}
    yield PluginCase(Gelu(), (x.half(),), rows, HALF, half=False)
    yield PluginCase(Gelu(), (x.half(), f32(1, 1, 56, seed=1).half()), rows, HALF, half=False)
    yield PluginCase(Gelu(), (x[0].half(), f32(1, 56, seed=1).half()), {}, HALF, half=False)


def _correlations() -> Iterator[PluginCase]:
    x, other = f32(2, 6, 7, 8), f32(2, 6, 7, 8, seed=1)
    dynamic = {(0, 0): "n", (1, 0): "n", (0, 3): "w", (1, 3): "w"}
    flownet = Correlation(padding=4, max_displacement=4, step=2)
    yield PluginCase(flownet, (x, other), dynamic)
    yield PluginCase(Correlation(padding=3, max_displacement=2, stride=2), (x, other), dynamic)
    yield PluginCase(Correlation(padding=0, max_displacement=3), (x, other))
    yield PluginCase(Correlation(padding=0, max_displacement=0), (x, other))
    yield PluginCase(Correlation(padding=2, max_displacement=3, step=2), (x, other))


def _transforms() -> Iterator[PluginCase]:
    for n in (1, 2, 8, 12, 64, 97, 210, 1024):
        tolerance = 3e-6
        rows = {(0, 0): "rows"}
        for inverse in (False, True):
            plugin = FFT(inverse=inverse, scale=1 / n if inverse else 1.0)
            yield PluginCase(plugin, (f32(3, n, 2),), rows, tolerance, half=False)
        yield PluginCase(RFFT(scale=0.5), (f32(2, n),), rows, tolerance, half=False)
        half = (f32(2, n // 2 + 1, 2),)
        yield PluginCase(IRFFT(n=n, scale=1 / n), half, rows, tolerance, half=False)
    lengths = {(0, 0): "rows", (0, 1): "n"}
    yield PluginCase(FFT(), (f32(4, 30, 2),), lengths, 3e-6, half=False)


_SINGLE = [
    *_deformable(),
    *_roi_align(),
    *_grid_sample(),
    *_extremes(),
    *_searches(),
    *_suppressions(),
    *_scatters(),
    *_attention(),
    *_flash(),
    *_norms(),
    *_gelus(),
    *_correlations(),
    *_transforms(),
]
CASES = [
    *_SINGLE,
    *(c.in_half() for c in _SINGLE if c.half and any(x.is_floating_point() for x in c.inputs)),
]
