"""Rows of layers/activation.py."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f16, f32, i64

aten = torch.ops.aten

X = torch.cat([f32(2, 4, 6) * 4, torch.tensor([-0.5, 0.0, 0.5, 25.0]).expand(2, 4, 4)], 2)
BATCH = {(0, 0): "batch"}
LONG = {(0, 2): "length"}

CASES = [
    Case(aten.relu.default, X, dynamic=BATCH),
    Case(aten.relu.default, f16(3, 4)),
    Case(aten.relu.default, i64(3, 4)),
    Case(aten.relu6.default, X),
    Case(aten.hardtanh.default, X),
    Case(aten.hardtanh.default, X, -0.3, 2.0),
    Case(aten.hardtanh.default, i64(3, 4), -2, 3),
    Case(aten.hardtanh.default, i64(3, 4), -1.5, 2.5),
    Case(aten.hardsigmoid.default, X),
    Case(aten.hardswish.default, X, dynamic=BATCH),
    Case(aten.sigmoid.default, X),
    Case(aten.sigmoid.default, i64(3, 4)),
    Case(aten.sigmoid.default, torch.tensor(0.3)),
    Case(aten.tanh.default, X),
    Case(aten.tanh.default, f16(3, 4), tolerance=2e-3),
    Case(aten.silu.default, X, dynamic=LONG),
    Case(aten.gelu.default, X),
    Case(aten.gelu.default, X, kwargs={"approximate": "tanh"}),
    Case(aten.gelu.default, f16(3, 4), tolerance=2e-3),
    Case(aten.elu.default, X),
    Case(aten.elu.default, X, 0.7),
    Case(aten.elu.default, X, 0.7, 1.3, 0.8),
    Case(aten.selu.default, X),
    Case(aten.celu.default, X),
    Case(aten.celu.default, X, 0.6),
    Case(aten.leaky_relu.default, X),
    Case(aten.leaky_relu.default, X, 0.2),
    Case(aten.prelu.default, X, f32(4), constants=(1,), dynamic=LONG),
    Case(aten.prelu.default, X, f32(1), constants=(1,)),
    Case(aten.prelu.default, f32(3, 4), f32(4)),
    Case(aten.prelu.default, f32(5), f32(1), constants=(1,)),
    Case(aten._prelu_kernel.default, X, f32(1, 4, 1), constants=(1,)),
    Case(aten.rrelu.default, X),
    Case(aten.rrelu.default, X, 0.1, 0.4),
    Case(aten.rrelu.default, X, 0.1, 0.4, True).raises("training mode draws random numbers"),
    Case(aten.softplus.default, X),
    Case(aten.softplus.default, X, 2.0, 5.0),
    Case(aten.softplus.default, torch.tensor([-200.0, 200.0])),
    Case(aten.mish.default, X),
    Case(aten.log_sigmoid.default, X),
    Case(aten.log_sigmoid.default, torch.tensor([-200.0, 0.0, 200.0])),
    Case(aten.softshrink.default, X),
    Case(aten.softshrink.default, X, 1.5),
    Case(aten.hardshrink.default, X),
    Case(aten.hardshrink.default, X, 1.5),
    Case(aten.threshold.default, X, 0.5, -2.0),
    Case(aten.threshold.default, i64(3, 4), 2, 7),
    Case(aten.glu.default, X, dynamic=BATCH),
    Case(aten.glu.default, X, 1, dynamic=LONG),
    Case(aten.softmax.int, X, -1, dynamic=BATCH),
    Case(aten.softmax.int, X, 1),
    Case(aten.softmax.int, f16(3, 4), -1, torch.float32),
    Case(aten.softmax.int, torch.tensor(3.0), 0),
    Case(aten.softmax.int, f32(2, 0), 1),
    Case(aten.softplus.default, i64(3, 4), fails="not i64(.|\n)*fix: cast to float32"),
    Case(aten._softmax.default, X, 2, False),
    Case(aten.log_softmax.int, X, -1, dynamic=LONG),
    Case(aten.log_softmax.int, torch.tensor([[0.0, 200.0, -300.0]]), 1),
    Case(aten.log_softmax.int, f16(3, 4), 0, tolerance=2e-3),
    Case(aten.log_softmax.int, f32(2, 0), 1),
    Case(aten._log_softmax.default, X, 1, False),
    Case(aten.dropout.default, X, 0.5, False),
    Case(aten.dropout.default, X, 0.0, True),
    Case(aten.dropout.default, X, 0.5, True).raises("training mode draws random numbers"),
    Case(aten.feature_dropout.default, X, 0.5, False),
    Case(aten.alpha_dropout.default, X, 0.5, False),
    Case(aten.feature_alpha_dropout.default, X, 0.5, False),
    Case(aten.native_dropout.default, X, 0.5, False),
]
