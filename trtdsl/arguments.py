"""What the words of the command line mean: ``net.py:build``, ``x=1x3x224x224``, ``4GiB``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtdsl.errors import ConversionError, explain
from trtdsl.source import is_users
from trtdsl.types import DType

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Job", "UsageError", "byte_count", "job", "profiles"]

_INPUT = re.compile(r"(?P<name>\w+)=(?P<shape>\d+(?:x\d+)*)?(?::(?P<dtype>\w+))?")
_DYNAMIC = re.compile(r"(?P<name>\w+)=(?P<axis>\d+):(?P<dim>\w+):(\d+):(\d+):(\d+)")
_PROFILE = re.compile(r"(?P<name>\w+)=(?P<sizes>\d+(?::\d+:\d+)?)")
_BYTES = re.compile(r"(?P<number>\d+)\s*(?P<unit>[KMG]i?B?|B)?", re.IGNORECASE)
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_SEED = 0
_INTEGERS = 10


class UsageError(ValueError):
    """A word of the command line is not what it should be; the message shows how it is written."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A module in eval mode, with its example inputs and its dynamic sizes."""

    model: nn.Module
    args: tuple[Any, ...] | None
    kwargs: dict[str, Any] | None
    dynamic_shapes: dict[str, dict[int, Any]] | None
    opt: dict[str, int]
    was_training: bool


def job(target: str, inputs: Sequence[str], dynamic: Sequence[str]) -> Job:
    """What a command line asks to work on. Errors: UsageError; ConversionError from the factory."""
    import torch

    made = _made(target)
    example: Any = None
    if isinstance(made, tuple) and len(made) == 2:
        made, example = made
    if not isinstance(made, torch.nn.Module):
        raise UsageError(f"{target} gives {type(made).__name__}, not a torch.nn.Module")
    was_training = any(m.training for m in made.modules())
    made.eval()
    args, kwargs = _arguments(made, inputs) if inputs else (example, None)
    if args is not None and not isinstance(args, tuple):
        args = tuple(args) if isinstance(args, list) else (args,)
    shapes, opt = _dynamic(dynamic)
    if args is None and kwargs is None:
        _require_inputs(made, target)
    return Job(
        model=made,
        args=args,
        kwargs=kwargs,
        dynamic_shapes=shapes,
        opt=opt,
        was_training=was_training,
    )


def _require_inputs(model: nn.Module, target: str) -> None:
    from trtdsl.export.flat import example_inputs

    try:
        example_inputs(model)
    except ConversionError:
        names = _parameters(model) or ["x"]
        raise UsageError(
            f"{target} gives a module without example inputs; say what they are, such as "
            + " ".join(f"-i {name}=1x3x224x224" for name in names[:1])
            + (f"; forward takes {', '.join(names)}" if len(names) > 1 else "")
        ) from None


def _parameters(model: nn.Module) -> list[str]:
    """The names of the inputs of a module's ``forward``, where it has a fixed number of them."""
    kinds = inspect.signature(model.forward).parameters
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [] if any(p.kind in several for p in kinds.values()) else list(kinds)


def byte_count(text: str) -> int:
    """``4GiB``, ``512M`` or ``1048576`` in bytes; units are powers of 1024. Errors: UsageError."""
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no amount of memory; write 4GiB, 512MiB or 1048576")
    count = int(match["number"]) * _UNITS.get((match["unit"] or "B")[0].upper(), 1)
    if count == 0:
        raise UsageError(f"{text!r} leaves no memory to build with; leave the option out for all")
    return count


def profiles(texts: Sequence[str]) -> list[dict[str, Any]] | None:
    """``batch=8:16:32,length=128`` a text: one size, or min, opt and max. Errors: UsageError."""
    made: list[dict[str, Any]] = []
    for text in texts:
        matches = [_PROFILE.fullmatch(part.strip()) for part in text.split(",")]
        if None in matches:
            raise UsageError(f"{text!r} is no profile; write batch=8:16:32,length=128")
        pairs = [(m["name"], [int(n) for n in m["sizes"].split(":")]) for m in matches if m]
        made.append({name: n[0] if len(n) == 1 else tuple(n) for name, n in pairs})
    return made or None


