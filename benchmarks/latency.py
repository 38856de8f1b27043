"""``latency``: our engine against the ONNX parser's, same model, same settings, same GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

import trtdsl
from benchmarks import layers
from benchmarks.base import Benchmark, Row, Target
from benchmarks.execution import Bare, on_gpu
from benchmarks.models import Case, make
from benchmarks.spread import Spread, in_turns, timed
from trtdsl import oracle
from trtdsl.build import BuildOptions
from trtdsl.engine import Engine
from trtdsl.errors import RunError

__all__ = ["BENCHMARK"]

BATCH = 32
_ROUNDS = 30


@dataclass(frozen=True, kw_only=True)
class _Path:
    """One way from the model to an engine."""

    engine: Engine
    bare: Bare
    build_seconds: float


def run(case: str) -> Row:
    """Build both engines, hold both against PyTorch, then time them in turns."""
    wanted = Case.parse(case)
    model, args = make(wanted.model, BATCH)
    expected = _expected(model, args)
    stream = torch.cuda.Stream()
    paths = {
        "trtdsl": _built(partial(_ours, model, args, wanted), args, stream),
        "onnx": _built(partial(_parsed, model, args, wanted), args, stream),
    }
    row: Row = {"case": case, "batch": BATCH}
    for name, path in paths.items():
        row[name] = {"build_seconds": path.build_seconds, "plan_bytes": len(path.engine.plan)}
        row[name]["relative_error"] = _relative_error(path.bare.answers(), expected)
    row["engine"] = _compared({n: on_gpu(p.bare.run, stream) for n, p in paths.items()})
    row["call"] = _compared({n: on_gpu(_call(p), stream) for n, p in paths.items()})
    for name, path in paths.items():
        row[name] |= layers.composition(path.engine, layers.times(path.bare))
    return row


def _ours(model: nn.Module, args: tuple[torch.Tensor, ...], case: Case) -> Engine:
    built = trtdsl.convert(model, args, precision=case.precision, backend="tensorrt")
    assert isinstance(built, Engine)
    return built


def _parsed(model: nn.Module, args: tuple[torch.Tensor, ...], case: Case) -> Engine:
    return oracle.build_engine(oracle.export(model, args), BuildOptions(precision=case.precision))


def _built(
    build: Callable[[], Engine], args: tuple[torch.Tensor, ...], stream: torch.cuda.Stream
) -> _Path:
    seconds, engine = timed(build)
    return _Path(engine=engine, bare=Bare(engine, args, stream), build_seconds=seconds)


def _call(path: _Path) -> Callable[[], Any]:
    return partial(path.engine, *path.bare.inputs)


def _compared(variants: dict[str, Callable[[], float]]) -> dict[str, Any]:
    """Seconds of both in turns, and the ratio of ours to theirs, round by round."""
    readings = in_turns(variants, _ROUNDS)
    pairs = zip(readings["trtdsl"], readings["onnx"], strict=True)
    ratio = Spread.of([ours / theirs for ours, theirs in pairs])
    spreads = {name: asdict(Spread.of(samples)) for name, samples in readings.items()}
    return spreads | {"ratio": asdict(ratio)}


def _expected(model: nn.Module, args: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """PyTorch's answer on the GPU in full float32; its default for convolutions there is TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.no_grad():
            result = model.cuda()(*(x.cuda() for x in args))
            return list(result) if isinstance(result, tuple) else [result]
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
        model.cpu()


def _relative_error(outputs: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """``|output - expected| / |expected|`` in the 2-norm, the worst of the outputs.

    Errors: RunError for an output that is not finite, or that nothing but zeros is expected of.
    """
    errors = []
    for y, wanted in zip(outputs, expected, strict=True):
        scale = wanted.double().norm()
        error = (y.double() - wanted.double()).norm() / scale
        if not error.isfinite():
            raise RunError(f"the relative error is {error}: the output or the reference is no good")
        errors.append(float(error))
    return max(errors)


def _milliseconds(row: Row, way: str, path: str) -> str:
    return Spread(**row[way][path]).text(1e-3, 3)


def _targets(rows: Sequence[Row]) -> list[Target]:
    return [
        Target(
            what=f"{row['case']}: engine time over that of the ONNX path",
            value=row["engine"]["ratio"]["median"],
            limit=1.0,
        )
        for row in rows
    ]


BENCHMARK = Benchmark(
    run=run,
    cases=("resnet50-fp16",),
    columns={
        "case": lambda row: f"{row['case']} x{row['batch']}",
        "trtdsl ms": lambda row: _milliseconds(row, "engine", "trtdsl"),
        "ONNX ms": lambda row: _milliseconds(row, "engine", "onnx"),
        "ratio": lambda row: Spread(**row["engine"]["ratio"]).text(1, 3),
        "called: trtdsl": lambda row: _milliseconds(row, "call", "trtdsl"),
        "ONNX": lambda row: _milliseconds(row, "call", "onnx"),
        "error: trtdsl": lambda row: f"{row['trtdsl']['relative_error']:.1e}",
        "ONNX ": lambda row: f"{row['onnx']['relative_error']:.1e}",
        "layers (reformats)": lambda row: " / ".join(
            f"{row[path]['layers']} ({row[path]['reformats']})" for path in ("trtdsl", "onnx")
        ),
    },
    targets=_targets,
)
