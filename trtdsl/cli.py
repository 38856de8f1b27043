"""The command line: ``trtdsl convert | check | compare | inspect | cache | doctor``."""

from __future__ import annotations

import json
import sys
import traceback as tracebacks
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from typer.core import TyperGroup

from trtdsl.arguments import Job, UsageError, byte_count, job, profiles
from trtdsl.cli_cache import app as cache_app
from trtdsl.errors import TrtdslError, UnavailableError, UnsupportedError

if TYPE_CHECKING:
    from trtdsl.engine import Engine
    from trtdsl.options import BuildOptions

__all__ = ["app"]

FOUND, USAGE, FAILED, UNAVAILABLE = 1, 2, 3, 4
_OUT = Console()
_ERR = Console(stderr=True)

_HELP = (
    "PyTorch modules to TensorRT engines, without ONNX.\n\n"
    "MODULE:FACTORY is package.module:name or path/to/file.py:name. It is called without arguments "
    "and gives a torch.nn.Module, or a module and its example inputs.\n\n"
    "Exit codes: 0 fine; 1 an operator is not supported, an answer is outside of the tolerance, or "
    "doctor finds that engines cannot be built here; 2 the command line is wrong; 3 conversion, "
    "build, load or run failed; 4 TensorRT, a GPU or a package is missing."
)


class _Group(TyperGroup):
    """The commands; an error of trtdsl's own becomes a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (TrtdslError, OSError) as error:
            if ctx.params.get("traceback"):
                tracebacks.print_exc(file=sys.stderr)
            kind = type(error).__name__
            _ERR.print(
                f"[bold red]{kind}:[/] {escape(str(error))}", highlight=False, soft_wrap=True
            )
            raise typer.Exit(_code(error)) from None
        except UsageError as error:
            raise typer.BadParameter(str(error)) from None
        except Exception as error:
            if isinstance(error, typer.Abort) or hasattr(error, "exit_code"):
                raise  # typer's own
            # Nothing that trtdsl knows of, and no 1, which says that something was found.
            tracebacks.print_exc(file=sys.stderr)
            raise typer.Exit(FAILED) from None


def _code(error: Exception) -> int:
    if isinstance(error, UnsupportedError):
        return FOUND
    return UNAVAILABLE if isinstance(error, UnavailableError) else FAILED


app = typer.Typer(
    cls=_Group,
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.add_typer(cache_app, name="cache")

Target = Annotated[str, typer.Argument(metavar="MODULE:FACTORY", help="what gives the module")]
Inputs = Annotated[
    list[str] | None,
    typer.Option("-i", "--input", help="x=1x3x224x224 or ids=1x16:int64; random, seeded"),
]
Dynamic = Annotated[
    list[str] | None,
    typer.Option(help="a size that varies: x=0:batch:1:8:32 (axis:name:min:opt:max)"),
]
Precision = Annotated[str | None, typer.Option(help="fp32, tf32, fp16 or bf16; as the module is")]
Backend = Annotated[str, typer.Option(help="auto, tensorrt or reference")]
Fallback = Annotated[
    str | None, typer.Option(help="torch: PyTorch runs what no engine can; shown, not written")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="hold the answer for the inputs against PyTorch's")
]
Workspace = Annotated[str | None, typer.Option(help="device memory a layer may use: 4GiB")]
Profiles = Annotated[
    list[str] | None,
    typer.Option("--profile", help="ranges to tune for: batch=8:16:32,length=128; repeatable"),
]
Refit = Annotated[bool, typer.Option("--refit", help="weights can be changed later")]
Strip = Annotated[bool, typer.Option("--strip-weights", help="weights are given on load")]
Versions = Annotated[
    bool, typer.Option("--version-compatible", help="for later TensorRTs of this major as well")
]
Hardware = Annotated[
    bool, typer.Option("--hardware-compatible", help="for all GPUs from Ampere on")
]
Cache = Annotated[bool, typer.Option(help="keep engines and timings on disk")]
Level = Annotated[int | None, typer.Option(help="0 fast build to 5 fast engine", min=0, max=5)]


def _print_version(asked: bool) -> None:
    from trtdsl import __version__

    if asked:
        typer.echo(f"trtdsl {__version__}")
        raise typer.Exit


@app.callback()
def main(
    traceback: Annotated[bool, typer.Option(help="show where an error was raised")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="print trtdsl's", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before the command."""


