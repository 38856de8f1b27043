"""Plugins without a GPU: records, launches on a driver that only notes, names in manifests."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import trtdsl
from tests import standin
from tests.engine_parts import F32, PLAN
from tests.plugins.samples import Failing, Rolled, RowSquares, Swish
from trtdsl.errors import BuildError, ConversionError, LoadError, RunError
from trtdsl.extension import failures, instance, launch, plugins
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.instance import Instance
from trtdsl.extension.launch import Launch, Planned
from trtdsl.ir.plugin import Plugin
from trtdsl.ir.repeat import Repeat
from trtdsl.manifest import Manifest, PluginName
from trtdsl.network import Network
from trtdsl.network_digest import engine_key
from trtdsl.runtime import plan
from trtdsl.runtime.device import Gpu
from trtdsl.tensorrt_api import Api
from trtdsl.types import DType, TensorType

F = DType.FLOAT32


class Driver:
    """Notes each launch: the kernel, the grid and block, and the raw bytes of its arguments."""

    def __init__(self) -> None:
        self.launches: list[tuple[Any, ...]] = []
        self.sizes: tuple[int, ...] = ()
        self.allowed: list[int] = []
        self.status = 0

    def cuLaunchKernel(self, function: Any, *rest: Any) -> int:  # noqa: N802
        *sizes, stream, parameters, _ = rest
        values = [
            ctypes.string_at(parameters[i], size) if size else parameters[i]
            for i, size in enumerate(self.sizes)
        ]
        self.launches.append((function, [s.value for s in sizes], stream.value, values))
        return self.status

    def cuGetErrorString(self, status: int, place: Any) -> int:  # noqa: N802
        place._obj.value = b"invalid value"
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    monkeypatch.setattr(launch, "library", lambda: made)
    monkeypatch.setattr(launch, "current_context", lambda: 1)
    monkeypatch.setattr(launch, "_function", cache(lambda context, cubin, name: (cubin, name)))
    monkeypatch.setattr(launch, "call", lambda name, *args: made.allowed.append(args[-1]))
    monkeypatch.setattr(launch, "_LIMITS", {})
    monkeypatch.setattr(instance, "compiled", lambda source, defines: repr(defines).encode())
    return made


@pytest.fixture(autouse=True)
def _no_failures() -> Iterator[None]:
    failures.take()
    yield
    failures.take()


def test_arguments_are_laid_out_as_the_kernel_takes_them(driver: Driver) -> None:
    x, y = Buffer(0, (2, 3), F), Buffer(0, (6,), F)
    args = (y, x, 7, 1.5, True, None, np.int64(2**40), np.float64(0.25), x)
    planned = Planned(Launch(kernel="k", grid=(4, 2), block=32, args=args), b"cubin", (x, y))
    driver.sizes = (8, 8, 4, 4, 1, 8, 8, 8, 8)
    planned.run((0x1000, 0x2000), 9)
    ((function, sizes, stream, values),) = driver.launches
    assert (function, sizes, stream) == ((b"cubin", "k"), [4, 2, 1, 32, 1, 1, 0], 9)
    assert values == [
        np.int64(0x2000).tobytes(),
        np.int64(0x1000).tobytes(),
        np.int32(7).tobytes(),
        np.float32(1.5).tobytes(),
        b"\x01",
        bytes(8),
        np.int64(2**40).tobytes(),
        np.float64(0.25).tobytes(),
        np.int64(0x1000).tobytes(),
    ]


@pytest.mark.parametrize(
    ("arg", "reason"),
    [
        (2**31, r"does not fit an int\n  fix: pass np.int64\(2147483648\)"),
        ("text", "'text' of kernel k is a str"),
        (Buffer(0, (1,), F), "given a buffer that is none of its tensors"),
    ],
)
def test_arguments_that_no_kernel_takes(driver: Driver, arg: Any, reason: str) -> None:
    with pytest.raises(BuildError, match=reason):
        Planned(Launch(kernel="k", grid=1, block=1, args=(arg,)), b"", ())


def test_shared_memory_is_allowed_as_the_most_that_a_launch_wants(driver: Driver) -> None:
    for size in (100 << 10, 60 << 10, 120 << 10):
        Planned(Launch(kernel="k", grid=1, block=1, args=(), shared=size), b"cubin", ())
    assert driver.allowed == [100 << 10, 120 << 10]


def test_a_grid_of_nothing_is_not_launched(driver: Driver) -> None:
    Planned(Launch(kernel="k", grid=0, block=1, args=()), b"", ()).run((), 0)
    assert not driver.launches


@pytest.mark.parametrize("size", [(1, 1, 1, 1), (), 2.5, (2.0, 1), -1, None, "1"], ids=str)
@pytest.mark.parametrize("what", ["grid", "block"])
def test_a_grid_or_block_is_1_to_3_whole_numbers(driver: Driver, what: str, size: Any) -> None:
    """A fraction would lose its rest, and with it elements that no thread computes."""
    sizes = {"grid": 1, "block": 1, what: size}
    with pytest.raises(BuildError) as caught:
        Planned(Launch(kernel="k", args=(), **sizes), b"", ())
    words = f"the {what} of kernel k is {size!r}, not 1 to 3 whole numbers\n  fix: round up"
    assert str(caught.value).startswith(words)


def test_what_the_driver_refuses_is_an_error(driver: Driver) -> None:
    driver.status = 1
    with pytest.raises(RunError, match=r"cuLaunchKernel: invalid value \(error 1\)"):
        Planned(Launch(kernel="k", grid=1, block=1, args=()), b"", ()).run((), 0)


def test_each_context_plans_for_itself(driver: Driver) -> None:
    """A launch holds its arguments while the driver reads them, without Python's lock."""
    swish = Instance(plugin=Swish(beta=2.0), inputs=(F,), outputs=(F,))
    other = swish.apart()
    for each in (swish, other):
        each.run(((3,), (3,)), (0x10, 0x20), workspace=0, stream=4)
    assert other == swish
    assert swish.planned(((3,), (3,))) != other.planned(((3,), (3,)))


