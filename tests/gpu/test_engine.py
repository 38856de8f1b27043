"""Engines on a GPU: torch and numpy, streams, threads, contexts, wrong inputs."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.gpu.mlp import TOLERANCE, convert, data, exact, mlp_engine
from trtdsl.engine import Engine
from trtdsl.errors import RunError
from trtdsl.runtime.lane import Lane
from trtdsl.types import DType

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycuda.*"),
]

BOTH = pytest.mark.parametrize("host_copies", ["pycuda", "torch"])
SLEEP = 1_000_000_000  # cycles, some half a second: far longer than a call takes to queue


class Pair(nn.Module):
    def forward(self, batch: dict[str, torch.Tensor], scale: float) -> dict[str, Any]:
        a, b = batch["a"], batch["b"]
        return {"sum": a + b, "parts": (a * scale, [b - a])}


class Integers(nn.Module):
    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.where(mask, ids + ids, ids - 1), torch.logical_not(mask)


def current_context() -> int | None:
    context = ctypes.c_void_p()
    assert ctypes.CDLL("libcuda.so.1").cuCtxGetCurrent(ctypes.byref(context)) == 0
    return context.value


@pytest.fixture
def engine() -> Engine:
    return mlp_engine()


def on_host(engine: Engine, host_copies: Any) -> Engine:
    if host_copies == "pycuda":
        pytest.importorskip("pycuda.driver")
    return Engine(engine.plan, engine.manifest, host_copies=host_copies)


def test_torch_is_zero_copy(engine: Engine) -> None:
    x = data(1).cuda()
    for _ in range(2):  # the first call is checked in full, the second takes the short way
        y = engine(x)
        assert y.is_cuda
        torch.testing.assert_close(y.cpu(), exact(x), **TOLERANCE)
        lane = engine._runners.torch()._lanes[0]  # of the default stream
        assert lane.context is not None
        context = lane.context._context
        assert context.get_tensor_address("x") == x.data_ptr()
        assert context.get_tensor_address(engine.manifest.outputs[0].name) == y.data_ptr()
    torch.testing.assert_close(x.cpu(), data(1), rtol=0, atol=0)


def test_dynamic_batch_and_outputs_of_their_own(engine: Engine) -> None:
    inputs = [data(seed, rows).cuda() for seed, rows in enumerate((1, 8, 3, 3, 1, 8))]
    outputs = [engine(x) for x in inputs]
    for x, y in zip(inputs, outputs, strict=True):
        torch.testing.assert_close(y.cpu(), exact(x), **TOLERANCE)


def test_by_name(engine: Engine) -> None:
    x = data(2).cuda()
    torch.testing.assert_close(engine(x=x).cpu(), exact(x), **TOLERANCE)


def test_a_tensor_that_starts_anywhere(engine: Engine) -> None:
    x = torch.empty(4 * 16 + 1, device="cuda")[1:].view(4, 16)
    x.copy_(data(3))
    assert x.data_ptr() % 256
    for _ in range(2):
        torch.testing.assert_close(engine(x).cpu(), exact(x), **TOLERANCE)


@pytest.mark.parametrize("side", [False, True])
def test_runs_in_order_on_the_current_stream(engine: Engine, side: bool) -> None:
    stream = torch.cuda.Stream() if side else torch.cuda.default_stream()
    with torch.cuda.stream(stream):
        engine(data(0).cuda())  # makes the context, which waits for the device
    for seed in range(3):
        want = data(seed)
        source = want.cuda()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            x = torch.zeros(4, 16, device="cuda")
            torch.cuda._sleep(SLEEP)
            x.copy_(source)  # the engine must wait for this,
            y = engine(x)
            z = y.clone()  # this for the engine,
            x.zero_()  # and this too
        assert not stream.query()  # nothing waited: all is queued behind the sleep
        stream.synchronize()
        torch.testing.assert_close(z.cpu(), exact(want), **TOLERANCE)


@pytest.mark.parametrize("side", [False, True])
def test_threads(engine: Engine, side: bool) -> None:
    torch.cuda.synchronize()
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            stream = torch.cuda.Stream() if side else torch.cuda.default_stream()
            with torch.cuda.stream(stream):
                for step in range(50):
                    x = data(100 * seed + step, rows=1 + (seed + step) % 8)
                    torch.testing.assert_close(engine(x.cuda()).cpu(), exact(x), **TOLERANCE)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def test_nested_inputs_and_outputs() -> None:
    a, b = data(4), data(5)
    engine = convert(Pair(), {"a": a, "b": b}, 2.0)
    for _ in range(2):
        out = engine({"b": b.cuda(), "a": a.cuda()}, 2.0)
        assert list(out) == ["sum", "parts"]
        scaled, (difference,) = out["parts"]
        torch.testing.assert_close(out["sum"].cpu(), a + b, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(scaled.cpu(), a * 2, rtol=0, atol=0)
        torch.testing.assert_close(difference.cpu(), b - a, rtol=1e-6, atol=1e-6)
    with pytest.raises(RunError, match=r"scale was fixed at conversion to 2\.0, and now is 3\.0"):
        engine({"a": a.cuda(), "b": b.cuda()}, 3.0)


def test_integers_and_booleans() -> None:
    ids = torch.tensor([[7, -3, 0], [2**30 - 1, -(2**30), 5]])
    mask = torch.tensor([[True, False, True], [True, True, False]])
    engine = convert(Integers(), ids, mask)
    want = Integers()(ids, mask)
    for _ in range(2):
        for got in (engine(ids.cuda(), mask.cuda()), engine(ids.numpy(), mask.numpy())):
            for value, expected in zip(got, want, strict=True):
                found = torch.as_tensor(value).cpu()
                assert found.dtype == expected.dtype
                assert torch.equal(found, expected)
    large = ids + 2**31
    if engine.manifest.inputs[0].engine_dtype is DType.INT32:
        for call in (
            lambda: engine(large.cuda(), mask.cuda()),
            lambda: engine(*numpy(large, mask)),
        ):
            with pytest.raises(RunError, match=r"ids holds values from .*int32"):
                call()
    else:
        assert torch.equal(engine(large.cuda(), mask.cuda())[0].cpu(), Integers()(large, mask)[0])


def numpy(*tensors: torch.Tensor) -> list[Any]:
    return [tensor.numpy() for tensor in tensors]


@BOTH
def test_numpy(engine: Engine, host_copies: str) -> None:
    run = on_host(engine, host_copies)
    inputs = [data(seed, rows) for seed, rows in enumerate((4, 8, 1, 4))]
    outputs = [run(x.numpy()) for x in inputs]
    for x, y in zip(inputs, outputs, strict=True):
        assert isinstance(y, np.ndarray)
        torch.testing.assert_close(torch.from_numpy(y), exact(x), **TOLERANCE)
        np.testing.assert_array_equal(y, engine(x.cuda()).cpu().numpy())


@BOTH
def test_numpy_from_threads(engine: Engine, host_copies: str) -> None:
    run = on_host(engine, host_copies)
    answers: dict[int, Any] = {}

    def work(seed: int) -> None:
        answers[seed] = [run(data(seed * 100 + step).numpy()) for step in range(20)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(3):
        for step, y in enumerate(answers[seed]):
            want = exact(data(seed * 100 + step))
            torch.testing.assert_close(torch.from_numpy(y), want, **TOLERANCE)


@BOTH
@pytest.mark.parametrize("foreign", [False, True])
def test_the_callers_context_is_left_current(
    engine: Engine, host_copies: str, foreign: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = on_host(engine, host_copies)
    x = data(6).numpy()
    want = run(x)
    other = None
    if foreign:
        cuda = pytest.importorskip("pycuda.driver")
        cuda.init()
        other = cuda.Device(0).make_context()
    try:
        before = current_context()
        np.testing.assert_array_equal(run(x), want)
        assert current_context() == before

        def broken(*_: Any) -> None:
            raise RunError("broken on purpose")

        with monkeypatch.context() as patch:
            patch.setattr(Lane, "run", broken)
            with pytest.raises(RunError, match="on purpose"):
                run(x)
        assert current_context() == before
        np.testing.assert_array_equal(run(x), want)
    finally:
        if other is not None:
            other.pop()
            other.detach()


def test_wrong_inputs_are_refused_before_and_after_a_good_call(engine: Engine) -> None:
    x = data(8).cuda()
    wrong = [
        ((x.cpu(),), r"x is on cpu, and this runs on cuda:0\n  fix: x\.cuda"),
        ((x.half(),), "x is float16, and the engine takes float32"),
        ((data(8, 9).cuda(),), r"x has 9 at axis 0, .* in 1\.\.8"),
        ((x[:, :8],), r"not contiguous|shape \(4, 8\)"),
        ((torch.randn(16, 4, device="cuda").t(),), "not contiguous"),
        ((x, x), "takes 1 argument .* 2 were given"),
        ((), "takes 1 argument .* 0 were given"),
        ((None,), "x was a tensor at conversion, and now is None"),
    ]
    for _ in range(2):
        for args, words in wrong:
            with pytest.raises(RunError, match=words):
                engine(*args)
        engine(x)
