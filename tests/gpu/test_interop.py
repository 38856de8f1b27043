"""torch, pycuda and the runtime in one process, in any order, and without torch at all."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.gpu.mlp import TOLERANCE, data, exact, mlp_engine
from trtdsl.errors import RunError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycuda.*"),
]

ROUNDS = 3


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """An engine file, an input and its right answer."""
    mlp_engine().save(tmp_path / "m.engine")
    np.save(tmp_path / "x.npy", data(0).numpy())
    np.save(tmp_path / "y.npy", exact(data(0)).numpy())
    return tmp_path


PRELUDE = """
import sys, threading, warnings
warnings.simplefilter("ignore")
import numpy as np
place = sys.argv[1]
x, want = np.load(place + "/x.npy"), np.load(place + "/y.npy")
def check(y): np.testing.assert_allclose(y, want, rtol=1e-3, atol=3e-3)
"""


def run(script: str, place: Path) -> str:
    """What a process of its own prints; its errors where it fails."""
    code = PRELUDE + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", code, str(place)], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PyCUDA" not in done.stderr, done.stderr  # what pycuda failed to clean up
    return done.stdout.strip()


def test_numpy_without_torch(saved: Path) -> None:
    pytest.importorskip("pycuda.driver")
    script = """
        sys.modules["torch"] = sys.modules["onnx"] = None
        import trtdsl
        engine = trtdsl.load(place + "/m.engine")
        for _ in range(3): check(engine(x))
        engine.graphs = True
        for _ in range(3): check(engine(x))
        engine.share_workspace = True
        futures = [engine.run_async(x) for _ in range(20)]
        for future in futures: check(future.result())
        threads = [threading.Thread(target=lambda: check(engine(x))) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        profile = engine.profile(x, runs=2)
        foreign = [name for name in sys.modules if name.startswith(("torch.", "onnx."))]
        print(len(profile.layers) > 0, foreign)
    """
    assert run(script, saved) == "True []"


ORDERS = {
    "pycuda first": "import pycuda.driver\nimport torch",
    "torch first": "import torch\nimport pycuda.driver",
    "torch started first": "import torch\ntorch.zeros(1).cuda()\nimport pycuda.driver",
    "autoprimaryctx first": "import pycuda.autoprimaryctx\nimport torch",
    "autoprimaryctx last": "import torch\ntorch.zeros(1).cuda()\nimport pycuda.autoprimaryctx",
    "engine first": "import trtdsl\ntrtdsl.load(place + '/m.engine')(x)\nimport torch",
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("copies", ["pycuda", "torch"])
def test_one_process_in_any_order(saved: Path, order: str, copies: str) -> None:
    pytest.importorskip("pycuda.driver")
    body = f"""
import trtdsl
engine = trtdsl.load(place + "/m.engine", host_copies="{copies}")
t = torch.from_numpy(x).cuda()
for _ in range({ROUNDS}):
    check(engine(x))
    check(engine(t).cpu().numpy())
    check((torch.relu(engine(t)) + 0).cpu().numpy())
def work():
    for _ in range({ROUNDS}):
        check(engine(x)); check(engine(t).cpu().numpy())
    done.append(1)
done = []
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(done))
"""
    assert run(ORDERS[order] + body, saved) == "4"


@pytest.mark.parametrize("first", ["pycuda", "torch"])
def test_pycudas_own_context(saved: Path, first: str) -> None:
    """``pycuda.autoinit`` makes a context apart from torch's: numpy works, tensors are told."""
    pytest.importorskip("pycuda.driver")
    imports = ["import pycuda.autoinit", "import torch\ntorch.zeros(1).cuda()"]
    script = "\n".join(imports if first == "pycuda" else imports[::-1])
    script += f"""
import trtdsl
from trtdsl.errors import RunError
engine = trtdsl.load(place + "/m.engine")
for _ in range({ROUNDS}): check(engine(x))
before = torch.cuda.current_device()
try:
    check(engine(torch.from_numpy(x).cuda()).cpu().numpy())
except RunError as error:
    assert "another CUDA context" in str(error), error
import pycuda.gpuarray as gpuarray
a = gpuarray.to_gpu(x)  # pycuda's own context is still current, and works
check(engine(a.get()))
print("done")
"""
    assert run(script, saved) == "done"


