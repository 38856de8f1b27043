"""The smallest part of a model that TensorRT builds no engine of, or answers wrongly.

python -m tests.gpu.reduction gpt_neox fp32
python -m tests.gpu.reduction cvt fp16 --wrong --call 1 --static

Parts are cut shorter: first behind, then in front, where intermediate values become inputs. What is
left is printed, layer by layer. Each part is tried in a process of its own, several of them at
once: some builds end it.
"""

from __future__ import annotations

import argparse
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias
from unittest import mock

import torch

import trtdsl
from tests.gpu.zoo import MODELS
from trtdsl.build import BuildOptions, build
from trtdsl.errors import BuildError
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import Keep, rewrite
from trtdsl.tree import flatten

__all__ = ["Part", "cut", "smallest", "tried", "unbuilt", "wrong"]


Check: TypeAlias = Callable[[], bool]
_AT_ONCE = 8
_UNTRIED = 2


@dataclass(frozen=True, kw_only=True)
class Part:
    """A network with what it is called with."""

    network: Network
    inputs: tuple[torch.Tensor, ...]


def cut(network: Network, outputs: Sequence[Tensor], inputs: Sequence[Tensor] = ()) -> Network:
    """What gives some tensors of a network, as outputs, out of others, as further inputs."""
    given, found = set(inputs), dict[Tensor, Tensor]()

    def replaced(operation: Operation, read: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        (y, *more) = operation.outputs
        if more or y not in given:
            return None
        found[y] = read[0].network.input(f"from/{operation.name}", y.shape, y.dtype)
        return (found[y],)

    def note(operation: Operation, _: tuple[Tensor, ...], keep: Keep) -> Sequence[Tensor]:
        made = keep()
        found.update(zip(operation.outputs, made, strict=True))
        return made

    part = rewrite(network, replaced, kept=note)
    part.outputs.clear()
    for i, tensor in enumerate(outputs):
        part.output(found[tensor], f"output_{i}")
    part.input_tree = part.output_tree = None
    return rewrite(part, lambda *_: None)


def one_by_one(checks: Sequence[Check]) -> list[bool]:
    """What each check says."""
    return [check() for check in checks]


def smallest(
    network: Network,
    inputs: Sequence[torch.Tensor],
    fails: Callable[[Part], bool],
    tries: Callable[[Sequence[Check]], list[bool]] = one_by_one,
) -> Part:
    """The smallest part that fails as the whole does; ``tries`` is given several checks at once.

    Errors: ValueError where the whole does not.
    """
    operations, whole = network.operations, Part(network=network, inputs=tuple(inputs))
    if not all(tries([partial(fails, whole)])):
        raise ValueError("the whole network does not fail")

    def behind(count: int) -> list[Tensor]:
        """What the first operations give to the others."""
        later = {x for op in operations[count:] for x in op.inputs} | set(network.outputs)
        made = (y for op in operations[:count] for y in op.outputs)
        return [y for y in made if y in later and not y.is_constant]

    def front(count: int, start: int, outputs: Sequence[Tensor]) -> Part:
        read = {x for op in operations[start:count] for x in op.inputs}
        cuts = [op.outputs[0] for op in operations[:start] if op.inputs and _can_be_given(op, read)]
        values = _values(network, cuts, whole.inputs)
        return Part(network=cut(network, outputs, cuts), inputs=(*whole.inputs, *values))

    def ends(outputs: Sequence[Tensor]) -> bool:
        part = Part(network=cut(network, outputs), inputs=whole.inputs)
        return bool(outputs) and fails(part)

    count = _least(0, len(operations), lambda n: ends(behind(n)), tries)
    outputs = _one(behind(count), ends, tries)
    start = count - _least(0, count, lambda n: fails(front(count, count - n, outputs)), tries)
    return front(count, start, outputs)


def _can_be_given(operation: Operation, read: set[Tensor]) -> bool:
    """Whether others read its one output, a number of the model's that is no size."""
    (y, *more) = operation.outputs
    return not more and y in read and not y.is_constant and not y.dtype.is_integer


def _values(
    network: Network, tensors: Sequence[Tensor], inputs: tuple[torch.Tensor, ...]
) -> list[torch.Tensor]:
    return list(flatten(cut(network, tensors).evaluate(*inputs))[0]) if tensors else []


def _least(
    low: int,
    high: int,
    fails: Callable[[int], bool],
    tries: Callable[[Sequence[Check]], list[bool]],
) -> int:
    """The least number that fails, where low does not and high does."""
    while high - low > 1:
        points = sorted({low + (high - low) * i // _AT_ONCE for i in range(1, _AT_ONCE)} - {low})
        found = tries([partial(fails, n) for n in points])
        high = next((n for n, failed in zip(points, found, strict=True) if failed), high)
        low = max((n for n in points if n < high), default=low)
    return high


def _one(
    outputs: list[Tensor],
    fails: Callable[[Sequence[Tensor]], bool],
    tries: Callable[[Sequence[Check]], list[bool]],
) -> list[Tensor]:
    """One output that is enough; else all of them."""
    for start in range(0, len(outputs), _AT_ONCE):
        some = outputs[start : start + _AT_ONCE]
        found = tries([partial(fails, [x]) for x in some])
        if any(found):
            return [some[found.index(True)]]
    return outputs


def unbuilt(part: Part, precision: str) -> bool:
    """Whether TensorRT builds no engine of it."""
    try:
        build(part.network, BuildOptions(precision=precision, optimization_level=0))
    except BuildError:
        return True
    return False


def wrong(part: Part, precision: str) -> bool:
    """Whether an engine differs from the reference by more than rounding does."""
    engine = build(part.network, BuildOptions(precision=precision, optimization_level=0))
    expected = flatten(part.network.evaluate(*part.inputs))[0]
    actual = flatten(engine(*(x.cuda() for x in part.inputs)))[0]
    tolerance = 5e-2 if precision == "fp16" else 1e-3
    return any(
        not (a.cpu().double() - e.double()).norm() <= tolerance * e.double().norm() + 1e-6
        for a, e in zip(actual, expected, strict=True)
    )


def tried(checks: Sequence[Check]) -> list[bool]:
    """Whether each fails, or ends the process in which it is tried; all at once.

    Children of this one, in which nothing may have started CUDA. Errors: RuntimeError for others.
    """
    children = [_child(check) for check in checks]
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if _UNTRIED in ended:
        raise RuntimeError("a part could not be tried; see above")
    return [code != 0 for code in ended]


def _child(check: Check) -> int:
    child = os.fork()
    if child == 0:
        code = _UNTRIED
        torch.set_num_threads(1)  # the parent's threads are not there
        try:
            code = int(check())
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="of tests/gpu/zoo.py")
    parser.add_argument("precision", choices=["fp32", "fp16"])
    parser.add_argument("--wrong", action="store_true", help="it is built, and answers wrongly")
    parser.add_argument("--call", type=int, default=0, help="which of the row's calls")
    parser.add_argument("--static", action="store_true", help="of the sizes of that call alone")
    given = parser.parse_args()
    example = MODELS[given.model].build()
    args, kwargs = example.calls[given.call]
    traced = (args, kwargs) if given.static else example.calls[0]
    shapes = None if given.static else example.dynamic_shapes
    with mock.patch.object(torch.cuda, "is_available", return_value=False):  # which starts CUDA
        network = trtdsl.trace(
            example.model, *traced, dynamic_shapes=shapes, precision=given.precision
        )
    does = wrong if given.wrong else unbuilt

    def fails(part: Part) -> bool:
        failed = True
        try:
            failed = does(part, given.precision)
        finally:
            print(f"{len(part.network.operations)} layers {'fail' if failed else 'do not'}")
        return failed

    leaves = [x for x in flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    print(smallest(network, leaves, fails, tried).network)


if __name__ == "__main__":
    main()
