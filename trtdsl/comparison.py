"""``compare``: PyTorch, trtdsl and the ONNX path side by side, in error, layers, time and size."""

from __future__ import annotations

import copy
import io
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trtdsl.answers import TOLERANCE, errors, moved, pytorch_answer
from trtdsl.errors import ConversionError, TrtdslError, UnavailableError, explain
from trtdsl.render import size_text

if TYPE_CHECKING:
    import torch
    from rich.console import Group
    from rich.table import Table
    from torch import nn

    from trtdsl.engine import Engine
    from trtdsl.module_errors import ModuleError
    from trtdsl.network import Network
    from trtdsl.reference import Reference

__all__ = ["Comparison", "Row", "compare"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to run the module; a field is None where there is nothing to say.

    ``relative_error`` is the largest difference over the largest expected magnitude, of the output
    where that is worst (the difference itself where nothing but zeros is expected).
    ``milliseconds`` is the median of a call. ``size`` in bytes: parameters and buffers, weights of
    the network, plan, or ONNX file. ``failure`` is why this way could not be taken.
    """

    path: str
    absolute_error: float | None = None
    relative_error: float | None = None
    layers: int | None = None
    milliseconds: float | None = None
    size: int | None = None
    failure: str | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What ``compare`` found; ``print`` it, or read ``pytorch``, ``trtdsl`` and ``onnx``.

    ``modules`` are there if they were asked for.
    """

    model: str
    device: str
    tolerance: float
    pytorch: Row
    trtdsl: Row
    onnx: Row
    modules: tuple[ModuleError, ...] = ()

    @property
    def rows(self) -> tuple[Row, Row, Row]:
        return self.pytorch, self.trtdsl, self.onnx

    @property
    def ok(self) -> bool:
        """Whether trtdsl's relative error is within ``tolerance``."""
        error = self.trtdsl.relative_error
        return error is not None and error <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data, times in milliseconds and sizes in bytes."""
        return {
            "model": self.model,
            "device": self.device,
            "tolerance": self.tolerance,
            "ok": self.ok,
            "rows": [asdict(row) for row in self.rows],
            "modules": [asdict(module) for module in self.modules],
        }

    def table(self) -> Table:
        """The rows as a table for the terminal."""
        from rich.markup import escape
        from rich.table import Table

        verdict = "within" if self.ok else "OUTSIDE OF"
        made = Table(
            title=escape(f"{self.model} on {self.device}"),
            caption=f"trtdsl is {verdict} the tolerance, relative error {self.tolerance:g}",
        )
        made.add_column("path")
        for column in ("largest error", "relative", "layers", "ms a call", "size"):
            made.add_column(column, justify="right")
        for row in self.rows:
            made.add_row(escape(row.path), *_cells(row))
            if row.failure:
                made.add_row(f"[red]{escape(row.failure)}[/]")
        return made

    def modules_table(self) -> Table:
        """The modules as a table; in red where the tolerance is passed."""
        from rich.markup import escape
        from rich.table import Table

        made = Table(
            title="what modules give, in order",
            caption="in red beyond the tolerance; the first one is where it begins",
        )
        for column in ("module", "last operator", "line"):
            made.add_column(column, overflow="fold")
        made.add_column("relative", justify="right")
        for x in self.modules:
            place = x.line.partition(",")[0]
            cells = (x.module or "(the model)", x.operator, Path(place).name)
            style = "red" if x.relative_error > self.tolerance else None
            made.add_row(*map(escape, cells), f"{x.relative_error:.2e}", style=style)
        return made

    def __rich__(self) -> Group:
        from rich.console import Group

        return Group(self.table(), *([self.modules_table()] if self.modules else []))

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=110, color_system=None)
        console.print(self)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return text.rstrip("\n")


def compare(
    model: nn.Module,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    opt: Mapping[str, int] | None = None,
    precision: str | None = None,
    backend: Literal["auto", "tensorrt", "reference"] = "auto",
    tolerance: float | None = None,
    workspace: int | None = None,
    optimization_level: int | None = None,
    repeats: int = 20,
    modules: bool = False,
) -> Comparison:
    """Run a module with PyTorch, by trtdsl and by way of ONNX, on the same inputs.

    Where TensorRT and a GPU are, both ways end in TensorRT, with the same options; elsewhere
    trtdsl's is the reference and the ONNX file runs in onnxruntime, in the module's own precision.

    Inputs: as of ``trtdsl.convert``, and
        tolerance: the largest relative error of trtdsl's answer; by default 1e-4, with ``"tf32"``
            and ``"fp16"`` 1e-2, with ``"bf16"`` 5e-2.
        repeats: calls that are timed; the median is given.
        modules: also say how far what each module gives is off, against the network in float32 as
            PyTorch evaluates it. That takes a further engine, whose outputs these are: what
            TensorRT fuses differently there may hide what is wrong. The reference in float32 is
            that network itself, and has no error.
    Errors: as of ``convert``. Where the ONNX path fails, its row says why.
    """
    from trtdsl.build import BuildOptions
    from trtdsl.conversion import choose
    from trtdsl.export.flat import given_inputs

    _refuse_other_models(model)
    _require_numbers(tolerance, repeats)
    limits = {"workspace": workspace, "optimization_level": optimization_level}
    options = BuildOptions.of(precision, {**limits, "progress": False})
    given, named = given_inputs(model, args, kwargs)
    on_gpu = choose(backend)[0] == "tensorrt"
    call = _Call(device=_device(on_gpu), args=given, kwargs=named, repeats=repeats)
    shapes = {"dynamic_shapes": dynamic_shapes, "opt": opt}
    network, ours = _convert(model, call, shapes, on_gpu, options)
    expected = call.expected(model)
    return Comparison(
        model=type(model).__name__,
        device=str(call.device),
        tolerance=TOLERANCE[precision] if tolerance is None else tolerance,
        pytorch=_pytorch_row(model, call),
        trtdsl=_trtdsl_row(network, ours, call, expected),
        onnx=_onnx_row(model, shapes, on_gpu, options, call, expected),
        modules=_modules(model, call, shapes, on_gpu, options, network) if modules else (),
    )


@dataclass(frozen=True, kw_only=True)
class _Call:
    """The inputs, on the device where everything runs, and how often to time them."""

    device: torch.device
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    repeats: int

    def answer(self, run: Callable[..., Any]) -> Any:
        args, kwargs = moved((self.args, self.kwargs), self.device)
        return run(*args, **kwargs)

    def expected(self, run: Callable[..., Any]) -> Any:
        """PyTorch's own answer, where the model is."""
        return pytorch_answer(run, self.args, self.kwargs)

    def milliseconds(self, run: Callable[..., Any]) -> float:
        """The median time of a call: between CUDA events on a GPU, else by the clock."""
        import torch

        args, kwargs = moved((self.args, self.kwargs), self.device)
        times = []
        with torch.no_grad():
            run(*args, **kwargs)
            for _ in range(self.repeats):
                timer = _cuda_time if self.device.type == "cuda" else _clock_time
                times.append(timer(lambda: run(*args, **kwargs)))
        return statistics.median(times)


def _cuda_time(run: Callable[[], Any]) -> float:
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def _clock_time(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def _require_numbers(tolerance: float | None, repeats: int) -> None:
    number = isinstance(tolerance, int | float) and tolerance >= 0
    if tolerance is not None and not number:
        fix = "give a relative error, such as 1e-4"
        raise ConversionError(explain(f"tolerance is {tolerance!r}", fix=fix))
    if type(repeats) is not int or repeats < 1:
        fix = "give the number of timed calls, 1 or more"
        raise ConversionError(explain(f"repeats is {repeats!r}", fix=fix))


def _refuse_other_models(model: Any) -> None:
    import torch

    if not isinstance(model, torch.nn.Module):
        kind = type(model).__name__
        raise ConversionError(
            explain(
                f"compare runs the torch.nn.Module itself beside trtdsl, not {kind}",
                fix="give the module; trtdsl.convert takes an ExportedProgram too",
            )
        )


def _device(on_gpu: bool) -> torch.device:
    import torch

    if not on_gpu:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UnavailableError(
            explain(
                f"compare runs PyTorch beside TensorRT, and torch {torch.__version__} sees no GPU",
                fix='install torch with CUDA, or compare(..., backend="reference")',
            )
        )
    return torch.device("cuda", 0)


def _convert(
    model: nn.Module, call: _Call, shapes: Mapping[str, Any], on_gpu: bool, options: Any
) -> tuple[Network, Engine | Reference]:
    from trtdsl.build import build
    from trtdsl.conversion import trace
    from trtdsl.reference import Reference

    network = trace(model, call.args, call.kwargs, precision=options.precision, **shapes)
    return network, build(network, options) if on_gpu else Reference(network)


def _modules(
    model: nn.Module,
    call: _Call,
    shapes: Mapping[str, Any],
    on_gpu: bool,
    options: Any,
    network: Network,
) -> tuple[ModuleError, ...]:
    from trtdsl.build import build
    from trtdsl.conversion import trace
    from trtdsl.module_errors import module_errors

    def run(showing: Network) -> Any:
        return call.answer(build(showing, options) if on_gpu else showing.evaluate)

    exact = trace(model, call.args, call.kwargs, **shapes)
    return module_errors(
        exact, network, evaluate=lambda x: call.expected(x.evaluate), run=run, error=errors
    )


def _pytorch_row(model: nn.Module, call: _Call) -> Row:
    own = [*model.parameters(), *model.buffers()]
    there = model
    if any(x.device != call.device for x in own):
        there = copy.deepcopy(model).to(call.device)
    return Row(
        path="PyTorch",
        milliseconds=call.milliseconds(there),
        size=sum(x.numel() * x.element_size() for x in own),
    )


def _trtdsl_row(network: Network, ours: Engine | Reference, call: _Call, expected: Any) -> Row:
    from trtdsl.engine import Engine
    from trtdsl.render import count_layers, count_weights

    absolute, relative = errors(call.answer(ours), expected)
    is_engine = isinstance(ours, Engine)
    return Row(
        path=f"trtdsl, {'TensorRT' if is_engine else 'reference'}",
        absolute_error=absolute,
        relative_error=relative,
        layers=ours.num_layers if isinstance(ours, Engine) else count_layers(network),
        milliseconds=call.milliseconds(ours),
        size=len(ours.plan) if isinstance(ours, Engine) else count_weights(network)[1],
    )


def _onnx_row(
    model: nn.Module,
    shapes: Mapping[str, Any],
    on_gpu: bool,
    options: Any,
    call: _Call,
    expected: Any,
) -> Row:
    from trtdsl.oracle import oracle

    path = f"ONNX, {'TensorRT' if on_gpu else 'onnxruntime'}"
    try:
        theirs = oracle(
            model,
            call.args,
            call.kwargs,
            options=options,
            backend="tensorrt" if on_gpu else "onnxruntime",
            **shapes,
        )
        absolute, relative = errors(call.answer(theirs), expected)
        milliseconds = call.milliseconds(theirs)
    except TrtdslError as error:
        return Row(path=path, failure=str(error))
    return Row(
        path=path,
        absolute_error=absolute,
        relative_error=relative,
        layers=theirs.num_layers,
        milliseconds=milliseconds,
        size=theirs.size,
    )


def _cells(row: Row) -> tuple[str, ...]:
    def cell(value: float | None, form: Callable[[Any], str]) -> str:
        return "-" if value is None else form(value)

    return (
        cell(row.absolute_error, "{:.2e}".format),
        cell(row.relative_error, "{:.2e}".format),
        cell(row.layers, "{:,}".format),
        cell(row.milliseconds, "{:.3f}".format),
        cell(row.size, size_text),
    )
