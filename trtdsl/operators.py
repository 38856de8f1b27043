"""Operators of tensors: the one place where ranks align, sizes broadcast and dtypes promote.

Promotion is PyTorch's own: a Python scalar or a rank-0 tensor only lifts the category (bool,
integer, float), never the width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trtdsl.errors import ShapeError, explain
from trtdsl.ir.cast import Cast, Identity
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.select import Select
from trtdsl.ir.shuffle import Shuffle, Squeeze, Unsqueeze, reshapes
from trtdsl.real import is_real, is_truth, real, whole
from trtdsl.types import Dim, DType, as_dim, symbols

if TYPE_CHECKING:
    from trtdsl.network import Network, Operand, Tensor

__all__ = [
    "add", "align", "as_tensor", "cast", "divide", "equal", "floating", "floor_divide",
    "identity", "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor",
    "matmul", "maximum", "minimum", "multiply", "narrowed", "negative", "network_of", "permute",
    "power", "promote", "promote_dtype", "promoted", "remainder", "reshape", "subtract", "total",
    "where", "whole_part", "widened",
]  # fmt: skip

Op = ElementWiseOperation
_BYTES = (DType.INT8, DType.UINT8)


def network_of(*values: Any) -> Network:
    """The network of the first tensor among the values."""
    for value in values:
        if _is_tensor(value):
            network: Network = value.network
            return network
    raise ShapeError(f"none of {values} is a tensor of a network")


def as_tensor(value: Operand, network: Network, dtype: DType | None = None) -> Tensor:
    """A tensor of rank 0 from a scalar or a symbolic size; a tensor as it is, but for the dtype.

    Errors: ShapeError for what is neither, nor an array of PyTorch's or numpy's.
    """
    if _is_tensor(value):
        tensor: Tensor = value
    elif isinstance(value, (bool, int, float)):
        return _scalar(value, network, dtype)
    elif _is_array(value):
        array: Any = value
        return network.constant(array, dtype)
    elif not hasattr(value, "free_symbols"):
        raise ShapeError(
            explain(
                f"{value!r:.60} is a {type(value).__name__}, and operands are tensors, numbers and "
                "sizes",
                fix="of values known now, net.constant(values) makes a tensor",
            )
        )
    elif str(value) in network.numbers:
        tensor = network.numbers[str(value)]
    elif is_real(value) or is_truth(value):
        tensor = real(network, value)
    elif symbols([value]) & network.numbers.keys():
        tensor = whole(network, value)
    else:
        tensor = reshape(network.size(value), ())
    return tensor if dtype is None else cast(tensor, dtype)


def _scalar(value: float, network: Network, dtype: DType | None) -> Tensor:
    import torch

    if isinstance(value, int) and dtype is not None and dtype.is_integer:
        # A number too large for the tensor's integers wraps, as PyTorch's do.
        return network.constant(torch.tensor(value).to(dtype.torch))
    return network.constant(value, dtype)


def promoted(*values: Operand) -> DType:
    """The dtype that PyTorch computes these values in. Source: torch.result_type."""
    import torch

    def sample(value: Any) -> Any:
        if _is_tensor(value):
            return torch.empty((1,) * min(value.rank, 1), dtype=value.dtype.torch)
        if isinstance(value, (bool, int, float)):
            return value
        if _is_array(value):
            array = torch.as_tensor(value)
            return torch.empty((1,) * min(array.dim(), 1), dtype=array.dtype)
        return True if is_truth(value) else 1.0 if is_real(value) else 1

    samples = [sample(v) for v in values]
    result = torch.result_type(samples[0], samples[min(1, len(samples) - 1)])
    for third in samples[2:]:
        result = torch.result_type(torch.empty(1, dtype=result), third)
    try:
        return DType.of(result)
    except ValueError:  # uint8 with int8
        kinds = " and ".join(str(getattr(v, "type", v)) for v in values)
        raise ShapeError(
            explain(
                f"{kinds} promote to {result}, which TensorRT does not have",
                fix="cast both to int32, or to float32, first",
            )
        ) from None


def promote(*values: Operand, dtype: DType | None = None) -> tuple[Tensor, ...]:
    """The values as tensors of one rank and one dtype, ``dtype`` or the promoted one."""
    network = network_of(*values)
    dtype = dtype or promoted(*values)
    return align(*(as_tensor(v, network, dtype) for v in values))


def align(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors brought to one rank, with sizes of 1 in front."""
    rank = max(x.rank for x in tensors)
    return tuple(
        x if x.rank == rank else Unsqueeze(axes=tuple(range(rank - x.rank)))(x) for x in tensors
    )


