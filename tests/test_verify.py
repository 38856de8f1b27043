"""``verify=`` of ``trtdsl.convert``: the example inputs' answer is held against PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from trtdsl import conversion
from trtdsl.errors import BuildError, ConversionError, UnavailableError
from trtdsl.network import Network


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 32), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> dict[str, torch.Tensor]:
        h = self.a(x).relu()
        return {"y": self.b(h) * scale, "h": h}


def model() -> Model:
    torch.manual_seed(0)
    return Model().eval()


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is made answers 1.25 times what it should, in its second output."""
    made = conversion._made

    def spoilt(backend: str, network: Network, options: Any) -> Any:
        right = made(backend, network, options)
        return lambda *args, **kwargs: (
            right(*args, **kwargs) | {"h": right(*args, **kwargs)["h"] * 1.25}
        )

    monkeypatch.setattr(conversion, "_made", spoilt)


@pytest.mark.parametrize("precision", [None, "fp32", "tf32", "fp16", "bf16"])
def test_what_answers_as_pytorch_does(precision: str | None) -> None:
    made = trtdsl.convert(
        model(), (f32(3, 8),), precision=precision, backend="reference", verify=True
    )
    assert made(f32(3, 8))["y"].shape == (3, 4)


@pytest.mark.usefixtures("wrong")
def test_what_does_not() -> None:
    given = {"backend": "reference", "precision": "fp16"}
    with pytest.raises(
        BuildError, match=r"error of 0\.25 .*and 0\.01 is(.|\n)*modules=True"
    ) as why:
        trtdsl.convert(model(), (f32(3, 8),), verify=True, **given)
    assert "fix: " in str(why.value)
    with pytest.raises(BuildError, match=r"and 0\.2 is allowed"):
        trtdsl.convert(model(), (f32(3, 8),), verify=0.2, **given)
    assert trtdsl.convert(model(), (f32(3, 8),), verify=0.3, **given) is not None
    assert trtdsl.convert(model(), (f32(3, 8),), **given) is not None


@pytest.mark.usefixtures("wrong")
def test_however_the_model_is_given() -> None:
    own = model()
    own.example_input_array = f32(3, 8)
    program = torch.export.export(model(), (f32(3, 8),))
    for given in ((own,), (program,), (model(), None, {"x": f32(3, 8)})):
        with pytest.raises(BuildError, match=r"error of 0\.25"):
            trtdsl.convert(*given, backend="reference", verify=True)


@pytest.mark.parametrize("verify", [0, -1.0, float("nan"), "yes", None])
def test_what_is_no_error(verify: Any) -> None:
    with pytest.raises(ConversionError, match=r"verify is (.|\n)*fix: give True"):
        trtdsl.convert(model(), (f32(3, 8),), backend="reference", verify=verify)


def test_pieces_are_held_against_pytorch_too() -> None:
    hybrid = trtdsl.convert(
        model(), (f32(3, 8),), backend="reference", fallback="torch", verify=True
    )
    assert hybrid(f32(3, 8))["h"].shape == (3, 32)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
def test_an_engine_where_torch_sees_no_gpu() -> None:
    from trtdsl import answers

    with pytest.raises(UnavailableError, match="sees no GPU"):
        answers.verify(model(), model(), (f32(3, 8),), {}, tolerance=1e-4, device="cuda:0")
