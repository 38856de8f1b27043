"""Batch, layer, group, instance, RMS and weight normalization."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.normalization import Normalization
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.scale import Scale, ScaleMode
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.network import Tensor
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .absent import Absent
from .creation import filled

aten = torch.ops.aten

Results = tuple[Tensor, Absent, Absent]

STATISTICS = (
    Absent("the saved mean of a normalization", "compute it with mean()"),
    Absent("the saved deviation of a normalization", "compute it with var()"),
)
"""The further results of normalizations, which no engine gives."""


@converter(aten.batch_norm.default)
def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """``(N, C, *S)`` by the running statistics, or by the batch's own where there are none."""
    if running_mean is None or running_var is None:
        return _over_batch(input, weight, bias, eps)
    _refuse_training(training, momentum)
    return _by_statistics(input, weight, bias, running_mean, running_var, eps)


@converter(aten._native_batch_norm_legit_no_training.default)
def _native_batch_norm_legit_no_training(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
) -> Results:
    """``batch_norm`` in evaluation."""
    return _by_statistics(input, weight, bias, running_mean, running_var, eps), *STATISTICS


@converter(aten._native_batch_norm_legit.no_stats)
def _native_batch_norm_legit_no_stats(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Results:
    """By the batch's own statistics: instance norms and standardized weights come to this."""
    return _over_batch(input, weight, bias, eps), *STATISTICS


@converter(aten.native_batch_norm.default)
def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Results:
    """``batch_norm`` with its statistics as further results."""
    y = batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, False)
    return y, *STATISTICS


@converter(aten.instance_norm.default)
def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """``(N, C, *S)`` over ``S``, or by the running statistics."""
    if not use_input_stats and running_mean is not None and running_var is not None:
        return _by_statistics(input, weight, bias, running_mean, running_var, eps)
    _refuse_training(running_mean is not None, momentum)
    sizes = _channel_sizes(input)
    return _normalize(input, weight, bias, sizes, axes=tuple(range(2, input.rank)), eps=eps)


@converter(aten.layer_norm.default)
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[Dim],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
    cudnn_enable: bool = True,
) -> Tensor:
    """Over the last axes, ``normalized_shape``, which is also the shape of weight and bias."""
    first = input.rank - len(normalized_shape)
    sizes = (1,) * first + tuple(normalized_shape)
    return _normalize(input, weight, bias, sizes, axes=tuple(range(first, input.rank)), eps=eps)


@converter(aten.native_layer_norm.default)
def native_layer_norm(
    input: Tensor,
    normalized_shape: Sequence[Dim],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Results:
    """``layer_norm`` with its statistics as further results."""
    return layer_norm(input, normalized_shape, weight, bias, eps), *STATISTICS


@converter(aten.group_norm.default)
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
    cudnn_enabled: bool = True,
) -> Tensor:
    """``(N, C, *S)``, each group of channels by itself."""
    if input.rank == 2:
        image = Unsqueeze(axes=(2, 3))(input)
        return Squeeze(axes=(2, 3))(group_norm(image, num_groups, weight, bias, eps))
    # A single group is no group to TensorRT, but one more axis.
    axes = tuple(range(1 if num_groups == 1 else 2, input.rank))
    sizes = _channel_sizes(input)
    return _normalize(input, weight, bias, sizes, axes=axes, eps=eps, groups=num_groups)


@converter(aten.native_group_norm.default)
def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: Dim,  # noqa: N803  (the schema's own name)
    C: Dim,  # noqa: N803
    HxW: Dim,  # noqa: N803
    group: int,
    eps: float,
) -> Results:
    """``group_norm`` with its statistics as further results."""
    return group_norm(input, group, weight, bias, eps), *STATISTICS


@converter(aten.rms_norm.default)
def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[Dim],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """``input / sqrt(mean(input ** 2) + eps) * weight`` over the last axes."""
    return _fused_rms_norm(input, normalized_shape, weight, eps)[0]


