"""Every operator with a converter, on the sample inputs that PyTorch tests its own operators with.

The samples have broadcasts, scalars of rank 0, empty tensors, negative axes and odd arguments that
no hand-written row thinks of. Each either gives PyTorch's numbers or is refused in a sentence.
"""

from __future__ import annotations

import re
import sys
import unittest
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import trtdsl
from trtdsl.registry import registered
from trtdsl.types import DType


def op_table() -> list[Any]:
    """PyTorch's table of its operators and their samples."""
    # PyTorch's test tables import a package that only its own test cases use.
    stand_in = ModuleType("expecttest")
    stand_in.TestCase = unittest.TestCase  # type: ignore[attr-defined]
    sys.modules.setdefault("expecttest", stand_in)
    # They also warn of packages that they look for, and forbid to set flags of torch.backends.
    with warnings.catch_warnings(), patch("torch.backends.disable_global_flags"):
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db

    return list(op_db)


def _op_infos() -> list[Any]:
    converted = {str(op).split(".")[1] for op in registered()} | _COMPOSED
    return [op for op in op_table() if op.formatted_name not in _OTHERS and _names(op) & converted]


def _names(op: Any) -> set[str]:
    """``torch.foo``, ``aten.foo`` and other names of an operator, less their modules."""
    names = {op.name, op.aten_name, *(alias.name for alias in op.aliases)}
    return {name.removeprefix("nn.functional.").removeprefix("linalg.") for name in names}


_COMPOSED = {
    *("cosine_similarity", "interpolate", "local_response_norm", "normalize", "softmin"),
    *("pairwise_distance", "softsign", "tanhshrink", "upsample_bilinear", "upsample_nearest"),
}
"""Functions of ``torch.nn.functional`` that become several operators."""

_OTHERS = {"_native_batch_norm_legit", "as_strided_partial_views"}
"""Operators of which only another overload has a converter, or whose samples are no inputs.

``as_strided`` has some that are views into larger memory; its own rows have such views.
"""

_UNDEFINED = {
    *("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"),
}
"""Operators that promise a shape and a dtype, but no values."""

_TIED = {"argsort", "kthvalue", "median", "mode", "sort", "topk"}
"""Operators that may name any of equal elements: of integers and bool only values are compared."""

_TRAINING = r"in training mode(.|\n)*fix: call model.eval\(\)"
_SAVED = r"saved mean of a normalization, which TensorRT lacks(.|\n)*fix:"
_IN_PLACE = r"updates .* in place(.|\n)*fix:"
_NO_FLOAT64 = r"float64, which TensorRT does not have(.|\n)*fix:"
_READ = r"torch.export cannot capture(.|\n)*(unbacked|data-dependent)(.|\n)*fix:"
_UNBOUNDED = r"is used as a size, and TensorRT needs to know(.|\n)*fix:"
_DRAWN = r"no converter\n  aten\.rand(.|\n)*fix: .*pass them as an input"
_NONE = r"no converter\n  aten\."
_REFUSED = {
    "bincount": r"bincount of .* depends on its values(.|\n)*fix:|an output of .* is float64",
    "item": r"is torch.Sym\w+, not a tensor(.|\n)*fix:",  # an engine gives tensors
    "linalg.matrix_norm": r"the matrix norm of order(.|\n)*fix:",
    "linalg.norm": rf"the matrix norm of order(.|\n)*fix:|{_NONE}_linalg_svd",
    "linspace": f"{_NO_FLOAT64}|{_NONE}empty",  # its ends are tensors
    "narrow": _READ,  # from where a tensor says
    "native_batch_norm": f"{_TRAINING}|{_SAVED}",
    "native_group_norm": _SAVED,
    "native_layer_norm": _SAVED,
    "nn.functional.alpha_dropout": _TRAINING,
    "nn.functional.batch_norm": rf"{_TRAINING}|axis 1 is outside 0\.\.0",
    "nn.functional.dropout": _TRAINING,
    "nn.functional.embedding": _IN_PLACE,
    "nn.functional.embedding_bag": _IN_PLACE,
    "nn.functional.feature_alpha_dropout": _TRAINING,
    "nn.functional.fractional_max_pool2d": _DRAWN,
    "nn.functional.fractional_max_pool3d": _DRAWN,
    "nn.functional.instance_norm": _TRAINING,
    "nn.functional.one_hot": rf"{_READ}|{_UNBOUNDED}",  # as many as it finds
    "nn.functional.rrelu": _TRAINING,
    "norm": f"{_NONE}_linalg_svd",  # the nuclear norm
    "repeat_interleave": _UNBOUNDED,
    "unique_consecutive": r"of which PyTorch's export has another shape(.|\n)*fix:",  # dim=-1
    "tensor_split": rf"{_READ}|{_UNBOUNDED}",  # where a tensor says
}
"""What TensorRT cannot do, in any dtype: operator, and the pattern of the refusal."""