def _binary(op: Op, x: Operand, y: Operand, dtype: DType | None = None) -> Tensor:
    dtype = dtype or promoted(x, y)
    # PyTorch keeps a number as it is that float16 has only as 0 or infinity.
    wide = dtype is DType.FLOAT16 and any(map(_is_beyond_half, (x, y)))
    # A quotient near a whole number falls to one side or the other by the number's last bits.
    floors = op is Op.FLOOR_DIV and dtype in (DType.FLOAT16, DType.BFLOAT16)
    wide = wide or (floors and not (_is_tensor(x) and _is_tensor(y)))
    computed = DType.FLOAT32 if wide else dtype
    return narrowed(ElementWise(op=op)(*widened(x, y, dtype=computed)), dtype)


def _is_beyond_half(value: Operand) -> bool:
    if not isinstance(value, (int, float)) or value == 0:
        return False
    return math.isfinite(value) and not 2**-14 <= abs(value) <= 65504


def widened(*values: Operand, dtype: DType) -> tuple[Tensor, ...]:
    """The values as of ``dtype`` and of one rank; bytes as int32, as TensorRT adds up none."""
    network = network_of(*values)
    tensors = (as_tensor(v, network, dtype) for v in values)
    return align(*(cast(x, DType.INT32) if dtype in _BYTES else x for x in tensors))


def narrowed(x: Tensor, dtype: DType) -> Tensor:
    """A result of ``widened`` operands in their dtype: of bytes the last eight bits."""
    if dtype is DType.INT8 and x.dtype is DType.INT32:
        x = subtract(remainder(add(x, 128), 256), 128)
    return cast(x, dtype)


def add(x: Operand, y: Operand) -> Tensor:
    """``x + y``; of bools, ``x or y``."""
    if promoted(x, y) is DType.BOOL:
        return _binary(Op.OR, x, y)
    return _binary(Op.SUM, x, y)


def subtract(x: Operand, y: Operand) -> Tensor:
    """``x - y``, not of bools."""
    return _binary(Op.SUB, x, y)


def multiply(x: Operand, y: Operand) -> Tensor:
    """``x * y``; of bools, ``x and y``."""
    if promoted(x, y) is DType.BOOL:
        return _binary(Op.AND, x, y)
    return _binary(Op.PROD, x, y)


def divide(x: Operand, y: Operand) -> Tensor:
    """True division: integers are divided as float32."""
    dtype = promoted(x, y)
    return _binary(Op.DIV, x, y, dtype if dtype.is_float else DType.FLOAT32)


def floor_divide(x: Operand, y: Operand) -> Tensor:
    """``x / y`` rounded down, in the promoted dtype."""
    return _binary(Op.FLOOR_DIV, x, y)


def remainder(x: Operand, y: Operand) -> Tensor:
    """``x - y * floor(x / y)``: the sign is y's, as in Python; floats by way of float32."""
    dtype, divisor = promoted(x, y), y
    if not dtype.is_float:
        x, y = widened(x, y, dtype=dtype)
        return narrowed(subtract(x, multiply(y, floor_divide(x, y))), dtype)
    # In half precision the product would be as coarse as x, and the difference all rounding.
    x, y = (cast(v, DType.FLOAT32) for v in widened(x, y, dtype=dtype))
    return cast(subtract(x, whole_part(floor_divide(x, y), y, divisor)), dtype)


def whole_part(quotient: Tensor, y: Tensor, divisor: Operand) -> Tensor:
    """``quotient * y`` of floats, with y as given; 0 times an infinite one is 0."""
    product = multiply(quotient, y)
    finite = isinstance(divisor, (bool, int, float)) and abs(divisor) <= 65504
    return product if finite else where(equal(quotient, 0), 0, product, product.dtype)


def power(x: Operand, y: Operand) -> Tensor:
    """``x ** y``; of integers by repeated multiplication, exact wherever the result fits."""
    dtype = promoted(x, y)
    if dtype.is_float:
        return _binary(Op.POW, x, y, dtype)
    dtype = DType.INT64 if dtype is DType.BOOL else dtype
    base, exponent = widened(x, y, dtype=dtype)
    if isinstance(y, int) and y < 0:
        raise ShapeError(
            explain(f"{x} ** {y}: integers have no such power", fix="cast to float32 before it")
        )
    known = _known_power(base, y) if isinstance(y, int) else _open_power(base, exponent)
    return narrowed(known, dtype)


