"""What builds find in the cache, what keys depend on, and what is done with bad entries."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import standin
from trtdsl import build as build_module
from trtdsl import timings
from trtdsl.build import BuildOptions, build
from trtdsl.cache import CacheWarning, Store
from trtdsl.cached import BuildCache
from trtdsl.errors import BuildError, LoadError
from trtdsl.held import PrecisionWarning
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.network import Network
from trtdsl.network_digest import KeylessError, engine_key, timing_key
from trtdsl.runtime import logger
from trtdsl.runtime.device import Gpu
from trtdsl.source import Source
from trtdsl.types import DType

GPU = Gpu(index=0, name="NVIDIA H200", compute_capability="9.0", cuda="12.4", memory=1)


def network(
    *,
    value: float = 1.0,
    bias: str = "bias",
    dtype: torch.dtype = torch.float32,
    output: str = "y",
    module: str = "head",
    kind: ActivationType = ActivationType.RELU,
    high: int = 8,
    name: str = "net",
) -> Network:
    net = Network(name)
    b = net.dim("b", min=1, opt=2, max=high)
    x = net.input("x", (b, 4), DType.of(dtype))
    w = net.constant(torch.full((1, 4), value, dtype=dtype), name=bias)
    with net.at(Source(module=module)):
        net.output(Activation(type=kind)(x + w).reshape(2 * b, 2), output)
    return net


def key(net: Network, gpu: Gpu = GPU, tensorrt: str = "10.3.0", **options: Any) -> str:
    return engine_key(net, options, tensorrt, gpu)


CHANGES: dict[str, dict[str, Any]] = {
    "a weight": {"value": 1.0000001},
    "the sign of a zero": {"value": -0.0},
    "a weight's name": {"bias": "b"},
    "the dtype": {"dtype": torch.float16},
    "an output's name": {"output": "z"},
    "a module": {"module": "tail"},
    "an attribute": {"kind": ActivationType.TANH},
    "a range": {"high": 9},
}


def test_each_change_of_a_network_is_another_key() -> None:
    keys = [key(network()), key(network(value=0.0))]
    keys += [key(network(**change)) for change in CHANGES.values()]
    assert len(set(keys)) == len(CHANGES) + 2
    assert key(network()) == key(network(name="other"))  # which does not end in the engine


def test_each_change_of_machine_and_options_is_another_key() -> None:
    net = network()
    gpus = [
        GPU,
        replace(GPU, name="NVIDIA H100"),
        replace(GPU, compute_capability="8.9"),
        replace(GPU, cuda="13.0"),
    ]
    keys = {key(net, gpu) for gpu in gpus} | {key(net, tensorrt="10.3.1"), key(net, level=1)}
    assert len(keys) == 6
    assert key(net, replace(GPU, cuda="12.9", memory=2, index=1)) == key(net)
    assert len({timing_key("10.3.0", gpu) for gpu in gpus} | {timing_key("10.4.0", GPU)}) == 5


def test_a_change_of_the_code_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    net, before = network(), key(network())
    monkeypatch.setattr("trtdsl.network_digest._code", lambda: "another")
    assert key(net) != before
    monkeypatch.undo()
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert key(net) != before


@dataclass(frozen=True, kw_only=True)
class Strange(Activation):
    """A layer with an attribute that says nothing of its meaning."""

    meaning: Any = None


def test_a_layer_of_ones_own_has_its_module_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def one(meaning: Any) -> Network:
        net = Network()
        net.output(Strange(type=ActivationType.RELU, meaning=meaning)(net.input("x", (2,))), "y")
        return net

    assert key(one(1)) != key(one(2))
    with pytest.raises(KeylessError, match="is a object, which has no key"):
        key(one(object()))
    before = key(one(1))
    monkeypatch.setattr("trtdsl.network_digest._class", lambda cls: "changed")
    assert key(one(1)) != before


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The plans that TensorRT built."""
    built: list[bytes] = []
    real = build_module.serialize

    def counting(*args: Any, **kwargs: Any) -> bytes:
        built.append(real(*args, **kwargs))
        return built[-1]

    monkeypatch.setattr(build_module, "serialize", counting)
    return built


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_a_second_build_is_found(
    version: str, building: Callable[[str], Any], tmp_path: Path, counted: list[bytes]
) -> None:
    trt = building(version)
    options = BuildOptions(cache=tmp_path / "cache")
    first = build(network(), options)
    again = build(network(), options)
    assert len(counted) == 1
    assert again.plan == first.plan == counted[0]
    assert again.manifest == first.manifest
    build(network(), replace(options, optimization_level=1))
    assert len(counted) == 2
    assert [c.state["timing_cache"] is not None for c in trt.configs] == [True, True]
    build(network(), replace(options, cache=False))
    assert len(counted) == 3
    assert "timing_cache" not in trt.configs[-1].state
    kinds = sorted(entry.kind for entry in Store(tmp_path / "cache", limit=0).entries())
    assert kinds == ["engine", "engine", "timing"]


