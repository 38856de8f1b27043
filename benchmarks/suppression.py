"""``nms``: our non-maximum suppression against TensorRT's layer and its library's plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch

from benchmarks.base import Benchmark, Row, Target
from benchmarks.execution import Bare, on_gpu
from benchmarks.spread import Spread, in_turns
from trtdsl import plugins
from trtdsl.build import build
from trtdsl.ir.gather import Gather
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.layers import detection
from trtdsl.network import Network, Tensor
from trtdsl.plugins import suppression
from trtdsl.types import DType, TensorType

__all__ = ["BENCHMARK"]

_ROUNDS = 5
_OVERLAP = 0.5


def _boxes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``(N, 4)`` corners of boxes of which many overlap, and ``(N,)`` scores, all different."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(count, 2, generator=generator) * 300
    sizes = 40 + torch.rand(count, 2, generator=generator) * 80
    scores = (torch.randperm(count, generator=generator) + 1) / (count + 1)
    return torch.cat([corners, corners + sizes], 1), scores


def _ours(count: int, nms: Callable[..., Tensor]) -> Network:
    """The sum of the scores of what stays: a gather of as many as values decide."""
    net = Network()
    boxes, scores = net.input("boxes", (count, 4)), net.input("scores", (count,))
    kept = Gather(axis=0)(scores, nms(boxes, scores, _OVERLAP))
    net.output(Reduce(op=ReduceOperation.SUM, axes=(0,), keep_dimensions=True)(kept), "sum")
    return net


def _theirs(count: int) -> Network:
    plugin = plugins.creator(
        "EfficientNMS_TRT",
        outputs=(
            TensorType(DType.INT32, (1, 1)),
            TensorType(DType.FLOAT32, (1, count, 4)),
            TensorType(DType.FLOAT32, (1, count)),
            TensorType(DType.INT32, (1, count)),
        ),
        handles=(),
        score_threshold=0.0,
        iou_threshold=_OVERLAP,
        max_output_boxes=count,
        background_class=-1,
        score_activation=0,
        box_coding=0,
    )
    net = Network()
    boxes, scores = net.input("boxes", (count, 4)), net.input("scores", (count,))
    found, _, kept, _ = plugin.outputs(boxes.reshape(1, count, 4), scores.reshape(1, count, 1))
    net.output(kept, "kept")
    net.output(found, "count")
    return net


def run(case: str) -> Row:
    """Build both, hold what they keep against each other, and time them in turns on the GPU."""
    inputs = _boxes(int(case))
    stream = torch.cuda.Stream()
    networks = {
        "plugin": _ours(int(case), suppression.nms),
        "layer": _ours(int(case), detection.nms),
        "library": _theirs(int(case)),
    }
    bare = {way: Bare(build(network), inputs, stream) for way, network in networks.items()}
    scores, count = bare["library"].answers()
    for way in ("plugin", "layer"):
        (total,) = bare[way].answers()
        torch.testing.assert_close(total[0], scores[0, : int(count)].sum(), rtol=1e-4, atol=1e-4)
    readings = in_turns({way: on_gpu(b.run, stream) for way, b in bare.items()}, _ROUNDS)
    pairs = zip(readings["plugin"], readings["library"], strict=True)
    spreads = {way: asdict(Spread.of(samples)) for way, samples in readings.items()}
    ratio = asdict(Spread.of([ours / theirs for ours, theirs in pairs]))
    return {"case": case, "kept": int(count), **spreads, "ratio": ratio}


def _targets(rows: Sequence[Row]) -> list[Target]:
    return [
        Target(
            what=f"{row['case']} boxes: our plugin's time over that of TensorRT's",
            value=row["ratio"]["median"],
            limit=1.0,
        )
        for row in rows
    ]


BENCHMARK = Benchmark(
    run=run,
    cases=("1000", "4000"),
    columns={
        "boxes": lambda row: str(row["case"]),
        "kept": lambda row: str(row["kept"]),
        "our plugin us": lambda row: Spread(**row["plugin"]).text(1e-6, 1),
        "TensorRT's layer us": lambda row: Spread(**row["layer"]).text(1e-6, 1),
        "its plugin us": lambda row: Spread(**row["library"]).text(1e-6, 1),
        "ratio": lambda row: Spread(**row["ratio"]).text(1, 3),
    },
    targets=_targets,
)
