"""``trtdsl.capture``: what may go in and come out, what is refused, and what is left behind."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trtdsl
from tests.cases.base import boolean, f32, i64
from trtdsl.errors import ConversionError
from trtdsl.export.flat import example_inputs


class Calls(nn.Module):
    """A module made of a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def calls(function: Callable[..., Any]) -> nn.Module:
    return Calls(function).eval()


def same(actual: Any, expected: Any) -> None:
    """Equal in structure and class, and within 1e-6 in value."""
    assert type(actual) is type(expected)
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key in expected:
            same(actual[key], expected[key])
    elif isinstance(expected, tuple | list):
        assert len(actual) == len(expected)
        for ours, theirs in zip(actual, expected, strict=True):
            same(ours, theirs)
    elif hasattr(expected, "__dataclass_fields__"):
        same(vars(actual), vars(expected))
    else:
        assert actual == expected


class Mixer(nn.Module):
    def forward(
        self, x: torch.Tensor, index: torch.Tensor, *, mask: torch.Tensor, scale: float = 1.0
    ) -> torch.Tensor:
        return torch.where(mask, x * scale, 0) + index


def test_positional_and_keyword_inputs_of_all_kinds() -> None:
    model = Mixer().eval()
    args, kwargs = (f32(2, 3), i64(2, 3)), {"mask": boolean(2, 3), "scale": 2.0}
    network = trtdsl.trace(model, args, kwargs)
    assert [f"{x!r}" for x in network.inputs] == [
        "x: f32[2, 3]", "index: i64[2, 3]", "mask: bool[2, 3]",
    ]  # fmt: skip
    same(network.evaluate(*args, **kwargs), model(*args, **kwargs))
    other = (f32(2, 3, seed=5), i64(2, 3, seed=5))
    mask = ~kwargs["mask"]
    same(
        network.evaluate(x=other[0], index=other[1], mask=mask), model(*other, mask=mask, scale=2.0)
    )


Pair = namedtuple("Pair", ["left", "right"])


@dataclass
class Box:
    first: torch.Tensor
    rest: list[torch.Tensor]
    label: str = "box"


def test_nested_containers_go_in_and_come_out() -> None:
    def swap(batch: dict[str, Any], pair: Pair, box: Box) -> Any:
        return {
            "box": Box(box.rest[0] * 2, [box.first, pair.left + batch["a"]], box.label),
            "pair": Pair(pair.right, (batch["b"][1], None)),
            "order": OrderedDict(z=batch["b"][0] + 1, y=[3, "text"]),
        }

    args = (
        {"a": f32(2), "b": [f32(3), f32(4)]},
        Pair(f32(2, seed=1), f32(5)),
        Box(f32(6), [f32(7)], "mine"),
    )
    model = calls(swap)
    network = trtdsl.trace(model, args)
    assert len(network.inputs) == 7
    assert [y.name for y in network.outputs] == [
        "box.first", "box.rest.0", "box.rest.1", "pair.left", "pair.right.0", "order.z",
    ]  # fmt: skip
    same(network.evaluate(*args), model(*args))


@pytest.mark.parametrize("flag", [True, False])
def test_python_values_among_the_inputs_are_part_of_the_network(flag: bool) -> None:
    def choose(x: torch.Tensor, negate: bool, mode: str, times: int) -> torch.Tensor:
        y = (-x if negate else x) * times
        return y.abs() if mode == "abs" else y

    model, x = calls(choose), f32(4)
    network = trtdsl.trace(model, (x, flag, "plain", 3))
    same(network.evaluate(x, flag, "plain", 3), model(x, flag, "plain", 3))
    with pytest.raises(trtdsl.RunError, match=f"fixed at conversion to {flag}"):
        network.evaluate(x, not flag, "plain", 3)


def test_example_inputs_that_the_model_brings() -> None:
    x = f32(2, 3)
    model = nn.ReLU().eval()
    with pytest.raises(ConversionError, match="does not say what its inputs look like") as caught:
        trtdsl.trace(model)
    assert "example_input_array" in str(caught.value)
    model.example_input_array = x
    assert example_inputs(model) == (x,)
    same(trtdsl.trace(model).evaluate(x), model(x))
    both = Mixer().eval()
    both.dummy_inputs = {"x": x, "index": i64(2, 3), "mask": boolean(2, 3)}
    same(trtdsl.trace(both).evaluate(**both.dummy_inputs), both(**both.dummy_inputs))
    assert trtdsl.check(both).ok
    same(trtdsl.trace(model, x).evaluate(x), model(x))


