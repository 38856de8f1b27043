"""Converters that pick parts of a tensor: select, slice, index, gather."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.constant import Constant
from trtdsl.ir.gather import Gather, GatherMode
from trtdsl.ir.select import Select
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.ir.slice import SampleMode, Slice, section
from trtdsl.network import Network, Tensor
from trtdsl.operators import align, as_tensor, maximum
from trtdsl.real import is_read
from trtdsl.registry import converter
from trtdsl.types import Dim, DType, as_dim, broadcast, is_static, symbols

from .creation import filled, iota
from .data_dependent import indices_of, laid_flat
from .shape import expanded

__all__ = ["from_the_front", "is_computed", "selected_range", "sliced", "wrapped"]

aten = torch.ops.aten

_MASKS = (DType.BOOL, DType.UINT8)


@converter(aten.select.int)
def select(x: Tensor, dim: int, index: Dim) -> Tensor:
    """The slice of x at ``index`` of axis ``dim``, without that axis."""
    axis = dim % x.rank
    if is_computed(x.network, index):
        return Gather(axis=axis)(x, wrapped(as_tensor(index, x.network), x.shape[axis]))
    one = _before_repetition(x, axis)
    if one is not None:
        return Squeeze(axes=(axis,))(one)
    start = from_the_front(x.network, index, x.shape[axis])
    return Squeeze(axes=(axis,))(section(x, axis, start, 1))


def _before_repetition(x: Tensor, axis: int) -> Tensor | None:
    """The one slice along an axis, where x is that repeated and whole in all else."""
    made = x.producer
    if made is None or not isinstance(made.layer, Slice):
        return None
    cut, one = made.layer, made.inputs[0]
    repeats = one.shape[axis] == 1 and cut.stride == tuple(int(i != axis) for i in range(x.rank))
    whole = (*one.shape[:axis], x.shape[axis], *one.shape[axis + 1 :]) == x.shape
    return one if repeats and whole and cut.start == (0,) * x.rank else None


@converter(aten.slice.Tensor)
def slice_(
    x: Tensor, dim: int = 0, start: Dim | None = None, end: Dim | None = None, step: int = 1
) -> Tensor:
    """``x[start:end:step]`` along ``dim``, counted and cut off at the ends as in Python."""
    return sliced(x, dim, start, end, step)


def sliced(x: Tensor, dim: int, start: Dim | None, end: Dim | None, step: int = 1) -> Tensor:
    """``x[start:end:step]`` along ``dim``."""
    axis = dim % x.rank
    if any(end_ is not None and is_read(x.network, end_) for end_ in (start, end)):
        return _between(x, axis, start, end, step)
    first, size = selected_range(x, axis, start, end, step)
    return section(x, axis, first, size, step)


def _between(x: Tensor, axis: int, start: Dim | None, end: Dim | None, step: int) -> Tensor:
    """A slice whose ends are read from tensors: what lies between them is found as by a mask."""
    net, size = x.network, x.shape[axis]
    places = iota(net, size)
    first = wrapped(as_tensor(0 if start is None else start, net, DType.INT64), size)
    first = maximum(first, 0)
    inside = ~(places < first) & ((places - first) % step).equal(0)
    if end is not None:
        inside = inside & (places < wrapped(as_tensor(end, net, DType.INT64), size))
    (found,) = indices_of(inside)
    return Gather(axis=axis)(x, found)


def selected_range(
    x: Tensor, axis: int, start: Dim | None, end: Dim | None, step: int
) -> tuple[Dim, Dim]:
    """The first index and the number of indices of a Python slice."""
    net, size = x.network, x.shape[axis]
    first = 0 if start is None else _cut(net, from_the_front(net, start, size), size)
    stop = size if end is None else _cut(net, from_the_front(net, end, size), size)
    length = _largest(net, 0, stop - first)
    return first, as_dim((length + step - 1) // step)


def from_the_front(net: Network, index: Dim, size: Dim) -> Dim:
    """An index that may count from the end, counted from the front."""
    low, high = net.bounds(index)
    if low >= 0:
        return index
    if high < 0:
        return as_dim(size + index)
    raise ConversionError(
        explain(
            f"index {index} is {low} to {high}: from the front or from the end?",
            fix="narrow the range of its size in dynamic_shapes",
        )
    )


def is_computed(net: Network, index: Dim) -> bool:
    """Whether an index is read from a tensor, or may count from the front as well as the end."""
    if symbols([index]) & net.numbers.keys():
        return True
    low, high = net.bounds(index)
    return low < 0 <= high


def _cut(net: Network, index: Dim, size: Dim) -> Dim:
    """An index cut off at 0 and at the size."""
    low, high = net.bounds(index - size)
    if low >= 0:
        return size
    if high > 0:
        import sympy

        index = sympy.Min(index, size)
    return _largest(net, 0, index)


def _largest(net: Network, floor: int, value: Dim) -> Dim:
    low, high = net.bounds(value)
    if low >= floor:
        return value
    if high <= floor:
        return floor
    import sympy

    return sympy.Max(floor, value)


@converter(aten.narrow.default)
def narrow(x: Tensor, dim: int, start: Dim, length: Dim) -> Tensor:
    """``length`` elements along ``dim`` from ``start`` on."""
    axis = dim % x.rank
    if is_computed(x.network, start) and not is_read(x.network, length):
        first = wrapped(as_tensor(start, x.network), x.shape[axis])
        return Gather(axis=axis)(x, first + iota(x.network, length))
    return section(x, axis, from_the_front(x.network, start, x.shape[axis]), length)


@converter(aten.index_select.default)
def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of x at ``index``, a vector, along ``dim``."""
    if x.rank == 0:
        return x
    index = index if index.rank else index.reshape(1)
    return Gather(axis=dim % x.rank)(x, index)


