"""``trtdsl.walk``: what has no converter, all at once, and converters held to PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests.cases.base import f32, i64
from trtdsl import registry
from trtdsl.errors import ConversionError, UnsupportedError
from trtdsl.network import Network, Scalar, Tensor
from trtdsl.registry import converter

aten = torch.ops.aten


class Block(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


class Unsupported(nn.Module):
    """Two operators without a converter, one of them used three times, in two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), nn.ReLU(), Block())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.blocks(x) + torch.special.bessel_j0(x[:1])
        return y + torch.special.airy_ai(x)


def test_everything_unsupported_is_said_at_once() -> None:
    with pytest.raises(UnsupportedError) as caught:
        trtdsl.trace(Unsupported().eval(), (f32(2, 4),))
    message = str(caught.value)
    assert message.startswith("2 operators have no converter\n")
    assert "  aten.special_bessel_j0.default(f32[2, 4])" in message
    assert "  aten.special_bessel_j0.default(f32[1, 4])" in message
    assert "  aten.special_airy_ai.default(f32[2, 4])" in message
    line = Block.forward.__code__.co_firstlineno + 1
    code = "forward: return torch.special.bessel_j0(x)"
    assert f"{__file__}:{line}, {code} (module blocks.0)" in message
    assert f"{__file__}:{line}, {code} (module blocks.2)" in message
    assert "forward: return y + torch.special.airy_ai(x)\n" in message
    assert "fix: 3 uses; @trtdsl.converter(torch.ops.aten.special_bessel_j0.default)" in message
    assert "fix: 1 use; @trtdsl.converter(torch.ops.aten.special_airy_ai.default)" in message
    assert message.count("CONTRIBUTING.md") == 2


def test_check_says_the_same_and_raises_nothing() -> None:
    model = Unsupported().eval()
    report = trtdsl.check(model, (f32(2, 4),))
    assert not report.ok
    assert not report
    assert [len(u.places) for u in report.unsupported] == [3, 1]
    with pytest.raises(UnsupportedError) as caught:
        trtdsl.trace(model, (f32(2, 4),))
    assert str(report) == str(caught.value)
    good = trtdsl.check(nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval(), (f32(2, 4),))
    assert good.ok
    assert good
    assert str(good) == "all 2 operators have converters"
    one = trtdsl.check(nn.ReLU().eval(), (f32(2),))
    assert str(one) == "its one operator has a converter"


def test_dynamic_shapes_are_named_as_the_user_does() -> None:
    report = trtdsl.check(
        Block().eval(), (f32(2, 4),), dynamic_shapes={"x": {0: Dim("batch", min=1, max=8)}}
    )
    assert "aten.special_bessel_j0.default(f32[batch, 4])" in str(report)


def test_an_operator_that_pytorch_decomposes_needs_no_converter() -> None:
    class Decomposed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = torch.addr(x, x[:, 0], x[0]) * 2
            return y

    assert registry.find(aten.addr.default) is None
    model, x = Decomposed().eval(), f32(3, 3)
    torch.testing.assert_close(trtdsl.trace(model, (x,)).evaluate(x), model(x))


