"""``Engine.profile``: the layers that ran, the modules they come from, times that add up."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from tests.gpu.mlp import convert, data, mlp_engine
from trtdsl.errors import RunError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycuda.*"),
]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.act(self.conv(x))
        return y


def test_layers_and_modules() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Block(), Block(), nn.MaxPool2d(2))
    x = torch.randn(4, 16, 64, 64)
    engine = convert(model, x)
    before = engine(x.cuda())
    profile = engine.profile(x.cuda(), runs=10)
    described = [str(layer["Name"]) for layer in engine.inspect()]
    assert profile.runs == 10
    assert profile.layers, "TensorRT reported no layer"
    unknown = {layer.name for layer in profile.layers} - set(described)
    assert not unknown, f"{unknown} are no layers of the engine: {described}"
    assert all(0 <= layer.milliseconds < 50 for layer in profile.layers)
    assert any(layer.milliseconds > 0 for layer in profile.layers)
    modules = profile.modules()
    assert any(name.startswith("0") for name in modules), modules
    assert any(name.startswith("1") for name in modules), modules
    assert sum(modules.values()) == pytest.approx(profile.milliseconds)
    json.dumps(profile.to_json())
    assert len(profile.to_chrome_trace()["traceEvents"]) == 2 + 2 * len(profile.layers)
    # The engine goes on as before, without the profiler.
    assert torch.equal(engine(x.cuda()), before)


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_either_kind_of_input(kind: str) -> None:
    x: Any = data(0).cuda() if kind == "torch" else data(0).numpy()
    engine = mlp_engine()
    contexts = engine.memory.contexts
    profile = engine.profile(x, runs=3)
    assert profile.milliseconds > 0
    assert engine.memory.contexts == contexts


def test_wrong_inputs_and_counts() -> None:
    with pytest.raises(RunError, match="takes float32"):
        mlp_engine().profile(data(0).half().cuda())
    with pytest.raises(RunError, match="at least 1 run"):
        mlp_engine().profile(data(0).cuda(), runs=0)
