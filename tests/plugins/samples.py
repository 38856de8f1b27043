"""Small plugins that use one feature each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.plugin import Plugin
from trtdsl.types import TensorType

SWISH = """
extern "C" __global__ void swish(const T0* x, T1* y, int count, float beta) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) {
        float value = x[i];
        y[i] = value / (1.0f + expf(-beta * value));
    }
}
"""


@dataclass(frozen=True, kw_only=True)
class Swish(Plugin, kernel=SWISH):
    """``x * sigmoid(beta * x)``, in CUDA C++."""

    beta: float

    def infer(self, x: TensorType) -> TensorType:
        return x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return (x.float() * torch.sigmoid(self.beta * x.float())).to(x.dtype)

    def launch(self, x: Buffer, y: Buffer, *, workspace: Buffer | None) -> Launch:
        blocks = -(-x.volume // 256)
        return Launch(kernel="swish", grid=blocks, block=256, args=(x, y, x.volume, self.beta))


TWO_STEPS = """
extern "C" __global__ void square(const T0* x, float* kept, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) kept[i] = (float)x[i] * (float)x[i];
}
extern "C" __global__ void rows(const float* kept, T1* sums, int* counts, int columns) {
    float sum = 0.0f;
    int above = 0;
    for (int i = 0; i < columns; ++i) {
        float value = kept[blockIdx.x * columns + i];
        sum += value;
        above += value > 1.0f;
    }
    sums[blockIdx.x] = sum;
    counts[blockIdx.x] = above;
}
"""


@dataclass(frozen=True, kw_only=True)
class RowSquares(Plugin, kernel=TWO_STEPS, version="2"):
    """The sum of squares of each row and how many are above 1: two outputs, a workspace."""

    def infer(self, x: TensorType) -> tuple[TensorType, TensorType]:
        from trtdsl.types import DType

        return x.with_shape(x.shape[:1]), TensorType(DType.INT32, x.shape[:1])

    def evaluate(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        squares = x.float() ** 2
        return squares.sum(1).to(x.dtype), (squares > 1).sum(1).int()

    def workspace(self, x: TensorType) -> int:
        return int(4 * x.shape[0] * x.shape[1])

    def launch(
        self, x: Buffer, sums: Buffer, counts: Buffer, *, workspace: Buffer | None
    ) -> tuple[Launch, Launch]:
        blocks = -(-x.volume // 128)
        return (
            Launch(kernel="square", grid=blocks, block=128, args=(x, workspace, x.volume)),
            Launch(
                kernel="rows",
                grid=x.shape[0],
                block=1,
                args=(workspace, sums, counts, x.shape[1]),
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Rolled(Plugin):
    """Rolled along the last axis, by PyTorch, and ``end`` put behind it."""

    shift: int
    end: float

    def infer(self, x: TensorType) -> TensorType:
        return x.with_shape((*x.shape[:-1], x.shape[-1] + 1))

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(x.roll(self.shift, -1), (0, 1), value=self.end)

    def run(
        self,
        inputs: Sequence[Buffer],
        outputs: Sequence[Buffer],
        *,
        workspace: Buffer | None,
        stream: int,
    ) -> None:
        (x,), (y,) = inputs, outputs
        with torch.cuda.stream(torch.cuda.ExternalStream(stream)):
            y.torch().copy_(self.evaluate(x.torch()))


@dataclass(frozen=True, kw_only=True)
class Failing(Plugin):
    """Raises whenever it runs."""

    def infer(self, x: TensorType) -> TensorType:
        return x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def run(
        self,
        inputs: Sequence[Buffer],
        outputs: Sequence[Buffer],
        *,
        workspace: Buffer | None,
        stream: int,
    ) -> None:
        raise ArithmeticError(f"no way to compute {inputs[0].shape}")
