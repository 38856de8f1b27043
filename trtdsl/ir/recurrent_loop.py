"""``RecurrentLoop``: the lowering of ``Recurrent`` to a TensorRT loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trtdsl.ir.loop import Loop
from trtdsl.types import DType

if TYPE_CHECKING:
    from trtdsl.ir.recurrent import Recurrent
    from trtdsl.tensorrt_api import Api

__all__ = ["RecurrentLoop"]


class RecurrentLoop:
    """The loop of one layer; what it adds in float32 says so where TensorRT infers no types."""

    def __init__(self, api: Api, layer: Recurrent, x: Any) -> None:
        self.api = api
        self.layer = layer
        self.x = x
        self.narrow = layer.dtype is not DType.FLOAT32

    def outputs(self, weight: Any, state: Any, others: Sequence[Any]) -> tuple[Any, ...]:
        """The layer's outputs, for ITensors of its inputs."""
        lstm = self.layer.mode.name == "LSTM"
        others, mask = (others[:-1], others[-1]) if self.layer.masked else (others, None)
        bias = self.wide(self.unsqueezed(others[0])) if others and not lstm else None
        matrix = others[1] if len(others) > 1 else None
        self.size = self.gate_size(state)
        initial = [self.wide(x) for x in (state, *(others[:1] if lstm else ()))]

        loop = Loop(self.api, self.x)
        x = self.wide(loop.slices(self.x, reverse=self.layer.reverse))
        states = [loop.state(value) for value in initial]
        hidden = self.product(states[0].get_output(0), weight)
        hidden = hidden if bias is None else self.add(hidden, bias)
        values = self.step(x, hidden, [s.get_output(0) for s in states])
        if matrix is not None:
            values[0] = self.product(values[0], matrix)
        if mask is not None:
            # What is iterated over are numbers, as in every loop that was seen to run.
            inside = self.api.cast(loop.slices(mask, reverse=self.layer.reverse), DType.BOOL)
            old = [s.get_output(0) for s in states]
            pairs = zip(values, old, strict=True)
            values = [self.typed(self.api.add_select(inside, *pair)) for pair in pairs]
        for recurrence, value in zip(states, values, strict=True):
            recurrence.set_input(1, value)
        stacked = loop.stacked(self.narrowed(values[0]), reverse=self.layer.reverse)
        return (stacked, *(self.narrowed(loop.last(s)) for s in states))

    def step(self, x: Any, hidden: Any, states: list[Any]) -> list[Any]:
        """The next states. Source: the formulas of torch.nn.LSTM, GRU and RNN."""
        match self.layer.mode.name:
            case "LSTM":
                i, f, g, o = self.gates(self.add(x, hidden))
                kept = self.times(self.function("SIGMOID", f), states[1])
                gained = self.times(self.function("SIGMOID", i), self.function("TANH", g))
                cell = self.add(kept, gained)
                return [self.times(self.function("SIGMOID", o), self.function("TANH", cell)), cell]
            case "GRU":
                (xr, xz, xn), (hr, hz, hn) = self.gates(x), self.gates(hidden)
                reset = self.function("SIGMOID", self.add(xr, hr))
                update = self.function("SIGMOID", self.add(xz, hz))
                new = self.function("TANH", self.add(xn, self.times(reset, hn)))
                return [self.add(new, self.times(update, self.elementwise("SUB", states[0], new)))]
            case kind:
                return [self.function(kind, self.add(x, hidden))]

    def gate_size(self, state: Any) -> Any:
        """The sizes (N, H) of a gate, computed before the loop."""
        from trtdsl.sizes import read_size

        width = self.api.shape_tensor((self.layer.hidden_size,))
        layer = self.api.add_concatenation([read_size(self.api, state, 0), width])
        layer.axis = 0
        return layer.get_output(0)

    def gates(self, x: Any) -> list[Any]:
        parts = []
        for i in range(self.layer.mode.gates):
            layer = self.api.add_slice(x, (0, i * self.layer.hidden_size), (0, 0), (1, 1))
            layer.set_input(2, self.size)
            parts.append(self.typed(layer))
        return parts

    def product(self, x: Any, matrix: Any) -> Any:
        """``x @ matrix.T``, multiplied in the layer's own dtype."""
        operations = self.api.trt.MatrixOperation
        layer = self.api.add_matrix_multiply(
            self.narrowed(x), operations.NONE, matrix, operations.TRANSPOSE
        )
        return self.wide(layer.get_output(0))

    def unsqueezed(self, bias: Any) -> Any:
        layer = self.api.add_shuffle(bias)
        layer.reshape_dims = (1, -1)
        return layer.get_output(0)

    def add(self, x: Any, y: Any) -> Any:
        return self.elementwise("SUM", x, y)

    def times(self, x: Any, y: Any) -> Any:
        return self.elementwise("PROD", x, y)

    def elementwise(self, operation: str, x: Any, y: Any) -> Any:
        kind = getattr(self.api.trt.ElementWiseOperation, operation)
        return self.typed(self.api.add_elementwise(x, y, kind))

    def function(self, name: str, x: Any) -> Any:
        return self.typed(self.api.add_activation(x, getattr(self.api.trt.ActivationType, name)))

    def wide(self, x: Any) -> Any:
        return self.api.cast(x, DType.FLOAT32) if self.narrow else x

    def narrowed(self, x: Any) -> Any:
        return self.api.cast(x, self.layer.dtype) if self.narrow else x

    def typed(self, layer: Any) -> Any:
        """The output of a layer that computes in float32."""
        if self.api.imposes_types:
            wide = self.api.dtype(DType.FLOAT32)
            layer.precision = wide
            layer.set_output_type(0, wide)
        return layer.get_output(0)
