"""``models``: whole architectures, each as our engine, the ONNX parser's and PyTorch itself.

Engines are built first, by several processes at once; then their times are read, alone.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import trtdsl
from benchmarks import paths, prepared
from benchmarks.base import Benchmark, Row, Target
from benchmarks.execution import Bare
from benchmarks.spread import Spread
from tests.models.zoo import REAL
from trtdsl.engine import Engine
from trtdsl.errors import RunError

__all__ = ["BENCHMARK"]

_ROUNDS = 10
_DAY = 86400.0


@contextmanager
def built(cases: Sequence[str], jobs: int, limit: float) -> Iterator[Callable[[str], Row]]:
    """Build the engines of all cases; gives what makes a case's row.

    A row has each way's error against PyTorch in float32, and the times of both engines. What fails
    is told in the row: a model that one way cannot take is a finding.
    """
    with tempfile.TemporaryDirectory() as place:
        found = prepared.prepare(cases, Path(place), jobs, limit)

        def run(case: str) -> Row:
            row: Row = {"case": case, "jobs": jobs, **found[case]}
            folder = Path(place) / str(list(cases).index(case))
            if all("failure" not in row[way] for way in prepared.WAYS):
                row["engine"] = _times(folder)
            return row

        yield run


def run(case: str) -> Row:
    """One case by itself."""
    with built([case], 1, _DAY) as made:
        return made(case)


def _times(folder: Path) -> dict[str, Any]:
    """Both engines in turns; nothing for outputs whose sizes only a run tells."""
    stream = torch.cuda.Stream()
    inputs = torch.load(folder / prepared.INPUTS, weights_only=True)
    engines = {way: _loaded(folder / f"{way}.engine") for way in prepared.WAYS}
    outputs = [output for engine in engines.values() for output in engine.manifest.outputs]
    if any(isinstance(size, str) for output in outputs for size in output.shape):
        return {"failure": "outputs of sizes that only a run tells are not timed"}
    try:
        bare = {way: Bare(engine, inputs, stream).run for way, engine in engines.items()}
        return paths.compared(bare, stream, rounds=_ROUNDS)
    except (RunError, ValueError) as error:
        return {"failure": f"{type(error).__name__}: {error}"[:500]}


def _loaded(path: Path) -> Engine:
    engine = trtdsl.load(path)
    assert isinstance(engine, Engine)
    return engine


def _targets(rows: Sequence[Row]) -> list[Target]:
    done = [row for row in rows if not row["trtdsl"].get("unfinished")]
    wrong = sum("relative_error" in row["pytorch"] and not row["trtdsl"]["right"] for row in done)
    targets = [Target(what="models wrong where PyTorch is right", value=wrong, limit=0)]
    ratios = [
        row["engine"]["ratio"]["median"]
        for row in rows
        if "ratio" in row.get("engine", {}) and "-fp16" in row["case"]
    ]
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        targets += [
            Target(what="fp16 time over the ONNX path's, geometric mean", value=mean, limit=0.95),
            Target(what="fp16 time over the ONNX path's, largest", value=max(ratios), limit=1.05),
        ]
    return targets


def _error(row: Row, way: str) -> str:
    if row[way].get("unfinished"):
        return "no time"
    error = row[way].get("relative_error")
    return "failed" if error is None else f"{error:.1e}"


def _milliseconds(row: Row, way: str) -> str:
    return Spread(**row["engine"][way]).text(1e-3, 3) if "ratio" in row.get("engine", {}) else ""


BENCHMARK = Benchmark(
    run=run,
    at_once=built,
    cases=tuple(f"{name}-{precision}" for name in REAL for precision in ("fp32", "fp16")),
    columns={
        "case": lambda row: str(row["case"]),
        "PyTorch error": lambda row: _error(row, "pytorch"),
        "trtdsl": lambda row: _error(row, "trtdsl"),
        "ONNX": lambda row: _error(row, "onnx"),
        "trtdsl ms": lambda row: _milliseconds(row, "trtdsl"),
        "ONNX ms": lambda row: _milliseconds(row, "onnx"),
        "ratio": lambda row: (
            Spread(**row["engine"]["ratio"]).text(1, 3) if "ratio" in row.get("engine", {}) else ""
        ),
    },
    targets=_targets,
    by_default=False,
)
