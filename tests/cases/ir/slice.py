"""Rows of ``Slice``: numpy's indexing and padding say what is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.cases.base import LayerCase, bf16, boolean, byte, f16, f32, i64
from trtdsl.ir.slice import SampleMode, Slice


def index(*slices: slice) -> Callable[..., torch.Tensor]:
    return lambda x, *_: torch.from_numpy(x.numpy()[slices].copy())


def pad(*ends: tuple[int, int], mode: str, **kwargs: Any) -> Callable[..., torch.Tensor]:
    def reference(x: torch.Tensor, fill: torch.Tensor | None = None) -> torch.Tensor:
        more = {"constant_values": fill.item()} if fill is not None else {}
        return torch.from_numpy(np.pad(x.numpy(), ends, mode=mode, **kwargs, **more))

    return reference


def window(*ends: tuple[int, int], of: tuple[int, ...], mode: SampleMode) -> Slice:
    return Slice(
        start=tuple(-a for a, _ in ends),
        shape=tuple(n + a + b for n, (a, b) in zip(of, ends, strict=True)),
        stride=(1,) * len(of),
        mode=mode,
    )


CASES = [
    LayerCase(
        Slice(start=(1, 0, 2), shape=(2, 3, 2), stride=(1, 1, 3)),
        (f32(4, 3, 7),),
        index(slice(1, 3), slice(None), slice(2, 8, 3)),
    ),
    LayerCase(
        Slice(start=(3, 0), shape=(4, 5), stride=(-1, 1)),
        (i64(4, 5),),
        index(slice(None, None, -1), slice(None)),
    ),
    LayerCase(
        Slice(start=(0, 0), shape=(4, 5), stride=(0, 1)),
        (boolean(1, 5),),
        lambda x: torch.cat([x] * 4),
    ),
    LayerCase(Slice(start=(2, 0), shape=(0, 5), stride=(1, 1)), (f32(4, 5),), index(slice(2, 2))),
    LayerCase(
        window((1, 2), (3, 0), of=(4, 3), mode=SampleMode.WRAP),
        (f32(4, 3),),
        pad((1, 2), (3, 0), mode="wrap"),
    ),
    LayerCase(
        Slice(start=(5,), shape=(9,), stride=(-2,), mode=SampleMode.WRAP),
        (i64(4),),
        lambda x: x[[(5 - 2 * i) % 4 for i in range(9)]],
    ),
    LayerCase(
        window((2, 1), (0, 3), of=(2, 3), mode=SampleMode.CLAMP),
        (f32(2, 3),),
        pad((2, 1), (0, 3), mode="edge"),
    ),
    LayerCase(
        window((2, 1), (0, 3), of=(2, 3), mode=SampleMode.FILL),
        (f32(2, 3),),
        pad((2, 1), (0, 3), mode="constant"),
    ),
    LayerCase(
        window((2, 1), (-1, 3), of=(2, 3), mode=SampleMode.FILL),
        (f32(2, 3), torch.tensor(-2.5)),
        lambda x, fill: pad((2, 1), (0, 3), mode="constant")(x[:, 1:], fill),
        constants=(1,),
    ),
    LayerCase(
        window((0, 2), of=(3,), mode=SampleMode.FILL),
        (f16(3), torch.tensor(float("-inf")).half()),
        lambda x, fill: torch.cat([x, fill.expand(2)]),
        constants=(1,),
    ),
    LayerCase(
        window((1, 1), of=(3,), mode=SampleMode.FILL),
        (boolean(3), torch.tensor(True)),
        lambda x, fill: torch.cat([fill.view(1), x, fill.view(1)]),
        constants=(1,),
    ),
    LayerCase(
        Slice(start=(-2, -1), shape=(3, 3), stride=(1, 2), mode=SampleMode.FILL),
        (f32(2, 3), torch.tensor(7.0)),
        lambda x, fill: pad((2, 0), (1, 2), mode="constant")(x, fill)[:3, ::2],
        constants=(1,),
    ),
    LayerCase(
        window((1, 1), (2, 3), of=(3, 4), mode=SampleMode.REFLECT),
        (f32(3, 4),),
        pad((1, 1), (2, 3), mode="reflect"),
    ),
    # Further than one reflection, and an axis of a single element.
    LayerCase(
        window((7, 8), (2, 2), of=(3, 1), mode=SampleMode.REFLECT),
        (f32(3, 1),),
        pad((7, 8), (2, 2), mode="reflect"),
    ),
    # TensorRT 10 reads neither int64 nor bfloat16 out of bounds.
    LayerCase(
        window((2, 1), (-1, 3), of=(2, 3), mode=SampleMode.FILL),
        (i64(2, 3), torch.tensor(-5)),
        lambda x, fill: pad((2, 1), (0, 3), mode="constant")(x[:, 1:], fill),
        constants=(1,),
    ),
    LayerCase(
        Slice(start=(5, -1, 0), shape=(4, 3, 2), stride=(-2, 1, 1), mode=SampleMode.FILL),
        (i64(4, 2, 2),),
        lambda x: (
            torch.stack([x[3] * 0, x[3], x[1], x[0] * 0])[:, [0, 0, 1]]
            * torch.tensor([0, 1, 1]).view(1, 3, 1)
        ),
    ),
    LayerCase(
        window((2, 1), (0, 3), of=(2, 3), mode=SampleMode.CLAMP),
        (i64(2, 3),),
        pad((2, 1), (0, 3), mode="edge"),
    ),
    LayerCase(
        window((7, 8), (2, 2), of=(3, 1), mode=SampleMode.REFLECT),
        (i64(3, 1),),
        pad((7, 8), (2, 2), mode="reflect"),
    ),
    LayerCase(
        window((0, 2), of=(3,), mode=SampleMode.FILL),
        (bf16(3), torch.tensor(float("-inf")).bfloat16()),
        lambda x, fill: torch.cat([x, fill.expand(2)]),
        constants=(1,),
        gpu="TensorRT 8.6 has no bfloat16",
    ),
    LayerCase(
        window((2, 0), of=(3,), mode=SampleMode.CLAMP),
        (bf16(3),),
        lambda x: x[[0, 0, 0, 1, 2]],
        gpu="TensorRT 8.6 has no bfloat16",
    ),
    LayerCase(
        Slice(start=(1, 0), shape=(2, 3), stride=(1, 2)),
        (byte(4, 6),),
        index(slice(1, 3), slice(0, 6, 2)),
    ),
]
