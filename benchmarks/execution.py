"""Runs of an engine on the GPU, with and without what Python adds, and their times there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from trtdsl.engine import Engine
from trtdsl.errors import RunError
from trtdsl.runtime.device import primary_context
from trtdsl.runtime.plan import deserialize

__all__ = ["Bare", "on_gpu", "seconds_each"]

_WINDOW = 0.03
"""Seconds of GPU work that one reading covers."""


class Bare:
    """TensorRT alone: an execution context of its own, whose addresses are set once.

    ``run`` is ``execute_async_v3`` on the stream and nothing else. Sizes are those of ``inputs``.
    """

    def __init__(
        self, engine: Engine, inputs: Sequence[torch.Tensor], stream: torch.cuda.Stream
    ) -> None:
        manifest = engine.manifest
        self.stream = stream
        self.trt_engine = deserialize(engine.plan, manifest, 0)
        with primary_context(0):
            self.context = self.trt_engine.create_execution_context()
        if self.context is None:
            raise RunError("TensorRT made no execution context; is there free GPU memory?")
        pairs = zip(manifest.inputs, inputs, strict=True)
        self.inputs = [x.cuda().to(s.engine_dtype.torch).contiguous() for s, x in pairs]
        self.outputs = [
            torch.empty([int(n) for n in spec.shape], dtype=spec.engine_dtype.torch, device="cuda")
            for spec in manifest.outputs
        ]
        specs = (*manifest.inputs, *manifest.outputs)
        for spec, tensor in zip(specs, (*self.inputs, *self.outputs), strict=True):
            if not self.context.set_tensor_address(spec.name, tensor.data_ptr()):
                raise RunError(f"TensorRT refused the address of {spec}")
        torch.cuda.synchronize()  # inputs were written on another stream
        self._execute: Callable[[int], bool] = self.context.execute_async_v3
        self._handle: int = stream.cuda_stream

    def run(self) -> None:
        """Queue a run. Errors: RunError when TensorRT refuses it."""
        if not self._execute(self._handle):
            raise RunError("TensorRT refused the run")

    def answers(self) -> list[torch.Tensor]:
        """The outputs of one run on outputs that were NaN, so that what is not written shows."""
        for y in self.outputs:
            if y.is_floating_point():
                y.fill_(float("nan"))
        torch.cuda.synchronize()
        self.run()
        self.stream.synchronize()
        return [y.clone() for y in self.outputs]


def on_gpu(
    queue: Callable[[], Any], stream: torch.cuda.Stream, *, warm_up: float = 0.5
) -> Callable[[], float]:
    """What gives a reading: GPU seconds of one ``queue()``, over many calls between two events.

    The calls are queued from Python, so a reading is the larger of the GPU's time and the host's.
    """
    calls = 4
    while (each := seconds_each(queue, stream, calls)) * calls < _WINDOW and calls < 4096:
        calls *= 2
    for _ in range(max(1, round(warm_up / (each * calls)))):
        seconds_each(queue, stream, calls)
    return lambda: seconds_each(queue, stream, calls)


def seconds_each(queue: Callable[[], Any], stream: torch.cuda.Stream, calls: int) -> float:
    """GPU seconds of a call, from an event before ``calls`` of them to one after."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.stream(stream):
        start.record(stream)
        for _ in range(calls):
            queue()
        end.record(stream)
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000 / calls
