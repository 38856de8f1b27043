"""Rows of complex arithmetic: functions between tensors of pairs, as engines have no complex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.cases.base import Case, boolean, f16, f32, i64

aten = torch.ops.aten
as_complex, as_pairs = torch.view_as_complex, torch.view_as_real


def pairs(function: Callable[..., Any], *real: int) -> Callable[..., Any]:
    """The function of complex tensors that the arguments stand for, but for those at ``real``."""

    def taken(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [taken(v) for v in value]
        return as_complex(value) if isinstance(value, torch.Tensor) else value

    def given(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [given(v) for v in value]
        return as_pairs(value.resolve_conj()) if value.is_complex() else value

    def call(*args: Any, **kwargs: Any) -> Any:
        made = [a if i in real else taken(a) for i, a in enumerate(args)]
        return given(function(*made, **kwargs))

    call.__name__ = getattr(function, "__name__", str(function))
    return call


def rotary(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotary embedding as Llama's first code has it."""
    turns = torch.polar(torch.ones_like(angles), angles)
    z = as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return as_pairs(z * turns[None, :, None]).flatten(3).type_as(x)


def assigned(x: torch.Tensor) -> torch.Tensor:
    z = as_complex(x)
    y = torch.zeros_like(z)
    y[:, 1:] = z[:, :-1] * 2j
    return as_pairs(y)


def made(x: torch.Tensor, y: torch.Tensor) -> Any:
    z = torch.complex(x, y)
    return z.real, z.imag, as_pairs(z.to(torch.complex64) - x), z.abs(), z.angle()


def cast(x: torch.Tensor) -> torch.Tensor:
    ones = torch.ones(x.shape, dtype=torch.complex64) + torch.ones_like(x.to(torch.complex64))
    return as_pairs(x.to(torch.complex64) * 1j + ones + x.type(torch.complex64))


def filled(x: torch.Tensor) -> torch.Tensor:
    z = as_complex(x)
    return as_pairs(torch.full_like(z, 1 - 2j) + z.new_full((1,), 3j) + z.new_zeros(1))


Z, W = f32(2, 3, 2), f32(2, 3, 2, seed=1)
M = f32(4, 3, 2)
BATCH = f32(2, 4, 3, 2)
N = {(0, 0): "n"}
BOTH = {(0, 0): "n", (1, 0): "n"}
TABLE = torch.view_as_complex(f32(2, 3, 2, seed=2))

