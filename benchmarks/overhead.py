"""``overhead``: what Python adds to a run, on an engine whose own work is next to nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

import trtdsl
from benchmarks.base import Benchmark, Row, Target
from benchmarks.execution import Bare
from benchmarks.models import Case, make
from benchmarks.spread import Spread, in_turns
from trtdsl.engine import Engine

__all__ = ["BENCHMARK"]

_CALLS, _ROUNDS = 500, 40
"""Of every variant: 40 readings of 500 calls are 20,000."""


def run(case: str) -> Row:
    """Time ``engine(x)``, with CUDA graphs and without, and ``execute_async_v3`` in turns.

    They are queued on and on, and waited for.
    """
    wanted = Case.parse(case)
    model, args = make(wanted.model)
    engine = trtdsl.convert(
        model, args, precision=wanted.precision, backend="tensorrt", optimization_level=0
    )
    assert isinstance(engine, Engine)
    bare = Bare(engine, args, torch.cuda.Stream())
    torch.testing.assert_close(bare.answers()[0], engine(*bare.inputs))
    graphed = Engine(engine.plan, engine.manifest)
    graphed.graphs = True
    torch.testing.assert_close(bare.answers()[0], graphed(*bare.inputs))
    calls = {"engine(x)": partial(engine, *bare.inputs), "graphs": partial(graphed, *bare.inputs)}
    row: Row = {"case": case, "calls": _CALLS * _ROUNDS}
    for way, wait in (("queued", False), ("waited", True)):
        variants = {
            name: _reading(call, torch.cuda.synchronize, wait)
            for name, call in {**calls, "execute_async_v3": bare.run}.items()
        }
        readings = in_turns(variants, _ROUNDS, warmups=2)
        row[way] = {name: asdict(Spread.of(samples)) for name, samples in readings.items()}
        for added, name in (("added", "engine(x)"), ("added by graphs", "graphs")):
            pairs = zip(readings[name], readings["execute_async_v3"], strict=True)
            row[way][added] = asdict(Spread.of([a - b for a, b in pairs]))
    return row


def _reading(
    call: Callable[[], Any], synchronize: Callable[[], None], wait: bool
) -> Callable[[], float]:
    """Host seconds of a call; the wait for the last one is counted in."""

    def queued() -> float:
        start = time.perf_counter()
        for _ in range(_CALLS):
            call()
        synchronize()
        return (time.perf_counter() - start) / _CALLS

    def waited() -> float:
        start = time.perf_counter()
        for _ in range(_CALLS):
            call()
            synchronize()
        return (time.perf_counter() - start) / _CALLS

    return waited if wait else queued


def _microseconds(way: str, what: str) -> Callable[[Row], str]:
    return lambda row: Spread(**row[way][what]).text(1e-6, 1)


def _targets(rows: Sequence[Row]) -> list[Target]:
    return [
        Target(
            what=f"{row['case']}: microseconds of engine(x){how} above execute_async_v3",
            value=row["queued"][added]["median"] * 1e6,
            limit=limit,
        )
        for row in rows
        for how, added, limit in (("", "added", 15), (" with graphs", "added by graphs", 10))
    ]


BENCHMARK = Benchmark(
    run=run,
    cases=("relu", "linear"),
    columns={
        "case": lambda row: str(row["case"]),
        "engine(x) us": _microseconds("queued", "engine(x)"),
        "execute_async_v3 us": _microseconds("queued", "execute_async_v3"),
        "added us": _microseconds("queued", "added"),
        "graphs us": _microseconds("queued", "graphs"),
        "added by graphs us": _microseconds("queued", "added by graphs"),
        "waited for: engine(x)": _microseconds("waited", "engine(x)"),
        "execute_async_v3": _microseconds("waited", "execute_async_v3"),
        "added": _microseconds("waited", "added"),
    },
    targets=_targets,
)
