"""Plugins that stand for modules, and those of TensorRT's own library, inside engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import trtdsl
from trtdsl import module_plugins, plugins
from trtdsl.build import BuildOptions, build
from trtdsl.network import Network
from trtdsl.types import DType, TensorType

pytestmark = pytest.mark.gpu
FAST = BuildOptions(optimization_level=0)

SCALED = """
extern "C" __global__ void scaled(const T0* x, const T1* w, T2* y, int count, int width, int sign) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = sign * (float)x[i] * (float)w[i % width];
}
"""


class Scaled(nn.Module):
    """Code that torch.export cannot capture."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.sign = sign
        self.weight = nn.Parameter(torch.linspace(-1, 2, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 1e30:
            return x
        return self.sign * x * self.weight


@dataclass(frozen=True, kw_only=True)
class ScaledPlugin(trtdsl.Plugin, kernel=SCALED):
    sign: int

    def infer(self, x: TensorType, weight: TensorType) -> TensorType:
        return x

    def evaluate(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return self.sign * x * weight

    def launch(
        self,
        x: trtdsl.Buffer,
        weight: trtdsl.Buffer,
        y: trtdsl.Buffer,
        *,
        workspace: trtdsl.Buffer | None,
    ) -> trtdsl.Launch:
        args = (x, weight, y, x.volume, x.shape[-1], self.sign)
        return trtdsl.Launch(kernel="scaled", grid=-(-x.volume // 128), block=128, args=args)


@pytest.fixture
def _bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_plugins, "_PLUGINS", {Scaled: ScaledPlugin})


@pytest.mark.usefixtures("_bound")
def test_modules_become_layers_with_their_own_weights_and_fields() -> None:
    model = nn.Sequential(Scaled(1), nn.ReLU(), Scaled(-3)).eval()
    batch = torch.export.Dim("batch", min=2, max=32)
    torch.manual_seed(0)
    x = torch.randn(4, 5)
    engine = trtdsl.convert(
        model, (x,), dynamic_shapes={"input": {0: batch}}, backend="tensorrt", optimization_level=0
    )
    for count in (2, 32):
        y = torch.randn(count, 5)
        answer = engine(y.cuda()).cpu()
        torch.testing.assert_close(answer, model(y), rtol=1e-6, atol=1e-6)


def test_nms_of_tensorrts_own_library_saved_and_loaded(tmp_path: Path) -> None:
    most = 4
    nms = plugins.creator(
        "EfficientNMS_TRT",
        outputs=(
            TensorType(DType.INT32, (1, 1)),
            TensorType(DType.FLOAT32, (1, most, 4)),
            TensorType(DType.FLOAT32, (1, most)),
            TensorType(DType.INT32, (1, most)),
        ),
        handles=(),
        score_threshold=0.25,
        iou_threshold=0.5,
        max_output_boxes=most,
        background_class=-1,
        score_activation=0,
        box_coding=0,
    )
    net = Network()
    boxes, scores = net.input("boxes", (1, 4, 4)), net.input("scores", (1, 4, 2))
    for y in nms.outputs(boxes, scores):
        net.output(y)
    path = tmp_path / "nms.engine"
    build(net, FAST).save(path)
    engine = trtdsl.load(path)
    # The second overlaps the first with an IoU of 0.9; the fourth scores too little.
    places = torch.tensor([[[0, 0, 10, 10], [0, 0, 9, 10], [20, 20, 30, 30], [50, 50, 60, 60.0]]])
    given = torch.tensor([[[0.9, 0.0], [0.8, 0.0], [0.0, 0.7], [0.1, 0.0]]])
    count, kept, values, classes = (y.cpu() for y in engine(places.cuda(), given.cuda()))
    assert count.tolist() == [[2]]
    assert kept[0, :2].tolist() == [[0, 0, 10, 10], [20, 20, 30, 30]]
    torch.testing.assert_close(values[0, :2], torch.tensor([0.9, 0.7]), rtol=1e-6, atol=1e-6)
    assert classes[0, :2].tolist() == [0, 1]


def test_a_field_that_the_library_does_not_declare() -> None:
    net = Network()
    nms = plugins.creator(
        "EfficientNMS_TRT", outputs=TensorType(DType.INT32, (1, 1)), threshold=0.25
    )
    net.output(nms(net.input("boxes", (1, 4, 4)), net.input("scores", (1, 4, 2))), "y")
    with pytest.raises(trtdsl.BuildError, match=r"no field 'threshold'[\s\S]*score_threshold"):
        build(net, FAST)