_FLOATS_ONLY = {
    *("avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("conv1d", "conv2d", "conv3d", "local_response_norm"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
}
_INTEGERS_REFUSED = r"takes floats(.|\n)*fix:"
"""What TensorRT cannot do with integers: operators, and the pattern of the refusal."""

_PER_OPERATOR = 8
"""So many of an operator's samples are taken, spread evenly over all of them."""


class Calls(nn.Module):
    """Calls an operator once a sample, with the tensors of all samples as inputs.

    One more input goes to one more output, as a network needs one and ``torch.ones`` has none.
    """

    def __init__(self, op: Any, samples: Sequence[Any], dtype: torch.dtype) -> None:
        super().__init__()
        self.name, self.operator = op.name, op.op
        self.is_tied = op.name in _TIED and not dtype.is_floating_point
        trees = [pytree.tree_flatten((s.input, tuple(s.args), dict(s.kwargs))) for s in samples]
        self.trees = trees
        leaves = [leaf for leaves, _ in trees for leaf in leaves]
        self.tensors = (torch.ones(2), *(x.detach() for x in leaves if _is_tensor(x)))

    def forward(self, *tensors: torch.Tensor) -> Any:
        given = iter(tensors)
        results = [next(given) * 2]
        for leaves, spec in self.trees:
            filled = [next(given) if _is_tensor(leaf) else leaf for leaf in leaves]
            first, args, kwargs = pytree.tree_unflatten(filled, spec)
            result = self.operator(first, *args, **kwargs)
            results += pytree.tree_leaves(_untied(self.name, result) if self.is_tied else result)
        return [as_real(y) if _is_tensor(y) else y for y in results]


def as_real(x: torch.Tensor) -> torch.Tensor:
    """The parts of a complex tensor, which no engine takes or gives."""
    return torch.view_as_real(x.resolve_conj().resolve_neg()) if x.is_complex() else x


def _untied(name: str, result: Any) -> Any:
    """Values without their indices; of indices alone the shape."""
    if name == "argsort":
        return result * 0
    return result[0] if isinstance(result, tuple) else result


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _samples(op: Any, dtype: torch.dtype) -> list[Any]:
    """The samples that ask for no dtype that TensorRT lacks, or all of them if all do."""
    torch.manual_seed(0)
    samples = list(op.sample_inputs("cpu", dtype))
    samples = [s for s in samples if _dtypes(s) <= {d.torch for d in DType}] or samples
    return samples[:: -(-len(samples) // _PER_OPERATOR)]


def _dtypes(sample: Any) -> set[torch.dtype]:
    leaves = pytree.tree_leaves((sample.input, sample.args, sample.kwargs))
    tensors = {leaf.dtype for leaf in leaves if _is_tensor(leaf)}
    return tensors | {leaf for leaf in leaves if isinstance(leaf, torch.dtype)}


def _check(op: Any, samples: Sequence[Any], dtype: torch.dtype) -> None:
    module = Calls(op, samples, dtype).eval()
    expected = module(*(x.clone() for x in module.tensors))
    inputs = tuple(x.contiguous() for x in module.tensors)
    actual = trtdsl.trace(module, inputs).evaluate(*inputs)
    # A Fourier transform sums integers times cosines.
    exact = not dtype.is_floating_point and not op.name.startswith("fft")
    for ours, theirs in zip(actual, expected, strict=True):
        if op.name in _UNDEFINED:
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            continue
        torch.testing.assert_close(
            ours, theirs, rtol=1e-6 if exact else 1e-4, atol=1e-6 if exact else 2e-5, equal_nan=True
        )


OPERATORS = [
    pytest.param(op, dtype, id=f"{op.formatted_name}-{DType.of(dtype).short}")
    for op in _op_infos()
    for dtype in (torch.float32, torch.int64, torch.bool)
    if op.supports_dtype(dtype, "cpu")
]


@pytest.mark.filterwarnings("ignore")  # PyTorch's own, of deprecated arguments among the samples
@pytest.mark.parametrize(("op", "dtype"), OPERATORS)
def test_samples_of_pytorch(op: Any, dtype: torch.dtype) -> None:
    samples = _samples(op, dtype)
    try:
        _check(op, samples, dtype)
    except trtdsl.TrtdslError:
        refusals = [r for s in samples if (r := _refusal(op, s, dtype))]
        patterns = [_REFUSED[op.name]] if op.name in _REFUSED else []
        if not dtype.is_floating_point and _names(op) & _FLOATS_ONLY:
            patterns.append(_INTEGERS_REFUSED)
        patterns += [_NO_FLOAT64] if torch.float64 in set().union(*map(_dtypes, samples)) else []
        assert refusals
        assert patterns, refusals[0]
        for refusal in refusals:
            assert re.search("|".join(patterns), refusal), refusal


def _refusal(op: Any, sample: Any, dtype: torch.dtype) -> str:
    try:
        _check(op, [sample], dtype)
    except trtdsl.TrtdslError as error:
        return str(error)
    return ""
