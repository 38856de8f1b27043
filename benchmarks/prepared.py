"""Both engines of a model, built and judged in a process of their own: many are at once.

``python -m benchmarks.prepared CASE FOLDER``
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import paths
from benchmarks.models import Case
from benchmarks.spread import timed
from tests.models.row import Example
from tests.models.zoo import REAL, SMALL
from trtdsl.engine import Engine
from trtdsl.tree import flatten

__all__ = ["INPUTS", "WAYS", "example", "prepare"]

INPUTS = "inputs.pt"
WAYS: Mapping[str, Callable[[paths.Call, str], Engine]] = {
    "trtdsl": paths.ours,
    "onnx": paths.onnx,
}
_FOUND = "found.json"
_TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2}
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def example(case: Case) -> Example:
    """A model of the tests' tables: a published size by its name, a small one as ``small/NAME``.

    Errors: ValueError for another name, or a batch where the model has none that varies.
    """
    small = {f"small/{name}": row for name, row in SMALL.items()}
    row = (REAL | small).get(case.model)
    if row is None:
        raise ValueError(f"no model {case.model!r} in the tables of tests/models")
    if case.batch is None:
        return row.build()
    sized = replace(row, sizes={**row.sizes, "batch": (case.batch,)}).build()
    if case.batch not in {x.shape[0] for x in flatten(sized.calls[0])[0] if x.dim()}:
        raise ValueError(f"the batch of {case.model} is fixed")
    return sized


def prepare(cases: Sequence[str], folder: Path, jobs: int, limit: float) -> dict[str, Any]:
    """What was found of each case, by ``jobs`` processes at once; engines lie in ``folder/<i>``.

    ``limit``: seconds for all of them; a case that takes longer has failed.
    """
    until = time.monotonic() + limit
    with ThreadPoolExecutor(jobs) as pool:
        folders = [folder / str(i) for i in range(len(cases))]
        found = pool.map(partial(_in_process, until), cases, folders, _gpus(len(cases)))
        return dict(zip(cases, found, strict=True))


def _gpus(count: int) -> list[str]:
    """The GPU of each case: all of the host's, in turns."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = seen.split(",") if seen else list(map(str, range(torch.cuda.device_count()))) or [""]
    return [gpus[i % len(gpus)] for i in range(count)]


def _in_process(until: float, case: str, folder: Path, gpu: str) -> dict[str, Any]:
    folder.mkdir()
    command = [sys.executable, "-m", "benchmarks.prepared", case, str(folder)]
    left = max(until - time.monotonic(), 0.1)
    # What one build has timed, of whichever way, is not timed again: like layers are like kernels.
    shared = {"CUDA_VISIBLE_DEVICES": gpu, "TRTDSL_CACHE": str(folder.parent / "cache")}
    run = partial(subprocess.run, capture_output=True, text=True, check=False)
    try:
        done = run(command, timeout=left, env={**os.environ, **shared})
        last = done.stderr.strip().rpartition("\n")[2]
        why = f"the process ended with {done.returncode}: {last[:500]}"
    except subprocess.TimeoutExpired:
        why = f"it was not done {left:.0f} s after it began"
    path = folder / _FOUND
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for way in ("pytorch", *WAYS):
        found.setdefault(way, {"failure": why, "right": False})
    return found


def _main(case: str, folder: Path) -> None:
    """Write what is found after every way, so that a process that is stopped has told the rest."""
    wanted = Case.parse(case)
    made = example(wanted)
    args, kwargs = made.calls[0]
    call = paths.Call(model=made.model, args=args, kwargs=kwargs)
    torch.save(call.leaves, folder / INPUTS)
    expected = call.answer()
    dtype = _DTYPES[wanted.precision]
    found = {"pytorch": _tried(lambda: {"outputs": call.answer(dtype)}, expected)}
    own = found["pytorch"].get("relative_error", 0.0)
    for name, build in WAYS.items():
        place = folder / f"{name}.engine"
        found[name] = _tried(partial(_engine, build, call, wanted.precision, place), expected)
        error = found[name].get("relative_error", math.inf)
        found[name]["right"] = error <= max(_TOLERANCE[wanted.precision], 2 * own)
        (folder / _FOUND).write_text(json.dumps(found))


def _engine(
    build: Callable[[paths.Call, str], Engine], call: paths.Call, precision: str, place: Path
) -> dict[str, Any]:
    """Build and save an engine, and call it."""
    seconds, engine = timed(build, call, precision)
    engine.save(place)
    return {"outputs": flatten(call.on_gpu(engine))[0], "build_seconds": seconds}


def _tried(make: Callable[[], dict[str, Any]], expected: Sequence[torch.Tensor]) -> dict[str, Any]:
    """What a way gives, with its error for its outputs; or why it gives nothing."""
    try:
        made = make()
        return {"relative_error": paths.relative_error(made.pop("outputs"), expected), **made}
    except Exception as error:
        return {"failure": f"{type(error).__name__}: {error}"[:500]}


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
