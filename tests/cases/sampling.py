"""Rows of layers/sampling.py."""

from __future__ import annotations

from itertools import product

import torch

from tests.cases.base import Case, f16, f32

aten = torch.ops.aten

IMAGE, VOLUME = f32(2, 3, 5, 7), f32(2, 3, 4, 5, 6)
POINTS = f32(2, 4, 6, 2, low=-2.6, high=2.6)
PLACES = f32(2, 3, 4, 5, 3, low=-2.6, high=2.6)
BOTH = {(0, 0): "batch", (1, 0): "batch"}
EDGES = torch.tensor([-1.0, -0.8, -1.2, 0.0, 0.8, 1.0, 1.2, 1e30])
BORDER = torch.stack([EDGES, EDGES.flip(0)], -1).reshape(1, 2, 4, 2)

CASES = [
    *(
        Case(aten.grid_sampler.default, IMAGE, POINTS, mode, outside, align, dynamic=BOTH)
        for mode, outside, align in product((0, 1, 2), (0, 1, 2), (False, True))
    ),
    *(
        Case(aten.grid_sampler.default, VOLUME, PLACES, mode, outside, align, tolerance=2e-5)
        for mode, outside, align in product((0, 1), (0, 1, 2), (False, True))
    ),
    Case(
        aten.grid_sampler_2d.default,
        *(IMAGE, POINTS, 0, 0, False),
        dynamic={**BOTH, (0, 2): "height", (0, 3): "width", (1, 1): "rows"},
    ),
    Case(
        aten.grid_sampler_2d.default,
        *(IMAGE, POINTS, 0, 2, False),
        dynamic={**BOTH, (0, 2): "height", (0, 3): "width", (1, 1): "rows"},
    ),
    Case(
        aten.grid_sampler_3d.default,
        *(VOLUME, PLACES, 0, 0, False),
        dynamic={**BOTH, (0, 2): "depth", (1, 3): "columns"},
        tolerance=2e-5,
    ),
    Case(aten.grid_sampler.default, f32(1, 2, 5, 5), BORDER, 0, 0, False),
    Case(aten.grid_sampler.default, f32(1, 2, 5, 5), BORDER, 0, 0, True),
    Case(aten.grid_sampler.default, f32(1, 2, 5, 5), BORDER[:, :, :3], 0, 2, False),
    Case(aten.grid_sampler.default, f32(1, 2, 1, 1), POINTS[:1], 0, 2, False),
    Case(aten.grid_sampler.default, f16(2, 3, 5, 7), POINTS.half(), 0, 1, True, tolerance=3e-3),
    Case(aten.grid_sampler.default, IMAGE, POINTS[:, :0], 0, 0, False),
    Case(aten.grid_sampler.default, VOLUME, PLACES, 2, 0, False).raises("Bicubic|bicubic"),
    *(
        Case(aten.affine_grid_generator.default, f32(2, 2, 3), [2, 3, 4, 5], align)
        for align in (False, True)
    ),
    *(
        Case(aten.affine_grid_generator.default, f32(2, 3, 4), [2, 3, 4, 5, 6], align)
        for align in (False, True)
    ),
    Case(aten.affine_grid_generator.default, f32(1, 2, 3), [1, 3, 1, 4], True),
    Case(
        lambda theta, x: aten.affine_grid_generator.default(theta, x.shape, False),
        *(f32(2, 2, 3), f32(2, 3, 4, 5)),
        dynamic=BOTH,
    ),
    Case(
        lambda theta, x: aten.affine_grid_generator.default(theta, x.shape, True),
        *(f32(2, 2, 3), f32(2, 3, 4, 5)),
        dynamic=BOTH,
    ),
]
