"""Models that turn autocast on, and models that keep a state, where PyTorch runs on a GPU too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import trtdsl
from tests.cases.base import f32

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycuda.*"),
    pytest.mark.filterwarnings("ignore::trtdsl.PrecisionWarning"),
]


class Cast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.norm = nn.Linear(16, 16), nn.LayerNorm(16)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cuda", torch.float16):
            y = self.norm(self.linear(x))
            weights = (y @ y.T).softmax(-1)
        return weights, self.linear(x)


def test_autocast_inside_a_model_on_a_gpu() -> None:
    """Its casts are those of the device that it was converted on: softmax is float32 on a GPU."""
    model, x = Cast().eval().cuda(), f32(4, 16).cuda()
    engine = trtdsl.convert(model, (x,), backend="tensorrt", optimization_level=0, cache=False)
    with torch.no_grad():
        wanted = model(x)
    for answer, want, tolerance in zip(engine(x), wanted, (1e-2, 1e-3), strict=True):
        assert answer.dtype is want.dtype
        torch.testing.assert_close(answer, want, rtol=tolerance, atol=tolerance)


class Collecting(nn.Module):
    """What it writes does not matter; kernels of a second call may round otherwise."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.seen = nn.Conv2d(3, 8, 3), []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        self.seen.append(y)
        return torch.as_tensor(y.relu())


def test_a_state_that_no_answer_depends_on_is_let_be_on_a_gpu() -> None:
    model, x = Collecting().eval().cuda(), f32(2, 3, 16, 16).cuda()
    assert trtdsl.trace(model, (x,)).outputs[0].shape == (2, 8, 14, 14)
    assert not model.seen


def test_a_state_that_answers_depend_on_is_refused_on_a_gpu() -> None:
    class Growing(Collecting):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen.append(self.conv(x))
            return torch.stack(self.seen).sum(0)

    x = f32(2, 3, 16, 16).cuda()
    with pytest.raises(trtdsl.ConversionError, match=r"the calls before, by seen, and an engine"):
        trtdsl.trace(Growing().eval().cuda(), (x,))
