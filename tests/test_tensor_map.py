"""Tensor maps: what the driver is told of a tensor, and when; and what is asked of the GPU."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import pytest

import trtdsl
from trtdsl.errors import BuildError, RunError
from trtdsl.extension import launch, tensor_map
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch, Planned
from trtdsl.extension.tensor_map import TensorMap
from trtdsl.types import DType

X = Buffer(0, (100, 72), DType.FLOAT16)


def mapped(buffer: Buffer = X, **more: Any) -> TensorMap:
    return TensorMap(buffer=buffer, sizes=(72, 100), strides=(144,), box=(64, 32), **more)


class Driver:
    """Writes the pointer where a map is wanted, and notes the rest."""

    def __init__(self) -> None:
        self.encoded: list[tuple[Any, ...]] = []
        self.launched: list[bytes] = []
        self.status = 0

    def cuTensorMapEncodeTiled(self, place: Any, kind: int, rank: Any, *rest: Any) -> int:  # noqa: N802
        pointer, sizes, strides, box, steps, *words = rest
        if not self.status:
            ctypes.memmove(place.value, ctypes.byref(pointer), 8)
        lists = [[*x] for x in (sizes, strides, box, steps)]
        self.encoded.append((kind, rank.value, pointer.value, lists, words))
        assert place.value % 64 == 0
        return self.status

    def cuLaunchKernel(self, *args: Any) -> int:  # noqa: N802
        self.launched.append(ctypes.string_at(args[-2][0], 8))
        return 0

    def cuGetErrorString(self, status: int, place: Any) -> int:  # noqa: N802
        place._obj.value = b"invalid value"
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    for module in (launch, tensor_map):
        monkeypatch.setattr(module, "library", lambda: made)
    monkeypatch.setattr(launch, "current_context", lambda: 1)
    monkeypatch.setattr(launch, "_function", cache(lambda context, cubin, name: name))
    return made


def planned(arg: TensorMap) -> Planned:
    return Planned(Launch(kernel="k", grid=1, block=32, args=(arg,)), b"cubin", (X,))


def test_a_map_is_encoded_for_each_new_pointer_and_handed_to_the_kernel(driver: Driver) -> None:
    made = planned(mapped())
    assert not driver.encoded
    for pointer in (0x1000, 0x1000, 0x2000):
        made.run((pointer,), 0)
    assert [int.from_bytes(x, "little") for x in driver.launched] == [0x1000, 0x1000, 0x2000]
    (kind, rank, _, lists, words), second = driver.encoded
    assert (kind, rank) == (6, 2)  # CU_TENSOR_MAP_DATA_TYPE_FLOAT16
    assert lists == [[72, 100], [144], [64, 32], [1, 1]]
    assert words == [0, 3, 2, 0]  # no interleaving, 128 bytes swizzled, L2 by 128 bytes, zeros
    assert second[2] == 0x2000


def test_what_the_driver_refuses_is_an_error_each_time(driver: Driver) -> None:
    made = planned(mapped(swizzle=0))
    driver.status = 1
    for _ in range(2):
        with pytest.raises(RunError, match=r"cuTensorMapEncodeTiled: invalid value \(error 1\)"):
            made.run((0x1000,), 0)
    assert not driver.launched
    assert driver.encoded[0][-1][1] == 0


def test_an_old_driver_is_named(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_map, "library", lambda: object())
    with pytest.raises(RunError, match=r"need a driver of CUDA 12.0"):
        planned(mapped()).run((0x1000,), 0)


def test_a_map_of_another_tensor_is_refused(driver: Driver) -> None:
    with pytest.raises(BuildError, match="given a buffer that is none of its tensors"):
        planned(mapped(Buffer(0, (100, 72), DType.FLOAT16)))


def test_what_has_no_map_is_refused() -> None:
    whole = Buffer(0, (100, 72), DType.INT32)
    for buffer, swizzle in ((whole, 128), (X, 48)):
        what = f"a tensor map of {buffer.dtype.value} swizzled by {swizzle}"
        with pytest.raises(BuildError, match=what):
            trtdsl.TensorMap(buffer=buffer, sizes=(8,), strides=(), box=(8,), swizzle=swizzle)


class Devices:
    """``call`` of a driver with devices of these compute capabilities."""

    def __init__(self, *capabilities: tuple[int, int]) -> None:
        self.capabilities = capabilities

    def __call__(self, name: str, place: Any, *rest: Any) -> None:
        if name == "cuDeviceGetAttribute":
            attribute, device = rest
            major, minor = self.capabilities[device.value]
            place._obj.value = {75: major, 76: minor, 16: 132}[attribute]
        else:
            assert name == "cuCtxGetDevice"
            place._obj.value = 1


def test_the_current_device_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "call", Devices((8, 0), (9, 0)))
    assert launch.architecture() == "90"
    assert launch.multiprocessors() == 132


@pytest.mark.parametrize(("own", "wanted"), [("80", "80"), ("90", "90a"), ("120", "120")])
def test_hopper_kernels_are_compiled_with_its_own_instructions(
    own: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "architecture", lambda: own)
    monkeypatch.setattr(launch, "compile_cuda", lambda source, target, defines: target.encode())
    assert launch.compiled("", ()) == wanted.encode()
