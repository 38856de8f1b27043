"""Matrices that are inverted inside a model: in half precision, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from tests.cases.linear_algebra import definite
from tests.test_ir import assert_close


class Warp(nn.Module):
    """Points through the inverse of a matrix that is far from singular, but not in 16 bits."""

    def forward(self, matrix: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        return torch.linalg.inv(matrix) + torch.linalg.solve(matrix, points)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_elimination_stays_in_float32(precision: str) -> None:
    matrix = torch.eye(3)[None] + 1e-4 * definite(2, 3, 3)
    points = f32(2, 3, 3)
    network = trtdsl.trace(Warp().eval(), (matrix, points), precision=precision)
    assert_close(network.evaluate(matrix, points), Warp()(matrix, points), 1e-6)


@pytest.mark.parametrize("function", [torch.linalg.svdvals, torch.linalg.eigvalsh])
def test_factorizations_are_refused_with_what_to_do(function: object) -> None:
    class Factored(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            values: torch.Tensor = function(x)  # type: ignore[operator]
            return values

    with pytest.raises(trtdsl.UnsupportedError, match="compute the factors outside of the model"):
        trtdsl.trace(Factored().eval(), (definite(3, 3),))


def test_what_pytorch_checks_behind_a_solver_is_left_out() -> None:
    class Solved(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.vmap(lambda a: torch.linalg.solve(a, a[0]) + torch.linalg.inv(a)[0])(x)

    matrices = definite(3, 4, 4)
    network = trtdsl.trace(Solved().eval(), (matrices,))
    assert_close(network.evaluate(matrices), Solved()(matrices), 1e-4)
