"""Whole models with random weights: the traced network's evaluation against PyTorch, in float32."""

from __future__ import annotations

import copy
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests.models import small
from trtdsl.ir.scale import Scale
from trtdsl.network import Network

TOLERANCE = 1e-5
"""The largest error over the largest answer; float32 sums in another order reach about 2e-6.

Where more is left, what the model makes of roundings is measured: PyTorch's own distance from
float64. Inception v3's is 1.6e-5 on some processors, whose sums are others than elsewhere.
"""

VISION = (
    "resnet18", "resnet50", "vgg11_bn", "densenet121", "squeezenet1_1", "mobilenet_v2",
    "mobilenet_v3_large", "shufflenet_v2_x1_0", "efficientnet_b0", "regnet_y_400mf",
    "convnext_tiny", "inception_v3",
)  # fmt: skip
DYNAMIC = ("resnet18", "mobilenet_v3_large", "shufflenet_v2_x1_0", "densenet121")

Built = tuple[nn.Module, tuple[Any, ...]]


def vision() -> dict[str, Callable[[], Built]]:
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed: make test installs it")
    models: dict[str, Callable[[], Built]] = importlib.import_module("tests.models.vision").MODELS
    return models


def leaves(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    children = value.values() if isinstance(value, dict) else value
    return [leaf for child in children for leaf in leaves(child)]


def assert_agrees(network: Network, model: nn.Module, inputs: tuple[Any, ...]) -> None:
    with torch.no_grad():
        expected = leaves(model(*inputs))
    for ours, theirs in zip(leaves(network.evaluate(*inputs)), expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        if not theirs.is_floating_point():
            assert torch.equal(ours, theirs)
            continue
        largest = theirs.abs().max()
        assert largest > 1e-3, "an answer of zeros agrees with anything"
        error = float((ours.double() - theirs.double()).abs().max() / largest)
        allowed = TOLERANCE if error <= TOLERANCE else 2 * rounding(model, inputs)
        assert error <= allowed, f"relative error {error:.2e}, {allowed:.1e} allowed"


def rounding(model: nn.Module, inputs: tuple[Any, ...]) -> float:
    """How far PyTorch's float32 is from its float64: the largest error over the largest answer."""
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    with torch.no_grad():
        single, double = leaves(model(*inputs)), leaves(copy.deepcopy(model).double()(*wide))
    pairs = [(x, y) for x, y in zip(single, double, strict=True) if y.is_floating_point()]
    return max(float((x - y).abs().max() / y.abs().max()) for x, y in pairs)


def test_every_vision_model_is_tried() -> None:
    assert set(vision()) == set(VISION)


@pytest.mark.parametrize("name", VISION)
def test_vision_model(name: str) -> None:
    model, inputs = vision()[name]()
    assert_agrees(trtdsl.trace(model, inputs), model, inputs)


@pytest.mark.parametrize("name", DYNAMIC)
def test_vision_model_with_a_dynamic_batch(name: str) -> None:
    model, (x,) = vision()[name]()
    batch = {0: Dim("batch", min=1, max=8)}
    network = trtdsl.trace(model, (x,), dynamic_shapes=(batch,))
    assert (network.symbols["batch"].opt, network.symbols["batch"].max) == (1, 8)
    generator = torch.Generator().manual_seed(1)
    for size in (1, 3):
        assert_agrees(network, model, (torch.randn(size, *x.shape[1:], generator=generator),))


@pytest.mark.parametrize("name", small.MODELS)
def test_small_model(name: str) -> None:
    model, inputs = small.MODELS[name]()
    assert_agrees(trtdsl.trace(model, inputs), model, inputs)


def test_unet_of_a_dynamic_size() -> None:
    model, (x,) = small.MODELS["unet_bilinear"]()
    tall, wide = Dim("tall", min=2, max=32), Dim("wide", min=2, max=32)
    shape = {0: Dim("batch", min=1, max=4), 2: 8 * tall, 3: 8 * wide}
    network = trtdsl.trace(model, (x,), dynamic_shapes=(shape,))
    generator = torch.Generator().manual_seed(1)
    for size in ((1, 3, 64, 96), (2, 3, 40, 24)):
        assert_agrees(network, model, (torch.randn(size, generator=generator),))


def test_batch_norms_are_folded_away() -> None:
    model, inputs = vision()["resnet18"]()
    network = trtdsl.trace(model, inputs)
    assert not [op for op in network.operations if isinstance(op.layer, Scale)]


def test_float16_stays_near_float32() -> None:
    model, inputs = vision()["resnet18"]()
    with torch.no_grad():
        expected = model(*inputs)
    answer = trtdsl.trace(model, inputs, precision="fp16").evaluate(*inputs)
    assert answer.dtype is torch.float32
    error = float((answer - expected).abs().max() / expected.abs().max())
    assert 1e-5 < error < 1e-2