def test_a_plugin_is_planned_once_for_each_shape(driver: Driver) -> None:
    swish = Instance(plugin=Swish(beta=2.0), inputs=(F,), outputs=(DType.FLOAT16,))
    driver.sizes = (8, 8, 4, 4)
    for rows in (3, 700, 3):
        shape = (rows, 5)
        swish.run((shape, shape), (0x10 * rows, 0x20), workspace=0, stream=4)
    assert len(swish.plans) == 2
    defines = repr((("T0", "float32"), ("T1", "float16"))).encode()
    assert [(f, s[0]) for f, s, _, _ in driver.launches] == [
        ((defines, "swish"), blocks) for blocks in (1, 14, 1)
    ]
    assert driver.launches[1][3] == [
        np.int64(0x10 * 700).tobytes(),
        np.int64(0x20).tobytes(),
        np.int32(3500).tobytes(),
        np.float32(2.0).tobytes(),
    ]


def test_two_launches_share_a_workspace(driver: Driver) -> None:
    plugin = Instance(plugin=RowSquares(), inputs=(F,), outputs=(F, DType.INT32))
    driver.sizes = (8, 8)
    plugin.run(((4, 6), (4,), (4,)), (1, 2, 3), workspace=0x9000, stream=0)
    first, second = (values for *_, values in driver.launches)
    assert first == [np.int64(v).tobytes() for v in (1, 0x9000)]
    assert second == [np.int64(v).tobytes() for v in (0x9000, 2)]


def test_a_launch_that_is_none_is_an_error(driver: Driver) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Wrong(Swish, kernel="// none\n"):
        def launch(self, *tensors: Buffer, workspace: Buffer | None) -> Any:
            return ["no launch"]

    wrong = Instance(plugin=Wrong(beta=1.0), inputs=(F,), outputs=(F,))
    with pytest.raises(RunError, match="launch\\(\\) of plugin Wrong gave"):
        wrong.run(((1,), (1,)), (1, 2), workspace=0, stream=0)


def test_a_record_is_read_as_it_was_written() -> None:
    rolled = Instance(plugin=Rolled(shift=-3, end=0.1), inputs=(F,), outputs=(F,))
    assert Instance.from_bytes(rolled.to_bytes()) == rolled
    other = rolled.to_bytes().replace(b'"shift"', b'"shifted"')
    with pytest.raises(LoadError, match="plugin Rolled has other attributes"):
        Instance.from_bytes(other)
    gone = rolled.to_bytes().replace(b'"version": "1"', b'"version": "7"')
    with pytest.raises(LoadError, match="Rolled, version 7, which is not imported"):
        Instance.from_bytes(gone)


