"""One execution context: shapes in, shapes out, addresses, run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trtdsl.errors import RunError, explain
from trtdsl.extension import failures
from trtdsl.manifest import Manifest
from trtdsl.runtime import logger
from trtdsl.runtime.device import let_go
from trtdsl.runtime.open_outputs import Memory, allocators, open_outputs
from trtdsl.runtime.workspace import Workspace

__all__ = ["Context", "refusal"]


class Context:
    """A TensorRT execution context of one profile.

    It owns the state of a run, so its runs may only follow one another on one stream.
    """

    def __init__(
        self,
        trt_context: Any,
        manifest: Manifest,
        device: int,
        memory: Memory,
        *,
        workspace: Workspace | None = None,
        takes_turns: bool = False,
    ) -> None:
        """``workspace`` is what the context was given; it has its own where that is None.

        ``memory`` serves the outputs whose sizes values decide.
        With ``takes_turns`` contexts on other streams use it too.
        """
        self._device = device
        self.output_shapes: list[tuple[int, ...] | None] = []
        """None where the inputs' values decide: ``open`` has that output after a run."""
        self.input_shapes: list[tuple[int, ...]] | None = None
        self._context = trt_context
        self.workspace = workspace
        self._turns = workspace if takes_turns else None
        self._inputs = [spec.name for spec in manifest.inputs]
        self._all_outputs = [spec.name for spec in manifest.outputs]
        opened = {i: self._all_outputs[i] for i in open_outputs(manifest)}
        self.open = allocators(trt_context, opened, memory) if opened else {}
        self._outputs = [name for i, name in enumerate(self._all_outputs) if i not in opened]
        self._symbolic = [i for i, spec in enumerate(manifest.inputs) if not spec.is_static]
        self._set_address = trt_context.set_tensor_address
        self._known: dict[str, int] = {}
        self._execute = trt_context.execute_async_v3

    def __del__(self) -> None:
        let_go(self._device, self, "_context", "_set_address", "_execute", "open")

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
                raise RunError(refusal(what, "give a shape within the engine's profile"))
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
            raise RunError(refusal(what, "give inputs whose sizes agree")) from None
        if -1 in shape:
            raise RunError(
                explain(
                    f"the size of output {name}, {shape}, depends on the inputs' values, "
                    "and the engine's manifest does not say so",
                    fix="save the engine again; its two files belong together",
                )
            )
        return shape

    def run(self, stream: int, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Queue a run on a stream. Addresses are device pointers, 256-byte aligned.

        ``outputs`` has none for open outputs. With such the call waits for their sizes.
        Errors: RunError with TensorRT's words when it refuses.
        """
        known = self._known
        for name, address in zip(self._inputs, inputs, strict=True):
            if known.get(name) != address:
                self._place("input", name, address)
        for name, address in zip(self._outputs, outputs, strict=True):
            if known.get(name) != address:
                self._place("output", name, address)
        if self._turns is None:
            self.execute(stream)
        else:
            self._turns.queue(stream, self.execute)

    @property
    def takes_turns(self) -> bool:
        """Whether contexts on other streams use the workspace."""
        return self._turns is not None

    def _place(self, kind: str, name: str, address: int) -> None:
        if not self._set_address(name, address):
            raise RunError(refusal(f"the address {address:#x} of {kind} {name}"))
        self._known[name] = address

    def queue(self, stream: int, run: Callable[[int], None]) -> None:
        """``run(stream)``, and in turn where contexts on other streams use the workspace."""
        if self._turns is None:
            run(stream)
        else:
            self._turns.queue(stream, run)

    def execute(self, stream: int) -> None:
        """Queue a run with the shapes and addresses that were set last. Errors: RunError."""
        if not self._execute(stream):
            cause = failures.take()
            said = refusal(f"the run for inputs of shapes {self.input_shapes}")
            raise RunError(said + failures.told(cause)) from cause


def refusal(what: str, fix: str | None = None) -> str:
    """The message for what TensorRT refused, with the words that it logged."""
    words = "; ".join(logger.last_errors()) or "it gave no reason"
    return explain(f"TensorRT refused {what}: {words}", fix=fix)
