"""Rows of the convolutions and transposed convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.cases.base import Case, f16, f32

aten = torch.ops.aten

HALF = 2e-3


def own_kernels(x: torch.Tensor, weight: torch.Tensor, *, stride: int, pad: str) -> torch.Tensor:
    """Each image by a kernel of its own: as many groups as images."""
    groups = x.reshape(1, -1, *x.shape[2:])
    kernels = weight.flatten(0, 1)
    if pad == "same":
        return F.conv2d(groups, kernels, padding=pad, groups=x.shape[0])
    convolve = F.conv1d if x.dim() == 3 else F.conv2d
    return convolve(groups, kernels, stride=stride, padding=1, groups=x.shape[0])


def own_kernels_transposed(x: torch.Tensor, weight: torch.Tensor, *, more: int) -> torch.Tensor:
    groups = x.reshape(1, -1, *x.shape[2:])
    convolve = F.conv_transpose1d if x.dim() == 3 else F.conv_transpose2d
    return convolve(groups, weight.flatten(0, 1), None, 2, 1, more, x.shape[0])


EACH: dict[tuple[int, int], str] = {(0, 0): "n", (1, 0): "n"}
WIDE: dict[tuple[int, int], str] = {**EACH, (0, 3): "w"}

CASES = [
    Case(aten.conv1d.default, f32(2, 3, 9), f32(4, 3, 3), constants=(1,)),
    Case(
        aten.conv1d.default, f32(2, 4, 9), f32(6, 2, 3), f32(6), [2], [1], [2], 2,
        constants=(1, 2), dynamic={(0, 0): "n", (0, 2): "l"},
    ),
    Case(aten.conv1d.default, f32(3, 9), f32(4, 3, 3), f32(4), constants=(1, 2)),
    Case(aten.conv1d.padding, f32(2, 3, 9), f32(4, 3, 4), f32(4), [1], "same", constants=(1, 2)),
    Case(aten.conv1d.padding, f32(2, 3, 9), f32(4, 3, 4), None, [2], "valid", constants=(1,)),
    Case(aten.conv_tbc.default, f32(9, 2, 3), f32(4, 3, 5), f32(5), constants=(1, 2)),
    Case(aten.conv_tbc.default, f32(9, 2, 3), f32(2, 3, 5), f32(5), 3),
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
    *(
        Case(own_kernels, f32(2, 4, 8, 9), f32(2, 6, 4, 3, size), dynamic=dynamic,
             kwargs={"stride": stride, "pad": pad})
        for stride, pad, size in ((1, "", 3), (2, "", 3), (1, "same", 2))
        for dynamic in (EACH, WIDE)
    ),
    Case(own_kernels, f32(2, 4, 9), f32(2, 6, 4, 3), dynamic=EACH, kwargs={"stride": 2, "pad": ""}),
    Case(own_kernels_transposed, f32(2, 4, 8, 9), f32(2, 4, 6, 3, 3), dynamic=EACH,
         kwargs={"more": 1}),
    Case(own_kernels_transposed, f32(2, 4, 8, 9), f32(2, 4, 6, 3, 3), dynamic=WIDE,
         kwargs={"more": 0}),
    Case(own_kernels_transposed, f32(2, 4, 9), f32(2, 4, 6, 3), dynamic=EACH, kwargs={"more": 1}),
    Case(aten.conv2d.default, f32(2, 3, 6, 5), f32(4, 3, 3, 3), f32(4), [1, 2], [1, 0], [2, 1],
         dynamic={(0, 0): "n", (1, 0): "k", (2, 0): "k"}),
]  # fmt: skip
