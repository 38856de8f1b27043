"""``plugins``: operators as shipped plugins against the same out of TensorRT's own layers.

Deformable convolution also against the plugin that TensorRT's library has for it; and, when named
as ``plugins:vit_base_patch16_224@32``, a model in fp16 with attention, norms and GELUs by TensorRT
and by ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

import trtdsl
from benchmarks import prepared
from benchmarks.base import Benchmark, Row, Target
from benchmarks.execution import Bare, on_gpu
from benchmarks.models import Case
from benchmarks.spread import Spread, in_turns
from trtdsl import plugins
from trtdsl.build import build
from trtdsl.layers import activation as activation_layers
from trtdsl.layers import attention as attention_layers
from trtdsl.layers import counting, deformable, detection, joining, sampling, scan, scatter
from trtdsl.layers import linear as linear_layers
from trtdsl.layers import normalization as norm_layers
from trtdsl.network import Network, Tensor
from trtdsl.plugins import attention as attention_plugin
from trtdsl.plugins import deformable as deformable_plugin
from trtdsl.plugins import (
    fourier,
    grid_sample_3d,
    roi_align,
    running_extreme,
    scatter_reduce,
    search_sorted,
)
from trtdsl.plugins import gelu as gelu_plugin
from trtdsl.plugins import linear as linear_plugin
from trtdsl.plugins import normalization as norm_plugin
from trtdsl.registry import converter, find
from trtdsl.tree import flatten
from trtdsl.types import DType, TensorType

__all__ = ["BENCHMARK"]

_ROUNDS = 5
_OF_MODELS = attention_plugin, gelu_plugin, linear_plugin, norm_plugin
_RATIOS = {"layers": "ratio", "library": "over the library's"}
_Function = Callable[..., Any]
_Pair = tuple[_Function, _Function, tuple[torch.Tensor, ...]]


def _regions(count: int) -> torch.Tensor:
    corners = torch.rand(count, 2) * 600
    return torch.cat([torch.zeros(count, 1), corners, corners + 20 + torch.rand(count, 2) * 300], 1)


def _deformed(convolution: _Function, *inputs: Any) -> Any:
    return convolution(*inputs, 1, 1, 1, 1, 1, 1, 1, 1, True)


def _spectrum(transform: _Function, x: Any) -> Any:
    return transform(x).real


def _normed(norm: _Function, x: Tensor, other: Tensor) -> Tensor:
    width = x.shape[-1]
    weights = (x.network.constant(torch.linspace(i, 2, width).half()) for i in (1, 0))
    y: Tensor = norm(x + other, (width,), *weights)
    return y


def _multiplied(linear: _Function, x: Tensor) -> Tensor:
    """A linear layer of a transformer to four times its width, and GELU."""
    width = x.shape[-1]
    weight = torch.randn(4 * width, width, generator=torch.Generator().manual_seed(1))
    weights = (x.network.constant(t.half()) for t in (weight / width**0.5, weight[:, 0]))
    y: Tensor = activation_layers.gelu(linear(x, *weights))
    return y


def _attended(attend: _Function, x: Tensor) -> Tensor:
    """Attention of heads of 64 that one product gave: ``(B, L, 3 * heads * 64)``."""
    batch, length, width = x.shape
    split = (batch, length, width // 192, 64)
    parts = (y.reshape(*split).permute(0, 2, 1, 3) for y in joining.split(x, width // 3, 2))
    y: Tensor = attend(*parts)
    return y.permute(0, 2, 1, 3).reshape(batch, length, width // 3)


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
            return _of_transformers(case)
    return *(lambda *x, f=f: f(*x, *rest) for f in pair), inputs


def _of_transformers(case: str) -> _Pair:
    """As ``_made``, in float16: what the plugins are for that a whole model is built with."""
    ways: tuple[Any, Any]
    torch.manual_seed(0)
    match case:
        case "attention" | "long_attention":
            shape = (32, 197, 3 * 12 * 64) if case == "attention" else (4, 2048, 3 * 16 * 64)
            ways = attention_layers, attention_plugin
            both = [partial(_attended, way.scaled_dot_product_attention) for way in ways]
            return both[0], both[1], (torch.randn(shape).half(),)
        case "layer_norm":
            both = [partial(_normed, way.layer_norm) for way in (norm_layers, norm_plugin)]
            return both[0], both[1], tuple(torch.randn(2, 32 * 197, 768).half())
        case "linear":
            both = [partial(_multiplied, way.linear) for way in (linear_layers, linear_plugin)]
            return both[0], both[1], (torch.randn(6304, 768).half(),)
        case "gelu":
            return activation_layers.gelu, gelu_plugin.gelu, (torch.randn(6304, 3072).half(),)
        case _:
            raise ValueError(f"no case {case!r}")


def _network(function: _Function, inputs: Sequence[torch.Tensor]) -> Network:
    net = Network()
    given = [net.input(f"x{i}", x.shape, DType.of(x.dtype)) for i, x in enumerate(inputs)]
    answer = function(*given)
    net.output(answer[0] if isinstance(answer, tuple) else answer, "y")
    return net


@contextmanager
def _preferred() -> Iterator[None]:
    """The operators of models by our plugins, within the block."""
    operators = [operator for module in _OF_MODELS for operator in module.CONVERTERS]
    before = {operator: find(operator) for operator in operators}
    try:
        plugins.prefer(*(module.__name__.rpartition(".")[2] for module in _OF_MODELS))
        yield
    finally:
        for operator, found in before.items():
            assert found is not None
            converter(operator, override=True)(found.function)


def _networks(case: str) -> tuple[dict[str, Network], Sequence[torch.Tensor]]:
    """An operator both ways; or a model of the tests' tables, in fp16, its operators both ways."""
    if "@" not in case:
        *functions, inputs = _made(case)
        ways = zip(("layers", "plugin"), functions, strict=True)
        return {way: _network(f, inputs) for way, f in ways}, inputs
    made = prepared.example(Case.parse(case))
    args, kwargs = made.calls[0]
    networks = {"layers": trtdsl.trace(made.model, args, kwargs, precision="fp16")}
    with _preferred():
        networks["plugin"] = trtdsl.trace(made.model, args, kwargs, precision="fp16")
    return networks, list(flatten((args, dict(kwargs)))[0])


