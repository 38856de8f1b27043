"""What convolutions and pooling share: a value for each spatial axis, inputs without a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trtdsl.errors import ConversionError
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.network import Tensor

__all__ = ["batched", "per_axis"]


def per_axis(values: Sequence[int], count: int) -> tuple[int, ...]:
    """One value for each of ``count`` axes; PyTorch lets a single one stand for all of them."""
    if len(values) not in (1, count):
        raise ConversionError(
            f"takes 1 value or {count}, one for each spatial axis, not {list(values)}"
        )
    return tuple(values) if len(values) == count else tuple(values) * count


def batched(x: Tensor, spatial: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    """``function(x)``, whose layer wants a batch: ``(C, *S)`` goes as ``(1, C, *S)``."""
    if x.rank == spatial + 2:
        return function(x)
    return Squeeze(axes=(0,))(function(Unsqueeze(axes=(0,))(x)))
