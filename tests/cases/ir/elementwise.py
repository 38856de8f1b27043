"""Rows of the ElementWise and Unary layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch

from tests.cases.base import LayerCase, boolean, f16, f32, i32, i64
from trtdsl.ir.elementwise import ElementWise, Unary
from trtdsl.ir.elementwise import ElementWiseOperation as Op
from trtdsl.ir.elementwise import UnaryOperation as Fn

X, Y = f32(2, 3, 4), f32(2, 3, 4, seed=1)
I, J = i64(5, 6), i64(5, 6, low=1, high=5, seed=1)  # noqa: E741
SPECIAL = torch.tensor([0.0, 1.0, -1.0, float("inf"), -float("inf"), float("nan")])
INSIDE = f32(3, 5, low=-0.95, high=0.95)


def numpy(function: str) -> Callable[..., torch.Tensor]:
    """The reference of numpy, floats in float64."""

    def reference(*inputs: torch.Tensor) -> torch.Tensor:
        wide = [x.double() if x.is_floating_point() else x for x in inputs]
        result = torch.as_tensor(getattr(np, function)(*(x.numpy() for x in wide)))
        return result.to(inputs[0].dtype) if result.is_floating_point() else result

    return reference


def binary(
    op: Op,
    function: str,
    *inputs: torch.Tensor,
    symbolic: Mapping[tuple[int, int], str] | None = None,
) -> LayerCase:
    return LayerCase(ElementWise(op=op), inputs, numpy(function), symbolic=symbolic or {})


def unary(op: Fn, function: str, x: torch.Tensor) -> LayerCase:
    return LayerCase(Unary(op=op), (x,), numpy(function))


def brain(op: Fn, function: str, x: torch.Tensor) -> LayerCase:
    """A row in bfloat16, of eight bits: one unit in the last place of the largest answer."""
    reference, why = numpy(function), "TensorRT 8.6 has no bfloat16"
    return LayerCase(Unary(op=op), (x.bfloat16(),), reference, tolerance=2**-8, gpu=why)


def erf(x: torch.Tensor) -> torch.Tensor:
    """The error function from its Taylor series, in float64."""
    wide, total, term = x.double(), torch.zeros_like(x.double()), x.double()
    for n in range(40):
        total = total + term / (2 * n + 1)
        term = -term * wide**2 / (n + 1)
    return (total * (2 / math.sqrt(math.pi))).float()


CASES = [
    binary(Op.SUM, "add", X, Y, symbolic={(0, 0): "n", (1, 0): "n"}),
    binary(Op.SUM, "add", f32(2, 1, 4), f32(1, 3, 1), symbolic={(0, 2): "n"}),
    binary(Op.SUM, "add", I, J),
    binary(Op.SUM, "add", torch.tensor(1.5), torch.tensor(2.0)),
    binary(Op.PROD, "multiply", X, Y),
    binary(Op.PROD, "multiply", i32(3, 4), i32(1, 4)),
    binary(Op.MAX, "maximum", X, Y),
    binary(Op.MAX, "maximum", I, J),
    binary(Op.MIN, "minimum", X, Y),
    binary(Op.SUB, "subtract", X, Y),
    binary(Op.SUB, "subtract", I, J),
    binary(Op.DIV, "divide", X, Y.abs() + 0.5),
    LayerCase(ElementWise(op=Op.DIV), (I, J), lambda x, y: torch.trunc(x.double() / y).long()),
    binary(Op.POW, "power", X.abs() + 0.1, Y),
    binary(Op.FLOOR_DIV, "floor_divide", I, J),
    binary(Op.FLOOR_DIV, "floor_divide", X * 9, Y.abs() + 0.5),
    binary(Op.AND, "logical_and", boolean(5, 6), boolean(5, 6, seed=1)),
    binary(Op.OR, "logical_or", boolean(5, 6), boolean(5, 6, seed=1)),
    binary(Op.XOR, "logical_xor", boolean(5, 6), boolean(5, 6, seed=1)),
    binary(Op.EQUAL, "equal", I, J),
    binary(Op.EQUAL, "equal", SPECIAL, SPECIAL),
    binary(Op.GREATER, "greater", X, Y),
    binary(Op.GREATER, "greater", I, J),
    binary(Op.LESS, "less", X, Y),
    binary(Op.LESS, "less", i32(3, 4), i32(3, 4, seed=1)),
    unary(Fn.EXP, "exp", X),
    unary(Fn.LOG, "log", X.abs() + 0.1),
    unary(Fn.SQRT, "sqrt", X.abs()),
    unary(Fn.RECIP, "reciprocal", X.abs() + 0.1),
    unary(Fn.ABS, "abs", X),
    unary(Fn.ABS, "abs", f16(3, 4)),
    unary(Fn.NEG, "negative", X),
    unary(Fn.SIN, "sin", X),
    unary(Fn.COS, "cos", X),
    unary(Fn.TAN, "tan", INSIDE),
    unary(Fn.SINH, "sinh", X),
    unary(Fn.COSH, "cosh", X),
    unary(Fn.ASIN, "arcsin", INSIDE),
    unary(Fn.ACOS, "arccos", INSIDE),
    unary(Fn.ATAN, "arctan", X),
    unary(Fn.ASINH, "arcsinh", X),
    unary(Fn.ACOSH, "arccosh", X.abs() + 1.1),
    unary(Fn.ATANH, "arctanh", INSIDE),
    unary(Fn.CEIL, "ceil", X * 3),
    unary(Fn.FLOOR, "floor", X * 3),
    LayerCase(Unary(op=Fn.ERF), (X,), erf),
    unary(Fn.NOT, "logical_not", boolean(4, 5)),
    unary(Fn.SIGN, "sign", torch.tensor([-2.5, 0.0, 3.0])),
    unary(Fn.ROUND, "round", torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.6])),
    unary(Fn.ISINF, "isinf", SPECIAL),
    unary(Fn.ISNAN, "isnan", SPECIAL),
    brain(Fn.TAN, "tan", INSIDE),
    brain(Fn.SINH, "sinh", X),
    brain(Fn.COSH, "cosh", X),
    brain(Fn.ASIN, "arcsin", INSIDE),
    brain(Fn.ACOS, "arccos", INSIDE),
    brain(Fn.ATAN, "arctan", X),
    brain(Fn.ASINH, "arcsinh", X),
    brain(Fn.ACOSH, "arccosh", X.abs() + 1.1),
    brain(Fn.ATANH, "arctanh", INSIDE),
    brain(Fn.EXP, "exp", X),
]
