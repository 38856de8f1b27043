"""Plugins whose kernel is queued from Python, by one library or another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

import trtdsl
import trtdsl.plugins
from trtdsl.extension.nvrtc import compile_cuda
from trtdsl.types import TensorType

__all__ = ["KERNEL", "Launcher", "doubled_by", "launcher"]

Launcher: TypeAlias = Callable[[trtdsl.Buffer, trtdsl.Buffer, float, int], None]

KERNEL = """
extern "C" __global__ void doubled(const float* x, float* y, int count, float shift) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = 2 * x[i] + shift;
}
"""


def doubled_by(how: str) -> type[trtdsl.Plugin]:
    """A plugin whose kernel is queued from Python, by one library or another."""
    launch = launcher(how)

    @dataclass(frozen=True, kw_only=True)
    class Doubled(trtdsl.Plugin, version=how):
        """``2 * x + shift``."""

        shift: float

        def infer(self, x: TensorType) -> TensorType:
            return x

        def evaluate(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x + self.shift

        def run(
            self,
            inputs: Sequence[trtdsl.Buffer],
            outputs: Sequence[trtdsl.Buffer],
            *,
            workspace: trtdsl.Buffer | None,
            stream: int,
        ) -> None:
            launch(inputs[0], outputs[0], self.shift, stream)

    return Doubled


def launcher(how: str) -> Launcher:
    """A function that queues the kernel for one buffer, another, the shift and a stream.

    Errors: ImportError where the library is not installed.
    """
    return {"triton": _by_triton, "pycuda": _by_pycuda, "cupy": _by_cupy, "torch": _by_torch}[how]()


def _by_torch() -> Launcher:
    def launch(x: trtdsl.Buffer, y: trtdsl.Buffer, shift: float, stream: int) -> None:
        with torch.cuda.stream(torch.cuda.ExternalStream(stream)):
            torch.add(shift, x.torch(), alpha=2, out=y.torch())

    return launch


def _by_triton() -> Launcher:
    import triton

    from tests.plugins.triton_kernels import doubled

    def launch(x: trtdsl.Buffer, y: trtdsl.Buffer, shift: float, stream: int) -> None:
        with torch.cuda.stream(torch.cuda.ExternalStream(stream)):
            grid = (triton.cdiv(x.volume, 256),)
            doubled[grid](x.torch(), y.torch(), x.volume, shift, BLOCK=256)

    return launch


def _by_pycuda() -> Launcher:
    import numpy as np
    import pycuda.driver as cuda

    found: list[Any] = []

    def launch(x: trtdsl.Buffer, y: trtdsl.Buffer, shift: float, stream: int) -> None:
        with trtdsl.plugins.pycuda_stream(stream) as own:
            if not found:
                major, minor = torch.cuda.get_device_capability()
                cubin = compile_cuda(KERNEL, f"{major}{minor}", ())
                module = cuda.module_from_buffer(cubin)
                found.extend((module.get_function("doubled"), module))
            found[0](
                np.uintp(x.pointer),
                np.uintp(y.pointer),
                np.int32(x.volume),
                np.float32(shift),
                grid=(-(-x.volume // 256), 1),
                block=(256, 1, 1),
                stream=own,
            )

    return launch


def _by_cupy() -> Launcher:
    import cupy

    def launch(x: trtdsl.Buffer, y: trtdsl.Buffer, shift: float, stream: int) -> None:
        with cupy.cuda.ExternalStream(stream):
            cupy.copyto(cupy.asarray(y), 2 * cupy.asarray(x) + cupy.float32(shift))

    return launch
