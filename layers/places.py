"""``Places``: where updates go in a tensor, and what becomes of several that go to one place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.cumulative import strides
from trtdsl.ir.gather import Gather, GatherMode
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.scatter import Scatter, ScatterMode
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.ir.slice import SampleMode, Slice, section
from trtdsl.network import Network, Tensor
from trtdsl.operators import maximum, minimum, where
from trtdsl.reference import fold, settle
from trtdsl.types import Dim, DType

from .chosen_sums import chosen_sums
from .comparison import isnan
from .creation import iota
from .scan import along

__all__ = ["LARGEST_TABLE", "REDUCTIONS", "Places", "require_table"]

LARGEST_TABLE = 2**28
"""The most comparisons of all with all: a table of int32 then takes 1 GiB while the engine runs."""

Combine = Callable[[Tensor, Tensor], Tensor]


def _larger(x: Tensor, y: Tensor) -> Tensor:
    """The larger of each two elements, NaN where either is."""
    return where((y < x) | isnan(x), x, y) if x.dtype.is_float else maximum(x, y)


def _smaller(x: Tensor, y: Tensor) -> Tensor:
    return where((x < y) | isnan(x), x, y) if x.dtype.is_float else minimum(x, y)


REDUCTIONS: dict[str, Combine] = {
    "sum": lambda x, y: x + y,
    "prod": lambda x, y: x * y,
    "mean": lambda x, y: x + y,
    "amax": _larger,
    "amin": _smaller,
}
"""How two elements of one place become one; a mean is divided by their number in the end."""

_NEUTRAL = {"sum": 0, "mean": 0, "prod": 1}
"""What changes nothing when it is combined."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Places along one axis of a tensor, counted from the front.

    With ``element`` the index has the tensor's shape but for that axis, and each index replaces its
    own coordinate; without, it is a vector, and each index stands for a slice.
    """

    index: Tensor
    axis: int
    element: bool

    @property
    def count(self) -> Dim:
        """The number of places along the axis."""
        return self.index.shape[self._own_axis]

    @property
    def _own_axis(self) -> int:
        return self.axis if self.element else 0

    def gather(self, x: Tensor) -> Tensor:
        """What stands at the places of x."""
        mode = GatherMode.ELEMENT if self.element else GatherMode.DEFAULT
        return Gather(mode=mode, axis=self.axis)(x, self.index)

    def write(self, x: Tensor, updates: Tensor) -> Tensor:
        """x with the updates at the places, which are distinct, or hold any of several updates."""
        if self.element:
            return Scatter(mode=ScatterMode.ELEMENT, axis=self.axis)(x, self.index, updates)
        rest = [axis for axis in range(x.rank) if axis != self.axis]
        x, updates = (v.permute(self.axis, *rest) for v in (x, updates))
        written = Scatter(mode=ScatterMode.ND)(x, self.index.reshape(self.count, 1), updates)
        return written.permute(*range(1, self.axis + 1), 0, *range(self.axis + 1, x.rank))

    def reduce(self, x: Tensor, updates: Tensor, reduce: str, *, include_self: bool) -> Tensor:
        """x with the sum, product, .. of all updates of a place there, and of x with include_self.

        TensorRT's scatter does not reduce. Where there are at least as many updates as places, each
        place looks through all of them; sums of slices are a matrix product. Else the updates of
        one place are chained, each to the one before, and reduced along the chain in log2(n) steps
        that halve it; the chains are found by comparing all indices with all. Halves are added and
        multiplied in float32.

        Source: Wyllie, "The complexity of parallel computations", 1979 (pointer jumping).
        """
        slices = self._as_slices()
        if slices is not None:
            return slices.reduce(x, updates, reduce, include_self=include_self)
        dtype, combine = x.dtype, REDUCTIONS[reduce]
        x, updates = (_computable(v, reduce) for v in (x, updates))
        distinct = self._are_distinct()
        if not distinct and reduce in _NEUTRAL and self._are_many(x):
            return self._looked_up(x, updates, reduce, include_self).cast(dtype)
        if not distinct and self._are_rows(x, reduce):
            return self._multiplied(x, updates, reduce, include_self).cast(dtype)
        chains = None if distinct else _Chains.of(self)
        totals = chains.reduced(updates, reduce) if chains else updates
        if include_self:
            totals = combine(self.gather(x), totals)
        if reduce == "mean":
            number = self.spread(chains.lengths(), x.rank) if chains else 1
            totals = _mean(totals, number + int(include_self))
        written = chains.write_last(x, totals) if chains else self.write(x, totals)
        return written.cast(dtype)

    def _as_slices(self) -> Places | None:
        """The same places as slices, where one index is repeated along all other axes."""
        made = self.index.producer
        if not self.element or made is None or not isinstance(made.layer, Slice):
            return None
        (vector, *_), layer = made.inputs, made.layer
        others = [a for a in range(self.index.rank) if a != self.axis]
        repeats = all(vector.shape[a] == 1 and layer.stride[a] == 0 for a in others)
        whole = vector.shape[self.axis] == self.count and layer.stride[self.axis] == 1
        if not others or not repeats or not whole:
            return None
        return Places(index=vector.reshape(self.count), axis=self.axis, element=False)

    def _are_many(self, x: Tensor) -> bool:
        bounds = x.network.bounds
        return self.element and bounds(x.shape[self.axis])[1] <= bounds(self.count)[0]

    def _looked_up(self, x: Tensor, updates: Tensor, reduce: str, include_self: bool) -> Tensor:
        """``reduce`` by a table of places and updates, for updates of the tensor's other sizes."""
        axis, net = self.axis, x.network
        size = math.prod(self.index.shape) * x.shape[axis]
        require_table(net, size, f"{self.index}")
        numbers = along(iota(net, x.shape[axis]).cast(self.index.dtype), axis, x.rank + 1)
        hits = Unsqueeze(axes=(axis,))(self.index).equal(numbers)
        own = where(hits, Unsqueeze(axes=(axis,))(updates), _NEUTRAL[reduce], updates.dtype)
        operation = ReduceOperation.PROD if reduce == "prod" else ReduceOperation.SUM
        total = Reduce(op=operation, axes=(axis + 1,))(own)
        count = Reduce(op=ReduceOperation.SUM, axes=(axis + 1,))(hits.cast(DType.INT32))
        if include_self:
            total = REDUCTIONS[reduce](x, total)
        if reduce == "mean":
            total = _mean(total, maximum(count + int(include_self), 1))
        return where(count.equal(0), x, total)

    def _are_rows(self, x: Tensor, reduce: str) -> bool:
        """Whether a table of places and slices is no larger than that of slices and slices.

        TensorRT 8.6 builds chains whose length values decide in minutes, and this in seconds.
        """
        if self.element or reduce not in ("sum", "mean") or not x.dtype.is_float:
            return False
        size, count = (x.network.bounds(n)[1] for n in (x.shape[self.axis], self.count))
        return not self.index.is_constant and size <= count and size * count <= LARGEST_TABLE

    def _multiplied(self, x: Tensor, updates: Tensor, reduce: str, include_self: bool) -> Tensor:
        """``reduce`` by a product of a table of places and slices with the slices."""
        axis, places = self.axis, x.shape[self.axis]
        rest = [a for a in range(x.rank) if a != axis]
        rows, index = updates.permute(axis, *rest).reshape(self.count, -1), self.index
        if x.network.bounds(self.count)[0] == 0:  # a product adds something up, if only zeros
            rows, index = _behind(rows, 0, 0), _behind(index, 0, -1)
        numbers = iota(x.network, places).cast(index.dtype).reshape(places, 1)
        chosen = numbers.equal(index.reshape(1, -1))
        back = [*range(1, axis + 1), 0, *range(axis + 1, x.rank)]
        total = (
            chosen_sums(chosen, rows).reshape(places, *(x.shape[a] for a in rest)).permute(*back)
        )
        if include_self:
            total = x + total
        count = Reduce(op=ReduceOperation.SUM, axes=(1,))(chosen.cast(DType.INT32))
        count = along(count, axis, x.rank)
        if reduce == "mean":
            total = _mean(total, maximum(count + int(include_self), 1))
        return total if include_self else where(count.equal(0), x, total)

    def spread(self, x: Tensor, rank: int) -> Tensor:
        """A value for each place in the shape of an update, or one that broadcasts to it."""
        return x if self.element else along(x, self.axis, rank)

    def at(self, index: Tensor) -> Places:
        """Other places along the same axis."""
        return Places(index=index, axis=self.axis, element=self.element)

    def _are_distinct(self) -> bool:
        """Whether the indices are known, and no two of a lane are equal."""
        if self.count == 1:
            return True
        if not self.index.is_constant:
            return False
        ordered = fold(self.index).sort(self._own_axis).values
        distinct = bool((ordered.diff(dim=self._own_axis) != 0).all())
        if distinct:
            settle(self.index)
        return distinct


