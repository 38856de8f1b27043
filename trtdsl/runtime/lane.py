"""One execution context and the stream it runs on.

A context owns the workspace of a run, so two runs of one context may only follow one another on one
stream; each stream therefore has its own lane, and a lock for the threads that share it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from trtdsl.errors import RunError, explain
from trtdsl.manifest import Manifest
from trtdsl.runtime import logger
from trtdsl.runtime.open_outputs import Memory, allocators, open_outputs

__all__ = ["Lane"]


class Lane:
    """An execution context: shapes in, shapes out, addresses, run. Hold ``lock`` around a run."""

    def __init__(self, engine: Any, manifest: Manifest, stream: int, memory: Memory) -> None:
        """Make the context in the CUDA context that is current; ``memory`` serves open outputs.

        Errors: RunError when refused.
        """
        logger.clear()
        context = engine.create_execution_context()
        if context is None:
            raise RunError(_refusal("an execution context", "free GPU memory: see device_memory"))
        self.lock = threading.Lock()
        self.stream = stream
        self.output_shapes: list[tuple[int, ...] | None] = []
        """None where the inputs' values decide: ``open`` has that output after a run."""
        self.input_shapes: list[tuple[int, ...]] | None = None
        self._context = context
        self._inputs = [spec.name for spec in manifest.inputs]
        self._all_outputs = [spec.name for spec in manifest.outputs]
        opened = {i: self._all_outputs[i] for i in open_outputs(manifest)}
        self.open = allocators(context, opened, memory) if opened else {}
        self._outputs = [n for i, n in enumerate(self._all_outputs) if i not in opened]
        self._symbolic = [i for i, spec in enumerate(manifest.inputs) if not spec.is_static]
        self._set_address = context.set_tensor_address
        self._execute = context.execute_async_v3

    def set_shapes(self, shapes: list[tuple[int, ...]]) -> None:
        """Tell TensorRT the inputs' shapes and learn the outputs'; nothing where they are the last.

        Errors: RunError when TensorRT refuses a shape, or an output's depends on the values.
        """
        if shapes == self.input_shapes:
            return
        self.input_shapes = None
        for i in self._symbolic:
            if not self._context.set_input_shape(self._inputs[i], shapes[i]):
                what = f"the shape {shapes[i]} of input {self._inputs[i]}"
                raise RunError(_refusal(what, "give a shape within the engine's profile"))
        self.output_shapes = [
            None if i in self.open else self._output_shape(name)
            for i, name in enumerate(self._all_outputs)
        ]
        self.input_shapes = shapes

    def _output_shape(self, name: str) -> tuple[int, ...]:
        dims = self._context.get_tensor_shape(name)
        try:
            shape = tuple(dims)
        except ValueError:  # TensorRT's sign that shapes contradict: a rank of -1
            what = f"the inputs' shapes: output {name} has none"
            raise RunError(_refusal(what, "give inputs whose sizes agree")) from None
        if -1 in shape:
            raise RunError(
                explain(
                    f"the size of output {name}, {shape}, depends on the inputs' values, "
                    "and the engine's manifest does not say so",
                    fix="save the engine again; its two files belong together",
                )
            )
        return shape

    def run(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Queue a run on the lane's stream. Addresses are device pointers, 256-byte aligned.

        ``outputs`` has none for open outputs. With such the call waits for their sizes.

        Errors: RunError with TensorRT's words when it refuses.
        """
        set_address = self._set_address
        for name, address in zip(self._inputs, inputs, strict=True):
            if not set_address(name, address):
                raise RunError(_refusal(f"the address {address:#x} of input {name}"))
        for name, address in zip(self._outputs, outputs, strict=True):
            if not set_address(name, address):
                raise RunError(_refusal(f"the address {address:#x} of output {name}"))
        if not self._execute(self.stream):
            raise RunError(_refusal(f"the run for inputs of shapes {self.input_shapes}"))


def _refusal(what: str, fix: str | None = None) -> str:
    words = "; ".join(logger.last_errors()) or "it gave no reason"
    return explain(f"TensorRT refused {what}: {words}", fix=fix)
