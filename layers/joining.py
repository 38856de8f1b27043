"""Converters that join tensors and take them apart: cat, stack, split, chunk, unbind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.ir.slice import section
from trtdsl.network import Tensor
from trtdsl.operators import promoted
from trtdsl.registry import converter
from trtdsl.types import Dim, as_dim

from .indexing import sliced

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.cat.default, aten.concat.default, aten.concatenate.default)
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after the other along ``dim``, in their common dtype."""
    dtype = promoted(*tensors)
    # PyTorch skips empty vectors, whatever the rank of the others.
    kept = [x.cast(dtype) for x in tensors if x.shape != (0,)] or [tensors[0].cast(dtype)]
    return kept[0] if len(kept) == 1 else Concatenation(axis=dim % kept[0].rank)(*kept)


@converter(aten.stack.default)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after the other along a new axis ``dim``, in their common dtype."""
    dtype = promoted(*tensors)
    axis = dim % (tensors[0].rank + 1)
    layers = [Unsqueeze(axes=(axis,))(x.cast(dtype)) for x in tensors]
    return layers[0] if len(layers) == 1 else Concatenation(axis=axis)(*layers)


@converter(aten.hstack.default)
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors side by side: along axis 1, vectors along axis 0."""
    raised = [x.reshape(1) if x.rank == 0 else x for x in tensors]
    return cat(raised, 0 if raised[0].rank == 1 else 1)


@converter(aten.vstack.default)
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors one below the other, vectors as rows."""
    return cat(
        [
            x.reshape(1, *x.shape) if x.rank == 1 else x.reshape(1, 1) if x.rank == 0 else x
            for x in tensors
        ]
    )


def _parts(x: Tensor, sizes: Sequence[Dim], dim: int) -> list[Tensor]:
    axis = dim % x.rank
    starts = accumulate(sizes, initial=0)
    return [section(x, axis, as_dim(start), n) for start, n in zip(starts, sizes, strict=False)]


def _settled(x: Tensor, count: Dim) -> Dim:
    """A number of parts as an int, where it is the same over the ranges of all sizes."""
    least, most = x.network.bounds(count)
    return least if least == most else count


@converter(aten.split.Tensor, aten.unsafe_split.Tensor)
def split(x: Tensor, split_size: Dim, dim: int = 0) -> list[Tensor]:
    """Parts of ``split_size`` along ``dim``; the last one is what remains."""
    size = x.shape[dim]
    if size in (split_size, 0):
        return [x]
    count = _settled(x, as_dim(-(-size // split_size)))
    if not isinstance(count, int):
        raise ConversionError(
            explain(
                f"{x} splits into {count} parts of {split_size}: how many is not known",
                fix=f"give axis {dim} a fixed size in dynamic_shapes",
            )
        )
    last = size - split_size * (count - 1)
    return _parts(x, [*[split_size] * (count - 1), last], dim)


@converter(aten.split_with_sizes.default, aten.unsafe_split_with_sizes.default)
def split_with_sizes(x: Tensor, split_sizes: Sequence[Dim], dim: int = 0) -> list[Tensor]:
    """Parts of these sizes along ``dim``."""
    return _parts(x, split_sizes, dim)


@converter(aten.split.sizes)
def split_sizes(x: Tensor, split_size: Sequence[Dim], dim: int = 0) -> list[Tensor]:
    """Parts of these sizes along ``dim``."""
    return _parts(x, split_size, dim)


@converter(aten.chunk.default, aten.unsafe_chunk.default)
def chunk(x: Tensor, chunks: int, dim: int = 0) -> list[Tensor]:
    """At most ``chunks`` parts of one size along ``dim``; the last one may be smaller."""
    size = x.shape[dim]
    part = as_dim(-(-size // chunks))
    if isinstance(size, int):
        return split(x, part, dim) if part else _parts(x, [0] * chunks, dim)
    return _parts(x, [*[part] * (chunks - 1), size - part * (chunks - 1)], dim)


@converter(aten.tensor_split.sections)
def tensor_split_sections(x: Tensor, sections: int, dim: int = 0) -> list[Tensor]:
    """``sections`` parts along ``dim``, the first ones larger by one where it does not divide."""
    small, extra = divmod(x.shape[dim], sections)
    if not isinstance(as_dim(extra), int):
        raise ConversionError(
            explain(
                f"{x} may not divide into {sections} parts: which are larger is not known",
                fix=f"give axis {dim} a fixed size, or one that is a multiple of {sections}",
            )
        )
    return _parts(x, [small + 1] * extra + [small] * (sections - extra), dim)


@converter(aten.tensor_split.indices)
def tensor_split_indices(x: Tensor, indices: Sequence[Dim], dim: int = 0) -> list[Tensor]:
    """Parts along ``dim`` that end before each of ``indices``, and the rest."""
    bounds = zip([0, *indices], [*indices, None], strict=True)
    return [sliced(x, dim, start, end) for start, end in bounds]


@converter(aten.unbind.int)
def unbind(x: Tensor, dim: int = 0) -> list[Tensor]:
    """The slices of x along ``dim``, without that axis."""
    axis, count = dim % x.rank, x.shape[dim]
    if not isinstance(count, int):
        raise ConversionError(
            explain(
                f"{x} has {count} slices along axis {axis}: how many is not known",
                fix="give this axis a fixed size in dynamic_shapes",
            )
        )
    return [Squeeze(axes=(axis,))(section(x, axis, i, 1)) for i in range(count)]
