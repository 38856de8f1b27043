"""``fold_gelu``: GELUs that a model writes out, as TensorRT's activation for them.

``0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))`` and ``0.5 * x * (1 + erf(x /
sqrt(2)))`` come in many orders and groupings. So both the function's argument and what surrounds it
are multiplied out, and their coefficients compared.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.numbers import plain_number
from trtdsl.passes.rewrite import rewrite

__all__ = ["fold_gelu"]

Powers: TypeAlias = tuple[int, int]
"""The exponents of x and of the function's value."""
Polynomial: TypeAlias = Mapping[Powers, float]

_Op = ElementWiseOperation
_ONE, _X, _BENT = (0, 0), (1, 0), (0, 1)
_DEGREE = 4
"""No term of a GELU has more factors."""
_DEPTH = 8
"""No GELU is written in more sums and products of sums and products."""
_TOLERANCE = 1e-6
"""How far models round the formula's numbers; those of 16 bits are rounded by their dtype."""

_ROOT = math.sqrt(2 / math.pi)
_ARGUMENT: Mapping[ActivationType, Polynomial] = {
    ActivationType.GELU_TANH: {_X: _ROOT, (3, 0): _ROOT * 0.044715},
    ActivationType.GELU_ERF: {_X: math.sqrt(0.5)},
}
_AROUND: Polynomial = {_X: 0.5, (1, 1): 0.5}


def fold_gelu(network: Network) -> Network:
    """A network that computes the same, with an Activation for each GELU that was written out."""
    return rewrite(network, _rule)


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    import torch

    if operation.layer != ElementWise(op=_Op.PROD) or not inputs[0].dtype.is_float:
        return None
    near = max(_TOLERANCE, torch.finfo(inputs[0].dtype.torch).eps)
    for bent, kind in _bent(inputs):
        assert bent.producer is not None
        (argument,) = bent.producer.inputs
        for x in _within(argument):
            variables = {x: _X, bent: _BENT}
            around = _times(*(_multiplied_out(y, variables) for y in inputs))
            inner = _multiplied_out(argument, {x: _X})
            if _same(inner, _ARGUMENT[kind], near) and _same(around, _AROUND, near):
                return (Activation(type=kind)(x),)
    return None


def _bent(inputs: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ActivationType]]:
    """The tanh and erf that a product is made of."""
    for y in inputs:
        for x in (y, *_within(y)):
            if x.producer is None:
                continue
            if x.producer.layer == Activation(type=ActivationType.TANH):
                yield x, ActivationType.GELU_TANH
            elif x.producer.layer == Unary(op=UnaryOperation.ERF):
                yield x, ActivationType.GELU_ERF


def _within(x: Tensor) -> Iterator[Tensor]:
    """What sums and products make x of, nearest first."""
    level, seen = [x], {x}
    for _ in range(_DEPTH):
        made = [t.producer for t in level if t.producer is not None]
        read = [t for op in made if isinstance(op.layer, ElementWise) for t in op.inputs]
        level = [t for t in dict.fromkeys(read) if not t.is_constant and t not in seen]
        seen.update(level)
        yield from level


def _multiplied_out(
    y: Tensor, variables: Mapping[Tensor, Powers], depth: int = _DEPTH
) -> Polynomial | None:
    """y as a polynomial in the variables; None where it is not one that a GELU could be."""
    if y in variables:
        return {variables[y]: 1.0}
    number = plain_number(y)
    if number is not None:
        return {_ONE: number}
    made = y.producer
    if made is None or not isinstance(made.layer, ElementWise) or not depth:
        return None
    left, right = (_multiplied_out(t, variables, depth - 1) for t in made.inputs)
    match made.layer.op:
        case _Op.SUM:
            return _plus(left, right)
        case _Op.PROD:
            return _times(left, right)
        case _Op.DIV if right is not None and right.keys() == {_ONE} and right[_ONE]:
            return _times(left, {_ONE: 1 / right[_ONE]})
        case _Op.POW if right is not None and right.keys() == {_ONE} and right[_ONE] in (2, 3):
            square = _times(left, left)
            return square if right[_ONE] == 2 else _times(square, left)
    return None


def _plus(left: Polynomial | None, right: Polynomial | None) -> Polynomial | None:
    if left is None or right is None:
        return None
    return {p: left.get(p, 0.0) + right.get(p, 0.0) for p in {**left, **right}}


def _times(left: Polynomial | None, right: Polynomial | None) -> Polynomial | None:
    if left is None or right is None:
        return None
    terms: dict[Powers, float] = defaultdict(float)
    for (i, j), a in left.items():
        for (k, m), b in right.items():
            terms[i + k, j + m] += a * b
    return terms if max(map(sum, terms)) <= _DEGREE else None


def _same(ours: Polynomial | None, wanted: Polynomial, near: float) -> bool:
    if ours is None or ours.keys() != wanted.keys():
        return False
    return all(math.isclose(ours[p], wanted[p], rel_tol=near) for p in wanted)
