"""What an engine is made of, by TensorRT's own account, so that a difference can be explained."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from typing import Any

from benchmarks.execution import Bare
from trtdsl.engine import Engine
from trtdsl.tensorrt_api import import_tensorrt

__all__ = ["composition", "times"]

_TYPE = re.compile(r"\b(FP32|FP16|BF16|Float|Half|BFloat16|Int8|Int32|Int64|Bool)\b", re.IGNORECASE)
_SHORT = {"float": "FP32", "half": "FP16", "bfloat16": "BF16"}


def composition(engine: Engine, seconds: dict[str, float]) -> dict[str, Any]:
    """Layers of an engine: how many, reformats among them, and each with types and tactic.

    ``seconds``: the time of each layer, by name; those of no layer go to ``other_seconds``.
    """
    listed = [_layer(layer, seconds) for layer in engine.inspect()]
    names = {layer["name"] for layer in listed}
    return {
        "layers": len(listed),
        "reformats": sum("reformat" in str(layer["type"]).lower() for layer in listed),
        "types": dict(Counter(str(layer["type"]) for layer in listed)),
        "precisions": dict(Counter(layer["out"] for layer in listed)),
        "seconds_by_type": _by_type(listed),
        "other_seconds": {n: s for n, s in seconds.items() if n not in names},
        "listed": listed,
    }


def _layer(layer: dict[str, Any], seconds: dict[str, float]) -> dict[str, Any]:
    return {
        "name": layer["Name"],
        "type": layer.get("LayerType", "unknown"),
        "in": _types(layer.get("Inputs", [])),
        "out": _types(layer.get("Outputs", [])),
        "formats": [_format(t) for t in (*layer.get("Inputs", []), *layer.get("Outputs", []))],
        "tactic": layer.get("TacticName") or layer.get("TacticValue"),
        "seconds": seconds.get(layer["Name"]),
    }


def _format(tensor: dict[str, Any]) -> str:
    """``Channel major FP16 format where channel % 8 == 0``: one key or two, by release."""
    keys = ("Format/Datatype", "Format", "Datatype", "DataType")
    return " ".join(str(tensor[key]) for key in keys if key in tensor)


def _types(tensors: list[dict[str, Any]]) -> str:
    """``FP16``, ``FP16+FP32``, or ``unknown`` where TensorRT names none."""
    found = [t.lower() for tensor in tensors for t in _TYPE.findall(_format(tensor))]
    return "+".join(dict.fromkeys(_SHORT.get(t, t.upper()) for t in found)) or "unknown"


def _by_type(listed: list[dict[str, Any]]) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for layer in listed:
        total[layer["type"]] += layer["seconds"] or 0.0
    return dict(total)


def times(bare: Bare, runs: int = 20) -> dict[str, float]:
    """The median seconds of each layer, by name.

    TensorRT waits after every layer to take them, so their sum is more than the engine's own time.
    The profiler stays with the context: measure the engine's time before. Source: IProfiler.
    """
    trt = import_tensorrt()
    taken: defaultdict[str, list[float]] = defaultdict(list)

    class Profiler(trt.IProfiler):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)  # pybind11 refuses an object whose base was not made

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            taken[layer_name].append(ms / 1000)

    profiler = Profiler()
    bare.context.profiler = profiler
    for _ in range(runs):
        bare.run()
        bare.stream.synchronize()
    return {name: statistics.median(samples) for name, samples in taken.items()}
