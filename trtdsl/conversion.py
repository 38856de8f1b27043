"""The pipeline on one screen: ``trace``, ``check`` and ``convert``, a module to a callable."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack

from trtdsl.errors import ConversionError, UnavailableError, explain
from trtdsl.network import Network

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from trtdsl.capture import Captured
    from trtdsl.engine import Engine
    from trtdsl.options import BuildArguments, BuildOptions
    from trtdsl.parts.hybrid import Hybrid
    from trtdsl.reference import Reference
    from trtdsl.report import Report

__all__ = ["ReferenceWarning", "check", "choose", "convert", "trace"]

Backend = Literal["auto", "tensorrt", "reference"]


class ReferenceWarning(UserWarning):
    """``convert`` gives the reference evaluation because TensorRT or a GPU is missing."""


def trace(
    model: nn.Module | ExportedProgram,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    opt: Mapping[str, int] | None = None,
    precision: str | None = None,
) -> Network:
    """The network definition of a module; needs neither TensorRT nor a GPU.

    Inputs:
        args, kwargs: example inputs, as the model is called; any nesting of tensors. Without them,
            the model's ``example_input_array`` or ``dummy_inputs``.
        dynamic_shapes: as of ``torch.export.export``: ``{"x": {0: Dim("batch", min=1, max=32)}}``.
        opt: the size to tune for, by name of the Dim; by default the example's own.
        precision: ``"fp16"`` or ``"bf16"`` computes in it, with inputs and outputs as they were;
            ``None`` and ``"fp32"`` keep the model's own dtypes; ``"tf32"`` also does, and lets
            TensorRT round the operands of matrix products to 10 bits of mantissa.
    Errors: ConversionError and below.
    """
    from trtdsl import walk
    from trtdsl.options import require_precision

    require_precision(precision)
    captured = _captured(model, args, kwargs, dynamic_shapes, opt)
    return _finished(walk.network(captured, name=type(model).__name__), precision)


def check(
    model: nn.Module | ExportedProgram,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
) -> Report:
    """Everything in a module that trtdsl cannot convert, all at once; needs no GPU.

    ``report.ok`` is the answer, ``print(report)`` the list. Inputs: as of ``trace``.
    Errors: ConversionError where the model cannot be captured, or the inputs are wrong.
    """
    from trtdsl import report

    return report.report(_captured(model, args, kwargs, dynamic_shapes))


def convert(
    model: nn.Module | ExportedProgram,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    opt: Mapping[str, int] | None = None,
    precision: str | None = None,
    backend: Backend = "auto",
    fallback: Literal["torch"] | None = None,
    verify: bool | float = False,
    **build_arguments: Unpack[BuildArguments],
) -> Engine | Reference | Hybrid:
    """A callable that answers as the module does, run by TensorRT.

    Inputs: as of ``trace``, and
        backend: ``"tensorrt"``; ``"reference"`` evaluates with PyTorch; ``"auto"`` is TensorRT
            where it and a GPU are found, else the reference, with one ReferenceWarning.
        fallback: ``"torch"`` runs the operators that no engine computes in PyTorch, between as
            few engines as possible, and gives a ``Hybrid``; a FallbackWarning lists them. Where
            there are none, the result is the same as without. It cannot be saved or refitted.
        verify: hold what was made against PyTorch for the example inputs, which costs a call of
            each: True allows the relative errors of ``trtdsl.compare``, a number that error.
        build_arguments: ``workspace``, ``optimization_level``, ``profiles``, ``device`` and more,
            as of ``trtdsl.options.BuildOptions``.
    Errors: ConversionError, BuildError, UnavailableError and below.
    """
    from trtdsl import answers, walk
    from trtdsl.build import BuildOptions
    from trtdsl.export.flat import given_inputs
    from trtdsl.parts.fallback import check_fallback, converted

    options = BuildOptions.of(precision, build_arguments)
    check_fallback(fallback, options)
    tolerance = answers.tolerance_of(verify, precision)
    chosen, missing = choose(backend)
    if missing is not None:
        warnings.warn(
            f"evaluating with PyTorch instead of TensorRT: {missing}",
            ReferenceWarning,
            stacklevel=2,
        )
    captured = _captured(model, args, kwargs, dynamic_shapes, opt)
    name, device = type(model).__name__, f"cuda:{options.gpu}" if chosen == "tensorrt" else None
    made: Engine | Reference | Hybrid
    if fallback is None:
        made = _made(chosen, walk.network(captured, name=name), options)
    else:
        made = converted(captured, partial(_made, chosen), options, name=name, device=device)
    if tolerance is not None:
        given, named = given_inputs(model, args, kwargs)
        answers.verify(made, model, given, named, tolerance=tolerance, device=device)
    return made


def _made(backend: str, network: Network, options: BuildOptions) -> Engine | Reference:
    from trtdsl.build import build
    from trtdsl.profiles import given_sizes, parse
    from trtdsl.reference import Reference

    network = _finished(network, options.precision)
    if backend != "reference":
        return build(network, options)
    parse(options.profiles, given_sizes(network))  # they are as wrong here as they would be there
    return Reference(network)


def _captured(
    model: nn.Module | ExportedProgram,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    dynamic_shapes: Any,
    opt: Mapping[str, int] | None = None,
) -> Captured:
    from trtdsl import capture, registry, walk
    from trtdsl.export import flat
    from trtdsl.parts.precomputed import precompute

    captured = capture.capture(
        model,
        *flat.given_inputs(model, args, kwargs),
        dynamic_shapes=dynamic_shapes,
        opt=opt,
        keep=walk.keeps(registry.find),
    )
    return precompute(captured)


def _finished(network: Network, precision: str | None) -> Network:
    """A network as it is built: what can be folded is, and it is in its precision."""
    from trtdsl.passes.fold import fold_scale
    from trtdsl.passes.gelu import fold_gelu
    from trtdsl.passes.precision import to_precision
    from trtdsl.passes.rotary import fold_rotary
    from trtdsl.passes.shared import shared
    from trtdsl.passes.untaken import without_untaken

    folded = fold_gelu(fold_rotary(fold_scale(network)))
    return shared(without_untaken(to_precision(folded, precision)))


def choose(backend: Backend) -> tuple[Literal["tensorrt", "reference"], str | None]:
    """What a backend stands for on this machine; and where ``"auto"`` is the reference, why.

    Errors: ConversionError for another word; UnavailableError for TensorRT where it is missing.
    """
    from trtdsl.tensorrt_api import why_unavailable

    if backend not in ("auto", "tensorrt", "reference"):
        raise ConversionError(
            explain(
                f"backend is 'auto', 'tensorrt' or 'reference', not {backend!r}",
                fix="leave it out for TensorRT where it is, and else the reference",
            )
        )
    if backend == "reference":
        return "reference", None
    missing = why_unavailable()
    if missing is None:
        return "tensorrt", None
    if backend == "tensorrt":
        raise UnavailableError(missing)
    return "reference", missing
