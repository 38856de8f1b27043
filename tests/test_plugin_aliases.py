"""Plugins whose outputs begin as copies of inputs: told to TensorRT, or copied by trtdsl."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests import standin
from tests.plugins.emulation import COMPILER, emulate, emulate_embedded
from tests.plugins.test_ahead_of_time import HOLDING, lowered, plan_of, plugin_of
from tests.standin import quick
from trtdsl.errors import ConversionError, ShapeError
from trtdsl.extension import ahead_of_time, failures, instance, plugin_v2, plugins
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.instance import Instance
from trtdsl.extension.launch import Launch
from trtdsl.extension.symbolic_launch import NotSymbolicError
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Network
from trtdsl.types import DType, TensorType

F = DType.FLOAT32
LATER = [v for v in standin.VERSIONS if not v.startswith("8.")]
TOLD = [v for v in LATER if hasattr(standin.load(v), "IPluginV3OneBuildV2")]
ADD_TO_ROWS = """
extern "C" __global__ void add_to_rows(
    const int* rows, const T2* values, T3* y, int count, int width)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[rows[i / width] * width + i % width] += values[i];
}
"""


@dataclass(frozen=True, kw_only=True)
class AddToRows(Plugin, kernel=ADD_TO_ROWS, aliases={0: 0}):
    """``index_add`` of rows that are all different: the other rows stay as they were."""

    def infer(self, x: TensorType, rows: TensorType, values: TensorType) -> TensorType:
        return x

    def evaluate(self, x: torch.Tensor, rows: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return x.index_add(0, rows, values)

    def launch(self, x: Buffer, rows: Buffer, values: Buffer, y: Buffer, **_: Any) -> Launch:
        count, width = values.volume, x.shape[1]
        args = (rows, values, y, count, width)
        return Launch(kernel="add_to_rows", grid=-(-count // 256), block=256, args=args)


def network(*, private: bool = True, reused: bool = False) -> Network:
    """Rows that a layer computes are added to, or those of an input; the rows may be read again."""
    net = Network()
    x = net.input("x", (6, 4))
    rows, values = net.input("rows", (2,), DType.INT32), net.input("values", (2, 4))
    kept = Activation(type=ActivationType.RELU)(x) if private else x
    net.output(AddToRows()(kept, rows, values), "y")
    if reused:
        net.output(Activation(type=ActivationType.SIGMOID)(kept), "z")
    return net


@pytest.fixture(autouse=True)
def _no_failures() -> Iterator[None]:
    failures.take()
    yield
    failures.take()


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The copies that are queued, and the launches after them."""
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        instance, "call", lambda name, *args: made.append((name, *(a.value for a in args)))
    )
    run = SimpleNamespace(run=lambda pointers, stream: made.append((*pointers, stream)))
    monkeypatch.setattr(Instance, "_launches", lambda self, shapes: (run,))
    return made


SHAPES = ((6, 4), (2,), (2, 4), (6, 4))
ADDED = Instance(plugin=AddToRows(), inputs=(F, DType.INT32, F), outputs=(F,))


def test_the_output_is_filled_on_the_stream_before_the_kernel_starts(copies: list[Any]) -> None:
    ADDED.apart().run(SHAPES, (0x100, 0x200, 0x300, 0x400), workspace=0x500, stream=7)
    assert copies == [
        ("cuMemcpyDtoDAsync_v2", 0x400, 0x100, 6 * 4 * 4, 7),
        (0x100, 0x200, 0x300, 0x400, 0x500, 7),
    ]


def test_nothing_is_copied_where_tensorrt_gave_the_same_memory_or_none(copies: list[Any]) -> None:
    added = ADDED.apart()
    added.run(SHAPES, (0x100, 0x200, 0x300, 0x100), workspace=0, stream=7)
    added.run(((0, 4), (2,), (2, 4), (0, 4)), (1, 2, 3, 4), workspace=0, stream=7)
    assert [c[0] for c in copies] == [0x100, 1]


@pytest.mark.parametrize("version", LATER)
def test_tensorrt_is_told_where_it_can_be(version: str) -> None:
    trt = standin.load(version)
    plugin = plugin_of(lowered(network(), version))
    told = version in TOLD
    if told:
        assert isinstance(plugin, trt.IPluginV3OneBuildV2)
        assert [plugin.get_aliased_input(i) for i in range(2)] == [0, -1]
        assert plugin.clone().get_aliased_input(0) == 0
    else:
        assert not hasattr(trt, "IPluginV3OneBuildV2")
    kept = plugin.get_fields_to_serialize()
    creator = trt.get_plugin_registry().get_creator("AddToRows", "1", "")
    again = creator.create_plugin("x", kept, trt.TensorRTPhase.RUNTIME)
    assert again.instance == plugin.instance