@app.command()
def convert(
    target: Target,
    input: Inputs = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="m.engine")] = None,
    dynamic: Dynamic = None,
    precision: Precision = None,
    backend: Backend = "auto",
    fallback: Fallback = None,
    workspace: Workspace = None,
    level: Level = None,
    profile: Profiles = None,
    refit: Refit = False,
    strip_weights: Strip = False,
    version_compatible: Versions = False,
    hardware_compatible: Hardware = False,
    cache: Cache = True,
    verify: Verify = False,
) -> None:
    """Build an engine, and write it and its manifest (OUTPUT.json)."""
    options = replace(
        _options(precision, workspace, level),
        profiles=profiles(profile or []),
        refit=refit,
        strip_weights=strip_weights,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
        cache=cache,
    )
    if fallback not in (None, "torch"):
        raise UsageError(f"--fallback is torch, not {fallback}")
    on_gpu = _on_gpu(backend, None if fallback else output)
    work = _job(target, input, dynamic)
    if fallback is not None:
        _show_pieces(work, fallback, options, output, on_gpu=on_gpu, verify=verify)
        return
    _build(work, options, output, on_gpu=on_gpu, verify=verify)


@app.command()
def check(
    target: Target,
    input: Inputs = None,
    dynamic: Dynamic = None,
    stub: Annotated[
        Path | None, typer.Option("--stub", help="write what to fill in to this file")
    ] = None,
    brief: Annotated[bool, typer.Option("--brief", help="without what to fill in")] = False,
) -> None:
    """List every operator that trtdsl cannot convert, and plugins to fill in; needs no GPU."""
    from trtdsl.conversion import check as check_model

    if stub is not None:
        _require_new(stub)
    work = _job(target, input, dynamic)
    with _stage("capturing"):
        report = check_model(work.model, work.args, work.kwargs, dynamic_shapes=work.dynamic_shapes)
    _OUT.print(escape(str(report)), highlight=False, soft_wrap=True)
    stubs = report.stubs()
    if stub is not None and stubs:
        _write_new(stub, stubs)
    elif stubs and not brief:
        typer.echo(f"\n{stubs}", nl=False)
    raise typer.Exit(0 if report.ok else FOUND)


