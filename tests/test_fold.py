"""Batch norms that vanish into the layer before them, and networks replayed with other layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import nn

import trtdsl
from tests.test_ir import assert_close
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import rewrite
from trtdsl.reference import run

Norm = type[nn.BatchNorm1d] | type[nn.BatchNorm2d] | type[nn.BatchNorm3d]


def normed(norm: Norm, channels: int, seed: int = 0) -> nn.Module:
    """A batch norm as training would leave it."""
    generator = torch.Generator().manual_seed(seed)
    layer = norm(channels)
    for tensor in (layer.weight.data, layer.bias.data, layer.running_mean):
        assert tensor is not None
        tensor.copy_(torch.randn(channels, generator=generator))
    assert layer.running_var is not None
    layer.running_var.copy_(torch.rand(channels, generator=generator) + 0.5)
    return layer


class Shared(nn.Module):
    """The convolution's own output is read too, so its kernel must stay as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), normed(nn.BatchNorm2d, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x)
        z: torch.Tensor = self.norm(y)
        return z + y


class Twice(nn.Module):
    """One kernel, two batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.a, self.b = normed(nn.BatchNorm2d, 4), normed(nn.BatchNorm2d, 4, seed=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a: torch.Tensor = self.a(self.conv(x))
        b: torch.Tensor = self.b(self.conv(x))
        return a - b


class Product(nn.Module):
    """``mm`` with its matrix on the right, as ``addmm`` decomposes to."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(6, 5, generator=torch.Generator().manual_seed(0)))
        self.norm = normed(nn.BatchNorm1d, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(x @ self.matrix)
        return y


def pair(layer: nn.Module, norm: Norm, channels: int) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(layer, normed(norm, channels))


FOLDED = {
    "conv1d": (pair(nn.Conv1d(3, 4, 3), nn.BatchNorm1d, 4), (2, 3, 9)),
    "conv2d": (pair(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d, 4), (2, 3, 6, 6)),
    "conv2d bias": (pair(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d, 4), (2, 3, 6, 6)),
    "conv2d groups": (pair(nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d, 6), (2, 4, 6, 6)),
    "conv3d": (pair(nn.Conv3d(2, 3, 2), nn.BatchNorm3d, 3), (1, 2, 4, 4, 4)),
    "transposed": (pair(nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d, 4), (2, 3, 5, 5)),
    "transposed groups": (
        pair(nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), nn.BatchNorm2d, 6),
        (2, 4, 5, 5),
    ),
    "linear": (pair(nn.Linear(6, 5), nn.BatchNorm1d, 5), (4, 6)),
    "linear without bias": (pair(nn.Linear(6, 5, bias=False), nn.BatchNorm1d, 5), (4, 6)),
    "product": (Product, (4, 6)),
    "twice": (Twice, (2, 3, 6, 6)),
}
KEPT = {
    "shared": (Shared, (2, 3, 6, 6)),
    "behind relu": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), normed(nn.BatchNorm2d, 4)),
        (2, 3, 6, 6),
    ),
    "first": (lambda: nn.Sequential(normed(nn.BatchNorm2d, 3), nn.Conv2d(3, 4, 3)), (2, 3, 6, 6)),
    # The channels of the batch norm are the rows of the product here, not its columns.
    "linear of rank 3": (pair(nn.Linear(6, 5), nn.BatchNorm1d, 4), (2, 4, 6)),
    "linear of a square": (pair(nn.Linear(6, 4), nn.BatchNorm1d, 4), (2, 4, 6)),
}


def kinds(network: Network) -> Counter[str]:
    return Counter(o.layer.kind for o in network.operations if not o.outputs[0].is_constant)


def traced(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> Network:
    """The network, of which the answers were held against PyTorch's."""
    module = make().eval()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    network = trtdsl.trace(module, (x,))
    (actual,) = run(network, [x])
    with torch.no_grad():
        assert_close(actual, module(x), 1e-5)
    return network


@pytest.mark.parametrize(("make", "shape"), FOLDED.values(), ids=FOLDED.keys())
def test_batch_norm_vanishes(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    found = kinds(traced(make, shape))
    assert found["scale"] == 0
    assert found.total() <= 3  # the layer, or two and their difference, or a product and its bias


@pytest.mark.parametrize(("make", "shape"), KEPT.values(), ids=KEPT.keys())
def test_batch_norm_stays_where_folding_is_not_exact(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    assert kinds(traced(make, shape))["scale"] == 1


def test_a_folded_layer_keeps_its_name_and_the_weights_their_recipe() -> None:
    network = traced(*FOLDED["conv2d"])
    (conv,) = [o for o in network.operations if o.layer.kind == "convolution"]
    assert (conv.name, conv.source.module) == ("0/convolution", "0")
    weights = {o.name for o in network.operations if o.layer.kind == "constant"}
    assert {"0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"} <= weights


def negated(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    """Takes every exponential for a negation, and every ABS for nothing at all."""
    match operation.layer:
        case Unary(op=UnaryOperation.EXP):
            return (-inputs[0],)
        case Unary(op=UnaryOperation.ABS):
            return inputs
    return None


def small() -> Network:
    net = Network("small")
    n = net.dim("n", min=1, opt=2, max=4)
    x, unused = net.input("x", (n, 3)), net.input("unused", (n,))
    Unary(op=UnaryOperation.SIN)(unused)
    net.output(Unary(op=UnaryOperation.EXP)(x), "y")
    net.output(Unary(op=UnaryOperation.ABS)(x), "z")
    net.output(Unary(op=UnaryOperation.SQRT)(net.constant([4.0, 9.0])), "w")
    return net


def test_rewrite_replaces_and_keeps_names() -> None:
    old = small()
    before = [repr(o) for o in old.operations]
    new = rewrite(old, negated)
    assert [repr(o) for o in old.operations] == before
    assert [str(x) for x in new.inputs] == ["x: f32[n, 3]", "unused: f32[n]"]
    assert [x.name for x in new.outputs] == ["y", "z", "w"]
    assert new.symbols == old.symbols
    assert all(x.network is new for o in new.operations for x in (*o.inputs, *o.outputs))
    x = torch.tensor([[1.0, -2.0, 3.0]])
    y, z, w = run(new, [x, torch.zeros(1)])
    assert torch.equal(y, -x)
    assert torch.equal(z, x)
    assert w.tolist() == [2.0, 3.0]


def test_rewrite_drops_what_no_output_needs() -> None:
    ops = [o.layer.op for o in rewrite(small(), negated).operations if isinstance(o.layer, Unary)]
    assert ops == [UnaryOperation.NEG, UnaryOperation.SQRT]


def test_rewriting_again_changes_nothing() -> None:
    def keep(operation: Operation, inputs: tuple[Tensor, ...]) -> None:
        return None

    once = rewrite(small(), keep)
    twice = rewrite(once, keep)
    assert [repr(o) for o in once.operations] == [repr(o) for o in twice.operations]


def test_a_thousand_layers_are_rewritten_without_recursion() -> None:
    net = Network("deep")
    x = net.input("x", (2,))
    for _ in range(5000):
        x = Unary(op=UnaryOperation.EXP)(x)
    net.output(x, "y")
    new = rewrite(net, negated)
    assert len(new.operations) == 5000
    (y,) = run(new, [torch.tensor([1.0, -2.0])])
    assert y.tolist() == [1.0, -2.0]
