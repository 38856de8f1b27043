"""Contexts by profile, shared workspaces and captured runs, over a driver without a GPU."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tests import standin
from tests.engine_parts import F32, Context, HostMover, Trt
from tests.fake_cuda import FakeCuda, install
from trtdsl import tensorrt_api
from trtdsl.errors import RunError
from trtdsl.runtime import device, graphs
from trtdsl.runtime.contexts import Contexts
from trtdsl.runtime.host_side import HostRunner
from trtdsl.runtime.lane import Lane
from trtdsl.types import DimRange

TWO = dataclasses.replace(
    F32,
    profiles=({"n": DimRange(min=1, opt=1, max=1)}, {"n": DimRange(min=8, opt=16, max=32)}),
    symbols={"n": DimRange(min=1, opt=1, max=32)},
)


class Graphed(Context):
    """A context that a capture records instead of running it."""

    owner: GraphedTrt

    def __init__(self, owner: GraphedTrt) -> None:
        super().__init__(owner)
        self.runs = 0

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        self.owner.calls.append(f"profile {profile} on {stream}")
        return self.owner.accept != "set_optimization_profile_async"

    def execute_async_v3(self, stream: int) -> bool:
        self.runs += 1
        captured = self.owner.cuda.captured
        if captured is None:
            return super().execute_async_v3(stream)
        if self.owner.accept == "capture":
            return False
        addresses, shapes = dict(self.addresses), dict(self.shapes)

        def step() -> None:
            now = self.addresses, self.shapes
            self.addresses, self.shapes = addresses, shapes
            Context.execute_async_v3(self, stream)
            self.addresses, self.shapes = now

        captured.append(step)
        return True


class GraphedTrt(Trt):
    def __init__(self, cuda: FakeCuda, accept: str = "") -> None:
        super().__init__(accept)
        self.cuda = cuda
        self.made: list[Graphed] = []

    def create_execution_context(self) -> Graphed:
        self.made.append(Graphed(self))
        return self.made[-1]

    create_execution_context_without_device_memory = create_execution_context


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    yield install(monkeypatch)
    gc.collect()  # what a failed test has left is destroyed by this driver, not by another


def nowhere(index: int, size: int) -> tuple[int, object]:
    raise AssertionError(f"output {index} wants {size} bytes")


def run(lane: Lane, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    lane.set_shapes([x.shape])
    y = np.empty_like(x)
    lane.run([x.ctypes.data], [y.ctypes.data])
    return y


def test_tensorrts_objects_are_freed_on_their_device(
    cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT leaves the device current that it frees on, and another thread's may be any."""
    current: list[int] = []
    freed: list[tuple[str, list[int]]] = []

    @contextmanager
    def on(index: int) -> Iterator[None]:
        current.append(index)
        yield
        current.pop()

    class FreedContext(Context):
        def __del__(self) -> None:
            freed.append(("context", list(current)))

    class FreedTrt(Trt):
        def create_execution_context(self) -> FreedContext:
            return FreedContext(self)

        def __del__(self) -> None:
            freed.append(("engine", list(current)))

    monkeypatch.setattr(device, "primary_context", on)
    contexts = Contexts(FreedTrt(), F32, 3)
    made = contexts.make(0, 7, nowhere)
    del contexts
    assert freed == []
    del made
    gc.collect()
    assert sorted(freed) == [("context", [3]), ("engine", [3])]


def test_each_profile_gets_a_context_and_keeps_it(cuda: FakeCuda) -> None:
    trt = GraphedTrt(cuda)
    lane = Lane(Contexts(trt, TWO, 0), 7, nowhere)
    for n in (1, 16, 1, 16, 32):
        x = np.arange(n, dtype=np.float32)
        np.testing.assert_array_equal(run(lane, x), x)
    assert [c for c in trt.calls if c.startswith("profile")] == ["profile 1 on 7"]
    assert [context.runs for context in trt.made] == [2, 3]


def test_shapes_between_the_profiles_print_all_ranges(cuda: FakeCuda) -> None:
    lane = Lane(Contexts(GraphedTrt(cuda), TWO, 0), 7, nowhere)
    with pytest.raises(RunError, match=r"n=5(.|\n)*profile 0: n 1\.\.1\n(.|\n)*n 8\.\.32"):
        lane.set_shapes([(5,)])
    assert lane.input_shapes is None


def test_a_refused_profile_is_an_error(cuda: FakeCuda) -> None:
    trt = GraphedTrt(cuda, "set_optimization_profile_async")
    with pytest.raises(RunError, match="refused the optimization profile 1"):
        Lane(Contexts(trt, TWO, 0), 7, nowhere).set_shapes([(8,)])


