"""Rows whose results have sizes that values decide: an engine each, as its outputs are its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import trtdsl
from tests import test_converters as converters
from tests import test_data_dependent as models
from tests import test_detection as detectors
from tests import test_ir as ir
from tests.cases.base import f32
from tests.gpu.test_rows import OLDER
from trtdsl.build import BuildOptions, build
from trtdsl.tensorrt_api import import_tensorrt, is_strongly_typed

pytestmark = pytest.mark.gpu
box_ops = detectors.box_ops

OPTIONS = BuildOptions(optimization_level=0)
FLOAT32 = 1e-4


def alone(parameter: Any) -> bool:
    return "tests/gpu/test_data_dependent.py" in parameter.values[0].gpu


def traced(module: Any, inputs: Any, **options: Any) -> Any:
    """The network, or a skip where an older PyTorch exports otherwise than the pinned one."""
    try:
        return trtdsl.trace(module, inputs, **options)
    except trtdsl.ConversionError as error:
        if not OLDER:
            raise
        pytest.skip(f"PyTorch {torch.__version__}: {error}")


def assert_answers(engine: Any, inputs: Any, expected: Any) -> None:
    """What the engine gives for torch tensors and for numpy arrays, twice each."""
    for _ in range(2):
        for actual, wanted in zip(
            ir.answers(engine(*(x.cuda() for x in inputs))), expected, strict=True
        ):
            ir.assert_close(actual.cpu(), wanted, FLOAT32)
        for array, wanted in zip(
            ir.answers(engine(*(x.numpy() for x in inputs))), expected, strict=True
        ):
            ir.assert_close(torch.from_numpy(array), wanted, FLOAT32)


def is_refused(case: Any) -> bool:
    """Whether TensorRT 8 cannot build it: a count becomes the size of something known before."""
    nonzero = case.operator is torch.ops.aten.nonzero.default and case.args[0].dim() == 0
    return not is_strongly_typed(import_tensorrt()) and nonzero


def assert_refused(network: Any) -> None:
    with pytest.raises(trtdsl.BuildError, match=r"TensorRT 8 fails at some sizes(.|\n)*at:  non_"):
        build(network, OPTIONS)


@pytest.mark.parametrize("case", [c for c in converters.CASES if alone(c)])
def test_converters(case: Any) -> None:
    if case.fails:
        pytest.skip("it is refused while it is traced")
    module, inputs = converters.module_of(case), converters.inputs_of(case)
    network = traced(module, tuple(inputs))
    if is_refused(case):
        assert_refused(network)
        return
    engine = build(network, OPTIONS)
    assert_answers(engine, inputs, ir.answers(module(*(x.clone() for x in inputs))))


@pytest.mark.parametrize("case", [c for c in converters.CASES if alone(c) and c.values[0].dynamic])
def test_converters_with_dynamic_sizes(case: Any) -> None:
    module, inputs = converters.module_of(case), converters.inputs_of(case)
    specs = converters.specs_of(case, len(inputs))
    shapes = {f"inputs_{i}": s for i, s in enumerate(specs)}
    engine = build(traced(module, tuple(inputs), dynamic_shapes=shapes), OPTIONS)
    for change in (0, 1, 4):
        leaves = converters.at_size(case, inputs, change)
        assert_answers(engine, leaves, ir.answers(module(*(x.clone() for x in leaves))))


@pytest.mark.parametrize("case", [c for c in ir.CASES if alone(c)])
def test_layers(case: Any) -> None:
    """Behind a symbol, as a converter would write it: the row's own size is the found one."""
    net = trtdsl.Network("alone")
    inputs = [
        net.input(f"x{i}", tuple(x.shape), trtdsl.DType.of(x.dtype))
        for i, x in enumerate(case.inputs)
    ]
    output = replace(case.layer, count=net.unknown(max=4096))(*inputs)
    net.output(output, "y")
    assert_answers(build(net, OPTIONS), case.inputs, ir.answers(case.reference(*case.inputs))[:1])


def test_one_engine_serves_every_number_of_boxes(tmp_path: Any) -> None:
    engine = build(models.traced(), OPTIONS)
    engine.save(tmp_path / "detects.engine")
    again = trtdsl.load(tmp_path / "detects.engine")
    for n, seed in [(6, 0), (17, 2), (1, 3), (64, 5), (2, 9)]:
        inputs = models.boxes(n, seed)
        for name, wanted in models.Detects()(*inputs).items():
            for each in (engine, again):
                ir.assert_close(each(*(x.cuda() for x in inputs))[name].cpu(), wanted, FLOAT32)
                numpy = each(*(x.numpy() for x in inputs))[name]
                assert isinstance(numpy, np.ndarray)
                ir.assert_close(torch.from_numpy(numpy), wanted, FLOAT32)


def test_outputs_of_two_calls_are_apart() -> None:
    engine = build(models.traced(), OPTIONS)
    inputs = [models.boxes(40, seed) for seed in range(5)]
    answers = [engine(*(x.cuda() for x in leaves)) for leaves in inputs]
    for leaves, answer in zip(inputs, answers, strict=True):
        for name, wanted in models.Detects()(*leaves).items():
            ir.assert_close(answer[name].cpu(), wanted, FLOAT32)


def test_a_number_of_known_bounds_is_a_size() -> None:
    network = trtdsl.trace(models.Counts(5), (torch.zeros(8), torch.tensor([2])))
    engine = build(network, OPTIONS)
    for n in (1, 4, 5):
        x, i = torch.randn(8), torch.tensor([n])
        assert_answers(engine, (x, i), (x[:n] * n,))


@pytest.mark.usefixtures("box_ops")
def test_a_single_shot_detector() -> None:
    network = trtdsl.trace(detectors.SingleShot(), detectors.predictions(0))
    engine = build(network, OPTIONS)
    for seed in range(4):
        inputs = detectors.predictions(seed)
        expected = detectors.SingleShot()(*inputs)
        answer = engine(*(x.cuda() for x in inputs))
        for name, wanted in expected.items():
            ir.assert_close(answer[name].cpu(), wanted, FLOAT32)


def test_a_two_stage_detector() -> None:
    n = torch.export.Dim("n", min=1, max=64)
    shapes = {"features": None, "corners": {0: n}, "scores": {0: n}}
    inputs = detectors.two_stage_inputs(20)
    engine = build(trtdsl.trace(detectors.TwoStage(), inputs, dynamic_shapes=shapes), OPTIONS)
    for count in (20, 1, 47):
        leaves = detectors.two_stage_inputs(count)
        assert_answers(engine, leaves, detectors.TwoStage()(*leaves))


@pytest.mark.usefixtures("box_ops")
def test_retinanet_of_torchvision() -> None:
    model = detectors.OneImage()
    engine = build(trtdsl.trace(model, (torch.rand(3, 80, 96),)), OPTIONS)
    for scale in (1.0, 0.6, 0.0):
        image = f32(3, 80, 96, low=0) * scale
        expected, answer = model(image), engine(image.cuda())
        for name, wanted in expected.items():
            ir.assert_close(answer[name].cpu(), wanted, 1e-3)
