"""What the benchmarks of a GPU build and hold against each other, as far as a CPU can tell."""

from __future__ import annotations

import pytest
import torch

from benchmarks import plugin_calls, plugins, suppression
from tests.models import vision_operators
from tests.plugins.queued import KERNEL
from trtdsl.network import Network

assert vision_operators.SCHEMAS, "torchvision's operators are declared"
CHEAP = ("cummax", "searchsorted", "scatter_add", "rfft")


@pytest.mark.parametrize("case", CHEAP)
def test_both_ways_of_an_operator_answer_alike(case: str) -> None:
    *functions, inputs = plugins._made(case)
    layers, plugin = (plugins._network(f, inputs).evaluate(*inputs) for f in functions)
    assert (layers - plugin).abs().max() <= 1e-5 * layers.abs().max()


def test_suppression_keeps_what_torchvision_does() -> None:
    boxes, scores = suppression._boxes(300)
    kept = vision_operators.nms(boxes, scores, suppression._OVERLAP)
    total = suppression._ours(300).evaluate(boxes, scores)
    torch.testing.assert_close(total, scores[kept].sum(0, keepdim=True))
    assert 10 < len(kept) < 300


def test_the_same_kernel_inside_an_engine_and_alone() -> None:
    assert plugin_calls.DoubledInCuda.kernel == KERNEL
    net = Network()
    net.output(plugin_calls.DoubledInCuda(shift=1.5)(net.input("x", (8,))), "y")
    x = torch.arange(8.0)
    assert torch.equal(net.evaluate(x), 2 * x + 1.5)
