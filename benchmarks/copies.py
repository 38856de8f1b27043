"""``copies``: the numpy path against the bare copies that it cannot do without."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

import trtdsl
from benchmarks.base import Benchmark, Row, Target
from benchmarks.spread import Spread, in_turns
from trtdsl.engine import Engine
from trtdsl.runtime.page_locked import page_locked

__all__ = ["BENCHMARK"]

_ROUNDS, _CALLS = 20, 5
_WIDTH = 1024  # float32 numbers a row: 4 KiB


def run(case: str) -> Row:
    """Time a ReLU of ``case`` MiB in numpy, from page-locked and from ordinary memory.

    *limit* is one copy to the device and one back, between page-locked memory and a stream.
    """
    rows = int(case.removesuffix("MiB")) * 256
    x = np.random.default_rng(0).standard_normal((rows, _WIDTH), np.float32)
    engine = trtdsl.convert(
        nn.ReLU().eval(), (torch.from_numpy(x),), backend="tensorrt", optimization_level=0
    )
    assert isinstance(engine, Engine)
    locked = page_locked(x.shape, x.dtype)
    locked[:] = x
    np.testing.assert_array_equal(engine(locked), np.maximum(x, 0))
    ways: dict[str, Callable[[], Any]] = {
        "limit": _bare_copies(rows),
        "page-locked": lambda: engine(locked),
        "ordinary": lambda: engine(x),
    }
    readings = in_turns({name: _reading(way) for name, way in ways.items()}, _ROUNDS, warmups=3)
    row: Row = {"case": case, "bytes": x.nbytes}
    for name, samples in readings.items():
        row[name] = asdict(Spread.of(samples))
    for name in ("page-locked", "ordinary"):
        ratios = [a / b for a, b in zip(readings[name], readings["limit"], strict=True)]
        row[f"{name} over limit"] = asdict(Spread.of(ratios))
    return row


def _bare_copies(rows: int) -> Callable[[], None]:
    there = torch.empty(rows, _WIDTH, device="cuda")
    here = [torch.zeros(rows, _WIDTH).pin_memory() for _ in range(2)]

    def copy() -> None:
        there.copy_(here[0], non_blocking=True)
        here[1].copy_(there, non_blocking=True)
        torch.cuda.synchronize()

    return copy


def _reading(way: Callable[[], Any]) -> Callable[[], float]:
    def seconds() -> float:
        start = time.perf_counter()
        for _ in range(_CALLS):
            way()
        return (time.perf_counter() - start) / _CALLS

    return seconds


def _targets(rows: Sequence[Row]) -> list[Target]:
    return [
        Target(
            what=f"{row['case']}: time of page-locked numpy arrays over that of the bare copies",
            value=row["page-locked over limit"]["median"],
            limit=1 / 0.9,
        )
        for row in rows
    ]


def _cell(what: str, unit: float) -> Callable[[Row], str]:
    return lambda row: Spread(**row[what]).text(unit)


BENCHMARK = Benchmark(
    run=run,
    cases=("64MiB",),
    columns={
        "case": lambda row: str(row["case"]),
        "copies ms": _cell("limit", 1e-3),
        "page-locked ms": _cell("page-locked", 1e-3),
        "over copies": _cell("page-locked over limit", 1),
        "ordinary ms": _cell("ordinary", 1e-3),
        "over copies ": _cell("ordinary over limit", 1),
    },
    targets=_targets,
)
