"""``Repeat``: a network that is computed again and again, for slices or while a condition holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from trtdsl.ir.base import Layer
from trtdsl.ir.loop import Loop
from trtdsl.types import DType, TensorType, symbols

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Network
    from trtdsl.tensorrt_api import Api

__all__ = ["Repeat"]


@dataclass(frozen=True, kw_only=True)
class Repeat(Layer):
    """A loop: each trip computes ``body``, from what the trip before it gave.

    Inputs: ``carried`` initial values; ``scanned`` sequences ``(T, *S)`` of one T; and any number
    of others, which stay the same. The body's inputs are the carried values, a slice ``(*S)`` of
    each sequence, and the others; its outputs are the carried values of the next trip, in shape
    and dtype what they were, and any number of results ``(*R)``.
    There are T trips; or, without sequences, as many as ``condition``, a network of the carried
    values and the others that gives one bool, is true before a trip, which may be never.

    Outputs: the carried values behind the last trip, and the results of all trips, ``(T, *R)``.
    Both networks share the sizes of the network that they are in.
    Source: INetworkDefinition.add_loop.
    """

    body: Network = field(repr=False)
    condition: Network | None = field(default=None, repr=False)
    carried: int
    scanned: int = 0
    sizes: tuple[tuple[str, int], ...] = ()
    """The sizes of the run, which ``bind`` sets."""

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        given = ", ".join(map(str, inputs))
        states, sequences = inputs[: self.carried], self._sequences(inputs)
        self.require(len(inputs) >= self.carried + self.scanned, f"has too few inputs: {given}")
        self.require((self.condition is None) == (self.scanned > 0), "has a condition or sequences")
        self.require(all(x.rank > 0 for x in sequences), f"takes no slices of scalars: {given}")
        lengths = {str(x.shape[0]) for x in sequences}
        self.require(len(lengths) < 2, f"the sequences differ in length: {given}")
        slices = tuple(x.with_shape(x.shape[1:]) for x in sequences)
        others = inputs[self.carried + self.scanned :]
        self._require_inputs("body", self.body, (*states, *slices, *others))
        made = tuple(y.type for y in self.body.outputs)
        for i, (before, after) in enumerate(zip(states, made, strict=False)):
            self.require(before == after, f"carried value {i} is {before} and becomes {after}")
        self.require(len(made) >= self.carried, f"the body gives {len(made)} values only")
        if self.condition is not None:
            self._require_inputs("condition", self.condition, (*states, *others))
            (holds,) = self.condition.outputs
            self.require(holds.type == TensorType(DType.BOOL, ()), f"the condition is {holds.type}")
        results = made[self.carried :]
        self.require(not results or self.scanned > 0, "has results without sequences")
        length = sequences[0].shape[0] if sequences else 0
        return (*states, *(y.with_shape((length, *y.shape)) for y in results))

    def _require_inputs(self, name: str, network: Network, types: tuple[TensorType, ...]) -> None:
        taken = tuple(x.type for x in network.inputs)
        listed = ", ".join(map(str, taken))
        self.require(taken == types, f"the {name} takes {listed}, not {', '.join(map(str, types))}")

    def _sequences(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return inputs[self.carried : self.carried + self.scanned]

    @property
    def networks(self) -> Mapping[str, Network]:
        condition = {} if self.condition is None else {"while": self.condition}
        return {**condition, "body": self.body}

    @cached_property
    def symbols(self) -> frozenset[str]:
        operations = [op for net in self.networks.values() for op in net.operations]
        shapes = [x.shape for net in self.networks.values() for x in net.inputs]
        named = frozenset[str](symbols(d for shape in shapes for d in shape))
        return named.union(*(op.layer.symbols for op in operations))

    def bind(self, sizes: Mapping[str, int]) -> Self:
        return replace(self, sizes=tuple((n, v) for n, v in sizes.items() if n in self.symbols))

    def evaluate(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        import torch

        from trtdsl.reference import run

        sizes = dict(self.sizes)
        states, sequences = list(inputs[: self.carried]), self._sequences(inputs)
        others = inputs[self.carried + self.scanned :]
        results: list[list[torch.Tensor]] = []
        trips = iter(zip(*sequences, strict=True))
        while True:
            if self.condition is not None:
                if not run(self.condition, [*states, *others], sizes)[0]:
                    break
                slices: tuple[torch.Tensor, ...] = ()
            elif (slices := next(trips, ())) == ():
                break
            outputs = run(self.body, [*states, *slices, *others], sizes)
            states, made = outputs[: self.carried], outputs[self.carried :]
            results.append(made)
        if self.condition is not None or len(self.body.outputs) == self.carried:
            return tuple(states)
        return (*states, *(torch.stack(column) for column in zip(*results, strict=True)))

    def lower(self, api: Api, *inputs: Any) -> tuple[Any, ...]:
        from trtdsl.lower import lower_inside

        states, sequences = inputs[: self.carried], self._sequences(inputs)
        others = inputs[self.carried + self.scanned :]
        loop = Loop(api, sequences[0] if sequences else None)
        recurrences = [loop.state(x) for x in states]
        values = [r.get_output(0) for r in recurrences]
        if self.condition is not None:
            (holds,) = lower_inside(self.condition, api, [*values, *others])
            loop.go_on_while(holds)
        slices = [loop.slices(x) for x in sequences]
        outputs = lower_inside(self.body, api, [*values, *slices, *others])
        for recurrence, value in zip(recurrences, outputs, strict=False):
            recurrence.set_input(1, value)
        results = [loop.stacked(y) for y in outputs[self.carried :]]
        return (*(loop.last(r) for r in recurrences), *results)