@pytest.mark.parametrize(("private", "reused"), [(False, False), (True, True), (False, True)])
def test_an_input_that_others_see_is_copied(private: bool, reused: bool) -> None:
    plugin = plugin_of(lowered(network(private=private, reused=reused), TOLD[-1]))
    assert not isinstance(plugin, standin.load(TOLD[-1]).IPluginV3OneBuildV2)
    assert plugin.instance.in_place == {}


def test_a_value_that_is_an_output_or_is_read_twice_by_the_plugin_is_seen() -> None:
    net = network()
    (op,) = [op for op in net.operations if isinstance(op.layer, AddToRows)]
    assert instance.in_place(AddToRows(), op) == {0: 0}
    net.output(op.inputs[0], "kept")
    assert instance.in_place(AddToRows(), op) == {}


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_the_build_allows_it_where_the_release_asks_for_that(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "only_libraries", lambda trt, config, wanted: None)
    trt = standin.load(version)
    config = trt.Builder(trt.Logger()).create_builder_config()
    plugins.configure(trt, config, network())
    asked = [c.args["feature"].name for c in config.calls if c.method == "set_preview_feature"]
    assert asked == (["ALIASED_PLUGIN_IO_10_03"] if version in TOLD else [])
    plain = trt.Builder(trt.Logger()).create_builder_config()
    plugins.configure(trt, plain, Network())
    assert not plain.calls


@pytest.mark.parametrize("version", HOLDING)
def test_an_engine_that_holds_the_kernel_knows_it_too(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AddToRows, "ahead_of_time", True)
    monkeypatch.setattr(ahead_of_time, "compile_ptx", lambda source, target, defines: source)
    plugin = plugin_of(lowered(network(), version, architecture="90"))
    given = [("FLOAT", (6, 4)), ("INT32", (2,)), ("FLOAT", (2, 4))]
    assert quick.built(plugin, given).aliases == [0]
    with pytest.raises(NotSymbolicError, match="something else reads an input that it overwrites"):
        plan_of(network(reused=True), version)


def test_aliases_that_cannot_be() -> None:
    with pytest.raises(ConversionError, match=r"plugin Twice has aliases=\{0: 0, 1: 0\}"):
        type("Twice", (AddToRows,), {}, aliases={0: 0, 1: 0})
    net = network(private=False)
    x, rows, values = net.inputs
    with pytest.raises(ShapeError, match=r"output 0 is i32\[2\], and input 0 .* f32\[6, 4\]"):
        type("Other", (AddToRows,), {"infer": lambda self, x, rows, values: rows})()(
            x, rows, values
        )
    with pytest.raises(ShapeError, match="has no output 0 or no input 9"):
        type("Far", (AddToRows,), {}, aliases={0: 9})()(x, rows, values)


@pytest.mark.skipif(COMPILER is None, reason="needs g++ to run kernels on the CPU")
@pytest.mark.parametrize("held", [False, True])
def test_the_kernel_updates_what_the_output_begins_as(held: bool) -> None:
    given = (torch.randn(6, 4), torch.tensor([4, 1], dtype=torch.int32), torch.randn(2, 4))
    if held:
        (actual,) = emulate_embedded(plan_of(network()), given, {})
    else:
        (actual,) = emulate(AddToRows(), given)
    torch.testing.assert_close(actual, AddToRows().evaluate(*given), rtol=0, atol=0)


def test_the_reference_gives_the_new_values_and_leaves_the_old() -> None:
    x, values = torch.arange(24.0).reshape(6, 4), torch.ones(2, 4)
    kept = x.clone()
    rows = torch.tensor([4, 1], dtype=torch.int32)
    expected = x.clone()
    expected[4] += 1
    expected[1] += 1
    assert torch.equal(network(private=False).evaluate(x, rows, values), expected)
    assert torch.equal(x, kept)


def test_on_8_6_the_plugin_copies(copies: list[Any]) -> None:
    """``enqueue`` of the C++ object is ``Instance.run``, as with every release."""
    plugin = plugin_v2._PluginV2(ADDED, 8601)
    try:
        descs = (plugin_v2.Desc * 4)()
        for desc, shape in zip(descs, SHAPES, strict=True):
            desc.dims.count = len(shape)
            desc.dims.sizes[: len(shape)] = shape
        reads, writes = (ctypes.c_void_p * 3)(0x100, 0x200, 0x300), (ctypes.c_void_p * 1)(0x400)
        place = ctypes.addressof
        outputs = place(descs) + 3 * ctypes.sizeof(plugin_v2.Desc)
        status = plugin.enqueue(place(descs), outputs, place(reads), place(writes), None, 9)
    finally:
        plugin.destroy()
    assert status == 0
    assert copies[0] == ("cuMemcpyDtoDAsync_v2", 0x400, 0x100, 96, 9)
