"""Special functions that TensorRT lacks, by formulas good to float32; half precision goes by it.

The accuracies are relative, of the formulas themselves in exact arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.elementwise import UnaryOperation
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.network import Tensor
from trtdsl.operators import power, where
from trtdsl.registry import converter
from trtdsl.types import DType

from .function import absolute, log1p, unary

__all__: list[str] = []

aten = torch.ops.aten
Op = UnaryOperation

_EULER = 0.57721566490153286
_ZETA = torch.special.zeta(torch.arange(2.0, 24.0, dtype=torch.float64), 1).tolist()
"""zeta(2), zeta(3), ..., zeta(23)."""
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66)
"""B2, B4, ..., of the asymptotic series below."""
_SHIFT = 8
"""From here on these series are good to float32."""


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Horner's rule; the coefficient of the highest power comes first."""
    total: Tensor = x * coefficients[0] + coefficients[1]
    for c in coefficients[2:]:
        total = total * x + c
    return total


def _wide(x: Tensor) -> tuple[Tensor, DType]:
    """x in float32, and the dtype of the result."""
    return x.cast(DType.FLOAT32), x.dtype if x.dtype.is_float else DType.FLOAT32


@converter(aten.lgamma.default, aten.special_gammaln.default)
def lgamma(x: Tensor) -> Tensor:
    """``log|gamma(x)|``: Stirling's series from 8 on (1e-9), below it by the recurrence.

    About 1 and 2, where it is 0, by its Taylor series; below 0.5 by reflection, where its zeros
    between the poles are good to 1e-6 absolutely. Source: DLMF 5.5, 5.7.3, 5.11.1.
    """
    x, dtype = _wide(x)
    low = x < 0.5
    y = where(low, 1 - x, x)
    small = y < _SHIFT
    rising: Tensor = where(small, y, 1.0)
    for k in range(1, _SHIFT):
        rising = rising * where(small, y + k, 1.0)
    z = where(small, y + _SHIFT, y)
    value = (z - 0.5) * unary(Op.LOG, z) - z + 0.5 * math.log(2 * math.pi)
    value = value + _stirling(z) - unary(Op.LOG, rising)
    value = where(absolute(y - 1) <= 0.5, _near_one(y - 1), value)
    value = where(absolute(y - 2) < 0.5, _near_one(y - 2) + log1p(y - 2), value)
    value = where(y.equal(math.inf), y, value)
    turned = math.log(math.pi) - unary(Op.LOG, absolute(_sine_of_pi(x))) - value
    value = where(low, turned, value)
    return where(x.equal(-math.inf), math.inf, value).cast(dtype)


def _stirling(z: Tensor) -> Tensor:
    """``1 / (12 z) - 1 / (360 z^3) + 1 / (1260 z^5)``."""
    inverse = 1 / z
    series: Tensor = inverse * _polynomial(inverse * inverse, (1 / 1260, -1 / 360, 1 / 12))
    return series


def _near_one(z: Tensor) -> Tensor:
    """``log gamma(1 + z)`` for ``|z| <= 0.5``: ``-euler z + sum(zeta(k) (-z)^k / k)``."""
    terms = [(-1) ** k * zeta / k for k, zeta in enumerate(_ZETA, 2)]
    within = where(absolute(z) <= 0.5, z, 0.0)
    series: Tensor = within * _polynomial(within, [*reversed(terms), -_EULER])
    return series


def _sine_of_pi(x: Tensor) -> Tensor:
    """``sin(pi x)`` up to its sign, exact in how far x is from an integer."""
    return unary(Op.SIN, (x - unary(Op.ROUND, x)) * math.pi)


@converter(aten.digamma.default, aten.special_digamma.default, aten.special_psi.default)
def digamma(x: Tensor) -> Tensor:
    """The derivative of lgamma: the recurrence up to 8, from there the asymptotic series (1e-10).

    Its zeros are good to 1e-6 absolutely. Minus or plus infinity at 0 or -0, NaN at negative
    integers. Source: DLMF 5.5.2, 5.5.4, 5.11.2.
    """
    x, dtype = _wide(x)
    low = x < 0.5
    y = where(low, 1 - x, x)
    small = y < _SHIFT
    below: Tensor = where(small, 1 / y, 0.0)
    for k in range(1, _SHIFT):
        below = below + where(small, 1 / (y + k), 0.0)
    z = where(small, y + _SHIFT, y)
    square = 1 / (z * z)
    terms = [-b / (2 * k) for k, b in enumerate(_BERNOULLI, 1)]
    value = unary(Op.LOG, z) - 0.5 / z + square * _polynomial(square, terms[::-1]) - below
    part = x - unary(Op.ROUND, x)
    turned = value - math.pi / unary(Op.TAN, part * math.pi)
    turned = where(part.equal(0), where(x.equal(0), -1 / x, math.nan), turned)
    value = where(low, turned, value)
    value = where(x.equal(math.inf), math.inf, value)
    return where(x.equal(-math.inf), math.nan, value).cast(dtype)


