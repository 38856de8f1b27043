"""A network written in the DSL itself: TensorRT's layers and Python's operators."""

from __future__ import annotations

import torch

import trtdsl
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.softmax import SoftMax


def mlp(hidden: torch.Tensor, last: torch.Tensor) -> trtdsl.Network:
    """``softmax(relu(x @ hidden) @ last)`` for 1 to 32 rows."""
    with trtdsl.Network("mlp") as net:
        batch = net.dim("batch", min=1, opt=8, max=32)
        x = net.input("x", (batch, hidden.shape[0]))
        h = Activation(type=ActivationType.RELU)(x @ net.constant(hidden, name="hidden"))
        y = h @ net.constant(last, name="last") * 0.5
        net.output(SoftMax(axis=1)(y), "probabilities")
    return net


def main() -> None:
    torch.manual_seed(0)
    hidden, last = torch.randn(16, 32) / 4, torch.randn(32, 4) / 4
    net = mlp(hidden, last)
    print(net)
    x = torch.randn(5, 16)
    expected = torch.softmax(torch.relu(x @ hidden) @ last * 0.5, 1)
    print(f"largest difference: {(net.evaluate(x) - expected).abs().max():.1e}")
    # Where TensorRT is: engine = net.build(); engine(x.cuda())


if __name__ == "__main__":
    main()
