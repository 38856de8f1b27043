"""torch CUDA tensors straight into TensorRT: no copy, on torch's current stream."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import torch

from trtdsl.manifest import Manifest
from trtdsl.runtime.device import blocking_stream
from trtdsl.runtime.lane import Lane
from trtdsl.runtime.staging import check_int32

__all__ = ["TorchRunner"]

_ALIGNMENT = 256  # bytes: https://docs.nvidia.com/deeplearning/tensorrt/, setTensorAddress


class TorchRunner:
    """Runs an engine on tensors of one GPU, with a lane for each stream it is called on.

    Inputs and outputs belong to torch's allocator, which hands memory out again in the order of the
    stream it was used on; the run is queued in that order too, so nothing has to be held back.
    """

    def __init__(self, engine: Any, manifest: Manifest, device: int) -> None:
        self._engine = engine
        self._manifest = manifest
        self._index = device
        self._device = torch.device("cuda", device)
        self._lanes: dict[int, Lane] = {}
        self._lock = threading.Lock()
        # The private call is what torch.cuda.current_stream wraps, about 1 us faster.
        self._current_stream = torch._C._cuda_getCurrentRawStream
        self._input_dtypes = [spec.dtype.torch for spec in manifest.inputs]
        self._output_dtypes = [spec.engine_dtype.torch for spec in manifest.outputs]
        self._narrowed = [s for s in manifest.inputs if s.dtype is not s.engine_dtype]
        self._widened = [s for s in manifest.outputs if s.dtype is not s.engine_dtype]
        # TensorRT wants an address for an empty tensor too.
        self._nowhere = torch.empty(_ALIGNMENT, dtype=torch.uint8, device=self._device)

    def again(self, inputs: Sequence[Any]) -> list[torch.Tensor] | None:
        """Outputs for inputs like the last call's on this stream; None where anything differs.

        The whole check of a repeated call: each dtype, shape, device and layout is compared here.
        """
        index = self._index
        if torch.cuda.current_device() != index:
            return None
        lane = self._lanes.get(self._current_stream(index))
        if lane is None:
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
                ):
                    return None
            return self._launch(lane, inputs)

    def __call__(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Outputs of checked inputs. Errors: RunError from TensorRT."""
        with torch.cuda.device(self._index):
            lane = self._lane(self._current_stream(self._index))
            with lane.lock:
                lane.set_shapes([tuple(x.shape) for x in inputs])
                return self._launch(lane, inputs)

    def _lane(self, stream: int) -> Lane:
        with self._lock:
            if stream not in self._lanes:
                # 0 is the default stream, on which TensorRT would synchronize the device.
                handle = stream or blocking_stream(self._index)
                self._lanes[stream] = Lane(self._engine, self._manifest, handle, self._memory)
            return self._lanes[stream]

    def _launch(self, lane: Lane, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        if self._narrowed:
            inputs = self._narrow(inputs)
        nowhere = self._nowhere.data_ptr()
        addresses = [x.data_ptr() or nowhere for x in inputs]
        if any(address % _ALIGNMENT for address in addresses):
            inputs = [x.clone() if x.data_ptr() % _ALIGNMENT else x for x in inputs]
            addresses = [x.data_ptr() or nowhere for x in inputs]
        device = self._device
        shapes = zip(lane.output_shapes, self._output_dtypes, strict=True)
        outputs = [
            torch.empty(shape, dtype=dtype, device=device)
            for shape, dtype in shapes
            if shape is not None
        ]
        lane.run(addresses, [y.data_ptr() or nowhere for y in outputs])
        for index, allocator in lane.open.items():
            outputs.insert(index, self._found(index, *allocator.take()))
        return self._widen(outputs) if self._widened else outputs

    def _memory(self, index: int, size: int) -> tuple[int, torch.Tensor]:
        """Memory for an output whose size has just become known."""
        block = torch.empty(size, dtype=torch.uint8, device=self._device)
        return block.data_ptr(), block

    def _found(self, index: int, block: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        """That output; TensorRT may have asked for more, and what is short holds no long block."""
        dtype = self._output_dtypes[index]
        size = math.prod(shape) * dtype.itemsize
        y = block[:size].view(dtype).reshape(shape)
        return y.clone() if block.numel() > 2 * size + _ALIGNMENT else y

    def _narrow(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        narrowed = []
        for x, spec in zip(inputs, self._manifest.inputs, strict=True):
            if spec in self._narrowed:
                narrowed.append(_to_int32(x, spec.name))
            else:
                narrowed.append(x)
        return narrowed

    def _widen(self, outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        specs = self._manifest.outputs
        return [y.to(spec.dtype.torch) for y, spec in zip(outputs, specs, strict=True)]


def _to_int32(x: torch.Tensor, name: str) -> torch.Tensor:
    """Checked narrowing. Reading the extremes waits for the GPU: the price of TensorRT 8.6."""
    if x.numel():
        low, high = torch.aminmax(x)
        check_int32(name, int(low), int(high))
    return x.to(torch.int32)
