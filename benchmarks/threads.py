"""``threads``: the throughput of one engine called from several threads, against one thread."""

from __future__ import annotations

import threading
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

_THREADS, _CALLS, _ROUNDS = 8, 400, 10
"""A reading is of 400 calls, by one thread or divided among 8."""

_Call = Callable[[], Any]


def run(case: str) -> Row:
    """Time calls whose result is waited for: torch tensors on a stream a thread, numpy arrays.

    And TensorRT alone, with a context and a stream a thread.
    """
    wanted = Case.parse(case)
    model, args = make(wanted.model, wanted.batch or 1)
    engine = trtdsl.convert(model, args, precision=wanted.precision, backend="tensorrt")
    assert isinstance(engine, Engine)
    graphed = Engine(engine.plan, engine.manifest)
    graphed.graphs = True
    makers = {
        "torch": partial(_torch_call, engine, args),
        "numpy": partial(_numpy_call, engine, args),
        "graphs": partial(_torch_call, graphed, args),
        "alone": partial(_bare_call, engine, args),
    }
    row: Row = {"case": case, "threads": _THREADS, "calls": _CALLS}
    for kind, make_call in makers.items():
        calls = [make_call() for _ in range(_THREADS)]
        readings = in_turns(
            {"one": _reading(calls[:1]), "many": _reading(calls)}, _ROUNDS, warmups=2
        )
        pairs = zip(readings["many"], readings["one"], strict=True)
        rates = {name: [_CALLS / s for s in samples] for name, samples in readings.items()}
        rates["ratio"] = [many / one for many, one in pairs]
        row[kind] = {name: asdict(Spread.of(samples)) for name, samples in rates.items()}
    return row


def _numpy_call(engine: Engine, args: Sequence[torch.Tensor]) -> _Call:
    arrays = [x.numpy() for x in args]
    return lambda: engine(*arrays)


def _torch_call(engine: Engine, args: Sequence[torch.Tensor]) -> _Call:
    stream, tensors = torch.cuda.Stream(), [x.cuda() for x in args]

    def call() -> None:
        with torch.cuda.stream(stream):
            engine(*tensors)
        stream.synchronize()

    return call


def _bare_call(engine: Engine, args: Sequence[torch.Tensor]) -> _Call:
    bare = Bare(engine, args, torch.cuda.Stream())

    def call() -> None:
        bare.run()
        bare.stream.synchronize()

    return call


def _reading(calls: Sequence[_Call]) -> Callable[[], float]:
    """Seconds for all calls, one thread for each of ``calls``."""

    def seconds() -> float:
        barrier = threading.Barrier(len(calls) + 1)

        def work(call: _Call) -> None:
            barrier.wait()
            for _ in range(_CALLS // len(calls)):
                call()
            barrier.wait()

        threads = [threading.Thread(target=work, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        barrier.wait()
        start = time.perf_counter()
        barrier.wait()
        taken = time.perf_counter() - start
        for thread in threads:
            thread.join()
        return taken

    return seconds


def _targets(rows: Sequence[Row]) -> list[Target]:
    return [
        Target(
            what=f"{row['case']}, {kind}: time of {row['threads']} threads over that of one",
            value=row[kind]["ratio"]["median"],
            limit=1 / 1.5,
        )
        for row in rows
        for kind in ("torch", "numpy", "graphs")
    ]


def _cell(kind: str, what: str, digits: int) -> Callable[[Row], str]:
    return lambda row: Spread(**row[kind][what]).text(1, digits)


BENCHMARK = Benchmark(
    run=run,
    cases=("resnet18-fp16", "mobilenet_v3_small-fp16"),
    columns={
        "case": lambda row: f"{row['case']}, {row['threads']} threads",
        "torch calls/s, one": _cell("torch", "one", 0),
        "many": _cell("torch", "many", 0),
        "time": _cell("torch", "ratio", 2),
        "numpy calls/s, one": _cell("numpy", "one", 0),
        "many ": _cell("numpy", "many", 0),
        "time ": _cell("numpy", "ratio", 2),
        "graphs calls/s, one": _cell("graphs", "one", 0),
        "many  ": _cell("graphs", "many", 0),
        "time  ": _cell("graphs", "ratio", 2),
        "execute_async_v3 calls/s, one": _cell("alone", "one", 0),
        "many   ": _cell("alone", "many", 0),
        "time   ": _cell("alone", "ratio", 2),
    },
    targets=_targets,
)
