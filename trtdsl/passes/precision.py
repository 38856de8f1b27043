"""``to_precision``: a float32 network computed in fp16 or bf16, inputs and outputs as they were.

The result is again a network whose every tensor has its type, so that it can be printed and
evaluated, and nothing is left to a builder's choice.
"""

from __future__ import annotations

import warnings
from collections import defaultdict

from trtdsl.extension.library import LibraryPlugin
from trtdsl.held import PrecisionWarning
from trtdsl.ir.activation import Activation
from trtdsl.ir.attention import Attention, lowest
from trtdsl.ir.base import Layer
from trtdsl.ir.convolution import Convolution, Deconvolution
from trtdsl.ir.cumulative import Cumulative
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.ir.grid_sample import GridSample
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.moves import MOVES
from trtdsl.ir.nms import NMS
from trtdsl.ir.normalization import Normalization
from trtdsl.ir.plugin import Plugin
from trtdsl.ir.recurrent import Recurrent
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.repeat import Repeat
from trtdsl.ir.softmax import SoftMax
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast, maximum, where
from trtdsl.options import require_precision
from trtdsl.passes.rewrite import rewrite
from trtdsl.reference import fold
from trtdsl.types import DType

__all__ = ["is_outer", "to_precision"]

_TYPES = {"fp16": DType.FLOAT16, "bf16": DType.BFLOAT16}
_LARGEST = {DType.FLOAT16: 65504.0, DType.BFLOAT16: 2.0**127 * (2 - 2**-7)}
"""The largest finite value of each 16-bit type."""

_LEAST_STEP = 2.0**-14
"""float16's smallest number of full precision: a step of int8 that became 0 would divide by it."""

_LOWEST = 3.4e38
"""From here on a float32 stands for infinity: masks are written as the type's lowest number."""

# What the matrix units do: where the time goes, and where 16 bits are meant for.
_MATRIX = (Attention, Convolution, Deconvolution, MatrixMultiply, Recurrent)
# Sums of many elements, or functions that leave the range of 16 bits: these stay in float32.
_SUMS = {ReduceOperation.SUM, ReduceOperation.AVG, ReduceOperation.PROD}
_STEPS = (Activation, ElementWise, Normalization, SoftMax, Unary)
_POOLED = ((2, 3), (2, 3, 4))
"""The axes of a global average pooling: its kernels take float16 and add up in float32."""
_WIDE_UNARY = {
    UnaryOperation.EXP, UnaryOperation.LOG, UnaryOperation.RECIP, UnaryOperation.SINH,
    UnaryOperation.COSH, UnaryOperation.TAN, UnaryOperation.SQRT,
}  # fmt: skip
_WIDE_OPERATORS = (
    *("aten.fft_", "aten._fft_", "aten.stft", "aten.istft", "trtdsl.stft", "trtdsl.istft"),
    *("aten.linalg_det", "aten._linalg_det", "aten.det", "aten.linalg_slogdet", "aten.slogdet"),
    *("aten._linalg_slogdet", "aten.logdet", "aten.linalg_inv", "aten.inverse"),
    *("aten.linalg_solve", "aten._linalg_solve", "aten.linalg_cholesky", "aten.cholesky"),
)
"""Operators that are many layers and of which no layer is narrowed: PyTorch's autocast has them in
float32 as well."""


def to_precision(network: Network, precision: str | None) -> Network:
    """The network in a precision.

    With ``"fp16"`` or ``"bf16"`` matrix products and convolutions take 16-bit operands, what
    follows them stays in 16 bits, and sums, normalizations, softmax, powers and exponentials are
    computed in float32. Of these, sums, powers and functions also stay in float32, until they meet
    16 bits again: the mean of squares inside a norm may be beyond their range. So does what a
    number takes part in that would be 0 in 16 bits, and a quotient by such a float32: epsilons.
    Inputs and outputs keep their dtypes. Where nothing but outputs is made of a function of single
    elements, a norm or a softmax, it is not rounded to 16 bits, unless it follows a product.
    ``None``, ``"fp32"`` and ``"tf32"`` change nothing.
    Errors: ConversionError for another word.
    """
    require_precision(precision)
    if precision not in _TYPES:
        return network
    return rewrite(network, _Narrowing(network, _TYPES[precision]))


