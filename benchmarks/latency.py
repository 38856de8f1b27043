"""``latency``: our engine against the ONNX parser's, same model, same settings, same GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchmarks import layers, paths
from benchmarks.base import Benchmark, Row, Target
from benchmarks.models import Case, make
from benchmarks.spread import Spread

__all__ = ["BENCHMARK"]

BATCH = 32


def run(case: str) -> Row:
    """Build both engines, hold both against PyTorch, then time them in turns."""
    wanted = Case.parse(case)
    model, args = make(wanted.model, BATCH)
    call = paths.Call(model=model, args=args)
    expected = call.answer()
    stream = torch.cuda.Stream()
    built = {
        name: paths.path(build, call, wanted.precision, stream)
        for name, build in (("trtdsl", paths.ours), ("onnx", paths.onnx))
    }
    row: Row = {"case": case, "batch": BATCH}
    for name, path in built.items():
        row[name] = {"build_seconds": path.build_seconds, "plan_bytes": len(path.engine.plan)}
        row[name]["relative_error"] = paths.relative_error(path.bare.answers(), expected)
    row["engine"] = paths.compared({n: p.bare.run for n, p in built.items()}, stream)
    row["call"] = paths.compared({n: p.call() for n, p in built.items()}, stream)
    for name, path in built.items():
        row[name] |= layers.composition(path.engine, layers.times(path.bare))
    return row


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