@dataclass(frozen=True, kw_only=True)
class _Chains:
    """The updates that go to one place, each linked to the one before it."""

    places: Places
    order: Tensor
    """The number of each update, int32."""
    before: Tensor
    """The number of the update of the same place before each one, -1 for the first."""
    last: Tensor
    """Whether no update of the same place follows."""
    same: Tensor
    """Whether two updates, along the axis and along the next, are of the same place."""

    @classmethod
    def of(cls, places: Places) -> _Chains:
        index, axis = places.index, places._own_axis
        require_table(index.network, math.prod(index.shape) * places.count, f"{index}")
        numbers = iota(index.network, places.count).cast(DType.INT32)
        one, other = (along(numbers, a, index.rank + 1) for a in (axis, axis + 1))
        same = Unsqueeze(axes=(axis + 1,))(index).equal(Unsqueeze(axes=(axis,))(index))
        largest = Reduce(op=ReduceOperation.MAX, axes=(axis + 1,))
        before = largest(where(same & (other < one), other, -1))
        follows = largest((same & (one < other)).cast(DType.INT32))
        return cls(
            places=places,
            order=along(numbers, axis, index.rank),
            before=before,
            last=follows.equal(0),
            same=same,
        )

    def lengths(self) -> Tensor:
        """How many updates go to the place of each, int32."""
        axis = self.places._own_axis + 1
        return Reduce(op=ReduceOperation.SUM, axes=(axis,))(self.same.cast(DType.INT32))

    def reduced(self, updates: Tensor, reduce: str) -> Tensor:
        """At the last update of each place, all of that place combined.

        Before the first of a place stands one that changes nothing: itself for extremes, else the
        neutral number in front of all. Steps of a gather or two are what TensorRT 8.6 builds in
        seconds: with comparisons among them, a build took minutes.
        """
        places, axis, own = self.places, self.places.axis, self.places._own_axis
        start, before = 0, where(self.before < 0, self.order, self.before)
        if reduce in _NEUTRAL:
            start, before = 1, _behind(self.before + 1, own, 0)
            updates = _behind(updates, axis, _NEUTRAL[reduce])
        for stride in strides(places.index, own):
            if stride > 1:
                before = Places(index=before, axis=own, element=True).gather(before)
            updates = REDUCTIONS[reduce](places.at(before).gather(updates), updates)
        return section(updates, axis, start, places.count) if start else updates

    def write_last(self, x: Tensor, totals: Tensor) -> Tensor:
        """x with the last of each place; the others go behind the end, each to its own place."""
        axis, size = self.places.axis, x.shape[self.places.axis]
        longer = Concatenation(axis=axis)(x, totals)
        target = self.places.at(where(self.last, self.places.index, self.order + size))
        return section(target.write(longer, totals), axis, 0, size)


