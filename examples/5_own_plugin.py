"""An operator that TensorRT lacks: its kernel in CUDA C++, in one small class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

import trtdsl


@torch.library.custom_op("example::star_relu", mutates_args=())
def star_relu(x: torch.Tensor, scale: float, bias: float) -> torch.Tensor:
    """``scale * relu(x)^2 + bias``, in an operator of one's own."""
    return scale * torch.relu(x) ** 2 + bias


star_relu.register_fake(lambda x, scale, bias: torch.empty_like(x))

KERNEL = """
extern "C" __global__ void star_relu(const T0* x, T1* y, int count, float scale, float bias) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = x[i] > 0.0f ? scale * x[i] * x[i] + bias : bias;
}
"""


@trtdsl.plugin(torch.ops.example.star_relu.default)
@dataclass(frozen=True, kw_only=True)
class StarRelu(trtdsl.Plugin, kernel=KERNEL):
    scale: float
    bias: float

    def infer(self, x):  # the output's type and shape
        return x

    def evaluate(self, x):  # the same in PyTorch: the reference, without a GPU
        return star_relu(x, self.scale, self.bias)

    def launch(self, x, y, *, workspace):  # how the kernel is started for these shapes
        args = (x, y, x.volume, self.scale, self.bias)
        return trtdsl.Launch(kernel="star_relu", grid=-(-x.volume // 256), block=256, args=args)


class Model(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return star_relu(x - 1, 0.9, -0.4) * 2


if __name__ == "__main__":
    model, x = Model().eval(), torch.linspace(-4, 4, 9)
    print(trtdsl.trace(model, (x,)))
    converted = trtdsl.convert(model, (x,), backend="reference")  # with a GPU: leave backend out
    print(f"largest difference: {(converted(x) - model(x)).abs().max():.1e}")