@converter(aten._fused_rms_norm.default)
def _fused_rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    eps: float | None,
) -> tuple[Tensor, Tensor]:
    """``rms_norm``, and what the input was multiplied by, in float32."""
    axes = tuple(range(input.rank - len(normalized_shape), input.rank))
    wide = input.cast(DType.FLOAT32)
    square = Reduce(op=ReduceOperation.AVG, axes=axes, keep_dimensions=True)(wide * wide)
    # Without an eps PyTorch takes that of the dtype it computes in, which is never a half.
    scale = _rsqrt(square + (torch.finfo(torch.float32).eps if eps is None else eps))
    y = wide * scale
    if weight is not None:
        y = y * weight.cast(DType.FLOAT32)
    return y.cast(input.dtype), scale


@converter(aten._weight_norm.default)
def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """``v * g / norm(v)``, the norm over all axes but ``dim``, or over all where it is -1."""
    return v * (g / _norm_except(v, dim))


@converter(aten._weight_norm_interface.default)
def _weight_norm_interface(v: Tensor, g: Tensor, dim: int = 0) -> tuple[Tensor, Tensor]:
    """``_weight_norm``, and the norm."""
    norm = _norm_except(v, dim)
    return v * (g / norm), norm.cast(DType.FLOAT32)


def _by_statistics(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    eps: float,
) -> Tensor:
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` as a scale and a shift a channel."""
    scale = _rsqrt(variance.cast(DType.FLOAT32) + eps)
    if weight is not None:
        scale = scale * weight.cast(DType.FLOAT32)
    moved = mean.cast(DType.FLOAT32) * scale
    shift = -moved if bias is None else bias.cast(DType.FLOAT32) - moved
    scale, shift = scale.cast(x.dtype), shift.cast(x.dtype)
    if x.rank > 1 and not isinstance(x.shape[1], int):  # which Scale has to know
        sizes = _channel_sizes(x)
        return x * scale.reshape(*sizes) + shift.reshape(*sizes)
    return Scale(mode=ScaleMode.CHANNEL, channel_axis=1)(x, shift, scale)


def _over_batch(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """By the mean and variance of a channel over batch and space."""
    if x.rank > 2 and x.shape[0] == 1:
        axes = tuple(range(2, x.rank))
        return _normalize(x, weight, bias, _channel_sizes(x), axes=axes, eps=eps)
    order = (1, 0, *range(2, x.rank))  # axes next to each other, as in a layer norm
    channels = x.permute(*order)
    sizes = (x.shape[1], *(1 for _ in order[1:]))
    axes = tuple(range(1, x.rank))
    return _normalize(channels, weight, bias, sizes, axes=axes, eps=eps).permute(*order)


def _normalize(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    sizes: Sequence[Dim],
    *,
    axes: tuple[int, ...],
    eps: float,
    groups: int = 1,
) -> Tensor:
    """A Normalization in float32; weight and bias in these sizes, 1 and 0 where there are none."""
    network = x.network

    def coefficient(given: Tensor | None, neutral: float) -> Tensor:
        if given is None:
            return filled(network, sizes, neutral, DType.FLOAT32)
        return given.cast(DType.FLOAT32).reshape(*sizes)

    layer = Normalization(axes=axes, epsilon=eps, groups=groups)
    wide, scale, shift = x.cast(DType.FLOAT32), coefficient(weight, 1.0), coefficient(bias, 0.0)
    if groups > 1 and not (scale.is_constant and shift.is_constant):
        # Before 10.15 TensorRT has a scale for each group, which has to be one for all channels.
        y = layer(wide, coefficient(None, 1.0), coefficient(None, 0.0)) * scale + shift
    else:
        y = layer(wide, scale, shift)
    return y.cast(x.dtype)


def _channel_sizes(x: Tensor) -> tuple[Dim, ...]:
    return (1, x.shape[1], *(1 for _ in x.shape[2:]))


def _norm_except(v: Tensor, dim: int) -> Tensor:
    kept = -1 if dim == -1 else dim % v.rank
    axes = tuple(axis for axis in range(v.rank) if axis != kept)
    square = Reduce(op=ReduceOperation.SUM, axes=axes, keep_dimensions=True)(v * v)
    return Unary(op=UnaryOperation.SQRT)(square)


def _rsqrt(x: Tensor) -> Tensor:
    return Unary(op=UnaryOperation.RECIP)(Unary(op=UnaryOperation.SQRT)(x))


def _refuse_training(training: bool, momentum: float) -> None:
    if training:
        raise ConversionError(
            explain(
                f"a normalization is in training mode, with momentum {momentum}",
                fix="call model.eval() before converting",
            )
        )
