"""Rows of functions, products and moves of complex tensors; they are given as pairs."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.cases.base import Case, boolean, f32, i64
from tests.cases.complex import as_complex, as_pairs, pairs

Z, W = f32(2, 3, 2), f32(2, 3, 2, seed=1)
IMAGE, KERNEL, BIAS = f32(2, 4, 6, 5, 2), f32(6, 2, 3, 2, 2), f32(6, 2)
SOUND = f32(2, 4, 9, 2)
HOLES = torch.tensor([[[0.0, 0], [1, 0], [0, 2]], [[0, 0], [0, 0], [3, 4]]])
ODD = torch.tensor([[0.0, 1], [float("inf"), 0], [1, float("nan")], [2, -float("inf")]])
LARGE = torch.tensor([[120.0, 1], [-120, 2], [0.3, 30], [1e-3, -1e-3]])
PLACES = torch.tensor([1, 0])
N = {(0, 0): "n"}
BOTH = {(0, 0): "n", (1, 0): "n"}


def seen(function: object) -> object:
    """The function of a complex tensor, whose result is real."""
    return lambda z: function(as_complex(z))  # type: ignore[operator]


def changed(z: torch.Tensor, w: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    y = as_complex(z).clone()
    y[mask] = 2 - 1j
    y[:, PLACES] = as_complex(w)[:, :2]
    y.index_fill_(1, PLACES[:1], 3j)
    y.scatter_add_(1, torch.tensor([[2, 0], [1, 1]]), as_complex(w)[:, 1:])
    return as_pairs(y)


def multiplied(z: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return as_pairs(as_complex(z).scatter(0, PLACES[None], as_complex(w), reduce="multiply"))


def moved(z: torch.Tensor) -> object:
    x = as_complex(z)
    y = x.unfold(1, 2, 1), x.take(PLACES), x.expand_as(x[None].repeat(2, 1, 1)), x.swapdims(0, 1)
    return [
        as_pairs(v)
        for v in (*y, *x.tensor_split([1], 1), *torch.meshgrid(x[0], x[1], indexing="ij"))
    ]


CASES = [
    Case(pairs(torch.tanh), torch.cat([Z.flatten(0, 1), LARGE]), tolerance=2e-5),
    *(Case(pairs(f), Z * 4, dynamic=N) for f in (torch.sigmoid, F.silu)),
    *(Case(pairs(f), Z, dynamic=N) for f in (torch.tan, torch.exp2, torch.log2, torch.log10)),
    Case(pairs(torch.addcmul), Z, W, f32(2, 3, 2, seed=2), kwargs={"value": 2 - 1j}),
    Case(pairs(torch.addcdiv), Z, W, f32(2, 3, 2, seed=2), kwargs={"value": 0.5}),
    Case(pairs(torch.lerp), Z, W, 0.3, dynamic=BOTH),
    *(Case(pairs(lambda z, d=d: z.prod(d)), f32(2, 7, 3, 2), dynamic=N) for d in (1, -1)),
    Case(pairs(lambda z: z.prod(0, keepdim=True)), f32(5, 3, 2)),
    Case(pairs(torch.prod), f32(2, 3, 2)),
    Case(pairs(lambda z: z[:, :0].prod(1)), Z, dynamic=N),
    Case(seen(torch.isinf), ODD),
    Case(seen(torch.isfinite), ODD),
    Case(seen(torch.logical_not), HOLES),
    *(Case(lambda z, w, f=f: f(as_complex(z), as_complex(w)), HOLES, HOLES.flip(1))
      for f in (torch.logical_and, torch.logical_or, torch.logical_xor)),
    *(Case(seen(f), HOLES) for f in (torch.any, torch.all, torch.count_nonzero)),
    *(Case(seen(lambda z, f=f: f(z, 0)), HOLES) for f in (torch.any, torch.all)),
    Case(seen(lambda z: z.var(1, correction=0)), Z, dynamic=N),
    Case(seen(lambda z: z.std(dim=(0, 1), keepdim=True)), Z),
    Case(pairs(F.conv2d), IMAGE, KERNEL, BIAS, 2, (1, 0), 1, 2, constants=(1, 2), dynamic=N),
    Case(pairs(F.conv2d), IMAGE, KERNEL, kwargs={"groups": 2, "padding": "same"}),
    Case(pairs(F.conv1d), SOUND, f32(5, 4, 3, 2), f32(5, 2), constants=(1, 2)),
    Case(pairs(F.conv_transpose1d), SOUND, f32(4, 5, 3, 2), f32(5, 2), 2, constants=(1, 2)),
    Case(pairs(F.conv_transpose2d), IMAGE, f32(4, 3, 2, 2, 2), constants=(1,)),
    Case(pairs(F.conv3d), IMAGE[:, None], f32(2, 1, 2, 2, 2, 2), constants=(1,)),
    Case(pairs(torch.inner), Z, W, dynamic=N),
    Case(pairs(torch.kron), Z, f32(2, 2, 2)),
    Case(pairs(torch.tensordot), f32(4, 3, 2), f32(3, 5, 2), 1),
    Case(pairs(torch.baddbmm), f32(2, 3, 5, 2), f32(2, 3, 4, 2), f32(2, 4, 5, 2),
         kwargs={"beta": 1j, "alpha": 2}),
    Case(pairs(torch.addmv), f32(3, 2), f32(3, 4, 2), f32(4, 2), kwargs={"beta": 0}),
    Case(multiplied, Z, W).raises("scatter of complex numbers with reduce='multiply'"),
    Case(changed, Z, W, boolean(2, 3)),
    Case(moved, Z),
    Case(pairs(F.pixel_shuffle), IMAGE, 2, dynamic=N),
    Case(pairs(F.pad), SOUND, (2, 3), "reflect"),
    Case(pairs(F.pad), SOUND, (2, 3), "circular", dynamic=N),
    Case(lambda z, i: as_pairs(as_complex(z).take_along_dim(i, 1)), Z, i64(2, 2, low=0, high=3)),
]  # fmt: skip
