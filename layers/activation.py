"""Activations, softmax, and dropout, which vanishes."""

from __future__ import annotations

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.activation import Activation, ActivationType, ParametricRelu
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.slice import section
from trtdsl.ir.softmax import SoftMax
from trtdsl.network import Scalar, Tensor
from trtdsl.operators import floating, maximum, minimum, where
from trtdsl.registry import converter
from trtdsl.types import DType

from .arithmetic import clamp
from .creation import filled
from .function import absolute, unary

__all__: list[str] = []

aten = torch.ops.aten
Type = ActivationType

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


@converter(aten.relu.default)
def relu(x: Tensor) -> Tensor:
    """``max(0, x)``."""
    # TensorRT 8.6 activates floats only.
    return Activation(type=Type.RELU)(x) if x.dtype.is_float else maximum(x, 0)


@converter(aten.relu6.default)
def relu6(x: Tensor) -> Tensor:
    """``min(max(0, x), 6)``."""
    return clamp(x, 0, 6)


@converter(aten.hardtanh.default)
def hardtanh(x: Tensor, min_val: Scalar = -1, max_val: Scalar = 1) -> Tensor:
    """``min(max(min_val, x), max_val)``; of integers with the bounds cut to integers."""
    if not x.dtype.is_float:
        min_val, max_val = int(min_val), int(max_val)
    return clamp(x, min_val, max_val)


@converter(aten.hardsigmoid.default)
def hardsigmoid(x: Tensor) -> Tensor:
    """``min(max(0, x + 3), 6) / 6``."""
    return Activation(type=Type.HARD_SIGMOID, alpha=1 / 6, beta=0.5)(x)


@converter(aten.hardswish.default)
def hardswish(x: Tensor) -> Tensor:
    """``x * hardsigmoid(x)``."""
    return x * hardsigmoid(x)


@converter(aten.sigmoid.default)
def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return Activation(type=Type.SIGMOID)(floating(x))


@converter(aten.tanh.default)
def tanh(x: Tensor) -> Tensor:
    """``tanh(x)``."""
    return Activation(type=Type.TANH)(floating(x))


@converter(aten.silu.default)
def silu(x: Tensor) -> Tensor:
    """``x * sigmoid(x)``."""
    return x * sigmoid(x)


@converter(aten.gelu.default)
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """``x * Phi(x)``, or its approximation with tanh."""
    return Activation(type=Type.GELU_TANH if approximate == "tanh" else Type.GELU_ERF)(x)


@converter(aten.elu.default)
def elu(x: Tensor, alpha: Scalar = 1, scale: Scalar = 1, input_scale: Scalar = 1) -> Tensor:
    """``scale * (x > 0 ? x : alpha * (exp(x * input_scale) - 1))``."""
    if scale == input_scale == 1:
        return Activation(type=Type.ELU, alpha=float(alpha))(x)
    below = (unary(UnaryOperation.EXP, x * input_scale) - 1) * (alpha * scale)
    return where(x > 0, x * scale, below)


@converter(aten.selu.default)
def selu(x: Tensor) -> Tensor:
    """ELU with the scales that keep mean 0 and variance 1."""
    return Activation(type=Type.SELU, alpha=_SELU_ALPHA, beta=_SELU_SCALE)(x)


@converter(aten.celu.default)
def celu(x: Tensor, alpha: Scalar = 1.0) -> Tensor:
    """``x > 0 ? x : alpha * (exp(x / alpha) - 1)``."""
    return elu(x, alpha, 1, 1 / alpha)


@converter(aten.leaky_relu.default)
def leaky_relu(x: Tensor, negative_slope: Scalar = 0.01) -> Tensor:
    """``x >= 0 ? x : negative_slope * x``."""
    return Activation(type=Type.LEAKY_RELU, alpha=float(negative_slope))(x)


@converter(aten.prelu.default)
def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """``x >= 0 ? x : weight * x``, with one weight in all or one a channel (axis 1)."""
    channel = 1 if x.rank > 1 else 0
    sizes = [weight.type.volume if axis == channel else 1 for axis in range(x.rank)]
    return ParametricRelu()(x, weight.reshape(*sizes))


@converter(aten._prelu_kernel.default)
def prelu_kernel(x: Tensor, weight: Tensor) -> Tensor:
    """``x >= 0 ? x : weight * x``, the weight having x's rank."""
    return ParametricRelu()(x, weight)


