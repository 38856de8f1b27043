"""``trtdsl.reference``: the callable without TensorRT, and when ``convert`` gives it."""

from __future__ import annotations

import copy
import pickle
import warnings
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests.cases.base import f32, i64
from trtdsl.errors import ConversionError, RunError, UnavailableError
from trtdsl.network import Network
from trtdsl.reference import Reference, fold

MISSING = "no NVIDIA GPU was found\n  fix: run on a machine with one"


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor, index: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.linear(x)
        return {"y": y, "turned": y.T, "next": index + 1, "weight": self.linear.bias}


INPUTS = (f32(2, 4), i64(2))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Pair().eval()


@pytest.fixture(scope="module")
def reference(model: nn.Module) -> Any:
    return trtdsl.convert(model, INPUTS, backend="reference")


def test_it_answers_as_the_model_does(model: nn.Module, reference: Any) -> None:
    assert isinstance(reference, Reference)
    for inputs in (INPUTS, (f32(2, 4, seed=7), i64(2, seed=7))):
        expected, actual = model(*inputs), reference(*inputs)
        assert list(actual) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close(actual[name], value.detach(), rtol=1e-6, atol=1e-6)
            assert actual[name].is_contiguous()
            assert not actual[name].requires_grad


def test_numpy_in_numpy_out(model: nn.Module, reference: Any) -> None:
    answer = reference(*(x.numpy() for x in INPUTS))
    for name, value in model(*INPUTS).items():
        assert isinstance(answer[name], np.ndarray)
        np.testing.assert_allclose(answer[name], value.detach().numpy(), rtol=1e-6, atol=1e-6)


def test_an_answer_may_be_overwritten(model: nn.Module, reference: Any) -> None:
    before = model.linear.bias.clone()
    reference(*INPUTS)["weight"].zero_()
    assert torch.equal(model.linear.bias, before)
    assert torch.equal(reference(*INPUTS)["weight"], before)


def test_wrong_calls(reference: Any) -> None:
    x, index = INPUTS
    wrong = {
        r"takes 2 arguments \(x, index\), and 1 was given": (x,),
        "3 were given": (x, index, index),
        "input x is float64, and the engine takes float32": (x.double(), index),
        "input index is int32, and the engine takes int64": (x, index.int()),
        r"input x has the shape \(3, 4\), and the engine takes \(2, 4\)": (f32(3, 4), index),
        r"input x has the shape \(2, 4, 1\)": (x[..., None], index),
        "input x is not contiguous": (f32(4, 2).T, index),
        "numpy arrays and torch tensors in one call": (x.numpy(), index),
        "input index is on meta, and this runs on cpu": (x, index.to("meta")),
        "list": ([1.0], index),
    }
    for message, inputs in wrong.items():
        with pytest.raises(RunError, match=message):
            reference(*inputs)


def test_dynamic_calls_are_checked() -> None:
    shapes = {"input": {0: Dim("batch", min=2, max=4)}}
    reference = trtdsl.convert(
        nn.ReLU().eval(), (f32(3, 2),), dynamic_shapes=shapes, backend="reference"
    )
    for n in (2, 3, 4):
        assert torch.equal(reference(f32(n, 2)), f32(n, 2).relu())
    for n in (1, 5):
        with pytest.raises(RunError, match=rf"has {n} at axis 0.*\n?.*batch in 2\.\.4"):
            reference(f32(n, 2))


def test_auto_without_a_gpu_warns_once_where_convert_was_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trtdsl.tensorrt_api.why_unavailable", lambda: MISSING)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = trtdsl.convert(nn.ReLU().eval(), (f32(2),))
        found(f32(2))
    (warning,) = [w for w in caught if issubclass(w.category, trtdsl.ReferenceWarning)]
    assert warning.filename == __file__
    assert str(warning.message).startswith("evaluating with PyTorch instead of TensorRT: no NVIDIA")
    assert isinstance(found, Reference)


def test_asking_for_the_reference_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(
            trtdsl.convert(nn.ReLU().eval(), (f32(2),), backend="reference"), Reference
        )


