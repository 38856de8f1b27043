"""Complex tensors: PyTorch's own samples as pairs of reals, and what precision makes of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import trtdsl
from tests import test_opinfo as opinfo
from tests.cases.base import Case, f32
from tests.test_converters import Call
from tests.test_ir import assert_close
from trtdsl.registry import find, registered
from trtdsl.types import DType

_DTYPES = {*(d.torch for d in DType), torch.complex64}
_PER_OPERATOR = 6
_OTHERS = {"istft", "repeat_interleave"}
"""Operators whose samples have a complex window, or a size that depends on values."""
_COARSE = {"nn.functional.conv_transpose3d": 3e-4}
"""Sums of large products of either sign, rounded in another order than PyTorch's."""


class PairCalls(opinfo.Calls):
    """Calls with complex tensors, which enter and leave as pairs of reals."""

    def __init__(self, op: Any, samples: Any) -> None:
        super().__init__(op, samples, torch.complex64)
        self.are_complex = [x.is_complex() for x in self.tensors]
        self.tensors = tuple(map(opinfo.as_real, self.tensors))

    def forward(self, *tensors: torch.Tensor) -> Any:
        pairs = zip(tensors, self.are_complex, strict=True)
        made = [torch.view_as_complex(x) if c else x for x, c in pairs]
        return super().forward(*made)


def _samples(op: Any) -> list[Any]:
    torch.manual_seed(0)
    samples = [s for s in op.sample_inputs("cpu", torch.complex64) if opinfo._dtypes(s) <= _DTYPES]
    return samples[:: -(-len(samples) // _PER_OPERATOR)] if samples else []


def _check(op: Any, samples: list[Any]) -> None:
    module = PairCalls(op, samples).eval()
    expected = module(*(x.clone() for x in module.tensors))
    inputs = tuple(x.contiguous() for x in module.tensors)
    actual = trtdsl.trace(module, inputs).evaluate(*inputs)
    for ours, theirs in zip(actual, expected, strict=True):
        atol = _COARSE.get(op.name, 5e-5)
        torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=atol, equal_nan=True)


NAMES = {str(op).split(".")[1] for op in registered(complex=True)}
OPERATORS = [
    pytest.param(op, id=op.formatted_name)
    for op in opinfo.op_table()
    if op.name not in _OTHERS
    and opinfo._names(op) & NAMES
    and op.supports_dtype(torch.complex64, "cpu")
]


@pytest.mark.filterwarnings("ignore")  # PyTorch's own, of casts that lose the imaginary part
@pytest.mark.parametrize("op", OPERATORS)
def test_samples_of_pytorch(op: Any) -> None:
    _check(op, _samples(op))


def test_what_acts_on_parts_has_a_converter() -> None:
    for operator in registered(complex=True):
        if find(operator, complex=True).function.__module__ == "trtdsl.complex":
            assert find(operator) is not None, operator


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_magnitudes_in_half_precision_do_not_overflow(precision: str) -> None:
    """What a matrix product gives is of 16 bits, and the square of 300 is beyond float16."""

    def magnitude(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.view_as_complex((x @ weight).unflatten(-1, (-1, 2))).abs()

    x, weight = f32(4, 8, low=200.0, high=300.0), torch.eye(8)
    module = Call(Case(magnitude, x, weight, constants=(1,))).eval()
    network = trtdsl.trace(module, (x,), precision=precision)
    assert_close(network.evaluate(x), module(x), 1e-2)
