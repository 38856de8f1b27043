"""Rows of ``layers/scatter.py``."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, byte, f16, f32, i32, i64

aten = torch.ops.aten
NAN, INF = float("nan"), float("inf")
ORDER = torch.tensor([3, 0, 2])
TWICE = torch.tensor([1, 3, 1, 1, 0, 3])
COLUMNS = torch.tensor([[3, 0, 2], [1, 2, 0]])
AGAIN = torch.tensor([[1, 1, 3, 1], [0, 2, 2, 3], [2, 2, 2, 2]])
LOST = torch.tensor([1.0, INF, 2.0, -INF, NAN, 3.0])
LOST_ROWS = torch.tensor([[1.0, INF, INF], [2.0, -INF, 3.0], [NAN, INF, 4.0], [1.0, 2.0, -INF]])
ROWS = {(0, 0): "n", (1, 0): "n", (2, 0): "n"}
VECTORS = {(1, 0): "n", (2, 0): "n"}
EDGES = {(0, 1): "c", (1, 0): "e", (2, 0): "e", (2, 1): "c"}


def one_hot_experts(logits: torch.Tensor) -> torch.Tensor:
    """The experts of each token, as mixtures of experts mark them."""
    chosen = logits.topk(2, dim=-1).indices
    return torch.zeros_like(logits).scatter(1, chosen, 1.0)


def messages(x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Sums and means over the edges of a graph, a node's own features taken along."""
    source, target = edges
    index = target[:, None].expand(-1, x.shape[1])
    total = torch.zeros_like(x).scatter_add(0, index, x[source])
    mean = x.scatter_reduce(0, index, x[source], "mean", include_self=False)
    return total + mean


