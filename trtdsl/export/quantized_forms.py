"""Models that PyTorch's export quantization made (PT2E, of torchao), as TensorRT takes them.

There a value is rounded to integers by one operator and made a float again by the next. TensorRT
has such pairs for int8, and ``aten::fake_quantize_per_tensor_affine`` is what PyTorch calls one.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.fx import Graph, Node

from trtdsl.errors import explain
from trtdsl.held import PrecisionWarning
from trtdsl.ir.fake_quantize import INT8
from trtdsl.source import Source

__all__ = ["pair_quantizers"]

aten = torch.ops.aten

_TO = "quantized_decomposed.quantize_per_"
_BACK = "quantized_decomposed.dequantize_per_"
_PAIRS = {
    "tensor.default": aten.fake_quantize_per_tensor_affine.default,
    "tensor.tensor": aten.fake_quantize_per_tensor_affine.tensor_qparams,
    "channel.default": aten.fake_quantize_per_channel_affine.default,
}
_STEPS = ("scale", "scales", "zero_point", "zero_points", "axis", "quant_min", "quant_max")
_WEIGHTS = ("placeholder", "get_attr")


def pair_quantizers(graph: Graph) -> None:
    """Put one operator in place of each such pair, and one behind what makes floats of weights.

    The operator behind a weight changes nothing: its values are steps already, and it says of which
    scale. Others stay, and are reported as operators without a converter.
    """
    pairs: list[Node] = []
    for node in list(graph.nodes):
        kind = str(node.target).removeprefix(_BACK)
        if node.op != "call_function" or kind not in _PAIRS:
            continue
        taken, steps = node.args[0], _steps(node)
        if str(taken.target) == _TO + kind and _steps(taken) == steps:
            if taken.args[0].meta["val"].dtype is not node.meta["val"].dtype:
                continue
            pairs.append(_insert(graph, node, _PAIRS[kind], taken.args[0], steps))
            graph.erase_node(node)
            if not taken.users:
                graph.erase_node(taken)
        elif taken.op in _WEIGHTS:
            _insert(graph, node, _PAIRS[kind], node, steps)
    uneven = [node for node in pairs if _is_uneven(node)]
    if uneven:
        _warn(uneven, len(pairs))


def _is_uneven(pair: Node) -> bool:
    """Whether the graph says that the steps are not those of TensorRT's int8."""
    if pair.target is not _PAIRS["tensor.default"]:
        return False
    steps: Any = pair.args[2:]
    zero_point, least, last = steps
    return bool(zero_point != 0 or least < INT8[0] or last > INT8[1])


def _warn(uneven: list[Node], count: int) -> None:
    zero_point, least, last = uneven[0].args[2:]
    place = Source(operator=str(uneven[0].target), stack=uneven[0].meta.get("stack_trace") or "")
    warnings.warn(
        explain(
            f"TensorRT has no int8 for {len(uneven)} of {count} quantizations: the first has zero "
            f"point {zero_point} and steps {least} to {last}, and int8 has 0 and {INT8[0]} to "
            f"{INT8[1]}; float32 rounds there",
            at=str(place),
            fix="quantize to int8 with torch.per_tensor_symmetric",
        ),
        PrecisionWarning,
        stacklevel=2,
    )


def _steps(node: Node) -> list[Any]:
    """What tells the steps: scale, zero point, axis, and the least and last of them."""
    function: Any = node.target
    names = [argument.name for argument in function._schema.arguments]
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    return [given[name] for name in names if name in _STEPS]


def _insert(graph: Graph, node: Node, operator: Any, x: Node, steps: list[Any]) -> Node:
    with graph.inserting_after(node):
        made = graph.call_function(operator, (x, *steps))
    made.meta = dict(node.meta)
    node.replace_all_uses_with(made, delete_user_cb=lambda user: user is not made)
    return made