def _behind(x: Tensor, axis: int, value: float) -> Tensor:
    """x behind a slice of one value."""
    shape = tuple(n + 1 if a == axis else n for a, n in enumerate(x.shape))
    start = tuple(-1 if a == axis else 0 for a in range(x.rank))
    layer = Slice(start=start, shape=shape, stride=(1,) * x.rank, mode=SampleMode.FILL)
    return layer(x, x.network.constant(value, x.dtype))


def require_table(net: Network, size: Dim, what: str) -> None:
    """Refuse to compare all with all where that takes more than LARGEST_TABLE comparisons."""
    largest = net.bounds(size)[1]
    if largest > LARGEST_TABLE:
        raise ConversionError(
            explain(
                f"{what} takes {largest} comparisons of its elements with each other, "
                f"more than {LARGEST_TABLE}",
                fix="do it in smaller parts, or give its sizes a smaller range",
            )
        )


def _computable(x: Tensor, reduce: str) -> Tensor:
    if x.dtype.is_float:
        return x if reduce in ("amax", "amin") else x.cast(DType.FLOAT32)
    return x.cast(DType.INT32) if x.dtype.itemsize == 1 else x


def _mean(total: Tensor, number: Tensor | int) -> Tensor:
    mean: Tensor = total / number if total.dtype.is_float else total // number
    return mean
