"""What cannot be captured: each refusal says what, where in the user's code, and the fix."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from trtdsl.errors import ConversionError


class Returns(nn.Module):
    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result

    def forward(self, x: torch.Tensor) -> Any:
        return self.result


def passes(x: torch.Tensor) -> torch.Tensor:
    return x + 1


@pytest.mark.parametrize(
    ("model", "what", "fix"),
    [
        (passes, "the model is the function passes, ", "put it into the forward"),
        (nn.ReLU, "the model is the class ReLU", r"make an instance: ReLU\(\.\.\.\)\.eval\(\)"),
        (None, "the model is None", "put it into the forward"),
        (nn.DataParallel(nn.ReLU()).eval(), "spreads the model", r"model\.module"),
    ],
    ids=["function", "class", "none", "parallel"],
)
def test_what_is_no_module_of_python(model: Any, what: str, fix: str) -> None:
    with pytest.raises(ConversionError, match=what) as caught:
        trtdsl.trace(model, (f32(2),))
    assert re.search(rf"\n  fix: .*{fix}", str(caught.value))
    with pytest.raises(ConversionError, match=what):
        trtdsl.check(model)


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_a_compiled_submodule_is_named() -> None:
    model = nn.Sequential(nn.ReLU(), torch.jit.script(nn.ReLU())).eval()
    with pytest.raises(ConversionError, match=r"compiled by torch\.jit") as caught:
        trtdsl.trace(model, (f32(2),))
    assert "\n  at:  module 1\n  fix: use the module that it was made from" in str(caught.value)


def test_a_model_that_fails_itself_says_so_with_its_inputs(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            x.mul_(2)
            return self.linear(x)

    model, x = Head().eval(), f32(2, 5)
    before = x.clone()
    with pytest.raises(ConversionError) as caught:
        trtdsl.trace(model, (x,))
    what, at, fix = str(caught.value).splitlines()
    assert what.startswith("Head itself fails with the example inputs (x: float32[2, 5] on cpu): ")
    assert "2x5 and 4x3" in what
    assert at.endswith("forward: return self.linear(x)")
    assert at.startswith(f"  at:  {__file__}:")
    assert fix == "  fix: give inputs with which Head works"
    assert torch.equal(x, before)
    assert model.calls.item() == 0
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert "Traceback" not in capfd.readouterr().err


def test_weights_without_values() -> None:
    model = nn.Linear(4, 3, device="meta").eval()
    with pytest.raises(ConversionError, match="weight is on the meta device and has no values"):
        trtdsl.trace(model, (torch.empty(2, 4, device="meta"),))
    with pytest.raises(ConversionError, match="weight is on the meta device and has no values"):
        trtdsl.trace(model, (f32(2, 4),))
    with pytest.raises(ConversionError, match="put both on one device"):
        trtdsl.trace(nn.Linear(4, 3).eval(), (torch.empty(2, 4, device="meta"),))


class Product(nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight @ x


def test_weights_that_are_no_dense_floats() -> None:
    sparse, x = Product(torch.eye(4).to_sparse()).eval(), f32(4, 2)
    with pytest.raises(ConversionError, match=r"weight is sparse \(torch\.sparse_coo\)") as caught:
        trtdsl.trace(sparse, (x,))
    assert str(caught.value).endswith("  fix: keep it dense in the model: weight.to_dense()")
    lazy = nn.Sequential(nn.ReLU(), nn.LazyLinear(3)).eval()
    with pytest.raises(ConversionError, match=r"LazyLinear has no weights yet(.|\n)*module 1\n"):
        trtdsl.trace(lazy, (x,))
    lazy(x)
    torch.testing.assert_close(trtdsl.trace(lazy, (x,)).evaluate(x), lazy(x).detach())


@pytest.mark.filterwarnings("ignore")
def test_models_that_pytorch_quantized() -> None:
    floats = nn.Sequential(nn.ReLU(), nn.Linear(2, 3)).eval()
    quantized = torch.ao.quantization.quantize_dynamic(floats, {nn.Linear})
    with pytest.raises(ConversionError, match=r"Linear is quantized by PyTorch(.|\n)*module 1\n"):
        trtdsl.trace(quantized, (f32(4, 2),))


@pytest.mark.filterwarnings("ignore")
def test_inputs_that_are_no_dense_tensors() -> None:
    x = f32(4, 2)
    quantized = torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)
    for given, what, fix in (
        (x.to_sparse(), r"sparse \(torch.sparse_coo\)", "input.to_dense()"),
        (
            torch.nested.nested_tensor([x, x[:2]]),
            "a nested tensor",
            "torch.nested.to_padded_tensor",
        ),
        (quantized, r"quantized \(torch.quint8\)", "input.dequantize()"),
        (x.numpy(), "a ndarray", "torch.from_numpy(x)"),
    ):
        with pytest.raises(ConversionError, match=f"example input input is {what}") as caught:
            trtdsl.trace(nn.ReLU().eval(), (given,))
        assert fix in str(caught.value)
    with pytest.raises(ConversionError, match=r"input is builtins\.object, not a tensor"):
        trtdsl.trace(nn.ReLU().eval(), (object(),))
    reference = trtdsl.convert(nn.ReLU().eval(), (x,), backend="reference")
    with pytest.raises(trtdsl.RunError, match="input input is on meta, and this runs on cpu"):
        reference(x.to("meta"))
    with pytest.raises(trtdsl.RunError, match=r"input input is sparse(.|\n)*input\.to_dense\(\)"):
        reference(x.to_sparse())


@pytest.mark.parametrize("model", [nn.ModuleList([nn.ReLU()]), nn.Module()])
def test_modules_without_a_forward(model: nn.Module) -> None:
    what = f"the model is a {type(model).__name__}, which has no forward"
    with pytest.raises(ConversionError, match=what):
        trtdsl.trace(model.eval(), (f32(2),))


def test_a_container_may_have_a_forward() -> None:
    class Named(nn.ModuleDict):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.values():
                x = layer(x)
            return x

    model = Named({"first": nn.ReLU(), "second": nn.Sigmoid()}).eval()
    torch.testing.assert_close(trtdsl.trace(model, (f32(3),)).evaluate(f32(3)), model(f32(3)))


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (lambda x: x.view(4, 2) * 2, "x.view(4, 2) * 2"),
        (lambda x: x.reshape(2, 4), "x.reshape(2, 4)"),
        (lambda x: x if x.shape[0] != 4 else x + 1, "if x.shape[0] != 4"),
        (lambda x: x + torch.ones(x.shape.numel()).view_as(x), "x.shape.numel()"),
    ],
)
def test_a_number_in_place_of_a_size_is_told_with_its_line(function: Any, line: str) -> None:
    model = type("Calls", (nn.Module,), {"forward": lambda self, x: function(x)})().eval()
    sizes = {"x": {0: torch.export.Dim("rows", min=2, max=8)}}
    with pytest.raises(ConversionError, match="makes the number 4 of the size rows") as caught:
        trtdsl.trace(model, (f32(4, 2),), dynamic_shapes=sizes)
    assert line in str(caught.value)


def test_a_method_is_told_from_its_module() -> None:
    linear = nn.Linear(2, 2).eval()
    with pytest.raises(ConversionError, match=r"method forward of Linear(.|\n)*the module itself"):
        trtdsl.trace(linear.forward, (f32(2, 2),))


def test_autocast_around_the_conversion() -> None:
    model = nn.Linear(2, 2).eval()
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(ConversionError, match=r"within torch\.autocast to bfloat16") as caught,
    ):
        trtdsl.trace(model, (f32(2, 2),))
    assert "precision='bf16'" in str(caught.value)


def test_a_model_of_pytorchs_own_modules_is_not_placed_in_trtdsl() -> None:
    with pytest.raises(ConversionError, match="itself fails") as caught:
        trtdsl.trace(nn.Sequential(nn.Linear(2, 3)).eval(), (f32(2, 4),))
    assert "at:" not in str(caught.value)


@pytest.mark.parametrize("result", [None, 3, ("text", True)])
def test_a_model_that_returns_no_tensor(result: Any) -> None:
    with pytest.raises(ConversionError, match="Returns returns no tensor"):
        trtdsl.trace(Returns(result).eval(), (f32(2),))


def test_outputs_that_are_refused_are_named() -> None:
    batch = torch.export.Dim("batch", min=1, max=8)
    with pytest.raises(ConversionError, match=r"output\.1 is builtins\.set, not a tensor"):
        trtdsl.trace(Returns((f32(2), {1})).eval(), (f32(2),))
    with pytest.raises(ConversionError, match=r"output is torch\.SymInt(.|\n)*shape of a tensor"):
        trtdsl.trace(Length().eval(), (f32(2),), dynamic_shapes={"x": {0: batch}})


class StaticCache:
    """What keeps keys and values, as transformers' classes do."""


