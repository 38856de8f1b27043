"""Recurrent layers as operators of their own, for ``torch.export`` to take them whole.

PyTorch traces ``aten.lstm`` and its like step by step: that takes minutes for a long sequence, and
fixes its length. While a module is exported, calls of these functions go to operators of the same
schema, ``trtdsl::lstm`` and so on, of which only the shapes of the outputs are computed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from trtdsl.errors import ConversionError, explain

__all__ = ["whole"]

_NAMES = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_PACKS = {torch._VF._pack_padded_sequence, torch._VF._pad_packed_sequence}
_LIBRARY = torch.library.Library("trtdsl", "FRAGMENT")  # type: ignore[no-untyped-call]


def _shapes(
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


def _defined(name: str) -> Callable[..., Any]:
    """The operator ``trtdsl::name``, with the schema of ``aten::name.input``."""
    original = getattr(torch.ops.aten, name).input
    schema = str(original._schema).replace(f"aten::{name}.input", name)
    _LIBRARY.define(schema)  # type: ignore[no-untyped-call]
    _LIBRARY.impl(name, original, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"trtdsl::{name}", _shapes, lib=_LIBRARY)
    operator: Callable[..., Any] = getattr(torch.ops.trtdsl, name).default
    return operator


_OPERATORS = {getattr(torch._VF, name): _defined(name) for name in _NAMES}


@contextmanager
def whole() -> Iterator[None]:
    """Inside, recurrent layers are single operators.

    Errors: ConversionError for packed sequences, whose sizes depend on values.
    """
    with _Whole(), warnings.catch_warnings():
        # PyTorch's own modules keep a list of their weights, which it then warns of.
        warnings.filterwarnings("ignore", ".*_flat_weights.*assigned during export", UserWarning)
        yield


class _Whole(TorchFunctionMode):
    """Calls of PyTorch's recurrent layers become calls of ours."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        operator = _OPERATORS.get(func) if callable(func) else None
        packed = operator is not None and isinstance(args[3], Sequence)  # data, batch_sizes, hx, ..
        if packed or func in _PACKS:
            raise ConversionError(
                explain(
                    f"{func.__name__} of packed sequences, whose size is the sum of the lengths",
                    fix="give the padded batch to the recurrent layer; what it returns at step "
                    "lengths - 1 is the last state of a forward direction",
                )
            )
        return (operator or func)(*args, **(kwargs or {}))