class _Narrowing:
    """The rule of the rewrite: one layer at a time, in 16 bits or in 32."""

    def __init__(self, network: Network, half: DType) -> None:
        self.half = half
        self.outputs = set(network.outputs)
        self.boxes = _before_boxes(network)
        self.last = _last_steps(network)
        self.casts: dict[tuple[Tensor, DType], Tensor] = {}

    def __call__(
        self, operation: Operation, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...] | None:
        floats = [x for x in inputs if x.dtype.is_float]
        if not floats or (operation.layer.folds and all(x.is_constant for x in inputs)):
            return None
        whole = operation.source.operator.startswith(_WIDE_OPERATORS)
        whole = whole or operation in self.boxes or operation in self.last
        dtype = DType.FLOAT32 if whole else self.dtype_of(operation.layer, floats)
        kernels = isinstance(operation.layer, Convolution | Deconvolution)
        if isinstance(operation.layer, Attention):
            inputs = (*inputs[:3], *(self.mask(x, dtype) for x in inputs[3:]))
        if isinstance(operation.layer, FakeQuantize) and self.half is DType.FLOAT16:
            inputs = (inputs[0], maximum(inputs[1], _LEAST_STEP))
        traced = isinstance(operation.layer, Repeat) or _keeps_types(operation.layer)
        narrowed = tuple(
            x
            if not x.dtype.is_float
            # A kernel beyond the range has no mask's excuse: the lowering refuses it.
            else self.cast(x, old.dtype if traced else dtype, bounded=not kernels)
            for x, old in zip(inputs, operation.inputs, strict=True)
        )
        outputs = operation.layer.outputs(*narrowed)
        self.rename(operation, outputs)
        single = isinstance(operation.layer, Reduce | Unary | ElementWise)
        narrows = not (whole or single or _keeps_types(operation.layer))
        if narrows and dtype is DType.FLOAT32 and any(x.dtype is self.half for x in floats):
            outputs = tuple(cast(x, self.half) if x.dtype.is_float else x for x in outputs)
        return tuple(
            cast(new, old.dtype) if old in self.outputs else new
            for old, new in zip(operation.outputs, outputs, strict=True)
        )

    def mask(self, x: Tensor, dtype: DType) -> Tensor:
        """A mask that an input reaches, no lower than 16 bits can hold: see ``bounded``."""
        if x.is_constant or x.dtype is not DType.FLOAT32:
            return x
        return maximum(x, lowest(dtype))

    def rename(self, operation: Operation, outputs: tuple[Tensor, ...]) -> None:
        """The names of the old network, but for outputs, which are named when they are declared."""
        assert outputs[0].producer is not None
        outputs[0].producer.name = operation.name
        for new, old in zip(outputs, operation.outputs, strict=True):
            new.name = new.name if old in self.outputs else old.name

    def dtype_of(self, layer: Layer, floats: list[Tensor]) -> DType:
        """The dtype that a layer computes in."""
        if _multiplies(layer) and not is_outer(layer, floats):
            return self.half
        if isinstance(layer, FakeQuantize):  # what it gives is a matrix product's operand
            return self.half
        if _is_wide(layer) or _is_square(layer, floats) or self.vanishes(layer, floats):
            return DType.FLOAT32
        moving = [x for x in floats if not x.is_constant]
        return self.half if any(x.dtype is self.half for x in moving) else DType.FLOAT32

    def vanishes(self, layer: Layer, floats: list[Tensor]) -> bool:
        """Whether what keeps a divisor from 0 would be 0 in 16 bits: ``x / (y + 1e-15)``.

        So would ``y`` itself, once it is there, and a divisor that is large becomes infinity.
        """
        if not isinstance(layer, ElementWise):
            return False
        divisor = floats[-1]
        if layer.op is ElementWiseOperation.DIV and not divisor.is_constant:
            return divisor.dtype is DType.FLOAT32
        return any(self.is_lost(x) for x in floats)

    def is_lost(self, x: Tensor) -> bool:
        """Whether 16 bits turn a small constant number into 0, or into quite another one: 1e-7."""
        if not x.is_constant or x.type.volume != 1:
            return False
        value = abs(float(fold(x)))
        if not 0 < value < 1:
            return False
        return abs(abs(float(fold(x).to(self.half.torch))) - value) > value / 8

    def cast(self, x: Tensor, dtype: DType, *, bounded: bool = True) -> Tensor:
        if (x, dtype) not in self.casts:
            value = self.bounded(x, dtype) if bounded else x
            self.casts[x, dtype] = cast(value, dtype)
        return self.casts[x, dtype]

    def bounded(self, x: Tensor, dtype: DType) -> Tensor:
        """A constant that 16 bits would turn into infinity, at half their largest value instead.

        Masks are written as float32's lowest number, and a row of infinities has no softmax. The
        other half is for the scores that are added to it.
        """
        if dtype not in _LARGEST or not x.is_constant or x.dtype is dtype:
            return x
        value, largest = fold(x), _LARGEST[dtype]
        if not value.numel():
            return x
        low, high = value.aminmax()  # abs() would copy the weights
        if low >= -largest and high <= largest:
            return x
        beyond = value[(value.abs() > largest) & value.isfinite()]
        if not beyond.numel():
            return x
        if (beyond.abs() < _LOWEST).any():  # a number of the model's, not a word for infinity
            warnings.warn(
                f"constant {x.name} holds {float(low):g} to {float(high):g}: what {dtype.value} "
                f"cannot hold becomes {largest / 2:g} of its sign",
                PrecisionWarning,
                stacklevel=2,
            )
        finite = ~Unary(op=UnaryOperation.ISINF)(x)
        lowered = where(finite & (x < -largest), -largest / 2, x)
        return where(finite & (x > largest), largest / 2, lowered)