_TERMS = 32


@converter(aten.polygamma.default, aten.special_polygamma.default)
def polygamma(n: int, x: Tensor) -> Tensor:
    """The n-th derivative of digamma: ``(-1)^(n + 1) n! zeta(n + 1, x)``; NaN below -23 for n > 0.

    Hurwitz's zeta by 32 terms and the Euler-Maclaurin formula (1e-8). Source: DLMF 25.11.
    """
    if n == 0:
        return digamma(x)
    if n < 0:
        raise ConversionError(explain(f"polygamma has no order {n}", fix="n is 0 or more"))
    x, dtype = _wide(x)
    value = _hurwitz(n + 1, x) * float((-1) ** (n + 1) * math.factorial(n))
    return value.cast(dtype)


def _hurwitz(s: int, q: Tensor) -> Tensor:
    """``sum(1 / (q + k)^s)`` over k from 0 on."""
    steps = q.network.constant([float(k) for k in range(_TERMS)], DType.FLOAT32)
    powers = _integer_power(Unsqueeze(axes=(q.rank,))(q) + steps, s)
    head = Reduce(op=ReduceOperation.SUM, axes=(q.rank,))(1 / powers)
    w = q + float(_TERMS)
    tail = w / (s - 1) + 0.5
    factor = 1 / w
    rising = float(s)
    for k, b in enumerate(_BERNOULLI[:3], 1):
        tail = tail + factor * (rising * b / math.factorial(2 * k))
        rising *= (s + 2 * k - 1) * (s + 2 * k)
        factor = factor / (w * w)
    total = head + tail / _integer_power(w, s)
    poles = (q <= 0) & q.equal(unary(Op.ROUND, q))
    return where(q < 9.0 - _TERMS, math.nan, where(poles, math.inf, total))


def _integer_power(x: Tensor, n: int) -> Tensor:
    size = power(absolute(x), float(n))
    return where(x < 0, -size, size) if n % 2 else size


_ERFINV_MIDDLE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_ERFINV_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


@converter(aten.erfinv.default, aten.special_erfinv.default)
def erfinv(x: Tensor) -> Tensor:
    """The inverse of erf (4e-7). Source: Giles, Approximating the erfinv function, 2012."""
    x, dtype = _wide(x)
    w = -unary(Op.LOG, (1 - x) * (1 + x))
    middle = _polynomial(w - 2.5, _ERFINV_MIDDLE)
    tail = _polynomial(unary(Op.SQRT, where(w < 5, 5.0, w)) - 3, _ERFINV_TAIL)
    value = where(w < 5, middle, tail) * x
    return where(absolute(x).equal(1), x * math.inf, value).cast(dtype)


# Rational in 1 / z for z = sqrt(-2 log(tail)) below and above 8. Source: Cephes, ndtri.
_NDTRI_P = (
    (4.05544892305962419923, 3.15251094599893866154e1, 5.71628192246421288162e1,
     4.40805073893200834700e1, 1.46849561928858024014e1, 2.18663306850790267539,
     -1.40256079171354495875e-1, -3.50424626827848203418e-2, -8.57456785154685413611e-4),
    (3.23774891776946035970, 6.91522889068984211695, 3.93881025292474443415,
     1.33303460815807542389, 2.01485389549179081538e-1, 1.23716634817820021358e-2,
     3.01581553508235416007e-4, 2.65806974686737550832e-6, 6.23974539184983293730e-9),
)  # fmt: skip
_NDTRI_Q = (
    (1.0, 1.57799883256466749731e1, 4.53907635128879210584e1, 4.13172038254672030440e1,
     1.50425385692907503408e1, 2.50464946208309415979, -1.42182922854787788574e-1,
     -3.80806407691578277194e-2, -9.33259480895457427372e-4),
    (1.0, 6.02427039364742014255, 3.67983563856160859403, 1.37702099489081330271,
     2.16236993594496635890e-1, 1.34204006088543189037e-2, 3.28014464682127739104e-4,
     2.89247864745380683936e-6, 6.79019408009981274425e-9),
)  # fmt: skip


