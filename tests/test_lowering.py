"""Lowering of every layer against the API of eight TensorRT releases.

A stand-in ``tensorrt`` refuses every name, argument and enum that the real release does not have.
It proves that the calls exist, not that they work: ``tests/gpu`` does that.
"""

from __future__ import annotations

import pytest
import torch

import trtdsl
from tests import standin
from tests.cases.base import LayerCase
from tests.test_ir import CASES, build
from trtdsl.errors import BuildError
from trtdsl.lower import lower
from trtdsl.network import Network
from trtdsl.source import Source
from trtdsl.tensorrt_api import Api, network_flags
from trtdsl.types import DType

HALVES = (torch.float16, torch.bfloat16)


def lowered(network: Network, version: str) -> Api:
    trt = standin.load(version)
    trt_network = trt.Builder(trt.Logger()).create_network(network_flags(trt))
    api = Api(trt, trt_network)
    lower(network, api, infers=False)
    return api


def lacks_bfloat16(case: LayerCase, version: str) -> bool:
    return version.startswith("8.") and any(x.dtype is torch.bfloat16 for x in case.inputs)


@pytest.mark.parametrize("version", standin.VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_layer_lowers(case: LayerCase, version: str) -> None:
    network = build(case)
    if lacks_bfloat16(case, version):
        with pytest.raises(BuildError, match="no bfloat16"):
            lowered(network, version)
        return
    api = lowered(network, version)
    assert api.created, "no TensorRT layer was added"
    names = [layer.name for layer in api.created if hasattr(layer, "name")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("version", standin.VERSIONS)
@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].symbolic])
def test_layer_lowers_with_symbolic_sizes(case: LayerCase, version: str) -> None:
    import sympy

    symbols = {n: sympy.Symbol(n, integer=True, positive=True) for n in case.symbolic.values()}
    network = build(case, {place: symbols[name] for place, name in case.symbolic.items()})
    assert lowered(network, version).created


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_sizes_of_every_kind_lower(version: str) -> None:
    import sympy

    net = Network()
    b = net.dim("b", min=1, opt=2, max=8)
    h = net.dim("h", min=8, opt=16, max=64)
    x = net.input("x", (b, h))
    sizes = [
        b,
        2 * b + 1,
        h // 2,
        (h + 3) // 4 * b,
        h % 3,
        sympy.Max(b, h),
        sympy.Min(b, 5),
        b**2,
        sympy.ceiling(h / 2),
    ]
    net.output(net.size(*sizes), "sizes")
    net.output(x.reshape(h, b), "turned")
    assert lowered(net, version).created
    assert net.evaluate(torch.zeros(3, 17))[0].tolist() == [3, 7, 8, 15, 2, 17, 3, 9, 9]


def test_tensorrt_8_has_no_int64_and_a_constant_that_needs_it_is_an_error() -> None:
    net = Network()
    x = net.input("x", (2,), DType.INT64)
    net.output(x + net.constant(torch.tensor([2**31, 1])))
    with pytest.raises(BuildError, match=r"1\.\.2147483648, and this TensorRT has no int64"):
        lowered(net, "8.6.1")
    assert lowered(net, "10.16.1.11").created


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_a_group_norm_whose_weights_are_inputs_lowers(version: str) -> None:
    class Conditioned(torch.nn.Module):
        def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.group_norm(x, 2, scale)

    network = trtdsl.trace(Conditioned().eval(), (torch.zeros(1, 6, 3), torch.ones(6)))
    assert lowered(network, version).created


def test_layers_carry_the_modules_names() -> None:
    net = Network()
    with net.at(Source(module="layer1.0", operator="aten.add.Tensor")):
        y = net.input("x", (2, 3)) + 1
    net.output(y, "y")
    api = lowered(net, "10.16.1.11")
    assert [layer.name for layer in api.created][-1].startswith("layer1.0/element_wise")


def test_metadata_has_nothing_that_tensorrt_writes_unescaped_into_json() -> None:
    net = Network()
    stack = 'File "C:\\m.py", line 3, in forward\n    return F.pad(x, (1, 1), mode="reflect")\n'
    with net.at(Source(operator="aten.pad.default", stack=stack)):
        net.output(net.input("x", (2, 3)) + 1)
    (layer,) = (x for x in lowered(net, "8.6.1").created if x.name == "element_wise")
    assert layer.metadata == (
        "aten.pad.default, C:/m.py:3, forward: return F.pad(x, (1, 1), mode='reflect')"
    )


def test_metadata_is_no_longer_than_tensorrt_takes_it() -> None:
    net = Network()
    stack = f'File "m.py", line 3, in forward\n    return x + 1  # {chr(0xE4) * 3000}\n'
    with net.at(Source(operator="aten.add.Tensor", stack=stack)):
        net.output(net.input("x", (2, 3)) + 1)
    (layer,) = (x for x in lowered(net, "8.6.1").created if x.name == "element_wise")
    assert 4093 < len(layer.metadata.encode()) < 4096


def test_a_layer_that_tensorrt_refuses_is_an_error_with_its_reason() -> None:
    net = Network()
    net.output(-net.input("x", (2, 3)), "y")
    trt = standin.load("10.16.1.11")
    trt_network = trt.Builder(trt.Logger()).create_network(network_flags(trt))
    api = Api(trt, _Refusing(trt_network), errors=lambda: ["the reason"])
    with pytest.raises(BuildError, match="unary: TensorRT refused add_unary: the reason"):
        lower(net, api, infers=False)


def test_a_loop_that_tensorrt_refuses_is_an_error_with_its_reason() -> None:
    trt = standin.load("10.16.1.11")
    network = _Refusing(trt.Builder(trt.Logger()).create_network(0))
    with pytest.raises(BuildError, match="TensorRT refused add_loop: the reason"):
        Api(trt, network, errors=lambda: ["the reason"]).loop()


class _Refusing:
    """A network whose unary layers and loops come back as None."""

    def __init__(self, network: object) -> None:
        self._network = network

    def __getattr__(self, name: str) -> object:
        refused = name in ("add_unary", "add_loop")
        return (lambda *_: None) if refused else getattr(self._network, name)


def test_a_kernel_that_float16_cannot_hold_is_an_error() -> None:
    model = torch.nn.Conv2d(1, 1, 1, bias=False).eval()
    torch.nn.init.constant_(model.weight, 1e6)
    network = trtdsl.trace(model, (torch.zeros(1, 1, 2, 2),), precision="fp16")
    with pytest.raises(BuildError, match=r"weights .* hold inf to inf in float16"):
        lowered(network, "10.16.1.11")