@converter(aten.rrelu.default)
def rrelu(
    x: Tensor,
    lower: Scalar = 0.125,
    upper: Scalar = 1 / 3,
    training: bool = False,
    generator: object = None,
) -> Tensor:
    """Leaky ReLU with the mean slope of ``lower`` and ``upper``."""
    _refuse_training("rrelu", training)
    return leaky_relu(x, (lower + upper) / 2)


@converter(aten.softplus.default)
def softplus(x: Tensor, beta: Scalar = 1, threshold: Scalar = 20) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, and x itself where ``beta * x > threshold``."""
    soft = Activation(type=Type.SOFTPLUS, alpha=1 / beta, beta=float(beta))(x)
    return where(x * beta > threshold, x, soft)


@converter(aten.mish.default)
def mish(x: Tensor) -> Tensor:
    """``x * tanh(log(1 + exp(x)))``."""
    return x * tanh(softplus(x))


@converter(aten.log_sigmoid.default)
def log_sigmoid(x: Tensor) -> Tensor:
    """``log(sigmoid(x))``, as ``min(x, 0) - log(1 + exp(-|x|))``, which no x overflows."""
    rest = Activation(type=Type.SOFTPLUS, alpha=1.0, beta=1.0)(-absolute(x))
    return minimum(x, 0) - rest


@converter(aten.softshrink.default)
def softshrink(x: Tensor, lambd: Scalar = 0.5) -> Tensor:
    """x moved toward 0 by ``lambd``, and 0 where it is nearer than that."""
    return x - clamp(x, -lambd, lambd)


@converter(aten.hardshrink.default)
def hardshrink(x: Tensor, lambd: Scalar = 0.5) -> Tensor:
    """x where ``|x| > lambd``, else 0."""
    return where((x <= lambd) & (x >= -lambd), 0, x, x.dtype)


@converter(aten.threshold.default)
def threshold(x: Tensor, threshold: Scalar, value: Scalar) -> Tensor:
    """``x > threshold ? x : value``."""
    return where(x <= threshold, value, x, x.dtype)


@converter(aten.glu.default)
def glu(x: Tensor, dim: int = -1) -> Tensor:
    """``a * sigmoid(b)`` of the halves a and b of x along ``dim``."""
    axis = dim % x.rank
    half = x.shape[axis] // 2
    first, second = (section(x, axis, start, half) for start in (0, half))
    return first * sigmoid(second)


@converter(aten.softmax.int)
def softmax(x: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``."""
    x = x if dtype is None else x.cast(dtype)
    if 0 in x.shape:
        return x
    vector = x if x.rank else x.reshape(1)
    return SoftMax(axis=dim % vector.rank)(vector).reshape(*x.shape)


@converter(aten._softmax.default)
def softmax_core(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``."""
    return softmax(x, dim, DType.FLOAT32 if half_to_float else None)


@converter(aten.log_softmax.int)
def log_softmax(x: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """``log(softmax(x))``, as ``x - max - log(sum(exp(x - max)))`` in float32, which is exact."""
    dtype = dtype or x.dtype
    if 0 in x.shape:
        return x.cast(dtype)
    wide = (x if x.rank else x.reshape(1)).cast(DType.FLOAT32)
    axes = (dim % wide.rank,)
    shifted = wide - Reduce(op=ReduceOperation.MAX, axes=axes, keep_dimensions=True)(wide)
    exponentials = Unary(op=UnaryOperation.EXP)(shifted)
    total = Reduce(op=ReduceOperation.SUM, axes=axes, keep_dimensions=True)(exponentials)
    return (shifted - Unary(op=UnaryOperation.LOG)(total)).reshape(*x.shape).cast(dtype)


@converter(aten._log_softmax.default)
def log_softmax_core(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    """``log(softmax(x))`` along ``dim``."""
    return log_softmax(x, dim, DType.FLOAT32 if half_to_float else None)


@converter(
    aten.dropout.default,
    aten.feature_dropout.default,
    aten.alpha_dropout.default,
    aten.feature_alpha_dropout.default,
)
def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """The input itself."""
    _refuse_training("dropout", train and p > 0)
    return input


@converter(aten.native_dropout.default)
def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """The input itself, and a mask of True."""
    _refuse_training("native_dropout", train is not False and p > 0)
    return input, filled(input.network, input.shape, True, DType.BOOL)


def _refuse_training(name: str, training: bool) -> None:
    if training:
        raise ConversionError(
            explain(
                f"{name} in training mode draws random numbers at every call",
                fix="call model.eval() first, or pass training=False where the model asks for it",
            )
        )
