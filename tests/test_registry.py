"""``trtdsl.registry``: a converter's signature is the operator's schema."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from trtdsl import registry
from trtdsl.errors import ConversionError, UnsupportedError
from trtdsl.network import Network, Scalar, Tensor
from trtdsl.operators import maximum
from trtdsl.registry import converter, find, registered

aten = torch.ops.aten


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers goes with it."""
    registry.load()
    monkeypatch.setattr(registry, "_CONVERTERS", dict(registry._CONVERTERS))
    monkeypatch.setattr(registry, "_NAMED", dict(registry._NAMED))


def leaky_relu(x: Tensor, negative_slope: Scalar = 0.01) -> Tensor:
    return x


def with_self(self: Tensor, negative_slope: Scalar = 0.01) -> Tensor:
    return self


def with_network(net: Network, x: Tensor, negative_slope: Scalar = 0.01) -> Tensor:
    return x


@pytest.mark.parametrize("function", [leaky_relu, with_self, with_network])
def test_signatures_that_are_the_schema(function: Callable[..., Any]) -> None:
    converter(aten.leaky_relu.default, override=True)(function)
    entry = find(aten.leaky_relu.default)
    assert entry is not None
    assert entry.function is function
    assert entry.wants_network == (function is with_network)


def wrong_name(x: Tensor, slope: Scalar = 0.01) -> None: ...
def no_default(x: Tensor, negative_slope: Scalar) -> None: ...
def other_default(x: Tensor, negative_slope: Scalar = 0.02) -> None: ...
def keyword_only(x: Tensor, *, negative_slope: Scalar = 0.01) -> None: ...
def extra(x: Tensor, negative_slope: Scalar = 0.01, inplace: bool = False) -> None: ...
def too_few(x: Tensor) -> None: ...
def anything(*args: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (wrong_name, "parameter slope=0.01 should be negative_slope=0.01"),
        (no_default, "parameter negative_slope should be negative_slope=0.01"),
        (other_default, "parameter negative_slope=0.02 should be negative_slope=0.01"),
        (keyword_only, r"parameter \*, negative_slope=0.01 should be negative_slope=0.01"),
        (extra, "3 parameters should be 2"),
        (too_few, "1 parameters should be 2"),
        (anything, "parameter args should be x"),
    ],
)
def test_signatures_that_are_not(function: Callable[..., Any], reason: str) -> None:
    with pytest.raises(ConversionError, match=reason) as caught:
        converter(aten.leaky_relu.default, override=True)(function)
    message = str(caught.value)
    assert "not the schema of aten.leaky_relu.default" in message
    assert f"test_registry.py:{function.__code__.co_firstlineno}, {function.__name__}" in message
    assert "fix: write it as aten::leaky_relu(Tensor self, Scalar negative_slope=0.01)" in message


def test_a_positional_parameter_that_should_be_a_keyword() -> None:
    def add(x: Tensor, other: Tensor, alpha: Scalar = 1) -> None: ...

    with pytest.raises(ConversionError, match=r"parameter alpha=1 should be \*, alpha=1"):
        converter(aten.add.Tensor, override=True)(add)


def test_defaults_are_compared_as_schemas_write_them() -> None:
    def contiguous(x: Tensor, *, memory_format: Any = torch.contiguous_format) -> Tensor:
        return x

    converter(aten.contiguous.default, override=True)(contiguous)

    def max_pool2d(  # lists of the schema may be tuples
        x: Tensor,
        kernel_size: Any,
        stride: Any = (),
        padding: Any = (0, 0),
        dilation: Any = (1, 1),
        ceil_mode: bool = False,
    ) -> None: ...

    schema = str(aten.max_pool2d.default._schema)
    assert "int[2] padding=[0, 0]" in schema or "int[2] padding=0" in schema
    converter(aten.max_pool2d.default, override=True)(max_pool2d)


def test_a_duplicate_is_refused_and_names_both() -> None:
    def mine(x: Tensor, negative_slope: Scalar = 0.01) -> None: ...

    with pytest.raises(
        ConversionError, match=r"has a converter already: .*activation\.py"
    ) as caught:
        converter(aten.leaky_relu.default)(mine)
    assert "test_registry.py" in str(caught.value)
    assert "fix: pass override=True" in str(caught.value)


def test_a_decorator_that_names_no_operator() -> None:
    def mine(x: Any) -> Any:
        return x

    with pytest.raises(ConversionError, match="names no operator") as caught:
        converter(mine)  # @converter, without its parentheses
    assert f"at:  {__file__}:" in str(caught.value)
    with pytest.raises(ConversionError, match="names no operator"):
        converter()


def test_an_operator_without_its_overload_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"aten\.add is no overload.*") as caught:
        converter(aten.add)(leaky_relu)
    assert "torch.ops.aten.add.Tensor" in str(caught.value)


def test_an_override_is_what_the_walk_uses() -> None:
    @converter(aten.relu.default, override=True)
    def relu(x: Tensor) -> Tensor:
        return maximum(x, 1)

    x = torch.tensor([-1.0, 0.5, 2.0])
    assert trtdsl.trace(nn.ReLU().eval(), (x,)).evaluate(x).tolist() == [1.0, 1.0, 2.0]


def test_every_shipped_family_registers() -> None:
    operators = set(registered())
    assert {aten.conv2d.default, aten.add.Tensor, aten.softmax.int} <= operators
    assert all(find(operator) is not None for operator in operators)
    assert find(aten.special_bessel_j0.default) is None