def test_a_fork_is_refused(saved: Path) -> None:
    script = """
        import os
        import trtdsl
        engine = trtdsl.load(place + "/m.engine")
        check(engine(x))
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            words = []
            for attempt in (lambda: engine(x), lambda: trtdsl.load(place + "/m.engine")):
                try: attempt()
                except trtdsl.TrtdslError as error: words.append(str(error))
            good = len(words) == 2 and "forked" in words[0] and "fork" in words[1]
            print("refused" if good else words, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        check(engine(x))
        print("parent goes on")
    """
    assert run(script, saved).split("\n") == ["refused", "parent goes on"]


class Interface:
    """An array that only has ``__cuda_array_interface__``, as numba's do."""

    def __init__(self, x: torch.Tensor, stream: int | None = None) -> None:
        self._x = x
        self._stream = stream

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._x.__cuda_array_interface__, "version": 3, "stream": self._stream}


class Dlpack:
    """An array that only has ``__dlpack__``, as cupy's and jax's do."""

    def __init__(self, x: torch.Tensor) -> None:
        self._x = x

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._x.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self._x.__dlpack_device__()


@pytest.mark.parametrize("kind", [Interface, Dlpack])
def test_arrays_of_other_libraries(kind: Any) -> None:
    x = data(1).cuda()
    for _ in range(2):
        y = mlp_engine()(kind(x))
        assert isinstance(y, torch.Tensor)
        torch.testing.assert_close(y.cpu(), exact(x), **TOLERANCE)
    with pytest.raises(RunError, match="takes float32"):
        mlp_engine()(kind(x.half()))


def test_the_stream_of_an_interface_is_waited_for() -> None:
    source = data(2).cuda()
    x = torch.zeros(4, 16, device="cuda")
    mlp_engine()(Interface(x))
    torch.cuda.synchronize()
    producer, consumer = torch.cuda.Stream(), torch.cuda.Stream()
    with torch.cuda.stream(producer):
        torch.cuda._sleep(100_000_000)
        x.copy_(source)
    with torch.cuda.stream(consumer):
        y = mlp_engine()(Interface(x, producer.cuda_stream))
    consumer.synchronize()
    torch.testing.assert_close(y.cpu(), exact(data(2)), **TOLERANCE)


def test_arrays_on_the_cpu_come_back_as_numpy() -> None:
    y = mlp_engine()(Dlpack(data(3)))
    assert isinstance(y, np.ndarray)
    torch.testing.assert_close(torch.from_numpy(y), exact(data(3)), **TOLERANCE)


def test_pycudas_arrays(saved: Path) -> None:
    pytest.importorskip("pycuda.driver")
    script = """
        import pycuda.autoprimaryctx
        import pycuda.gpuarray as gpuarray
        import trtdsl
        engine = trtdsl.load(place + "/m.engine")
        a = gpuarray.to_gpu(x)
        for _ in range(2): check(engine(a).cpu().numpy())
        print("done")
    """
    assert run(script, saved) == "done"


def test_page_locked_and_large_arrays() -> None:
    """More than a chunk: the copies go through several threads, and results are lent."""
    from tests.gpu.mlp import convert
    from trtdsl.runtime.page_locked import page_locked

    rows = 1 << 17  # 8 MiB in, 8 MiB out
    generator = np.random.default_rng(0)
    x = generator.standard_normal((rows, 16), np.float32)
    engine = convert(torch.nn.ReLU(), torch.from_numpy(x))
    locked = page_locked(x.shape, x.dtype)
    locked[:] = x
    want = np.maximum(x, 0)
    answers = [engine(locked if i % 2 else x) for i in range(6)]
    for y in answers:
        np.testing.assert_array_equal(y, want)
    places = {y.ctypes.data for y in answers}
    assert len(places) == len(answers), "two results lie in the same memory"
    np.testing.assert_array_equal(engine(-locked), np.maximum(-x, 0))
    for y in answers:
        np.testing.assert_array_equal(y, want)
