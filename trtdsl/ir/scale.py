"""``Scale``: a linear function of x, the same for all of it, for a channel, or for an element."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar

from trtdsl.ir.base import Layer
from trtdsl.types import Dim, DType, TensorType, is_static

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Scale", "ScaleMode"]


class ScaleMode(Enum):
    """What a coefficient belongs to: x, a channel, an element. Source: tensorrt.ScaleMode."""

    UNIFORM = auto()
    CHANNEL = auto()
    ELEMENTWISE = auto()


@dataclass(frozen=True, kw_only=True)
class Scale(Layer):
    """``(x * scale + shift) ** power``, of x, shift, scale and, if given, power, in this order.

    Coefficients are ``(1,)``, ``(C,)`` with C the size of ``channel_axis``, or have x's sizes from
    ``channel_axis`` on. Source: INetworkDefinition.add_scale_nd.
    """

    weight_operands: ClassVar[frozenset[int]] = frozenset({1, 2, 3})

    mode: ScaleMode
    channel_axis: int = 1

    def infer(self, x: TensorType, *coefficients: TensorType) -> TensorType:
        self.require_floats(x)
        self.require(
            0 <= self.channel_axis < x.rank,
            f"axis {self.channel_axis} is outside 0..{x.rank - 1} of {x}",
        )
        self.require(
            len(coefficients) in (2, 3), f"takes shift, scale and power, not {coefficients}"
        )
        wanted = x.with_shape(self._sizes(x.shape))
        self.require(wanted.is_static, f"takes known sizes where coefficients differ, not {x}")
        for given in coefficients:
            self.require(given == wanted, f"takes coefficients {wanted}, not {given}")
        return x

    def evaluate(self, x: torch.Tensor, *coefficients: torch.Tensor) -> torch.Tensor:
        aligned = self._aligned(tuple(x.shape))
        shift, scale, *power = (c.reshape(aligned) for c in coefficients)
        y = x * scale + shift
        return y ** power[0] if power else y

    def takes(self, x: TensorType, *_: TensorType) -> bool:  # type: ignore[override]
        # TensorRT scales tensors of rank 4 and 5, by weights, along axis 1.
        return x.rank in (4, 5) and self.channel_axis == 1

    def expand(self, x: Tensor, *coefficients: Tensor) -> Tensor:
        """As products and sums of tensors."""
        sizes = self._aligned(x.shape)
        shift, scale, *power = (c.reshape(*sizes) for c in coefficients)
        y = x * scale + shift
        return y ** power[0] if power else y

    def lower(self, api: Api, x: Any, *coefficients: Any) -> Any:
        from trtdsl.tensorrt_api import Folded

        if not all(isinstance(c, Folded) for c in coefficients):
            return self._lower_elementwise(api, x, *coefficients)
        shift, scale, *power = (api.weights(c) for c in coefficients)
        exponent = power[0] if power else api.no_weights(DType.of(coefficients[0].tensor.dtype))
        mode = api.enum("ScaleMode", self.mode)
        return api.add_scale_nd(x, mode, shift, scale, exponent, self.channel_axis)

    def _lower_elementwise(self, api: Api, x: Any, *coefficients: Any) -> Any:
        sizes = self._aligned(tuple(x.shape))
        shift, scale, *power = (self._reshaped(api, c, sizes) for c in coefficients)
        y = x
        for operand, name in ((scale, "PROD"), (shift, "SUM"), *((p, "POW") for p in power)):
            operation = getattr(api.trt.ElementWiseOperation, name)
            y = api.add_elementwise(y, operand, operation).get_output(0)
        return y

    @staticmethod
    def _reshaped(api: Api, coefficient: Any, sizes: tuple[int, ...]) -> Any:
        layer = api.add_shuffle(api.tensor(coefficient))
        layer.reshape_dims = sizes
        return layer.get_output(0)

    def _sizes(self, shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
        match self.mode:
            case ScaleMode.UNIFORM:
                return (1,)
            case ScaleMode.CHANNEL:
                return shape[self.channel_axis : self.channel_axis + 1]
            case ScaleMode.ELEMENTWISE:
                return shape[self.channel_axis :]

    def _aligned(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The sizes of the coefficients with x's rank."""
        sizes = self._sizes(shape)
        assert is_static(sizes)
        before = 0 if self.mode is ScaleMode.UNIFORM else self.channel_axis
        return (1,) * before + sizes + (1,) * (len(shape) - before - len(sizes))