def test_a_shared_workspace_makes_streams_take_turns(cuda: FakeCuda) -> None:
    trt = GraphedTrt(cuda)
    contexts = Contexts(trt, F32, 0, shared=True)
    first, second = Lane(contexts, 7, nowhere), Lane(contexts, 8, nowhere)
    x = np.ones(3, np.float32)
    for lane in (first, first, second, first):
        np.testing.assert_array_equal(run(lane, x), x)
    ordered = ["record on 7", "record on 7", "8 waits", "record on 8", "7 waits", "record on 7"]
    assert cuda.log == ordered
    addresses = {context.device_memory for context in trt.made}  # type: ignore[attr-defined]
    assert len(addresses) == 1
    assert addresses < cuda.alive.keys()


def test_apart_streams_wait_for_nothing(cuda: FakeCuda) -> None:
    contexts = Contexts(GraphedTrt(cuda), F32, 0)
    for stream in (7, 8):
        run(Lane(contexts, stream, nowhere), np.ones(3, np.float32))
    assert cuda.log == []


@pytest.mark.parametrize(("shared", "workspaces"), [(False, 2), (True, 1)])
def test_memory_counts_what_is_alive(cuda: FakeCuda, shared: bool, workspaces: int) -> None:
    contexts = Contexts(GraphedTrt(cuda), F32, 0, shared=shared)
    assert (contexts.memory(500).contexts, contexts.memory(500).total) == (0, 500)
    lanes = [Lane(contexts, stream, nowhere) for stream in (7, 8)]
    for lane in lanes:
        run(lane, np.ones(3, np.float32))
    memory = contexts.memory(500)
    assert (memory.contexts, memory.workspaces, memory.workspace) == (2, workspaces, 1024)
    assert memory.total == 500 + 1024 * workspaces
    del lanes, lane
    assert contexts.memory(500).contexts == 0


def test_no_memory_for_a_workspace(cuda: FakeCuda) -> None:
    cuda.refused = "cuMemAlloc_v2"
    lane = Lane(Contexts(GraphedTrt(cuda), F32, 0, shared=True), 7, nowhere)
    with pytest.raises(RunError, match=r"refused cuMemAlloc_v2: out of memory \(error 2\)"):
        lane.set_shapes([(2,)])


@pytest.mark.parametrize("shared", [False, True])
def test_graphs_replay_and_answers_stay(cuda: FakeCuda, shared: bool) -> None:
    trt = GraphedTrt(cuda)
    call = HostRunner(Contexts(trt, F32, 0, shared=shared), HostMover, graphs=True)
    data = [np.arange(n, dtype=np.float32) + i for i, n in enumerate((4, 4, 2, 0, 4, 2))]
    answers = [call([x])[0] for x in data]
    for x, y in zip(data, answers, strict=True):
        np.testing.assert_array_equal(x, y)
    # A run before the capture and one in it, for each shape; all others are launches.
    assert [context.runs for context in trt.made] == [2, 2, 2]
    assert sum(entry.startswith("launch") for entry in cuda.log) == len(data)
    assert any(entry.startswith("record") for entry in cuda.log) is shared


