"""Rows of the Activation and ParametricRelu layers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from tests.cases.base import LayerCase, f16, f32
from trtdsl.ir.activation import Activation, ParametricRelu
from trtdsl.ir.activation import ActivationType as Type

X = torch.cat(
    [f32(2, 3, 8) * 3, torch.tensor([-30.0, -0.5, 0.0, 0.5, 1.0, 30.0]).expand(2, 3, 6)], 2
)


def formula(function: Callable[[np.ndarray], np.ndarray]) -> Callable[..., torch.Tensor]:
    """The reference in float64."""

    def reference(x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(function(x.double().numpy())).to(x.dtype)

    return reference


CASES = [
    LayerCase(Activation(type=Type.RELU), (X,), F.relu, symbolic={(0, 0): "n"}),
    LayerCase(Activation(type=Type.RELU), (f16(3, 4),), F.relu),
    LayerCase(Activation(type=Type.SIGMOID), (X,), formula(lambda x: 1 / (1 + np.exp(-x)))),
    LayerCase(Activation(type=Type.SIGMOID), (f16(3, 4),), torch.sigmoid, tolerance=1e-3),
    LayerCase(Activation(type=Type.TANH), (X,), formula(np.tanh)),
    LayerCase(Activation(type=Type.LEAKY_RELU, alpha=0.1), (X,), lambda x: F.leaky_relu(x, 0.1)),
    LayerCase(Activation(type=Type.ELU, alpha=1.5), (X,), lambda x: F.elu(x, 1.5)),
    LayerCase(
        Activation(type=Type.SELU, alpha=1.6732632423543772, beta=1.0507009873554805), (X,), F.selu
    ),
    LayerCase(
        Activation(type=Type.SELU, alpha=0.5, beta=2.0),
        (X,),
        formula(lambda x: np.where(x > 0, 2 * x, 2 * (0.5 * np.exp(x) - 0.5))),
    ),
    LayerCase(Activation(type=Type.SOFTSIGN), (X,), F.softsign),
    LayerCase(
        Activation(type=Type.SOFTPLUS, alpha=2.0, beta=0.5),
        (X,),
        formula(lambda x: 2 * np.log(np.exp(0.5 * x) + 1)),
    ),
    LayerCase(Activation(type=Type.CLIP, alpha=-1.0, beta=2.0), (X,), lambda x: x.clamp(-1, 2)),
    # TensorRT's lower bound wins over an upper one below it; PyTorch's upper one does.
    LayerCase(
        Activation(type=Type.CLIP, alpha=2.0, beta=-1.0), (X,), lambda x: torch.full_like(x, 2)
    ),
    LayerCase(Activation(type=Type.HARD_SIGMOID, alpha=1 / 6, beta=0.5), (X,), F.hardsigmoid),
    LayerCase(
        Activation(type=Type.SCALED_TANH, alpha=1.7, beta=0.6),
        (X,),
        formula(lambda x: 1.7 * np.tanh(0.6 * x)),
    ),
    LayerCase(
        Activation(type=Type.THRESHOLDED_RELU, alpha=0.5), (X,), lambda x: F.threshold(x, 0.5, 0.0)
    ),
    LayerCase(Activation(type=Type.GELU_ERF), (X,), F.gelu),
    LayerCase(Activation(type=Type.GELU_TANH), (X,), lambda x: F.gelu(x, approximate="tanh")),
    LayerCase(
        Activation(type=Type.GELU_TANH),
        (f32(9) * 4,),
        formula(lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (0.044715 * x**3 + x)))),
    ),
    LayerCase(
        ParametricRelu(),
        (X, f32(1, 3, 1)),
        lambda x, w: F.prelu(x, w.flatten()),
        constants=(1,),
        symbolic={(0, 0): "n", (0, 2): "l"},
    ),
    LayerCase(
        ParametricRelu(),
        (X, f32(*X.shape)),
        lambda x, w: torch.where(x < 0, x * w, x),
        constants=(1,),
    ),
]
