"""Plugins of TensorRT 10 and later, called as the builder and the runtime call them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import sympy
import torch

from tests import standin
from tests.plugins.samples import RowSquares, Swish
from tests.standin.plugins import size
from tests.test_lowering import lowered
from trtdsl.errors import BuildError, LoadError
from trtdsl.extension import failures, plugin_v2, plugin_v3
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.instance import Instance
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Network
from trtdsl.types import DType, TensorType

LATER = [v for v in standin.VERSIONS if not v.startswith("8.")]
F = DType.FLOAT32
_RUNS: list[Any] = []


@dataclass(frozen=True, kw_only=True)
class Widened(Plugin, version="4"):
    """Sizes of its own; fails on stream 0."""

    by: int

    def infer(self, x: TensorType) -> TensorType:
        n, columns = x.shape
        widest = sympy.Max(n, sympy.Min(columns, 9))
        return TensorType(DType.FLOAT16, ((self.by * n + 3) // 2, n % 4 + widest, n**2))

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        raise AssertionError("no test computes with it")

    def workspace(self, x: TensorType) -> int:
        return int(2 * x.shape[0])

    def run(
        self,
        inputs: Sequence[Buffer],
        outputs: Sequence[Buffer],
        *,
        workspace: Buffer | None,
        stream: int,
    ) -> None:
        if stream == 0:
            raise ValueError("no stream")
        _RUNS.append((*inputs, *outputs, workspace, stream))


WIDENED = Instance(plugin=Widened(by=3), inputs=(F,), outputs=(DType.FLOAT16,))


def desc(trt: Any, dtype: str, *shape: int, format: str = "LINEAR") -> Any:
    made = trt.PluginTensorDesc()
    made.dims, made.type = trt.Dims(shape), getattr(trt.DataType, dtype)
    made.format = getattr(trt.TensorFormat, format)
    return made


def dynamic(trt: Any, *args: Any, **kwargs: Any) -> Any:
    made = trt.DynamicPluginTensorDesc()
    made.desc = desc(trt, *args, **kwargs)
    made.max = trt.Dims([7, 5])
    return made


@pytest.mark.parametrize("version", LATER)
def test_an_engine_keeps_a_record_that_its_creator_reads(version: str) -> None:
    trt = standin.load(version)
    plugin = plugin_v3.made(trt, WIDENED)
    creator = plugin_v3.creator(trt, Widened)
    assert (creator.name, creator.plugin_version) == ("Widened", "4")
    fields = plugin.get_fields_to_serialize()
    assert [(f.name, f.type.name, f.data.dtype) for f in fields] == [("record", "INT8", np.int8)]
    read = creator.create_plugin("x", fields, trt.TensorRTPhase.RUNTIME)
    assert read.instance == WIDENED
    for kind in ("CORE", "BUILD", "RUNTIME"):
        held = read.get_capability_interface(getattr(trt.PluginCapabilityType, kind))
        assert isinstance(held, getattr(trt, f"IPluginV3One{kind.capitalize()}"))
    other = read.attach_to_context(None)
    assert other is not read
    assert (other.plugin_name, other.plugin_version, other.num_outputs) == ("Widened", "4", 1)
    assert other.instance == read.instance
    assert other.instance.plans is not read.instance.plans, "two threads would share arguments"


def test_a_record_that_is_not_there_or_of_nothing_imported() -> None:
    trt = standin.load(LATER[0])
    creator = plugin_v3.creator(trt, Widened)
    failures.take()
    with pytest.raises(BuildError, match="made of a record"):
        creator.create_plugin("x", trt.PluginFieldCollection([]), trt.TensorRTPhase.BUILD)
    data = np.frombuffer(WIDENED.to_bytes().replace(b"Widened", b"Unknown"), dtype=np.int8)
    field = trt.PluginField("record", data, trt.PluginFieldType.INT8)
    fields = trt.PluginFieldCollection([field])
    with pytest.raises(LoadError, match="plugin Unknown, version 4, which is not imported"):
        creator.create_plugin("x", fields, trt.TensorRTPhase.RUNTIME)
    assert "in plugin Widened: BuildError" in failures.told(failures.take())


@pytest.mark.parametrize("version", LATER)
def test_what_the_builder_asks(version: str) -> None:
    trt = standin.load(version)
    plugin = plugin_v3.made(trt, WIDENED)
    assert plugin.get_output_data_types([trt.DataType.FLOAT]) == [trt.DataType.HALF]
    release = type(plugin).release
    given = trt.DimsExprs([size(release, "n"), size(release, 5)])
    (shape,) = plugin.get_output_shapes([given], [], trt.IExprBuilder())
    texts = [shape[axis].state["value"] for axis in range(len(shape))]
    for n in (1, 2, 5, 12):
        scope = {"n": n, "max": max, "min": min}
        assert [eval(text, scope) for text in texts] == [
            (3 * n + 3) // 2,
            n % 4 + max(n, 5),
            n * n,
        ]
    x, y = dynamic(trt, "FLOAT", -1, 5), dynamic(trt, "HALF", -1, 5)
    assert plugin.supports_format_combination(0, [x, y], 1)
    assert plugin.supports_format_combination(1, [x, y], 1)
    assert not plugin.supports_format_combination(1, [x, x], 1)
    packed = dynamic(trt, "FLOAT", -1, 5, format="CHW4")
    assert not plugin.supports_format_combination(0, [packed, y], 1)
    plugin.configure_plugin([x], [y])
    assert plugin.get_workspace_size([x], [y]) == 14, "for the largest sizes"


@dataclass(frozen=True, kw_only=True)
class Beside(Plugin):
    """Two tensors of one shape, side by side."""

    def infer(self, x: TensorType, y: TensorType) -> TensorType:
        self.require(x == y, f"takes two of one type, not {x} and {y}")
        return x.with_shape((x.shape[0], 2 * y.shape[1]))

    def evaluate(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, y], 1)

    def run(self, *_: Any, **__: Any) -> None:
        """Nothing: no test runs it."""


@pytest.mark.parametrize("version", LATER)
def test_sizes_that_the_network_has_equal_are_equal_when_tensorrt_asks(version: str) -> None:
    trt = standin.load(version)
    net = Network()
    n, m = (net.dim(name, min=1, opt=2, max=8) for name in ("n", "m"))
    shape = (n, 2 * m + 1)
    net.output(Beside()(net.input("x", shape), net.input("y", shape)), "z")
    api = lowered(net, version)
    (plugin,) = [x.plugin for x in api.created if type(x).__name__ == "IPluginV3Layer"]
    assert Instance.from_bytes(plugin.instance.to_bytes()) == plugin.instance
    release = type(plugin).release
    given = [trt.DimsExprs([size(release, f"a{i}"), size(release, f"b{i}")]) for i in range(2)]
    (told,) = plugin.get_output_shapes(given, [], trt.IExprBuilder())
    texts = [told[axis].state["value"] for axis in range(2)]
    assert texts[0] == "a0"
    assert eval(texts[1], {"b0": 7}) == 14


@pytest.mark.parametrize("version", LATER)
def test_a_run_gets_pointers_and_the_shapes_of_now(version: str) -> None:
    trt = standin.load(version)
    plugin = plugin_v3.made(trt, WIDENED).attach_to_context(None)
    plugin.set_tactic(0)
    _RUNS.clear()
    for n in (3, 4):
        x, y = [desc(trt, "FLOAT", n, 5)], [desc(trt, "HALF", n, 9, 9)]
        plugin.on_shape_change(x, y)
        plugin.enqueue(x, y, [0x10], [0x20], 0x30, 7)
    assert [
        (
            Buffer(0x10, (n, 5), F),
            Buffer(0x20, (n, 9, 9), DType.FLOAT16),
            Buffer(0x30, (), DType.UINT8),
            7,
        )
        for n in (3, 4)
    ] == _RUNS
    failures.take()
    with pytest.raises(ValueError, match="no stream"):
        plugin.enqueue(x, y, [0x10], [0x20], 0, 0)
    assert failures.told(failures.take()) == "\n  in plugin Widened: ValueError: no stream"


@pytest.mark.parametrize("version", LATER)
def test_plugins_lower_to_layers_of_a_registered_creator(version: str) -> None:
    trt = standin.load(version)
    net = Network()
    rows = net.dim("rows", min=1, opt=2, max=8)
    x = net.input("x", (rows, 4))
    net.output(Swish(beta=2.0)(x), "y")
    for i, z in enumerate(RowSquares().outputs(x)):
        net.output(z, f"z{i}")
    api = lowered(net, version)
    layers = [layer for layer in api.created if type(layer).__name__ == "IPluginV3Layer"]
    assert [layer.plugin.plugin_name for layer in layers] == ["Swish", "RowSquares"]
    assert [layer.num_outputs for layer in layers] == [1, 2]
    registry = trt.get_plugin_registry()
    assert registry.get_creator("Swish", "1", "") is plugin_v3.register(trt, Swish)
    assert registry.get_creator("RowSquares", "2", "") is not None


def test_a_second_class_of_a_name_is_refused() -> None:
    trt = standin.load(LATER[0])
    plugin_v3.register(trt, Widened)
    twin = type("Widened", (Widened,), {}, version="4")
    try:
        with pytest.raises(BuildError, match="registry refuses plugin Widened, version 4"):
            plugin_v3.register(trt, twin)
    finally:
        Plugin.classes["Widened", "4"] = Widened


def test_a_type_that_the_release_lacks_is_said_before_tensorrt_guesses() -> None:
    net = Network()
    x = net.input("x", (2, 3))
    y = type("Rounded", (Swish,), {"infer": lambda self, x: x.with_dtype(DType.BFLOAT16)})
    net.output(y(beta=1.0)(x), "y")
    with pytest.raises(BuildError, match=r"TensorRT 8\.6\.1 has no bfloat16"):
        lowered(net, "8.6.1")


def test_on_8_6_the_layer_is_made_by_the_registered_creator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trt = standin.load("8.6.1")
    asked: list[Any] = []
    monkeypatch.setattr(plugin_v2, "register", lambda *args: asked.append(args))
    creator = trt.get_plugin_registry().release.new("IPluginCreator")
    monkeypatch.setattr(type(trt.get_plugin_registry()), "get_plugin_creator", lambda *a: creator)
    net = Network()
    net.output(Swish(beta=2.0)(net.input("x", (2, 3))), "y")
    api = lowered(net, "8.6.1")
    assert asked == [(Swish, "libnvinfer.so.8", 8601)]
    (call,) = creator.calls
    (field,) = call.args["field_collection"]
    assert (call.method, call.args["name"], field.type.name) == ("create_plugin", "Swish", "CHAR")
    assert Instance.from_bytes(field.data.tobytes()).plugin == Swish(beta=2.0)
    assert [type(layer).__name__ for layer in api.created][-1:] == ["IPluginV2Layer"]