def _made(target: str) -> Any:
    """What the factory gives; a module that stands there itself is taken as it is."""
    import torch

    place, _, name = target.rpartition(":")
    if not place or not name:
        raise UsageError(
            f"{target!r} is not MODULE:FACTORY, such as my.models:build or net.py:build"
        )
    found: Any = _module(place)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{place} has no {name}")
        found = getattr(found, part)
    if isinstance(found, torch.nn.Module) or not callable(found):
        return found
    try:
        return found()
    except Exception as error:
        raise _raised(target, error, "give a function or class that works without arguments") from (
            error
        )


def _raised(what: str, error: Exception, fix: str) -> ConversionError:
    frames = traceback.extract_tb(error.__traceback__)
    at = [f"{f.filename}:{f.lineno}, {f.name}: {f.line}" for f in frames if is_users(f.filename)]
    if isinstance(error, SyntaxError) and error.filename:
        at = [f"{error.filename}:{error.lineno}: {(error.text or '').strip()}"]
    text = f"{what} raised {type(error).__name__}: {error}"
    return ConversionError(explain(text, at=at[-1] if at else None, fix=fix))


def _module(place: str) -> Any:
    if not place.endswith(".py"):
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(place)
        except ImportError as error:
            raise UsageError(f"{place} cannot be imported: {error}") from error
        except Exception as error:
            raise _raised(f"importing {place}", error, "make `import` of it work") from error
    path = Path(place).resolve()
    if not path.is_file():
        raise UsageError(f"there is no file {place}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, "the name ends in .py"
    assert spec.loader is not None, "the name ends in .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # dataclasses look their module up by name
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _raised(place, error, "make the file run") from error
    return module


def _arguments(
    model: nn.Module, texts: Sequence[str]
) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
    """Seeded random inputs: positional where the module's first parameters have those names."""
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    named = dict(_input(text, generator) for text in texts)
    if len(named) < len(texts):
        raise UsageError(f"an input is given twice in {', '.join(texts)}")
    positional: list[torch.Tensor] = []
    for parameter in inspect.signature(model.forward).parameters.values():
        if parameter.name not in named or parameter.kind is parameter.KEYWORD_ONLY:
            break
        positional.append(named.pop(parameter.name))
    names = _parameters(model)
    if names and (unknown := named.keys() - names):
        raise UsageError(
            f"{', '.join(sorted(unknown))} is no input of {type(model).__name__}.forward, which "
            f"takes {', '.join(names)}"
        )
    return tuple(positional), named


def _input(text: str, generator: torch.Generator) -> tuple[str, torch.Tensor]:
    import torch

    match = _INPUT.fullmatch(text)
    known = [dtype.value for dtype in DType]
    if match is None or (match["dtype"] or "float32") not in known:
        raise UsageError(
            f"{text!r} is no input; write x=1x3x224x224 or ids=1x16:int64, with {', '.join(known)}"
        )
    shape = tuple(map(int, match["shape"].split("x"))) if match["shape"] else ()
    dtype = DType(match["dtype"] or "float32")
    if dtype.is_float:
        return match["name"], torch.randn(shape, generator=generator).to(dtype.torch)
    high = 2 if dtype is DType.BOOL else _INTEGERS
    value = torch.randint(0, high, shape, generator=generator)
    return match["name"], value.to(dtype.torch)


def _dynamic(texts: Sequence[str]) -> tuple[dict[str, dict[int, Any]] | None, dict[str, int]]:
    """``x=0:batch:1:8:32`` as torch.export wants it, and the sizes to tune for."""
    import torch

    shapes: dict[str, dict[int, Any]] = {}
    dims: dict[str, tuple[int, int, int]] = {}
    for text in texts:
        match = _DYNAMIC.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} is no dynamic size; write x=0:batch:1:8:32, which is "
                "INPUT=AXIS:NAME:MIN:OPT:MAX"
            )
        sizes = (int(match[4]), int(match[5]), int(match[6]))
        if not match["dim"].isidentifier():
            raise UsageError(f"{text!r}: {match['dim']} is no name; write letters, digits and _")
        if not sizes[0] <= sizes[1] <= sizes[2]:
            raise UsageError(f"{text!r}: {sizes} is not min <= opt <= max")
        if dims.setdefault(match["dim"], sizes) != sizes:
            raise UsageError(f"{match['dim']} is {dims[match['dim']]}, and {sizes} in {text!r}")
        dim = torch.export.Dim(match["dim"], min=sizes[0], max=sizes[2])
        shapes.setdefault(match["name"], {})[int(match["axis"])] = dim
    return shapes or None, {name: opt for name, (_, opt, _) in dims.items()}
