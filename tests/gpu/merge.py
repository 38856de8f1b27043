"""Many small networks as one engine: a build has a price, so the rows of a table share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from trtdsl.build import BuildOptions, build
from trtdsl.network import Network, Tensor

OPTIONS = BuildOptions(optimization_level=0)


@dataclass
class Row:
    """A network, its inputs, and what it should answer; ``name`` is shown when it does not."""

    name: str
    network: Network
    leaves: list[torch.Tensor]
    expected: tuple[torch.Tensor, ...]
    tolerance: float
    problem: str = field(default="", compare=False)


def run_rows(rows: Sequence[Row]) -> list[str]:
    """Run all rows in as few engines as possible; what is wrong, a line a row."""
    if not rows:
        return []
    try:
        answers = _run_together(rows)
    except Exception as error:
        if len(rows) == 1:
            return [f"{rows[0].name}: {type(error).__name__}: {str(error)[:600]}"]
        half = len(rows) // 2
        return run_rows(rows[:half]) + run_rows(rows[half:])
    return [
        f"{row.name}: {problem}"
        for row, outputs in zip(rows, answers, strict=True)
        if (problem := _difference(row, outputs))
    ]


def _run_together(rows: Sequence[Row]) -> list[list[torch.Tensor]]:
    network = Network("rows")
    for i, row in enumerate(rows):
        _append(network, row.network, f"r{i}")
    leaves = [x.cuda().contiguous() for row in rows for x in row.leaves]
    engine = build(network, OPTIONS)
    outputs = engine(*leaves)
    flat = list(outputs) if isinstance(outputs, tuple) else [outputs]
    torch.cuda.synchronize()
    answers = []
    for row in rows:
        count = len(row.network.outputs)
        answers.append([x.cpu() for x in flat[:count]])
        flat = flat[count:]
    return answers


def _append(network: Network, part: Network, prefix: str) -> None:
    network.symbols.update(part.symbols)
    values: dict[Tensor, Tensor] = {
        x: network.input(f"{prefix}.{x.name}", x.shape, x.dtype) for x in part.inputs
    }
    for operation in part.operations:
        inputs = tuple(values[x] for x in operation.inputs)
        outputs = network.append(operation.layer, inputs, name=f"{prefix}.{operation.name}")
        values.update(zip(operation.outputs, outputs, strict=True))
    for x in part.outputs:
        network.output(values[x], f"{prefix}.{x.name}.out")


def _difference(row: Row, outputs: Sequence[Any]) -> str:
    from tests.test_ir import assert_close

    try:
        for actual, wanted in zip(outputs, row.expected, strict=True):
            assert_close(actual, wanted, row.tolerance)
    except AssertionError as error:
        return str(error).splitlines()[0] if str(error) else "differs"
    return ""
