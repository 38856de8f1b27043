"""``plugins``: operators as shipped plugins against the same out of TensorRT's own layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

from benchmarks.base import Benchmark, Row, Target
from benchmarks.execution import Bare, on_gpu
from benchmarks.spread import Spread, in_turns
from trtdsl.build import build
from trtdsl.layers import counting, deformable, detection, sampling, scan, scatter
from trtdsl.network import Network
from trtdsl.plugins import deformable as deformable_plugin
from trtdsl.plugins import (
    fourier,
    grid_sample_3d,
    roi_align,
    running_extreme,
    scatter_reduce,
    search_sorted,
)
from trtdsl.registry import find
from trtdsl.types import DType

__all__ = ["BENCHMARK"]

_ROUNDS = 5
_Function = Callable[..., Any]
_Pair = tuple[_Function, _Function, tuple[torch.Tensor, ...]]


def _regions(count: int) -> torch.Tensor:
    corners = torch.rand(count, 2) * 600
    return torch.cat([torch.zeros(count, 1), corners, corners + 20 + torch.rand(count, 2) * 300], 1)


def _deformed(convolution: _Function, *inputs: Any) -> Any:
    return convolution(*inputs, 1, 1, 1, 1, 1, 1, 1, 1, True)


def _spectrum(transform: _Function, x: Any) -> Any:
    return transform(x).real


def _made(case: str) -> _Pair:
    """An operator of layers, of a plugin, and its inputs, about as large as models have them."""
    torch.manual_seed(0)
    rest: Any
    match case:
        case "deform_conv2d":
            image = (torch.randn(4, 256, 50, 50), torch.randn(256, 256, 3, 3) / 48)
            moves = (torch.randn(4, 18, 50, 50), torch.rand(4, 9, 50, 50), torch.zeros(256))
            pair = deformable.deform_conv2d, deformable_plugin.deform_conv2d
            return *(partial(_deformed, f) for f in pair), (*image, *moves)
        case "roi_align":
            rest = 0.0625, 7, 7, 2, True
            pair = detection.roi_align, roi_align.roi_align
            inputs = torch.randn(1, 256, 50, 68), _regions(1000)
        case "grid_sample_3d":
            rest = 0, 0, False
            pair = sampling.grid_sampler, grid_sample_3d.grid_sampler
            inputs = torch.randn(1, 32, 64, 64, 64), torch.rand(1, 64, 64, 64, 3) * 2 - 1
        case "cummax":
            rest = (-1,)
            pair, inputs = (scan.cummax, running_extreme.cummax), (torch.randn(256, 4096),)
        case "searchsorted":
            rest = ()
            pair = counting.searchsorted, search_sorted.searchsorted
            inputs = torch.randn(1000).sort().values, torch.randn(10000)
        case "scatter_add":
            index = torch.randint(0, 500, (2000, 1)).expand(2000, 64).contiguous()
            return (
                lambda x, i, src: scatter.scatter_add(x, 0, i, src),
                lambda x, i, src: scatter_reduce.scatter_add(x, 0, i, src),
                (torch.zeros(500, 64), index, torch.randn(2000, 64)),
            )
        case "rfft":
            rest = ()
            by_products = find(torch.ops.aten.fft_rfft.default, complex=True)
            assert by_products is not None
            pair = partial(_spectrum, by_products.function), partial(_spectrum, fourier.rfft)
            inputs = (torch.randn(512, 4096),)
        case _:
            raise ValueError(f"no case {case!r}")
    return *(lambda *x, f=f: f(*x, *rest) for f in pair), inputs


def _network(function: _Function, inputs: Sequence[torch.Tensor]) -> Network:
    net = Network()
    given = [net.input(f"x{i}", x.shape, DType.of(x.dtype)) for i, x in enumerate(inputs)]
    answer = function(*given)
    net.output(answer[0] if isinstance(answer, tuple) else answer, "y")
    return net


def run(case: str) -> Row:
    """Build both, hold one against the other, and time them in turns on the GPU."""
    *functions, inputs = _made(case)
    stream = torch.cuda.Stream()
    ways = ("layers", "plugin")
    engines = [build(_network(f, inputs)) for f in functions]
    bare = {way: Bare(engine, inputs, stream) for way, engine in zip(ways, engines, strict=True)}
    answers = [b.answers()[0].double() for b in bare.values()]
    difference = (answers[0] - answers[1]).abs().max() / answers[0].abs().max()
    variants: dict[str, Callable[[], Any]] = {way: b.run for way, b in bare.items()}
    if case == "deform_conv2d":
        variants["torchvision"] = _by_torchvision(bare["plugin"].inputs, answers[1])
    readings = in_turns({way: on_gpu(queue, stream) for way, queue in variants.items()}, _ROUNDS)
    row: Row = {"case": case, "relative_difference": float(difference)}
    for ratio, other in (("ratio", "layers"), ("over torchvision", "torchvision")):
        if other in readings:
            pairs = zip(readings["plugin"], readings[other], strict=True)
            row[ratio] = asdict(Spread.of([plugin / theirs for plugin, theirs in pairs]))
    for way, b in bare.items():
        memory = b.trt_engine.device_memory_size
        row[way] = asdict(Spread.of(readings[way])) | {"memory_bytes": memory}
    return row


def _by_torchvision(inputs: Sequence[torch.Tensor], expected: torch.Tensor) -> Callable[[], Any]:
    """torchvision's CUDA kernels: as of TensorRT's library, columns and a product by cuBLAS.

    TensorRT's ModulatedDeformConv2d itself needs a cuBLAS that not every machine has.
    """
    from torchvision.ops import deform_conv2d

    x, weight, offset, mask, bias = inputs
    torch.backends.cuda.matmul.allow_tf32 = False

    def call() -> Any:
        return deform_conv2d(x, offset, weight, bias, padding=1, mask=mask)

    torch.testing.assert_close(call().double(), expected, rtol=1e-3, atol=1e-3)
    return call


def _spread(row: Row, key: str) -> Spread:
    names = Spread.__dataclass_fields__
    return Spread(**{name: row[key][name] for name in names})


def _targets(rows: Sequence[Row]) -> list[Target]:
    others = {"ratio": "TensorRT's layers", "over torchvision": "torchvision's kernels"}
    return [
        Target(
            what=f"{row['case']}: a plugin's time over that of {other}",
            value=row[ratio]["median"],
            limit=1.0,
        )
        for row in rows
        for ratio, other in others.items()
        if ratio in row
    ]


BENCHMARK = Benchmark(
    run=run,
    cases=(
        "deform_conv2d",
        "roi_align",
        "grid_sample_3d",
        "cummax",
        "searchsorted",
        "scatter_add",
        "rfft",
    ),
    columns={
        "case": lambda row: str(row["case"]),
        "layers us": lambda row: _spread(row, "layers").text(1e-6, 1),
        "plugin us": lambda row: _spread(row, "plugin").text(1e-6, 1),
        "ratio": lambda row: _spread(row, "ratio").text(1, 3),
        "layers MiB": lambda row: f"{row['layers']['memory_bytes'] / 2**20:.1f}",
        "plugin MiB": lambda row: f"{row['plugin']['memory_bytes'] / 2**20:.1f}",
        "difference": lambda row: f"{row['relative_difference']:.1e}",
    },
    targets=_targets,
)
