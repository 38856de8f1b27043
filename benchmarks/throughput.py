"""``throughput``: host memory to host memory, by numpy arrays and by torch tensors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import torch

import trtdsl
from benchmarks.base import Benchmark, Row
from benchmarks.models import Case, make
from benchmarks.spread import Spread, in_turns
from trtdsl.engine import Engine

__all__ = ["BENCHMARK"]

_BATCH, _CALLS, _ROUNDS = 32, 10, 20


def run(case: str) -> Row:
    """Time three ways to feed one engine, in turns; all start and end in the host's memory."""
    wanted = Case.parse(case)
    model, args = make(wanted.model, _BATCH)
    engine = trtdsl.convert(
        model, args, precision=wanted.precision, backend="tensorrt", optimization_level=0
    )
    assert isinstance(engine, Engine)
    arrays, pinned = [x.numpy() for x in args], [x.pin_memory() for x in args]
    ways: dict[str, Callable[[], np.ndarray | torch.Tensor]] = {
        "numpy": lambda: engine(*arrays),
        "torch": lambda: engine(*(x.cuda() for x in args)).cpu(),
        "torch pinned": lambda: engine(*(x.cuda(non_blocking=True) for x in pinned)).cpu(),
    }
    answers = [torch.as_tensor(way()) for way in ways.values()]
    for answer in answers[1:]:
        torch.testing.assert_close(answer, answers[0])
    readings = in_turns({name: _reading(way) for name, way in ways.items()}, _ROUNDS, warmups=2)
    row: Row = {"case": case, "batch": _BATCH}
    for name, samples in readings.items():
        row[name] = asdict(Spread.of([_BATCH / s for s in samples]))
    return row


def _reading(way: Callable[[], object]) -> Callable[[], float]:
    def seconds() -> float:
        start = time.perf_counter()
        for _ in range(_CALLS):
            way()
        return (time.perf_counter() - start) / _CALLS

    return seconds


def _rate(way: str) -> Callable[[Row], str]:
    return lambda row: Spread(**row[way]).text(1, 0)


BENCHMARK = Benchmark(
    run=run,
    cases=("resnet18-fp16",),
    columns={
        "case": lambda row: f"{row['case']} x{row['batch']}",
        "numpy inputs/s": _rate("numpy"),
        "torch": _rate("torch"),
        "torch pinned": _rate("torch pinned"),
    },
    targets=lambda rows: [],
    by_default=False,
)
