"""Slices that read out of bounds, of what TensorRT 10 and 11 do not read so: int64 and bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import standin
from tests.test_lowering import lowered
from trtdsl.ir.slice import SampleMode, Slice
from trtdsl.network import Network, Tensor
from trtdsl.types import DType

MODES = [SampleMode.CLAMP, SampleMode.FILL, SampleMode.REFLECT]
NUMPY = {SampleMode.CLAMP: "edge", SampleMode.FILL: "constant", SampleMode.REFLECT: "reflect"}
NEW = [v for v in standin.VERSIONS if not v.startswith("8.")]
DTYPES = [DType.INT64, DType.BFLOAT16]


def padded(mode: SampleMode, dtype: DType = DType.INT64, *, expanded: bool = False) -> Network:
    """x (h, w) with h elements before the first row and 3 behind, and 1 before each row."""
    net = Network()
    h, w = (net.dim(name, min=1, opt=4, max=9) for name in "hw")
    x = net.input("x", (h, w), dtype)
    fill = [net.constant(-7, dtype)] if mode is SampleMode.FILL else []
    layer = Slice(start=(-h, -1), shape=(2 * h + 3, w + 1), stride=(1, 1), mode=mode)
    y = layer.expand(x, *fill) if expanded else layer(x, *fill)
    assert isinstance(y, Tensor)
    net.output(y, "y")
    return net


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (9, 3)])
@pytest.mark.parametrize("mode", MODES)
def test_int64_is_read_by_indices(mode: SampleMode, size: tuple[int, int]) -> None:
    """Exactly, also where neither int32 nor float32 would hold the numbers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-(2**62), 2**62, size, generator=generator)
    more = {"constant_values": -7} if mode is SampleMode.FILL else {}
    wanted = np.pad(x.numpy(), ((size[0], 3), (1, 0)), mode=NUMPY[mode], **more)  # type: ignore[call-overload]
    for network in (padded(mode), padded(mode, expanded=True)):
        assert np.array_equal(network.evaluate(x).numpy(), wanted)


def test_what_is_read_around_nothing_is_the_filling() -> None:
    net = Network()
    x = net.input("x", (2, 0), DType.INT64)
    layer = Slice(start=(0, -1), shape=(2, 3), stride=(1, 1), mode=SampleMode.FILL)
    net.output(layer.expand(x, net.constant(2**40, DType.INT64)), "filled")
    net.output(layer.expand(x), "zeros")
    filled, zeros = net.evaluate(torch.zeros(2, 0, dtype=torch.int64))
    assert filled.tolist() == [[2**40] * 3] * 2
    assert zeros.tolist() == [[0] * 3] * 2


@pytest.mark.parametrize("version", standin.VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_one_slice_stays_where_tensorrt_has_int32_for_int64(mode: SampleMode, version: str) -> None:
    names = [type(x).__name__ for x in lowered(padded(mode), version).network.state["layers"]]
    assert ("IGatherLayer" in names) is (version in NEW)


@pytest.mark.parametrize("version", NEW)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_no_such_slice_is_lowered(mode: SampleMode, dtype: DType, version: str) -> None:
    from tests.typed import types, violations

    network = lowered(padded(mode, dtype), version).network
    assert list(violations(network)) == []
    outside = [
        layer
        for layer in network.state["layers"]
        if type(layer).__name__ == "ISliceLayer" and layer.state.get("mode", None) is not None
        if layer.state["mode"].name not in ("STRICT_BOUNDS", "WRAP")
    ]
    read = {types(network)[id(layer.state["input_list"][0])] for layer in outside}
    assert read == ({"FLOAT"} if dtype is DType.BFLOAT16 else set())


def test_the_walk_sees_such_a_slice() -> None:
    from tests.typed import violations

    trt = standin.load("10.16.1.11")
    net = trt.Builder(trt.Logger()).create_network(0)
    x = net.add_input("x", trt.DataType.INT64, (4,))
    net.add_slice(x, (-1,), (5,), (1,)).mode = trt.SampleMode.CLAMP
    net.add_slice(x, (1,), (2,), (1,))
    assert [line.split("): ")[1] for line in violations(net)] == [
        "it takes ['BOOL', 'FLOAT', 'HALF', 'INT32', 'INT8']"
    ]
