"""The worked examples of CONTRIBUTING.md, as they stand there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from tests import standin
from tests.test_lowering import lowered
from trtdsl import registry

GUIDE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


def run(title: str) -> dict[str, Any]:
    """The names that the Python under a heading defines."""
    section = GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"^ *```python\n(.*?)^ *```", section, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": __name__}
    exec(textwrap.dedent(code), names)
    return names


def test_the_layer_of_the_guide_lowers_everywhere_and_computes() -> None:
    layer = run("Add a layer")["SoftmaxOnce"](axis=1)
    net = trtdsl.Network()
    net.output(layer(net.input("x", (2, 3))), "y")
    x = torch.arange(6.0).reshape(2, 3)
    torch.testing.assert_close(net.evaluate(x), torch.softmax(x, 1), rtol=0, atol=0)
    for version in standin.VERSIONS:
        (made,) = lowered(net, version).created
        assert made.axes == 2
    with pytest.raises(trtdsl.ShapeError, match="axis 5 is outside of"):
        run("Add a layer")["SoftmaxOnce"](axis=5)(net.inputs[0])


def test_the_plugin_of_the_guide_is_what_its_operator_becomes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.load()
    monkeypatch.setattr(registry, "_CONVERTERS", dict(registry._CONVERTERS))
    harden = run("Add a plugin")["Harden"]
    model, x = nn.Hardshrink(0.75).eval(), torch.linspace(-2, 2, 33)
    net = trtdsl.trace(model, (x,))
    assert [op.layer for op in net.operations] == [harden(lambd=0.75)]
    torch.testing.assert_close(net.evaluate(x), model(x), rtol=0, atol=0)
    buffers = [trtdsl.Buffer(0, (33,), trtdsl.DType.FLOAT32) for _ in range(2)]
    launch = harden(lambd=0.75).launch(*buffers, workspace=None)
    assert (launch.grid, launch.block, launch.args) == (1, 256, (*buffers, 33, 0.75))
    assert f"void {launch.kernel}(" in harden.kernel
