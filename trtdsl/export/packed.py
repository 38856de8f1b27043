"""Packed sequences while a module is exported: the padded batch, and which of its steps count.

``pack_padded_sequence`` lays the steps of all sequences one behind the other, as many rows as the
lengths add up to. Recurrent layers of an engine take the padded batch ``(T, N, *)`` instead, and a
mask ``(T, N)`` of the steps within each length. The rows themselves are made only for what reads
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.fx.experimental.symbolic_shapes import statically_known_true

from trtdsl.errors import ConversionError, explain
from trtdsl.export.recurrent import MASKED

__all__ = ["PackedSequences"]

_VF = torch._VF


@dataclass(frozen=True, kw_only=True)
class _Pack:
    """What the rows of a packed sequence are, step by step."""

    batch_sizes: torch.Tensor
    lengths: torch.Tensor
    mask: torch.Tensor
    """``(T, N)``, bool: the steps that are within their sequence."""
    steps: torch.Tensor
    """The steps of the longest sequence, one after the other: its length is not known."""

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """``(T, N, *)`` to one row for each step within a sequence."""
        return x[self.mask]

    def padded(self, rows: torch.Tensor) -> torch.Tensor:
        """The way back; what no row stands for is anything."""
        places = self.mask.flatten().cumsum(0) - 1
        taken = rows.index_select(0, places.clamp(min=0))
        return taken.reshape(*self.mask.shape, *rows.shape[1:])


@dataclass(frozen=True)
class PackedSequences:
    """The functions of packed sequences, for the time of an export."""

    packs: dict[int, _Pack] = field(default_factory=dict)
    """By the ids of the tensors of batch sizes, which they keep alive."""
    known: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    """Rows and the padded batch that they were taken from, by the ids of the rows."""

    def function(self, func: Any, args: Sequence[Any]) -> Callable[..., Any] | None:
        """What to call in the place of ``func``, where that is about packed sequences.

        Errors: ConversionError where it is not known what was packed.
        """
        if func is _VF._pack_padded_sequence:
            return self.pack
        if func is _VF._pad_packed_sequence:
            return self.pad
        if func in MASKED and isinstance(args[3], Sequence):  # data, batch_sizes, hx, params, ...
            return partial(self.recurrent, MASKED[func])
        if func is torch.Tensor.__getitem__ and id(args[0]) in self.packs and args[1] == 0:
            return lambda sizes, _: self.packs[id(sizes)].mask.shape[1]  # no length is 0
        return None

    def pack(
        self, input: torch.Tensor, lengths: torch.Tensor, batch_first: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows, and how many sequences have a step: ``torch._VF._pack_padded_sequence``."""
        x = input.transpose(0, 1) if batch_first else input
        mask = torch.arange(x.shape[0], device=x.device)[:, None] < lengths.to(x.device)
        counts = mask.sum(1)
        steps = counts.nonzero().squeeze(1)
        torch._check(steps.shape[0] <= x.shape[0])  # type: ignore[no-untyped-call]
        sizes = counts.index_select(0, steps).cpu()
        pack = _Pack(batch_sizes=sizes, lengths=lengths, mask=mask, steps=steps)
        self.packs[id(sizes)] = pack
        return self.taken(pack, x), sizes

    def pad(
        self,
        data: torch.Tensor,
        batch_sizes: torch.Tensor,
        batch_first: bool,
        padding_value: float,
        total_length: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The padded batch, and the lengths: ``torch._VF._pad_packed_sequence``."""
        pack = self.pack_of(batch_sizes)
        x = self.padded(pack, data)
        inside = pack.mask.reshape(*pack.mask.shape, *[1] * (x.dim() - 2))
        x = torch.where(inside, x, torch.full((), padding_value, dtype=x.dtype, device=x.device))
        if statically_known_true(total_length == pack.steps.shape[0]):
            x = x.index_select(0, pack.steps)
        elif not statically_known_true(total_length == x.shape[0]):
            more = total_length - x.shape[0]
            x = F.pad(x, [0, 0] * (x.dim() - 1) + [0, more], value=padding_value)
        return (x.transpose(0, 1) if batch_first else x), pack.lengths

    def recurrent(
        self,
        operator: Callable[..., Any],
        data: torch.Tensor,
        batch_sizes: torch.Tensor,
        hx: Any,
        *rest: Any,
    ) -> tuple[torch.Tensor, ...]:
        """A recurrent layer of rows: of the padded batch, as far as the lengths go."""
        pack = self.pack_of(batch_sizes)
        y, *last = operator(self.padded(pack, data), pack.mask, hx, *rest)
        return (self.taken(pack, y), *last)

    def taken(self, pack: _Pack, x: torch.Tensor) -> torch.Tensor:
        rows = pack.rows(x)
        self.known[id(rows)] = (rows, x)
        return rows

    def padded(self, pack: _Pack, rows: torch.Tensor) -> torch.Tensor:
        known = self.known.get(id(rows))
        return pack.padded(rows) if known is None else known[1]

    def pack_of(self, batch_sizes: torch.Tensor) -> _Pack:
        if id(batch_sizes) not in self.packs:
            raise ConversionError(
                explain(
                    "a packed sequence that the model did not pack itself, of which no lengths are "
                    "known",
                    fix="pass the padded batch and the lengths to the model, and call "
                    "pack_padded_sequence in it",
                )
            )
        return self.packs[id(batch_sizes)]