@app.command()
def compare(
    target: Target,
    input: Inputs = None,
    dynamic: Dynamic = None,
    precision: Precision = None,
    backend: Backend = "auto",
    workspace: Workspace = None,
    level: Level = None,
    tolerance: Annotated[float | None, typer.Option(min=0, help="largest relative error")] = None,
    modules: Annotated[bool, typer.Option("--modules", help="show errors by module")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show PyTorch, trtdsl and the ONNX path side by side: error, layers, time, size."""
    from trtdsl.comparison import compare as compare_model

    options = _options(precision, workspace, level)
    chosen: Any = "tensorrt" if _on_gpu(backend, None) else "reference"
    work = _job(target, input, dynamic)
    with _stage("running all three ways"):
        result = compare_model(
            work.model,
            work.args,
            work.kwargs,
            precision=precision,
            backend=chosen,
            tolerance=tolerance,
            workspace=options.workspace,
            optimization_level=level,
            modules=modules,
            **_shapes(work),
        )
    _OUT.print_json(json.dumps(result.to_json())) if as_json else _OUT.print(result)
    raise typer.Exit(0 if result.ok else FOUND)


@app.command()
def inspect(
    target: Annotated[str, typer.Argument(metavar="MODULE:FACTORY|M.ENGINE")],
    input: Inputs = None,
    dynamic: Dynamic = None,
    precision: Precision = None,
    dot: Annotated[bool, typer.Option("--dot", help="print a Graphviz drawing")] = False,
) -> None:
    """Show a network, or an engine file: layers, types, shapes. Neither needs a GPU."""
    from trtdsl import render
    from trtdsl.conversion import trace

    if ":" not in target:
        _inspect_engine(Path(target))
        return
    work = _job(target, input, dynamic)
    with _stage("capturing and converting"):
        network = trace(work.model, work.args, work.kwargs, precision=precision, **_shapes(work))
    if dot:
        typer.echo(render.drawing(network))
    elif _OUT.is_terminal:
        _OUT.print(render.table(network))
    else:
        typer.echo(render.text(network))


@app.command()
def doctor() -> None:
    """Say what this machine has, what it lacks, and what to install."""
    from trtdsl.doctor import examine

    diagnosis = examine()
    _OUT.print(diagnosis.table())
    _OUT.print("engines can be built here" if diagnosis.ready else "engines cannot be built here")
    raise typer.Exit(0 if diagnosis.ready else FOUND)


def _require_new(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} is there already, and is not written over")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write {path.name} to")


def _write_new(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    _OUT.print(f"wrote {path}, to be filled in")


def _save(engine: Engine, output: Path | None) -> None:
    if output is not None:
        engine.save(output)
        _OUT.print(f"wrote {output} and {output}.json")


def _build(
    work: Job, options: BuildOptions, output: Path | None, *, on_gpu: bool, verify: bool
) -> None:
    from trtdsl.build import build
    from trtdsl.conversion import trace
    from trtdsl.profiles import given_sizes, parse
    from trtdsl.reference import Reference

    with _stage("capturing and converting"):
        network = trace(
            work.model, work.args, work.kwargs, precision=options.precision, **_shapes(work)
        )
    _OUT.print(escape(str(network).splitlines()[0]), highlight=False)
    if not on_gpu:
        parse(options.profiles, given_sizes(network))
        if verify:
            _verify(Reference(network), work, options.precision, None)
        _OUT.print("converted; nothing is written without TensorRT and -o")
        return
    engine = build(network, options)
    _OUT.print(escape(f"{engine!r}: {engine.num_layers} layers, {len(engine.plan):,} bytes"))
    if verify:
        _verify(engine, work, options.precision, f"cuda:{options.gpu}")
    _save(engine, output)


def _verify(converted: Any, work: Job, precision: str | None, device: str | None) -> None:
    """Hold it against PyTorch before anything is written."""
    from trtdsl import answers
    from trtdsl.export.flat import given_inputs

    given, named = given_inputs(work.model, work.args, work.kwargs)
    tolerance = answers.TOLERANCE[precision]
    with _stage("verifying"):
        answers.verify(converted, work.model, given, named, tolerance=tolerance, device=device)
    _OUT.print("the answer for the inputs is PyTorch's")


def _show_pieces(
    work: Job,
    fallback: Any,
    options: BuildOptions,
    output: Path | None,
    *,
    on_gpu: bool,
    verify: bool,
) -> None:
    """Build the engines that there are, and list what PyTorch has to run."""
    from trtdsl.conversion import convert
    from trtdsl.parts.fallback import FallbackWarning

    if output is not None:
        raise UsageError(
            "with --fallback PyTorch runs a part of the model, which no file holds: leave out -o, "
            'or call trtdsl.convert(..., fallback="torch") where it runs'
        )
    arguments = {field.name: getattr(options, field.name) for field in fields(options)}
    backend = "tensorrt" if on_gpu else "reference"
    with _stage("converting in pieces"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)  # it is printed below
        result = convert(
            work.model,
            work.args,
            work.kwargs,
            backend=backend,  # type: ignore[arg-type]
            fallback=fallback,
            verify=verify,
            **_shapes(work),
            **arguments,
        )
    _OUT.print(escape(str(result)), highlight=False, soft_wrap=True)


def _job(target: str, inputs: list[str] | None, dynamic: list[str] | None) -> Job:
    work = job(target, inputs or [], dynamic or [])
    if work.was_training:
        _ERR.print("[yellow]note:[/] the module was in training mode; it is converted in eval mode")
    return work


def _shapes(work: Job) -> dict[str, Any]:
    return {"dynamic_shapes": work.dynamic_shapes, "opt": work.opt}


def _options(precision: str | None, workspace: str | None, level: int | None) -> BuildOptions:
    from trtdsl.options import PRECISIONS, BuildOptions

    if precision not in PRECISIONS:
        raise UsageError(f"--precision is one of {', '.join(PRECISIONS[1:])}, not {precision}")
    size = None if workspace is None else byte_count(workspace)
    return BuildOptions(precision=precision, workspace=size, optimization_level=level)


def _on_gpu(backend: str, output: Path | None) -> bool:
    """Whether to build an engine. Errors: UnavailableError when one is wanted and cannot be."""
    from trtdsl.tensorrt_api import why_unavailable

    if output is not None and output.is_dir():
        raise UsageError(f"{output} is a folder: name the file, -o {output / 'm.engine'}")
    if output is not None and not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent} to write {output.name} to")
    if backend not in ("auto", "tensorrt", "reference"):
        raise UsageError(f"--backend is auto, tensorrt or reference, not {backend}")
    if backend == "reference":
        if output is not None:
            raise UsageError("the reference backend makes no engine, so there is nothing for -o")
        return False
    missing = why_unavailable()
    if missing is None:
        return True
    if backend == "tensorrt" or output is not None:
        raise UnavailableError(missing)
    _ERR.print(f"[yellow]note:[/] no engine is built: {escape(missing)}", highlight=False)
    return False


@contextmanager
def _stage(what: str) -> Iterator[None]:
    """A line with the elapsed time while something takes long, where stderr is a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    hidden = not _ERR.is_terminal
    with Progress(*columns, console=_ERR, transient=True, disable=hidden) as progress:
        progress.add_task(what, total=None)
        yield


def _inspect_engine(path: Path) -> None:
    from trtdsl.inspection import layer_table, manifest_table, memory_table
    from trtdsl.runtime import files
    from trtdsl.tensorrt_api import why_unavailable

    _, manifest = files.read(path)
    _OUT.print(manifest_table(path, manifest))
    missing = why_unavailable()
    if missing is not None:
        reason = escape(missing.splitlines()[0])
        _ERR.print(f"[yellow]note:[/] its layers are not listed: {reason}", highlight=False)
        return
    from trtdsl.engine import load

    engine = load(path)
    _OUT.print(memory_table(engine))
    _OUT.print(layer_table(engine.inspect()))
