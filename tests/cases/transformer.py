"""Rows of the operators of transformer modules."""

from __future__ import annotations

from typing import Any

import torch

from tests.cases.base import Case, boolean, f32
from tests.cases.pooling import First

aten = torch.ops.aten
attend, encode = aten._native_multi_head_attention.default, aten._transformer_encoder_layer_fwd

X, Y, Z = f32(2, 4, 8), f32(2, 4, 8, seed=1), f32(2, 4, 8, seed=2)
PROJECTIONS = (f32(24, 8), f32(24), f32(8, 8), f32(8))
HELD = (5, 6, 7, 8)
PADDING = torch.tensor([[False, False, True, True], [False, True, False, False]])
CAUSAL = torch.ones(4, 4, dtype=torch.bool).triu(1)
BOTH = boolean(2, 2, 4, 4) & ~torch.eye(4, dtype=torch.bool)


def layer(gelu: bool, norm_first: bool, *mask: Any, dtype: torch.dtype = torch.float32) -> Case:
    norms = (f32(8), f32(8, seed=1), f32(8, seed=2), f32(8, seed=3))
    network = (f32(16, 8), f32(16), f32(8, 16), f32(8))
    parameters = [p.to(dtype) for p in (*PROJECTIONS, *norms, *network)]
    args = (X.to(dtype), 8, 2, *parameters[:4], gelu, norm_first, 1e-5, *parameters[4:], *mask)
    constants = tuple(i for i, a in enumerate(args) if i and isinstance(a, torch.Tensor))
    held = tuple(i for i in constants if i < 18)
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    return Case(encode.default, *args, constants=held, tolerance=tolerance)


CASES = [
    Case(attend, X, X, X, 8, 2, *PROJECTIONS, constants=HELD),
    Case(attend, X, Y, Y, 8, 2, *PROJECTIONS, None, True, False, constants=HELD),
    Case(First(attend), X, Y, Z, 8, 2, *PROJECTIONS, None, False, constants=HELD),
    Case(attend, X, Y, Z, 8, 2, *PROJECTIONS, PADDING, True, True, 1, constants=HELD),
    Case(First(attend), X, Y, Z, 8, 2, *PROJECTIONS, PADDING, False, True, 1, constants=HELD),
    Case(attend, X, X, X, 8, 2, *PROJECTIONS, CAUSAL, True, False, 0, constants=HELD),
    Case(First(attend), X, X, X, 8, 2, *PROJECTIONS, CAUSAL, False, True, 0,
         constants=(*HELD, 9)),
    Case(First(attend), X, Y, Z, 8, 4, *PROJECTIONS, BOTH.repeat(1, 2, 1, 1), False, True, 2,
         constants=HELD),
    Case(attend, X, X, X, 8, 2, *PROJECTIONS, None, False, constants=HELD).raises("did not need"),
    Case(attend, X, X, X, 8, 2, *PROJECTIONS, BOTH, True, True, 2, constants=HELD),
    layer(False, False),
    layer(True, True),
    layer(False, True, PADDING, 1),
    layer(True, False, CAUSAL, 0),
    layer(True, False, CAUSAL, 0, dtype=torch.float16),
]  # fmt: skip
