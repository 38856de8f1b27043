"""``@trtdsl.plugin``: operators and modules that a plugin class stands for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from trtdsl import module_plugins, registry
from trtdsl.types import TensorType


@torch.library.custom_op("trtdsl_tests::shrink", mutates_args=())
def shrink(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, limit: float, dims: list[int]
) -> torch.Tensor:
    """Soft thresholding, scaled along the last axis."""
    y = torch.nn.functional.softshrink(x, limit) * weight
    return y + len(dims) if bias is None else y + bias + len(dims)


@shrink.register_fake
def _(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, limit: float, dims: list[int]
) -> torch.Tensor:
    return torch.empty_like(x)


OPERATOR = torch.ops.trtdsl_tests.shrink.default


@dataclass(frozen=True, kw_only=True)
class Shrink(trtdsl.Plugin):
    """What ``shrink`` computes."""

    limit: float
    dims: tuple[int, ...]

    def infer(self, *tensors: TensorType) -> TensorType:
        return tensors[0]

    def evaluate(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        return torch.as_tensor(shrink(x, weight, bias, self.limit, list(self.dims)))


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    registry.load()
    monkeypatch.setattr(registry, "_CONVERTERS", dict(registry._CONVERTERS))
    monkeypatch.setattr(module_plugins, "_PLUGINS", {})
    yield
    assert not module_plugins._CALLS


class Model(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(5))
        self.bias = nn.Parameter(torch.randn(5)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(shrink(x * 2, self.weight, self.bias, 0.5, [1, 2]))


@pytest.mark.parametrize("bias", [False, True])
def test_an_operators_tensors_are_inputs_and_its_other_arguments_fields(bias: bool) -> None:
    trtdsl.plugin(OPERATOR)(Shrink)
    model, x = Model(bias).eval(), torch.randn(3, 5)
    batch = torch.export.Dim("batch", min=2, max=8)
    net = trtdsl.trace(model, (x,), dynamic_shapes={"x": {0: batch}})
    (layer,) = (op for op in net.operations if isinstance(op.layer, Shrink))
    assert layer.layer == Shrink(limit=0.5, dims=(1, 2))
    assert len(layer.inputs) == 2 + bias
    y = torch.randn(7, 5)
    torch.testing.assert_close(net.evaluate(y), model(y), rtol=0, atol=0)


def test_a_second_plugin_wants_override() -> None:
    trtdsl.plugin(OPERATOR)(Shrink)
    with pytest.raises(trtdsl.ConversionError, match=r"converter already: plugin .*\.Shrink"):
        trtdsl.plugin(OPERATOR)(Shrink)
    trtdsl.plugin(OPERATOR, override=True)(Shrink)


@dataclass(frozen=True, kw_only=True)
class Misfit(Shrink):
    """A field that is no argument."""

    strength: float


@dataclass(frozen=True, kw_only=True)
class Lacking(trtdsl.Plugin):
    """Without the fields that the arguments want."""

    infer = evaluate = lambda self, *tensors: tensors[0]


@dataclass(frozen=True, kw_only=True)
class Unfinished(trtdsl.Plugin):
    """Without what a plugin is made of."""

    limit: float
    dims: tuple[int, ...]


@pytest.mark.parametrize(
    ("operator", "cls", "reason"),
    [
        (OPERATOR, Misfit, r"does not fit .*: field strength is no argument"),
        (OPERATOR, Lacking, r"argument limit is no field, argument dims is no field\n.*\n.*limit"),
        (torch.ops.aten.cat.default, Lacking, "takes a list of tensors, tensors"),
        (torch.ops.aten.ones.default, Lacking, "it takes no tensor"),
        (torch.ops.aten.add, Lacking, "neither an overload of an operator nor a module class"),
        (OPERATOR, Model, "no dataclass derived from trtdsl.Plugin"),
        (Shrink, Shrink, r"@trtdsl.plugin above Shrink does not say what it stands for"),
        (OPERATOR, Unfinished, "plugin Unfinished has no evaluate and no infer"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(operator: Any, cls: Any, reason: str) -> None:
    with pytest.raises(trtdsl.ConversionError, match=reason):
        trtdsl.plugin(operator)(cls)


@pytest.mark.parametrize(
    ("evaluate", "given"),
    [
        (lambda self, x, *_: x[:2], r"f32\[2, 5\]"),
        (lambda self, x, *_: x.half(), r"f16\[3, 5\]"),
        (lambda self, x, *_: x.double(), r"torch\.float64\[3, 5\]"),
        (lambda self, x, *_: (x, x), r"f32\[3, 5\], f32\[3, 5\]"),
        (lambda self, x, *_: None, "a NoneType"),
    ],
)
def test_what_evaluate_gives_is_held_to_infer(evaluate: Any, given: str) -> None:
    wrong = dataclass(frozen=True, kw_only=True)(
        type("Wrong", (Shrink,), {"evaluate": evaluate, "__module__": __name__})
    )
    trtdsl.plugin(OPERATOR)(wrong)
    net = trtdsl.trace(Model(bias=False).eval(), (torch.randn(3, 5),))
    reason = rf"plugin Wrong: evaluate gives {given}, and infer f32\[3, 5\]\n  at:  shrink"
    with pytest.raises(trtdsl.ShapeError, match=reason.replace("shrink", "wrong")):
        net.evaluate(torch.randn(3, 5))


def test_what_evaluate_gives_is_held_to_infer_at_sizes_that_vary() -> None:
    trtdsl.plugin(OPERATOR)(Shrink)
    model, batch = Model(bias=False).eval(), torch.export.Dim("batch", min=2, max=8)
    net = trtdsl.trace(model, (torch.randn(3, 5),), dynamic_shapes={"x": {0: batch}})
    x = torch.randn(7, 5)
    torch.testing.assert_close(net.evaluate(x), model(x))


def test_evaluate_that_writes_to_its_inputs_is_refused() -> None:
    writes = {"evaluate": lambda self, x, *_: x.mul_(2), "__module__": __name__}
    cls = dataclass(frozen=True, kw_only=True)(type("Writes", (Shrink,), writes))
    trtdsl.plugin(OPERATOR)(cls)
    net = trtdsl.trace(Model(bias=False).eval(), (torch.randn(3, 5),))
    with pytest.raises(trtdsl.ShapeError, match="plugin Writes: evaluate writes to its inputs"):
        net.evaluate(torch.randn(3, 5))


def test_infer_that_gives_no_type_is_refused() -> None:
    typeless = {"infer": lambda self, *_: None, "__module__": __name__}
    cls = dataclass(frozen=True, kw_only=True)(type("Typeless", (Shrink,), typeless))
    trtdsl.plugin(OPERATOR)(cls)
    with pytest.raises(trtdsl.ShapeError, match=r"Typeless.*infer gives None, no TensorType"):
        trtdsl.trace(Model(bias=False).eval(), (torch.randn(3, 5),))


class Gated(nn.Module):
    """A module of several operators, with a parameter, a buffer and a setting."""

    scale: torch.Tensor

    def __init__(self, width: int, power: float) -> None:
        super().__init__()
        self.power = power
        self.gate = nn.Linear(width, width)
        self.register_buffer("scale", torch.full((width,), 0.5))

    def forward(self, x: torch.Tensor, *, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if x.sum() > 1e9:  # which torch.export cannot capture
            return x, other
        gated = torch.sigmoid(self.gate(x)) ** self.power * self.scale
        return gated + other, gated.sum(-1)


@dataclass(frozen=True, kw_only=True)
class GatedPlugin(trtdsl.Plugin):
    """What ``Gated`` computes."""

    power: float

    def infer(self, x: TensorType, *rest: TensorType) -> tuple[TensorType, TensorType]:
        return x, x.with_shape(x.shape[:-1])

    def evaluate(
        self,
        x: torch.Tensor,
        other: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        scale: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        gated = torch.sigmoid(nn.functional.linear(x, weight, bias)) ** self.power * scale
        return gated + other, gated.sum(-1)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = Gated(4, 2.0)
        self.second = Gated(4, 3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, sums = self.first(x, other=x)
        z, more = self.second(y * 2, other=x)
        return torch.as_tensor(z + (sums + more).unsqueeze(-1))


def test_a_module_is_one_layer_with_its_parameters_and_buffers() -> None:
    trtdsl.plugin(Gated)(GatedPlugin)
    model, x = Twice().eval(), torch.randn(3, 4)
    batch = torch.export.Dim("batch", min=2, max=8)
    net = trtdsl.trace(model, (x,), dynamic_shapes={"x": {0: batch}})
    found = [op for op in net.operations if isinstance(op.layer, GatedPlugin)]
    assert [op.layer for op in found] == [GatedPlugin(power=2.0), GatedPlugin(power=3.0)]
    assert [op.source.module for op in found] == ["first", "second"]
    assert [len(op.inputs) for op in found] == [5, 5]
    assert [x.name for x in found[1].inputs[2:]] == [
        "second.gate.weight",
        "second.gate.bias",
        "second.scale",
    ]
    y = torch.randn(6, 4)
    torch.testing.assert_close(net.evaluate(y), model(y), rtol=1e-6, atol=1e-6)
    assert "forward" not in vars(model.first), "the model is as it was"


def test_a_module_called_with_more_than_tensors_and_a_second_plugin_are_refused() -> None:
    trtdsl.plugin(nn.Softmax)(Lacking)
    with pytest.raises(trtdsl.ConversionError, match="module Softmax has a plugin already: Lack"):
        trtdsl.plugin(nn.Softmax)(GatedPlugin)
    trtdsl.plugin(nn.Softmax, override=True)(Lacking)

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Softmax(-1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.inner([x, 3]))

    with pytest.raises(trtdsl.ConversionError, match="Softmax is called with more than tensors"):
        trtdsl.trace(Odd().eval(), (torch.randn(2, 3),))


class Setting(nn.Module):
    def __init__(self, power: object) -> None:
        super().__init__()
        self.power = power

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@dataclass(frozen=True, kw_only=True)
class Wanting(trtdsl.Plugin):
    """A field, and one tensor more than ``Setting`` has."""

    power: object

    def infer(self, x: TensorType, weight: TensorType) -> TensorType:
        return x

    def evaluate(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x


@dataclass(frozen=True, kw_only=True)
class Absent(Wanting):
    """A field that the module has not, though it has a default."""

    strength: float = 1.0


@pytest.mark.parametrize(
    ("cls", "power", "reason"),
    [
        (
            Wanting,
            {1: 2},
            r"power of plugin Wanting is \{1: 2\}, and an engine keeps(.|\n)*from_mod",
        ),
        (Wanting, nn.ReLU(), r"power of plugin Wanting is ReLU\(\), and an engine keeps"),
        (Absent, 2.0, "module Setting has no strength, which plugin Absent wants"),
        (
            Wanting,
            2.0,
            r"infer of plugin Wanting raised TypeError: .* for f32\[2, 3\]\n.*\n.*buffers",
        ),
    ],
)
def test_a_module_that_is_not_what_its_plugin_wants(cls: Any, power: Any, reason: str) -> None:
    trtdsl.plugin(Setting)(cls)
    with pytest.raises(trtdsl.ConversionError, match=reason):
        trtdsl.trace(nn.Sequential(Setting(power)).eval(), (torch.randn(2, 3),))
