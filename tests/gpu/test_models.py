"""Whole models as engines, fp32 and fp16, against PyTorch and the engine by TensorRT's parser."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from tests.gpu import zoo
from trtdsl import oracle
from trtdsl.build import BuildOptions
from trtdsl.tree import flatten

pytestmark = pytest.mark.gpu

Call = tuple[tuple[Any, ...], dict[str, Any]]

TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2}
"""Largest difference over the largest expected magnitude.

In fp16, also twice what PyTorch's own half precision differs, where that is more.
"""


def on_gpu(value: Any, *, half: bool = False) -> Any:
    leaves, tree = flatten(value)
    moved = [x.cuda() for x in leaves]
    return tree.unflatten([x.half() if half and x.is_floating_point() else x for x in moved])


def flat(value: Any) -> list[torch.Tensor]:
    return [x.double().cpu() for x in flatten(value)[0]]


def error(actual: Any, expected: Any) -> float:
    pairs = zip(flat(actual), flat(expected), strict=True)
    return max(float((a - e).abs().max() / e.abs().max().clamp(min=1e-12)) for a, e in pairs)


def half_error(model: nn.Module, call: Call, expected: Any) -> float:
    """What PyTorch's own half precision differs; NaN where it cannot run."""
    try:
        with torch.no_grad():
            args, kwargs = on_gpu(call, half=True)
            return error(copy.deepcopy(model).half().cuda()(*args, **kwargs), expected)
    except (RuntimeError, TypeError, ValueError):
        return float("nan")


def parser_error(
    model: nn.Module, call: Call, options: BuildOptions, expected: Any
) -> tuple[float, str]:
    """What the engine by TensorRT's parser differs; NaN, and why, where there is none."""
    try:
        onnx = oracle.export(model, *call)
        theirs = oracle.build_engine(onnx, options)
        return error(theirs(*flatten(on_gpu(call))[0]), flatten(expected)[0]), ""
    except trtdsl.TrtdslError as failure:
        return float("nan"), str(failure)[:200]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", zoo.MODELS)
def test_model(name: str, precision: str, record: Callable[..., None]) -> None:
    example = zoo.MODELS[name].build()
    model, call = example.model, example.calls[0]
    args, kwargs = copy.deepcopy(call)
    with torch.no_grad():
        expected = model(*args, **kwargs)
    engine = trtdsl.convert(
        model, *call, precision=precision, optimization_level=0, backend="tensorrt"
    )
    args, kwargs = on_gpu(call)
    ours = error(engine(*args, **kwargs), expected)
    half = half_error(model, call, expected) if precision == "fp16" else 0.0
    options = BuildOptions(precision=precision, optimization_level=0)
    parser, why = parser_error(model, call, options, expected)
    record(name=name, precision=precision, ours=ours, onnx=parser, half=half, onnx_failure=why)
    assert ours <= max(TOLERANCE[precision], 2 * half if half == half else 0.0)
