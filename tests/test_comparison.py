"""``compare``: its numbers against ones computed here, and what it says when the ONNX way fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from trtdsl.answers import errors as errors_of
from trtdsl.comparison import Comparison, Row
from trtdsl.errors import ConversionError, UnavailableError

NAN, INF = float("nan"), float("inf")


@torch.library.custom_op("trtdsl_tests::no_onnx", mutates_args=())
def no_onnx(x: torch.Tensor) -> torch.Tensor:
    return x + 1


@no_onnx.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


@trtdsl.converter(torch.ops.trtdsl_tests.no_onnx.default)
def convert_no_onnx(x: trtdsl.Tensor) -> trtdsl.Tensor:
    return x + 1


def network() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
    return model.append(nn.Linear(288, 5)).eval(), torch.randn(2, 3, 8, 8)


@pytest.fixture(scope="module")
def result() -> Comparison:
    model, x = network()
    return trtdsl.compare(model, (x,), backend="reference", repeats=3)


def test_every_way_has_its_numbers(result: Comparison) -> None:
    model, _ = network()
    assert result.ok
    assert [row.path for row in result.rows] == [
        "PyTorch",
        "trtdsl, reference",
        "ONNX, onnxruntime",
    ]
    own = [*model.parameters(), *model.buffers()]
    assert result.pytorch.size == sum(x.numel() * x.element_size() for x in own)
    for row in result.rows:
        assert row.failure is None
        assert row.milliseconds is not None
        assert row.milliseconds > 0
    for row in (result.trtdsl, result.onnx):
        assert row.relative_error is not None
        assert row.absolute_error is not None
        assert row.relative_error <= 1e-5
        assert row.layers is not None
        assert row.layers >= 4
        assert row.size is not None
        assert row.size > 288 * 5 * 4


def test_errors_are_those_of_the_answer() -> None:
    model, x = network()
    result = trtdsl.compare(model, (x,), precision="fp16", backend="reference", repeats=1)
    y, expected = trtdsl.trace(model, (x,), precision="fp16").evaluate(x), model(x)
    difference = (y - expected).abs().max().item()
    assert result.trtdsl.absolute_error == pytest.approx(difference, rel=1e-6)
    relative = difference / expected.abs().max().item()
    assert result.trtdsl.relative_error == pytest.approx(relative, rel=1e-6)
    assert 1e-6 < relative < 1e-2
    assert result.tolerance == 1e-2
    assert result.ok


def test_an_answer_outside_of_the_tolerance_is_not_ok() -> None:
    model, x = network()
    result = trtdsl.compare(
        model, (x,), precision="fp16", backend="reference", tolerance=1e-7, repeats=1
    )
    assert not result.ok
    assert "OUTSIDE OF" in str(result)


def test_print_and_json_say_the_same(result: Comparison) -> None:
    text, data = str(result), json.loads(json.dumps(result.to_json()))
    assert "Sequential on cpu" in text
    assert data["ok"] is True
    assert [row["path"] for row in data["rows"]] == [row.path for row in result.rows]
    for row in data["rows"]:
        assert row["path"] in text
        assert f"{row['milliseconds']:.3f}" in text


def test_a_failure_of_the_onnx_way_is_a_row() -> None:
    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return no_onnx(x) * 2

    result = trtdsl.compare(Model().eval(), (torch.ones(3),), backend="reference", repeats=1)
    assert result.ok
    assert result.onnx.absolute_error is None
    assert result.onnx.failure is not None
    assert "torch.onnx.export refuses Model" in result.onnx.failure
    assert "torch.onnx.export refuses Model" in " ".join(str(result).split())


def test_trtdsl_s_own_failure_is_an_error() -> None:
    model, x = network()
    program = torch.export.export(model, (x,), strict=False)
    with pytest.raises(ConversionError, match="not ExportedProgram"):
        trtdsl.compare(program, (x,))
    with pytest.raises(ConversionError, match="training mode"):
        trtdsl.compare(model.train(), (x,), backend="reference")


@pytest.mark.parametrize(
    ("actual", "expected", "errors"),
    [
        ([1.0, 2.5], [1.0, 2.0], (0.5, 0.25)),
        ([0.0, 0.0], [0.0, 0.0], (0.0, 0.0)),
        ([0.25, 0.0], [0.0, 0.0], (0.25, 0.25)),
        ([NAN, 1.0], [NAN, 1.0], (0.0, 0.0)),
        ([NAN, 1.0], [0.0, 1.0], (INF, INF)),
        ([0.0, 1.0], [NAN, 1.0], (INF, INF)),
        ([INF, 1.0], [INF, 2.0], (1.0, 0.5)),
        ([INF, 1.0], [-INF, 1.0], (INF, INF)),
        ([], [], (0.0, 0.0)),
        ([1.0], [1.0, 1.0], (INF, INF)),
    ],
)
def test_errors(actual: list[float], expected: list[float], errors: tuple[float, float]) -> None:
    assert errors_of(torch.tensor(actual), torch.tensor(expected)) == errors


def test_errors_take_the_worst_output_and_its_own_scale() -> None:
    large, small = torch.tensor([1000.0]), torch.tensor([1.0])
    got: dict[str, Any] = {"large": large + 1, "small": small + 0.5}
    assert errors_of(got, {"large": large, "small": small}) == (1.0, 0.5)
    assert errors_of(torch.tensor([1, 2]), torch.tensor([1.0, 2.0])) == (INF, INF), "other dtype"
    assert errors_of([large], [large, small]) == (INF, INF), "other count"


def test_what_compare_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = nn.ReLU().eval(), torch.zeros(2)
    with pytest.raises(ConversionError, match="'auto', 'tensorrt' or 'reference', not 'gpu'"):
        trtdsl.compare(model, (x,), backend="gpu")
    monkeypatch.setattr("trtdsl.tensorrt_api.why_unavailable", lambda: "there is no GPU")
    with pytest.raises(UnavailableError, match="there is no GPU"):
        trtdsl.compare(model, (x,), backend="tensorrt")
    program = torch.export.export(model, (x,))
    with pytest.raises(ConversionError, match=r"torch\.nn\.Module itself .*not ExportedProgram"):
        trtdsl.compare(program)


@pytest.mark.parametrize("repeats", [0, -1, 2.0, None])
def test_a_number_of_calls_that_is_none(repeats: Any) -> None:
    with pytest.raises(ConversionError, match=f"repeats is {repeats}\n  fix: give the number"):
        trtdsl.compare(nn.ReLU().eval(), (torch.ones(2),), repeats=repeats)


@pytest.mark.parametrize("tolerance", [-1.0, NAN, "a"])
def test_a_tolerance_that_is_none(tolerance: Any) -> None:
    with pytest.raises(ConversionError, match=f"tolerance is {tolerance!r}"):
        trtdsl.compare(nn.ReLU().eval(), (torch.ones(2),), tolerance=tolerance)


def test_a_row_without_an_answer_is_not_ok() -> None:
    row = Row(path="any")
    empty = Comparison(model="M", device="cpu", tolerance=1.0, pytorch=row, trtdsl=row, onnx=row)
    assert not empty.ok
