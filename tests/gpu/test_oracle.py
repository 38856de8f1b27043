"""The ONNX path and ``compare`` on TensorRT: numbers against PyTorch, and what the parser says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import trtdsl
from tests.models.randomise import randomise
from trtdsl import oracle
from trtdsl.build import BuildOptions
from trtdsl.errors import BuildError

pytestmark = pytest.mark.gpu

FAST = BuildOptions(optimization_level=0)
SHAPES = {"input": {0: torch.export.Dim("batch", min=1, max=16)}}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*stem, nn.Flatten(), nn.Linear(16 * 16, 10))
    return randomise(net, (torch.randn(8, 3, 8, 8),))


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.cpu() - expected).abs().max() / expected.abs().max())


def test_a_dynamic_engine_answers_as_pytorch_and_as_ours(model: nn.Module) -> None:
    example = (torch.randn(4, 3, 8, 8),)
    theirs = oracle.oracle(model, example, dynamic_shapes=SHAPES, options=FAST)
    assert theirs.backend == "tensorrt"
    ours = trtdsl.convert(model, example, dynamic_shapes=SHAPES, optimization_level=0)
    for rows in (1, 7, 16):
        x = torch.randn(rows, 3, 8, 8)
        expected = model(x).detach()
        assert relative(theirs(x.cuda()), expected) <= 1e-5
        assert relative(ours(x.cuda()), expected) <= 1e-5
        assert relative(torch.from_numpy(theirs(x.numpy())), expected) <= 1e-5


def test_integers_and_two_outputs() -> None:
    class Lookup(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(50, 8)

        def forward(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
            x = self.table(ids)
            return {"mean": x.mean(1), "best": x.sum(2).argmax(1)}

    torch.manual_seed(0)
    lookup, ids = Lookup().eval(), torch.randint(0, 50, (3, 5))
    got = oracle.oracle(lookup, (ids,), options=FAST)(ids.cuda())
    expected = lookup(ids)
    assert got["best"].dtype is torch.int64
    assert torch.equal(got["best"].cpu(), expected["best"])
    assert relative(got["mean"], expected["mean"].detach()) <= 1e-5


def test_a_saved_engine_of_the_parser_is_loaded_again(model: nn.Module, tmp_path: Path) -> None:
    x = torch.randn(2, 3, 8, 8)
    engine = oracle.build_engine(oracle.export(model, (x,)), FAST)
    engine.save(tmp_path / "onnx.engine")
    again = trtdsl.load(tmp_path / "onnx.engine")
    assert torch.equal(again(x.cuda()), engine(x.cuda()))


def test_the_parser_s_errors_name_the_node() -> None:
    onnx = pytest.importorskip("onnx")
    value = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2]) for n in "xy"]
    node = onnx.helper.make_node("NoSuchOperator", ["x"], ["y"], name="/head/odd")
    graph = onnx.helper.make_graph([node], "g", value[:1], value[1:])
    file = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    file.ir_version = 8
    with pytest.raises(BuildError, match=r"NoSuchOperator '/head/odd' \(node 0\)"):
        oracle.build_engine(file.SerializeToString(), FAST)


@pytest.mark.parametrize(("precision", "tolerance"), [(None, 1e-5), ("fp16", 1e-2)])
def test_compare(model: nn.Module, precision: str | None, tolerance: float) -> None:
    result = trtdsl.compare(
        model,
        (torch.randn(4, 3, 8, 8),),
        precision=precision,
        backend="tensorrt",
        tolerance=tolerance,
        optimization_level=0,
        repeats=5,
    )
    assert result.ok, result
    assert [row.path for row in result.rows] == ["PyTorch", "trtdsl, TensorRT", "ONNX, TensorRT"]
    if result.onnx.failure is None:
        assert result.onnx.relative_error is not None
        assert result.onnx.relative_error <= tolerance
    else:  # a parsed file has no fp16 from TensorRT 11 on
        assert precision == "fp16"
        assert "no fp16 flag" in result.onnx.failure
    assert all(row.milliseconds for row in result.rows if row.failure is None)