def added_to_rows(x: torch.Tensor, mask: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
    """Rows that a mask chooses, how many only their values tell, added to rows of x."""
    (chosen,) = torch.where(mask)
    return x.index_add(0, chosen % 3, updates[chosen])


CASES = [
    Case(aten.scatter.src, f32(2, 5), 1, COLUMNS, f32(2, 3, seed=1), dynamic=ROWS),
    Case(aten.scatter.src, f32(4, 3), -2, COLUMNS, f32(5, 6, seed=1)),
    Case(aten.scatter.src, i64(6, 4, 5), 1, COLUMNS[:, :, None], i64(2, 3, 1, seed=1)),
    Case(aten.scatter.src, boolean(2, 5), 1, COLUMNS, boolean(2, 3, seed=1)),
    Case(aten.scatter.src, byte(2, 5), 1, COLUMNS, byte(2, 3, seed=1)),
    Case(aten.scatter.src, f32(4), 0, torch.tensor(2), f32()),
    Case(aten.scatter.src, f32(), 0, torch.tensor([0]), f32(1)),
    Case(aten.scatter.src, f32(2, 3), 0, torch.zeros(0, 3).long(), f32(0, 3)),
    Case(aten.scatter.value, f32(2, 5), 1, COLUMNS, 1, dynamic={(0, 0): "n", (1, 0): "n"}),
    Case(aten.scatter.value, boolean(2, 5), -1, COLUMNS, True),
    Case(aten.scatter.value, f16(2, 5), -1, COLUMNS, 0.5),
    Case(one_hot_experts, f32(4, 8), dynamic={(0, 0): "tokens"}),
    Case(
        messages,
        f32(5, 3),
        torch.tensor([[0, 1, 2, 3, 4, 0], [1, 3, 3, 1, 3, 4]]),
        dynamic={(1, 1): "edges"},
    ),
    Case(aten.scatter.reduce, f32(3, 5), 1, AGAIN, f32(3, 4, seed=1), kwargs={"reduce": "add"}),
    Case(
        aten.scatter.reduce, f32(3, 5), 1, AGAIN, f32(3, 4, seed=1), kwargs={"reduce": "multiply"}
    ),
    Case(aten.scatter.value_reduce, f32(3, 5), 1, AGAIN, 1.5, kwargs={"reduce": "add"}),
    Case(aten.scatter.value_reduce, i64(3, 5), 1, AGAIN, 3, kwargs={"reduce": "multiply"}),
    Case(aten.scatter_add.default, f32(3, 5), 1, AGAIN, f32(3, 4, seed=1), dynamic=ROWS),
    Case(aten.scatter_add.default, f32(4, 4), 0, AGAIN, f32(3, 4, seed=1)),
    Case(
        aten.scatter_add.default,
        i32(6),
        0,
        TWICE,
        i32(6, seed=1),
        dynamic={(1, 0): "n", (2, 0): "n"},
    ),
    Case(
        aten.scatter_add.default,
        f16(4),
        0,
        torch.zeros(2000).long(),
        f16(2000).abs(),
        tolerance=1e-3,
    ),
    Case(aten.scatter_add.default, f32(6), 0, TWICE, f32(6, seed=1), constants=(2,)),
    Case(aten.scatter_add.default, f32(6), 0, ORDER, f32(3, seed=1), constants=(2,)),
    Case(aten.scatter_add.default, f32(4), 0, TWICE, LOST),
    Case(aten.scatter_add.default, f32(4), 0, torch.zeros(20_000).long(), f32(20_000)),
    Case(aten.scatter_add.default, f32(30_000), 0, torch.zeros(20_000).long(), f32(20_000)).raises(
        r"400000000 comparisons of its elements(.|\n)*fix:"
    ),
    *(
        Case(
            aten.scatter_reduce.two,
            f32(3, 5),
            1,
            AGAIN,
            f32(3, 4, seed=1),
            reduce,
            kwargs={"include_self": own},
        )
        for reduce in ("sum", "prod", "mean", "amax", "amin")
        for own in (False, True)
    ),
    *(
        Case(aten.scatter_reduce.two, i64(3, 5), 1, AGAIN, i64(3, 4, seed=1), reduce)
        for reduce in ("sum", "prod", "mean", "amax", "amin")
    ),
    Case(
        aten.scatter_reduce.two, f32(4), 0, TWICE, LOST, "amax", dynamic={(1, 0): "n", (2, 0): "n"}
    ),
    Case(aten.scatter_reduce.two, f32(4), 0, TWICE, LOST, "amin", kwargs={"include_self": False}),
    Case(aten.index_add.default, f32(4, 3), 0, TWICE, f32(6, 3, seed=1), dynamic=EDGES),
    Case(
        aten.index_add.default, f32(2, 4, 3), -2, ORDER, f32(2, 3, 3, seed=1), kwargs={"alpha": 2.5}
    ),
    Case(aten.index_add.default, i64(4), 0, TWICE, i64(6, seed=1), kwargs={"alpha": -3}),
    Case(aten.index_add.default, f32(4), 0, TWICE, f32(6, seed=1), dynamic=VECTORS),
    Case(aten.index_add.default, f32(3, 3), 0, torch.tensor([1, 1, 0, 1]), LOST_ROWS),
    Case(aten.index_add.default, f32(3, 3), 0, torch.tensor([2, 0, 1, 2]), LOST_ROWS),
    Case(
        aten.index_add.default,
        f16(4, 2),
        0,
        torch.zeros(2000).long(),
        f16(2000, 2).abs(),
        tolerance=1e-3,
    ),
    Case(
        added_to_rows, f32(4, 3), boolean(7), f32(7, 3, seed=1), dynamic={(1, 0): "n", (2, 0): "n"}
    ),
    Case(aten.index_add.default, f32(4, 3), 0, ORDER, f32(3, 3, seed=1), constants=(2,)),
    Case(aten.index_add.default, f32(), 0, torch.tensor([0]), f32(seed=1)),
    Case(aten.index_add.default, f32(4), 0, torch.tensor(1), f32(1)),
    *(
        Case(
            aten.index_reduce.default,
            f32(4, 3),
            0,
            TWICE,
            f32(6, 3, seed=1),
            reduce,
            kwargs={"include_self": own},
        )
        for reduce in ("prod", "mean", "amax", "amin")
        for own in (False, True)
    ),
    Case(
        aten.index_reduce.default,
        f32(2, 4),
        1,
        TWICE,
        f32(2, 6, seed=1),
        "amax",
        dynamic={(0, 0): "b", (2, 0): "b"},
    ),
    Case(
        aten.index_copy.default,
        f32(4, 3),
        0,
        ORDER,
        f32(3, 3, seed=1),
        dynamic={(0, 1): "c", (2, 1): "c"},
    ),
    Case(aten.index_copy.default, f32(2, 4, 3), 1, ORDER.int().long(), f32(2, 3, 3, seed=1)),
    Case(
        aten.index_copy.default,
        f32(2, 6, 3),
        1,
        TWICE[:1],
        f32(2, 1, 3, seed=1),
        dynamic={(0, 1): "length"},
    ),
    Case(aten.index_copy.default, boolean(4), 0, TWICE, boolean(6, seed=1)),
    Case(aten.index_copy.default, f32(), 0, torch.tensor([0]), f32(1)),
    Case(
        aten.index_fill.int_Scalar, f32(3, 4), 1, torch.tensor([0, -1, 0]), 7, dynamic={(0, 0): "n"}
    ),
    Case(aten.index_fill.int_Scalar, boolean(4), 0, ORDER, True),
    Case(aten.index_fill.int_Tensor, i64(4, 2), 0, ORDER, torch.tensor(5), dynamic={(0, 0): "n"}),
    Case(aten.index_fill.int_Scalar, f32(), 0, torch.tensor([0]), 2.0),
    Case(aten.index_fill.int_Scalar, f32(20_000, 1), 0, torch.zeros(20_000).long(), 2.0).raises(
        r"20000 indices into axis 0 .* takes 400000000 comparisons(.|\n)*fix:"
    ),
]
