"""Why ``torch.export`` could not capture a module, in the terms of the module's user."""

from __future__ import annotations

import importlib
import logging
import re
import sysconfig
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from sympy.logic.boolalg import Boolean
from torch._dynamo.exc import UserError, UserErrorType
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from trtdsl.errors import ConversionError, explain
from trtdsl.export.admission import refuse_weight
from trtdsl.export.branches import Asked
from trtdsl.export.flat import Flat
from trtdsl.export.snapshot import restored
from trtdsl.source import Source, is_users

__all__ = ["asks_for_values", "quiet", "refusal", "works"]

_MAX_LINES = 12
_SPECIALIZED = re.compile(r"marked (\S+) as dynamic but your code specialized it to .*?\((\d+)\)")
_LEAF = re.compile(r"L\['leaves'\]\[(\d+)\]\.size\(\)")
_SUGGESTED = re.compile(r"Suggested fixes:\n((?:  .+\n)+)")
_ONE_PATH = (
    "keep values in their tensors and choose with torch.where: an engine has one path for all "
    "values, so no if, while or bool() on what an input decides; n = x.item() is fine, with "
    "torch._check(n >= 0) and torch._check(n <= ...) where it becomes a size"
)
_KNOWN = (
    (
        re.compile(r"\.numpy\(\) is not supported|ufunc|numpy\.ndarray'> in output"),
        "it hands a tensor or a size to numpy, which no engine runs",
        "compute it with torch, in tensors from input to output; arrays that are known before are "
        "fine, by torch.from_numpy",
    ),
    (
        re.compile("has a non-zero number of elements, but its data is not allocated"),
        "it reads the values of a tensor in Python, as torch.tensor([x[0], x[1]]) does",
        "keep them in tensors: torch.stack([x[0], x[1]])",
    ),
    (
        re.compile("unhashable type: non-nested SymInt"),
        "it looks a number up in a dict or set: a size that varies, or what an input holds",
        "leave the size out of dynamic_shapes; keep what an input holds in its tensor, and compute "
        "with it there",
    ),
    (
        re.compile(r"aten\._nested_|NestedTensor"),
        "it makes a nested tensor, whose rows differ in length: an engine's tensors are dense",
        "pad the rows, as torch.nn.utils.rnn.pad_sequence does, and mask what is added",
    ),
    (
        re.compile(r"aten\._ctc_loss"),
        "it computes ctc_loss, which is of all alignments and only there to train by",
        "let the model return the log-probabilities, and compute the loss in PyTorch",
    ),
    (
        re.compile(r"aten\.linalg_lstsq"),
        "it solves least squares, and TensorRT factors no matrices",
        "solve (A.mT @ A) x = A.mT @ b by torch.linalg.solve for up to 16 unknowns, or outside",
    ),
)
"""What PyTorch says of what models do, in which words, and what to do instead."""
# They print what the exception says again, with PyTorch's own stack.
_LOGGERS = ("torch._subclasses.fake_tensor", "torch.fx.experimental.symbolic_shapes")


