"""``quantize``: a network whose convolutions and linear layers TensorRT computes in int8."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from trtdsl.calibration import STEPS, Range
from trtdsl.errors import ConversionError, RunError, explain
from trtdsl.ir.convolution import Convolution
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.passes.precision import is_outer
from trtdsl.passes.rewrite import rewrite
from trtdsl.reference import Reference, fold, run
from trtdsl.types import DType

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Network, Operation, Tensor

__all__ = ["quantize"]

Calibration: TypeAlias = Literal["mse", "max"]
_OPERATORS = tuple(
    f"aten.{name}"
    for name in ("linear", "addmm", "mm.", "bmm", "matmul", "baddbmm", "conv", "_convolution")
)
"""What models multiply with weights; interpolations and Fourier transforms are products as well."""
_SMALLEST = {DType.FLOAT16: 2.0**-14}
"""The smallest step of each dtype; float16 has no smaller one of full precision."""


def quantize(
    network: Network,
    batches: Iterable[Any],
    *,
    calibration: Calibration = "mse",
    skip: Sequence[str] = (),
) -> Network:
    """The network with its convolutions' and linear layers' operands rounded to int8.

    Args:
        network: of ``trtdsl.trace``, or written by hand, in the precision that the rest is to have.
        batches: inputs that are like those to come, each a tuple of what the model takes, one
            tensor, or a dict of keyword arguments. The network is evaluated on them, where they
            are: CUDA tensors on the GPU.
        calibration: ``"mse"`` clamps each activation where its mean squared error is least,
            ``"max"`` at the largest value seen.
        skip: names of modules that stay as they are, with all that is in them: ``"head"``.

    Weights have a scale for each output channel, of their largest values; activations have one.
    Build what you get with ``.build()``: TensorRT 8.6 is told that it may compute in int8, later
    ones are strongly typed. Evaluated on the CPU it has the rounded values of the engine.
    Errors: ConversionError without batches, or where nothing is left to be quantized; RunError for
    a batch that does not fit, or values that are not finite.
    Source: TensorRT's explicit quantization, IQuantizeLayer and IDequantizeLayer.
    """
    if not hasattr(network, "operations"):
        raise ConversionError(
            explain(
                f"quantize takes a network, not a {type(network).__name__}",
                fix="trtdsl.quantize(trtdsl.trace(model, args), batches)",
            )
        )
    if calibration not in ("mse", "max"):
        raise ConversionError(explain(f"calibration={calibration!r}", fix='"mse" or "max"'))
    _require_modules(network, skip)
    chosen = [op for op in network.operations if _takes_int8(op) and not _is_within(op, skip)]
    if not chosen:
        raise ConversionError(
            explain(
                f"{network.name or 'the network'} has no convolution or linear layer to quantize",
                fix="skip fewer modules, or quantize the network as trtdsl.trace gives it",
            )
        )
    ranges = _ranges(network, batches, {op.inputs[0] for op in chosen})
    limits = {x: r.limit() if calibration == "mse" else r.largest for x, r in ranges.items()}
    return rewrite(network, _Rounding({op.outputs[0] for op in chosen}, limits))


def _takes_int8(operation: Operation) -> bool:
    """Whether it multiplies what an input reaches with constant weights, in floats."""
    layer, operator = operation.layer, operation.source.operator
    if not isinstance(layer, Convolution | MatrixMultiply):
        return False
    if operator and not operator.startswith(_OPERATORS):
        return False
    x, weights = operation.inputs[:2]
    if isinstance(layer, MatrixMultiply) and MatrixOperation.VECTOR in (layer.op0, layer.op1):
        return False
    plain = weights.is_constant and weights.rank > 1 and not x.is_constant
    return plain and not is_outer(layer, [x])


def _is_within(operation: Operation, modules: Sequence[str]) -> bool:
    own = operation.source.module
    return any(own == name or own.startswith(f"{name}.") for name in modules)


def _require_modules(network: Network, names: Sequence[str]) -> None:
    for name in names:
        if not any(_is_within(op, [name]) for op in network.operations):
            known = sorted({op.source.module.partition(".")[0] for op in network.operations} - {""})
            raise ConversionError(
                explain(
                    f"skip={name!r} names no module of {network.name or 'the network'}",
                    fix=f"one of {', '.join(known)}, or a module inside",
                )
            )


def _ranges(network: Network, batches: Iterable[Any], tensors: set[Tensor]) -> dict[Tensor, Range]:
    """How far these tensors reach over all batches."""
    reference = Reference(network)
    ranges = {x: Range() for x in tensors}
    count = 0
    for count, batch in enumerate(batches, 1):
        args, kwargs = _call(batch)
        leaves = reference.signature.bind(args, kwargs)
        run(network, leaves, observe=_observer(ranges, count))
    if not count:
        raise ConversionError(
            explain("there are no batches to calibrate with", fix="give a list of input tuples")
        )
    return ranges


def _call(batch: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(batch, Mapping):
        return (), batch
    return (tuple(batch) if isinstance(batch, list | tuple) else (batch,)), {}


def _observer(ranges: Mapping[Tensor, Range], batch: int) -> Callable[[Tensor, torch.Tensor], None]:
    def observe(x: Tensor, values: torch.Tensor) -> None:
        if x not in ranges:
            return
        try:
            ranges[x].add(values)
        except RunError as error:
            at = str(x.producer.source) if x.producer else x.name
            raise RunError(explain(f"batch {batch}: {error}, in {x}", at=at)) from None

    return observe


class _Rounding:
    """The rule of the rewrite, and what is rounded already: operands of several layers are once."""

    def __init__(self, chosen: set[Tensor], limits: Mapping[Tensor, float]) -> None:
        self.chosen = chosen
        self.limits = limits
        self.rounded: dict[tuple[Tensor, int | None], Tensor] = {}

    def __call__(
        self, operation: Operation, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...] | None:
        if operation.outputs[0] not in self.chosen:
            return None
        x, weights, *bias = inputs
        axis = _axis_of_outputs(operation)
        operands = (self.activation(operation.inputs[0], x), self.weights(weights, axis))
        y = operation.layer(*operands, *bias)
        assert y.producer is not None
        y.producer.name, y.name = operation.name, operation.outputs[0].name
        return (y,)

    def activation(self, old: Tensor, x: Tensor) -> Tensor:
        if (x, None) not in self.rounded:
            import torch

            limit = torch.tensor(self.limits[old])
            self.rounded[x, None] = FakeQuantize()(x, _step(x, limit))
        return self.rounded[x, None]

    def weights(self, x: Tensor, axis: int) -> Tensor:
        if (x, axis) not in self.rounded:
            others = [a for a in range(x.rank) if a != axis]
            largest = fold(x).float().abs().amax(others)
            self.rounded[x, axis] = FakeQuantize(axis=axis)(x, _step(x, largest))
        return self.rounded[x, axis]


def _axis_of_outputs(operation: Operation) -> int:
    """The axis of the weights that has an element for each output channel."""
    layer = operation.layer
    if isinstance(layer, Convolution):
        return 0
    assert isinstance(layer, MatrixMultiply)
    rank = operation.inputs[1].rank
    return rank - 2 if layer.op1 is MatrixOperation.TRANSPOSE else rank - 1


def _step(x: Tensor, limit: torch.Tensor) -> Tensor:
    """A scale as a constant of x's dtype: of zeros alone any will do."""
    step = limit / STEPS
    step = step.where(step > 0, 1.0).clamp(min=_SMALLEST.get(x.dtype, 0.0))
    return x.network.constant(step.to(x.dtype.torch))
