"""Modules that take gradients in their forward: forces of energies, Hessians, adapted weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

import trtdsl
from tests.cases.base import f32
from tests.test_ir import answers
from trtdsl.errors import ConversionError, UnsupportedError

BATCH = Dim("batch", min=1, max=16)


class Forces(nn.Module):
    """An energy, and what pulls at each of its inputs."""

    def __init__(self, energy: nn.Module) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        with torch.enable_grad():
            places = x.detach().requires_grad_()
            energy = self.energy(places)
            (slopes,) = torch.autograd.grad(energy.sum(), places)
        return {"energy": energy, "forces": -slopes}


class Pairs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        apart = x[:, None] - x
        distance = (apart.square().sum(-1) + torch.eye(x.shape[0])).sqrt()
        return (distance**-6 - distance**-3).triu(1).sum()


class Edges(nn.Module):
    """Distances of atoms by a list of neighbours, summed at each atom."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("edges", torch.tensor([[0, 2, 1, 1], [1, 0, 2, 0]]))
        self.embed = nn.Linear(1, 4)

    def forward(self, x: Tensor) -> Tensor:
        i, j = self.edges
        messages = self.embed((x[i] - x[j]).norm(dim=-1, keepdim=True)).tanh()
        return torch.zeros(x.shape[0], 4).index_add(0, i, messages).square().sum()


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.projection(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v)


class First(nn.LSTM):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]


ENERGIES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], bool]] = {
    "rows": (
        lambda: nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.LayerNorm(8), nn.Linear(8, 1)),
        (4, 3),
        True,
    ),
    "images": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, stride=2),
            nn.GroupNorm(2, 4),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.ConvTranspose2d(4, 2, 3),
        ),
        (2, 3, 13, 12),
        True,
    ),
    "batch norm": (
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ELU()),
        (2, 3, 9),
        True,
    ),
    "pairs": (Pairs, (5, 3), True),
    "edges": (Edges, (3, 3), False),
    "attention": (SelfAttention, (2, 6, 8), True),
    "recurrent": (lambda: First(3, 4), (5, 2, 3), False),
}


@pytest.mark.parametrize("name", ENERGIES)
def test_forces(name: str) -> None:
    make, shape, varies = ENERGIES[name]
    torch.manual_seed(0)
    model = Forces(make()).eval()
    network = trtdsl.trace(
        model, (f32(*shape),), dynamic_shapes={"x": {0: BATCH}} if varies else None
    )
    for rows in (shape[0], 3, 9) if varies else (shape[0],):
        x = f32(rows, *shape[1:], seed=rows)
        ours, theirs = network.evaluate(x), model(x)
        for key in ("energy", "forces"):
            torch.testing.assert_close(ours[key], theirs[key].detach(), rtol=1e-4, atol=1e-5)
    assert {key.removeprefix("energy.") for key in network.state} == set(make().state_dict())


class Calls(nn.Module):
    def __init__(self, body: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.body, self.linear = body, nn.Linear(3, 3)
        self.plain = torch.arange(3.0)

    def forward(self, x: Tensor) -> Any:
        with torch.enable_grad():
            return self.body(self, x)


def backward(m: Any, x: Tensor) -> Any:
    y = x.detach().clone().requires_grad_()
    (m.linear(y) ** 3).sum().backward()
    return y.grad


def second(m: Any, x: Tensor) -> Any:
    y = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad((y**3 * m.plain).sum(), y, create_graph=True)
    return torch.autograd.grad(slope.sum(), y)


def adapted(m: Any, x: Tensor) -> Any:
    (step,) = torch.autograd.grad(m.linear(x).square().mean(), m.linear.weight)
    return F.linear(x, m.linear.weight - 0.1 * step)


FORMS = {
    "backward": backward,
    "second": second,
    "adapted": adapted,
    "func.grad": lambda m, x: torch.func.grad(lambda y: m.linear(y).tanh().sum())(x),
    "func.vjp": lambda m, x: torch.func.vjp(lambda y: y**2, x)[1](torch.ones_like(x)),
    "jacobian": lambda m, x: torch.func.jacrev(lambda y: (y * m.plain).sin())(x[0]),
    "forward": lambda m, x: torch.func.jacfwd(lambda y: m.linear(y).sin())(x[0]),
    "hessian": lambda m, x: torch.func.hessian(lambda y: m.linear(y).tanh().sum())(x[0]),
    "each": lambda m, x: torch.vmap(torch.func.grad(lambda y: m.linear(y).tanh().sum()))(x),
    "each hessian": lambda m, x: torch.vmap(torch.func.hessian(lambda y: m.linear(y).tanh().sum()))(
        x
    ),
    "average": lambda m, x: torch.func.grad(
        lambda y: F.avg_pool2d(y.T.reshape(1, 3, 2, 2), 2, 1, 1).square().sum()
    )(x),
    "divided": lambda m, x: torch.func.grad(
        lambda y: F.avg_pool2d(y[None], (2, 3), (2, 1), (1, 0), divisor_override=5).square().sum()
    )(x),
    **{
        f"distances {p}": lambda m, x, p=p: torch.func.grad(
            lambda y: torch.cdist(y, torch.cat([y[:1], y * 2]), p=p).square().sum()
        )(x)
        for p in (1.0, 2.0, float("inf"))
    },
    "read": lambda m, x: torch.func.grad(lambda y: (y * y.sum().item()).sum())(x),
}


@pytest.mark.parametrize("name", FORMS)
def test_ways_to_take_gradients(name: str) -> None:
    model = Calls(FORMS[name]).eval()
    network = trtdsl.trace(model, (f32(4, 3),))
    x = f32(4, 3, seed=1)
    for y, wanted in zip(answers(network.evaluate(x)), answers(model(x)), strict=True):
        torch.testing.assert_close(y, wanted.detach(), rtol=1e-5, atol=1e-5)


def test_an_example_that_requires_gradients_has_them() -> None:
    model = Calls(lambda m, x: torch.autograd.grad((x**2).sum(), x)[0]).eval()
    network = trtdsl.trace(model, (f32(4, 3).requires_grad_(),))
    torch.testing.assert_close(network.evaluate(f32(4, 3)), 2 * f32(4, 3))


def by_branch(m: Any, x: Tensor) -> Any:
    return torch.func.grad(lambda y: (y**2).sum() if x.shape[0] > 5 else y.sum())(x)


def by_value(m: Any, x: Tensor) -> Any:
    return torch.func.grad(lambda y: (y**2).sum() if x.sum() > 5 else y.sum())(x)


def test_branches_of_sizes_and_values_are_refused() -> None:
    shapes = {"x": {0: BATCH}}
    with pytest.raises(
        ConversionError, match=r"asks whether batch > 5[\s\S]*at: .*test_gradients\.py"
    ):
        trtdsl.trace(Calls(by_branch).eval(), (f32(8, 3),), dynamic_shapes=shapes)
    with pytest.raises(ConversionError, match=r"choose with torch\.where"):
        trtdsl.trace(Calls(by_value).eval(), (f32(8, 3),))


def test_what_has_no_converter_is_listed_with_its_line() -> None:
    model = Calls(lambda m, x: torch.func.grad(lambda y: torch.linalg.svdvals(y).sum())(x)).eval()
    with pytest.raises(UnsupportedError, match=r"(?s)svd.*test_gradients\.py"):
        trtdsl.trace(model, (f32(3, 3),))
