"""One engine on several GPUs of a host, behind one queue of calls."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.errors import RunError, explain

if TYPE_CHECKING:
    from trtdsl.engine import Engine

__all__ = ["Replicas"]

_THREADS = 2
"""For each GPU: while one call computes, the other's copies are under way."""

_CUDA = 2
"""DLPack's number for such devices: kDLCUDA."""

_Work = tuple[tuple[Any, ...], dict[str, Any], Future[Any]]


class Replicas:
    """Serves calls with numpy arrays from whichever GPU is free first.

    Calls with torch tensors run on the GPU that the tensors are on, on its current stream, as they
    would on one engine. Used as a context manager, or closed, it lets go of the GPUs.
    """

    def __init__(self, engine: Engine, devices: Sequence[int]) -> None:
        """Errors: RunError for no device or one given twice; else as ``Engine.on``."""
        if not devices or len(set(devices)) != len(devices):
            raise RunError(explain(f"replicas on the GPUs {list(devices)}", fix="give each once"))
        here = int(engine.device.removeprefix("cuda:"))
        self._engines = {i: engine if i == here else engine.on(i) for i in devices}
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()  # no call enters the queue behind its end
        self._threads = [
            threading.Thread(target=_serve, args=(self._queue, replica), daemon=True)
            for replica in self._engines.values()
            for _ in range(_THREADS)
        ]
        for thread in self._threads:
            thread.start()
        # Threads that wait for work hold the queue and the engines, not these replicas.
        self._stop = weakref.finalize(self, _stop, self._queue, len(self._threads))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs of one call. Errors: as of an engine's call."""
        return self.run_async(*args, **kwargs).result()

    def run_async(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of the outputs; arrays must not change before it is done."""
        index = _gpu_of([*args, *kwargs.values()])
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise RunError(explain("these replicas were closed", fix="engine.replicate(...)"))
            if index is None:
                self._queue.put((args, kwargs, future))
                return future
            engine = self._on(index)
        return engine.run_async(*args, **kwargs)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engine of each GPU, in the order of the devices; none once these are closed."""
        return tuple(self._engines.values())

    def close(self) -> None:
        """Finish the calls in the queue, take no more, end the threads, and forget the engines."""
        with self._lock:
            self._closed = True
            self._stop()
        for thread in self._threads:
            thread.join()
        self._engines.clear()

    def __enter__(self) -> Replicas:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on(self, index: int) -> Engine:
        if index not in self._engines:
            known = ", ".join(f"cuda:{i}" for i in self._engines)
            raise RunError(
                explain(
                    f"a tensor is on cuda:{index}, and the replicas are on {known}",
                    fix=f"replicate onto cuda:{index} too, or give numpy arrays",
                )
            )
        return self._engines[index]


def _serve(work: queue.SimpleQueue[_Work | None], engine: Callable[..., Any]) -> None:
    while (item := work.get()) is not None:
        args, kwargs, future = item
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(engine(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        del item, args, kwargs, future  # what a call holds must not stay until the next


def _stop(work: queue.SimpleQueue[_Work | None], threads: int) -> None:
    for _ in range(threads):
        work.put(None)


def _gpu_of(values: Sequence[Any]) -> int | None:
    """The GPU that the first array on one among some arguments, nested ones too, is on."""
    for value in values:
        if isinstance(value, dict):
            found = _gpu_of(list(value.values()))
        elif isinstance(value, list | tuple):
            found = _gpu_of(value)
        elif is_dataclass(value):
            found = _gpu_of([getattr(value, field.name) for field in fields(value)])
        else:
            found = _own_gpu(value)
        if found is not None:
            return int(found)
    return None


def _own_gpu(value: Any) -> int | None:
    """The GPU that an array of any library is on, by torch's word for it or by DLPack's."""
    if hasattr(value, "is_cuda"):
        return value.device.index if value.is_cuda else None
    if not hasattr(value, "__dlpack_device__"):
        return None
    kind, index = value.__dlpack_device__()
    return int(index) if int(kind) == _CUDA else None