def test_a_cache_among_the_outputs() -> None:
    with pytest.raises(
        ConversionError, match=r"output\.1 is .*StaticCache(.|\n)*use_cache = False"
    ):
        trtdsl.trace(Returns((f32(2), StaticCache())).eval(), (f32(2),))


def test_numbers_that_are_read_are_returned_in_their_tensors() -> None:
    model = type("Sums", (nn.Module,), {"forward": lambda self, x: x.sum().item()})().eval()
    with pytest.raises(ConversionError, match=r"output is torch\.SymFloat(.|\n)*without item\(\)"):
        trtdsl.trace(model, (f32(2),))


class Length(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x.shape[0]


def test_an_input_updated_in_place_is_named_as_the_user_does() -> None:
    with pytest.raises(ConversionError, match="updates index in place"):
        trtdsl.trace(Overwrites().eval(), (f32(2), f32(2)))


class Overwrites(nn.Module):
    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return index.add_(x)


def to_numpy(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.tanh(x.numpy()))


def ufunc(x: torch.Tensor) -> torch.Tensor:
    return x * np.sqrt(x.shape[0])


def array_out(x: torch.Tensor) -> Any:
    return x, np.ones(2)


def listed(x: torch.Tensor) -> torch.Tensor:
    return x + torch.tensor([x[0, 0], x[1, 0]])


def nested(x: torch.Tensor) -> torch.Tensor:
    return torch.nested.to_padded_tensor(torch.nested.as_nested_tensor([x[0], x[1]]), 0.0)


def aligned(x: torch.Tensor) -> torch.Tensor:
    chances = x.log_softmax(1)[:, None]
    return nn.functional.ctc_loss(
        chances, torch.tensor([[1]]), torch.tensor([4]), torch.tensor([1])
    )


def least_squares(x: torch.Tensor) -> torch.Tensor:
    return torch.linalg.lstsq(x, x).solution


def looked_up(x: torch.Tensor) -> torch.Tensor:
    return x * {4: 2.0}.get(x.shape[0], 3.0)


@pytest.mark.parametrize(
    ("function", "what", "fix"),
    [
        (to_numpy, "hands a tensor or a size to numpy", "compute it with torch"),
        (ufunc, "hands a tensor or a size to numpy", "compute it with torch"),
        (array_out, "hands a tensor or a size to numpy", "in tensors from input to output"),
        (listed, "reads the values of a tensor in Python", "torch.stack"),
        (looked_up, "looks a number up in a dict", "leave the size out"),
        (nested, "makes a nested tensor", "pad the rows"),
        (aligned, "computes ctc_loss", "in PyTorch"),
        (least_squares, "solves least squares", "torch.linalg.solve"),
    ],
)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # once a process
def test_what_python_cannot_do_is_said_in_a_sentence(function: Any, what: str, fix: str) -> None:
    model = type("Calls", (nn.Module,), {"forward": lambda self, x: function(x)})().eval()
    sizes = {"x": {0: torch.export.Dim("rows", min=2, max=8)}}
    with pytest.raises(ConversionError, match=f"cannot capture Calls: it {what}") as caught:
        trtdsl.trace(model, (f32(4, 2),), dynamic_shapes=sizes)
    assert fix in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3
