"""``Recurrent``: one direction of one layer of an LSTM, a GRU or a plain recurrent network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.types import DType, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Recurrent", "RecurrentMode"]


class RecurrentMode(Enum):
    """The cell. Source: the formulas of torch.nn.LSTM, GRU and RNN."""

    LSTM = auto()
    GRU = auto()
    TANH = auto()
    RELU = auto()

    @property
    def gates(self) -> int:
        return {RecurrentMode.LSTM: 4, RecurrentMode.GRU: 3}.get(self, 1)


@dataclass(frozen=True, kw_only=True)
class Recurrent(Layer):
    """A cell that runs along a sequence, from its end to its start with ``reverse``.

    Inputs, all floats of one dtype, for T steps, N sequences, H = ``hidden_size``, G gates:
        x ``(T, N, G * H)``: what the cell's input gives to each gate, biases included;
        weight ``(G * H, P)``: what the state gives to each gate, with P = H but for a projection;
        state ``(N, P)``: the initial one;
        LSTM: cell ``(N, H)``, also initial, and, if the state is projected, the matrix ``(P, H)``;
        GRU: bias ``(3 * H)``, where there is one: what is added to ``state @ weight.T``;
        with ``masked``, last, a mask ``(T, N, 1)``: where it is 0 the states stay as they are.
    Outputs: the states ``(T, N, P)`` in the order of x; the last state; of an LSTM the last cell.

    Gates lie as PyTorch has them: input, forget, cell, output; reset, update, new. The states are
    kept and the gates are computed in float32; of 16-bit inputs only the products with matrices
    take 16 bits, so that a long sequence adds up no rounding. Source: INetworkDefinition.add_loop.
    """

    mode: RecurrentMode
    hidden_size: int
    reverse: bool = False
    masked: bool = False
    dtype: DType = DType.FLOAT32
    """That of the inputs, which sets it."""

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Append to the network of the inputs; all outputs, in the inputs' dtype."""
        layer = replace(self, dtype=inputs[0].dtype)
        return inputs[0].network.append(layer, inputs)

    def infer(
        self, x: TensorType, weight: TensorType, state: TensorType, *others: TensorType
    ) -> tuple[TensorType, ...]:
        self.require_floats(x, weight, state, *others)
        rows = self.mode.gates * self.hidden_size
        ranks = (x.rank, weight.rank, state.rank)
        self.require(ranks == (3, 2, 2), f"takes ranks 3, 2 and 2: {x}, {weight}, {state}")
        size = weight.shape[1]
        self.require(x.shape[2] == rows, f"takes {rows} values for the gates of a step, not {x}")
        self.require(weight.shape[0] == rows, f"the weight has {rows} rows, not {weight}")
        self.require(state.shape[1] == size, f"the state has size {size}, not {state}")
        both = all(isinstance(n, int) for n in (x.shape[1], state.shape[0]))
        self.require(not both or x.shape[1] == state.shape[0], f"{x} and {state} differ in N")
        if self.masked:
            self._require_mask(x, others[-1:])
            others = others[:-1]
        shapes = [o.shape for o in others]
        self.require(
            shapes in self._others(state, size), f"takes other inputs than {_text(others)}"
        )
        stacked = x.with_shape((*x.shape[:2], size))
        return (stacked, state, *(others[:1] if self.mode is RecurrentMode.LSTM else ()))

    def _require_mask(self, x: TensorType, mask: Sequence[TensorType]) -> None:
        shape = (*x.shape[:2], 1)
        fits = bool(mask) and mask[0].shape == shape
        self.require(fits, f"takes a mask of {shape}, not {_text(mask)}")

    def _others(self, state: TensorType, size: Any) -> list[list[tuple[Any, ...]]]:
        """The shapes that the inputs from the fourth on may have."""
        match self.mode:
            case RecurrentMode.LSTM:
                cell = (state.shape[0], self.hidden_size)
                return [[cell, (size, self.hidden_size)], *([[cell]] * self._is_full(size))]
            case RecurrentMode.GRU:
                return [[], [(3 * self.hidden_size,)]] * self._is_full(size)
        return [[]] * self._is_full(size)

    def _is_full(self, size: Any) -> bool:
        return bool(size == self.hidden_size)

    def evaluate(
        self, x: torch.Tensor, weight: torch.Tensor, state: torch.Tensor, *others: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        import torch

        lstm = self.mode is RecurrentMode.LSTM
        others, mask = (others[:-1], others[-1]) if self.masked else (others, None)
        matrix = others[1] if lstm and len(others) > 1 else None
        bias = others[0].float() if others and not lstm else 0.0
        states = [state.float(), *(o.float() for o in others[:1] if lstm)]
        outputs = []
        steps = range(len(x))
        for i in reversed(steps) if self.reverse else steps:
            hidden = (states[0].to(x.dtype) @ weight.mT).float() + bias
            new = self._step(x[i].float(), hidden, states)
            if matrix is not None:
                new[0] = (new[0].to(x.dtype) @ matrix.mT).float()
            kept = zip(new, states, strict=True)
            states = new if mask is None else [torch.where(mask[i] > 0, *pair) for pair in kept]
            outputs.append(states[0].to(x.dtype))
        stacked = torch.stack(outputs[::-1] if self.reverse else outputs)
        return (stacked, *(s.to(x.dtype) for s in states))

    def _step(
        self, x: torch.Tensor, hidden: torch.Tensor, states: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        match self.mode:
            case RecurrentMode.LSTM:
                i, f, g, o = (x + hidden).chunk(4, dim=1)
                cell = f.sigmoid() * states[1] + i.sigmoid() * g.tanh()
                return [o.sigmoid() * cell.tanh(), cell]
            case RecurrentMode.GRU:
                (xr, xz, xn), (hr, hz, hn) = x.chunk(3, dim=1), hidden.chunk(3, dim=1)
                new = (xn + (xr + hr).sigmoid() * hn).tanh()
                return [new + (xz + hz).sigmoid() * (states[0] - new)]
            case RecurrentMode.TANH:
                return [(x + hidden).tanh()]
            case RecurrentMode.RELU:
                return [(x + hidden).relu()]

    def lower(self, api: Api, x: Any, weight: Any, state: Any, *others: Any) -> tuple[Any, ...]:
        from trtdsl.ir.recurrent_loop import RecurrentLoop

        return RecurrentLoop(api, self, x).outputs(weight, state, others)


def _text(types: Sequence[TensorType]) -> str:
    return ", ".join(map(str, types)) or "none"