def test_graphs_used_least_go_first(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MAX_GRAPHS", 2)
    trt = GraphedTrt(cuda)
    contexts = Contexts(trt, F32, 0)
    call = HostRunner(contexts, HostMover, graphs=True)
    for n in (1, 2, 1, 3, 1, 2):  # 3 drives 2 out, and 2 comes anew
        x = np.full(n, n, np.float32)
        np.testing.assert_array_equal(call([x])[0], x)
    assert [context.shapes["x"] for context in trt.made] == [(1,), (2,), (3,), (2,)]
    del trt.made[:]
    assert contexts.memory(0).contexts == 2


class Places:
    """Callers' tensors of four floats at multiples of 256 bytes."""

    def __init__(self, count: int) -> None:
        block = np.zeros(64 * (count + 1), np.float32)
        first = -block.ctypes.data % 256 // 4
        self.at = [block[first + 64 * i :][:4] for i in range(count)]

    def run(self, lane: Lane, source: int, target: int, value: float) -> bool:
        """Whether such places have a graph by now, which then gave the answer."""
        x, y = self.at[source], self.at[target]
        x[:], y[:] = value, -1
        captured = lane.capture([(4,)])
        if not captured.run_at((x.ctypes.data, y.ctypes.data)):
            return False
        np.testing.assert_array_equal(y, x)
        return True


def test_places_that_come_again_get_a_graph_of_their_own(cuda: FakeCuda) -> None:
    trt, places = GraphedTrt(cuda), Places(4)
    lane = Lane(Contexts(trt, F32, 0), 7, nowhere)
    found = [places.run(lane, *pair, 1.0 + i) for i, pair in enumerate([(0, 1), (0, 2)] * 3)]
    assert found == [False, False, True, True, True, True]
    # The graph of own buffers, and one of each pair: a run before the capture, and one in it.
    assert [context.runs for context in trt.made] == [2, 2, 2]
    assert sum(entry.startswith("launch") for entry in cuda.log) == 2
    odd = places.at[3][1:]
    assert not any(lane.capture([(4,)]).run_at((odd.ctypes.data, 256)) for _ in range(3))


@pytest.mark.parametrize(
    ("flags", "busy", "waits"),
    [(0, 7, True), (1, 7, True), (0, 0, True), (1, 0, False)],
    ids=["itself", "itself-alone", "legacy", "legacy-alone"],
)
def test_no_graph_is_made_while_the_stream_has_to_wait(
    cuda: FakeCuda, flags: int, busy: int, waits: bool
) -> None:
    def get_flags(stream: Any, place: Any) -> int:
        place._obj.value = flags
        return 0

    lane, places = Lane(Contexts(GraphedTrt(cuda), F32, 0), 7, nowhere), Places(2)
    cuda.cuStreamGetFlags = get_flags  # type: ignore[attr-defined]
    cuda.cuStreamQuery = lambda stream: 600 * ((stream.value or 0) == busy)  # type: ignore[attr-defined]
    assert any(places.run(lane, 0, 1, 1.0) for _ in range(4)) != waits
    del cuda.cuStreamQuery
    assert places.run(lane, 0, 1, 2.0)


def test_a_graph_of_places_that_cannot_be_made_is_done_without(cuda: FakeCuda) -> None:
    lane, places = Lane(Contexts(GraphedTrt(cuda), F32, 0), 7, nowhere), Places(2)
    tried = []

    def refused(_: Any) -> Any:
        tried.append(1)
        raise RunError("out of memory")

    lane.capture([(4,)])._record = refused  # type: ignore[assignment]
    with pytest.warns(UserWarning, match="no graph of theirs is made: out of memory"):
        assert not any(places.run(lane, 0, 1, 1.0) for _ in range(4))
    assert len(tried) == 1


def test_places_make_room_for_others_that_are_used_often(
    cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "MAX_PLACES", 1)
    monkeypatch.setattr(graphs, "_OFTEN", 5)
    lane, places = Lane(Contexts(GraphedTrt(cuda), F32, 0), 7, nowhere), Places(3)
    assert [places.run(lane, 0, 1, 1.0) for _ in range(3)] == [False, True, True]
    assert [places.run(lane, 0, 2, 2.0) for _ in range(6)] == [False] * 4 + [True] * 2
    assert not places.run(lane, 0, 1, 3.0)


def test_what_cannot_be_captured_is_told_and_leaves_nothing(cuda: FakeCuda) -> None:
    call = HostRunner(Contexts(GraphedTrt(cuda, "capture"), F32, 0), HostMover, graphs=True)
    with pytest.raises(RunError, match="refused the run for inputs of shapes"):
        call([np.ones(2, np.float32)])
    assert cuda.captured is None
    gc.collect()
    assert not any(isinstance(each, list) for each in cuda.alive.values())  # no graph is left


def test_everything_made_is_destroyed(cuda: FakeCuda) -> None:
    call = HostRunner(Contexts(GraphedTrt(cuda), F32, 0, shared=True), HostMover, graphs=True)
    for n in (1, 2, 3):
        call([np.ones(n, np.float32)])
    assert cuda.alive
    del call
    assert cuda.alive == {}


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_every_release_lends_a_workspace(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = standin.load(version)
    monkeypatch.setattr("trtdsl.tensorrt_api.settings.import_tensorrt", lambda: trt)
    engine = trt.ICudaEngine.release.new("ICudaEngine")
    context = tensorrt_api.context_without_memory(engine)
    tensorrt_api.set_workspace(context, 4096, 512)
    (made,) = engine.calls
    if version.startswith("8."):
        assert made.method == "create_execution_context_without_device_memory"
    else:  # which deprecate that name, and 11 has it no more
        assert made.method == "create_execution_context"
        assert made.args["strategy"].name == "USER_MANAGED"
    if context.calls:
        assert context.calls == [("set_device_memory", {"memory": 4096, "size": 512})]
    else:
        assert context.state["device_memory"] == 4096
