"""``rewrite``: a network replayed into a new one, with some of its operations replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from trtdsl.ir.constant import Constant
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import identity

__all__ = ["Keep", "Rule", "named", "rewrite", "uses"]

Rule: TypeAlias = Callable[[Operation, tuple[Tensor, ...]], tuple[Tensor, ...] | None]
"""Takes an operation of the old network and its inputs in the new one.

Gives the tensors of the new network that stand for the operation's outputs, or None to keep the
operation. Layers that the rule appends get the operation's place in the user's model.
"""


Keep: TypeAlias = Callable[[], Sequence[Tensor]]
"""Keeps an operation as it is, and gives its outputs."""
Kept: TypeAlias = Callable[[Operation, tuple[Tensor, ...], Keep], Sequence[Tensor]]
"""Is asked for the outputs of every operation that stays."""


def rewrite(network: Network, rule: Rule, *, kept: Kept = lambda _, __, keep: keep()) -> Network:
    """A new network: every operation as the rule has it, without those that no output needs.

    Inputs stay, needed or not. Names, places, symbols and trees are those of the old network;
    weights are shared with it.
    """
    new = replace(
        network,
        inputs=[],
        outputs=[],
        operations=[],
        symbols=dict(network.symbols),
        numbers={},
        # Taken from the start, so that nothing the rule appends gets the name of what follows.
        _names=Counter(network._names),
    )
    values = {x: Tensor(new, x.type, x.name) for x in network.inputs}
    new.inputs.extend(values.values())
    for operation in network.operations:
        inputs = tuple(values[x] for x in operation.inputs)
        with new.at(operation.source):
            keep = partial(new.again, operation, inputs)
            outputs = rule(operation, inputs) or kept(operation, inputs, keep)
        values.update(zip(operation.outputs, outputs, strict=True))
    new.numbers.update((name, values[tensor]) for name, tensor in network.numbers.items())
    for old in network.outputs:
        _output(new, values[old], old.name)
    _drop_unneeded(new)
    return new


def named(y: Tensor, operation: Operation) -> Tensor:
    """y under the name and place of what it stands for."""
    assert y.producer is not None
    y.producer.name, y.producer.source = operation.name, operation.source
    return y


def uses(network: Network) -> Counter[Tensor]:
    """How often each tensor is read, as an output too."""
    counts = Counter(x for operation in network.operations for x in operation.inputs)
    counts.update(network.outputs)
    return counts


def _output(new: Network, tensor: Tensor, name: str) -> None:
    """Declare an output; behind an Identity where the rule gave an input or a weight for it."""
    producer = tensor.producer
    if tensor in new.outputs or producer is None or isinstance(producer.layer, Constant):
        tensor = identity(tensor)
    tensor.name = name
    new.outputs.append(tensor)


def _drop_unneeded(network: Network) -> None:
    """Forget the operations that no output needs, and the numbers that they decided."""
    needed, sizes = set(network.outputs), set[str]()
    kept, decided = [], set[str]()
    for operation in reversed(network.operations):
        layer = operation.layer
        if not needed.isdisjoint(operation.outputs) or layer.decides & sizes:
            needed.update(operation.inputs)
            needed.update(network.numbers[n] for n in layer.symbols & network.numbers.keys())
            sizes |= layer.symbols
            decided |= layer.decides
            kept.append(operation)
    network.operations[:] = reversed(kept)
    for name in network.numbers.keys() - decided:
        network.symbols.pop(name, None)
    network.numbers = {n: x for n, x in network.numbers.items() if n in decided & sizes}
