"""The smallest part of a model that TensorRT builds no engine of, or answers wrongly.

python -m tests.gpu.reduction gpt_neox fp32
python -m tests.gpu.reduction cvt fp16 --wrong 0.05 --call 1 --static --level 3

Parts are cut shorter: first behind, then in front, where intermediate values become inputs. What is
left is printed, layer by layer. Each part is tried in a process of its own, several of them at
once: some builds end it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch

import trtdsl
from tests.gpu.zoo import MODELS
from trtdsl.build import BuildOptions, build
from trtdsl.errors import BuildError
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import Keep, rewrite
from trtdsl.tree import flatten
from trtdsl.types import symbols

__all__ = ["Cut", "Part", "Tries", "cut", "part_of", "smallest", "tried", "unbuilt", "wrong"]

_AT_ONCE = 8
_FAILS = 10
"""The exit status of a process whose part failed; Python's own are 1 and 2."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Layers ``start`` to ``end``; of what they give to later ones, one output or all."""

    end: int
    start: int = 0
    output: int | None = None

    @classmethod
    def parse(cls, text: str) -> Cut:
        """As ``str`` gives it. Errors: ValueError."""
        start, end, output = text.split(":")
        return cls(start=int(start), end=int(end), output=int(output) if output else None)

    def __str__(self) -> str:
        return f"{self.start}:{self.end}:{'' if self.output is None else self.output}"


Tries: TypeAlias = Callable[[Sequence[Cut]], list[bool]]
"""Whether each of some parts fails."""


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


def part_of(network: Network, inputs: Sequence[torch.Tensor], place: Cut) -> Part:
    """The layers of a cut, and what they read of the others."""
    outputs = _behind(network, place.end)
    if place.output is not None:
        outputs = [outputs[place.output]]
    read = {x for op in network.operations[place.start : place.end] for x in op.inputs}
    before = network.operations[: place.start]
    given = (op.outputs[0] for op in before if op.inputs and _can_be_given(op, read))
    decided = {name for op in before for name in op.layer.decides}
    cuts = [y for y in given if not symbols(y.shape) & decided]
    values = flatten(cut(network, cuts).evaluate(*inputs))[0] if cuts else []
    return Part(network=cut(network, outputs, cuts), inputs=(*inputs, *values))


def smallest(network: Network, tries: Tries) -> Cut:
    """The smallest part that fails as the whole does. Errors: ValueError where the whole does not.

    What gives nothing to later layers does not fail.
    """
    whole = Cut(end=len(network.operations))
    if not all(tries([whole])):
        raise ValueError("the whole network does not fail")

    def least(low: int, high: int, place: Callable[[int], Cut]) -> int:
        """The least number that fails, where low does not and high does."""
        while high - low > 1:
            points = {low + (high - low) * i // _AT_ONCE for i in range(1, _AT_ONCE)} - {low}
            numbers = sorted(n for n in points if _behind(network, place(n).end))
            found = tries([place(n) for n in numbers])
            high = next((n for n, failed in zip(numbers, found, strict=True) if failed), high)
            low = max((n for n in points if n < high), default=low)
        return high

    part = Cut(end=least(0, whole.end, lambda n: Cut(end=n)))
    part = replace(part, output=_one(network, part, tries))
    count = least(0, part.end, lambda n: replace(part, start=part.end - n))
    return replace(part, start=part.end - count)


def _behind(network: Network, end: int) -> list[Tensor]:
    """What the first operations give to the others."""
    later = {x for op in network.operations[end:] for x in op.inputs} | set(network.outputs)
    made = (y for op in network.operations[:end] for y in op.outputs)
    return [y for y in made if y in later and not y.is_constant]


def _can_be_given(operation: Operation, read: set[Tensor]) -> bool:
    """Whether others read its one output, numbers of the model's and no sizes."""
    (y, *more) = operation.outputs
    return not more and y in read and not y.is_constant and not y.dtype.is_integer


def _one(network: Network, part: Cut, tries: Tries) -> int | None:
    """One output that is enough, the last of them; else all."""
    numbers = list(range(len(_behind(network, part.end))))[::-1]
    for i in range(0, len(numbers), _AT_ONCE):
        some = numbers[i : i + _AT_ONCE]
        found = tries([replace(part, output=n) for n in some])
        if any(found):
            return some[found.index(True)]
    return None


def unbuilt(part: Part, options: BuildOptions) -> bool:
    """Whether TensorRT builds no engine of it."""
    try:
        build(part.network, options)
    except BuildError:
        return True
    return False


def wrong(part: Part, options: BuildOptions, tolerance: float) -> bool:
    """Whether an output of an engine is off by more than ``tolerance`` times the reference's."""
    engine = build(part.network, options)
    expected = flatten(part.network.evaluate(*part.inputs))[0]
    actual = flatten(engine(*(x.cuda() for x in part.inputs)))[0]
    return any(
        not (a.cpu().double() - e.double()).norm() <= tolerance * e.double().norm() + 1e-6
        for a, e in zip(actual, expected, strict=True)
    )


def tried(parts: Sequence[Cut]) -> list[bool]:
    """Whether each fails, or ends the process in which it is tried: this program, with ``--part``.

    All at once. Errors: RuntimeError where one could not be tried.
    """
    command = [sys.executable, "-m", "tests.gpu.reduction", *sys.argv[1:], "--part"]
    running = [subprocess.Popen([*command, str(part)]) for part in parts]
    ended = [process.wait() for process in running]
    for part, code in zip(parts, ended, strict=True):
        print(f"layers {part}: {'as they should' if code == 0 else f'fail ({code})'}", flush=True)
    if any(code > 0 and code != _FAILS for code in ended):
        raise RuntimeError("a part could not be tried; see above")
    return [code != 0 for code in ended]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="of tests/gpu/zoo.py")
    parser.add_argument("precision", choices=["fp32", "fp16"])
    parser.add_argument(
        "--wrong", type=float, metavar="TOLERANCE", help="it is built, and off by more"
    )
    parser.add_argument("--call", type=int, default=0, help="which of the row's calls")
    parser.add_argument("--static", action="store_true", help="of the sizes of that call alone")
    parser.add_argument("--level", type=int, default=0, help="the optimization level")
    parser.add_argument("--part", type=Cut.parse, help="try this part alone")
    given = parser.parse_args()
    example = MODELS[given.model].build()
    args, kwargs = example.calls[given.call]
    traced = (args, kwargs) if given.static else example.calls[0]
    shapes = None if given.static else example.dynamic_shapes
    network = trtdsl.trace(example.model, *traced, dynamic_shapes=shapes, precision=given.precision)
    inputs = [x for x in flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    if given.part:
        part = part_of(network, inputs, given.part)
        options = BuildOptions(precision=given.precision, optimization_level=given.level)
        unmet = unbuilt(part, options) if given.wrong is None else wrong(part, options, given.wrong)
        return _FAILS if unmet else 0
    print(part_of(network, inputs, smallest(network, tried)).network)
    return 0


if __name__ == "__main__":
    sys.exit(main())
