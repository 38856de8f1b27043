"""Rows of ``Resize``: PyTorch's interpolate says what is right, and onnxruntime's Resize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from tests.cases.base import LayerCase, bf16, f16, f32
from trtdsl.ir.resize import (
    InterpolationMode,
    Resize,
    ResizeCoordinateTransformation,
    ResizeRoundMode,
    ResizeSelector,
)

NEAREST, LINEAR, CUBIC = InterpolationMode
ALIGN_CORNERS, ASYMMETRIC, HALF_PIXEL = ResizeCoordinateTransformation
ONNX = {
    NEAREST: "nearest",
    LINEAR: "linear",
    CUBIC: "cubic",
    ALIGN_CORNERS: "align_corners",
    ASYMMETRIC: "asymmetric",
    HALF_PIXEL: "half_pixel",
    ResizeRoundMode.HALF_UP: "round_prefer_ceil",
    ResizeRoundMode.HALF_DOWN: "round_prefer_floor",
    ResizeRoundMode.FLOOR: "floor",
    ResizeRoundMode.CEIL: "ceil",
}


def by_onnxruntime(layer: Resize, **changes: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """What onnxruntime makes of the same attributes."""

    def reference(x: torch.Tensor) -> torch.Tensor:
        import onnxruntime
        from onnx import TensorProto, helper

        assert layer.shape is not None
        attributes: dict[str, Any] = {
            "mode": ONNX[layer.mode],
            "coordinate_transformation_mode": ONNX[layer.coordinate_transformation],
            "nearest_mode": ONNX[layer.nearest_rounding],
            "cubic_coeff_a": layer.cubic_coeff,
            "exclude_outside": int(layer.exclude_outside),
        }
        node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes | changes)
        graph = helper.make_graph(
            [node],
            "resize",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape)),
                helper.make_tensor_value_info("sizes", TensorProto.INT64, [x.dim()]),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(layer.shape))],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        feeds = {"x": x.numpy(), "sizes": np.array(layer.shape, dtype=np.int64)}
        return torch.from_numpy(session.run(None, feeds)[0])

    return reference


def onnx_row(shape: tuple[int, ...], x: tuple[int, ...], **attributes: Any) -> LayerCase:
    layer = Resize(shape=shape, **attributes)
    return LayerCase(layer, (f32(*x),), by_onnxruntime(layer))


ROUNDINGS = [
    onnx_row(
        (1, 2, 9, 4),
        (1, 2, 6, 6),
        coordinate_transformation=transformation,
        nearest_rounding=rounding,
    )
    for transformation in ResizeCoordinateTransformation
    for rounding in ResizeRoundMode
]

CUBICS = [
    onnx_row(
        (1, 2, 9, 4),
        (1, 2, 5, 6),
        mode=CUBIC,
        coordinate_transformation=transformation,
        cubic_coeff=coeff,
        exclude_outside=exclude,
    )
    for transformation in ResizeCoordinateTransformation
    for coeff, exclude in ((-0.75, False), (-0.5, False), (-0.75, True))
]

LINEARS = [
    onnx_row((1, 2, 9, 4), (1, 2, 5, 6), mode=LINEAR, coordinate_transformation=transformation)
    for transformation in ResizeCoordinateTransformation
]

CASES = [
    *ROUNDINGS,
    *CUBICS,
    *LINEARS,
    LayerCase(
        Resize(shape=(2, 3, 8)),
        (f32(2, 3, 5),),
        lambda x: interpolate(x, size=8, mode="nearest"),
    ),
    LayerCase(
        Resize(shape=(1, 2, 3, 7, 4)),
        (f32(1, 2, 4, 5, 3),),
        lambda x: interpolate(x, size=(3, 7, 4), mode="nearest"),
    ),
    LayerCase(
        Resize(
            shape=(1, 2, 10, 3),
            coordinate_transformation=HALF_PIXEL,
            nearest_rounding=ResizeRoundMode.HALF_UP,
        ),
        (f16(1, 2, 4, 7),),
        lambda x: interpolate(x, size=(10, 3), mode="nearest-exact"),
    ),
    # Every axis may be resized by the nearest element, the first two as well.
    LayerCase(
        Resize(shape=(4, 6)),
        (f32(2, 3),),
        lambda x: x.repeat_interleave(2, 0).repeat_interleave(2, 1),
    ),
    LayerCase(
        Resize(mode=LINEAR, shape=(2, 3, 9), coordinate_transformation=HALF_PIXEL),
        (f32(2, 3, 4),),
        lambda x: interpolate(x, size=9, mode="linear"),
    ),
    LayerCase(
        Resize(mode=LINEAR, shape=(1, 2, 3, 7, 4), coordinate_transformation=HALF_PIXEL),
        (f32(1, 2, 4, 5, 2),),
        lambda x: interpolate(x, size=(3, 7, 4), mode="trilinear"),
    ),
    LayerCase(
        Resize(mode=LINEAR, shape=(1, 2, 3, 7, 4), coordinate_transformation=ALIGN_CORNERS),
        (f32(1, 2, 4, 5, 2),),
        lambda x: interpolate(x, size=(3, 7, 4), mode="trilinear", align_corners=True),
    ),
    LayerCase(
        Resize(mode=CUBIC, shape=(1, 2, 8, 3), coordinate_transformation=HALF_PIXEL),
        (f16(1, 2, 5, 5),),
        lambda x: interpolate(x.float(), size=(8, 3), mode="bicubic").half(),
        tolerance=1e-3,
    ),
    LayerCase(
        Resize(mode=CUBIC, shape=(1, 2, 8, 3), coordinate_transformation=ALIGN_CORNERS),
        (f32(1, 2, 5, 5),),
        lambda x: interpolate(x, size=(8, 3), mode="bicubic", align_corners=True),
    ),
    # A single pixel: index 0 whatever the formula says, or where the formula says.
    LayerCase(
        Resize(
            mode=LINEAR,
            shape=(1, 2, 1, 5),
            coordinate_transformation=HALF_PIXEL,
            selector_for_single_pixel=ResizeSelector.UPPER,
        ),
        (f32(1, 2, 4, 5),),
        lambda x: x[:, :, :1],
    ),
    LayerCase(
        Resize(mode=LINEAR, shape=(1, 2, 1, 5), coordinate_transformation=HALF_PIXEL),
        (f32(1, 2, 4, 5),),
        lambda x: (x[:, :, 1:2] + x[:, :, 2:3]) / 2,
    ),
    LayerCase(
        Resize(
            mode=LINEAR,
            shape=(1, 2, 1, 1),
            coordinate_transformation=ALIGN_CORNERS,
            selector_for_single_pixel=ResizeSelector.UPPER,
        ),
        (f32(1, 2, 4, 5),),
        lambda x: interpolate(x, size=1, mode="bilinear", align_corners=True),
    ),
    # By scales: sizes are rounded down, coordinates come from the scales.
    LayerCase(
        Resize(scales=(1.0, 1.0, 2.0, 0.5)),
        (f32(1, 2, 3, 6),),
        lambda x: interpolate(x, scale_factor=(2, 0.5), mode="nearest"),
        symbolic={(0, 0): "n", (0, 2): "h", (0, 3): "w"},
    ),
    LayerCase(
        Resize(mode=LINEAR, scales=(1.0, 1.0, 1.5, 0.75), coordinate_transformation=HALF_PIXEL),
        (f32(1, 2, 5, 7),),
        lambda x: interpolate(x, scale_factor=(1.5, 0.75), mode="bilinear"),
        symbolic={(0, 2): "h", (0, 3): "w"},
    ),
    LayerCase(
        Resize(mode=LINEAR, shape=(1, 2, 7, 9), coordinate_transformation=HALF_PIXEL),
        (bf16(1, 2, 4, 5),),
        lambda x: interpolate(x.double(), size=(7, 9), mode="bilinear").bfloat16(),
        tolerance=2**-8,
        gpu="TensorRT 8.6 has no bfloat16",
    ),
]
