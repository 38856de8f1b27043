"""Answers of PyTorch and of what was converted: how far they are apart, and how far they may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trtdsl.errors import BuildError, ConversionError, UnavailableError, explain

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.export import ExportedProgram

__all__ = ["TOLERANCE", "errors", "moved", "pytorch_answer", "tolerance_of", "verify"]

TOLERANCE = {None: 1e-4, "fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}
"""The largest relative error by precision: of the largest magnitude, see ``errors``."""


def tolerance_of(verify: bool | float, precision: str | None) -> float | None:
    """What ``verify=`` of ``trtdsl.convert`` allows; None where nothing is verified.

    Errors: ConversionError for what is neither a bool nor a relative error above 0.
    """
    if isinstance(verify, bool):
        return TOLERANCE[precision] if verify else None
    if not isinstance(verify, int | float) or not verify > 0:
        fix = "give True, or the relative error that is allowed, such as 1e-3"
        raise ConversionError(explain(f"verify is {verify!r}", fix=fix))
    return float(verify)


def verify(
    converted: Callable[..., Any],
    model: nn.Module | ExportedProgram,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    tolerance: float,
    device: str | None,
) -> None:
    """Hold what was converted against PyTorch, for the example inputs, which go to ``device``.

    Errors: BuildError with both numbers where the relative error is larger than the tolerance;
    UnavailableError where torch sees no GPU.
    """
    import torch

    if device is not None and not torch.cuda.is_available():
        why = f"verify runs an engine on torch's tensors, and torch {torch.__version__} sees no GPU"
        raise UnavailableError(explain(why, fix="install torch with CUDA, or leave verify out"))
    own: Any = model
    if not isinstance(model, torch.nn.Module):
        own = model.module()
        if not args and not kwargs and model.example_inputs is not None:
            args, kwargs = model.example_inputs
    expected = pytorch_answer(own, args, kwargs)
    given, named = (args, kwargs) if device is None else moved((args, kwargs), torch.device(device))
    _, relative = errors(converted(*given, **named), expected)
    if not relative <= tolerance:
        raise BuildError(
            explain(
                f"the answer for the example inputs has a relative error of {relative:.2g} against "
                f"PyTorch's, and {tolerance:g} is allowed",
                fix="trtdsl.compare(model, args, modules=True) tells which module it begins in; "
                "another precision or optimization_level may be right, or verify=<a larger error>",
            )
        )


def pytorch_answer(
    model: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """The module's own answer, where it is, without the rounding to TF32 that cuDNN does."""
    import torch

    flags = torch.backends.cudnn.flags
    with torch.no_grad(), flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False):
        return model(*args, **kwargs)


def moved(value: Any, device: torch.device) -> Any:
    """A nesting of tensors, on a device."""
    from trtdsl.tree import flatten

    leaves, tree = flatten(value)
    return tree.unflatten([x.to(device) for x in leaves])


def errors(actual: Any, expected: Any) -> tuple[float, float]:
    """The largest absolute and the largest relative error over all outputs."""
    from trtdsl.tree import flatten

    ours, theirs = flatten(actual)[0], flatten(expected)[0]
    if len(ours) != len(theirs):
        return float("inf"), float("inf")
    pairs = [_error(a, e) for a, e in zip(ours, theirs, strict=True)]
    return max((a for a, _ in pairs), default=0.0), max((r for _, r in pairs), default=0.0)


def _error(actual: torch.Tensor, expected: torch.Tensor) -> tuple[float, float]:
    """Both errors of one output: infinite where only one side has a nan or an infinity."""
    import torch

    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return float("inf"), float("inf")
    a, e = actual.detach().cpu().double(), expected.detach().cpu().double()
    same = (a == e) | (a.isnan() & e.isnan())
    finite = a.isfinite() & e.isfinite()
    if not bool((same | finite).all()):
        return float("inf"), float("inf")
    difference = torch.where(same, 0.0, (a - e).abs())
    absolute = float(difference.max()) if difference.numel() else 0.0
    magnitudes = e[e.isfinite()].abs()
    largest = float(magnitudes.max()) if magnitudes.numel() else 0.0
    return absolute, absolute / largest if largest else absolute
