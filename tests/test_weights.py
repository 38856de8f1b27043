"""Weights of a captured module: their names, tied ones, and the modules that layers come from."""

from __future__ import annotations

import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from tests.test_capture import same
from trtdsl.ir.constant import Constant
from trtdsl.network import Network


def weights_of(network: Network) -> dict[str, torch.Tensor]:
    constants = [op.layer for op in network.operations if isinstance(op.layer, Constant)]
    return {c.weights.name: c.weights.tensor for c in constants if c.weights.name is not None}


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.block = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("shift", torch.arange(4.0))
        self.register_buffer("scale", torch.full((4,), 0.5), persistent=False)

    def forward(self, index: torch.Tensor) -> torch.Tensor:
        hidden = self.block(self.embed(index)) * self.scale + self.shift
        logits: torch.Tensor = self.head(hidden) + torch.tensor([0.25])
        return logits


def test_weights_go_by_state_dict_name_tied_ones_once_and_are_not_copied() -> None:
    torch.manual_seed(0)
    model, index = Tied().eval(), torch.tensor([[1, 2, 3]])
    network = trtdsl.trace(model, (index,))
    same(network.evaluate(index), model(index))
    weights, own = weights_of(network), dict(model.named_parameters()) | dict(model.named_buffers())
    assert {"embed.weight", "block.0.weight", "block.0.bias", "shift", "scale"} <= weights.keys()
    assert "head.weight" not in weights
    for name in weights.keys() & own.keys():
        assert weights[name].data_ptr() == own[name].data_ptr()
    assert sum(w.data_ptr() == model.embed.weight.data_ptr() for w in weights.values()) == 1


def test_parts_of_one_storage_are_not_taken_for_tied() -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            both = f32(2, 2)
            self.register_buffer("rows", both)
            self.register_buffer("columns", both.T)
            self.register_buffer("first", both[0])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = x @ self.rows + x @ self.columns * 10 + self.first * 100
            return result

    model, x = Parts().eval(), f32(3, 2)
    same(trtdsl.trace(model, (x,)).evaluate(x), model(x))


def test_module_paths_name_the_layers() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Sigmoid())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.model(x) + 1
            return y

    network = trtdsl.trace(Outer().eval(), (f32(2),))
    sources = [(op.source.module, op.source.operator) for op in network.operations if op.inputs]
    assert sources[:2] == [("model.0.0", "aten.relu.default"), ("model.1", "aten.sigmoid.default")]
    added = [op.source for op in network.operations if op.source.operator == "aten.add.Tensor"]
    assert {s.module for s in added} == {""}
    assert "test_weights.py" in added[0].line
    assert "self.model(x) + 1" in added[0].line
