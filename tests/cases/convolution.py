"""Rows of the convolutions and transposed convolutions."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f16, f32

aten = torch.ops.aten

HALF = 2e-3

CASES = [
    Case(aten.conv1d.default, f32(2, 3, 9), f32(4, 3, 3), constants=(1,)),
    Case(
        aten.conv1d.default, f32(2, 4, 9), f32(6, 2, 3), f32(6), [2], [1], [2], 2,
        constants=(1, 2), dynamic={(0, 0): "n", (0, 2): "l"},
    ),
    Case(aten.conv1d.default, f32(3, 9), f32(4, 3, 3), f32(4), constants=(1, 2)),
    Case(aten.conv1d.padding, f32(2, 3, 9), f32(4, 3, 4), f32(4), [1], "same", constants=(1, 2)),
    Case(aten.conv1d.padding, f32(2, 3, 9), f32(4, 3, 4), None, [2], "valid", constants=(1,)),
    Case(aten.conv2d.default, f32(2, 3, 6, 5), f32(4, 3, 3, 3), constants=(1,)),
    Case(
        aten.conv2d.default, f32(2, 3, 6, 5), f32(4, 3, 3, 3), f32(4), [2, 2], [1, 1],
        constants=(1, 2), dynamic={(0, 0): "n", (0, 2): "h", (0, 3): "w"},
    ),
    Case(
        aten.conv2d.default, f32(2, 4, 6, 5), f32(4, 1, 3, 3), None, [1, 1], [2, 0], [2, 1], 4,
        constants=(1,),
    ),
    Case(aten.conv2d.default, f32(2, 4, 6, 5), f32(6, 2, 1, 1), f32(6), [2], [1], [1], 2,
         constants=(1, 2)),
    Case(aten.conv2d.default, f32(3, 6, 5), f32(4, 3, 3, 3), f32(4), constants=(1, 2)),
    Case(aten.conv2d.default, f32(1, 3, 6, 5), f32(4, 3, 3, 3), f32(4)),
    Case(aten.conv2d.default, f16(1, 3, 6, 5), f16(4, 3, 3, 3), constants=(1,), tolerance=HALF),
    Case(aten.conv2d.padding, f32(2, 3, 6, 5), f32(4, 3, 3, 3), f32(4), [1, 1], "same",
         constants=(1, 2), dynamic={(0, 2): "h"}),
    Case(aten.conv2d.padding, f32(2, 3, 8, 8), f32(4, 3, 4, 2), None, [1, 1], "same", [1, 3],
         constants=(1,)),
    Case(aten.conv2d.padding, f32(2, 4, 6, 5), f32(4, 1, 3, 3), None, [2, 1], "valid", [1, 1], 4,
         constants=(1,)),
    Case(aten.conv3d.default, f32(1, 2, 4, 5, 4), f32(3, 2, 2, 3, 2), f32(3), constants=(1, 2)),
    Case(
        aten.conv3d.default, f32(1, 2, 4, 5, 4), f32(2, 1, 3, 3, 1), None, [1, 2, 1], [1, 1, 0],
        [1, 1, 1], 2, constants=(1,), dynamic={(0, 2): "d"},
    ),
    Case(aten.conv3d.padding, f32(1, 2, 4, 5, 4), f32(3, 2, 2, 3, 4), f32(3), [1, 1, 1], "same",
         constants=(1, 2)),
    Case(aten.conv_transpose1d.default, f32(2, 3, 5), f32(3, 4, 4), f32(4), [2], [1],
         constants=(1, 2), dynamic={(0, 2): "l"}),
    Case(aten.conv_transpose1d.default, f32(2, 4, 5), f32(4, 2, 3), None, [3], [1], [2], 2, [1],
         constants=(1,)),
    Case(aten.conv_transpose2d.input, f32(2, 3, 4, 5), f32(3, 4, 4, 4), None, [2, 2], [1, 1],
         constants=(1,)),
    Case(
        aten.conv_transpose2d.input, f32(2, 3, 4, 5), f32(3, 2, 3, 3), f32(2), [2, 2], [1, 1],
        [1, 1], constants=(1, 2), dynamic={(0, 0): "n", (0, 2): "h"},
    ),
    # More output padding than padding: TensorRT cannot add to an output, so the kernel grows.
    Case(aten.conv_transpose2d.input, f32(1, 3, 4, 4), f32(3, 2, 2, 2), f32(2), [3, 3], [0, 1],
         [2, 2], constants=(1, 2)),
    Case(aten.conv_transpose2d.input, f32(1, 4, 4, 4), f32(4, 3, 2, 3), f32(6), [1, 2], [0, 0],
         [2, 1], 2, [3, 2], constants=(1, 2)),
    Case(aten.conv_transpose2d.input, f32(3, 4, 5), f32(3, 4, 2, 2), f32(4), [2, 2],
         constants=(1, 2)),
    Case(
        aten.conv_transpose3d.input, f32(1, 2, 3, 3, 2), f32(2, 3, 3, 2, 3), f32(3), [2, 1, 2],
        [1, 0, 1], [1, 0, 0], constants=(1, 2),
    ),
    Case(
        aten.convolution.default, f32(2, 4, 6, 5), f32(6, 2, 3, 3), f32(6), [2, 1], [1, 1], [1, 1],
        False, [0, 0], 2, constants=(1, 2),
    ),
    Case(aten.convolution.default, f32(2, 3, 9), f32(4, 3, 3), None, [1], [1], [1], False, [0], 1,
         constants=(1,)),
    Case(
        aten.convolution.default, f32(2, 3, 4, 5), f32(3, 2, 3, 3), f32(2), [2, 2], [1, 1], [1, 1],
        True, [1, 1], 1, constants=(1, 2),
    ),
    Case(
        aten._convolution.default, f32(2, 3, 6, 5), f32(4, 3, 3, 3), f32(4), [1, 1], [1, 1],
        [1, 1], False, [0, 0], 1, False, False, True, True, constants=(1, 2),
    ),
]  # fmt: skip
