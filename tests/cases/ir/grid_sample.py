"""Rows of ``GridSample``: onnxruntime's GridSample says what is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tests.cases.base import LayerCase, bf16, f32
from trtdsl.ir.grid_sample import GridSample
from trtdsl.ir.resize import InterpolationMode
from trtdsl.ir.slice import SampleMode

NEAREST, LINEAR = InterpolationMode.NEAREST, InterpolationMode.LINEAR
ONNX = {
    NEAREST: "nearest",
    LINEAR: "bilinear",
    SampleMode.FILL: "zeros",
    SampleMode.CLAMP: "border",
    SampleMode.REFLECT: "reflection",
}


def by_onnxruntime(layer: GridSample) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """What onnxruntime makes of the same attributes."""

    def reference(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        import onnxruntime
        from onnx import TensorProto, helper

        node = helper.make_node(
            "GridSample",
            ["x", "grid"],
            ["y"],
            mode=ONNX[layer.interpolation_mode],
            padding_mode=ONNX[layer.sample_mode],
            align_corners=int(layer.align_corners),
        )
        info = helper.make_tensor_value_info
        inputs = [info("x", TensorProto.FLOAT, None), info("grid", TensorProto.FLOAT, None)]
        graph = helper.make_graph([node], "g", inputs, [info("y", TensorProto.FLOAT, None)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        feed = {"x": x.float().numpy(), "grid": grid.float().numpy()}
        (y,) = session.run(None, feed)
        return torch.from_numpy(np.asarray(y)).to(x.dtype)

    return reference


X = f32(2, 3, 5, 7)
GRID = f32(2, 4, 6, 2, low=-1.6, high=1.6)


def row(interpolation: InterpolationMode, sample: SampleMode, align: bool) -> LayerCase:
    layer = GridSample(interpolation_mode=interpolation, sample_mode=sample, align_corners=align)
    symbolic = {(0, 0): "n", (1, 0): "n", (0, 3): "w", (1, 1): "h"}
    return LayerCase(layer, (X, GRID), by_onnxruntime(layer), symbolic=symbolic)


CASES = [
    *(
        row(interpolation, sample, align)
        for interpolation in (NEAREST, LINEAR)
        for sample in (SampleMode.FILL, SampleMode.CLAMP, SampleMode.REFLECT)
        for align in (False, True)
    ),
    LayerCase(
        GridSample(),
        (bf16(1, 2, 4, 4), f32(1, 3, 3, 2, low=-1, high=1).bfloat16()),
        by_onnxruntime(GridSample()),
        tolerance=2e-2,
        gpu="TensorRT 8.6 has no bfloat16",
    ),
]
