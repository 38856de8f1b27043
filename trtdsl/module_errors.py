"""``module_errors``: which of a model's modules an answer goes wrong in.

What modules give to each other becomes outputs of the network, of two networks: the one in float32,
which PyTorch evaluates, and the one that is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trtdsl.ir.cast import Cast
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import Keep, rewrite, uses
from trtdsl.source import Source
from trtdsl.tree import Placeholder, flatten
from trtdsl.types import DType

__all__ = ["ModuleError", "module_errors"]


@dataclass(frozen=True, kw_only=True)
class ModuleError:
    """The error of what a module's last layer gives, its first output, as of ``trtdsl.compare``.

    ``module`` is its path in the model, empty for the model's own operators; ``operator`` and
    ``line`` are those of the last layer that it is made of. A module that is called twice, or that
    another one interrupts, is there as often.
    """

    module: str
    operator: str
    line: str
    relative_error: float


def module_errors(
    exact: Network,
    built: Network,
    *,
    evaluate: Callable[[Network], Any],
    run: Callable[[Network], Any],
    error: Callable[[Any, Any], tuple[float, float]],
) -> tuple[ModuleError, ...]:
    """The errors of ``run`` of one network against ``evaluate`` of another, in the layers' order.

    Layers correspond by name. ``evaluate`` and ``run`` take a network whose outputs are a tuple,
    and give their answers.
    """
    there = {operation.name for operation in built.operations}
    ends = [operation for operation in _ends(exact) if operation.name in there]
    names = [operation.name for operation in ends]
    expected, actual = evaluate(_showing(exact, names)), run(_showing(built, names))
    triples = zip(ends, actual, expected, strict=True)
    return tuple(_of(op.source, error(a.to(e.dtype), e)[1]) for op, a, e in triples)


def _of(source: Source, error: float) -> ModuleError:
    return ModuleError(
        module=source.module, operator=source.operator, line=source.line, relative_error=error
    )


def _ends(network: Network) -> Iterator[Operation]:
    """The last operation of each module, where another one's follows: what is constant aside."""
    moving = [op for op in network.operations if not all(y.is_constant for y in op.outputs)]
    for operation, following in zip(moving, (*moving[1:], None), strict=True):
        if following is None or following.source.module != operation.source.module:
            yield operation


def _showing(network: Network, names: Sequence[str]) -> Network:
    """A network with the first outputs of these operations for outputs, as a tuple.

    Cast to float16 where all that reads one does: an output more in float32 would change what
    TensorRT makes of a normalization in float16.
    """
    found: dict[str, Tensor] = {}
    narrowed = _narrowed(network)

    def note(operation: Operation, _: tuple[Tensor, ...], keep: Keep) -> Sequence[Tensor]:
        outputs = keep()
        found[narrowed.get(operation, operation.name)] = outputs[0]
        return outputs

    changed = rewrite(network, lambda *_: None, kept=note)
    changed.input_tree, _, changed.parameters = network.trees()
    changed.outputs.clear()
    for i, name in enumerate(names):
        changed.output(found[name], f"module_{i}")
    changed.output_tree = flatten(tuple(Placeholder(i) for i in range(len(names))))[1]
    return changed


def _narrowed(network: Network) -> dict[Operation, str]:
    """Casts to float16, and the name of the operation that nothing but the cast reads."""
    counts = uses(network)
    casts = [op for op in network.operations if op.layer == Cast(dtype=DType.FLOAT16)]
    alone = {op: op.inputs[0].producer for op in casts if counts[op.inputs[0]] == 1}
    return {op: made.name for op, made in alone.items() if made is not None}
