"""``in_patches``: convolutions that make tokens of patches, as products."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

import trtdsl
from tests.cases.base import f32
from trtdsl.ir.convolution import Convolution
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.network import Network
from trtdsl.passes.patches import in_patches


def count(network: Network, kind: type) -> int:
    return sum(isinstance(op.layer, kind) for op in network.operations)


class Tokens(nn.Module):
    """A convolution over one to three axes, whose channels become the last axis."""

    def __init__(self, window: tuple[int, ...], *, bias: bool = True, flat: bool = True) -> None:
        super().__init__()
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(window) - 1]
        self.proj, self.flat = kind(3, 10, window, stride=window, bias=bias), flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.proj(x)
        return y.flatten(2).transpose(1, 2) if self.flat else y.movedim(1, -1)


class Reduced(nn.Module):
    """Tokens whose grid becomes coarser, as in SegFormer; or stays, as in SAM's neck."""

    def __init__(self, size: int, *, flat: bool) -> None:
        super().__init__()
        self.reduce, self.flat = nn.Conv2d(6, 10, size, stride=size), flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch = x.shape[0]
        if self.flat:
            y = self.reduce(x.transpose(1, 2).reshape(batch, 6, 4, 8))
            return y.reshape(batch, 10, -1).permute(0, 2, 1)
        return self.reduce(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def check(model: nn.Module, x: torch.Tensor, products: int = 1) -> Network:
    network = in_patches(trtdsl.trace(model.eval(), (x,)))
    assert (count(network, Convolution), count(network, MatrixMultiply)) == (1 - products, products)
    torch.testing.assert_close(network.evaluate(x), model(x), rtol=1e-5, atol=1e-5)
    return network


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("window", [(4,), (4, 2), (2, 4, 3)])
def test_patches_of_an_image(window: tuple[int, ...], bias: bool, flat: bool) -> None:
    sizes = [taps * (i + 2) for i, taps in enumerate(window)]
    check(Tokens(window, bias=bias, flat=flat), f32(2, 3, *sizes))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("flat", [True, False])
def test_channels_that_were_last(size: int, flat: bool) -> None:
    x = f32(2, 32, 6) if flat else f32(2, 4, 8, 6)
    network = check(Reduced(size, flat=flat), x)
    ranks = [op.outputs[0].rank for op in network.operations if not op.outputs[0].is_constant]
    assert max(ranks) == (6 if size > 1 else 4)


def test_a_batch_that_varies() -> None:
    model = Tokens((4, 4)).eval()
    shape = {0: Dim("batch", min=1, max=8)}
    network = in_patches(trtdsl.trace(model, (f32(2, 3, 8, 12),), dynamic_shapes=(shape,)))
    assert count(network, Convolution) == 0
    for batch in (1, 2, 5):
        x = f32(batch, 3, 8, 12)
        torch.testing.assert_close(network.evaluate(x), model(x), rtol=1e-5, atol=1e-5)


class Other(nn.Module):
    def __init__(self, case: str) -> None:
        super().__init__()
        options = {"overlap": {"stride": 1}, "padded": {"padding": 1}, "grouped": {"groups": 3}}
        window = 1 if case == "pixels" else 2
        self.case = case
        self.proj = nn.Conv2d(3, 6, window, **{"stride": window, **options.get(case, {})})

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        if self.case == "computed":
            weight = self.proj.weight * x.mean()
            y = F.conv2d(x, weight, stride=2)
        elif self.case == "int8":
            x = torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127)
            weight = torch.fake_quantize_per_tensor_affine(self.proj.weight, 0.1, 0, -128, 127)
            y = F.conv2d(x, weight, stride=2)
        else:
            y = self.proj(x)
        last = y.permute(0, 2, 3, 1)
        if self.case == "first":
            return y.flatten(2)
        return (last, y.relu()) if self.case == "both" else last


CASES = "overlap", "padded", "grouped", "pixels", "computed", "int8", "first", "both", "remainder"


@pytest.mark.parametrize("case", CASES)
def test_other_convolutions_stay(case: str) -> None:
    x = f32(2, 3, 7, 8) if case == "remainder" else f32(2, 3, 6, 8)
    network = in_patches(trtdsl.trace(Other(case).eval(), (x,)))
    assert (count(network, Convolution), count(network, MatrixMultiply)) == (1, 0)


def test_a_refit_reaches_the_kernel() -> None:
    """Its matrix is the weight, moved: what a refit follows."""
    model = Reduced(2, flat=False).eval()
    network = in_patches(trtdsl.trace(model, (f32(2, 4, 8, 6),)))
    names = {op.layer.weights.name for op in network.operations if hasattr(op.layer, "weights")}
    assert {"reduce.weight", "reduce.bias"} <= names