def test_asking_for_tensorrt_without_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trtdsl.tensorrt_api.why_unavailable", lambda: MISSING)
    with pytest.raises(UnavailableError, match="no NVIDIA GPU was found\n  fix: run on"):
        trtdsl.convert(nn.ReLU().eval(), (f32(2),), backend="tensorrt")


def test_another_backend_is_refused() -> None:
    with pytest.raises(ConversionError, match="'auto', 'tensorrt' or 'reference', not 'onnx'"):
        trtdsl.convert(nn.ReLU().eval(), (f32(2),), backend="onnx")  # type: ignore[arg-type]


def test_fold_gives_the_value_of_what_no_input_reaches() -> None:
    net = Network()
    w = net.constant([[1.0, 2.0], [3.0, 4.0]])
    shared = w * 2
    assert fold((shared + shared).reshape(-1)).tolist() == [4.0, 8.0, 12.0, 16.0]
    assert fold(w).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(ConversionError, match="depends on an input"):
        fold(net.input("x", (2,)) + 1)


def test_fold_of_a_long_chain_needs_no_recursion() -> None:
    net = Network()
    x = net.constant(torch.zeros(1))
    for _ in range(3000):
        x = x + net.constant(torch.ones(1))
    assert fold(x).tolist() == [3000.0]


def test_memory_is_freed_as_values_are_used_up() -> None:
    net = Network()
    y = x = net.input("x", (1_000_000,))
    for _ in range(50):
        y = y + 1
    net.output(y)
    made: list[weakref.ref[torch.Tensor]] = []
    held: list[int] = []
    add = torch.add

    def counting(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        held.append(sum(value() is not None for value in made))
        sums = add(a, b)
        made.append(weakref.ref(sums))
        return sums

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "add", counting)
        assert net.evaluate(torch.zeros(1_000_000))[0] == 50.0
    assert x.type == y.type
    assert len(held) == 50
    assert max(held) == 1


def test_what_only_an_engine_has_is_said_to_be_so(model: nn.Module) -> None:
    reference = trtdsl.convert(model, INPUTS, backend="reference")
    ours = {name for name in dir(trtdsl.Engine) if not name.startswith("_")}
    for name in ours - set(dir(reference)) - {"device"}:
        with pytest.raises(UnavailableError, match=f"only an engine has {name}\n  fix: back"):
            getattr(reference, name)
        assert not hasattr(reference, name)
        with pytest.raises(UnavailableError, match=f"only an engine has {name}"):
            setattr(reference, name, True)
    with pytest.raises(AttributeError, match="'Reference' object has no attribute 'absent'"):
        reference.absent  # type: ignore[union-attr]  # noqa: B018
    again = pickle.loads(pickle.dumps(copy.deepcopy(reference)))
    torch.testing.assert_close(again(*INPUTS), reference(*INPUTS))


@pytest.mark.parametrize(
    ("profiles", "reason"),
    [
        ([{"rows": 1}], "a profile names 'rows'; the dynamic sizes are batch"),
        ([{"batch": (1, 2, 99)}], "batch as 1..99, outside of the model's 1..8"),
        ([{"batch": (4, 2, 8)}], r"batch as \(4, 2, 8\): not min <= opt <= max"),
        ([], r"profiles is \[\]"),
    ],
)
def test_profiles_are_as_wrong_here_as_where_a_gpu_is(profiles: Any, reason: str) -> None:
    sizes = {"input": {0: Dim("batch", min=1, max=8)}}
    with pytest.raises(trtdsl.BuildError, match=reason):
        trtdsl.convert(
            nn.ReLU().eval(), (f32(2, 4),), dynamic_shapes=sizes, backend="reference",
            profiles=profiles,
        )  # fmt: skip


def test_options_that_there_are_not() -> None:
    for wrong, fix in (
        ("fp16", "the options are"),
        ("optimisation_level", "optimization_level is"),
    ):
        with pytest.raises(trtdsl.BuildError, match=f"no option {wrong}\n  fix: {fix}"):
            trtdsl.convert(nn.ReLU().eval(), (f32(2),), backend="reference", **{wrong: 1})  # type: ignore[arg-type]