def is_outer(layer: Layer, floats: list[Tensor]) -> bool:
    """Whether a product has nothing to add up: positions times frequencies, mostly.

    The angles of a rotary embedding are beyond the integers that 16 bits can tell apart.
    """
    if not isinstance(layer, MatrixMultiply):
        return False
    inner = -2 if layer.op0 is MatrixOperation.TRANSPOSE else -1
    return bool(floats[0].shape[inner] == 1)


def _is_square(layer: Layer, floats: list[Tensor]) -> bool:
    product = isinstance(layer, ElementWise) and layer.op is ElementWiseOperation.PROD
    return product and floats[0] is floats[-1]


def _is_wide(layer: Layer) -> bool:
    match layer:
        case Normalization() | SoftMax() | Cumulative():
            return True
        case NMS() | Repeat():
            return True
        case GridSample():  # 16 bits would move the points of a large image by elements
            return True
        case Reduce(op=ReduceOperation.AVG, axes=axes) if axes in _POOLED:
            return False
        case Reduce(op=op):
            return op in _SUMS
        case Unary(op=op):
            return op in _WIDE_UNARY
        case ElementWise(op=op):
            return op is ElementWiseOperation.POW
        case _:
            return False


def _multiplies(layer: Layer) -> bool:
    return isinstance(layer, _MATRIX) or (isinstance(layer, Plugin) and layer.multiplies)


def _keeps_types(layer: Layer) -> bool:
    """Whether a layer is given what it was traced with: kernels of others, unless they say more."""
    return isinstance(layer, LibraryPlugin) or (isinstance(layer, Plugin) and not layer.narrows)


def _chooses_boxes(layer: Layer) -> bool:
    return isinstance(layer, NMS) or (isinstance(layer, Plugin) and layer.chooses_boxes)


def _last_steps(network: Network) -> set[Operation]:
    """What only moves elements of outputs, and the function of elements or norm before that.

    Unless it is a product's, whose kernel it is part of; and where nothing but outputs is read.
    """
    readers: dict[Tensor, list[Operation]] = defaultdict(list)
    for operation in network.operations:
        for x in operation.inputs:
            readers[x].append(operation)
    moves, found = set[Operation](), set[Operation]()
    for operation in reversed(network.operations):
        if all(reader in moves for y in operation.outputs for reader in readers[y]):
            if isinstance(operation.layer, MOVES):
                moves.add(operation)
            elif _is_last_step(operation):
                found.add(operation)
    for operation in network.operations:
        if operation in moves and operation.inputs[0].producer in found:
            found.add(operation)
    return found


def _is_last_step(operation: Operation) -> bool:
    reads = [x.producer for x in operation.inputs if x.producer is not None]
    products = any(_multiplies(made.layer) for made in reads)
    return isinstance(operation.layer, _STEPS) and not products


def _before_boxes(network: Network) -> set[Operation]:
    """What makes boxes and scores of the last matrix products before a suppression.

    Boxes of different classes are moved apart by more than 16 bits can hold.
    """
    found: set[Operation] = set()
    waiting = [x for op in network.operations if _chooses_boxes(op.layer) for x in op.inputs]
    while waiting:
        producer = waiting.pop().producer
        if producer and producer not in found and not _multiplies(producer.layer):
            found.add(producer)
            waiting += producer.inputs
    return found