def _of_the_library(inputs: Sequence[torch.Tensor]) -> Network:
    """Deformable convolution by the plugin of TensorRT's library, which wants cuBLAS."""
    plugin = plugins.creator(
        "ModulatedDeformConv2d",
        outputs=lambda x, offset, mask, weight, bias: TensorType(
            x.dtype, (x.shape[0], weight.shape[0], *offset.shape[2:])
        ),
        handles=("cublas",),
        stride=[1, 1],
        padding=[1, 1],
        dilation=[1, 1],
        group=1,
        deformable_group=1,
    )
    net = Network()
    x, weight, offset, mask, bias = (
        net.input(f"x{i}", given.shape, DType.of(given.dtype)) for i, given in enumerate(inputs)
    )
    net.output(plugin(x, offset, mask, weight, bias), "y")
    return net


def run(case: str) -> Row:
    """Build all, hold one against the other, and time them in turns on the GPU."""
    networks, inputs = _networks(case)
    stream = torch.cuda.Stream()
    if case == "deform_conv2d":
        networks["library"] = _of_the_library(inputs)
    bare = {way: Bare(build(network), inputs, stream) for way, network in networks.items()}
    ours = bare["plugin"].answers()[0].double()
    others = {way: b.answers()[0].double() for way, b in bare.items() if way != "plugin"}
    differences = [(ours - y).abs().max() / y.abs().max() for y in others.values()]
    readings = in_turns({way: on_gpu(b.run, stream) for way, b in bare.items()}, _ROUNDS)
    row: Row = {"case": case, "relative_difference": float(max(differences))}
    for way in others:
        pairs = zip(readings["plugin"], readings[way], strict=True)
        row[_RATIOS[way]] = asdict(Spread.of([plugin / theirs for plugin, theirs in pairs]))
    for way, b in bare.items():
        memory = b.trt_engine.device_memory_size
        row[way] = asdict(Spread.of(readings[way])) | {"memory_bytes": memory}
    return row


def _spread(row: Row, key: str) -> Spread:
    names = Spread.__dataclass_fields__
    return Spread(**{name: row[key][name] for name in names})


def _targets(rows: Sequence[Row]) -> list[Target]:
    others = {"layers": "TensorRT's layers", "library": "TensorRT's own plugin"}
    return [
        Target(
            what=f"{row['case']}: a plugin's time over that of {other}",
            value=row[_RATIOS[way]]["median"],
            limit=1.0,
        )
        for row in rows
        for way, other in others.items()
        if way in row
    ]


BENCHMARK = Benchmark(
    run=run,
    cases=(
        "attention",
        "long_attention",
        "layer_norm",
        "gelu",
        "linear",
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
