"""What TensorRT 8.6 is given instead of what it computes slowly or wrongly, in engines."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests import test_last_steps as last
from tests import test_one_order as order
from tests import test_patches as patches
from tests import test_prepared as prepared
from tests import test_single_rows as rows
from tests import test_turned as turned
from tests.cases.base import f32
from tests.gpu.test_models import TOLERANCE as OF_MODELS
from tests.gpu.test_models import answers, error, moved
from tests.gpu.zoo import MODELS
from trtdsl.tree import flatten

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore::FutureWarning")]

PATCHES: list[tuple[nn.Module, torch.Tensor]] = [
    (patches.Tokens((4, 2)), f32(2, 3, 8, 6)),
    (patches.Tokens((2, 4, 3), flat=False), f32(2, 3, 4, 12, 9)),
    (patches.Reduced(1, flat=False), f32(2, 4, 8, 6)),
    (patches.Reduced(2, flat=True), f32(2, 32, 6)),
]
TOLERANCE = {None: 1e-5, "fp16": 4e-3}


def check(model: nn.Module, engine: trtdsl.Engine, x: torch.Tensor, tolerance: float) -> None:
    actual, expected = engine(x.cuda()).cpu(), model(x)
    assert (actual - expected).norm() / expected.norm() <= tolerance


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize(("model", "x"), PATCHES)
def test_patches(model: nn.Module, x: torch.Tensor, precision: str | None) -> None:
    engine = trtdsl.convert(model.eval(), (x,), precision=precision, optimization_level=0)
    check(model, engine, x, TOLERANCE[precision])


def test_patches_of_a_batch_that_varies() -> None:
    model = patches.Tokens((4, 4)).eval()
    batch = Dim("batch", min=1, max=8)
    engine = trtdsl.convert(
        model, (f32(2, 3, 8, 12),), dynamic_shapes=({0: batch},), optimization_level=0
    )
    for count in (1, 2, 5):
        check(model, engine, f32(count, 3, 8, 12), 1e-5)


@pytest.mark.parametrize("kind", ["scaled", "moved", "norm", "softmax"])
def test_outputs_that_are_computed_in_float32(kind: str) -> None:
    model = last.Ending(kind).eval()
    engine = trtdsl.convert(model, (last.X,), precision="fp16", optimization_level=0)
    check(model, engine, last.X, 2e-3)


def test_loops() -> None:
    torch.manual_seed(0)
    model = prepared.Scanned().eval()
    length, rows = (Dim(name, min=1, max=64) for name in ("length", "rows"))
    engine = trtdsl.convert(
        model,
        (f32(40, 4, 3),),
        dynamic_shapes={"x": {0: length, 2: rows}},
        optimization_level=0,
    )
    for x in (f32(40, 4, 3), f32(3, 4, 1, seed=1)):
        for ours, wanted in zip(engine(x.cuda()), model(x), strict=True):
            torch.testing.assert_close(ours.cpu(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("kind", ["parallel", "scaled"])
def test_an_mlp_beside_heads(kind: str, precision: str | None) -> None:
    torch.manual_seed(0)
    model, length = turned.Block(kind).eval(), Dim("length", min=1, max=64)
    engine = trtdsl.convert(
        model,
        (f32(2, 8, 32),),
        dynamic_shapes=({1: length},),
        precision=precision,
        optimization_level=0,
    )
    for size in (8, 13, 1):
        check(model, engine, f32(2, size, 32, seed=size), TOLERANCE[precision])


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("length", [1, Dim("length", min=1, max=40)])
def test_queries_beside_a_cache(length: int | Dim, precision: str | None) -> None:
    torch.manual_seed(0)
    model, past = rows.Cached().eval(), Dim("past", min=1, max=40)
    batch, varies = Dim("batch", min=1, max=8), not isinstance(length, int)
    engine = trtdsl.convert(
        model,
        rows.cached(2, 4 if varies else 1, 5),
        dynamic_shapes=(
            {0: batch, **({1: length} if varies else {})},
            {0: batch, 2: past},
            {0: batch, 2: past},
        ),
        precision=precision,
        optimization_level=0,
    )
    for sizes in ((2, 4, 5), (3, 9, 7), (1, 2, 3), (4, 1, 6)):
        inputs = rows.cached(sizes[0], sizes[1] if varies else 1, sizes[2], seed=sizes[2])
        answers = engine(*(x.cuda() for x in inputs))
        for ours, wanted in zip(answers, model(*inputs), strict=True):
            error = (ours.cpu() - wanted).norm() / wanted.norm()
            assert error <= TOLERANCE[precision]


@pytest.mark.parametrize("precision", TOLERANCE)
def test_lengths_that_are_added(precision: str | None) -> None:
    torch.manual_seed(0)
    model, length = rows.Joined().eval(), Dim("length", min=2, max=30)
    engine = trtdsl.convert(
        model,
        (f32(2, 16, 32), f32(2, 5, 32, seed=1)),
        dynamic_shapes=({}, {1: length}),
        precision=precision,
        optimization_level=0,
    )
    for size in (5, 9):
        inputs = f32(2, 16, 32), f32(2, size, 32, seed=2)
        expected = model(*inputs)
        error = (engine(*(x.cuda() for x in inputs)).cpu() - expected).norm() / expected.norm()
        assert error <= TOLERANCE[precision]


def test_windows_of_a_length_that_varies() -> None:
    """They ended the process while two layers put them in order."""
    model = order.Windows().eval()
    length = Dim("length", min=2, max=20)
    engine = trtdsl.convert(
        model, (f32(2, 7, 4),), dynamic_shapes=({1: length},), optimization_level=0
    )
    for size in (7, 2, 13):
        check(model, engine, f32(2, size, 4, seed=size), 1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", OF_MODELS)
@pytest.mark.parametrize("name", ["spatial_transformer", "mixtral", "gpt_oss"])
def test_models_of_known_sizes(name: str, precision: str) -> None:
    """Layers of matrices as batches of one; smaller networks of them were right without it."""
    example = MODELS[name].build()
    args, kwargs = example.calls[0]
    engine = trtdsl.convert(
        example.model,
        args,
        kwargs,
        precision=precision,
        backend="tensorrt",
        optimization_level=0,
    )
    given, named = moved(example.calls[0])
    actual = flatten(engine(*given, **named))[0]
    assert error(actual, answers(example.model, example.calls[0])) <= OF_MODELS[precision]
