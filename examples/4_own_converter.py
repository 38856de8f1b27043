"""An operator that trtdsl does not know: what it says, and the three lines that teach it."""

from __future__ import annotations

import torch
from torch import nn

import trtdsl


@torch.library.custom_op("example::soft_clip", mutates_args=())
def soft_clip(x: torch.Tensor, limit: float) -> torch.Tensor:
    """``limit * tanh(x / limit)``, in an operator of one's own."""
    return limit * torch.tanh(x / limit)


@soft_clip.register_fake
def _(x: torch.Tensor, limit: float) -> torch.Tensor:
    return torch.empty_like(x)


class Clipped(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return soft_clip(x * 3, 2.0)


def main() -> None:
    model, x = Clipped().eval(), torch.linspace(-4, 4, 9)
    print(trtdsl.check(model, (x,)))

    from trtdsl.ir.activation import Activation, ActivationType

    @trtdsl.converter(torch.ops.example.soft_clip.default)
    def convert_soft_clip(x: trtdsl.Tensor, limit: float) -> trtdsl.Tensor:
        """``limit * tanh(x / limit)``."""
        return Activation(type=ActivationType.TANH)(x / limit) * limit

    print("\nwith a converter:", trtdsl.check(model, (x,)))
    converted = trtdsl.convert(model, (x,), backend="reference")
    print(f"largest difference: {(converted(x) - model(x)).abs().max():.1e}")


if __name__ == "__main__":
    main()
