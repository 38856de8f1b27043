"""What convolutions, pooling, scales and normalizations refuse, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cases.ir.convolution import options
from trtdsl.errors import ShapeError
from trtdsl.ir.base import Layer
from trtdsl.ir.convolution import Convolution, Deconvolution
from trtdsl.ir.normalization import Normalization
from trtdsl.ir.pooling import Pooling, PoolingType
from trtdsl.ir.scale import Scale, ScaleMode
from trtdsl.network import Network
from trtdsl.types import DType

INT = DType.INT32


def convolution(**given: Any) -> Convolution:
    return Convolution(**options(2, **given))


def deconvolution(**given: Any) -> Deconvolution:
    return Deconvolution(**options(2, **given))


def pooling(window: tuple[int, int], **given: Any) -> Pooling:
    return Pooling(type=PoolingType.AVERAGE, window_size=window, **{**CLOSE, **given})


CLOSE = {"stride": (1, 1), "pre_padding": (0, 0), "post_padding": (0, 0)}
CHANNEL = Scale(mode=ScaleMode.CHANNEL)
IMAGE = (2, 3, 6, 6)

REFUSED: list[tuple[Layer, list[Any], str]] = [
    (convolution(), [IMAGE, (4, 2, 3, 3)], r"3 channels do not fit kernel f32\[4, 2, 3, 3\]"),
    (convolution(groups=2), [IMAGE, (4, 1, 3, 3)], "in 2 groups"),
    (convolution(), [IMAGE, (4, 3, 3)], "a kernel of rank 4"),
    (convolution(), [IMAGE, (4, 3, 7, 3)], "kernel is larger than the padded x"),
    (convolution(), [IMAGE, (4, 3, 3, 3), (3,)], r"takes a bias f32\[4\], not f32\[3\]"),
    (convolution(stride=(1,)), [IMAGE, (4, 3, 3, 3)], "one value for each"),
    (convolution(stride=(0, 1)), [IMAGE, (4, 3, 3, 3)], "value below 1"),
    (convolution(pre_padding=(-1, 0)), [IMAGE, (4, 3, 3, 3)], "padding below 0"),
    (convolution(), [(IMAGE, INT), ((4, 3, 3, 3), INT)], "takes floats"),
    (convolution(), [IMAGE, ((4, 3, 3, 3), DType.FLOAT16)], "dtypes differ"),
    (deconvolution(), [IMAGE, (4, 3, 3, 3)], "3 channels do not fit kernel"),
    (deconvolution(post_padding=(0, -1)), [IMAGE, (3, 4, 3, 3)], "padding below 0"),
    (pooling((7, 2)), [IMAGE], "window is larger than the padded axis 2 of size 6"),
    (pooling((2, 2), pre_padding=(2, 0)), [IMAGE], "wholly in the padding: axis 2"),
    (pooling((2, 2), post_padding=(0, 2)), [IMAGE], "wholly in the padding: axis 3"),
    (pooling((2, 2)), [(IMAGE, INT)], "takes floats"),
    (pooling((2, 2)), [IMAGE[1:]], "takes rank 4"),
    (CHANNEL, [IMAGE, (6,), (6,)], r"takes coefficients f32\[3\], not f32\[6\]"),
    (CHANNEL, [IMAGE, (3,)], "takes shift, scale and power"),
    (Scale(mode=ScaleMode.CHANNEL, channel_axis=4), [IMAGE, (3,), (3,)], "axis 4 is outside 0..3"),
    (Normalization(axes=()), [IMAGE, IMAGE, IMAGE], "axes are missing"),
    (Normalization(axes=(4,)), [IMAGE, IMAGE, IMAGE], "outside 0..3"),
    (Normalization(axes=(3,)), [IMAGE, (6,), (6,)], "dtype and rank of x"),
    (Normalization(axes=(3,)), [IMAGE, (1, 1, 1, 5), (1, 1, 1, 5)], "does not broadcast"),
    (Normalization(axes=(3,)), [IMAGE, (1, 1, 1, 6), (1, 1, 1, 1)], "differ in type"),
    (Normalization(axes=(2, 3), groups=2), [IMAGE, IMAGE, IMAGE], "3 channels do not divide"),
    (Normalization(axes=(3,), groups=3), [IMAGE, IMAGE, IMAGE], r"axes of groups are \(2, 3\)"),
    (Normalization(axes=(2, 3), groups=3), [IMAGE, IMAGE, IMAGE], r"sizes \(1, 3, 1, 1\)"),
]


@pytest.mark.parametrize(("layer", "inputs", "message"), REFUSED)
def test_layer_refuses(layer: Layer, inputs: list[Any], message: str) -> None:
    net = Network("refused")
    tensors = []
    for i, given in enumerate(inputs):
        shape, dtype = given if isinstance(given[-1], DType) else (given, DType.FLOAT32)
        tensors.append(net.input(f"x{i}", shape, dtype))
    with pytest.raises(ShapeError, match=message):
        layer(*tensors)
    assert net.operations == []
