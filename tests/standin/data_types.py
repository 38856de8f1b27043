"""The data types that each layer of TensorRT 10 and 11 takes, where a network is strongly typed.

Sources: the comments of ``NvInfer.h`` (10.0 to 11.1); the pages "Data Types" of TensorRT's operator
reference (``_static/operators/<Layer>.html``, 10.1 to 11.0); and, for layers whose pages were not
at hand, the table that NVIDIA's own compiler has of TensorRT 10: TensorRT-Incubator,
``TensorRTVersionCompatibility.cpp``. Where they differ, what all of them allow. Types of quantized
networks below int8 are left out, since trtdsl makes none, and so is int8 between other layers than
the pairs that it makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["FLOATS", "INTEGERS", "LOGICAL", "taken"]

FLOATS = frozenset({"FLOAT", "HALF", "BF16"})
INTEGERS = frozenset({"INT32", "INT64"})
NUMBERS = FLOATS | INTEGERS
MOVED = NUMBERS | {"BOOL", "INT8"}
NO_BF16 = FLOATS - {"BF16"}
LOGICAL = {"AND", "OR", "XOR"}

LAYERS: Mapping[str, frozenset[str]] = {
    # "Int32 and Int64 are valid only for activation type kRELU": addActivation.
    "IActivationLayer": FLOATS,
    # "Tensors of type Int32, Int64, Bool, or UInt8 are not allowed": addParametricReLU.
    "IParametricReLULayer": FLOATS,
    "IConvolutionLayer": FLOATS,
    # The table gives 8, 9 and 10 no bfloat16.
    "IDeconvolutionLayer": NO_BF16,
    "IPoolingLayer": FLOATS,
    "IScaleLayer": FLOATS,
    "ISoftMaxLayer": FLOATS,
    "INormalizationLayer": FLOATS,
    "IMatrixMultiplyLayer": FLOATS,
    # "It is a tensor of type kFLOAT, kHALF or kBF16": IAttention.
    "IAttention": FLOATS,
    "IRotaryEmbeddingLayer": FLOATS,
    # "T1: int8, float16, float32": operators/Resize, operators/GridSample.
    "IResizeLayer": NO_BF16,
    "IGridSampleLayer": NO_BF16,
    # "a linear tensor of type kFLOAT or kHALF", and thresholds of kFLOAT: INMSLayer.
    "INMSLayer": frozenset({"FLOAT"}),
    # "input data type must match the scale data type": IQuantizeLayer of 10.0.
    "IQuantizeLayer": FLOATS,
    # Of its scale; what it reads is told apart by ``tests.typed``.
    "IDequantizeLayer": FLOATS,
    "IReduceLayer": NUMBERS,
    "ICumulativeLayer": NUMBERS,
    "ITopKLayer": NUMBERS,
    # "The input may have type kFLOAT, kHALF, kINT32, or kBOOL": INonZeroLayer.
    "INonZeroLayer": frozenset({"FLOAT", "HALF", "INT32", "BOOL"}),
    # "T1: int8, int32, int64, float16, float32, bfloat16": operators/Scatter.
    "IScatterLayer": NUMBERS | {"INT8"},
    # The table's conversions of SelectOp.
    "ISelectLayer": NUMBERS | {"BOOL"},
    "IGatherLayer": MOVED,
    "IConcatenationLayer": MOVED,
    "IShuffleLayer": MOVED,
    "ISqueezeLayer": MOVED,
    "IUnsqueezeLayer": MOVED,
    "IIteratorLayer": MOVED,
    "IRecurrenceLayer": MOVED,
    "ILoopOutputLayer": MOVED,
    # "kCOUNT: a scalar of type kINT32 or kINT64", "kWHILE: of type kBOOL": TripLimit.
    "ITripLimitLayer": INTEGERS | {"BOOL"},
    # "kUINT8 network-level inputs", and outputs: DataType.
    "ICastLayer": MOVED | {"UINT8"},
    "IIdentityLayer": MOVED | {"UINT8"},
    "IShapeLayer": MOVED | {"UINT8"},
}
"""What a layer takes as data; sizes, axes and indices are told apart by ``tests.typed``."""

# "CLAMP, FILL and REFLECT modes do not support int64 or bfloat16": operators/Slice.
SLICED = {"STRICT_BOUNDS": MOVED, "WRAP": MOVED}
SLICED_OUTSIDE = MOVED - {"INT64", "BF16"}

ELEMENTWISE = {
    # "kAND, kOR, and kXOR must have inputs of DataType::kBOOL": ElementWiseOperation.
    **dict.fromkeys(LOGICAL, frozenset({"BOOL"})),
    # "POWER: int8, float16, float32, bfloat16": operators/ElementWise of 10.7.
    "POW": FLOATS,
}
# operators/Unary, and the table.
UNARY = {
    "NOT": frozenset({"BOOL"}),
    **dict.fromkeys(
        ("TAN", "SINH", "COSH", "ASIN", "ACOS", "ATAN", "ASINH", "ACOSH", "ATANH"), NO_BF16
    ),
}
# "If output is an Int32 or Int64 shape tensor, ReduceOperation::kAVG is unsupported": addReduce.
REDUCED = {"AVG": FLOATS}

GIVEN = {
    # "This layer does not support boolean types": IConstantLayer. "kUINT8 not supported":
    # addConstant.
    "IConstantLayer": NUMBERS | {"INT8"},
    # "kLINSPACE: Output type must be INT32, INT64, or FLOAT": FillOperation.
    "IFillLayer": INTEGERS | {"FLOAT"},
}
"""What a layer without inputs of data may give."""


def taken(layer: Any) -> frozenset[str] | None:
    """The types that a layer's data may have; None where no source says so."""
    kind, state = type(layer).__name__, layer.state
    match kind:
        case "ISliceLayer":
            mode = state["mode"].name if "mode" in state else "STRICT_BOUNDS"
            return SLICED.get(mode, SLICED_OUTSIDE)
        case "IElementWiseLayer":
            return ELEMENTWISE.get(state["op"].name, NUMBERS)
        case "IUnaryLayer":
            return UNARY.get(state["op"].name, FLOATS)
        case "IReduceLayer":
            return REDUCED.get(state["op"].name, NUMBERS)
        case "IConstantLayer" | "IFillLayer":
            return GIVEN[kind]
    return LAYERS.get(kind)