@converter(aten.special_ndtri.default)
def ndtri(x: Tensor) -> Tensor:
    """The inverse of the normal distribution's integral (4e-7), in its tails by how much is left.

    Source: Cephes, ndtri; Giles in the middle.
    """
    x, dtype = _wide(x)
    left = where(x < 0.5, x, 1 - x)
    tail = (left > 0) & (left < math.exp(-2))
    z = unary(Op.SQRT, -2 * unary(Op.LOG, where(tail, left, 0.1)))
    inverse = 1 / z
    near, far = (
        _polynomial(inverse, p) / _polynomial(inverse, q)
        for p, q in zip(_NDTRI_P, _NDTRI_Q, strict=True)
    )
    size = z - unary(Op.LOG, z) * inverse - inverse * where(z < 8, near, far)
    size = where(left.equal(0), math.inf, size)
    middle = erfinv(2 * x - 1) * math.sqrt(2)
    ends = tail | left.equal(0)
    return where(ends, where(x < 0.5, -size, size), middle).cast(dtype)


_ERFC = (
    0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418,
    0.37409196, 1.00002368, -1.26551223,
)  # fmt: skip


@converter(aten.special_erfcx.default)
def erfcx(x: Tensor) -> Tensor:
    """``exp(x * x) * erfc(x)`` (1.2e-7). Source: Press et al., Numerical Recipes, erfcc."""
    x, dtype = _wide(x)
    value = _scaled_erfc(absolute(x))
    return where(x < 0, 2 * unary(Op.EXP, x * x) - value, value).cast(dtype)


def _scaled_erfc(x: Tensor) -> Tensor:
    """``exp(x * x) * erfc(x)`` for x of 0 and more."""
    t = 1 / (1 + 0.5 * x)
    scaled: Tensor = t * unary(Op.EXP, _polynomial(t, _ERFC))
    return scaled


@converter(aten.erfc.default, aten.special_erfc.default)
def erfc(x: Tensor) -> Tensor:
    """``1 - erf(x)``, which from 0.5 on keeps its digits."""
    x, dtype = _wide(x)
    tail = _scaled_erfc(where(x > 0.5, x, 0.5)) * unary(Op.EXP, -x * x)
    return where(x > 0.5, tail, 1 - unary(Op.ERF, x)).cast(dtype)


_I0 = (0.0045813, 0.0360768, 0.2659732, 1.2067492, 3.0899424, 3.5156229, 1.0)
_I0_TAIL = (
    0.00392377, -0.01647633, 0.02635537, -0.02057706, 0.00916281, -0.00157565, 0.00225319,
    0.01328592, 0.39894228,
)  # fmt: skip
_I1 = (0.00032411, 0.00301532, 0.02658733, 0.15084934, 0.51498869, 0.87890594, 0.5)
_I1_TAIL = (
    -0.00420059, 0.01787654, -0.02895312, 0.02282967, -0.01031555, 0.00163801, -0.00362018,
    -0.03988024, 0.39894228,
)  # fmt: skip


def _bessel(x: Tensor, near: Sequence[float], far: Sequence[float], *, scaled: bool) -> Tensor:
    """``I(|x|)``, times ``exp(-|x|)`` if scaled. Source: Abramowitz and Stegun, 9.8.1 to 9.8.4."""
    size = absolute(x)
    small = size < 3.75
    t = where(small, size, 3.75) / 3.75
    inner = _polynomial(t * t, near)
    z = where(small, 3.75, size)
    outer = _polynomial(3.75 / z, far) / unary(Op.SQRT, z)
    if scaled:
        return where(small, inner * unary(Op.EXP, -size), outer)
    return where(small, inner, outer * unary(Op.EXP, z))


@converter(aten.i0.default, aten.special_i0.default, aten.special_modified_bessel_i0.default)
def i0(x: Tensor) -> Tensor:
    """The modified Bessel function of order 0 (2e-7)."""
    x, dtype = _wide(x)
    return _bessel(x, _I0, _I0_TAIL, scaled=False).cast(dtype)


@converter(aten.special_i0e.default)
def i0e(x: Tensor) -> Tensor:
    """``exp(-|x|) * i0(x)`` (2e-7)."""
    x, dtype = _wide(x)
    return _bessel(x, _I0, _I0_TAIL, scaled=True).cast(dtype)


@converter(aten.special_i1.default, aten.special_modified_bessel_i1.default)
def i1(x: Tensor) -> Tensor:
    """The modified Bessel function of order 1 (3e-7)."""
    return _first_order(x, scaled=False)


@converter(aten.special_i1e.default)
def i1e(x: Tensor) -> Tensor:
    """``exp(-|x|) * i1(x)`` (3e-7)."""
    return _first_order(x, scaled=True)


def _first_order(x: Tensor, *, scaled: bool) -> Tensor:
    x, dtype = _wide(x)
    size = absolute(x)
    # The series near 0 is of I1(x) / x.
    near = where(size < 3.75, size, 1.0)
    value = _bessel(size, _I1, _I1_TAIL, scaled=scaled) * near
    return where(x < 0, -value, value).cast(dtype)
