"""Whole models as engines, fp32 and fp16, against PyTorch and the engine by TensorRT's parser."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

import trtdsl
from tests.gpu import zoo
from trtdsl import oracle
from trtdsl.build import BuildOptions
from trtdsl.tree import flatten

pytestmark = pytest.mark.gpu

TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2}
"""Largest difference over the largest expected magnitude; PyTorch's own fp16 is held to it too."""


def on_gpu(value: Any) -> Any:
    leaves, tree = flatten(value)
    return tree.unflatten([x.cuda() for x in leaves])


def flat(value: Any) -> list[torch.Tensor]:
    return [x.float().cpu() for x in flatten(value)[0]]


def error(actual: Any, expected: Any) -> float:
    pairs = zip(flat(actual), flat(expected), strict=True)
    return max(float((a - e).abs().max() / e.abs().max()) for a, e in pairs)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", zoo.MODELS)
def test_model(name: str, precision: str, record: Callable[..., None]) -> None:
    model, inputs = zoo.MODELS[name]()
    with torch.no_grad():
        expected = model(*copy.deepcopy(inputs))
    engine = trtdsl.convert(
        model, inputs, precision=precision, optimization_level=0, backend="tensorrt"
    )
    ours = error(engine(*on_gpu(inputs)), expected)
    try:
        onnx = oracle.export(model, inputs)
        theirs = oracle.build_engine(onnx, BuildOptions(precision=precision, optimization_level=0))
        parser = error(theirs(*flatten(on_gpu(inputs))[0]), flatten(expected)[0])
    except trtdsl.TrtdslError as failure:  # the ONNX path may fail where ours may not
        parser = float("nan")
        record(name=name, precision=precision, onnx_failure=str(failure)[:200])
    record(name=name, precision=precision, ours=ours, onnx=parser)
    assert ours <= TOLERANCE[precision]
