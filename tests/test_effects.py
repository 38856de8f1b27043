"""What torch.export leaves in a graph that checks and computes nothing."""

from __future__ import annotations

import operator

import pytest
import torch
from torch.fx import Graph, GraphModule
from torch.fx.experimental.symbolic_shapes import cast_symbool_to_symint_guardless

from trtdsl.export.effects import asserts_bools

_ASSERT = torch.ops.aten._assert_scalar.default


def asserting(number: int) -> Graph:
    """A graph that asserts of a bool what PyTorch 2.11 does: that it is this number."""
    graph = Graph()
    condition = graph.call_function(torch.ops.aten.item.default, (graph.placeholder("x"),))
    made = graph.call_function(cast_symbool_to_symint_guardless, (condition,))
    equal = graph.call_function(operator.eq, (made, number))
    graph.call_function(_ASSERT, (equal, "no"))
    graph.output(())
    return graph


def test_a_condition_that_was_asserted_as_a_number_is_asserted_itself() -> None:
    graph = asserting(1)
    assert asserts_bools(graph)
    graph.lint()
    (check,) = (node for node in graph.nodes if node.target is _ASSERT)
    assert check.args[0].target is torch.ops.aten.item.default
    GraphModule({}, graph)(torch.tensor(True))
    with pytest.raises(RuntimeError, match="no"):
        GraphModule({}, graph)(torch.tensor(False))
    assert not asserts_bools(graph)


def test_that_it_is_another_number_stays() -> None:
    assert not asserts_bools(asserting(0))
