"""``FlashAttention``: attention as one kernel that reads heads in the rows of a linear layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.attention import Attention, lowest
from trtdsl.ir.gather import Gather
from trtdsl.ir.plugin import Plugin
from trtdsl.ir.slice import Slice
from trtdsl.layers.joining import split_with_sizes
from trtdsl.layers.shape import expanded
from trtdsl.network import Network, Tensor
from trtdsl.types import Dim, DType, Shape, TensorType, is_static

__all__ = ["ALIGNMENT", "WIDEST", "FlashAttention"]

T = TypeVar("T")

ALIGNMENT = 8
"""Elements that are copied at once."""
WIDEST = 128
"""Elements of the widest head."""

_HALVES = {DType.FLOAT16: "f16", DType.BFLOAT16: "bf16"}
_MODEST, _LARGE, _SEVERAL = 64, 80, 128
_TILE = 16
"""Queries that the matrix units take at once."""
_WARPS = range(4, 8)


@dataclass(frozen=True, kw_only=True)
class FlashAttention(Plugin, kernel="flash_attention.cu"):
    """``softmax(scale * query @ key.T + mask) @ value``, head by head, sums in float32.

    Inputs: query, key and value, floats of one dtype, each as rows ``(B, L, W)``, or ``(L, B, W)``
    with ``sequence_first``, whose columns hold the heads: head n begins at column
    ``first + n * stride``; as such rows in a matrix ``(B * L, W)`` with L in ``lengths``; or as
    ``(B, N, L, E)``. One tensor may be all three. There are ``heads`` of the query of ``size``
    elements, and ``groups`` of key and value, each for several heads next to each other. With
    ``biased`` a bias follows, ``((heads + groups) * size,)``: what is added to the queries, and
    what is added to the values; one of the keys changes no weight. Optionally a mask
    ``(B, N, L, S)`` to be added, of which B, N and L may be 1; and attending ``(B, N, L, 1)``, of
    which these may be 1 too: a query for which it is 0 gives 0. With ``causal`` query i attends to
    the keys up to i.

    Output: rows ``(B, L, heads * size)`` or ``(L, B, heads * size)``, as a matrix where the query's
    are one.

    The kernel takes float16, and bfloat16 from compute capability 8.0 on, with sizes of a head up
    to 128 and multiples of 8, as strides and widths have to be; anything else is lowered as
    ``trtdsl.ir.attention`` has it.
    Errors: ShapeError. Source: https://arxiv.org/abs/2307.08691;
    aten::scaled_dot_product_attention.
    """

    narrows: ClassVar[bool] = True
    multiplies: ClassVar[bool] = True

    heads: int
    groups: int
    size: int
    first: tuple[int, ...] = (0, 0, 0)
    """Of query, key and value; for those that are rows, as is the next."""
    stride: tuple[int, ...]
    lengths: tuple[int, ...] = (0, 0, 0)
    scale: float
    causal: bool = False
    sequence_first: bool = False
    biased: bool = False

    def infer(
        self, query: TensorType, key: TensorType, value: TensorType, *rest: TensorType
    ) -> TensorType:
        given = ", ".join(map(str, (query, key, value, *rest)))
        self.require_floats(query, key, value, *rest)
        fits = self.biased <= len(rest) <= self.biased + 2
        self.require(fits, f"takes {3 + self.biased} to {5 + self.biased} inputs: {given}")
        bias, mask, attending = self._optional(rest)
        width = (self.heads + self.groups) * self.size
        self.require(bias is None or bias.shape == (width,), f"takes a bias of {width}: {given}")
        fits = self.heads % self.groups == 0 and self.heads > 0
        self.require(fits, f"{self.heads} heads do not share {self.groups}")
        for i, x in enumerate((query, key, value)):
            self._require_heads(i, x)
        lines = (self._lines(i, x) for i, x in enumerate((query, key, value)))
        (batch, length), ours, theirs = lines
        for one, other in ((batch, ours[0]), *zip(ours, theirs, strict=True)):
            fits = not is_static((one, other)) or one == other
            self.require(fits, f"sizes {one} and {other} differ: {given}")
        for given_mask, width in ((mask, ours[1]), (attending, 1)):
            if given_mask is not None:
                self._require_mask(given_mask, (batch, self.heads, length, width))
        return query.with_shape((*self._rows(batch, length, query.rank), self.heads * self.size))

    def _optional(self, rest: Sequence[T]) -> tuple[T | None, T | None, T | None]:
        """Bias, mask and attending, of what follows the values."""
        bias = rest[0] if self.biased and rest else None
        mask, attending = (*rest[int(self.biased) :], None, None)[:2]
        return bias, mask, attending

    def _require_heads(self, index: int, x: TensorType) -> None:
        count = self.groups if index else self.heads
        if x.rank == 4:
            wanted = (count, self.size)
            self.require(x.shape[1::2] == wanted, f"{x} has no {count} heads of {self.size}")
            return
        self.require(x.rank in (2, 3), f"takes rows of rank 2 or 3, or heads of rank 4, not {x}")
        length, lines = self.lengths[index], x.shape[0]
        whole = x.rank == 3 or (length > 0 and (not is_static((lines,)) or lines % length == 0))
        self.require(whole, f"{x} has no rows of sequences of {length}")
        end = self.first[index] + (count - 1) * self.stride[index] + self.size
        fits = is_static(x.shape[-1:]) and end <= x.shape[-1]
        self.require(fits, f"heads end at column {end} of {x}")

    def _require_mask(self, x: TensorType, sizes: Shape) -> None:
        self.require(x.rank == 4, f"takes a mask of rank 4, not {x}")
        for axis, (ours, theirs) in enumerate(zip(x.shape, sizes, strict=True)):
            same = not is_static((ours, theirs)) or ours == theirs
            self.require(same or (axis < 3 and ours == 1), f"{x} is not of the sizes {sizes}")

    def _lines(self, index: int, x: Any) -> tuple[Dim, Dim]:
        """The batch and the length of an input."""
        if len(x.shape) == 4:
            return x.shape[0], x.shape[2]
        if len(x.shape) == 2:
            return x.shape[0] // self.lengths[index], self.lengths[index]
        one, other = x.shape[:2]
        return (other, one) if self.sequence_first else (one, other)

    def _rows(self, batch: Dim, length: Dim, rank: int) -> tuple[Dim, ...]:
        """The axes of rows in front of their columns."""
        if rank == 2:
            return (batch * length,)
        return (length, batch) if self.sequence_first else (batch, length)

    def evaluate(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *rest: torch.Tensor,
    ) -> torch.Tensor:
        bias, mask, attending = self._optional(rest)
        given = [self._heads_of(i, x).float() for i, x in enumerate((query, key, value))]
        if bias is not None:
            of_heads = bias.float().reshape(-1, 1, self.size)
            of_query, of_value = of_heads[: self.heads], of_heads[self.heads :]
            given = [given[0] + of_query, given[1], given[2] + of_value]
        given[0] = given[0] * self.scale
        masks = () if mask is None else (_summand(mask),)
        y = Attention(causal=self.causal).evaluate(*given, *masks)
        if attending is not None:
            y = torch.where(attending != 0, y, 0.0)
        order = (2, 0, 1, 3) if self.sequence_first else (0, 2, 1, 3)
        y = y.permute(order).flatten(2).to(query.dtype)
        return y.flatten(0, 1) if query.ndim == 2 else y

    def _heads_of(self, index: int, x: torch.Tensor) -> torch.Tensor:
        if x.ndim == 4:
            return x
        if x.ndim == 2:
            x = x.reshape(*self._rows(*self._lines(index, x), 3), x.shape[1])
        x = x.transpose(0, 1) if self.sequence_first else x
        return x[:, :, self._columns(index).to(x.device)].transpose(1, 2)

    def takes(self, *inputs: TensorType) -> bool:
        sizes = [self.size, *self.first, *self.stride]
        sizes += [x.shape[-1] for x in inputs[:3] if x.rank < 4]
        aligned = all(size % ALIGNMENT == 0 for size in sizes)
        fits = aligned and self.size <= WIDEST and self.scale > 0
        return inputs[0].dtype in _HALVES and fits

    def expand(self, *inputs: Tensor) -> Tensor:
        query, key, value = (self._heads(i, x) for i, x in enumerate(inputs[:3]))
        bias, mask, attending = self._optional(inputs[3:])
        if bias is not None:
            of_heads = bias.reshape(1, -1, 1, self.size)
            of_query, of_value = split_with_sizes(of_heads, self._counts, 1)
            query, value = query + of_query, value + of_value
        masks = [] if mask is None else [expanded(mask, (-1, -1, query.shape[2], -1))]
        masks += [] if attending is None else [attending.cast(DType.BOOL)]
        y = Attention(causal=self.causal)(query * self.scale, key, value, *masks)
        batch, heads, length, size = y.shape
        lines = self._rows(batch, length, inputs[0].rank)
        order = (2, 0, 1, 3) if self.sequence_first else (0, 2, 1, 3)
        return y.permute(*order).reshape(*lines, heads * size)

    def _heads(self, index: int, x: Tensor) -> Tensor:
        if x.rank == 4:
            return x
        one, other = self._rows(*self._lines(index, x), 3)
        x = x.reshape(one, other, x.shape[-1])
        count, first, stride = self._count(index), self.first[index], self.stride[index]
        if stride == self.size:
            shape = (one, other, count * self.size)
            x = Slice(start=(0, 0, first), shape=shape, stride=(1, 1, 1))(x)
        else:
            x = Gather(axis=2)(x, x.network.constant(self._columns(index).flatten()))
        order = (1, 2, 0, 3) if self.sequence_first else (0, 2, 1, 3)
        return x.reshape(one, other, count, self.size).permute(*order)

    @property
    def _counts(self) -> tuple[int, int]:
        return self.heads, self.groups

    def _count(self, index: int) -> int:
        return self.groups if index else self.heads

    def bias_of(self, index: int, bias: Tensor | None, network: Network) -> Tensor:
        """The part of a bias ``(W,)`` of rows that is of heads; zeros for none."""
        if bias is None:
            return network.constant(torch.zeros(self._count(index) * self.size))
        return Gather(axis=0)(bias, network.constant(self._columns(index).flatten()))

    def _columns(self, index: int) -> torch.Tensor:
        """The columns of an input that hold heads, int64 ``(heads, size)``."""
        starts = self.first[index] + torch.arange(self._count(index)) * self.stride[index]
        return starts[:, None] + torch.arange(self.size)

    def defines(self, *dtypes: DType) -> tuple[tuple[str, str], ...]:
        kind = _HALVES.get(dtypes[0], "f32")
        return *super().defines(*dtypes), ("HEAD", str(self.size)), ("TYPE", kind)

    def launch(
        self, query: Buffer, key: Buffer, value: Buffer, *rest: Buffer, workspace: Buffer | None
    ) -> Launch:
        *optional, y = rest
        bias, mask, attending = self._optional(optional)
        (batch, length), (_, keys) = self._lines(0, query), self._lines(1, key)
        warps = _warps(length, self.size)
        paired = mask is None and _is_paired(length, self.size)
        together = _TILE * warps * (2 if paired else 1)
        given = (query, key, value, bias, y, length, keys)
        counts = self.heads, self.heads // self.groups
        strides = [n for i, x in enumerate((query, key, value)) for n in self._strides(i, x)]
        *_, rows = y.shape
        lines = (rows, self.size, batch * rows)
        if not self.sequence_first:
            lines = (length * rows, self.size, rows)
        args: tuple[Any, ...] = (*given, *counts, self.scale, self.causal, *strides, *lines)
        if mask is not None:
            args += (mask, *_repeating(mask.shape))
            args += (None, 0, 0, 0) if attending is None else (
                attending, *_repeating(attending.shape)
            )  # fmt: skip
        kernel = "attention" if mask is None else "masked_attention"
        if paired:
            kernel = "attention_by_pairs"
        grid = (-(-length // together), self.heads, batch)
        return Launch(
            kernel=kernel,
            # The second and third size are below 2 ** 16; open ones, ahead of time, stay apart.
            grid=math.prod(grid) if is_static(grid) else grid,
            block=32 * warps,
            args=args,
        )

    def _strides(self, index: int, x: Buffer) -> tuple[int, int, int, int]:
        """The first element, and the steps from one of the batch, head and token to the next."""
        if len(x.shape) == 4:
            _, heads, length, size = x.shape
            return 0, heads * length * size, length * size, size
        batch, length = self._lines(index, x)
        first, head, width = self.first[index], self.stride[index], x.shape[-1]
        if self.sequence_first:
            return first, width, head, batch * width
        return first, length * width, head, width


def _summand(mask: torch.Tensor) -> torch.Tensor:
    """What the kernel adds: of a mask in 16 bits, no less than ``lowest`` of float16."""
    return mask if mask.dtype is torch.float32 else mask.float().clamp(min=lowest(DType.FLOAT16))


def _is_paired(length: Any, size: int) -> bool:
    """Whether a warp has 16 queries twice: where there are enough, and registers for them.

    Masks leave no registers. Measured on one H200; open sizes are those of what is ahead of time.
    """
    return size <= _MODEST and (not isinstance(length, int) or length >= _SEVERAL)


def _warps(length: Any, size: int) -> int:
    """How many warps a block has, so that few of its queries are missing."""
    # More of them have no room for their queries in shared memory, or were slower.
    if not _MODEST < size <= _LARGE or not isinstance(length, int):
        return _WARPS[0]
    count = max(-(-length // _TILE), _WARPS[0])
    return max(_WARPS, key=lambda warps: (-(-(-count // warps) * warps), warps))


def _repeating(shape: Shape) -> tuple[Dim, ...]:
    """The strides of the first three axes, 0 where one element is all there is."""
    _, heads, length, width = shape
    steps = (heads * length * width, length * width, width)
    return tuple(0 if n == 1 else step for n, step in zip(shape, steps, strict=False))
