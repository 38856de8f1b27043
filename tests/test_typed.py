"""Every layer in strongly typed networks: the types that TensorRT 10 and 11 demand.

These releases infer a tensor's type from the layer's inputs, and refuse a mixture.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import trtdsl
from tests import standin
from tests import test_converters as converters
from tests.cases.base import Case, LayerCase
from tests.models import small
from tests.test_ir import CASES, build
from tests.test_lowering import lowered
from tests.typed import types, violations
from trtdsl.ir.cast import Cast
from trtdsl.ir.nms import NMS
from trtdsl.ir.repeat import Repeat
from trtdsl.ir.shuffle import Shuffle
from trtdsl.ir.topk import TopK, TopKOperation
from trtdsl.network import Network
from trtdsl.types import DType

STRONG = [v for v in standin.VERSIONS if not v.startswith("8.")]
HALVES = {"fp16": "HALF", "bf16": "BF16"}


def has_floats(case: LayerCase) -> bool:
    """Whether a layer's row is of float32, and could as well be of 16 bits."""
    floats = any(x.dtype is torch.float32 for x in case.inputs)
    return floats and not isinstance(case.layer, NMS | Repeat)


def assert_typed(network: Network, version: str) -> list[str]:
    """No violation, and each output in its type; the types of all tensors."""
    api = lowered(network, version)
    assert list(violations(api.network)) == []
    found = types(api.network)
    outputs = [found[id(x)] for x in api.network.state["outputs"]]
    assert outputs == [api.dtype(x.dtype).name for x in network.outputs]
    return list(found.values())


@pytest.mark.parametrize("version", STRONG)
@pytest.mark.parametrize("case", CASES)
def test_layer_is_typed(case: LayerCase, version: str) -> None:
    assert_typed(build(case), version)


def halved(case: LayerCase, dtype: torch.dtype) -> LayerCase:
    inputs = (x.to(dtype) if x.dtype is torch.float32 else x for x in case.inputs)
    return replace(case, inputs=tuple(inputs))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", [c for c in CASES if has_floats(c.values[0])])
def test_layer_of_half_precision_is_typed(case: LayerCase, dtype: torch.dtype) -> None:
    for version in (STRONG[0], STRONG[-1]):
        assert_typed(build(halved(case, dtype)), version)


@pytest.mark.parametrize("version", STRONG)
@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].symbolic])
def test_layer_is_typed_with_symbolic_sizes(case: LayerCase, version: str) -> None:
    import sympy

    symbols = {n: sympy.Symbol(n, integer=True, positive=True) for n in case.symbolic.values()}
    network = build(case, {place: symbols[name] for place, name in case.symbolic.items()})
    assert_typed(network, version)


def traced(case: Case, *, dynamic: bool) -> Network:
    module, inputs = converters.module_of(case), converters.inputs_of(case)
    shapes = converters.specs_of(case, len(inputs)) if dynamic else None
    return trtdsl.trace(module, tuple(inputs), dynamic_shapes=shapes)


@pytest.mark.parametrize("case", [c for c in converters.CASES if not c.values[0].fails])
def test_converter_is_typed(case: Case) -> None:
    for network in [traced(case, dynamic=d) for d in {False, bool(case.dynamic)}]:
        for version in (STRONG[0], STRONG[-1]):
            assert_typed(network, version)


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("model", small.MODELS)
def test_model_is_typed(model: str, precision: str) -> None:
    module, inputs = small.MODELS[model]()
    network = trtdsl.trace(module, inputs, precision=precision)
    for version in (STRONG[0], STRONG[-1]):
        assert HALVES[precision] in assert_typed(network, version)


def test_the_walk_sees_a_mixture() -> None:
    """A check that finds nothing proves nothing: here is something to find."""
    trt = standin.load("10.16.1.11")
    net = trt.Builder(trt.Logger()).create_network(0)
    x = net.add_input("x", trt.DataType.HALF, (1, 1, 4, 4))
    kernel = trt.Weights(torch.zeros(1, 1, 3, 3).numpy())
    y = net.add_convolution_nd(x, 1, (3, 3), kernel, trt.Weights(trt.DataType.HALF))
    z = net.add_cast(y.get_output(0), trt.DataType.FLOAT).get_output(0)
    net.add_elementwise(x, z, trt.ElementWiseOperation.SUM)
    net.add_cast(net.add_cast(z, trt.DataType.UINT8).get_output(0), trt.DataType.INT32)
    reasons = [line.split("): ")[1] for line in violations(net)]
    assert reasons == [
        "kernel is FLOAT",
        "the inputs' types differ",
        "kUINT8 conversions are only supported for {kFLOAT, kHALF}",
    ]


def test_a_byte_image_is_moved_in_floats() -> None:
    net = Network()
    image = net.input("image", (1, 4, 4, 3), DType.UINT8)
    moved = Shuffle(first_transpose=(0, 3, 1, 2))(image)
    net.output(Cast(dtype=DType.FLOAT32)(moved), "y")
    net.output(moved, "moved")
    for version in STRONG:
        assert_typed(net, version)
    pixels = torch.arange(48, dtype=torch.uint8).reshape(1, 4, 4, 3) * 5
    y, copy = net.evaluate(pixels)
    assert torch.equal(copy, pixels.permute(0, 3, 1, 2))
    assert torch.equal(y, copy.float())


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_top_k_is_along_one_of_the_last_four_axes(version: str) -> None:
    net = Network()
    x = net.input("x", (7, 2, 1, 2, 3))
    for i, y in enumerate(TopK(op=TopKOperation.MAX, k=2, axis=0).outputs(x)):
        net.output(y, f"y{i}")
    layers = lowered(net, version).network.state["layers"]
    (topk,) = [layer for layer in layers if type(layer).__name__ == "ITopKLayer"]
    assert topk.state["axes"] == 1 << 4


def test_float_constants_on_tensorrt_8_have_their_type() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2)).eval()
    network = trtdsl.trace(model, (torch.zeros(3, 4),), precision="fp16")
    layers = lowered(network, "8.6.1").network.state["layers"]
    constants = [x for x in layers if type(x).__name__ == "IConstantLayer"]
    floats = [x for x in constants if x.state["weights"].state["dtype"].name in ("FLOAT", "HALF")]
    assert {x.state["types"][0].name for x in floats} == {"FLOAT", "HALF"}
    for x in floats:
        assert x.state["types"][0] == x.state["weights"].state["dtype"]
