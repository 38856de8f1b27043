"""torch CUDA tensors straight into TensorRT: no copy, on torch's current stream."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from trtdsl.errors import RunError, explain
from trtdsl.manifest import TensorSpec
from trtdsl.runtime.contexts import Contexts, GraphMode
from trtdsl.runtime.cuda import copier
from trtdsl.runtime.device import (
    blocking_stream,
    current_context,
    primary_context,
    primary_handle,
    settle,
)
from trtdsl.runtime.graphs import ALIGNMENT, Captured, Shape
from trtdsl.runtime.interop import refuse_foreign
from trtdsl.runtime.lane import Lane
from trtdsl.runtime.numbers import check_int32

__all__ = ["TorchRunner", "overlap"]


class TorchRunner:
    """Runs an engine on tensors of one GPU, with a lane for each stream it is called on.

    Inputs and outputs belong to torch's allocator, which hands memory out again in the order of the
    stream it was used on; the run is queued in that order too, so nothing has to be held back.
    """

    def __init__(self, contexts: Contexts, *, graphs: GraphMode = False) -> None:
        manifest = contexts.manifest
        self._contexts = contexts
        self._manifest = manifest
        self._graphs = graphs
        self._index = contexts.device
        self._primary = primary_handle(contexts.device)
        self._device = torch.device("cuda", contexts.device)
        self._lanes: dict[int, Lane] = {}
        self._lock = threading.Lock()
        # The private calls are what those of torch.cuda wrap, about 1 us faster.
        self._current_stream = torch._C._cuda_getCurrentRawStream
        self._current_device = torch._C._cuda_getDevice
        self._input_dtypes = [spec.dtype.torch for spec in manifest.inputs]
        self._output_dtypes = [spec.engine_dtype.torch for spec in manifest.outputs]
        self._narrowed = [s for s in manifest.inputs if s.dtype is not s.engine_dtype]
        self._widened = [s for s in manifest.outputs if s.dtype is not s.engine_dtype]
        self._copy = copier()
        # TensorRT wants an address for an empty tensor too.
        self._nowhere = torch.empty(ALIGNMENT, dtype=torch.uint8, device=self._device)

    def again(self, inputs: Sequence[Any]) -> list[torch.Tensor] | None:
        """Outputs for inputs like the last call's on this stream; None where anything differs.

        The whole check of a repeated call: each dtype, shape, device and layout is compared here.
        """
        index = self._index
        if self._current_device() != index:
            if not inputs or not torch.is_tensor(inputs[0]) or inputs[0].get_device() != index:
                return None
            with torch.cuda.device(index):
                return self._again(inputs)
        return self._again(inputs)

    def _again(self, inputs: Sequence[Any]) -> list[torch.Tensor] | None:
        index = self._index
        lane = self._lanes.get(self._current_stream(index))
        if lane is None or current_context() != self._primary:
            return None
        with lane.lock:
            shapes = lane.input_shapes
            if shapes is None or len(inputs) != len(shapes):
                return None
            for x, dtype, shape in zip(inputs, self._input_dtypes, shapes, strict=True):
                if not (
                    isinstance(x, torch.Tensor)
                    and x.dtype is dtype
                    and x.shape == shape
                    and x.get_device() == index
                    and x.is_contiguous()
                    and not x.is_neg()
                ):
                    return None
            return self._launch(lane, inputs)

    def __call__(
        self, inputs: Sequence[torch.Tensor], into: Sequence[torch.Tensor] | None = None
    ) -> list[torch.Tensor]:
        """Outputs of checked inputs; in ``into``, which fits, where it is given.

        Errors: RunError from TensorRT, or for a tensor that lies in another CUDA context.
        """
        if current_context() not in (None, self._primary):
            refuse_foreign([*inputs, *(into or ())], self._primary)
        with self._ready([tuple(x.shape) for x in inputs]) as lane:
            if into is None:
                return self._launch(lane, inputs)
            self._check_into(lane, into)
            fit = all(y.data_ptr() % ALIGNMENT == 0 for y in into)
            direct = fit and not self._widened and not overlap(inputs, into)
            outputs = self._launch(lane, inputs, into if direct else None)
            if not direct:
                for y, output in zip(into, outputs, strict=True):
                    y.copy_(output)
            return list(into)

    def queued(self, inputs: Sequence[torch.Tensor]) -> Callable[[], list[torch.Tensor]]:
        """Queue a run; what waits for its end and gives the outputs. Errors: RunError."""
        outputs = self(inputs)
        event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))

        def wait() -> list[torch.Tensor]:
            event.synchronize()
            return outputs

        return wait

    def _check_into(self, lane: Lane, into: Sequence[torch.Tensor]) -> None:
        specs = zip(self._manifest.outputs, lane.output_shapes, strict=True)
        for (spec, shape), y in zip(specs, into, strict=True):
            wanted = (spec.dtype.torch, _known(spec, shape), self._device)
            found = (y.dtype, tuple(y.shape), y.device)
            if found != wanted or not y.is_contiguous() or y.is_neg():
                raise RunError(
                    explain(
                        f"output {spec.name} is {found[0]} {found[1]} on {found[2]} with strides "
                        f"{y.stride()}, and the engine writes {wanted[0]} {wanted[1]} on "
                        f"{wanted[2]}, contiguous",
                        fix="outputs = engine.empty_outputs(...)",
                    )
                )

    def empty(self, shapes: list[Shape]) -> list[torch.Tensor]:
        """Outputs for inputs of these shapes, with undefined contents. Errors: RunError."""
        with self._ready(shapes) as lane:
            specs = zip(self._manifest.outputs, lane.output_shapes, strict=True)
            return [
                torch.empty(_known(spec, shape), dtype=spec.dtype.torch, device=self._device)
                for spec, shape in specs
            ]

    @contextmanager
    def _ready(self, shapes: list[Shape]) -> Iterator[Lane]:
        """The lane of torch's current stream, locked, with the shapes set."""
        if torch.cuda.current_device() == self._index:
            settle(self._index)
        with torch.cuda.device(self._index), primary_context(self._index):
            lane = self._lane(self._current_stream(self._index))
            with lane.lock:
                if self._graphs:
                    lane.capture(shapes)
                else:
                    lane.set_shapes(shapes)
                yield lane

    def _lane(self, stream: int) -> Lane:
        with self._lock:
            if stream not in self._lanes:
                # 0 is the default stream, on which TensorRT would synchronize the device.
                handle = stream or blocking_stream(self._index)
                self._lanes[stream] = Lane(self._contexts, handle, partial(_memory, self._device))
            return self._lanes[stream]

    def _launch(
        self,
        lane: Lane,
        inputs: Sequence[torch.Tensor],
        into: Sequence[torch.Tensor] | None = None,
    ) -> list[torch.Tensor]:
        if self._narrowed:
            inputs = self._narrow(inputs)
        if lane.captured is not None:
            outputs = self._replay(lane, lane.captured, inputs, into)
        else:
            outputs = self._run(lane, inputs, into)
        return self._widen(outputs) if self._widened else outputs

    def _run(
        self, lane: Lane, inputs: Sequence[torch.Tensor], into: Sequence[torch.Tensor] | None
    ) -> list[torch.Tensor]:
        nowhere = self._nowhere.data_ptr()
        addresses = [x.data_ptr() or nowhere for x in inputs]
        if any(address % ALIGNMENT for address in addresses):
            inputs = [x.clone() if x.data_ptr() % ALIGNMENT else x for x in inputs]
            addresses = [x.data_ptr() or nowhere for x in inputs]
        outputs = self._empty(lane) if into is None else list(into)
        lane.run(addresses, [y.data_ptr() or nowhere for y in outputs])
        for index, allocator in lane.open.items():
            outputs.insert(index, self._found(index, *allocator.take()))
        return outputs

    def _found(self, index: int, block: torch.Tensor, shape: Shape) -> torch.Tensor:
        """That output; TensorRT may have asked for more, and what is short holds no long block."""
        dtype = self._output_dtypes[index]
        size = math.prod(shape) * dtype.itemsize
        y = block[:size].view(dtype).reshape(shape)
        return y.clone() if block.numel() > 2 * size + ALIGNMENT else y

    def _replay(
        self,
        lane: Lane,
        captured: Captured,
        inputs: Sequence[torch.Tensor],
        into: Sequence[torch.Tensor] | None,
    ) -> list[torch.Tensor]:
        if into is None and self._graphs == "borrow":
            captured.views = captured.views or self._views(captured)
            outputs = list(captured.views)
        else:
            outputs = self._empty(lane) if into is None else list(into)
        if captured.run_at((*(x.data_ptr() for x in inputs), *(y.data_ptr() for y in outputs))):
            return outputs
        copy, stream = self._copy, lane.stream
        for x, memory in zip(inputs, captured.inputs, strict=True):
            copy(memory.address, x.data_ptr(), memory.size, stream)
        captured.launch()
        for y, memory in zip(outputs, captured.outputs, strict=True):
            if y.data_ptr() != memory.address:
                copy(y.data_ptr(), memory.address, memory.size, stream)
        return outputs

    def _empty(self, lane: Lane) -> list[torch.Tensor]:
        device = self._device
        return [
            torch.empty(shape, dtype=dtype, device=device)
            for shape, dtype in zip(lane.output_shapes, self._output_dtypes, strict=True)
            if shape is not None
        ]

    def _views(self, captured: Captured) -> list[torch.Tensor]:
        """The graph's own buffers as tensors, which keep them."""
        return [
            torch.as_tensor(memory, device=self._device).view(dtype).reshape(shape)
            for memory, dtype, shape in zip(
                captured.outputs, self._output_dtypes, captured.output_shapes, strict=True
            )
        ]

    def _narrow(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        specs = self._manifest.inputs
        return [
            _to_int32(x, spec.name) if spec.dtype is not spec.engine_dtype else x
            for x, spec in zip(inputs, specs, strict=True)
        ]

    def _widen(self, outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        specs = self._manifest.outputs
        return [y.to(spec.dtype.torch) for y, spec in zip(outputs, specs, strict=True)]


def overlap(inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> bool:
    """Whether any output has memory of an input, which TensorRT may read when it has written."""

    def ends(x: torch.Tensor) -> tuple[int, int]:
        return x.data_ptr(), x.data_ptr() + x.nbytes

    reads, writes = map(ends, inputs), list(map(ends, outputs))
    return any(start < stop and begin < end for begin, stop in reads for start, end in writes)


def _memory(device: torch.device, index: int, size: int) -> tuple[int, torch.Tensor]:
    """Memory for an output whose size has just become known."""
    block = torch.empty(max(size, 1), dtype=torch.uint8, device=device)
    return block.data_ptr(), block


def _known(spec: TensorSpec, shape: Shape | None) -> Shape:
    if shape is None:
        raise RunError(
            explain(
                f"the size of output {spec} depends on the inputs' values, so nobody can allocate "
                "it before a run",
                fix="engine(...)",
            )
        )
    return shape


def _to_int32(x: torch.Tensor, name: str) -> torch.Tensor:
    """Checked narrowing. Reading the extremes waits for the GPU: the price of TensorRT 8.6.

    int8, of which no release has plain numbers, fits.
    """
    if x.numel() and x.dtype is torch.int64:
        low, high = torch.aminmax(x)
        check_int32(name, int(low), int(high))
    return x.to(torch.int32)