def test_a_damaged_engine_is_built_again(
    building: Callable[[str], Any], tmp_path: Path, counted: list[bytes]
) -> None:
    building("8.6.1")
    options = BuildOptions(cache=tmp_path)
    build(network(), options)
    (place,) = (tmp_path / "engine").iterdir()
    place.write_bytes(place.read_bytes()[:-3])
    with pytest.warns(CacheWarning, match="is ignored"):
        engine = build(network(), options)
    assert len(counted) == 2
    assert engine.plan == counted[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(network(), options)
    assert len(counted) == 2


def test_doubts_about_the_precision_are_told_of_a_found_engine_too(
    building: Callable[[str], Any],
    tmp_path: Path,
    counted: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    building("8.6.1")
    prepared: list[Network] = []
    inner = build_module.prepared_for
    monkeypatch.setattr(
        build_module, "prepared_for", lambda net, trt: prepared.append(net) or inner(net, trt)
    )
    monkeypatch.setattr("trtdsl.engine.Engine.inspect", lambda self: [], raising=False)
    monkeypatch.setattr(build_module, "unheld", lambda net, described: ["relu: f16 as FP32"])
    for _ in range(2):
        with pytest.warns(PrecisionWarning, match=r"1 layers in another.*\n  relu: f16 as FP32"):
            build(network(dtype=torch.float16), BuildOptions(cache=tmp_path))
    assert len(counted) == len(prepared) == 1


def test_what_has_no_key_is_built_with_a_warning(
    building: Callable[[str], Any], tmp_path: Path, counted: list[bytes]
) -> None:
    building("10.3.0")
    net = Network()
    net.output(Strange(type=ActivationType.RELU, meaning=object())(net.input("x", (2,))), "y")
    for _ in range(2):
        with pytest.warns(CacheWarning, match="the engine is not cached: <object"):
            build(net, BuildOptions(cache=tmp_path))
    assert len(counted) == 2


class Timings:
    """A configuration whose timing cache is a set of letters."""

    def __init__(self, refused: bytes = b"-", allowed: bool = True) -> None:
        self.refused, self.allowed = refused, allowed

    def create_timing_cache(self, data: bytes) -> Any:
        if b"?" in data:
            logger.record("ERROR", "The timing cache will not be used!")
            return Letters(data if b"!" in data else b"")
        return None if self.refused in data else Letters(data)

    def set_timing_cache(self, letters: Any, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        self.attached = letters
        return self.allowed


class Letters:
    def __init__(self, data: bytes) -> None:
        self.known = set(data)

    def combine(self, other: Any, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        self.known |= other.known
        return True

    def serialize(self) -> bytes:
        return bytes(sorted(self.known))


def places(root: Path) -> BuildCache:
    return BuildCache.of(network(), BuildOptions(cache=root), "10.3.0", GPU)


def test_timings_are_merged_with_those_written_meanwhile(tmp_path: Path) -> None:
    one, two = Timings(), Timings()
    with places(tmp_path).timings(one):
        one.attached.known |= set(b"a")
        with places(tmp_path).timings(two):
            two.attached.known |= set(b"b")
    with places(tmp_path).timings(one):
        assert one.attached.known == set(b"ab")


def test_a_failed_build_keeps_what_it_timed(tmp_path: Path) -> None:
    config = Timings()

    def fail() -> None:
        with places(tmp_path).timings(config):
            config.attached.known |= set(b"c")
            raise BuildError("no kernel")

    with pytest.raises(BuildError, match="no kernel"):
        fail()
    with places(tmp_path).timings(config):
        assert config.attached.known == set(b"c")


def test_a_process_shares_its_timings_and_takes_those_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with places(tmp_path).timings(one := Timings()):
        one.attached.known |= set(b"?a")  # the file is one that TensorRT will not read
    with places(tmp_path).timings(two := Timings()):
        assert two.attached is one.attached
    Store(tmp_path, limit=1).clear()
    with places(tmp_path).timings(three := Timings()):
        assert three.attached.known == set()
        three.attached.known |= set(b"c")
    with monkeypatch.context() as another_process:
        another_process.setattr(timings, "_HELD", {})
        with places(tmp_path).timings(four := Timings()):
            assert four.attached.known == set(b"c")
            four.attached.known |= set(b"d")
    with places(tmp_path).timings(five := Timings()):
        assert five.attached is three.attached
        assert five.attached.known == set(b"cd")


def test_timings_that_tensorrt_cannot_read_are_a_warning_with_its_words(tmp_path: Path) -> None:
    with places(tmp_path).timings(config := Timings()):
        config.attached.known |= set(b"?")
    timings.forget()  # as another process
    with (
        pytest.warns(CacheWarning, match=r"times all layers anew: The timing cache will not be"),
        places(tmp_path).timings(Timings()),
    ):
        assert logger.last_errors() == []


class Empty(Letters):
    """Even no timings take some bytes."""

    def serialize(self) -> bytes:
        return b"." + super().serialize()


def test_no_timings_are_none_to_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def created(self: Timings, data: bytes) -> Any:
        if data:
            logger.record("ERROR", "The timing cache will not be used!")
        return Empty(b"")

    monkeypatch.setattr(Timings, "create_timing_cache", created)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            timings.forget()
            with places(tmp_path).timings(Timings()):
                pass
    (entry,) = Store(tmp_path, limit=1).entries()
    assert entry.kind == "timing"


@pytest.mark.parametrize(("ours", "theirs"), [(b"a", b"bc?!"), (b"aefgh", b"b?!")])
def test_of_timings_that_do_not_combine_the_more_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: bytes, theirs: bytes
) -> None:
    monkeypatch.setattr(Letters, "combine", lambda self, other, ignore_mismatch: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with places(tmp_path).timings(one := Timings()):
            one.attached.known |= set(ours)
            with monkeypatch.context() as another_process:
                another_process.setattr(timings, "_HELD", {})
                with places(tmp_path).timings(two := Timings()):
                    two.attached.known |= set(theirs)
        timings.forget()
        with places(tmp_path).timings(three := Timings()):
            assert three.attached.known == set(max(ours, theirs, key=len))


def test_timings_that_are_refused_without_a_word_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Letters, "combine", lambda self, other, ignore_mismatch: False)

    def build_beside_another() -> None:
        with places(tmp_path).timings(Timings()), monkeypatch.context() as another_process:
            another_process.setattr(timings, "_HELD", {})
            with places(tmp_path).timings(two := Timings()):
                two.attached.known |= set(b"b")

    with pytest.warns(CacheWarning, match="refused 1 bytes"):
        build_beside_another()


def test_what_tensorrt_reads_of_timings_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with places(tmp_path).timings(config := Timings()):
        config.attached.known |= set(b"a?!")
    timings.forget()  # as another process
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with places(tmp_path).timings(other := Timings()):
            assert other.attached.known == set(b"a?!")
    assert not caplog.records


def test_timings_that_tensorrt_refuses_are_a_warning(tmp_path: Path) -> None:
    with places(tmp_path).timings(config := Timings()):
        config.attached.known |= set(b"xy")
    timings.forget()  # as another process
    with (
        pytest.warns(CacheWarning, match="TensorRT refused 2 bytes of cached timings"),
        places(tmp_path).timings(strict := Timings(refused=b"x")),
    ):
        assert strict.attached.known == set()
    with (
        pytest.warns(CacheWarning, match="times all layers anew"),
        places(tmp_path / "other").timings(Timings(allowed=False)),
    ):
        pass


def test_a_cached_engine_that_tensorrt_refuses_is_built_again(
    building: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same release for another CUDA, which has the same key."""
    building("10.3.0")
    options = BuildOptions(cache=tmp_path)
    build(network(), options)
    made, left = build_module._engine, ["the plan is of another CUDA"]

    def refusing(*args: Any) -> Any:
        if left:
            raise LoadError(left.pop())
        return made(*args)

    monkeypatch.setattr(build_module, "_engine", refusing)
    with pytest.warns(CacheWarning, match="built again: the plan is of another CUDA"):
        build(network(), options)
    build(network(), options)


def test_a_weight_of_one_element_and_no_stride_has_a_key() -> None:
    net = Network()
    x = net.input("x", (2, 4))
    net.output(x * net.constant(torch.tensor(2.0).expand(1), name="scale"), "y")
    assert key(net) == key(net)
