"""Rounding up with symbolic sizes, which torch.export only captures for some multiples of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import trtdsl
from trtdsl.errors import ConversionError
from trtdsl.layers import adaptive_pooling, pooling
from trtdsl.network import Network
from trtdsl.types import DType

SIZES = range(3, 20)
WINDOWS = [(2, 2, 0), (3, 2, 0), (3, 2, 1), (5, 2, 2), (4, 1, 2), (3, 1, 1)]
"""Size, step and padding."""


def network(converter: Any, *args: Any) -> Network:
    net = Network("pool")
    height = net.dim("h", min=3, opt=8, max=20)
    result = converter(net.input("x", (2, 3, height, 5)), *args)
    net.output(result[0] if isinstance(result, tuple) else result)
    return net


def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(2, 3, size, 5, generator=generator) for size in SIZES]


def answer(net: Network, x: torch.Tensor) -> torch.Tensor:
    from trtdsl.reference import run

    return run(net, [x])[0]


@pytest.mark.parametrize("window", WINDOWS)
def test_maximum_rounds_up_as_pytorch_does(window: tuple[int, int, int]) -> None:
    size, step, padding = window
    args = ([size, 1], [step, 1], [padding, 0], [1, 1], True)
    net = network(pooling.max_pool2d, *args)
    for x in images():
        if x.shape[2] + 2 * padding >= size:
            assert torch.equal(answer(net, x), F.max_pool2d(x, *args))


@pytest.mark.parametrize("rounds_up", [True, False])
@pytest.mark.parametrize("window", [(2, 2, 1), (3, 1, 1), (2, 3, 1), (3, 2, 0)])
def test_maximum_of_windows_with_holes(window: tuple[int, int, int], rounds_up: bool) -> None:
    size, step, padding = window
    args = ([size, 1], [step, 1], [padding, 0], [2, 1], rounds_up)
    if rounds_up and 2 * size - 1 < step + padding:
        with pytest.raises(ConversionError, match="shorter than its step and padding"):
            network(pooling.max_pool2d, *args)
        return
    net = network(pooling.max_pool2d, *args)
    for x in images():
        if x.shape[2] + 2 * padding >= 2 * size - 1:
            assert torch.equal(answer(net, x), F.max_pool2d(x, *args))


@pytest.mark.parametrize("counts_padding", [True, False])
@pytest.mark.parametrize("window", WINDOWS)
def test_average_rounds_up_as_pytorch_does(
    window: tuple[int, int, int], counts_padding: bool
) -> None:
    size, step, padding = window
    args = ([size, 1], [step, 1], [padding, 0], True, counts_padding)
    if counts_padding and padding and step > 1:
        with pytest.raises(ConversionError, match="a last window"):
            network(pooling.avg_pool2d, *args)
        return
    net = network(pooling.avg_pool2d, *args)
    for x in images():
        if x.shape[2] + 2 * padding >= size:
            expected = F.avg_pool2d(x, *args)
            assert torch.allclose(answer(net, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", [(2, 2, 1), (1, 2, 0), (2, 3, 0), (3, 3, 1)])
def test_a_last_window_that_depends_on_the_size_is_refused(window: tuple[int, int, int]) -> None:
    size, step, padding = window
    with pytest.raises(ConversionError, match="leave out a last window"):
        network(pooling.max_pool2d, [size, 1], [step, 1], [padding, 0], [1, 1], True)


def test_what_needs_known_sizes_is_refused() -> None:
    whole = Network("pool")
    image = whole.input("x", (2, 3, whole.dim("h", min=3, opt=8, max=20), 5), DType.INT64)
    with pytest.raises(ConversionError, match="pooling of integers needs known sizes, not h"):
        pooling.max_pool2d(image, [2, 2], [1, 1], [0, 0], [2, 2], False)
    with pytest.raises(ConversionError, match="divisor_override with ceil_mode needs known sizes"):
        network(pooling.avg_pool2d, [2, 2], [2, 2], [0, 0], True, True, 3)


@pytest.mark.parametrize("out", [[2, 1], [4, 5], [7, 2]])
def test_adaptive_pooling_to_a_fixed_size_has_windows_of_the_run(out: list[int]) -> None:
    average = network(adaptive_pooling.adaptive_avg_pool2d, out)
    largest = network(adaptive_pooling.adaptive_max_pool2d, out)
    for x in images():
        expected = F.adaptive_avg_pool2d(x, out)
        assert torch.allclose(answer(average, x), expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(answer(largest, x), F.adaptive_max_pool2d(x, out))


def test_the_stem_of_googlenet_at_any_size() -> None:
    """torch.export cannot prove what it takes of the last window, and says so in an assertion."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(3, 2, ceil_mode=True)).eval()
    height = torch.export.Dim("height", min=16, max=64)
    example = torch.randn(1, 3, 64, 20, generator=torch.Generator().manual_seed(0))
    network = trtdsl.trace(model, (example,), dynamic_shapes=({2: height},))
    for size in (16, 17, 18, 19, 33, 64):
        x = torch.randn(1, 3, size, 20, generator=torch.Generator().manual_seed(size))
        with torch.no_grad():
            torch.testing.assert_close(network.evaluate(x), model(x), rtol=1e-5, atol=1e-6)
