"""``Activation`` and ``ParametricRelu``: nonlinear functions of single elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.ir.scalar import FromRankOne
from trtdsl.types import TensorType, broadcast

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Activation", "ActivationType", "ParametricRelu"]


class ActivationType(Enum):
    """The functions of an Activation, with its ``alpha`` and ``beta``. Source: ActivationType.

    RELU            max(0, x)
    SIGMOID         1 / (1 + exp(-x))
    TANH            tanh(x)
    LEAKY_RELU      x >= 0 ? x : alpha * x
    ELU             x >= 0 ? x : alpha * (exp(x) - 1)
    SELU            x > 0 ? beta * x : beta * (alpha * exp(x) - alpha)
    SOFTSIGN        x / (1 + abs(x))
    SOFTPLUS        alpha * log(exp(beta * x) + 1)
    CLIP            max(alpha, min(beta, x))
    HARD_SIGMOID    max(0, min(1, alpha * x + beta))
    SCALED_TANH     alpha * tanh(beta * x)
    THRESHOLDED_RELU    x > alpha ? x : 0
    GELU_ERF        0.5 * x * (1 + erf(sqrt(0.5) * x))
    GELU_TANH       0.5 * x * (1 + tanh(sqrt(2 / pi) * (0.044715 * x ** 3 + x)))
    """

    RELU = auto()
    SIGMOID = auto()
    TANH = auto()
    LEAKY_RELU = auto()
    ELU = auto()
    SELU = auto()
    SOFTSIGN = auto()
    SOFTPLUS = auto()
    CLIP = auto()
    HARD_SIGMOID = auto()
    SCALED_TANH = auto()
    THRESHOLDED_RELU = auto()
    GELU_ERF = auto()
    GELU_TANH = auto()


Type = ActivationType
_TAKES_ALPHA = {
    Type.LEAKY_RELU,
    Type.ELU,
    Type.SELU,
    Type.SOFTPLUS,
    Type.CLIP,
    Type.HARD_SIGMOID,
    Type.SCALED_TANH,
    Type.THRESHOLDED_RELU,
}
_TAKES_BETA = {Type.SELU, Type.SOFTPLUS, Type.CLIP, Type.HARD_SIGMOID, Type.SCALED_TANH}


@dataclass(frozen=True, kw_only=True)
class Activation(FromRankOne):
    """``type`` of every element, in floats of x's dtype. Source: INetworkDefinition.add_activation.

    ``alpha`` and ``beta`` are what the type's formula makes of them, and None where it has none.
    """

    type: ActivationType
    alpha: float | None = None
    beta: float | None = None

    def infer(self, x: TensorType) -> TensorType:
        self.require_floats(x)
        self.require(x.rank > 0, f"takes ranks from 1 on, not {x}")
        for name, value, takes in (
            ("alpha", self.alpha, self.type in _TAKES_ALPHA),
            ("beta", self.beta, self.type in _TAKES_BETA),
        ):
            self.require((value is not None) is takes, f"{'needs' if takes else 'takes no'} {name}")
        self.require(self.type is Type.CLIP or self._is_finite, "has an infinite alpha or beta")
        return x

    @property
    def _is_finite(self) -> bool:
        return all(math.isfinite(value or 0.0) for value in (self.alpha, self.beta))

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        # Half precision is computed in float32, as TensorRT's kernels do, and rounded once.
        return _FUNCTIONS[self.type](x.float(), self.alpha, self.beta).to(x.dtype)

    def lower(self, api: Api, x: Any) -> Any:
        layer = api.add_activation(x, api.enum("ActivationType", self.type))
        if self.alpha is not None:
            layer.alpha = self.alpha
        if self.beta is not None:
            layer.beta = self.beta
        return layer

    def available(self, api: Api) -> bool:
        return api.has_enum("ActivationType", self.type)

    def takes(self, x: TensorType) -> bool:  # type: ignore[override]
        return self._is_finite

    def expand(self, x: Tensor) -> Tensor:
        """GELU before TensorRT 10.0; CLIP with a side left open.

        Of GELU's forms TensorRT 8.6 makes its fastest kernel of this one: four fifths of the time
        of ``0.5 * x * (1 + erf)``, in which it divides.
        """
        match self.type:
            case Type.CLIP:
                assert self.alpha is not None
                assert self.beta is not None
                below = ElementWise(op=ElementWiseOperation.MIN)(x, _like(x, self.beta))
                return ElementWise(op=ElementWiseOperation.MAX)(below, _like(x, self.alpha))
            case Type.GELU_ERF:
                bent = Unary(op=UnaryOperation.ERF)(x * math.sqrt(0.5))
            case Type.GELU_TANH:
                inner = (x * x * x * 0.044715 + x) * math.sqrt(2 / math.pi)
                bent = Activation(type=Type.TANH)(inner)
            case _:
                result: Tensor = super().expand(x)
                return result
        return x * (bent * 0.5 + 0.5)


def _like(x: Tensor, value: float) -> Tensor:
    """A constant that broadcasts to x."""
    constant: Tensor = x.network.constant(value, x.dtype).reshape(*(1,) * x.rank)
    return constant


@dataclass(frozen=True, kw_only=True)
class ParametricRelu(Layer):
    """``x >= 0 ? x : slope * x``, where sizes of 1 of the slope broadcast.

    Source: INetworkDefinition.add_parametric_relu.
    """

    def infer(self, x: TensorType, slope: TensorType) -> TensorType:
        self.require_floats(x, slope)
        self.require(x.rank == slope.rank, f"ranks differ: {x}, {slope}")
        try:
            shape = broadcast(x.shape, slope.shape)
        except ValueError:
            self.require(False, f"the slope does not broadcast: {x}, {slope}")
        self.require(shape == x.shape, f"the slope is wider than x: {x}, {slope}")
        return x

    def evaluate(self, x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.where(x >= 0, x, slope * x)

    def lower(self, api: Api, x: Any, slope: Any) -> Any:
        return api.add_parametric_relu(x, slope)


_FUNCTIONS: dict[ActivationType, Callable[..., torch.Tensor]] = {
    Type.RELU: lambda x, a, b: x.clamp(min=0),
    Type.SIGMOID: lambda x, a, b: x.sigmoid(),
    Type.TANH: lambda x, a, b: x.tanh(),
    Type.LEAKY_RELU: lambda x, a, b: x.where(x >= 0, a * x),
    Type.ELU: lambda x, a, b: x.where(x >= 0, a * x.expm1()),
    Type.SELU: lambda x, a, b: b * x.where(x > 0, a * x.expm1()),
    Type.SOFTSIGN: lambda x, a, b: x / (1 + x.abs()),
    Type.SOFTPLUS: lambda x, a, b: a * (b * x).exp().log1p(),
    Type.CLIP: lambda x, a, b: x.clamp(max=b).clamp(min=a),
    Type.HARD_SIGMOID: lambda x, a, b: (a * x + b).clamp(max=1).clamp(min=0),
    Type.SCALED_TANH: lambda x, a, b: a * (b * x).tanh(),
    Type.THRESHOLDED_RELU: lambda x, a, b: x.where(x > a, x * 0),
    Type.GELU_ERF: lambda x, a, b: 0.5 * x * (1 + (math.sqrt(0.5) * x).erf()),
    Type.GELU_TANH: lambda x, a, b: (
        0.5 * x * (1 + (math.sqrt(2 / math.pi) * (0.044715 * x**3 + x)).tanh())
    ),
}
