"""``trtdsl.build`` without a GPU: options, and what is missing."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from torch import nn

import trtdsl
from tests.cases.base import f32
from trtdsl import build as build_module
from trtdsl import tensorrt_api
from trtdsl.build import BuildOptions, build, required
from trtdsl.errors import BuildError, ConversionError, RunError, UnavailableError
from trtdsl.network import Network
from trtdsl.runtime import logger
from trtdsl.source import Source


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"precision": "int8"}, ConversionError, "not 'int8'"),
        ({"workspace": 0}, BuildError, "workspace is 0 bytes; it must be positive"),
        ({"workspace": -1}, BuildError, "workspace is -1 bytes"),
        ({"cache": 5}, BuildError, "cache is 5\n  fix: True, False or the path"),
        ({"progress": "yes"}, BuildError, "progress is 'yes'"),
        ({"workspace": "4GiB"}, BuildError, "workspace is '4GiB'"),
        ({"optimization_level": 2.5}, BuildError, r"optimization_level is 2\.5"),
        ({"optimization_level": 6}, BuildError, r"optimization_level is 6, outside of 0\.\.5"),
        ({"optimization_level": -1}, BuildError, "optimization_level is -1"),
    ],
)
def test_options_that_are_wrong(
    options: dict[str, Any], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        BuildOptions(**options)
    with pytest.raises(error, match=reason):
        trtdsl.convert(nn.ReLU().eval(), (f32(2),), backend="reference", **options)


def test_options_that_are_right() -> None:
    for level in range(6):
        assert BuildOptions(optimization_level=level, workspace=1).optimization_level == level
    for precision in (None, "fp32", "tf32", "fp16", "bf16"):
        assert BuildOptions(precision=precision).precision == precision


def hide_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "tensorrt":
            raise ImportError("No module named 'tensorrt'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)


def test_a_gpu_without_tensorrt_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_tensorrt(monkeypatch)
    monkeypatch.setattr("trtdsl.runtime.device.find_gpu", lambda index=0: object())
    with pytest.raises(UnavailableError, match="TensorRT cannot be imported: No module") as caught:
        trtdsl.convert(nn.ReLU().eval(), (f32(2),), backend="tensorrt")
    assert "fix: pip install 'trtdsl[tensorrt]'" in str(caught.value)
    net = Network()
    net.output(net.input("x", (2,)) + 1)
    with pytest.raises(UnavailableError, match="pip install"):
        build(net)


def test_without_a_gpu_tensorrt_is_not_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Any:
        raise AssertionError("TensorRT without a GPU ends the process")

    monkeypatch.setattr("trtdsl.runtime.device.find_gpu", lambda index=0: None)
    monkeypatch.setattr("trtdsl.tensorrt_api.installed.import_tensorrt", refuse)
    with pytest.raises(UnavailableError, match="no NVIDIA GPU was found") as caught:
        trtdsl.convert(nn.ReLU().eval(), (f32(2),), backend="tensorrt")
    assert "fix: " in str(caught.value)


def test_a_release_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import SimpleNamespace

    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="8.5.3.1"))
    with pytest.raises(UnavailableError, match=r"8\.5\.3\.1 is too old: trtdsl needs 8\.6"):
        tensorrt_api.import_tensorrt()


def test_a_network_by_hand_builds_or_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trtdsl.runtime.device.find_gpu", lambda index=0: None)
    monkeypatch.setattr(
        "trtdsl.tensorrt_api.installed.import_tensorrt",
        lambda: (_ for _ in ()).throw(UnavailableError("none here")),
    )
    with Network("sum") as net:
        net.output(net.input("x", (2,)) + 1)
    with pytest.raises(UnavailableError):
        net.build(optimization_level=0)
    with pytest.raises(ConversionError, match="not 'int8'"):
        net.build(precision="int8")


def test_tensorrts_words_point_at_the_module_and_at_no_other() -> None:
    with Network("two") as net:
        x = net.input("x", (2,))
        for module in ("head", "head2"):
            with net.at(Source(module=module)):
                net.output(-x)
    first, second = (op.name for op in net.operations)
    assert (
        build_module._places(net, f"no kernel for node {first}.")
        == f"\n  at:  {first}: module head"
    )
    assert build_module._places(net, f"{{ForeignNode[{second}.0...z]}}").startswith(
        f"\n  at:  {second}:"
    )
    assert build_module._places(net, f"deep.{first} and {first}_2") == ""


def test_a_build_on_another_gpu(
    building: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trtdsl.runtime import device

    building("8.6.1")
    entered: list[int] = []

    @contextmanager
    def entering(index: int) -> Iterator[None]:
        entered.append(index)
        yield

    monkeypatch.setattr(device, "primary_context", entering)
    with Network("sum") as net:
        net.output(net.input("x", (2,)) + 1)
    engine: Any = net.build(device="cuda:1")
    assert engine.device == 1
    assert entered
    assert set(entered) == {1}
    with pytest.raises(RunError, match="'cpu' is no GPU"):
        net.build(device="cpu")


def test_every_option_is_an_argument_of_convert() -> None:
    import dataclasses

    from trtdsl.options import BuildArguments

    options = {f.name for f in dataclasses.fields(BuildOptions)}
    assert BuildArguments.__annotations__.keys() == options - {"precision"}
    with pytest.raises(TypeError, match="there is no option level"):
        trtdsl.convert(nn.ReLU().eval(), (f32(2),), level=3)  # type: ignore[call-arg]


def test_what_tensorrt_makes_nothing_of_is_told_with_its_words() -> None:
    assert required(builtins, "module") is builtins
    logger.clear()
    with pytest.raises(BuildError, match="TensorRT made no network: no reason was logged"):
        required(None, "network")
    with logger.quietly():
        logger.record("ERROR", "out of memory")
    with pytest.raises(BuildError, match="made no builder configuration: out of memory"):
        required(None, "builder configuration")
    logger.clear()
