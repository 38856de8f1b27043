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
_ONE = 4
"""The steps of one scale: that, the zero point, the least and the last."""


def pair_quantizers(graph: Graph) -> None:
    """Put one operator in place of each such pair, and one behind what makes floats of weights.

    The operator behind a weight changes nothing: its values are steps already, and it says of which
    scale. Others stay, and are reported as operators without a converter.
    """
    pairs: list[list[Any]] = []
    for node in list(graph.nodes):
        kind = str(node.target).removeprefix(_BACK)
        if node.op != "call_function" or kind not in _PAIRS:
            continue
        taken, steps = node.args[0], _steps(node)
        if str(taken.target) == _TO + kind and _steps(taken) == steps:
            if taken.args[0].meta["val"].dtype is not node.meta["val"].dtype:
                continue
            _insert(graph, node, _PAIRS[kind], taken.args[0], steps)
            graph.erase_node(node)
            if not taken.users:
                graph.erase_node(taken)
            pairs.append(steps)
        elif taken.op in _WEIGHTS:
            _insert(graph, node, _PAIRS[kind], node, steps)
    _tell_uneven(pairs)


def _tell_uneven(pairs: list[list[Any]]) -> None:
    """Warn of steps that are not those of TensorRT's int8, where the graph says what they are."""
    known = [steps[-3:] for steps in pairs if isinstance(steps[-3], int) and len(steps) == _ONE]
    uneven = [p for p in known if p[0] or p[1] < INT8[0] or p[2] > INT8[1]]
    if uneven:
        zero_point, least, last = uneven[0]
        what = f"TensorRT has no int8 for {len(uneven)} of {len(pairs)} quantizations: the first "
        what += f"has zero point {zero_point} and steps {least} to {last}; float32 rounds there"
        fix = "quantize to int8 with torch.per_tensor_symmetric, whose zero point is 0"
        warnings.warn(explain(what, fix=fix), PrecisionWarning, stacklevel=2)


def _steps(node: Node) -> list[Any]:
    """What tells the steps: scale, zero point, axis, and the least and last of them."""
    function: Any = node.target
    names = [argument.name for argument in function._schema.arguments]
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    return [given[name] for name in names if name in _STEPS]


def _insert(graph: Graph, node: Node, operator: Any, x: Node, steps: list[Any]) -> None:
    with graph.inserting_after(node):
        made = graph.call_function(operator, (x, *steps))
    made.meta = dict(node.meta)
    node.replace_all_uses_with(made, delete_user_cb=lambda user: user is not made)
