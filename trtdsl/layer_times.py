"""``Profile``: where the time of a run goes, by TensorRT's layers and by PyTorch's modules."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.errors import RunError
from trtdsl.tensorrt_api import import_tensorrt

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["LayerTime", "Profile", "make_recorder", "measure", "module_of"]

_NAME = re.compile(r"([\w.]+)/[\w./]+")
_WARM_UPS = 3


@dataclass(frozen=True, kw_only=True)
class LayerTime:
    """A layer of the engine, the module that it computes, and the median of its times in ms.

    A layer that TensorRT has fused counts for the module it begins with; a region of its graph
    compiler for the module that has all of it. ``module`` is ``""`` for the model itself.
    """

    name: str
    module: str
    milliseconds: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The times of an engine's layers, in the order in which they run, over ``runs`` runs."""

    layers: tuple[LayerTime, ...]
    runs: int

    @property
    def milliseconds(self) -> float:
        """The sum of all layers' times."""
        return sum(layer.milliseconds for layer in self.layers)

    def modules(self, depth: int | None = None) -> dict[str, float]:
        """Milliseconds by module, the slowest first; with ``depth``, by the module so far down."""
        sums: dict[str, float] = {}
        for layer in self.layers:
            parts = layer.module.split(".") if layer.module else []
            module = ".".join(parts[:depth])
            sums[module] = sums.get(module, 0.0) + layer.milliseconds
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data: runs, and the times in milliseconds by layer and by module."""
        return {
            "runs": self.runs,
            "milliseconds": self.milliseconds,
            "layers": [
                {"name": x.name, "module": x.module, "milliseconds": x.milliseconds}
                for x in self.layers
            ],
            "modules": self.modules(),
        }

    def to_chrome_trace(self) -> dict[str, Any]:
        """One run for chrome://tracing and https://ui.perfetto.dev: modules nest, layers below."""
        return {"traceEvents": list(self._events()), "displayTimeUnit": "ms"}

    def _events(self) -> Iterator[dict[str, Any]]:
        start = 0.0
        for tid, name in enumerate(("modules", "layers")):
            named = {"name": "thread_name", "ph": "M", "pid": 0, "tid": tid}
            yield {**named, "args": {"name": name}}
        for layer in self.layers:
            duration = layer.milliseconds * 1000
            both = {"ph": "X", "ts": start, "dur": duration, "pid": 0}
            yield {"name": layer.module or "model", "cat": "module", "tid": 0, **both}
            yield {"name": layer.name, "cat": "layer", "tid": 1, **both}
            start += duration

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table

        modules = [(name or "(model)", ms) for name, ms in self.modules().items()]
        layers = [(x.name, x.milliseconds) for x in self.layers]
        tables = []
        for title, rows in (("module", modules), ("layer", layers)):
            table = Table(title_justify="left")
            table.add_column(title, overflow="fold")
            for header in ("ms", "share"):
                table.add_column(header, justify="right")
            for name, ms in [*rows, ("all", self.milliseconds)]:
                share = ms / self.milliseconds if self.milliseconds else 0.0
                table.add_row(_escaped(name), f"{ms:.4f}", f"{share:.1%}")
            tables.append(table)
        return Group(*tables)

    def __str__(self) -> str:
        lines = [f"{ms:10.4f} ms  {name or '(model)'}" for name, ms in self.modules().items()]
        head = f"{self.milliseconds:.4f} ms in {len(self.layers)} layers, {self.runs} runs"
        return "\n".join([head, *lines])


def module_of(name: str) -> str:
    """The path of the PyTorch module that a layer of an engine computes, by the layer's name."""
    modules = [found.group(1).split(".") for found in _NAME.finditer(name.replace("...", " "))]
    if not modules:
        return ""
    if "ForeignNode" not in name:
        return ".".join(modules[0])
    common = 0
    while all(len(m) > common and m[common] == modules[0][common] for m in modules):
        common += 1
    return ".".join(modules[0][:common])


def make_recorder() -> Any:
    """A ``tensorrt.IProfiler`` that keeps what it is told: ``recorder.times`` is by layer, ms."""
    trt = import_tensorrt()

    class Recorder(trt.IProfiler):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times: dict[str, list[float]] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times.setdefault(layer_name, []).append(ms)

    return Recorder()


def measure(run: Callable[[], Any], recorder: Any, runs: int) -> Profile:
    """Run and take the median time of each layer; the first runs, which are slower, do not count.

    Errors: RunError when ``runs`` is below 1, or TensorRT reports no layer.
    """
    if runs < 1:
        raise RunError(f"a profile needs at least 1 run, not {runs}")
    for _ in range(_WARM_UPS):
        run()
    recorder.times.clear()
    for _ in range(runs):
        run()
    if not recorder.times:
        raise RunError("TensorRT reported the time of no layer")
    layers = tuple(
        LayerTime(name=name, module=module_of(name), milliseconds=_each(times, runs))
        for name, times in recorder.times.items()
    )
    return Profile(layers=layers, runs=runs)


def _each(times: list[float], runs: int) -> float:
    """Milliseconds of a run: the layers of a loop, or of one name, are reported several times."""
    return statistics.median(times) * (len(times) / runs)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
