"""``trtdsl.held``: what TensorRT's description of an engine says about a network's types."""

from __future__ import annotations

from typing import Any

from trtdsl.held import unheld
from trtdsl.network import Network
from trtdsl.types import DType


def network() -> Network:
    net = Network()
    x = net.input("x", (2, 3), DType.FLOAT16)
    net.output((-(x + x)).cast(DType.FLOAT32) + 1.0)
    return net


def layer(name: str, text: str) -> dict[str, Any]:
    return {"Name": name, "Outputs": [{"Name": "t", "Format/Datatype": text}]}


def test_what_held_gives_no_line() -> None:
    described = [
        layer("element_wise + unary", "Row major linear FP16 format"),
        layer("element_wise_2", "Row major linear FP32"),
        layer("Reformatting CopyNode for Input Tensor 0 to unary", "Row major linear FP32"),
        layer("cast", "Row major linear FP16 format"),
        layer("{ForeignNode[element_wise...unary]}", "Row major linear FP32"),
    ]
    assert unheld(network(), described) == []


def test_float32_where_float16_was_asked_for_and_the_other_way_round() -> None:
    described = [
        layer("element_wise + unary", "Row major linear FP32"),
        layer("element_wise_2", "Row major linear FP16 format"),
    ]
    first, second = unheld(network(), described)
    assert first == "element_wise + unary: float16 as Row major linear FP32"
    assert second == "element_wise_2: float32 as Row major linear FP16 format"
