"""The types of a recorded network, and what a strongly typed TensorRT demands of them.

From the headers (``NvInfer.h`` 10.0 to 11.1) and TensorRT's operator reference, and from nothing
that trtdsl says of itself; ``tests.standin.data_types`` has what each layer takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.standin.data_types import INTEGERS, taken

__all__ = ["types", "violations"]

COMPARISONS = {"EQUAL", "GREATER", "LESS"}
PREDICATES = {"ISINF", "ISNAN"}
PLUGINS = {"IPluginV3Layer", "IPluginV2Layer"}
WEIGHTS = ("kernel", "bias", "shift", "scale", "power")
SIZES = {
    "IShuffleLayer": {1},
    "ISliceLayer": {1, 2, 3},
    "IResizeLayer": {1},
    "IFillLayer": {0},
    "ISqueezeLayer": {1},
    "IUnsqueezeLayer": {1},
    "IGatherLayer": {1},
    "IScatterLayer": {1},
    "ICumulativeLayer": {1},
    "ILoopOutputLayer": {1},
    "INMSLayer": {2},
    "IRotaryEmbeddingLayer": {3},
}
"""The inputs that are sizes, axes or indices: int32 or int64."""


def types(network: Any) -> dict[int, str]:
    """The name of each tensor's ``tensorrt.DataType``, by the id of the stand-in's tensor."""
    known = {id(x): x.dtype.name for x in network.state["inputs"]}
    waiting = list(network.state["layers"])
    while waiting:  # set_input may name the output of a later layer
        layer = next(x for x in waiting if all(id(i) in known for i in _needed(x)))
        waiting.remove(layer)
        inputs = [known[id(x)] for x in _needed(layer)]
        for x, name in zip(layer.state["output_list"], _gives(layer, inputs), strict=True):
            known[id(x)] = name
    return known


def _needed(layer: Any) -> list[Any]:
    """The inputs that must come before; the next value of a recurrence comes behind it."""
    inputs = [x for x in layer.state["input_list"] if x is not None]
    return inputs[:1] if type(layer).__name__ == "IRecurrenceLayer" else inputs


def _gives(layer: Any, inputs: list[str]) -> list[str]:
    state = layer.state
    match type(layer).__name__:
        case "ICastLayer" | "IFillLayer" | "IQuantizeLayer" | "IDequantizeLayer":
            return [state["to_type"].name]
        case "IConstantLayer":
            return [state["weights"].state["dtype"].name]
        case "ITripLimitLayer":
            return []
        case "IShapeLayer":
            return ["INT64"]
        case "ITopKLayer":
            return [inputs[0], "INT32"]
        case "ISelectLayer":
            return [inputs[1]]
        case "IElementWiseLayer" if state["op"].name in COMPARISONS:
            return ["BOOL"]
        case "IUnaryLayer" if state["op"].name in PREDICATES:
            return ["BOOL"]
    return _gives_of(layer) or inputs[:1]


def _gives_of(layer: Any) -> list[str]:
    """The types of layers that say what they give, whatever they read."""
    match type(layer).__name__:
        case "INonZeroLayer" | "INMSLayer":
            return ["INT32"] * len(layer.state["output_list"])
        case "IPluginV3Layer":
            return [t.name for t in layer.state["plugin"].get_output_data_types([])]
    return []


def violations(network: Any) -> Iterator[str]:
    """A line for each layer that a strongly typed network would not take."""
    known = types(network)
    for layer in network.state["layers"]:
        kind = type(layer).__name__
        inputs = {i: known[id(x)] for i, x in enumerate(layer.state["input_list"]) if x is not None}
        sizes = _sizes(kind, layer)
        data = [dtype for i, dtype in inputs.items() if i not in sizes]
        masks = _mask(layer, data, known) if kind == "IAttention" else ()
        for reason in (*_inputs(kind, layer, data), *_weights(layer, data), *masks):
            yield f"{layer.name} ({kind} of {inputs}): {reason}"
        # "M: int64": operators/RotaryEmbedding.
        whole = {"INT64"} if kind == "IRotaryEmbeddingLayer" else INTEGERS
        if any(inputs[i] not in whole for i in sizes & set(inputs)):
            yield f"{layer.name} ({kind} of {inputs}): sizes or indices not of {sorted(whole)}"


def _sizes(kind: str, layer: Any) -> set[int]:
    if kind == "ITripLimitLayer":  # a number of trips, or the condition to go on
        return {0} if layer.state["kind"].name == "COUNT" else set()
    return SIZES.get(kind, set())


def _inputs(kind: str, layer: Any, data: list[str]) -> Iterator[str]:
    if kind == "ISelectLayer":
        if data[0] != "BOOL":
            yield "the condition is no bool"
        data = data[1:]
    if kind == "IDequantizeLayer":
        if data[0] != "INT8":
            yield "what it reads is no int8"
        data = data[1:]
    if len(set(data)) > 1:
        yield "the inputs' types differ"
    given = data or _gives(layer, [])
    allowed = taken(layer)
    if allowed is None and kind not in PLUGINS:
        yield "no source says what it takes"
    elif allowed is not None and not set(given) <= allowed:
        yield f"it takes {sorted(allowed)}"
    yield from _limits(kind, layer, data[0] if data else "")


def _limits(kind: str, layer: Any, dtype: str) -> Iterator[str]:
    state = layer.state
    match kind:
        case "ICastLayer":
            pair = {dtype, state["to_type"].name}
            if "UINT8" in pair and not pair <= {"UINT8", "FLOAT", "HALF"}:
                yield "kUINT8 conversions are only supported for {kFLOAT, kHALF}"
        case "IFillLayer":
            number = int if state["to_type"].name == "INT64" else float
            if any(type(state[name]) is not number for name in ("alpha", "beta")):
                yield f"its start and step are no {number.__name__}"
        case "IQuantizeLayer" if state["to_type"].name != "INT8":
            yield "it gives no int8"
        case "IDequantizeLayer" if state["to_type"].name != dtype:
            yield "output data type is inferred from scale data type"


def _mask(layer: Any, data: list[str], known: dict[int, str]) -> Iterator[str]:
    if "mask" in layer.state and known[id(layer.state["mask"])] not in ("BOOL", data[0]):
        yield "the mask is neither bool nor of the query's type"


def _weights(layer: Any, data: list[str]) -> Iterator[str]:
    for name in WEIGHTS:
        weights = layer.state.get(name)
        if type(weights).__name__ != "Weights":
            continue
        dtype = weights.state["dtype"].name
        if data and dtype != data[0]:
            yield f"{name} is {dtype}"
