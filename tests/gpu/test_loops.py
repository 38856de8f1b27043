"""Loops whose number of trips is known at run time only, on TensorRT."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim
from torch.utils import _pytree as pytree

from tests import test_control as models
from tests import test_recurrent as recurrent
from tests.cases.base import f32
from tests.gpu.test_data_dependent import OPTIONS, assert_answers, traced
from trtdsl.build import build

pytestmark = [
    pytest.mark.gpu,
    # PyTorch's own, when it copies and traces nested graphs.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def test_while_loop() -> None:
    model = models.Repeats().eval()
    shapes = {"x": {0: Dim("n", min=2, max=9)}, "y": None}
    engine = build(traced(model, (f32(3, 4).abs(), f32(4).abs()), dynamic_shapes=shapes), OPTIONS)
    for x in (f32(3, 4).abs(), f32(7, 4).abs() / 9, torch.full((2, 4), 99.0), -f32(2, 4).abs()):
        inputs = x, f32(4).abs()
        assert_answers(engine, inputs, model(*inputs))


def test_map_and_scan() -> None:
    model = models.Steps().eval()
    shapes = {"x": {0: Dim("n", min=2, max=50)}, "y": None}
    engine = build(traced(model, (f32(3, 4), f32(4)), dynamic_shapes=shapes), OPTIONS)
    for rows in (2, 3, 40):
        inputs = f32(rows, 4), f32(4)
        assert_answers(engine, inputs, model(*inputs))


def test_scan_with_weights_in_both_directions() -> None:
    model = models.Recurrence()
    n, b = Dim("n", min=2, max=50), Dim("b", min=1, max=9)
    network = traced(model, (f32(4, 5, 3),), dynamic_shapes={"x": {0: n, 1: b}})
    engine = build(network, OPTIONS)
    for rows, batch in ((4, 5), (31, 2)):
        x = f32(rows, batch, 3)
        (total, outputs), back = engine(x.cuda())
        (wanted, rows_wanted), back_wanted = model(x)
        for actual, expected in ((total, wanted), (outputs, rows_wanted), (back, back_wanted)):
            models.assert_close(actual.cpu(), expected, 1e-4)


@pytest.mark.parametrize("whole", [True, False])
def test_packed_sequences(whole: bool) -> None:
    torch.manual_seed(0)
    model = recurrent.Packed(torch.nn.LSTM, whole=whole).eval()
    example = (f32(3, 7, 5), torch.tensor([4, 7, 2]))
    engine = build(traced(model, example, dynamic_shapes=recurrent.WORDS), OPTIONS)
    for inputs in (example, (f32(2, 9, 5), torch.tensor([1, 6]))):
        given = pytree.tree_leaves(engine(*(x.cuda() for x in inputs)))
        for actual, expected in zip(given, pytree.tree_leaves(model(*inputs)), strict=True):
            models.assert_close(actual.cpu(), expected, 1e-4)
