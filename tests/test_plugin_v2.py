"""Plugins of TensorRT 8 as C++ objects: called by compiled C++, as TensorRT calls them."""

from __future__ import annotations

import ctypes
import gc
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sympy
import torch

from trtdsl.errors import BuildError, LoadError
from trtdsl.extension import failures, plugin_v2
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.instance import Instance
from trtdsl.extension.size_expressions import write
from trtdsl.ir.plugin import Plugin
from trtdsl.types import DType, TensorType

SOURCE = Path(__file__).parent / "abi" / "plugin_v2.cpp"
VERSION = 8601

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ to compile a caller with"),
    pytest.mark.skipif(
        (platform.system(), platform.machine()) != ("Linux", "x86_64"),
        reason="the binary interface is that of Linux on x86-64",
    ),
]

_RUNS: list[tuple[Any, ...]] = []


@dataclass(frozen=True, kw_only=True)
class Stretched(Plugin, version="3"):
    """Sizes of its own; notes how it was run, and fails on stream 0."""

    times: int
    pads: tuple[int, ...] = (1, 2)

    def infer(self, x: TensorType) -> tuple[TensorType, TensorType]:
        n, columns = x.shape
        first = x.with_shape((n * self.times // 2 + 1, sympy.Max(columns, n)))
        return first, TensorType(DType.INT32, ((n + 2) % 3, sympy.ceiling(n / sympy.Integer(4))))

    def evaluate(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise AssertionError("no test computes with it")

    def workspace(self, x: TensorType) -> int:
        return int(4 * x.shape[0] * x.shape[1])

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
        _RUNS.append((self, tuple(inputs), tuple(outputs), workspace, stream))


@dataclass(frozen=True, kw_only=True)
class Unary(Stretched, version="3"):
    """One output, of the size that it is given."""

    def infer(self, x: TensorType) -> TensorType:  # type: ignore[override]
        return x


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("abi") / "caller.so"
    command = ["g++", "-std=c++17", "-shared", "-fPIC", "-Wall", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.use.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
    loaded.use.restype = ctypes.c_char_p
    loaded.obsolete.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
    return loaded


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    _RUNS.clear()
    failures.take()
    yield
    failures.take()


def instance(plugin: Plugin, outputs: int) -> Instance:
    kinds = (DType.FLOAT32, DType.INT32)[:outputs]
    return Instance(plugin=plugin, inputs=(DType.FLOAT32,), outputs=kinds)


def used(caller: ctypes.CDLL, plugin: Plugin, outputs: int, calls: int = 1) -> list[str]:
    creator = plugin_v2._CreatorV2(type(plugin), VERSION)
    record = instance(plugin, outputs).to_bytes()
    return str(caller.use(creator.address, record, len(record), calls).decode()).splitlines()


def test_every_function_answers_cpp(caller: ctypes.CDLL) -> None:
    assert used(caller, Unary(times=3), 1) == [
        "creator Unary 3 [] 8601 0",
        "namespace here",
        "class N6trtdsl8PluginV2E",
        "plugin Unary 3 [there] 3002199 outputs 1",  # 3 << 24 | 8601
        "initialized 0",
        "type 0",
        "sizes n 5",
        "supports yes no no",
        "workspace 60",
        "failed 0",
        "on no stream 1",
    ]


def test_sizes_become_expressions_of_the_builders(caller: ctypes.CDLL) -> None:
    said = used(caller, Stretched(times=3), 2)
    first, second = (line.split()[1:] for line in said if line.startswith("sizes"))
    for n in (1, 2, 3, 9, 17):
        scope = {"n": n, "max": max}
        values = [_value(text, n) for text in (*first, *second)]
        assert values == [3 * n // 2 + 1, max(5, n), (n + 2) % 3, -(-n // 4)], scope


def _value(text: str, n: int) -> int:
    """The value of an expression as the compiled caller writes it."""
    infix_max = text.replace("max", "|").replace("/", "//")
    if "|" in infix_max:
        left, right = infix_max.strip("()").split("|")
        return max(int(left.replace("n", str(n))), int(right.replace("n", str(n))))
    quotient = re.fullmatch(r"\((\w+)ceil(\w+)\)", infix_max)
    if quotient:
        return -(-eval(quotient[1], {"n": n}) // int(quotient[2]))
    return int(eval(infix_max, {"n": n}))


def test_a_run_gets_pointers_shapes_types_workspace_and_stream(caller: ctypes.CDLL) -> None:
    used(caller, Unary(times=3), 1)
    ((plugin, inputs, outputs, workspace, stream),) = _RUNS
    assert plugin == Unary(times=3)
    assert inputs == (Buffer(0x1000, (3, 5), DType.FLOAT32),)
    assert outputs == (Buffer(0x2000, (10, 5), DType.FLOAT32),)
    assert (workspace.pointer, stream) == (0x3000, 0x77)


def test_an_exception_is_kept_and_named(caller: ctypes.CDLL) -> None:
    used(caller, Unary(times=3), 1)
    error = failures.take()
    assert isinstance(error, ValueError)
    assert failures.told(error) == "\n  in plugin Unary: ValueError: no stream"
    assert failures.take() is None


def test_nothing_is_left_of_destroyed_plugins(caller: ctypes.CDLL) -> None:
    before = len(plugin_v2._plugin_class().live)
    used(caller, Unary(times=3), 1, calls=2000)
    assert len(_RUNS) == 2000
    assert len(plugin_v2._plugin_class().live) == before
    gc.collect()
    count = len(gc.get_objects())
    for _ in range(20):
        used(caller, Unary(times=3), 1, calls=50)
    _RUNS.clear()
    failures.take()
    gc.collect()
    assert len(gc.get_objects()) - count < 20 * 50


def test_private_functions_give_harmless_answers_and_an_error(caller: ctypes.CDLL) -> None:
    creator = plugin_v2._CreatorV2(Unary, VERSION)
    record = instance(Unary(times=3), 1).to_bytes()
    before = len(plugin_v2._plugin_class().live)
    assert caller.obsolete(creator.address, record, len(record)) == 6
    assert len(plugin_v2._plugin_class().live) == before
    assert isinstance(failures.take(), BuildError)


def test_a_record_of_a_plugin_that_is_not_imported_makes_nothing(caller: ctypes.CDLL) -> None:
    record = instance(Unary(times=3), 1).to_bytes().replace(b'"Unary"', b'"Other"')
    creator = plugin_v2._CreatorV2(Unary, VERSION)
    said = caller.use(creator.address, record, len(record), 1).decode()
    assert said.splitlines()[-1] == "nothing was made"
    error = failures.take()
    assert isinstance(error, LoadError)
    assert "fix: import tests.test_plugin_v2 before the engine is loaded" in str(error)


def test_a_size_that_no_builder_can_express() -> None:
    n = sympy.Symbol("n", integer=True, positive=True)
    with pytest.raises(BuildError, match="no sum, product, quotient"):
        write(n / 2, {n: 1}, lambda value: value, lambda name, x, y: x)
