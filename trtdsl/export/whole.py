"""Operators that ``torch.export`` is to take whole: recurrent layers, stft and istft.

PyTorch traces ``aten.lstm`` and its like step by step: that takes minutes for a long sequence, and
fixes its length; what it traces ``aten.stft`` by asks of a symbolic length what it cannot know.
While a module is exported, calls of these functions go to operators of the same schema,
``trtdsl::lstm`` and so on, of which only the shapes of the outputs are computed. Packed sequences
are followed as the padded ones that they are made of.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch.nn.modules import rnn
from torch.overrides import TorchFunctionMode

from trtdsl.export.constants import Constants
from trtdsl.export.literals import Literals
from trtdsl.export.packed import PackedSequences
from trtdsl.export.recurrent import RECURRENT
from trtdsl.export.symbolic_numbers import symbolic_integers
from trtdsl.export.torch_forms import FORMS

__all__ = ["whole"]

aten = torch.ops.aten
_LIBRARY = torch.library.Library("trtdsl", "FRAGMENT")  # type: ignore[no-untyped-call]


def _stft(
    input: torch.Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: torch.Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> torch.Tensor:
    """An empty output of the right shape."""
    is_complex = input.is_complex() or (window is not None and window.is_complex())
    half = not is_complex if onesided is None else onesided
    length = input.shape[-1] + (n_fft // 2 * 2 if center else 0)
    frames = 1 + (length - n_fft) // (hop_length or n_fft // 4)
    shape = (*input.shape[:-1], n_fft // 2 + 1 if half else n_fft, frames)
    if return_complex or (return_complex is None and is_complex):
        return input.new_empty(shape, dtype=input.dtype.to_complex())
    return input.new_empty((*shape, 2), dtype=input.dtype.to_real())


def _istft(
    input: torch.Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: torch.Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> torch.Tensor:
    """An empty output of the right shape."""
    whole = n_fft + (hop_length or n_fft // 4) * (input.shape[-1] - 1)
    size = whole - (n_fft // 2 * 2 if center else 0) if length is None else length
    dtype = input.dtype if return_complex else input.dtype.to_real()
    return input.new_empty((*input.shape[:-2], size), dtype=dtype)


def _defined(original: Any, shapes: Callable[..., Any]) -> Callable[..., Any]:
    """The operator ``trtdsl::name``, with the schema of ``aten::name.overload``.

    The length of ``istft`` may be symbolic, which PyTorch's schema has no word for.
    """
    full, _, arguments = str(original._schema).partition("(")
    name = full.removeprefix("aten::").partition(".")[0]
    arguments = arguments.replace("int? length", "SymInt? length")
    _LIBRARY.define(f"{name}({arguments}")  # type: ignore[no-untyped-call]
    _LIBRARY.impl(name, original, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"trtdsl::{name}", shapes, lib=_LIBRARY)
    operator: Callable[..., Any] = getattr(torch.ops.trtdsl, name).default
    return operator


def _named(operator: Callable[..., Any]) -> Callable[..., Any]:
    """An operator by the names that PyTorch's function has for its arguments.

    What pads is nothing where nothing is padded: ``center=False, pad_mode=None``.
    """

    @wraps(operator)
    def function(*args: Any, **kwargs: Any) -> Any:
        if "input" in kwargs:
            args = (kwargs.pop("input"), *args)
        if kwargs.get("pad_mode", "") is None and not kwargs.get("center", True):
            del kwargs["pad_mode"]
        return operator(*args, **kwargs)

    return function


_OTHERS = {
    torch.stft: _named(_defined(aten.stft.center, _stft)),
    torch.istft: _named(_defined(aten.istft.default, _istft)),
}


@contextmanager
def whole(constants: Constants | None = None) -> Iterator[None]:
    """Inside, these functions are single operators, and the values of ``constants`` are known.

    Errors: ConversionError for packed sequences that the module did not pack itself.
    """
    with _Whole(constants or Literals()), symbolic_integers(rnn), warnings.catch_warnings():
        # PyTorch's own modules keep a list of their weights, which it then warns of.
        warnings.filterwarnings("ignore", ".*_flat_weights.*assigned during export", UserWarning)
        yield


class _Whole(TorchFunctionMode):
    """Calls of PyTorch's functions become calls of ours."""

    def __init__(self, values: Literals | Constants) -> None:
        super().__init__()
        self.packed = PackedSequences()
        self.values = values

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        packed = self.packed.function(func, args)
        operator = packed or RECURRENT.get(func) or _OTHERS.get(func) or FORMS.get(func) or func
        if torch.compiler.is_dynamo_compiling():  # the body of a loop, where no value is known
            return operator(*args, **(kwargs or {}))
        return self.values.call(func, operator, args, kwargs or {})
