"""``memory``: the host memory that trace and lower need beside the model, and how both grow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.base import Benchmark, Row, Target

__all__ = ["BENCHMARK"]

_ROOT = Path(__file__).parent.parent
_FIXED_ALLOWANCE = 300e6
_LONGEST = 540
"""Seconds that one case may take."""


def run(case: str) -> Row:
    """Measure a case in a fresh process. Errors: RuntimeError with what it said if it failed."""
    command = [sys.executable, "-m", "benchmarks.memory_probe", case]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_LONGEST, cwd=_ROOT, check=False
    )
    if done.returncode != 0:
        said = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise RuntimeError(f"the process for {case} ended with {done.returncode}: {said}")
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def _targets(rows: Sequence[Row]) -> list[Target]:
    met = [
        Target(
            what=f"{row['case']}: extra MB, with 1.3 x {row['weights_bytes'] / 1e6:.0f} + 300",
            value=row["extra_bytes"] / 1e6,
            limit=(row["weights_bytes"] * 1.3 + _FIXED_ALLOWANCE) / 1e6,
        )
        for row in rows
    ]
    by_case = {row["case"]: row for row in rows}
    if {"chain500", "chain1000"} <= by_case.keys():
        met += _growth(by_case["chain500"], by_case["chain1000"], by_case.get("linear"))
    return met


def _growth(half: Row, whole: Row, fixed: Row | None) -> list[Target]:
    """1000 layers over 500, less what one layer takes already: imports, mostly."""
    base = fixed["extra_bytes"] if fixed else 0
    extra = (whole["extra_bytes"] - base) / (half["extra_bytes"] - base)
    seconds = whole["seconds"] / half["seconds"]
    return [
        Target(what="extra memory of chain1000 over that of chain500", value=extra, limit=2.2),
        Target(what="time of chain1000 over that of chain500", value=seconds, limit=2.2),
    ]


def _megabytes(row: Row, key: str) -> str:
    return f"{row[key] / 1e6:.0f}"


BENCHMARK = Benchmark(
    run=run,
    cases=(
        "linear",
        "resnet50",
        "resnet50-fp16",
        "vgg16",
        "vgg16-fp16",
        "chain100",
        "chain250",
        "chain500",
        "chain1000",
    ),
    columns={
        "case": lambda row: str(row["case"]),
        "into": lambda row: str(row["tensorrt"]),
        "layers": lambda row: str(row["layers"]),
        "weights MB": lambda row: _megabytes(row, "weights_bytes"),
        "before MB": lambda row: _megabytes(row, "before_bytes"),
        "extra: trace MB": lambda row: _megabytes(row, "extra_trace_bytes"),
        "with lower MB": lambda row: _megabytes(row, "extra_bytes"),
        "s": lambda row: f"{row['seconds']:.2f}",
        "first s": lambda row: f"{row['first_seconds']:.2f}",
    },
    targets=_targets,
    needs_gpu=False,
)
