"""Numbers that a module keeps in buffers outside of its ``state_dict``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trtdsl
from tests.cases.base import f32
from trtdsl.errors import ConversionError


class Padded(nn.Module):
    """A causal convolution that keeps its sizes in tensors, as EnCodec's do."""

    def __init__(self, kernel: int = 3, *, persistent: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 2, kernel)
        self.register_buffer("kernel", torch.tensor(kernel), persistent=persistent)
        self.register_buffer("is_causal", torch.tensor(True), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = self.kernel - 1
        left = total if self.is_causal else total // 2
        if x.shape[-1] > left:
            x = F.pad(x, (left, total - left))
        return self.conv(x) * self.kernel


def test_a_size_in_a_buffer_is_known() -> None:
    model, x = Padded().eval(), f32(2, 2, 6)
    batch = torch.export.Dim("batch", min=1, max=8)
    network = trtdsl.trace(model, (x,), dynamic_shapes={"x": {0: batch}})
    for given in (x, f32(5, 2, 6)):
        torch.testing.assert_close(network.evaluate(given), model(given))
    assert network.outputs[0].shape[1:] == (2, 6)
    assert type(model._buffers) is dict
    assert int(model.kernel) == 3


def test_a_buffer_of_the_state_dict_stays_a_weight() -> None:
    with pytest.raises(ConversionError, match=r"torch\.export cannot capture"):
        trtdsl.trace(Padded(persistent=True).eval(), (f32(2, 2, 6),))


class Counts(nn.Module):
    def __init__(self, count: Callable[[Counts], None]) -> None:
        super().__init__()
        self.count = count
        self.register_buffer("calls", torch.tensor(2), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count(self)
        return x * self.calls


def add(model: Counts) -> None:
    model.calls.add_(1)


def assign(model: Counts) -> None:
    model.calls = model.calls + 1


@pytest.mark.parametrize("count", [add, assign])
def test_a_number_that_changes_is_refused(count: Callable[[Counts], None]) -> None:
    model = Counts(count).eval()
    with pytest.raises(ConversionError, match="the model updates calls in place"):
        trtdsl.trace(model, (f32(3),))
    assert int(model.calls) == 2
