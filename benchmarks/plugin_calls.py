"""``plugin_calls``: what an engine adds to a plugin's kernel, against the kernel launched alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

import trtdsl
from benchmarks.base import Benchmark, Row, Target
from benchmarks.execution import Bare
from benchmarks.spread import Spread, in_turns
from tests.plugins.queued import KERNEL, doubled_by, launcher
from trtdsl.extension.launch import Planned, compiled
from trtdsl.types import DType, TensorType

__all__ = ["BENCHMARK"]

_CALLS, _ROUNDS = 500, 40
_COUNT = 4096
_LIMITS = {"cuda": 10, "triton": 25, "pycuda": 25, "torch": 25}
_LAUNCH: dict[str, Any] = {"kernel": "doubled", "grid": -(-_COUNT // 256), "block": 256}


@dataclass(frozen=True, kw_only=True)
class DoubledInCuda(trtdsl.Plugin, kernel=KERNEL):
    """``2 * x + shift``, in CUDA C++."""

    shift: float

    def infer(self, x: TensorType) -> TensorType:
        return x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x + self.shift

    def launch(
        self, x: trtdsl.Buffer, y: trtdsl.Buffer, *, workspace: trtdsl.Buffer | None
    ) -> trtdsl.Launch:
        return trtdsl.Launch(**_LAUNCH, args=(x, y, x.volume, self.shift))


def run(case: str) -> Row:
    """Host seconds of a call, many queued one behind the other, in turns."""
    plugin = DoubledInCuda if case == "cuda" else doubled_by(case)
    with trtdsl.Network() as net:
        net.output(plugin(shift=1.5)(net.input("x", (_COUNT,))), "y")
    engine = net.build(optimization_level=0)
    x = torch.randn(_COUNT, generator=torch.Generator().manual_seed(0))
    bare = Bare(engine, (x,), torch.cuda.Stream())
    torch.testing.assert_close(bare.answers()[0].cpu(), 2 * x + 1.5)
    given, made = bare.inputs[0], torch.full_like(bare.inputs[0], float("nan"))
    alone = _alone(case, given, made, bare.stream.cuda_stream)
    alone()
    torch.cuda.synchronize()
    torch.testing.assert_close(made.cpu(), 2 * x + 1.5)
    variants = {"in engine": _reading(bare.run), "alone": _reading(alone)}
    readings = in_turns(variants, _ROUNDS, warmups=2)
    pairs = zip(readings["in engine"], readings["alone"], strict=True)
    spreads = {name: asdict(Spread.of(samples)) for name, samples in readings.items()}
    added = asdict(Spread.of([a - b for a, b in pairs]))
    return {"case": case, "calls": _CALLS * _ROUNDS, **spreads, "added": added}


def _alone(case: str, x: torch.Tensor, y: torch.Tensor, stream: int) -> Callable[[], None]:
    """The same kernel on the same stream, without an engine."""
    buffers = [trtdsl.Buffer(t.data_ptr(), tuple(t.shape), DType.FLOAT32) for t in (x, y)]
    if case != "cuda":
        launch = launcher(case)
        return lambda: launch(*buffers, 1.5, stream)
    planned_for = trtdsl.Launch(**_LAUNCH, args=(*buffers, _COUNT, 1.5))
    planned = Planned(planned_for, compiled(KERNEL, ()), buffers)
    pointers = [b.pointer for b in buffers]
    return lambda: planned.run(pointers, stream)


def _reading(call: Callable[[], None]) -> Callable[[], float]:
    def queued() -> float:
        start = time.perf_counter()
        for _ in range(_CALLS):
            call()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / _CALLS

    return queued


def _microseconds(what: str) -> Callable[[Row], str]:
    return lambda row: Spread(**row[what]).text(1e-6, 1)


def _targets(rows: Sequence[Row]) -> list[Target]:
    return [
        Target(
            what=f"{row['case']}: microseconds of a plugin in an engine above its kernel alone",
            value=row["added"]["median"] * 1e6,
            limit=_LIMITS[row["case"]],
        )
        for row in rows
    ]


BENCHMARK = Benchmark(
    run=run,
    cases=tuple(_LIMITS),
    columns={
        "case": lambda row: str(row["case"]),
        "in engine us": _microseconds("in engine"),
        "alone us": _microseconds("alone"),
        "added us": _microseconds("added"),
    },
    targets=_targets,
)
