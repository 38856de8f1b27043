"""Whole models as engines, fp32 and fp16, against PyTorch and the engine by TensorRT's parser."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from tests.gpu.decisions import undecided
from tests.gpu.reduction import cut
from tests.gpu.zoo import MODELS
from trtdsl import oracle
from trtdsl.build import BuildOptions, build
from trtdsl.onnx_export import OnnxModel
from trtdsl.tree import flatten

pytestmark = pytest.mark.gpu

TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2}
"""``|answer - PyTorch| / |PyTorch|`` in the 2-norm; of fp16 also twice what PyTorch's own has."""
LEVEL = int(os.environ.get("TRTDSL_LEVEL", "0"))
"""The optimization level; 3 is ``convert``'s own, and takes several times as long."""
STATIC = os.environ.get("TRTDSL_STATIC", "") == "1"
"""Whether engines are of the sizes of the first call alone, for which there are other kernels."""
DECIDING = (
    "ssd", "ssdlite", "retinanet", "fcos", "faster_rcnn", "mask_rcnn", "keypoint_rcnn",
    "rt_detr", "rt_detr_v2", "d_fine",
)  # fmt: skip
"""Models that choose the best of what they score."""
DECIDED = 5e-2
"""Where PyTorch's own float16 is off by more in some call, it chooses of what is nearly equal."""


def moved(call: Any, dtype: torch.dtype = torch.float32) -> Any:
    leaves, tree = flatten(call)
    floats = [x.to(dtype) if x.is_floating_point() else x for x in leaves]
    return tree.unflatten([x.cuda() for x in floats])


def answers(model: nn.Module, call: Any) -> list[torch.Tensor]:
    """PyTorch's in float32, where every model runs: some keep tensors that ``cuda`` leaves."""
    args, kwargs = copy.deepcopy(call)
    with torch.no_grad():
        return [x.cuda() for x in flatten(copy.deepcopy(model)(*args, **kwargs))[0]]


def error(actual: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """The largest over the outputs; infinities at the same places agree."""
    errors = [0.0]
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape
        same = torch.isinf(e) & (a == e)
        x, y = (v.double().masked_fill(same, 0.0) for v in (a, e))
        errors.append(float((x - y).norm() / y.norm().clamp(min=1e-12)))
    return max(errors) if all(map(torch.isfinite, map(torch.tensor, errors))) else float("inf")


def halved(model: nn.Module, call: Any) -> float:
    """The error of PyTorch's own float16 on the GPU; none where it refuses the model."""
    args, kwargs = moved(copy.deepcopy(call), torch.float16)
    try:
        with torch.no_grad():
            half = flatten(copy.deepcopy(model).cuda().half()(*args, **kwargs))[0]
    except RuntimeError:
        return 0.0
    return error(half, answers(model, call))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", MODELS)
def test_engine(name: str, precision: str, record: Callable[..., None]) -> None:
    """One engine at all sizes of the row; see LEVEL and STATIC."""
    example = MODELS[name].build()
    args, kwargs = example.calls[0]
    engine = trtdsl.convert(
        example.model,
        args,
        kwargs,
        dynamic_shapes=None if STATIC else example.dynamic_shapes,
        precision=precision,
        backend="tensorrt",
        optimization_level=LEVEL,
    )
    ours, theirs = [], []
    for call in example.calls[:1] if STATIC else example.calls:
        given, named = moved(call)
        answer = flatten(engine(*given, **named))[0]
        ours.append(error(answer, answers(example.model, call)))
        theirs.append(halved(example.model, call) if precision == "fp16" else 0.0)
    built = {"level": LEVEL, "static": STATIC} if LEVEL or STATIC else {}
    record(name=name, precision=precision, ours=ours, pytorch_fp16=theirs, **built)
    if name in DECIDING and max(theirs) > DECIDED:
        return  # test_before_decisions compares what can be compared
    for mine, its in zip(ours, theirs, strict=True):
        assert mine <= max(TOLERANCE[precision], 2 * its)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DECIDING)
def test_before_decisions(name: str, record: Callable[..., None]) -> None:
    """In float16, what such models choose by; twice the error of the same network on the CPU."""
    example = MODELS[name].build()
    args, kwargs = example.calls[0]
    half = trtdsl.trace(example.model, args, kwargs, precision="fp16")
    full = trtdsl.trace(example.model, args, kwargs)
    chosen, named = undecided(half), {op.name: op.outputs[0] for op in full.operations}
    assert chosen
    part = cut(half, list(chosen.values()))
    leaves = flatten((args, kwargs))[0]
    expected = flatten(cut(full, [named[key] for key in chosen]).evaluate(*leaves))[0]
    engine = build(part, BuildOptions(precision="fp16", optimization_level=LEVEL))
    actual = flatten(engine(*(x.cuda() for x in leaves)))[0]
    ours = error([x.cpu() for x in actual], expected)
    theirs = error(flatten(part.evaluate(*leaves))[0], expected)
    record(name=f"{name}, before decisions", precision="fp16", ours=[ours], reference_fp16=[theirs])
    assert ours <= max(TOLERANCE["fp16"], 2 * theirs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", MODELS)
def test_onnx_path(name: str, precision: str, record: Callable[..., None]) -> None:
    """What the ONNX path makes of it is told, and may be wrong."""
    example = MODELS[name].build()
    args, kwargs = example.calls[0]
    options = BuildOptions(precision=precision, optimization_level=LEVEL)
    try:
        engine = oracle.build_engine(OnnxModel.of(example.model, args, kwargs), options)
        given, named = moved(example.calls[0])
        answer = flatten(engine(*given, **named))[0]
    except trtdsl.TrtdslError as failure:
        record(name=name, precision=precision, onnx_failure=str(failure)[:300])
        return
    expected = answers(example.model, example.calls[0])
    record(name=name, precision=precision, onnx=error(answer, expected))
