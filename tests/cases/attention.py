"""Rows of scaled dot-product attention."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from tests.cases.base import Case, bf16, boolean, f16, f32
from tests.cases.pooling import First

aten = torch.ops.aten
sdpa = aten.scaled_dot_product_attention.default

Q, K, V = f32(2, 4, 3, 8), f32(2, 4, 5, 8), f32(2, 4, 5, 8, seed=1)
MASK = boolean(2, 1, 3, 5)
MASK[1, 0, 1] = False  # a query that may attend to nothing
FLOATS = torch.zeros(2, 1, 3, 5).masked_fill(~MASK, -torch.inf) + f32(2, 1, 3, 5)
LOWEST = torch.finfo(torch.float32).min * (~MASK).float()
BATCH = {(0, 0): "n", (1, 0): "n", (2, 0): "n"}
LENGTHS = {(0, 2): "l", (1, 2): "s", (2, 2): "s"}
BOTH = BATCH | LENGTHS
MASKED = BOTH | {(3, 0): "n", (3, 2): "l", (3, 3): "s"}
HALF = 4e-3

FORMS = [
    Case(sdpa, Q, K, V, dynamic=BOTH),
    Case(sdpa, Q, K, V, None, 0.0, True, dynamic=LENGTHS),
    Case(sdpa, f32(2, 4, 6, 8), K, V, None, 0.0, True),
    Case(sdpa, Q, K, f32(2, 4, 5, 6), kwargs={"scale": 0.3}),
    Case(sdpa, Q, K, V, kwargs={"scale": 1.0}, dynamic=BATCH),
    Case(sdpa, Q, K, V, kwargs={"scale": -2}),
    Case(sdpa, f32(4, 3, 8), f32(4, 5, 8), f32(4, 5, 8), dynamic={**BATCH, (0, 1): "l"}),
    Case(sdpa, f32(3, 8), f32(5, 8), f32(5, 8)),
    Case(sdpa, Q, K, V, dynamic=LENGTHS | {(i, 3): "width" for i in range(3)}),
    Case(sdpa, f32(2, 3, 4, 3, 8), f32(2, 3, 4, 5, 8), f32(2, 3, 4, 5, 8, seed=1), dynamic=BATCH),
    Case(sdpa, f32(1, 4, 3, 8), K, V),
    Case(sdpa, f32(2, 1, 3, 8), K, V),
    Case(sdpa, Q, f32(2, 1, 5, 8), V),
    Case(sdpa, f32(3, 8), f32(4, 5, 8), f32(5, 8)),
    Case(sdpa, Q, f32(2, 4, 0, 8), f32(2, 4, 0, 8)),
    Case(sdpa, Q, K, V, None, 0.1).raises("dropout_p=0.1"),
    Case(sdpa, f16(2, 4, 3, 8), f16(2, 4, 5, 8), f16(2, 4, 5, 8, seed=1), tolerance=HALF),
    Case(sdpa, bf16(2, 4, 3, 8), bf16(2, 4, 5, 8), bf16(2, 4, 5, 8, seed=1), tolerance=3e-2,
         gpu="no bfloat16"),
]  # fmt: skip

MASKS = [
    Case(sdpa, Q, K, V, MASK, dynamic=MASKED),
    Case(sdpa, Q, K, V, MASK, constants=(3,)),
    Case(sdpa, Q, K, V, MASK[:1], constants=(3,), dynamic=BATCH),
    Case(sdpa, Q, K, V, boolean(3, 5) | torch.eye(3, 5).bool()),
    Case(sdpa, Q, K, V, torch.tensor([[True, False, True, True, False]])),
    Case(sdpa, Q, K, V, boolean(2, 4, 1, 5) | torch.eye(1, 5).bool()),
    Case(sdpa, Q, K, V, MASK, 0.0, True, dynamic=MASKED),
    Case(sdpa, Q, K, V, FLOATS, dynamic=MASKED),
    Case(sdpa, Q, K, V, FLOATS, constants=(3,)),
    Case(sdpa, Q, K, V, FLOATS, 0.0, True),
    Case(sdpa, Q, K, V, LOWEST),
    Case(sdpa, Q, K, V, f32(4, 3, 5), kwargs={"scale": 0.5}),
    Case(sdpa, f32(4, 3, 8), f32(4, 5, 8), f32(4, 5, 8), boolean(4, 1, 5)),
    Case(sdpa, f32(2, 3, 4, 3, 8), f32(2, 3, 4, 5, 8), f32(2, 3, 4, 5, 8), f32(3, 1, 3, 5)),
    Case(sdpa, f32(2, 3, 4, 3, 8), f32(2, 3, 4, 5, 8), f32(2, 3, 4, 5, 8), f32(1, 3, 5)),
    Case(sdpa, f16(2, 4, 3, 8), f16(2, 4, 5, 8), f16(2, 4, 5, 8), MASK, tolerance=HALF),
    Case(sdpa, f16(2, 4, 3, 8), f16(2, 4, 5, 8), f16(2, 4, 5, 8), FLOATS.half(), tolerance=HALF),
    Case(sdpa, f16(2, 4, 3, 8), f16(2, 4, 5, 8), f16(2, 4, 5, 8), LOWEST[:1], tolerance=HALF),
]  # fmt: skip

GROUPED = [
    Case(sdpa, Q, f32(2, 2, 5, 8), f32(2, 2, 5, 8, seed=1), kwargs={"enable_gqa": True},
         dynamic=BOTH),
    Case(sdpa, Q, f32(2, 2, 5, 8), f32(2, 2, 5, 8, seed=1), MASK, kwargs={"enable_gqa": True}),
    Case(sdpa, Q, f32(2, 1, 5, 8), f32(2, 1, 5, 8), None, 0.0, True, kwargs={"enable_gqa": True}),
    Case(sdpa, f32(1, 6, 3, 8), f32(1, 3, 5, 8), f32(1, 2, 5, 8), kwargs={"enable_gqa": True}),
]  # fmt: skip


class Kernel:
    """A kernel's first result; where PyTorch has the kernel on GPUs only, F's answer instead."""

    def __init__(self, operator: Any, *between: Any) -> None:
        self.operator, self.between = operator, between

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *mask: Any) -> Any:
        if torch.compiler.is_exporting():
            return self.operator(q, k, v, *mask, *self.between, 0.0, not mask, scale=0.4)[0]
        bias = mask[0] if mask else None
        return F.scaled_dot_product_attention(q, k, v, bias, is_causal=not mask, scale=0.4)

    def __str__(self) -> str:
        return str(self.operator)


BIAS = f32(2, 4, 3, 5)
KERNELS = [
    Case(First(aten._scaled_dot_product_attention_math.default), Q, K, V, FLOATS),
    Case(First(aten._scaled_dot_product_attention_math.default), Q, K, V, MASK),  # 1 is added
    Case(First(aten._scaled_dot_product_attention_math.default), Q, K, V,
         kwargs={"is_causal": True}),
    Case(aten._scaled_dot_product_attention_math.default, Q, K, V).raises("weights of an att"),
    Case(First(aten._scaled_dot_product_flash_attention_for_cpu.default), Q, K, V, 0.0, True,
         kwargs={"scale": 0.4}),
    Case(First(aten._scaled_dot_product_flash_attention_for_cpu.default), Q, K, V,
         kwargs={"attn_mask": BIAS}),
    Case(aten._scaled_dot_product_flash_attention_for_cpu.default, Q, K, V).raises("logarithms"),
    Case(Kernel(aten._scaled_dot_product_flash_attention.default), Q, K, V),
    Case(Kernel(aten._scaled_dot_product_efficient_attention.default, False), Q, K, V, BIAS),
    Case(Kernel(aten._scaled_dot_product_cudnn_attention.default, False), Q, K, V, BIAS),
    Case(Kernel(aten._scaled_dot_product_fused_attention_overrideable.default), Q, K, V, BIAS),
]  # fmt: skip

CASES = FORMS + MASKS + GROUPED + KERNELS
