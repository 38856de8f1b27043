"""What a network looks like: text, table and drawing, against files that were read through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

import trtdsl
from trtdsl import render
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.convolution import Convolution
from trtdsl.ir.topk import TopK, TopKOperation
from trtdsl.network import Network
from trtdsl.source import Source
from trtdsl.types import DType

GOLDEN = Path(__file__).parent / "golden"


def by_hand() -> Network:
    """A convolution in a submodule, arithmetic with numbers, two outputs of one layer, a size."""
    with Network("hand") as net:
        batch = net.dim("batch", min=1, opt=4, max=8)
        x = net.input("x", (batch, 3, 8, 8))
        kernel = net.constant(torch.ones(6, 3, 3, 3), name="conv.weight")
        bias = net.constant(torch.ones(6), name="conv.bias")
        plain = {"stride": (2, 2), "dilation": (1, 1)}
        with net.at(Source(module="block.conv", operator="aten.conv2d.default")):
            y = Convolution(pre_padding=(1, 1), post_padding=(1, 1), **plain)(x, kernel, bias * 2)
        with net.at(Source(module="block.act")):
            y = Activation(type=ActivationType.LEAKY_RELU, alpha=0.1)(y)
        values, indices = TopK(op=TopKOperation.MAX, k=2, axis=1).outputs(y * 0.5)
        net.output(values, "values")
        net.output(indices.cast(DType.INT64), "indices")
    return net


def traced() -> Network:
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    model = nn.Sequential(stem, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 10)).eval()
    batch = torch.export.Dim("batch", min=1, max=32)
    shapes = {"input": {0: batch}}
    return trtdsl.trace(model, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=shapes)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("by_hand.txt", lambda: render.text(by_hand())),
        ("by_hand.dot", lambda: render.drawing(by_hand())),
        ("traced.txt", lambda: render.text(traced())),
    ],
)
def test_golden(name: str, shown: Callable[[], str]) -> None:
    assert shown() + "\n" == (GOLDEN / name).read_text()


def test_print_gives_the_text() -> None:
    net = by_hand()
    assert str(net) == render.text(net)


def test_the_table_has_a_row_for_each_layer_input_and_output() -> None:
    net = by_hand()
    table = render.table(net)
    assert table.row_count == render.count_layers(net) + 1 + 2
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    shown = captured.get()
    assert "block.conv/convolution" in shown
    assert "conv.weight: f32[6, 3, 3, 3]" in shown


def test_layers_that_no_input_reaches_are_not_counted_and_weights_are_counted_once() -> None:
    net = Network("tied")
    x = net.input("x", (4, 4))
    w = net.constant(torch.ones(4, 4), name="w")
    net.output((x @ w) @ (w * 2), "y")
    net.constant(torch.ones(1000), name="never read")
    assert render.count_layers(net) == 2
    assert render.count_weights(net) == (16, 64)
    assert "folded" not in render.text(net), "one source is shown by its own name"


def test_a_drawing_escapes_quotes() -> None:
    net = Network('a "b" \\')
    net.output(-net.input("x", (1,)), "y")
    assert render.drawing(net).startswith('digraph "a \\"b\\" \\\\" {')


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10**8, "95.4 MiB"), (2**42, "4096.0 GiB")],
)
def test_size_text(size: int, text: str) -> None:
    assert render.size_text(size) == text
