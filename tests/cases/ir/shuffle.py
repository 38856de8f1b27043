"""Rows of ``Shuffle``, ``Squeeze`` and ``Unsqueeze``: numpy says what is right."""

from __future__ import annotations

import numpy as np
import torch

from tests.cases.base import LayerCase, boolean, byte, f16, f32, i64
from trtdsl.ir.shuffle import Shuffle, Squeeze, Unsqueeze

CASES = [
    LayerCase(
        Shuffle(first_transpose=(2, 0, 1)),
        (f32(2, 3, 4),),
        lambda x: torch.from_numpy(x.numpy().transpose(2, 0, 1)),
        symbolic={(0, 0): "a", (0, 2): "b"},
    ),
    LayerCase(
        Shuffle(reshape_dims=(4, 6)),
        (i64(2, 3, 4),),
        lambda x: torch.from_numpy(x.numpy().reshape(4, 6)),
    ),
    LayerCase(
        Shuffle(reshape_dims=(2, 3, 4), second_transpose=(0, 2, 1)),
        (f16(2, 12),),
        lambda x: torch.from_numpy(x.numpy().reshape(2, 3, 4).swapaxes(1, 2)),
    ),
    LayerCase(
        Shuffle(first_transpose=(1, 0), reshape_dims=(2, 2, 3), second_transpose=(2, 1, 0)),
        (f32(3, 4),),
        lambda x: torch.from_numpy(x.numpy().T.reshape(2, 2, 3).T),
    ),
    LayerCase(Shuffle(reshape_dims=()), (boolean(1, 1),), lambda x: x[0, 0]),
    LayerCase(Shuffle(reshape_dims=(3, 0, 2)), (f32(0, 6),), lambda x: torch.empty(3, 0, 2)),
    LayerCase(
        Unsqueeze(axes=(0, 3)),
        (f32(2, 3),),
        lambda x: torch.from_numpy(x.numpy()[None, :, :, None]),
        symbolic={(0, 0): "n"},
    ),
    LayerCase(Unsqueeze(axes=(0,)), (torch.tensor(3),), lambda x: torch.tensor([3])),
    LayerCase(Unsqueeze(axes=(3, 1)), (i64(2, 3),), lambda x: x[:, None, :, None]),
    LayerCase(
        Squeeze(axes=(0, 2)),
        (f32(1, 3, 1, 2),),
        lambda x: torch.from_numpy(x.numpy()[0, :, 0]),
        symbolic={(0, 3): "n"},
    ),
    LayerCase(Squeeze(axes=(1,)), (boolean(1, 1),), lambda x: x[0]),
    LayerCase(
        Shuffle(first_transpose=(0, 3, 1, 2)),
        (byte(2, 3, 4, 3),),
        lambda x: torch.from_numpy(x.numpy().transpose(0, 3, 1, 2)),
        symbolic={(0, 0): "n"},
    ),
    LayerCase(Unsqueeze(axes=(0,)), (byte(3),), lambda x: torch.from_numpy(x.numpy()[None])),
    LayerCase(Squeeze(axes=(0,)), (byte(1, 3),), lambda x: torch.from_numpy(x.numpy()[0])),
    LayerCase(
        Unsqueeze(axes=(0, 5)),
        (f32(1, 2, 1, 3, 1, 2),),
        lambda x: torch.from_numpy(np.expand_dims(x.numpy(), (0, 5))),
    ),
]
