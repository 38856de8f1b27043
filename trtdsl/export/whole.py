"""Operators that ``torch.export`` is to take whole: recurrent layers, stft and istft.

PyTorch traces ``aten.lstm`` and its like step by step: that takes minutes for a long sequence, and
fixes its length; what it traces ``aten.stft`` by asks of a symbolic length what it cannot know.
While a module is exported, calls of these functions go to operators of the same schema,
``trtdsl::lstm`` and so on, of which only the shapes of the outputs are computed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from trtdsl.errors import ConversionError, explain
from trtdsl.export.torch_forms import FORMS

__all__ = ["whole"]

aten = torch.ops.aten
_PACKS = {torch._VF._pack_padded_sequence, torch._VF._pad_packed_sequence}
_LIBRARY = torch.library.Library("trtdsl", "FRAGMENT")  # type: ignore[no-untyped-call]


def _recurrent(
    input: torch.Tensor,
    hx: torch.Tensor | Sequence[torch.Tensor],
    params: Sequence[torch.Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[torch.Tensor, ...]:
    """Empty outputs of the right shapes."""
    states = [hx] if isinstance(hx, torch.Tensor) else hx
    width = states[0].shape[2] * (2 if bidirectional else 1)
    return (input.new_empty((*input.shape[:2], width)), *(s.new_empty(s.shape) for s in states))


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


_RECURRENT = {
    torch._VF.lstm: _defined(aten.lstm.input, _recurrent),
    torch._VF.gru: _defined(aten.gru.input, _recurrent),
    torch._VF.rnn_tanh: _defined(aten.rnn_tanh.input, _recurrent),
    torch._VF.rnn_relu: _defined(aten.rnn_relu.input, _recurrent),
}
_OTHERS = {
    torch.stft: _defined(aten.stft.center, _stft),
    torch.istft: _defined(aten.istft.default, _istft),
}


@contextmanager
def whole() -> Iterator[None]:
    """Inside, these functions are single operators.

    Errors: ConversionError for packed sequences, whose sizes depend on values.
    """
    with _Whole(), warnings.catch_warnings():
        # PyTorch's own modules keep a list of their weights, which it then warns of.
        warnings.filterwarnings("ignore", ".*_flat_weights.*assigned during export", UserWarning)
        yield


class _Whole(TorchFunctionMode):
    """Calls of PyTorch's functions become calls of ours."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        packed = func in _RECURRENT and isinstance(args[3], Sequence)  # data, batch_sizes, hx, ..
        if packed or func in _PACKS:
            raise ConversionError(
                explain(
                    f"{func.__name__} of packed sequences, whose size is the sum of the lengths",
                    fix="give the padded batch to the recurrent layer; what it returns at step "
                    "lengths - 1 is the last state of a forward direction",
                )
            )
        operator = _RECURRENT.get(func) or _OTHERS.get(func) or FORMS.get(func) or func
        return operator(*args, **(kwargs or {}))
