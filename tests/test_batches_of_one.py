"""``in_batches_of_one``: layers of matrices that TensorRT 8.6 gets wrong, with an axis in front."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

import trtdsl
from tests import standin
from tests.cases.base import f32
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.topk import TopK
from trtdsl.network import Network
from trtdsl.passes.batches_of_one import in_batches_of_one
from trtdsl.passes.prepared import prepared_for


class Located(nn.Module):
    """A spatial transformer: where to look in an image is six numbers that it computes."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.locate = nn.Linear(16, 6, bias=bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        seen = F.adaptive_avg_pool2d(image, 4).flatten(1)
        theta = self.locate(seen).view(-1, 2, 3) * 0.3 + torch.eye(2, 3)
        grid = F.affine_grid(theta, list(image.shape), align_corners=False)
        return F.grid_sample(image, grid, align_corners=False)


class Routed(nn.Module):
    """A mixture's router: two experts for each token, and how much each of them counts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weights, experts = self.gate(x).topk(2, dim=-1)
        return weights.softmax(-1), experts


def ranks(network: Network, layer: type) -> list[int]:
    """The ranks of what layers of a type give."""
    return [op.outputs[0].rank for op in network.operations if isinstance(op.layer, layer)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("varies", [True, False])
def test_rows_that_are_split_and_scaled(bias: bool, varies: bool) -> None:
    torch.manual_seed(0)
    model, x = Located(bias=bias).eval(), f32(3, 1, 8, 8)
    sizes = ({0: Dim("batch", min=1, max=8)},) if varies else None
    network = trtdsl.trace(model, (x,), dynamic_shapes=sizes)
    ready = prepared_for(network, standin.load("8.6.1"))
    assert ranks(network, MatrixMultiply) == [2]
    assert ranks(ready, MatrixMultiply) == [3]
    assert ranks(prepared_for(network, standin.load("10.0.1")), MatrixMultiply) == [2]
    for count in (3, 1, 5) if varies else (3,):
        x = f32(count, 1, 8, 8, seed=count)
        torch.testing.assert_close(ready.evaluate(x), model(x), rtol=1e-5, atol=1e-5)


def test_the_first_of_several_rows() -> None:
    torch.manual_seed(0)
    model, x = Routed().eval(), f32(6, 8)
    network = trtdsl.trace(model, (x,))
    ready = prepared_for(network, standin.load("8.6.1"))
    assert (ranks(network, TopK), ranks(ready, TopK)) == ([2], [3])
    assert ranks(prepared_for(network, standin.load("10.0.1")), TopK) == [2]
    (weights, experts), (wanted, chosen) = ready.evaluate(x), model(x)
    torch.testing.assert_close(weights, wanted, rtol=1e-5, atol=1e-6)
    assert torch.equal(experts, chosen)


PLAIN: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], tuple[int, ...]]] = {
    "one row": (lambda x: x.topk(2, dim=1)[1], (1, 8)),
    "columns": (lambda x: x.topk(2, dim=0)[1], (4, 8)),
    "an axis in front": (lambda x: x.topk(2, dim=2)[1], (2, 4, 8)),
    "scaled, not split": (lambda x: (x @ torch.ones(8, 6)) * 0.3, (4, 8)),
    "split, not scaled": (lambda x: (x @ torch.ones(8, 6)).view(4, 2, 3).relu(), (4, 8)),
    "rows joined again": (lambda x: (x @ torch.ones(8, 6)).view(2, 2, 6) * 0.3, (4, 8)),
    "of two inputs": (lambda x: (x @ x.mT).view(4, 2, 2) * 0.3, (4, 8)),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_stays(name: str) -> None:
    compute, shape = PLAIN[name]

    class Module(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return compute(x)

    network = trtdsl.trace(Module().eval(), (f32(*shape),))
    assert in_batches_of_one(network) is network


def test_rows_of_a_number_that_varies_stay() -> None:
    sizes = ({0: Dim("tokens", min=1, max=8)},)
    network = trtdsl.trace(Routed().eval(), (f32(6, 8),), dynamic_shapes=sizes)
    assert in_batches_of_one(network) is network