def test_a_plugin_without_a_kernel_says_what_to_write() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Bare(Plugin):
        def infer(self, x: TensorType) -> TensorType:
            return x

        def evaluate(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(ConversionError, match=r"plugin Bare has no kernel[\s\S]*write launch"):
        Bare().launch(workspace=None)


def test_a_kernel_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConversionError, match=r"kernel of plugin Absent cannot be read: .*no\.cu"):

        class Absent(Plugin, kernel="no.cu"):
            """Its file does not exist."""


def test_failures_keep_the_first_and_forget_it_when_told() -> None:
    failures.note("A", ValueError("one"))
    failures.note("B", ValueError("two"))
    assert failures.told(failures.take()) == "\n  in plugin A: ValueError: one"
    assert failures.take() is None
    assert failures.told(None) == ""


def network(plugin: Plugin) -> Network:
    net = Network()
    net.output(plugin(net.input("x", (2, 3))), "y")
    return net


def test_a_manifest_lists_each_plugin_once_and_is_read_again() -> None:
    net = Network()
    x = net.input("x", (2, 3))
    net.output(Swish(beta=1.0)(Swish(beta=2.0)(x)), "y")
    net.output(RowSquares().outputs(x)[0], "z")
    listed = plugins.names(net, Api(standin.load("10.13.3.9"), None))
    samples = "tests.plugins.samples"
    assert listed == (
        PluginName(name="RowSquares", version="2", module=samples),
        PluginName(name="Swish", version="1", module=samples),
    )
    manifest = replace(F32, plugins=listed)
    assert Manifest.from_json(manifest.to_json()) == manifest
    broken = manifest.to_json() | {"plugins": [{"name": "Swish"}]}
    with pytest.raises(LoadError, match="the manifest is damaged"):
        Manifest.from_json(broken)


def test_a_plugin_that_is_not_imported_is_refused_before_tensorrt_sees_the_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trt = SimpleNamespace(__version__="10.3.0")  # it has nothing that could be called
    monkeypatch.setattr(plan, "import_tensorrt", lambda: trt)
    monkeypatch.setattr(plan, "require_gpu", lambda index: None)
    absent = PluginName(name="Absent", version="3", module="their.plugins")
    with pytest.raises(LoadError) as caught:
        plan.deserialize(PLAN, replace(F32, plugins=(absent,)), 0)
    assert str(caught.value) == (
        "the engine holds plugin Absent, version 3, which is not imported\n"
        "  fix: import their.plugins before the engine is loaded"
    )
    script = replace(absent, module="__main__")
    with pytest.raises(LoadError, match="a script saved the engine"):
        plan.deserialize(PLAN, replace(F32, plugins=(script,)), 0)


def test_the_key_of_an_engine_has_a_plugins_kernel_version_and_attributes() -> None:
    gpu = Gpu(index=0, name="NVIDIA H200", compute_capability="9.0", cuda="12.4", memory=1)

    def key(plugin: Plugin) -> str:
        return engine_key(network(plugin), {}, "8.6.1", gpu)

    keys = {key(Swish(beta=1.0)), key(Swish(beta=2.0)), key(Failing())}
    assert len(keys) == 3
    before = key(Swish(beta=1.0))
    for attribute, value in (("kernel", "// other\n"), ("version", "9")):
        original = getattr(Swish, attribute)
        setattr(Swish, attribute, value)
        assert key(Swish(beta=1.0)) != before, attribute
        setattr(Swish, attribute, original)
    assert key(Swish(beta=1.0)) == before


def test_a_plugin_inside_a_loop_is_named_too() -> None:
    body, net = Network("body"), Network("outer")
    state, piece = body.input("state", (4,)), body.input("piece", (4,))
    body.output(Swish(beta=1.0)(state + piece), "next")
    start, pieces = net.input("start", (4,)), net.input("pieces", (40, 4))
    net.output(Repeat(body=body, carried=1, scanned=1).outputs(start, pieces)[0], "y")
    (name,) = plugins.names(net, Api(standin.load("10.13.3.9"), None))
    assert name.name == "Swish"


def test_trtdsl_has_its_public_modules_without_a_further_import() -> None:
    for name in ("layers", "oracle", "plugins", "runtime"):
        assert getattr(trtdsl, name).__name__ == f"trtdsl.{name}"
