"""Operands that no input reaches, and the weights that TensorRT gets of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trtdsl.errors import BuildError, explain

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Folded", "Placed", "narrow", "require_finite"]

_INT32 = 2**31


@dataclass(frozen=True, eq=False, kw_only=True)
class Placed:
    """``tensorrt.Weights``, their value, and the network's tensor that they are, if any."""

    weights: Any
    value: torch.Tensor
    source: Tensor | None


class Folded:
    """An operand that no input reaches: its value, as weights or, once asked for, as an ITensor."""

    def __init__(self, api: Api, source: Tensor) -> None:
        self._api = api
        self.source = source

    @cached_property
    def tensor(self) -> torch.Tensor:
        """The value, contiguous and on the CPU."""
        from trtdsl.reference import fold

        return fold(self.source).cpu().contiguous()

    @property
    def name(self) -> str:
        return self.source.name

    @cached_property
    def _itensor(self) -> Any:
        before = len(self._api.created)
        itensor = self._api.constant(self.tensor, self.source)
        for i, layer in enumerate(self._api.created[before:]):
            self._api.name(layer, f"{self.name}.{i}" if i else self.name)
        del self._api.created[before:]  # it is named, and belongs to no operation
        return itensor

    def itensor(self) -> Any:
        """The value as the output of a constant layer."""
        return self._itensor


def require_finite(value: torch.Tensor, name: str) -> None:
    """Refuse weights that a 16-bit type could not hold. Errors: BuildError."""
    low, high = value.aminmax() if value.numel() else (value.new_zeros(()),) * 2
    if not (low.isfinite() and high.isfinite()):
        kind = str(value.dtype).removeprefix("torch.")
        raise BuildError(
            explain(
                f"weights {name} hold {float(low):g} to {float(high):g} in {kind}",
                fix="use a wider precision, or smaller weights in the model",
            )
        )


def narrow(value: torch.Tensor) -> torch.Tensor:
    """int64 as int32, where every value fits. Errors: BuildError."""
    if value.numel() and (value.min() < -_INT32 or value.max() >= _INT32):
        raise BuildError(
            explain(
                f"a constant holds {int(value.min())}..{int(value.max())}, "
                "and this TensorRT has no int64",
                fix="use TensorRT 10 or later, or smaller integers in the model",
            )
        )
    return value.int()