def test_a_model_without_inputs() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(f32(2, 3))

        def forward(self) -> torch.Tensor:
            return self.table * 2

    model = Table().eval()
    same(trtdsl.trace(model, ()).evaluate(), model().detach())


def test_training_mode_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)))
    with pytest.raises(ConversionError, match="Sequential is in training mode") as caught:
        trtdsl.trace(model, (f32(2, 2),))
    assert "and 2 more submodules" in str(caught.value)
    assert "fix: call model.eval() first" in str(caught.value)
    model.eval()[1][0].train()
    with pytest.raises(ConversionError, match=r"training mode: 1\.0$|training mode: 1\.0\n"):
        trtdsl.trace(model, (f32(2, 2),))


class Doubles(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.weight


@pytest.mark.parametrize(
    ("model", "inputs", "reason"),
    [
        (Doubles(), (f32(2),), r"an output of the model is float64"),
        (Doubles(), (f32(2).double(),), r"is torch\.float64"),
        (Calls(lambda x: x.double() * 2), (f32(2),), "an output of the model is float64"),
        (Calls(lambda x: x * 2), (torch.ones(2, dtype=torch.complex64),), "complex64"),
        (Calls(lambda x: torch.fft.fft(x)), (f32(4),), "complex of f32"),
    ],
    ids=["weight", "input", "inside", "complex", "output"],
)
def test_dtypes_that_tensorrt_lacks_are_an_error(
    model: nn.Module, inputs: tuple[torch.Tensor, ...], reason: str
) -> None:
    with pytest.raises(ConversionError, match=reason):
        trtdsl.trace(model.eval(), inputs)


def test_a_dtype_inside_the_model_is_traced_to_its_line() -> None:
    class Wide(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.double() * 2

    with pytest.raises(ConversionError) as caught:
        trtdsl.trace(Wide().eval(), (f32(2),))
    what, at, fix = str(caught.value).splitlines()
    assert "float64" in what
    assert at.startswith("  at:  aten.to.dtype")
    assert at.endswith("forward: return x.double() * 2")
    assert fix == "  fix: use float32, as model.float() does, or return y.float()"


def test_what_torch_export_refuses_names_the_users_line() -> None:
    def branches(x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return x
        return -x

    with pytest.raises(ConversionError, match="cannot capture Calls") as caught:
        trtdsl.trace(calls(branches), (f32(2),))
    message = str(caught.value)
    assert "test_capture.py" in message
    assert "if x.sum() > 0:" in message
    assert "<string>" not in message
    assert "TORCH_LOGS" not in message
    assert "fix: keep values in their tensors and choose with torch.where" in message


def test_inputs_that_do_not_fit_forward() -> None:
    model = nn.ReLU().eval()
    with pytest.raises(ConversionError, match=r"takes 1 positional input \(input\); 2 were given"):
        trtdsl.trace(model, (f32(2), f32(2)))
    with pytest.raises(ConversionError, match="unexpected keyword argument 'mask'"):
        trtdsl.trace(model, (f32(2),), {"mask": f32(2)})
    with pytest.raises(ConversionError, match="example input input is a ndarray"):
        trtdsl.trace(model, (f32(2).numpy(),))
    with pytest.raises(ConversionError, match="set, not a tensor"):
        trtdsl.trace(model, ({1, 2},))


class Caching(nn.Module):
    """Keeps what it has computed, as position tables are."""

    def __init__(self) -> None:
        super().__init__()
        self.table: dict[int, Any] = {}
        self.history: list[Any] = [1]
        self.last: Any = "nothing"
        self.register_buffer("cached", torch.zeros(2), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.table[len(self.table)] = x.shape
        self.history.append(2)
        self.last = "something"
        return x + self.cached


def test_what_the_trace_leaves_in_the_model_is_taken_away() -> None:
    model = Caching().eval()
    before = dict(model.__dict__)
    buffer = model.cached
    trtdsl.trace(model, (f32(2),))
    assert model.__dict__ == before
    assert (model.table, model.history, model.last) == ({}, [1], "nothing")
    assert model.cached is buffer
    assert not model.training
    assert list(model.state_dict()) == []


def test_a_tensor_cached_in_the_model_is_never_a_fake_one() -> None:
    class Lazy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.mask is None:
                self.mask = torch.arange(1.0, 1 + x.shape[-1])
            return x * self.mask

    model, x = Lazy().eval(), f32(2, 3)
    network = trtdsl.trace(model, (x,))
    assert model.mask is None
    same(network.evaluate(x), x * torch.tensor([1.0, 2.0, 3.0]))
    same(model(x), x * torch.tensor([1.0, 2.0, 3.0]))


def test_gradients_neither_matter_nor_come_out() -> None:
    def mixed(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y = x * 2
        with torch.enable_grad():
            z = y + 1
        return z.detach() * x

    model, x = calls(mixed), f32(3).requires_grad_()
    network = trtdsl.trace(model, (x,))
    answer = network.evaluate(x)
    same(answer, model(x).detach())
    assert not answer.requires_grad


class Cast(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.linear, self.norm, self.dtype = nn.Linear(8, 8), nn.LayerNorm(8), dtype

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.autocast("cpu", self.dtype):
            y = self.norm(self.linear(x))
            weights = (y @ y.T).softmax(-1)
            with torch.autocast("cpu", enabled=False):
                plain = self.linear(x * 1.001)
            mixed = torch.cat([y, plain], 1)
        return y, weights, plain, mixed, self.linear(x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_inside_the_model(dtype: torch.dtype) -> None:
    model, x = Cast(dtype).eval(), f32(4, 8)
    rows = torch.export.Dim("rows", min=2, max=9)
    program = torch.export.export(model, (x,), strict=False)
    wanted = [answer.detach() for answer in model(x)]
    for network in (
        trtdsl.trace(model, (x,)),
        trtdsl.trace(model, (x,), dynamic_shapes={"x": {0: rows}}),
        trtdsl.trace(program),
    ):
        answers = network.evaluate(x)
        assert [a.dtype for a in answers] == [w.dtype for w in wanted]
        for index, (answer, want) in enumerate(zip(answers, wanted, strict=True)):
            # What autocast is off for is as near as always, which 16 bits would not be.
            tolerance = 1e-5 if index in (2, 4) else 4 * torch.finfo(dtype).eps
            torch.testing.assert_close(answer, want, rtol=tolerance, atol=tolerance)


def test_weights_made_in_inference_mode() -> None:
    with torch.inference_mode():
        model = nn.Linear(3, 2).eval()
    x = f32(4, 3)
    same(trtdsl.trace(model, (x,)).evaluate(x), model(x).detach())


def test_decomposing_warns_of_nothing() -> None:
    """PyTorch warns of its own deprecated class there, which is no matter of the user's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = trtdsl.check(calls(torch.linalg.svdvals), (f32(3, 3),))
    assert [u.operator for u in report.unsupported] == ["aten._linalg_svd.default"]


def test_dropout_of_eval_mode_vanishes() -> None:
    model, x = calls(lambda x: F.dropout(x, 0.5, training=False) + 1), f32(3)
    network = trtdsl.trace(model, (x,))
    assert [op.layer.kind for op in network.operations if op.inputs] == [
        "unsqueeze",
        "element_wise",
    ]
    same(network.evaluate(x), x + 1)


def test_models_may_be_converted_from_several_threads() -> None:
    """They wait for each other: torch.export traces one at a time."""

    def converted(width: int) -> bool:
        model, x = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2)), f32(4, 3)
        answer = trtdsl.trace(model.eval(), (x,)).evaluate(x)
        return torch.allclose(answer, model(x), rtol=1e-5, atol=1e-5)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(converted, range(4, 12)))


class Difference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a - b * self.weight


@pytest.mark.parametrize("which", ["one tensor twice", "a parameter of the model"])
def test_each_input_is_one_whatever_the_examples_are(which: str) -> None:
    model, x = Difference().eval(), torch.ones(2)
    examples = (x, x) if which == "one tensor twice" else (model.weight, x)
    network = trtdsl.trace(model, examples)
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([5.0, 7.0])
    torch.testing.assert_close(network.evaluate(a, b), model(a, b), rtol=0, atol=0)
