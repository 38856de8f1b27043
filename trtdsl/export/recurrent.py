"""Operators of whole recurrent layers, ``trtdsl::lstm`` and so on, and those with a mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["MASKED", "RECURRENT"]

aten = torch.ops.aten
_VF = torch._VF
_LIBRARY = torch.library.Library("trtdsl", "FRAGMENT")  # type: ignore[no-untyped-call]

States = torch.Tensor | Sequence[torch.Tensor]


def _states(hx: States) -> list[torch.Tensor]:
    return [hx] if isinstance(hx, torch.Tensor) else list(hx)


def _shapes(
    input: torch.Tensor,
    hx: States,
    params: Sequence[torch.Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
) -> tuple[torch.Tensor, ...]:
    """Empty outputs of the right shapes."""
    states = _states(hx)
    width = states[0].shape[2] * (2 if bidirectional else 1)
    return (input.new_empty((*input.shape[:2], width)), *(s.new_empty(s.shape) for s in states))


def _masked_shapes(
    input: torch.Tensor, mask: torch.Tensor, hx: States, *rest: Any
) -> tuple[torch.Tensor, ...]:
    return _shapes(input, hx, *rest)


def _masked(original: Callable[..., Any]) -> Callable[..., Any]:
    """A recurrent layer of ``(T, N, I)``, of which ``mask (T, N)`` says how far each goes."""

    def run(
        input: torch.Tensor, mask: torch.Tensor, hx: States, *rest: Any
    ) -> tuple[torch.Tensor, ...]:
        lengths, order = mask.sum(0).sort(descending=True)
        given = [s.index_select(1, order) for s in _states(hx)]
        rows = input.index_select(1, order)
        data, sizes = _VF._pack_padded_sequence(rows, lengths.cpu(), False)
        states = given[0] if isinstance(hx, torch.Tensor) else given
        y, *last = original(data, sizes, states, *rest)
        y, _ = _VF._pad_packed_sequence(y, sizes, False, 0.0, input.shape[0])
        back = order.argsort()
        return tuple(x.index_select(1, back) for x in (y, *last))

    return run


def _defined(
    original: Any, name: str, arguments: str, kernel: Callable[..., Any], fake: Callable[..., Any]
) -> Callable[..., Any]:
    """The operator ``trtdsl::name``, with the schema of ``original`` but for its inputs."""
    schema = str(original._schema).partition("(")[2]
    schema = schema.replace("Tensor data, Tensor batch_sizes", arguments)
    _LIBRARY.define(f"{name}({schema}")  # type: ignore[no-untyped-call]
    _LIBRARY.impl(name, kernel, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"trtdsl::{name}", fake, lib=_LIBRARY)
    operator: Callable[..., Any] = getattr(torch.ops.trtdsl, name).default
    return operator


_NAMES = ("lstm", "gru", "rnn_tanh", "rnn_relu")
RECURRENT = {
    getattr(_VF, n): _defined(op := getattr(aten, n).input, n, "", op, _shapes) for n in _NAMES
}
"""By PyTorch's functions: the same operators, which ``torch.export`` does not take apart."""

MASKED = {
    getattr(_VF, n): _defined(
        op := getattr(aten, n).data,
        f"masked_{n}",
        "Tensor input, Tensor mask",
        _masked(op),
        _masked_shapes,
    )
    for n in _NAMES
}
"""By PyTorch's functions: what they are for packed sequences, of padded ones."""
