"""float64: exact where no input reaches, float32 and a warning where one does."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

import trtdsl
from trtdsl.held import PrecisionWarning


def evaluated(model: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
    """The answer, without a word about precision."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer: torch.Tensor = trtdsl.trace(model.eval(), inputs).evaluate(*inputs)
    return answer


class Rotary(nn.Module):
    """Angles too large for float32: their cosines differ by 1e-3 when they are computed in it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(x.shape[0], dtype=torch.float64) + 20000
        angles = torch.outer(positions, 1.1 ** torch.arange(x.shape[1], dtype=torch.float64))
        return x * angles.cos().to(x.dtype)


def test_constants_are_computed_in_float64() -> None:
    x = torch.ones(6, 4)
    inaccurate = torch.arange(6.0) + 20000
    inaccurate = torch.outer(inaccurate, 1.1 ** torch.arange(4.0)).cos()
    assert (Rotary()(x) - inaccurate).abs().max() > 1e-4, "float32 would do, and prove nothing"
    assert torch.equal(evaluated(Rotary(), x), Rotary()(x))


class Buffered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.tensor([1 / 3, math.pi, 1e-60], dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = (self.table * 1e30).split([1, 2])
        return x * (parts[1] * 1e30).float()


def test_buffers_of_float64_fold_through_numbers_that_float32_does_not_hold() -> None:
    x = torch.ones(2)
    assert torch.equal(evaluated(Buffered(), x), Buffered()(x))


def test_no_grad_regions_fold_too() -> None:
    class Region(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            steps = torch.arange(3, dtype=torch.float64) + 1e8
            with torch.enable_grad():
                scaled = ((steps + 1 / 3 - 1e8) * x.shape[0]).float()
            return x * scaled

    x = torch.rand(2, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(evaluated(Region(), x), Region()(x))


class Reached(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.double()
        scaled = wide * torch.tensor([1 / 3, 2.0], dtype=torch.float64)
        return (scaled.cumsum(0, dtype=torch.float64) / wide.sum()).float()


def test_what_an_input_reaches_is_float32_and_told() -> None:
    x = torch.rand(5, 2, generator=torch.Generator().manual_seed(0))
    with pytest.warns(PrecisionWarning, match="float64, which TensorRT does not have") as told:
        network = trtdsl.trace(Reached().eval(), (x,))
    assert len(told) == 1
    assert "wide = x.double()" in str(told[0].message)
    torch.testing.assert_close(network.evaluate(x), Reached()(x), rtol=1e-6, atol=0)


def test_inputs_and_outputs_of_float64_are_refused() -> None:
    with pytest.raises(trtdsl.ConversionError, match=r"input is torch\.float64"):
        trtdsl.trace(nn.ReLU().eval(), (torch.zeros(2, dtype=torch.float64),))

    class Wide(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.double() * 2

    with pytest.raises(trtdsl.ConversionError, match=r"output .* float64(.|\n)*y\.float\(\)"):
        trtdsl.trace(Wide().eval(), (torch.zeros(2),))


def test_a_constant_that_float32_cannot_hold_is_refused() -> None:
    class Huge(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            lowest = torch.full((2,), torch.finfo(torch.float64).min, dtype=torch.float64)
            return (x.double() + lowest).float()

    with pytest.raises(trtdsl.ConversionError, match="too large for float32"):
        trtdsl.trace(Huge().eval(), (torch.zeros(2),))
