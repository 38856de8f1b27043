"""One reading of ``memory`` in a process of its own: ``python -m benchmarks.memory_probe CASE``.

Prints a row as JSON on its last line.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

import trtdsl
from benchmarks.base import Row
from benchmarks.machine import why_no_gpu_runs
from benchmarks.models import Case, make
from benchmarks.peak import Peak
from trtdsl.lower import lower
from trtdsl.tensorrt_api import Api, network_flags

_STAND_IN = "8.6.1"
_WARM_RUNS = 2


def probe(case: str) -> Row:
    """Trace and lower once for the memory, cold as a user's first conversion, then for the time."""
    wanted = Case.parse(case)
    tensorrt, new_api = _tensorrt()
    model, args = make(wanted.model)
    weights = {t.data_ptr(): t.nbytes for t in (*model.parameters(), *model.buffers())}

    def convert() -> tuple[float, Api, int]:
        start = time.perf_counter()
        network = trtdsl.trace(model, args, precision=wanted.precision)
        seconds, traced = time.perf_counter() - start, peak.extra()
        api = new_api()
        start = time.perf_counter()
        lower(network, api, infers=why_no_gpu_runs() is None)
        return seconds + time.perf_counter() - start, api, traced

    new_api()  # the builder's own memory is not the conversion's
    peak = Peak()
    first, api, traced = convert()
    extra = peak.extra()
    peak.stop()
    layers = len(api.created)
    del api
    return {
        "case": case,
        "tensorrt": tensorrt,
        "measured": peak.how,
        "layers": layers,
        "weights_bytes": sum(weights.values()),
        "before_bytes": peak.before,
        "extra_trace_bytes": traced,
        "extra_bytes": extra,
        "first_seconds": first,
        "seconds": min(_warm(convert) for _ in range(_WARM_RUNS)),
    }


def _warm(convert: Callable[[], tuple[float, Api, int]]) -> float:
    gc.collect()
    return convert()[0]


def _tensorrt() -> tuple[str, Callable[[], Api]]:
    """What is lowered into, and how to start one: TensorRT, or the tests' stand-in for it."""
    if why_no_gpu_runs() is not None:
        from tests import standin

        trt: Any = standin.load(_STAND_IN)
        name, made = f"stand-in for {_STAND_IN}", trt.Builder(trt.Logger())
        return name, lambda: Api(trt, made.create_network(network_flags(trt)))
    from trtdsl.build import builder
    from trtdsl.tensorrt_api import import_tensorrt

    trt = import_tensorrt()
    return trt.__version__, lambda: Api(trt, builder(0).create_network(network_flags(trt)))


if __name__ == "__main__":
    torch.manual_seed(0)
    print(json.dumps(probe(sys.argv[1])))
