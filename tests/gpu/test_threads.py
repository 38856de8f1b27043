"""One engine, many threads and streams: the answers of a serial run, and flat memory."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.gpu.mlp import TOLERANCE, Mlp, convert, data, exact, mlp_engine
from trtdsl.engine import Engine
from trtdsl.errors import RunError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycuda.*"),
]

THREADS, CALLS = 8, 1250  # 10,000 calls
KINDS = 32  # different inputs, of 1 to 8 rows
SLEEP = 1_000_000_000  # cycles, some half a second


@pytest.fixture
def engine() -> Engine:
    """An engine of its own for each test, so that contexts and memory can be counted."""
    built = mlp_engine()
    return Engine(built.plan, built.manifest)


def inputs() -> list[torch.Tensor]:
    return [data(seed, rows=1 + seed % 8) for seed in range(KINDS)]


def in_threads(work: Callable[[int], None], count: int = THREADS) -> None:
    failures: list[BaseException] = []

    def guarded(index: int) -> None:
        try:
            work(index)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def device_memory() -> int:
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free


def host_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def soak(engine: Engine, xs: list[Any], want: list[Any], calls: int, numpy: bool) -> None:
    """Every thread calls with its own order of inputs; each answer is the serial one, bit for bit.

    Half of the threads give numpy arrays where ``numpy``, the others torch tensors on own streams.
    """

    def torch_calls(index: int) -> None:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            xs_here = [x.cuda() for x in xs]
            ys_here = [y.cuda() for y in want]
            differ = torch.zeros((), dtype=torch.int64, device="cuda")
            for step in range(calls):
                kind = (step * 7 + index * 3) % KINDS
                differ += (engine(xs_here[kind]) != ys_here[kind]).sum()
            assert int(differ) == 0, f"thread {index}: {int(differ)} numbers differ"

    def numpy_calls(index: int) -> None:
        for step in range(calls):
            kind = (step * 5 + index * 3) % KINDS
            found = engine(xs[kind].numpy())
            assert np.array_equal(found, want[kind].numpy()), f"thread {index}, call {step}"

    in_threads(lambda i: numpy_calls(i) if numpy and i % 2 else torch_calls(i))


def test_ten_thousand_calls_from_eight_threads(engine: Engine) -> None:
    xs = inputs()
    want = [engine(x.cuda()).cpu() for x in xs]
    for x, y in zip(xs, want, strict=True):
        torch.testing.assert_close(y, exact(x), **TOLERANCE)
    soak(engine, xs, want, calls=50, numpy=True)
    gc.collect()
    before = device_memory(), host_memory()
    soak(engine, xs, want, calls=CALLS, numpy=True)
    gc.collect()
    grown = device_memory() - before[0], host_memory() - before[1]
    # torch's streams come from a pool of 32, so the second soak may meet streams new to it.
    assert grown[0] <= 256 << 20, f"device memory grew by {grown[0]} bytes"
    assert grown[1] <= 256 << 20, f"host memory grew by {grown[1]} bytes"
    soak(engine, xs, want, calls=50, numpy=True)
    contexts = engine.memory.contexts
    assert contexts <= 32 + 8 + 1, engine.memory


def test_memory_is_flat_on_one_stream(engine: Engine) -> None:
    xs = [x.cuda() for x in inputs()]
    for step in range(200):
        engine(xs[step % KINDS])
    before = device_memory()
    for step in range(2000):
        engine(xs[step * 7 % KINDS])
    assert device_memory() == before
    assert engine.memory.contexts == 1


def test_two_engines_on_two_streams(engine: Engine) -> None:
    torch.manual_seed(1)
    other_model = Mlp().eval()
    other = convert(other_model, data(0))
    x = data(3)
    want, other_want = exact(x), other_model(x).detach()
    streams = [torch.cuda.Stream(), torch.cuda.Stream()]
    for run, stream in zip((engine, other), streams, strict=True):
        with torch.cuda.stream(stream):
            run(x.cuda())
    torch.cuda.synchronize()
    xs = [x.cuda(), x.cuda()]
    torch.cuda.synchronize()
    found = []
    for round_ in range(20):
        for run, stream, x_here in zip((engine, other), streams, xs, strict=True):
            with torch.cuda.stream(stream):
                if round_ == 0 and run is engine:
                    torch.cuda._sleep(SLEEP)
                found.append(run(x_here))
        if round_ == 0:
            streams[1].synchronize()
            assert not streams[0].query(), "the second stream waited for the first"
    torch.cuda.synchronize()
    for y in found[::2]:
        torch.testing.assert_close(y.cpu(), want, **TOLERANCE)
    for y in found[1::2]:
        torch.testing.assert_close(y.cpu(), other_want, **TOLERANCE)


def test_a_shared_workspace(engine: Engine) -> None:
    engine.share_workspace = True
    xs = inputs()
    serial = mlp_engine()
    want = [serial(x.cuda()).cpu() for x in xs]
    soak(engine, xs, want, calls=100, numpy=True)
    memory = engine.memory
    assert memory.workspaces == 1, memory
    assert memory.contexts >= THREADS, memory
    assert memory.workspace == engine.device_memory


def test_runs_that_share_a_workspace_follow_one_another(engine: Engine) -> None:
    engine.share_workspace = True
    slow, fast = torch.cuda.Stream(), torch.cuda.Stream()
    x = data(0).cuda()
    for stream in (slow, fast):
        with torch.cuda.stream(stream):
            engine(x)
    torch.cuda.synchronize()
    with torch.cuda.stream(slow):
        torch.cuda._sleep(SLEEP)
        engine(x)
    with torch.cuda.stream(fast):
        y = engine(x)
    assert not fast.query(), "the second run did not wait for the workspace"
    fast.synchronize()
    torch.testing.assert_close(y.cpu(), exact(x), **TOLERANCE)


def test_futures_of_numpy_calls(engine: Engine) -> None:
    xs = inputs()
    futures = [engine.run_async(x.numpy()) for x in xs]
    for x, future in zip(xs, futures, strict=True):
        torch.testing.assert_close(torch.from_numpy(future.result(60)), exact(x), **TOLERANCE)


def test_futures_of_torch_calls(engine: Engine) -> None:
    x = data(4).cuda()
    engine(x)
    torch.cuda.synchronize()
    torch.cuda._sleep(SLEEP)
    future = engine.run_async(x)
    x.zero_()  # queued behind the run, as after a call
    assert not future.done()
    torch.testing.assert_close(future.result(60).cpu(), exact(data(4)), **TOLERANCE)
    with pytest.raises(RunError, match="takes float32"):
        engine.run_async(x.half())


def test_outputs_given_by_the_caller(engine: Engine) -> None:
    x = data(5).cuda()
    y = engine.empty_outputs(x)
    assert (tuple(y.shape), y.dtype, y.device) == ((4, 8), torch.float32, x.device)
    y.fill_(float("nan"))
    assert engine.run_into(y, x) is y
    torch.testing.assert_close(y.cpu(), exact(x), **TOLERANCE)
    odd = torch.full((33,), float("nan"), device="cuda")[1:].view(4, 8)
    assert odd.data_ptr() % 256
    engine.run_into(odd, x)
    torch.testing.assert_close(odd.cpu(), exact(x), **TOLERANCE)
    for wrong in (y[:3], y.half(), y.cpu(), torch.empty(8, 4, device="cuda").t()):
        with pytest.raises(RunError, match=r"output|torch CUDA tensors"):
            engine.run_into(wrong, x)


def test_profiles_have_contexts_of_their_own() -> None:
    batch = torch.export.Dim("batch", min=1, max=32)
    torch.manual_seed(2)
    model = Mlp().eval()
    engine = convert(
        model,
        data(0),
        dynamic_shapes={"x": {0: batch}},
        profiles=[{"batch": 1}, {"batch": (8, 16, 32)}],
    )
    for rows in (1, 16, 1, 8, 32, 1):
        x = data(rows, rows)
        want = model(x).detach()
        torch.testing.assert_close(engine(x.cuda()).cpu(), want, **TOLERANCE)
        torch.testing.assert_close(torch.from_numpy(engine(x.numpy())), want, **TOLERANCE)
    assert engine.memory.contexts == 4  # two profiles, on torch's stream and on numpy's
    with pytest.raises(RunError, match=r"profile 0: batch 1\.\.1(.|\n)*profile 1: batch 8\.\.32"):
        engine(data(0, 4).cuda())
    xs = [data(seed, (1, 8, 32, 16)[seed % 4]) for seed in range(KINDS)]
    soak(engine, xs, [engine(x.cuda()).cpu() for x in xs], calls=40, numpy=True)


def test_memory_is_given_back() -> None:
    built = mlp_engine()
    xs = [x.numpy() for x in inputs()]

    def once() -> None:
        engine = Engine(built.plan, built.manifest)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(engine, xs))
        engine(data(0).cuda())

    once()
    gc.collect()
    before = device_memory()
    for _ in range(5):
        once()
    gc.collect()
    grown = device_memory() - before
    assert grown <= 16 << 20, f"five engines made and dropped have left {grown} bytes"
