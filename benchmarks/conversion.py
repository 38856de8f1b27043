"""``conversion``: module to TensorRT network, by us and by ONNX; ``conversion_cpu``: halfway.

Both start at the module and end where ``build_serialized_network`` would begin; TensorRT's builder
is made before. The batch counts for the ONNX export alone, which computes what it traces: cases are
measured at the batch of ``latency`` and at one.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import nn

import trtdsl
from benchmarks.base import Benchmark, Row, Target
from benchmarks.models import Case, make
from benchmarks.spread import Spread, in_turns, timed
from trtdsl.build import builder
from trtdsl.errors import BuildError
from trtdsl.lower import lower
from trtdsl.network import Network
from trtdsl.onnx_export import OPSET
from trtdsl.runtime.logger import clear, last_errors, tensorrt_logger
from trtdsl.tensorrt_api import Api, import_tensorrt, network_flags

__all__ = ["BENCHMARK", "BENCHMARK_CPU"]

_ROUNDS = 5
Args: TypeAlias = tuple[torch.Tensor, ...]
Seconds: TypeAlias = tuple[float, float]
"""Of the first half, trace or export, and of the second, lower or parse."""


def run(case: str, *, to_tensorrt: bool = True) -> Row:
    """Time both ways in turns, after one warm-up that imports what they need."""
    if to_tensorrt:
        builder(0)
    wanted = Case.parse(case)
    model, args = make(wanted.model, wanted.batch or 1)
    ours = partial(_ours, model, args, wanted.precision, to_tensorrt)
    theirs = partial(_theirs, model, args, to_tensorrt)
    first = {"trtdsl": sum(ours()), "onnx": sum(theirs())}
    readings = in_turns({"trtdsl": ours, "onnx": theirs}, _ROUNDS, warmups=0)
    pairs = zip(readings["trtdsl"], readings["onnx"], strict=True)
    ratio = Spread.of([sum(a) / sum(b) for a, b in pairs])
    return {
        "case": case,
        "to": "TensorRT network" if to_tensorrt else "trtdsl network, ONNX file",
        "first_call": first,
        "trtdsl": _told(readings["trtdsl"], ("trace", "lower"), to_tensorrt),
        "onnx": _told(readings["onnx"], ("export", "parse"), to_tensorrt),
        "ratio": asdict(ratio),
    }


def _told(readings: list[Seconds], halves: tuple[str, str], both: bool) -> dict[str, Any]:
    told = {"total": asdict(Spread.of([sum(r) for r in readings]))}
    for index, half in enumerate(halves if both else halves[:1]):
        told[half] = asdict(Spread.of([r[index] for r in readings]))
    return told


def _ours(model: nn.Module, args: Args, precision: str, to_tensorrt: bool) -> Seconds:
    trace, network = timed(trtdsl.trace, model, args, precision=precision)
    return trace, timed(_lowered, network)[0] if to_tensorrt else 0.0


def _lowered(network: Network) -> Api:
    trt = import_tensorrt()
    api = Api(trt, _made(network_flags(trt)), errors=last_errors, forget_errors=clear)
    lower(network, api)
    return api


def _theirs(model: nn.Module, args: Args, to_tensorrt: bool) -> Seconds:
    export, data = timed(_exported, model, args)
    return export, timed(_parsed, data)[0] if to_tensorrt else 0.0


def _exported(model: nn.Module, args: Args) -> bytes:
    file = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the exporter that writes opset 17
        torch.onnx.export(model, args, file, opset_version=OPSET, dynamo=False)
    return file.getvalue()


def _parsed(data: bytes) -> Any:
    trt = import_tensorrt()
    explicit_batch = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    network = _made(0 if explicit_batch is None else 1 << int(explicit_batch))
    parser = trt.OnnxParser(network, tensorrt_logger())
    if not parser.parse(data):
        raise BuildError(f"TensorRT's ONNX parser refuses the model: {last_errors()}")
    return parser, network


def _made(flags: int) -> Any:
    network = builder(0).create_network(flags)
    if network is None:
        raise BuildError(f"TensorRT made no network: {last_errors()}")
    return network


def _seconds(path: str, part: str) -> Callable[[Row], str]:
    return lambda row: Spread(**row[path][part]).text(1) if part in row[path] else "-"


def _targets(rows: Sequence[Row]) -> list[Target]:
    return [
        Target(
            what=f"{row['case']}: time to a TensorRT network, over that of the ONNX path",
            value=row["ratio"]["median"],
            limit=0.5,
        )
        for row in rows
    ]


_COLUMNS: dict[str, Callable[[Row], str]] = {
    "case": lambda row: str(row["case"]),
    "trace s": _seconds("trtdsl", "trace"),
    "lower s": _seconds("trtdsl", "lower"),
    "export s": _seconds("onnx", "export"),
    "parse s": _seconds("onnx", "parse"),
    "ratio": lambda row: Spread(**row["ratio"]).text(1),
    "first: trtdsl": lambda row: f"{row['first_call']['trtdsl']:.2f}",
    "ONNX": lambda row: f"{row['first_call']['onnx']:.2f}",
}
_CASES = ("resnet50-fp16@32", "resnet50-fp32@32", "resnet50-fp32@1")

BENCHMARK = Benchmark(run=run, cases=_CASES, columns=_COLUMNS, targets=_targets)
BENCHMARK_CPU = Benchmark(
    run=partial(run, to_tensorrt=False),
    cases=_CASES,
    columns=_COLUMNS,
    targets=lambda rows: [],
    needs_gpu=False,
)