CASES = [
    Case(rotary, f32(2, 5, 3, 8), f32(5, 4), dynamic={(0, 0): "n", (0, 1): "t", (1, 0): "t"}),
    Case(rotary, f16(2, 5, 3, 8), f32(5, 4), tolerance=1e-3),
    Case(rotary, f32(2, 5, 3, 8), f32(5, 4), constants=(1,)),
    Case(pairs(torch.mul), Z, W, dynamic=BOTH),
    Case(pairs(torch.mul, 1), Z, f32(2, 3)),
    Case(pairs(torch.mul, 0), f32(3), W),
    Case(pairs(torch.mul, 1), Z, TABLE, constants=(1,)),
    Case(pairs(torch.mul), Z, 1 - 2j),
    Case(pairs(torch.mul, 0), f32(2, 3), 2j),
    Case(pairs(torch.mul, 0), i64(2, 3), 2j),
    Case(pairs(torch.add), Z, W, kwargs={"alpha": 2}),
    Case(pairs(torch.add, 1), Z, f32(4, 1, 3), kwargs={"alpha": 1 + 1j}),
    Case(pairs(torch.add, 0), f32(4, 1, 3), Z),
    Case(pairs(torch.sub), Z, 1 - 2j),
    Case(pairs(torch.sub, 0), f32(2, 3), Z, dynamic=BOTH),
    Case(pairs(torch.rsub), Z, 2.5),
    Case(pairs(torch.div), Z, W, dynamic=BOTH),
    Case(pairs(torch.div, 1), Z, f32(2, 3)),
    Case(pairs(torch.div, 0), f32(2, 3), W),
    Case(pairs(torch.div), Z * 1e20, W * 1e20),
    Case(pairs(torch.reciprocal), Z),
    Case(pairs(torch.square), Z),
    Case(pairs(torch.exp), Z),
    Case(pairs(torch.log), Z),
    Case(pairs(torch.sqrt), torch.cat([Z, torch.tensor([[[0.0, 0], [-1, 0], [-4, -0.5]]])])),
    Case(pairs(torch.rsqrt), Z),
    *(Case(pairs(f), Z) for f in (torch.sin, torch.cos, torch.sinh, torch.cosh)),
    *(Case(pairs(torch.pow), Z, e) for e in (0, 1, 2, 3, 7, -2, 0.5, -1.5, 1 + 2j)),
    Case(pairs(torch.pow), Z, W, tolerance=1e-4),
    Case(pairs(torch.pow), torch.zeros(1, 3, 2), W[:1], tolerance=1e-4),
    Case(pairs(torch.pow), 2.0, W),
    Case(pairs(torch.neg), Z),
    Case(pairs(torch.conj), Z, dynamic=N),
    Case(pairs(torch.conj_physical), Z),
    Case(pairs(torch.resolve_conj), Z),
    Case(pairs(torch.abs), Z, dynamic=N),
    Case(pairs(torch.abs), torch.tensor([[0.0, 0], [1e30, 1e30], [1e-30, 0], [float("inf"), 1]])),
    Case(pairs(torch.angle), Z),
    Case(pairs(torch.sgn), torch.cat([Z, torch.zeros(1, 3, 2)])),
    Case(pairs(torch.isnan), torch.tensor([[0.0, float("nan")], [1, 1], [float("nan"), 0]])),
    Case(pairs(torch.eq), Z, torch.cat([Z[:1], W[1:]])),
    Case(pairs(torch.ne, 1), Z, f32(2, 3)),
    Case(made, f32(2, 3), f32(2, 3, seed=1), dynamic=BOTH),
    Case(made, f32(2, 3), f32(2, 1)),
    Case(assigned, Z),
    Case(cast, f32(2, 3)),
    Case(filled, Z, dynamic=N),
    Case(pairs(torch.matmul), M, f32(3, 5, 2), dynamic=N),
    Case(pairs(torch.matmul), BATCH, f32(3, 2)),
    Case(pairs(torch.bmm), BATCH, f32(2, 3, 5, 2)),
    Case(pairs(torch.mv), M, f32(3, 2)),
    Case(pairs(torch.addmm), f32(5, 2), M, f32(3, 5, 2), kwargs={"beta": 2, "alpha": 1j}),
    Case(pairs(torch.nn.functional.linear), M, f32(5, 3, 2), f32(5, 2)),
    Case(pairs(torch.nn.functional.linear), M, f32(5, 3, 2)),
    Case(pairs(torch.dot), f32(3, 2), f32(3, 2, seed=1)),
    Case(pairs(torch.vdot), f32(3, 2), f32(3, 2, seed=1)),
    Case(pairs(torch.outer), f32(3, 2), f32(4, 2)),
    Case(lambda z, w: as_pairs(torch.einsum("bi,io->bo", as_complex(z), as_complex(w))), M,
         f32(3, 5, 2), dynamic=N),
    Case(lambda z: as_pairs(torch.einsum("bij->jb", as_complex(z))), BATCH),
    Case(pairs(torch.adjoint), BATCH),
    Case(pairs(torch.linalg.vector_norm), Z, 2, [1]),
    Case(pairs(torch.sum), Z),
    Case(pairs(torch.sum), Z, [1], dynamic=N),
    Case(pairs(torch.mean), Z, [0, 1], True),
    Case(pairs(torch.cat), [Z, f32(1, 3, 2)], dynamic=N),
    Case(pairs(torch.stack), [Z, W], 1),
    Case(lambda z, x: as_pairs(torch.cat([as_complex(z), x], 1)), Z, f32(2, 2)),
    Case(lambda z, m: as_pairs(torch.where(m, as_complex(z), 0.5)), Z, boolean(2, 3)),
    Case(lambda z, m: as_pairs(torch.where(m, as_complex(z), m.float())), Z, boolean(2, 3)),
    Case(lambda z, m: as_pairs(as_complex(z).masked_fill(m, 2j)), Z, boolean(2, 3)),
    Case(pairs(torch.nn.functional.pad), Z, (1, 2)),
    Case(lambda z: [as_pairs(y) for y in as_complex(z).split(2, 1)], Z, dynamic=N),
    Case(lambda z: as_pairs(as_complex(z).mT.reshape(-1).flip(0)[1:]), Z, dynamic=N),
    Case(lambda z: as_pairs(as_complex(z)[:, None].expand(-1, 4, -1).roll(1, 2)), Z, dynamic=N),
    Case(lambda z, i: as_pairs(as_complex(z)[i]), Z, i64(4, low=0, high=2)),
    Case(aten.real.default, f32(2, 3)),
    Case(aten.conj.default, f32(2, 3)),
    Case(aten.conj_physical.default, f32(2, 3)),
    Case(aten.resolve_conj.default, f32(2, 3)),
    Case(aten.resolve_neg.default, f32(2, 3)),
    Case(aten.angle.default, torch.tensor([-1.0, 0, 2, float("nan")])),
    Case(torch.angle, i64(2, 3)),
    Case(torch.add, f32(2, 3), 1j).raises(r"output .* is complex(.|\n)*view_as_real"),
    Case(torch.abs, as_complex(Z)).raises(r"input .* is torch.complex64(.|\n)*view_as_real"),
]  # fmt: skip
