"""``Constant``: weights and other values known before the engine runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.base import Layer
from trtdsl.types import DType, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["Constant", "Weights", "digest", "raw_bytes"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Weights:
    """A PyTorch tensor held by reference, and its name in the model's ``state_dict`` if any."""

    tensor: torch.Tensor
    name: str | None = None

    @classmethod
    def of(cls, value: Any, dtype: DType | None = None, *, name: str | None = None) -> Weights:
        """Weights from a tensor, a Python scalar or nested sequences of them."""
        import torch

        dtype = dtype and DType.of(dtype)
        if not isinstance(value, torch.Tensor):
            value = _known(value, dtype)
        tensor = value.detach()
        if tensor.is_meta or tensor.layout is not torch.strided:
            what = "has no values" if tensor.is_meta else f"is sparse ({tensor.layout})"
            raise ConversionError(
                explain(f"constant{_named(name)} {what}", fix="give a dense tensor on a device")
            )
        if dtype is None:
            try:
                DType.of(tensor.dtype)
            except ValueError:
                raise ConversionError(
                    explain(
                        f"constant{_named(name)} is {tensor.dtype}, which TensorRT has not",
                        fix="in a module, model.float() first; by hand, net.constant(x.float())",
                    )
                ) from None
        return cls(tensor=tensor if dtype is None else tensor.to(dtype.torch), name=name)

    @cached_property
    def type(self) -> TensorType:
        return TensorType(DType.of(self.tensor.dtype), tuple(self.tensor.shape))

    def __repr__(self) -> str:
        if self.tensor.numel() == 1 and self.name is None:
            return f"{self.tensor.item():g} {self.type}"
        return f"{self.name or 'value'}: {self.type}"


def _named(name: str | None) -> str:
    return f" {name}" if name else ""


def _known(value: Any, dtype: DType | None) -> torch.Tensor:
    """A Python scalar, nested sequences of them or a numpy array as a tensor."""
    import torch

    try:
        return torch.tensor(value, dtype=dtype and dtype.torch)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConversionError(
            explain(
                f"{value!r:.60} makes no constant{f' of {dtype.value}' if dtype else ''}: {error}",
                fix="give numbers of that dtype: a tensor, an array, or nested sequences of them",
            )
        ) from None


@dataclass(frozen=True, kw_only=True)
class Constant(Layer):
    """A value known before the engine runs: ``weights``. Source: add_constant."""

    weights: Weights

    def infer(self) -> TensorType:
        return self.weights.type

    def evaluate(self) -> torch.Tensor:
        return self.weights.tensor

    def lower(self, api: Api) -> Any:
        return api.constant(self.weights.tensor)


def digest(tensor: torch.Tensor) -> str:
    """The sha256 of a tensor's values."""
    return hashlib.sha256(raw_bytes(tensor)).hexdigest()


def raw_bytes(tensor: torch.Tensor) -> Any:
    """A tensor's values as a numpy array of bytes; no copy where it is contiguous on the CPU.

    A single element is contiguous whatever its stride, and bytes want a stride of 1.
    """
    import torch

    dense = tensor.detach().cpu().contiguous()
    return dense.as_strided((dense.numel(),), (1,)).view(torch.uint8).numpy()