def test_an_in_place_operator_decomposes_as_its_functional_form() -> None:
    class InPlace(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x * 2
            return y.addr_(x[:, 0], x[0])

    model, x = InPlace().eval(), f32(3, 3)
    torch.testing.assert_close(trtdsl.trace(model, (x,)).evaluate(x), model(x))


@pytest.mark.parametrize(
    "use", [lambda y: y + 1, lambda y: y * 2, lambda y: torch.cat([y, y]), lambda y: (y, y + y)]
)
def test_an_unsupported_operator_never_becomes_a_constant(
    use: Callable[[torch.Tensor], Any],
) -> None:
    class Baked(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return use(torch.special.bessel_j0(x))

    with pytest.raises(UnsupportedError, match="special_bessel_j0"):
        trtdsl.trace(Baked().eval(), (f32(3),))


@pytest.mark.parametrize(
    "draw", [torch.rand_like, torch.bernoulli, lambda x: torch.multinomial(x, 2), torch.randn_like]
)
def test_random_numbers_are_refused_with_what_to_do(
    draw: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    class Drawn(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sum() + draw(x)

    with pytest.raises(UnsupportedError, match=r"draws no random numbers; .* as an input"):
        trtdsl.trace(Drawn().eval(), (torch.full((3,), 0.3),))


def test_a_network_answers_for_other_inputs_than_the_example() -> None:
    class Everything(nn.Module):
        def forward(self, x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
            y = x * x.shape[0] + torch.ones_like(x) * x.mean() + i
            return torch.where(x > 0, y, x.new_full((1,), 2.0)) - x.amax()

    model = Everything().eval()
    network = trtdsl.trace(model, (f32(3, 2), i64(2)))
    for seed in range(3):
        inputs = (f32(3, 2, seed=seed), i64(2, seed=seed))
        torch.testing.assert_close(network.evaluate(*inputs), model(*inputs))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``converter(..., override=True)`` for the time of one test."""
    registry.load()
    monkeypatch.setattr(registry, "_CONVERTERS", dict(registry._CONVERTERS))
    return lambda operator: converter(operator, override=True)


WRONG: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "rank": (lambda x: x.reshape(-1), r"gives f32\[6\], PyTorch f32\[2, 3\]"),
    "size": (lambda x: x.reshape(3, 2), r"gives f32\[3, 2\], PyTorch f32\[2, 3\]"),
    "dtype": (lambda x: x.cast(trtdsl.DType.FLOAT16), r"gives f16\[2, 3\], PyTorch f32\[2, 3\]"),
    "nothing": (lambda x: None, r"gives None, PyTorch f32\[2, 3\]"),
    "number": (lambda x: 1.0, r"gives 1\.0, PyTorch f32\[2, 3\]"),
    "two": (lambda x: (x, x), r"gives f32\[2, 3\], f32\[2, 3\], PyTorch f32\[2, 3\]"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_converter_that_is_wrong_is_caught(wrong: str, registered: Callable[..., Any]) -> None:
    function, reason = WRONG[wrong]

    @registered(aten.relu.default)
    def relu(x: Tensor) -> Any:
        return function(x)

    with pytest.raises(ConversionError, match=rf"the converter of aten\.relu\.default {reason}"):
        trtdsl.trace(nn.Sequential(nn.ReLU()).eval(), (f32(2, 3),))


def test_a_converter_that_bakes_a_dynamic_size_is_caught(registered: Callable[..., Any]) -> None:
    @registered(aten.relu.default)
    def relu(net: Network, x: Tensor) -> Tensor:
        return net.input("sneaked", (3, 3))

    shapes = {"input": {0: Dim("batch", min=1, max=8)}}
    with pytest.raises(ConversionError, match=r"gives f32\[3, 3\], PyTorch f32\[batch, 3\]"):
        trtdsl.trace(nn.ReLU().eval(), (f32(3, 3),), dynamic_shapes=shapes)


def test_a_converters_own_error_gets_the_users_place(registered: Callable[..., Any]) -> None:
    @registered(aten.leaky_relu.default)
    def leaky_relu(x: Tensor, negative_slope: Scalar = 0.01) -> Tensor:
        raise ConversionError(f"negative_slope is {negative_slope}")

    class Leaky(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.leaky_relu(x, 0.3)

    with pytest.raises(ConversionError) as caught:
        trtdsl.trace(nn.Sequential(Leaky()).eval(), (f32(2),))
    what, at = str(caught.value).splitlines()
    assert what == "negative_slope is 0.3"
    assert at.startswith("  at:  aten.leaky_relu.default, module 0, ")
    assert at.endswith("forward: return nn.functional.leaky_relu(x, 0.3)")


def test_a_converter_that_fails_is_named_beside_the_users_place(
    registered: Callable[..., Any],
) -> None:
    @registered(aten.relu.default)
    def relu(x: Tensor) -> Tensor:
        return {}[x.name]

    with pytest.raises(ConversionError) as caught:
        trtdsl.trace(nn.Sequential(nn.ReLU()).eval(), (f32(2),))
    what, at, fix = str(caught.value).splitlines()
    assert what.startswith("the converter of aten.relu.default (")
    assert "test_walk.py:" in what
    assert what.endswith(" fails: KeyError: 'input'")
    assert at.startswith("  at:  aten.relu.default, module 0, ")
    assert fix.startswith("  fix: correct the converter")
    assert caught.value.__cause__ is not None
    assert isinstance(caught.value.__cause__.__cause__, KeyError)


def test_outputs_named_as_inputs_and_numbered_ones() -> None:
    class Names(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, Any]:
            return {"x": x + 1, "list": [x, x * 2]}

    network = trtdsl.trace(Names().eval(), (f32(2),))
    assert [y.name for y in network.outputs] == ["x_out", "list.0", "list.1"]
    several = trtdsl.trace(Split().eval(), (f32(4),))
    assert [y.name for y in several.outputs] == ["output_0", "output_1"]


class Split(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x.split(2)


def test_a_size_of_one_that_the_trace_has_ruled_out_says_so() -> None:
    class First(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:2]

    shapes = {"x": {0: Dim("rows", min=1, max=8)}}
    with pytest.raises(ConversionError, match="give rows min=2, which"):
        trtdsl.trace(First().eval(), (f32(4, 3),), dynamic_shapes=shapes)
