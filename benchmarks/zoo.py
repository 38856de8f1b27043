"""``models``: whole architectures, each as our engine, the ONNX parser's and PyTorch itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks import paths
from benchmarks.base import Benchmark, Row, Target
from benchmarks.models import Case
from benchmarks.spread import Spread
from tests.models.row import Example
from tests.models.zoo import REAL, SMALL

__all__ = ["BENCHMARK"]

_TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2}
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def run(case: str) -> Row:
    """A row with each way's error against PyTorch in float32, and the times of both engines.

    What fails is told in the row: a model that one way cannot take is a finding.
    """
    wanted = Case.parse(case)
    example = _example(wanted.model)
    args, kwargs = example.calls[0]
    call = paths.Call(model=example.model, args=args, kwargs=kwargs)
    expected = call.answer()
    stream = torch.cuda.Stream()
    row: Row = {"case": case}
    row["pytorch"], _ = _tried(lambda: call.answer(_DTYPES[wanted.precision]), expected)
    built = {}
    for name, way in (("trtdsl", paths.ours), ("onnx", paths.onnx)):
        row[name], made = _tried(lambda way=way: way(call, wanted.precision, stream), expected)
        if isinstance(made, paths.Path):
            built[name] = made.bare.run
    tolerance = max(_TOLERANCE[wanted.precision], 2 * row["pytorch"].get("relative_error", 0.0))
    for name in ("trtdsl", "onnx"):
        row[name]["right"] = row[name].get("relative_error", math.inf) <= tolerance
    if len(built) == 2:
        row["engine"] = paths.compared(built, stream)
    return row


def _example(name: str) -> Example:
    """A model by its name in the tables, of its published size where there is one."""
    row = REAL.get(name) or SMALL.get(name)
    if row is None:
        raise ValueError(f"no model {name!r} in the tables of tests/models")
    return row.build()


def _tried(make: Callable[[], Any], expected: Sequence[torch.Tensor]) -> tuple[dict[str, Any], Any]:
    """What a way gives, and its error; or why it gives nothing."""
    try:
        made = make()
        outputs = made.bare.answers() if isinstance(made, paths.Path) else made
        found = {"relative_error": paths.relative_error(outputs, expected)}
    except Exception as error:
        return {"failure": f"{type(error).__name__}: {error}"[:500]}, None
    if isinstance(made, paths.Path):
        found["build_seconds"] = made.build_seconds
    return found, made


def _targets(rows: Sequence[Row]) -> list[Target]:
    wrong = sum("relative_error" in row["pytorch"] and not row["trtdsl"]["right"] for row in rows)
    targets = [Target(what="models wrong where PyTorch is right", value=wrong, limit=0)]
    ratios = [
        row["engine"]["ratio"]["median"]
        for row in rows
        if "engine" in row and row["case"].endswith("-fp16")
    ]
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        targets += [
            Target(what="fp16 time over the ONNX path's, geometric mean", value=mean, limit=0.95),
            Target(what="fp16 time over the ONNX path's, largest", value=max(ratios), limit=1.05),
        ]
    return targets


def _error(row: Row, way: str) -> str:
    error = row[way].get("relative_error")
    return "failed" if error is None else f"{error:.1e}"


def _milliseconds(row: Row, way: str) -> str:
    return Spread(**row["engine"][way]).text(1e-3, 3) if "engine" in row else ""


BENCHMARK = Benchmark(
    run=run,
    cases=tuple(f"{name}-{precision}" for name in REAL for precision in _TOLERANCE),
    columns={
        "case": lambda row: str(row["case"]),
        "PyTorch error": lambda row: _error(row, "pytorch"),
        "trtdsl": lambda row: _error(row, "trtdsl"),
        "ONNX": lambda row: _error(row, "onnx"),
        "trtdsl ms": lambda row: _milliseconds(row, "trtdsl"),
        "ONNX ms": lambda row: _milliseconds(row, "onnx"),
        "ratio": lambda row: Spread(**row["engine"]["ratio"]).text(1, 3) if "engine" in row else "",
    },
    targets=_targets,
    by_default=False,
)
