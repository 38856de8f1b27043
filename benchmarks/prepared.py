"""Both engines of a model, built and judged in another process: many are at once."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
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
    # What one build has timed, of whichever way, is not timed again: like layers are like kernels.
    cache = str(folder / "cache")
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for gpu in _gpus(min(jobs, len(cases))):
        idle.put(_Worker({"CUDA_VISIBLE_DEVICES": gpu, "TRTDSL_CACHE": cache}))

    def prepared(case: str, place: Path) -> dict[str, Any]:
        worker = idle.get()
        try:
            return worker.prepare(case, place, max(until - time.monotonic(), 0.1))
        finally:
            idle.put(worker)

    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(prepared, cases, (folder / str(i) for i in range(len(cases))))
        made = dict(zip(cases, found, strict=True))
    while not idle.empty():
        idle.get().stop()
    return made


def _gpus(count: int) -> list[str]:
    """The GPU of each process: all of the host's, in turns."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = seen.split(",") if seen else list(map(str, range(torch.cuda.device_count()))) or [""]
    return [gpus[i % len(gpus)] for i in range(count)]


class _Worker:
    """A process that prepares one case after the other: its imports and builder serve them all.

    One that crashes, or takes too long, fails its case alone; the next case has a new process.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._process: multiprocessing.process.BaseProcess | None = None

    def prepare(self, case: str, folder: Path, seconds: float) -> dict[str, Any]:
        """What was found of a case, with the reason for each way of which nothing was."""
        folder.mkdir()
        if self._process is None:
            self._start()
        why = self._asked(case, folder, seconds) or {"failure": "it gave no result"}
        path = folder / _FOUND
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        for way in ("pytorch", *WAYS):
            found.setdefault(way, {**why, "right": False})
        return found

    def _asked(self, case: str, folder: Path, seconds: float) -> dict[str, Any]:
        """Why the process could not prepare the case; nothing if it could."""
        try:
            self._pipe.send((case, folder))
            if self._pipe.poll(seconds):
                failure: str = self._pipe.recv()
                return {"failure": failure} if failure else {}
        except (EOFError, OSError):
            return {"failure": f"the process ended with {self.stop()}"}
        self.stop()
        return {"failure": f"it was not done {seconds:.0f} s after it began", "unfinished": True}

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._environment), daemon=True)
        process.start()
        theirs.close()
        self._process = process

    def stop(self) -> int | None:
        """End the process; its exit code."""
        if self._process is None:
            return None
        self._process.join(1)  # one that has crashed is about to end by itself
        self._process.kill()
        self._process.join()
        code, self._process = self._process.exitcode, None
        self._pipe.close()
        return code


def _serve(pipe: Connection, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    while True:
        case, folder = pipe.recv()
        try:
            _prepare(case, folder)
            pipe.send("")
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}"[:500])
        torch.cuda.empty_cache()


def _prepare(case: str, folder: Path) -> None:
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