def _known_power(base: Tensor, exponent: int) -> Tensor:
    if exponent < 2:
        return base if exponent else add(multiply(base, 0), 1)
    half = _known_power(base, exponent // 2)
    square = multiply(half, half)
    return multiply(square, base) if exponent % 2 else square


def _open_power(base: Tensor, exponent: Tensor) -> Tensor:
    """A power bit by bit; with a negative exponent 0, but for a base of 1 or -1."""
    left = maximum(exponent, negative(exponent))
    result, square = base.network.constant(1, base.dtype), base
    for _ in range(6):  # beyond 63 only powers of 0, 1 and -1 fit, and the last square is theirs
        rest = floor_divide(left, 2)
        odd = equal(subtract(left, multiply(rest, 2)), 1)
        result = where(odd, multiply(result, square), result)
        left, square = rest, multiply(square, square)
    result = where(less(0, left), multiply(result, square), result)
    fraction = logical_and(less(exponent, 0), logical_not(equal(multiply(base, base), 1)))
    return where(fraction, 0, result)


def maximum(x: Operand, y: Operand) -> Tensor:
    """The larger of each two elements."""
    if promoted(x, y) is DType.BOOL:
        return _binary(Op.OR, x, y)
    return _binary(Op.MAX, x, y)


def minimum(x: Operand, y: Operand) -> Tensor:
    """The smaller of each two elements."""
    if promoted(x, y) is DType.BOOL:
        return _binary(Op.AND, x, y)
    return _binary(Op.MIN, x, y)


def total(x: Tensor, axes: Sequence[int], *, keep: bool = False) -> Tensor:
    """The sum along axes in x's own dtype; bytes wrap, as they do in a sum of two."""
    wide = cast(x, DType.INT32) if x.dtype in _BYTES else x
    layer = Reduce(op=ReduceOperation.SUM, axes=tuple(axes), keep_dimensions=keep)
    return narrowed(layer(wide), x.dtype)


def negative(x: Tensor) -> Tensor:
    """``-x``, not of bools."""
    if x.dtype is DType.BOOL:
        raise ShapeError(explain(f"{x} has no negative", fix="~x is its opposite"))
    if not x.dtype.is_float:  # TensorRT's NEG takes floats
        return subtract(0, x)
    return Unary(op=UnaryOperation.NEG)(x)


def _compared(x: Operand, y: Operand) -> tuple[Tensor, ...]:
    # TensorRT compares floats, int32 and int64 only.
    dtype = promoted(x, y)
    return widened(x, y, dtype=DType.INT32 if dtype is DType.BOOL else dtype)


def less(x: Operand, y: Operand) -> Tensor:
    """``x < y`` as bool: false where either is NaN."""
    return ElementWise(op=Op.LESS)(*_compared(x, y))


def less_equal(x: Operand, y: Operand) -> Tensor:
    """``x < y or x == y``: false where either is NaN, as ``not x > y`` would not be."""
    x, y = _compared(x, y)
    return logical_or(less(x, y), equal(x, y))


def equal(x: Operand, y: Operand) -> Tensor:
    """``x == y`` as bool: false where either is NaN."""
    return ElementWise(op=Op.EQUAL)(*_compared(x, y))


def logical_not(x: Tensor) -> Tensor:
    """True where x is 0."""
    return Unary(op=UnaryOperation.NOT)(cast(x, DType.BOOL))


def logical_and(x: Operand, y: Operand) -> Tensor:
    """True where neither is 0."""
    return _binary(Op.AND, x, y, DType.BOOL)


def logical_or(x: Operand, y: Operand) -> Tensor:
    """True where one is not 0."""
    return _binary(Op.OR, x, y, DType.BOOL)


def logical_xor(x: Operand, y: Operand) -> Tensor:
    """True where just one is not 0."""
    return _binary(Op.XOR, x, y, DType.BOOL)


def where(condition: Tensor, x: Operand, y: Operand, dtype: DType | None = None) -> Tensor:
    """x where the condition is true (not 0) and y elsewhere, in ``dtype`` or the promoted one."""
    network = condition.network
    dtype = dtype or promoted(x, y)
    x, y = (as_tensor(v, network, dtype) for v in (x, y))
    return Select()(*align(cast(condition, DType.BOOL), x, y))


def matmul(x: Operand, y: Operand) -> Tensor:
    """``x @ y`` with the ranks that ``torch.matmul`` takes, vectors included."""
    network = network_of(x, y)
    x, y = promote_dtype(as_tensor(x, network), as_tensor(y, network))
    if x.dtype.is_integer:
        return _integer_matmul(x, y)
    op0 = MatrixOperation.VECTOR if x.rank == 1 else MatrixOperation.NONE
    op1 = MatrixOperation.VECTOR if y.rank == 1 else MatrixOperation.NONE
    batch = max(x.rank - (x.rank > 1) - 1, y.rank - (y.rank > 1) - 1)
    x = _leading(x, batch + (2 if x.rank > 1 else 1))
    y = _leading(y, batch + (2 if y.rank > 1 else 1))
    return MatrixMultiply(op0=op0, op1=op1)(x, y)


def _integer_matmul(x: Tensor, y: Tensor) -> Tensor:
    """Products of rows and columns, added up: TensorRT's own takes floats."""
    rows, columns = (cast(t, DType.INT32) if t.dtype in _BYTES else t for t in (x, y))
    rows = rows if x.rank > 1 else Unsqueeze(axes=(0,))(rows)
    columns = columns if y.rank > 1 else Unsqueeze(axes=(1,))(columns)
    rows, columns = align(rows, columns)
    rank = rows.rank
    products = multiply(Unsqueeze(axes=(rank,))(rows), Unsqueeze(axes=(rank - 2,))(columns))
    added = total(products, (rank - 1,))
    vectors = (rank - 2,) * (x.rank == 1) + (rank - 1,) * (y.rank == 1)
    return narrowed(Squeeze(axes=vectors)(added) if vectors else added, x.dtype)


def promote_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in one dtype, each with its own rank."""
    dtype = promoted(*tensors)
    return tuple(cast(x, dtype) for x in tensors)


def _leading(x: Tensor, rank: int) -> Tensor:
    return x if x.rank == rank else Unsqueeze(axes=tuple(range(rank - x.rank)))(x)


def cast(x: Tensor, dtype: DType) -> Tensor:
    """x in another dtype; x itself where it has that dtype."""
    return x if x.dtype is dtype else Cast(dtype=dtype)(x)


def floating(x: Tensor) -> Tensor:
    """x where it is of floats, else as float32: what PyTorch's functions compute in."""
    return x if x.dtype.is_float else cast(x, DType.FLOAT32)


def identity(x: Tensor) -> Tensor:
    """x as a tensor of its own."""
    return Identity()(x)


def reshape(x: Tensor, shape: Sequence[Dim]) -> Tensor:
    """x in another shape, of which one size may be -1; x itself where the shape is x's own.

    And what x was made of by a reshape, where the shape is that of before.
    """
    known = math.prod(d for d in shape if d != -1)
    if shape.count(-1) > 1 or (-1 in shape and known == 0):
        raise ShapeError(f"-1 in {tuple(shape)} could be several sizes: x is {x}")
    sizes = tuple(as_dim(_quotient(x.type.volume, known) if d == -1 else d) for d in shape)
    if x.producer and reshapes(x.producer.layer):
        (before,) = x.producer.inputs
        x = before if before.shape == sizes else x
    return x if sizes == x.shape else Shuffle(reshape_dims=sizes)(x)


def _quotient(volume: Dim, known: Dim) -> Dim:
    if isinstance(volume, int) and isinstance(known, int):
        return volume // known
    import sympy

    return sympy.cancel(volume / known)  # exact, so never a floor


def permute(x: Tensor, order: Sequence[int]) -> Tensor:
    """x with its axes in another order; x itself where the order is the axes' own."""
    if any(not -x.rank <= axis < x.rank for axis in order):
        raise ShapeError(f"{tuple(order)} is no order of the {x.rank} axes of {x}")
    order = tuple(axis % x.rank for axis in order)
    return x if order == tuple(range(x.rank)) else Shuffle(first_transpose=order)(x)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "network")


def _is_array(value: Any) -> bool:
    """Whether a value is PyTorch's or numpy's, whose numbers are known."""
    return hasattr(value, "__array_interface__") or hasattr(value, "data_ptr")
