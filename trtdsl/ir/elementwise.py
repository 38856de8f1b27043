"""``ElementWise`` and ``Unary``: arithmetic, comparison and functions of single elements."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.detour import detour
from trtdsl.ir.scalar import FromRankOne
from trtdsl.types import DType, TensorType, broadcast

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["ElementWise", "ElementWiseOperation", "Unary", "UnaryOperation"]


class ElementWiseOperation(Enum):
    """The operations of two tensors. Source: tensorrt.ElementWiseOperation."""

    SUM = auto()
    PROD = auto()
    MAX = auto()
    MIN = auto()
    SUB = auto()
    DIV = auto()
    POW = auto()
    FLOOR_DIV = auto()
    AND = auto()
    OR = auto()
    XOR = auto()
    EQUAL = auto()
    GREATER = auto()
    LESS = auto()


_LOGICAL = {ElementWiseOperation.AND, ElementWiseOperation.OR, ElementWiseOperation.XOR}
_COMPARISON = {
    ElementWiseOperation.EQUAL,
    ElementWiseOperation.GREATER,
    ElementWiseOperation.LESS,
}
_INTEGERS = {DType.INT32, DType.INT64}


@dataclass(frozen=True, kw_only=True)
class ElementWise(Layer):
    """``x op y`` of one dtype and rank, where sizes of 1 broadcast. Source: add_elementwise.

    AND, OR and XOR take and give bool; POW takes floats, all others int32 and int64 too. EQUAL,
    GREATER and LESS give bool. DIV of integers rounds toward zero, FLOOR_DIV toward minus infinity.
    """

    op: ElementWiseOperation

    def infer(self, x: TensorType, y: TensorType) -> TensorType:
        self.require(x.dtype is y.dtype, f"dtypes differ: {x} and {y}")
        self.require(x.rank == y.rank, f"ranks differ: {x} and {y}")
        logical = self.op in _LOGICAL
        # TensorRT's int8 is a quantized float, and its uint8 only enters and leaves a network.
        number = x.dtype in _INTEGERS and self.op is not ElementWiseOperation.POW
        takes = x.dtype is DType.BOOL if logical else x.dtype.is_float or number
        self.require(takes, f"takes no {x.dtype.value}: {x} and {y}", fix=self._instead(x))
        try:
            shape = broadcast(x.shape, y.shape)
        except ValueError:
            self.require(False, f"shapes do not broadcast: {x} and {y}")
        return TensorType(DType.BOOL if self.op in _COMPARISON else x.dtype, shape)

    def _instead(self, x: TensorType) -> str:
        if self.op in _LOGICAL:
            return "compare with 0 first, which gives bool"
        return f"cast to {'float32' if self.op is ElementWiseOperation.POW else 'int32'} before it"

    def evaluate(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        import torch

        match self.op:
            case ElementWiseOperation.DIV if not x.is_floating_point():
                return torch.div(x, y, rounding_mode="trunc")
            case ElementWiseOperation.FLOOR_DIV:
                return torch.div(x, y, rounding_mode="floor")
            case op:
                function = getattr(torch, _FUNCTIONS[op])
                result: torch.Tensor = function(x, y)
                return result

    def lower(self, api: Api, x: Any, y: Any) -> Any:
        return api.add_elementwise(x, y, api.enum("ElementWiseOperation", self.op))


_FUNCTIONS = {
    ElementWiseOperation.SUM: "add",
    ElementWiseOperation.PROD: "mul",
    # Where one of the two is NaN, TensorRT gives the other, and PyTorch's maximum gives NaN.
    ElementWiseOperation.MAX: "fmax",
    ElementWiseOperation.MIN: "fmin",
    ElementWiseOperation.SUB: "sub",
    ElementWiseOperation.DIV: "div",
    ElementWiseOperation.POW: "pow",
    ElementWiseOperation.AND: "logical_and",
    ElementWiseOperation.OR: "logical_or",
    ElementWiseOperation.XOR: "logical_xor",
    ElementWiseOperation.EQUAL: "eq",
    ElementWiseOperation.GREATER: "gt",
    ElementWiseOperation.LESS: "lt",
}


class UnaryOperation(Enum):
    """The functions of one tensor. Source: tensorrt.UnaryOperation."""

    EXP = auto()
    LOG = auto()
    SQRT = auto()
    RECIP = auto()
    ABS = auto()
    NEG = auto()
    SIN = auto()
    COS = auto()
    TAN = auto()
    SINH = auto()
    COSH = auto()
    ASIN = auto()
    ACOS = auto()
    ATAN = auto()
    ASINH = auto()
    ACOSH = auto()
    ATANH = auto()
    CEIL = auto()
    FLOOR = auto()
    ERF = auto()
    NOT = auto()
    SIGN = auto()
    ROUND = auto()
    ISINF = auto()
    ISNAN = auto()


_UNARY_FUNCTIONS = {
    UnaryOperation.RECIP: "reciprocal",
    UnaryOperation.NEG: "neg",
    UnaryOperation.NOT: "logical_not",
}
_PREDICATES = {UnaryOperation.ISINF, UnaryOperation.ISNAN}
_NO_BFLOAT16 = {
    UnaryOperation.TAN,
    UnaryOperation.SINH,
    UnaryOperation.COSH,
    UnaryOperation.ASIN,
    UnaryOperation.ACOS,
    UnaryOperation.ATAN,
    UnaryOperation.ASINH,
    UnaryOperation.ACOSH,
    UnaryOperation.ATANH,
}
"""Of floats these take float32 and float16 only. Source: TensorRT's operator reference, Unary."""


@dataclass(frozen=True, kw_only=True)
class Unary(FromRankOne):
    """``op(x)``, element by element; ROUND is to the nearest even integer. Source: add_unary.

    Floats; NOT takes and gives bool; ISINF and ISNAN give bool.
    """

    op: UnaryOperation

    def infer(self, x: TensorType) -> TensorType:
        self.require(x.rank > 0, f"takes ranks from 1 on, not {x}")
        if self.op is UnaryOperation.NOT:
            self.require(x.dtype is DType.BOOL, f"takes bool, not {x}")
            return x
        self.require_floats(x)
        return x.with_dtype(DType.BOOL) if self.op in _PREDICATES else x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        function = getattr(torch, _UNARY_FUNCTIONS.get(self.op, self.op.name.lower()))
        result: torch.Tensor = function(x)
        return result

    def lower(self, api: Api, x: Any) -> Any:
        return api.add_unary(x, api.enum("UnaryOperation", self.op))

    def available(self, api: Api) -> bool:
        return api.has_enum("UnaryOperation", self.op)

    def takes(self, x: TensorType) -> bool:  # type: ignore[override]
        return x.dtype is not DType.BFLOAT16 or self.op not in _NO_BFLOAT16

    def expand(self, x: Any) -> Any:
        """ISNAN before TensorRT 10.1: a NaN is the one value that differs from itself."""
        if self.op in _NO_BFLOAT16:
            return detour(self, (x,), around=DType.BFLOAT16)
        if self.op is not UnaryOperation.ISNAN:
            return super().expand(x)
        return ~ElementWise(op=ElementWiseOperation.EQUAL)(x, x)