@contextmanager
def quiet() -> Iterator[None]:
    """Without what PyTorch logs and prints of the error that is about to be explained."""

    def below_warning(record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(below_warning)
    file = vars(importlib.import_module("torch.export._trace"))
    file["print"] = _nothing  # it prints the graph so far, thousands of lines of it
    try:
        with warnings.catch_warnings():
            # What a call leaves behind is for trtdsl.export.history to judge.
            warnings.filterwarnings("ignore", "The tensor attributes? .* assigned during export")
            # PyTorch itself asks for it, where forward derivatives are captured.
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
            yield
    finally:
        file.pop("print")
        for logger in loggers:
            logger.removeFilter(below_warning)


def _nothing(*values: object, file: object = None) -> None:
    """Print nothing."""


def asks_for_values(error: Exception) -> bool:
    """Whether Python asked for what only values tell."""
    return isinstance(error, GuardOnDataDependentSymNode)


def works(flat: Flat) -> bool:
    """Whether the module can be called with its example inputs."""
    return _own_error(flat) is None


def refusal(error: Exception, flat: Flat, asked: Asked) -> ConversionError:
    """The error to raise: the model's own where it cannot be called with its example inputs."""
    name = type(flat.model).__name__
    own = _own_error(flat)
    if own is not None:
        for key, weight in (*flat.model.named_parameters(), *flat.model.named_buffers()):
            refuse_weight(key, weight)
        given = ", ".join(map(_described, flat.input_names, flat.leaves)) or "no tensors"
        return ConversionError(
            explain(
                f"{name} itself fails with the example inputs ({given}): {_text(own)}",
                at=Source(stack="".join(_frames(own))).line,
                fix=f"give inputs with which {name} works"
                + (", and put both on one device" if "device" in str(own) else ""),
            )
        )
    if isinstance(error, UserError) and error.error_type is UserErrorType.CONSTRAINT_VIOLATION:
        return _violation(str(error), flat, asked)
    text, fix = (
        _text(error),
        "make torch.export.export(model, inputs, strict=False) work; see above",
    )
    if asks_for_values(error):
        fix = _ONE_PATH
    for known, said, advice in _KNOWN:
        if known.search(str(error)):
            text, fix = said, advice
    return ConversionError(
        explain(
            f"torch.export cannot capture {name}: {text}",
            at=Source(stack="".join(_frames(error))).line,
            fix=fix,
        )
    )


def _violation(message: str, flat: Flat, asked: Asked) -> ConversionError:
    """What cannot be for all sizes of the ranges, in a few words of PyTorch's many."""
    name = type(flat.model).__name__
    number = _SPECIALIZED.search(message)
    if number is None:
        lines = [_named(s[4:], flat) for s in message.splitlines() if s.startswith("  - ")]
        suggested = _SUGGESTED.search(message)
        return ConversionError(
            explain(
                f"{name} cannot have all sizes of dynamic_shapes: " + "\n  ".join(lines[:3]),
                fix=" ".join(suggested[1].split()) if suggested else "narrow the ranges",
            )
        )
    size, value = _named(number[1], flat), number[2]
    places = [place for c, place in asked.equal.items() if _is_of(c, int(value))]
    return ConversionError(
        explain(
            f"{name} makes the number {value} of the size {size}, which is dynamic",
            at=places[0] if places else None,
            fix="use x.shape[...] as it is, without a number for it in view() or a comparison, "
            "int(), float(), range(), shape.numel(), a tensor of that size or a function that "
            f"takes plain numbers only, or leave {size} out of dynamic_shapes",
        )
    )


def _is_of(equation: Any, value: int) -> bool:
    """Whether an equation of one size holds for this value, and not for the next one."""
    if len(equation.free_symbols) != 1:
        return False
    (size,) = equation.free_symbols
    return [bool(equation.subs(size, n)) for n in (value, value + 1)] == [True, False]


def _named(guard: str, flat: Flat) -> str:
    """A guard of PyTorch's with the model's own names of its inputs."""
    return _LEAF.sub(lambda m: f"{flat.input_names[int(m[1])]}.shape", guard)


def _own_error(flat: Flat) -> Exception | None:
    """What the module raises without torch.export; all that it changes is as it was before."""
    buffers = {name: buffer.clone() for name, buffer in flat.model.named_buffers()}
    try:
        with restored(flat.model), torch.no_grad():
            args, kwargs = flat.input_tree.unflatten([x.clone() for x in flat.leaves])
            torch.func.functional_call(flat.model, buffers, args, kwargs)
    except Exception as error:
        return error
    return None


def _text(error: Exception) -> str:
    if isinstance(error, GuardOnDataDependentSymNode):
        read = ", ".join(sorted(map(str, error.cond.free_symbols)))
        asked = "whether" if isinstance(error.cond, Boolean) else "for the number"
        return f"Python asks {asked} {error.cond}, and {read} is data-dependent: read from a tensor"
    lines: Sequence[str] = str(error).strip().splitlines()
    return f"{type(error).__name__}: " + "\n  ".join(lines[:_MAX_LINES])


def _described(name: str, x: torch.Tensor) -> str:
    dtype = str(x.dtype).removeprefix("torch.")
    return f"{name}: {dtype}{list(x.shape)} on {x.device}"


def _frames(error: BaseException) -> Iterator[str]:
    standard = Path(sysconfig.get_paths()["stdlib"])
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        is_standard = standard in file.parents and "site-packages" not in file.parts
        if not is_standard and is_users(frame.filename):
            yield f'File "{frame.filename}", line {frame.lineno}, in {frame.name}\n  {frame.line}\n'