@converter(aten.gather.default)
def gather(x: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``y[i, j] = x[index[i, j], j]`` for axis 0; y has the shape of ``index``."""
    if 0 in index.shape:  # of any dtype and rank, in PyTorch
        return filled(x.network, index.shape, 0, x.dtype)
    if x.rank == 0 or index.rank == 0:
        return Gather(axis=0)(x.reshape(1) if x.rank == 0 else x, index)
    axis = dim % x.rank
    for other, size in enumerate(index.shape):
        # PyTorch reads only the first part of a longer axis; TensorRT wants equal sizes.
        if other != axis:
            x = section(x, other, 0, size)
    line = _repeated_line(index, axis)
    if line is not None:
        return Gather(axis=axis)(x, line)
    return Gather(mode=GatherMode.ELEMENT, axis=axis)(x, index)


def _repeated_line(index: Tensor, axis: int) -> Tensor | None:
    """The places ``(n,)`` along an axis, where the same are repeated along all other axes."""
    made = index.producer
    if made is None or not isinstance(made.layer, Slice):
        return None
    cut, (line,) = made.layer, made.inputs[:1]
    others = [i for i in range(index.rank) if i != axis]
    repeated = all(line.shape[i] == 1 and cut.start[i] == 0 for i in others)
    whole = (cut.start[axis], cut.stride[axis], index.shape[axis]) == (0, 1, line.shape[axis])
    strict = cut.mode is SampleMode.STRICT_BOUNDS
    return line.reshape(line.shape[axis]) if strict and repeated and whole else None


@converter(aten.take_along_dim.default)
def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` where all axes but ``dim`` broadcast; without one, of both laid flat."""
    if dim is None:
        x, indices = (v.reshape(math.prod(v.shape)) for v in (x, indices))
        return gather(x, 0, wrapped(indices, x.shape[0]))
    axis = dim % x.rank

    def without(v: Tensor) -> tuple[Dim, ...]:
        return (*v.shape[:axis], 1, *v.shape[axis + 1 :])

    shape = broadcast(without(x), without(indices))
    x, indices = (
        expanded(v, (*shape[:axis], v.shape[axis], *shape[axis + 1 :])) for v in (x, indices)
    )
    return gather(x, axis, wrapped(indices, x.shape[axis]))


@converter(aten.index.Tensor, aten._unsafe_index.Tensor)
def index(x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    """``x[indices]``: the index tensors broadcast to one shape, None takes a whole axis.

    That shape stands where the indexed axes were if they are neighbours, in front otherwise.
    """
    axes = [axis for axis, i in enumerate(indices) if i is not None]
    if len(axes) == 1 and (mask := indices[axes[0]]) is not None and _is_mask(mask):
        return _at_mask(x, axes[0], mask)
    indices = _without_masks(indices)
    axes = [axis for axis, i in enumerate(indices) if i is not None]
    given = [wrapped(i, x.shape[axis]) for axis, i in enumerate(indices) if i is not None]
    if len(axes) == 1:
        return Gather(axis=axes[0])(x, given[0])
    others = [axis for axis in range(x.rank) if axis not in axes]
    rest = [x.shape[axis] for axis in others]
    # The indexed axes as one, and one index into it.
    flat = given[0]
    for axis, i in zip(axes[1:], given[1:], strict=True):
        flat = flat * x.shape[axis] + i
    joined = math.prod(x.shape[axis] for axis in axes)
    picked = Gather(axis=0)(x.permute(*axes, *others).reshape(joined, *rest), flat)
    neighbours = axes == list(range(axes[0], axes[0] + len(axes)))
    before = axes[0] if neighbours else 0
    n = flat.rank
    return picked.permute(*range(n, n + before), *range(n), *range(n + before, picked.rank))


def _is_mask(x: Tensor) -> bool:
    return x.dtype in _MASKS and x.rank > 0


def _at_mask(x: Tensor, axis: int, mask: Tensor) -> Tensor:
    """What one mask picks, whose first axis is x's ``axis``: the axes it covers become one."""
    after = axis + mask.rank
    joined = (*x.shape[:axis], math.prod(x.shape[axis:after]), *x.shape[after:])
    (found,) = indices_of(laid_flat(mask))
    return Gather(axis=axis)(x if mask.rank == 1 else x.reshape(*joined), found)


def _without_masks(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The indices with every mask replaced by the positions where it is true, one for each axis."""
    given: list[Tensor | None] = []
    for i in indices:
        given += indices_of(i) if i is not None and _is_mask(i) else [i]
    return given


def wrapped(index: Tensor, size: Dim) -> Tensor:
    """Indices counted from the front, as TensorRT's gather wants them."""
    if index.dtype in _MASKS:
        raise ConversionError(
            explain(
                f"a mask as index, {index}: the size of the result depends on its values",
                fix="use torch.where(mask, x, other), or indices of a fixed number",
            )
        )
    layer = index.producer.layer if index.producer else None
    if isinstance(layer, Constant) and bool((layer.weights.tensor >= 0).all()):
        return index
    return Select()(*align(index < 0, index + size, index))


@converter(aten.one_hot.default)
def one_hot(net: Network, x: Tensor, num_classes: int = -1) -> Tensor:
    """1 where the index is, 0 elsewhere: ``(*S) -> (*S, num_classes)`` int64."""
    if num_classes < 0:
        raise ConversionError(
            explain(
                f"one_hot of {x} without num_classes: its size depends on the values",
                fix="one_hot(x, num_classes=...)",
            )
        )
    classes = net.constant(list(range(num_classes)), x.dtype)
    return Unsqueeze(axes=(x.rank,))(x).equal(classes).cast(DType.INT64)


@converter(aten.diagonal.default)
def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of matrices as the last axis, ``offset`` columns to the right."""
    a, b = dim1 % x.rank, dim2 % x.rank
    rows, columns = x.shape[a], x.shape[b]
    others = [axis for axis in range(x.rank) if axis not in (a, b)]
    lead = [x.shape[axis] for axis in others]
    flat = x.permute(*others, a, b).reshape(*lead, rows * columns)
    first = offset if offset >= 0 else -offset * columns
    length = _shortest(rows + min(offset, 0), columns - max(offset, 0))
    return section(flat, len(others), first, length, columns + 1)


@converter(aten.linalg_diagonal.default)
def linalg_diagonal(
    A: Tensor,  # noqa: N803
    *,
    offset: int = 0,
    dim1: int = -2,
    dim2: int = -1,
) -> Tensor:
    """``diagonal`` of the last two axes, where no others are named."""
    return diagonal(A, offset, dim1, dim2)


def _shortest(rows: Dim, columns: Dim) -> Dim:
    """How long a diagonal is that begins at the corner of what is left of a matrix."""
    if is_static((rows, columns)):
        return max(0, min(rows, columns))
    import sympy

    return rows if rows == columns else sympy.Max(0, sympy.Min(rows, columns))


@converter(aten.meshgrid.indexing)
def meshgrid(tensors: Sequence[Tensor], *, indexing: str) -> list[Tensor]:
    """Each vector along its own axis, repeated over the others; ``xy`` swaps the first two."""
    if indexing not in ("ij", "xy"):
        raise ConversionError(explain(f"meshgrid has no indexing {indexing!r}", fix="'ij' or 'xy'"))
    vectors = [v.reshape(1) if v.rank == 0 else v for v in tensors]
    places = list(range(len(vectors)))
    if indexing == "xy" and len(vectors) > 1:
        places[0], places[1] = 1, 0
    shape = [vectors[places.index(axis)].shape[0] for axis in range(len(vectors))]

    def spread(v: Tensor, place: int) -> Tensor:
        ones: list[Dim] = [1] * len(vectors)
        ones[place] = v.shape[0]
        return expanded(v.reshape(*ones), shape)

    return [spread(v, place) for v, place in zip(vectors, places, strict=True)]
