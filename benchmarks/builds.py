"""``builds``: what the caches save of a second build, and what a refit saves of a new one.

One TensorRT build of each kind, after a small one that loads what a process loads once; a build
takes a minute, and its spread is small beside the ratios asked for. What takes less than a second
is read several times.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

import trtdsl
from benchmarks.base import Benchmark, Row, Target
from benchmarks.models import Case, make
from benchmarks.spread import Spread, timed
from trtdsl import timings
from trtdsl.build import BuildOptions, build, builder
from trtdsl.engine import Engine
from trtdsl.network import Network

__all__ = ["BENCHMARK"]

_READINGS = 5


def run(case: str) -> Row:
    """Build with cold and warm caches, and refit; traced before, so that only builds are timed."""
    wanted = Case.parse(case)
    model, args = make(wanted.model, wanted.batch or 1)
    network = trtdsl.trace(model, args, precision=wanted.precision)
    _warm_up()
    with tempfile.TemporaryDirectory() as place:
        row = _cached(network, BuildOptions(precision=wanted.precision, cache=place))
    return {"case": case, **row, **_refitted(network, model, args, wanted.precision)}


def _warm_up() -> None:
    builder(0)
    network = trtdsl.trace(nn.Conv2d(3, 8, 3).eval(), (torch.zeros(1, 3, 8, 8),))
    build(network, BuildOptions(cache=False))


def _cached(network: Network, options: BuildOptions) -> dict[str, Any]:
    cold, _ = timed(build, network, options)
    found = [timed(build, network, options)[0] for _ in range(_READINGS)]
    row = {"cold": cold, "engine_cache": asdict(Spread.of(found))}
    for name, prepare in (("timings_held", lambda: None), ("timings_on_disk", timings.forget)):
        for engine in (Path(str(options.cache)) / "engine").iterdir():
            engine.unlink()
        prepare()
        row[name], _ = timed(build, network, options)
    return row


def _refitted(
    network: Network, model: nn.Module, args: tuple[torch.Tensor, ...], precision: str
) -> dict[str, Any]:
    """A refit to other weights and back, and how right the answer then is."""
    options = BuildOptions(precision=precision, refit=True, cache=False)
    seconds, engine = timed(build, network, options)
    state = model.state_dict()
    other = {k: v * 1.01 if v.is_floating_point() else v for k, v in state.items()}
    readings = [timed(engine.refit, weights)[0] for weights in (other, state) * _READINGS]
    return {
        "refittable_build": seconds,
        "refit": asdict(Spread.of(readings)),
        "relative_error": _error(engine, model, args),
    }


def _error(engine: Engine, model: nn.Module, args: tuple[torch.Tensor, ...]) -> float:
    with torch.no_grad():
        expected = model(*args)
    answer = engine(*(x.cuda() for x in args)).cpu()
    return float((answer - expected).norm() / expected.norm())


def _targets(rows: Sequence[Row]) -> list[Target]:
    made = []
    for row in rows:
        case, cold = row["case"], row["cold"]
        found, refit = row["engine_cache"]["median"], row["refit"]["median"]
        for name in ("timings_held", "timings_on_disk"):
            what = f"{case}: build with {name.replace('_', ' ')}, over one without"
            made.append(Target(what=what, value=row[name] / cold, limit=1 / 5))
        what = f"{case}: engine found in the cache, over its build"
        made.append(Target(what=what, value=found / cold, limit=1 / 100))
        made.append(Target(what=f"{case}: seconds of a refit", value=refit, limit=2.0))
    return made


BENCHMARK = Benchmark(
    run=run,
    cases=("resnet50-fp16@32",),
    columns={
        "case": lambda row: str(row["case"]),
        "cold s": lambda row: f"{row['cold']:.1f}",
        "timings held s": lambda row: f"{row['timings_held']:.1f}",
        "on the disk s": lambda row: f"{row['timings_on_disk']:.1f}",
        "engine known s": lambda row: Spread(**row["engine_cache"]).text(1),
        "refittable s": lambda row: f"{row['refittable_build']:.1f}",
        "refit s": lambda row: Spread(**row["refit"]).text(1),
        "error": lambda row: f"{row['relative_error']:.1e}",
    },
    targets=_targets,
)