class Scaled(nn.Module):
    """Calls an operator that a user has registered with PyTorch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled: torch.Tensor = torch.ops.trtdsl_tests.scaled(x, 3.0)
        return scaled + 1


@torch.library.custom_op("trtdsl_tests::scaled", mutates_args=())
def scaled(x: torch.Tensor, factor: float, *, bias: float = 0.5) -> torch.Tensor:
    return x * factor + bias


@scaled.register_fake
def _(x: torch.Tensor, factor: float, *, bias: float = 0.5) -> torch.Tensor:
    return torch.empty_like(x)


def test_a_users_own_operator_without_and_with_a_converter() -> None:
    model, x = Scaled().eval(), torch.tensor([1.0, 2.0])
    with pytest.raises(UnsupportedError, match=r"trtdsl_tests\.scaled\.default\(f32\[2\], 3\.0\)"):
        trtdsl.trace(model, (x,))

    @converter(torch.ops.trtdsl_tests.scaled.default)
    def convert_scaled(x: Tensor, factor: float, *, bias: float = 0.5) -> Tensor:
        return x * factor + bias

    network = trtdsl.trace(model, (x,))
    assert network.evaluate(x).tolist() == model(x).tolist() == [4.5, 7.5]
    assert trtdsl.check(model, (x,)).ok


def test_an_operator_of_a_library_that_comes_later_goes_by_its_name() -> None:
    def doubled(x: Tensor) -> Tensor:
        return x + x

    trtdsl.converter("trtdsl_later::doubled")(doubled)
    library = torch.library.Library("trtdsl_later", "DEF")
    library.define("doubled(Tensor self) -> Tensor")
    library.impl("doubled", lambda x: x + x, "CompositeExplicitAutograd")
    library.define("tripled(Tensor self) -> Tensor")
    found = registry.find(torch.ops.trtdsl_later.doubled.default)
    assert found is not None
    assert found.function is doubled
    assert registry.find(torch.ops.trtdsl_later.tripled.default) is None
    for again in ("trtdsl_later::doubled", torch.ops.trtdsl_later.doubled.default):
        with pytest.raises(ConversionError, match="has a converter already"):
            trtdsl.converter(again)(doubled)
    trtdsl.converter("trtdsl_later::doubled", override=True)(lambda x: x * 2)
    found = registry.find(torch.ops.trtdsl_later.doubled.default)
    assert found is not None
    assert found.function is not doubled
    trtdsl.converter("trtdsl_later::tripled")(lambda wrong: wrong)
    with pytest.raises(ConversionError, match=r"schema of trtdsl_later\.tripled"):
        registry.find(torch.ops.trtdsl_later.tripled.default)


def test_what_a_converter_raises_is_told_with_both_places() -> None:
    @converter(aten.hardshrink.default, override=True)
    def hardshrink(x: Tensor, lambd: Scalar = 0.5) -> Tensor:
        return {}["absent"]

    with pytest.raises(ConversionError, match="fails: KeyError: 'absent'") as caught:
        trtdsl.trace(nn.Hardshrink().eval(), (torch.randn(3),))
    what, at, fix = str(caught.value).split("\n")
    assert what.startswith(f"the converter of aten.hardshrink.default ({__file__}:")
    assert at.startswith("  at:  aten.hardshrink.default, ")
    assert f"raised in {__file__}:" in fix
    assert fix.endswith('return {}["absent"]')
    assert "KeyError: 'absent'" in "".join(traceback.format_exception(caught.value))


def test_a_converter_that_gives_a_tensor_of_pytorchs_is_told_so() -> None:
    @converter(aten.hardshrink.default, override=True)
    def hardshrink(x: Tensor, lambd: Scalar = 0.5) -> Any:
        return torch.ones(3)

    with pytest.raises(ConversionError, match=r"gives a torch\.Tensor, PyTorch f32\[3\]"):
        trtdsl.trace(nn.Hardshrink().eval(), (torch.randn(3),))


def test_a_name_that_is_none_of_an_operator_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"'aten\.gelu' is no operator's name"):
        converter("aten.gelu")


FIRST = """
import torch
import trtdsl
from trtdsl.ir.activation import Activation, ActivationType

aten = torch.ops.aten


{use}


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x) + torch.nn.functional.hardshrink(x)


x = torch.linspace(-2, 2, 9)
torch.testing.assert_close(trtdsl.trace(Model().eval(), (x,)).evaluate(x), x * x.sigmoid() + {two})
"""
CONVERTER = """
@trtdsl.converter(aten.relu.default{override})
def relu(x: trtdsl.Tensor) -> trtdsl.Tensor:
    return x * Activation(type=ActivationType.SIGMOID)(x)
"""
PLUGIN = """
@trtdsl.plugin(aten.hardshrink.default, override=True)
@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept(trtdsl.Plugin, kernel="..."):
    lambd: float

    def infer(self, x):
        return x

    def evaluate(self, x):
        return x * self.lambd

    def launch(self, x, y, *, workspace):
        return trtdsl.Launch(kernel="kept", grid=1, block=1, args=(x, y))
"""


def run(use: str, two: str) -> subprocess.CompletedProcess[str]:
    code = FIRST.format(use=use, two=two)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_converter_may_replace_one_before_anything_was_converted() -> None:
    """As one in a package of its own does, which is imported on top."""
    result = run(CONVERTER.format(override=", override=True"), "torch.nn.functional.hardshrink(x)")
    assert result.returncode == 0, result.stderr
    both = CONVERTER.format(override=", override=True") + "import dataclasses" + PLUGIN
    result = run(both, "x * 0.5")
    assert result.returncode == 0, result.stderr


def test_a_second_converter_is_refused_where_it_is_written() -> None:
    result = run(CONVERTER.format(override=""), "0")
    assert result.returncode == 1
    assert "aten.relu.default has a converter already: " in result.stderr
    assert "  at:  <string>:10, relu\n  fix: pass override=True" in result.stderr
