"""Plugins whose kernel the engine holds: launches for every size, kernels run on the CPU.

What TensorRT is told is held against each release by the stand-in of ``tensorrt.plugin``; nothing
here builds an engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import standin
from tests.engine_parts import F32
from tests.plugins.emulation import COMPILER, emulate_embedded
from tests.plugins.samples import Failing, RowSquares, Swish
from tests.plugins.shipped import CASES, PluginCase
from tests.plugins.test_shipped import ROWS, expected_of
from tests.standin import quick
from tests.test_ir import assert_close
from trtdsl.errors import BuildError, UnavailableError
from trtdsl.extension import ahead_of_time, failures, plugins
from trtdsl.extension.ahead_of_time import PythonNeededWarning, planned
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.extension.nvrtc import compile_ptx
from trtdsl.extension.symbolic_launch import NotSymbolicError
from trtdsl.extension.tensor_map import TensorMap
from trtdsl.inspection import manifest_table
from trtdsl.ir.plugin import Plugin
from trtdsl.lower import lower
from trtdsl.manifest import Manifest, PluginName
from trtdsl.network import Network
from trtdsl.network_digest import engine_key
from trtdsl.runtime.device import Gpu
from trtdsl.tensorrt_api import Api, network_flags
from trtdsl.types import DType, TensorType

HOLDING = [v for v in standin.VERSIONS if hasattr(standin.load(v), "QuickPluginCreationRequest")]
OLDER = [v for v in standin.VERSIONS if v not in HOLDING]
GOING = {
    "Correlation",
    "DeformableAttention",
    "DeformableColumns",
    "FFT",
    "FlashAttention",
    "Gelu",
    "GridSample3d",
    "IRFFT",
    "LayerNorm",
    "RFFT",
    "RoIAlign",
    "SearchSorted",
}
"""The shipped plugins that an engine can hold: the transforms, where they are of one pass."""


@pytest.fixture(autouse=True)
def _compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernel's source stands for its PTX, which takes NVRTC."""
    monkeypatch.setattr(
        ahead_of_time, "compile_ptx", lambda source, target, defines: f"sm_{target} {source}"
    )
    monkeypatch.setattr(ahead_of_time, "architecture", lambda: "90")
    failures.take()
    yield
    failures.take()


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Ask for classes to be compiled ahead of time, for one test."""

    def ask(*classes: type[Plugin]) -> None:
        for cls in classes:
            monkeypatch.setattr(cls, "ahead_of_time", True)

    return ask


def lowered(network: Network, version: str, architecture: str | None = None) -> Api:
    with standin.installed(version) as trt:
        made = trt.Builder(trt.Logger()).create_network(network_flags(trt))
        api = Api(trt, made)
        api.architecture = architecture
        lower(network, api, infers=False)
    return api


def plugin_of(api: Api) -> Any:
    (layer,) = [x for x in api.created if type(x).__name__ == "IPluginV3Layer"]
    return layer.plugin


def plan_of(network: Network, version: str = HOLDING[0]) -> ahead_of_time.Embedded:
    (operation,) = [op for op in network.operations if isinstance(op.layer, Plugin)]
    return planned(Api(standin.load(version), None), operation)


def of(plugin: Plugin, *shape: Any, low: int = 1) -> Network:
    """A network of one plugin; ``"n"`` is a size from ``low`` to 9."""
    net = Network()
    sizes = {d: net.dim(d, min=low, opt=4, max=9) for d in shape if isinstance(d, str)}
    outputs = plugin.outputs(net.input("x", tuple(sizes.get(d, d) for d in shape)))
    for i, y in enumerate(outputs):
        net.output(y, f"y{i}")
    return net


@pytest.mark.skipif(COMPILER is None, reason="needs g++ to run kernels on the CPU")
@pytest.mark.parametrize("case", ROWS)
def test_a_shipped_kernel_started_by_expressions_of_sizes(case: PluginCase) -> None:
    name = type(case.plugin).__name__
    network = case.network(dynamic=True)
    try:
        plan = plan_of(network)
    except NotSymbolicError:
        assert name not in GOING or name.endswith("FFT")
        return
    for by in (0, 3, 8):
        inputs = case.grown(by)
        sizes = {f"{size}_0": inputs[i].shape[axis] for (i, axis), size in case.dynamic.items()}
        expected = expected_of(replace(case, inputs=inputs))
        for actual, wanted in zip(emulate_embedded(plan, inputs, sizes), expected, strict=True):
            assert_close(actual, wanted, case.tolerance)


def test_what_goes_ahead_of_time_is_what_is_said() -> None:
    gone = set()
    for case in CASES:
        try:
            plan_of(case.network(dynamic=True))
        except NotSymbolicError:
            continue
        gone.add(type(case.plugin).__name__)
    assert gone == GOING


@pytest.mark.parametrize("version", HOLDING)
def test_tensorrt_is_told_shapes_kernel_and_launch(version: str, ahead: Any) -> None:
    ahead(Swish)
    net = Network()
    n = net.dim("n", min=1, opt=4, max=9)
    net.output(Swish(beta=2.0)(net.input("x", (2 * n + 1, 300))), "y")
    api = lowered(net, version)
    kernel = quick.built(plugin_of(api), [("FLOAT", ("rows", 300))])
    assert (kernel.name, kernel.dtypes, kernel.aliases) == ("trtdsl_swish", ["FLOAT"], [-1])
    assert kernel.code.startswith("sm_90 ")
    assert "swish(trtdsl_pointer{x0}, trtdsl_pointer{y0}, n0, __int_as_float(0x40000000));" in (
        kernel.code
    )
    for rows in (3, 5, 7, 19):
        scope = {"rows": rows, "cdiv": lambda x, y: -(-x // y)}
        assert [_valued(d, scope) for d in kernel.shapes[0]] == [rows, 300]
        launch = {name: _valued(size, scope) for name, size in kernel.launch.items()}
        assert launch.pop("grid_x") == -(-rows * 300 // 256)
        assert launch.pop("block_x") == 256
        assert launch.pop("shared_mem") == 0
        assert set(launch.values()) == {1}
        assert [_valued(a, scope) for a in kernel.arguments] == [rows * 300]


def _valued(size: int | str, scope: dict[str, Any]) -> int:
    return int(eval(size, dict(scope))) if isinstance(size, str) else size


def test_layers_alike_share_what_is_registered_and_others_do_not(ahead: Any) -> None:
    ahead(Swish)
    names = set()
    for beta in (3.0, 3.0, 4.0):
        api = lowered(of(Swish(beta=beta), "n", 5), HOLDING[-1])
        names.add(plugin_of(api).state["definition"].name)
        assert len(api.plugins) == 1, "the plugin lives as long as the network"
    assert len(names) == 2
    assert all(name.startswith("trtdsl::Swish_") for name in names)
    older = lowered(of(Swish(beta=3.0), "n", 5), HOLDING[-1], architecture="80")
    assert quick.built(plugin_of(older), [("FLOAT", ("n", 5))]).code.startswith("sm_80 ")


def start(**given: Any) -> Launch:
    return Launch(**({"kernel": "k", "grid": 1, "block": 1, "args": ()} | given))


LAUNCHES: dict[str, Callable[[Buffer], Any]] = {
    "two kernels": lambda x: (start(), start()),
    "a choice": lambda x: start(grid=2 if x.shape[0] == 7 else 1),
    "a look-up": lambda x: start(grid={4: 1, 7: 2}[x.shape[0]]),
    "a loop": lambda x: start(args=tuple(range(x.shape[0]))),
    "a float": lambda x: start(args=(1.0 / x.volume,)),
    "a half": lambda x: start(args=(x.volume / 2,)),
    "shared memory": lambda x: start(shared=8192 * x.shape[0]),
    "an int too large": lambda x: start(args=(x.volume * 10**8,)),
    "an empty grid": lambda x: start(grid=x.shape[0] - 1),
    "a map": lambda x: start(args=(TensorMap(buffer=x, sizes=(5,), strides=(), box=(5,)),)),
    "at least 1": lambda x: start(grid=max(1, x.volume)),
    "a long": lambda x: start(args=(2**31,)),
    "a text": lambda x: start(args=("text",)),
    "a buffer": lambda x: start(args=(Buffer(0, (1,), DType.INT8),)),
}


@dataclass(frozen=True, kw_only=True)
class Custom(Plugin, kernel="// none\n", ahead_of_time=True):
    """Started as the table has it."""

    how: str

    def infer(self, x: TensorType) -> TensorType:
        return x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def workspace(self, x: TensorType) -> Any:
        return 4 * x.volume if self.how == "a workspace" else 0

    def launch(self, x: Buffer, y: Buffer, *, workspace: Buffer | None) -> Any:
        return LAUNCHES[self.how](x)


NEEDS = "launch.. needs sizes that only a run knows: TypeError: "
REFUSED: dict[str, str] = {
    "a workspace": "it needs a workspace",
    "two kernels": "it starts 2 kernels",
    "a choice": f"{NEEDS}whether n == 7 depends",
    "a look-up": f"{NEEDS}unhashable type: 'UnknownSize'",
    "a loop": f"{NEEDS}'UnknownSize' object cannot be interpreted as an integer",
    "a float": f"{NEEDS}unsupported operand",
    "a half": "5.n/2 is no whole number",
    "shared memory": "more than 49152 bytes of shared memory",
    "an int too large": "may be 4500000000, which does not fit an int",
    "an empty grid": "its grid of n - 1 may be empty",
    "a map": "it takes a tensor map, which is made for each pointer",
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_launch_that_tensorrt_cannot_do_alone_goes_with_python_and_says_so(how: str) -> None:
    with pytest.raises(NotSymbolicError, match=REFUSED[how]):
        plan_of(of(Custom(how=how), "n", 5))
    with pytest.warns(PythonNeededWarning, match=f"needs Python for plugin .*{REFUSED[how]}"):
        api = lowered(of(Custom(how=how), "n", 5), HOLDING[0])
    assert plugin_of(api).plugin_name == "Custom"


def test_kernels_of_python_and_workspaces_stay_with_python() -> None:
    with pytest.raises(NotSymbolicError, match="its kernel is queued from Python"):
        plan_of(of(Failing(), "n", 5))
    with pytest.raises(
        NotSymbolicError, match=r"its workspace\(\) needs sizes that only a run knows"
    ):
        plan_of(of(RowSquares(), "n", 5))
    with pytest.raises(NotSymbolicError, match="it needs a workspace"):
        plan_of(of(RowSquares(), 4, 5))


def test_sizes_that_are_fixed_may_be_asked_for() -> None:
    for how in ("a choice", "a look-up", "a loop", "an empty grid"):
        assert plan_of(of(Custom(how=how), 7, 5)).launch.sizes == ()
    assert plan_of(of(Custom(how="a choice"), 7, 5)).launch.grid == (2, 1, 1)
    assert plan_of(of(Custom(how="an empty grid"), "n", low=2)).launch.block == (1, 1, 1)
    plan = plan_of(of(Custom(how="at least 1"), "n", 5))
    assert str(plan.launch.grid[0]) == "5*n", "which is 5 or more for every n"


@pytest.mark.parametrize("low", [0, 1])
def test_a_size_of_nothing_is_no_launch(low: int) -> None:
    network = of(Swish(beta=1.0), "n", 4, low=low)
    if low:
        assert plan_of(network).launch.block == (256, 1, 1)
        return
    with pytest.raises(NotSymbolicError, match=r"its grid of .* may be empty"):
        plan_of(network)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("a long", "does not fit an int"),
        ("a text", "'text' of kernel k is a str"),
        ("a buffer", "a buffer that is none of its tensors"),
    ],
)
def test_arguments_that_no_kernel_takes_are_errors_here_too(how: str, reason: str) -> None:
    with pytest.raises(BuildError, match=reason):
        plan_of(of(Custom(how=how), "n"))


EVERY = """
extern "C" __global__ void __launch_bounds__(4) every(
    const float* x, float* y, double* z, const float* none, T0* scratch,
    bool yes, int below, long long large, unsigned char small, double third, float fifth, int n)
{
    y[0] = yes + below + small + fifth + n + (none != nullptr) + (scratch != nullptr) + x[0];
    z[0] = large + third;
}
"""


@dataclass(frozen=True, kw_only=True)
class Every(Plugin, kernel=EVERY):
    """Arguments of every kind, in an order of their own."""

    def infer(self, x: TensorType) -> tuple[TensorType, TensorType]:
        return TensorType(DType.FLOAT32, (1,)), TensorType(DType.INT64, (1,))

    def evaluate(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise AssertionError("no test computes with it")

    def launch(self, x: Buffer, y: Buffer, z: Buffer, *, workspace: Buffer | None) -> Launch:
        numbers = (True, -7, np.int64(-(2**40)), np.uint8(200), np.float64(1 / 3), 0.2)
        args = (x, y, z, None, workspace, *numbers, x.shape[0] % 4)
        return Launch(kernel="every", grid=1, block=1, args=args)


@pytest.mark.skipif(COMPILER is None, reason="needs g++ to run kernels on the CPU")
def test_arguments_of_every_kind_reach_the_kernel() -> None:
    plan = plan_of(of(Every(), "n"))
    for n in (1, 4, 7):
        y, z = emulate_embedded(plan, (torch.full((n,), 0.5),), {"n": n})
        assert y.item() == np.float32(1 - 7 + 200 + np.float32(0.2) + n % 4 + 0.5)
        assert z.view(torch.float64).item() == -(2**40) + 1 / 3


@pytest.mark.parametrize("version", OLDER)
def test_older_releases_need_the_class(
    version: str, ahead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead(Swish)
    with pytest.raises(
        NotSymbolicError, match=rf"TensorRT {version}.* holds no kernels of plugins"
    ):
        plan_of(of(Swish(beta=1.0), 4), version)
    net = of(Swish(beta=1.0), 4)
    names = plugins.names(net, Api(standin.load(version), None))
    assert [p.embedded for p in names] == [False]
    if not version.startswith("8."):
        with pytest.warns(PythonNeededWarning, match="10.9 and later do"):
            lowered(net, version)


def test_a_size_that_is_no_size_of_an_input() -> None:
    net = Network()
    n, m = (net.dim(name, min=1, opt=4, max=9) for name in "nm")
    net.output(Swish(beta=1.0)(net.input("x", (n * m,))), "y")
    with pytest.raises(NotSymbolicError, match="the size m is none of its inputs'"):
        plan_of(net)


def test_a_manifest_says_what_the_engine_holds(ahead: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead(Swish, RowSquares)
    net = Network()
    x = net.input("x", (2, 3))
    net.output(Swish(beta=1.0)(Swish(beta=2.0)(x)), "y")
    net.output(RowSquares().outputs(x)[0], "z")
    api = Api(standin.load(HOLDING[0]), None)
    names = plugins.names(net, api)
    assert [(p.name, p.embedded) for p in names] == [("RowSquares", False), ("Swish", True)]
    manifest = replace(F32, plugins=names)
    text = json.loads(json.dumps(manifest.to_json()))
    assert Manifest.from_json(text) == manifest
    table = manifest_table(Path("m.engine"), manifest)
    rows = [str(cell) for column in table.columns for cell in column.cells]
    assert "RowSquares 2, of module tests.plugins.samples" in rows
    assert "Swish 1, in the plan" in rows


def test_one_use_that_needs_python_is_enough(ahead: Any) -> None:
    ahead(Swish)
    net = Network()
    n, m = (net.dim(name, min=1, opt=4, max=9) for name in "nm")
    net.output(Swish(beta=1.0)(net.input("x", (3,))), "y")
    net.output(Swish(beta=1.0)(net.input("z", (n * m,))), "w")
    (name,) = plugins.names(net, Api(standin.load(HOLDING[0]), None))
    assert not name.embedded


def test_an_engine_that_holds_a_plugin_loads_without_its_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(plugins, "_register", lambda trt, cls: asked.append(cls))
    held = PluginName(name="Absent", version="3", module="their.plugins", embedded=True)
    plugins.register(standin.load(HOLDING[0]), (held,))
    assert not asked


def test_the_key_of_an_engine_has_what_was_asked(ahead: Any) -> None:
    gpu = Gpu(index=0, name="NVIDIA H200", compute_capability="9.0", cuda="12.4", memory=1)
    before = engine_key(of(Swish(beta=1.0), 4), {}, "10.13.3", gpu)
    ahead(Swish)
    assert engine_key(of(Swish(beta=1.0), 4), {}, "10.13.3", gpu) != before


@pytest.mark.parametrize("architecture", ["75", "90"])
def test_wrapped_kernels_compile_to_ptx(architecture: str) -> None:
    plans = [plan_of(of(plugin, "n", 5)) for plugin in (Swish(beta=2.0), Every())]
    for case in CASES:
        try:
            plans.append(plan_of(case.network(dynamic=True)))
        except NotSymbolicError:
            continue
    for plan in plans:
        kind = plan.instance
        defines = kind.plugin.defines(*kind.inputs, *kind.outputs)
        try:
            ptx = compile_ptx(plan.launch.source, architecture, defines)
        except UnavailableError as error:
            pytest.skip(str(error).splitlines()[0])
        assert f".target sm_{architecture}" in ptx
        assert ptx.count(".visible .entry") == 1
        assert f".visible .entry {plan.launch.kernel}(" in ptx
        assert not ptx.endswith("\0")
