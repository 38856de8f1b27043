"""``layers/grouped.py``: the experts of a mixture, as transformers calls them."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests import standin
from tests.test_lowering import lowered

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("transformers.integrations.moe", reason="make test installs transformers")


class Experts(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(count, 5, 3, generator=generator))

    def forward(self, x: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        return torch.ops.transformers.grouped_mm_fallback(x, self.weight, ends)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("ends", [(2, 2, 6, 9), (0, 0, 0, 9), (9, 9, 9, 9), (1, 3, 3, 5), (4,)])
def test_each_row_meets_its_own_matrix(ends: tuple[int, ...], dtype: torch.dtype) -> None:
    model = Experts(len(ends)).eval()
    offsets = torch.tensor(ends, dtype=dtype)
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(1))
    rows = Dim("rows", min=2, max=64)
    network = trtdsl.trace(model, (x, offsets), dynamic_shapes={"x": {0: rows}, "ends": None})
    for count in (9, 12):
        values = torch.randn(count, 5, generator=torch.Generator().manual_seed(count))
        expected = model(values, offsets)
        torch.testing.assert_close(network.evaluate(values, offsets), expected)
    for version in standin.VERSIONS:
        assert lowered(network, version).created
