"""``columns``: the heads of an attention where they lie, in the rows that a product gives.

A model cuts queries, keys and values out of what a linear layer gives and moves heads in front of
tokens. A kernel that is told where they are reads them there, and nothing has to be moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import sympy

from trtdsl.ir.moves import MOVES
from trtdsl.ir.shuffle import Shuffle, Squeeze, Unsqueeze
from trtdsl.ir.slice import SampleMode, Slice
from trtdsl.network import Operation, Tensor
from trtdsl.types import Dim, Shape, is_static

__all__ = ["Columns", "columns"]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Heads ``(B, N, L, E)`` as columns of a tensor ``(.., W)`` of ``B * L`` rows."""

    rows: Tensor
    first: int
    """The first column of the first head."""
    stride: int
    """From the first column of one head to that of the next."""
    batch_first: bool
    """Whether rows may be taken for ``(B, L)``."""
    sequence_first: bool
    """Whether rows may be taken for ``(L, B)``: both where either has one element."""


def columns(heads: Tensor) -> Columns | None:
    """Where heads ``(B, N, L, E)`` were moved from; None where they were in no such place."""
    found = (_View.of(base, moves) for base, moves in _bases(heads))
    return next((place for view in found if view and (place := view.columns(heads))), None)


def _bases(x: Tensor) -> list[tuple[Tensor, tuple[Operation, ...]]]:
    """The tensors that x was moved from with the moves since then, the first one first."""
    bases: list[tuple[Tensor, tuple[Operation, ...]]] = []
    moves: tuple[Operation, ...] = ()
    while (made := x.producer) is not None and isinstance(made.layer, MOVES):
        moves, x = (made, *moves), made.inputs[0]
        bases.insert(0, (x, moves))
    return bases


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A part of the rows' axis, or of the columns': so many steps of so many rows or columns."""

    size: Dim
    stride: Dim
    of_rows: bool


_Axis = tuple[_Part, ...]
"""An axis of a tensor: of one part, of several that were made one, or of none if its size is 1."""


@dataclass(frozen=True, kw_only=True)
class _View:
    """A tensor whose elements are those of rows, elsewhere."""

    rows: Tensor
    axes: tuple[_Axis, ...]
    first: int = 0

    @classmethod
    def of(cls, rows: Tensor, moves: Sequence[Operation]) -> _View | None:
        if rows.rank < 2:
            return None
        *lead, width = rows.shape
        axes = [_axis(size, math.prod(lead[i + 1 :]), of_rows=True) for i, size in enumerate(lead)]
        view: _View | None = cls(rows=rows, axes=(*axes, _axis(width, 1, of_rows=False)))
        for move in moves:
            view = view and view.moved(move)
        return view

    def moved(self, move: Operation) -> _View | None:
        match move.layer:
            case Unsqueeze() | Squeeze():
                return self.reshaped(move.outputs[0].shape)
            case Shuffle(first_transpose=before, reshape_dims=shape, second_transpose=after):
                view = self.permuted(before)
                reshaped = view if shape is None else view.reshaped(shape)
                return reshaped and reshaped.permuted(after)
            case Slice() as cut if cut.mode is SampleMode.STRICT_BOUNDS:
                return self.cut(cut, move.inputs[0].shape)
        return None

    def permuted(self, order: tuple[int, ...] | None) -> _View:
        return self if order is None else replace(self, axes=tuple(self.axes[i] for i in order))

    def reshaped(self, shape: Shape) -> _View | None:
        parts = [part for axis in self.axes for part in axis]
        axes = []
        for size in shape:
            axis = _taken(parts, size)
            if axis is None:
                return None
            axes.append(axis)
        return None if parts else replace(self, axes=tuple(axes))

    def cut(self, cut: Slice, shape: Shape) -> _View | None:
        view = self
        for i, (size, *box) in enumerate(zip(shape, cut.start, cut.shape, cut.stride, strict=True)):
            start, count, stride = box
            if (start, count, stride) == (0, size, 1):
                continue
            if not is_static(box) or len(self.axes[i]) != 1 or self.axes[i][0].of_rows:
                return None
            step = self.axes[i][0].stride
            axis = _axis(count, step * stride, of_rows=False)
            axes = (*view.axes[:i], axis, *view.axes[i + 1 :])
            view = replace(view, axes=axes, first=view.first + start * step)
        return view

    def columns(self, heads: Tensor) -> Columns | None:
        if any(len(axis) > 1 for axis in self.axes):
            return None
        batch, head, token, element = self.axes
        size = heads.shape[3]
        if element != _axis(size, 1, of_rows=False) or any(part.of_rows for part in head):
            return None
        if not all(part.of_rows for part in (*batch, *token)):
            return None
        stride = head[0].stride if head else size
        if not is_static((stride, size)):
            return None
        return Columns(
            rows=self.rows,
            first=self.first,
            stride=stride,
            batch_first=_is_nested(batch, token),
            sequence_first=_is_nested(token, batch),
        )


def _axis(size: Dim, stride: Dim, *, of_rows: bool) -> _Axis:
    return () if size == 1 else (_Part(size=size, stride=stride, of_rows=of_rows),)


def _is_nested(outer: _Axis, inner: _Axis) -> bool:
    """Whether rows are those of two axes, the second within the first."""
    count = inner[0].size if inner else 1
    return all(part.stride == 1 for part in inner) and all(part.stride == count for part in outer)


def _taken(parts: list[_Part], size: Dim) -> _Axis | None:
    """The next parts that make an axis of a size, taken from the list; the last may be divided."""
    axis = []
    while size != 1:
        if not parts:
            return None
        part = parts.pop(0)
        rest, inner = _quotient(size, part.size), _quotient(part.size, size)
        if rest is not None:
            axis.append(part)
            size = rest
        elif inner is not None:
            parts.insert(0, replace(part, size=inner))
            axis.append(replace(part, size=size, stride=part.stride * inner))
            size = 1
        else:
            return None
    return tuple(_joined(axis))


def _quotient(size: Dim, by: Dim) -> Dim | None:
    """``size / by`` where it is whole whatever the sizes are."""
    if is_static((size, by)):
        return None if size % by else size // by
    quotient = sympy.cancel(sympy.sympify(size) / by)
    if sympy.fraction(sympy.together(quotient))[1] != 1:
        return None
    return int(quotient) if quotient.is_Integer else quotient


def _joined(parts: Sequence[_Part]) -> Iterator[_Part]:
    """The parts of an axis, and as one those that follow each other without a gap."""
    kept: _Part | None = None
    for part in parts:
        if kept and kept.of_rows == part.of_rows and kept.stride == part.stride * part.size:
            kept = replace(part, size=kept.size * part.size)
            continue
        if kept:
            yield kept
        kept = part
    if kept:
        yield kept
