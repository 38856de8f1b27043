"""The shipped plugins in engines, against their references: many in one engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch

import trtdsl
import trtdsl.plugins
from tests.gpu.merge import Row
from tests.gpu.test_rows import assert_right
from tests.plugins.shipped import CASES, PluginCase
from tests.plugins.test_preference import ROWS, Calls
from trtdsl import registry

pytestmark = pytest.mark.gpu

CHUNK = 30
"""Plugins in an engine."""
FLOAT32 = 1e-5
"""A GPU multiplies and adds in one rounding."""


def of_halves(case: PluginCase) -> bool:
    return any(x.dtype is torch.float16 for x in case.inputs)


def chunks(*, half: bool, dynamic: bool) -> Iterator[object]:
    """The rows in order. An engine has either float16 or float32: TensorRT 8.6 mixes them."""
    kept = [c for c in CASES if of_halves(c) is half and (c.dynamic or not dynamic)]
    for i in range(0, len(kept), CHUNK):
        kind = "half" if half else "single"
        yield pytest.param(kept[i : i + CHUNK], id=f"{kind}-{i // CHUNK}")


def row(case: PluginCase, number: int, grown_by: int | None = None) -> Row:
    inputs = case.inputs if grown_by is None else case.grown(grown_by)
    expected = case.plugin.evaluate(*inputs)
    return Row(
        name=str(case),
        network=case.network(dynamic=grown_by is not None, number=number),
        leaves=list(inputs),
        expected=expected if isinstance(expected, tuple) else (expected,),
        tolerance=max(case.tolerance, FLOAT32),
    )


@pytest.mark.parametrize(
    "cases", [*chunks(half=False, dynamic=False), *chunks(half=True, dynamic=False)]
)
def test_static(cases: Sequence[PluginCase]) -> None:
    assert_right([row(case, i) for i, case in enumerate(cases)])


@pytest.mark.parametrize("grown_by", [0, 5])
@pytest.mark.parametrize(
    "cases", [*chunks(half=False, dynamic=True), *chunks(half=True, dynamic=True)]
)
def test_dynamic(cases: Sequence[PluginCase], grown_by: int) -> None:
    assert_right([row(case, i, grown_by) for i, case in enumerate(cases)])


def test_models_with_operators_that_become_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.load()
    for table in ("_CONVERTERS", "_NAMED", "_OF_COMPLEX"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    trtdsl.plugins.prefer()
    rows = []
    for name, (function, inputs) in ROWS.items():
        module = Calls(function).eval()
        expected = module(*inputs)
        network = trtdsl.trace(module, inputs)
        rows.append(Row(name, network, list(inputs), (expected,), 1e-4))
    assert_right(rows)
