"""Seeded random weights that behave like trained ones: nothing vanishes, explodes or stays 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_NORM = (*_BATCH_NORM, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d)


def randomise(
    model: nn.Module,
    inputs: tuple[Any, ...],
    named: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
) -> nn.Module:
    """Put the model in eval mode with weights that a wrong folding or a swapped scale would show.

    Batch statistics are measured on ``inputs``, layer by layer, and then disturbed, so that mean,
    variance, weight and bias of every channel differ from 0 and 1 and activations keep their scale.
    """
    generator = torch.Generator().manual_seed(seed)
    model.eval()
    with torch.no_grad():
        for module in model.modules():
            _affine(module, generator)
        for name, parameter in model.named_parameters():
            _wake(name, parameter, generator)
        hooks = [
            m.register_forward_pre_hook(lambda m, args: _measure(m, args[0], generator))
            for m in model.modules()
            if isinstance(m, _BATCH_NORM)
        ]
        if hooks:
            model(*inputs, **(named or {}))
    for hook in hooks:
        hook.remove()
    return model


def _affine(module: nn.Module, generator: torch.Generator) -> None:
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if isinstance(module, _NORM) and isinstance(weight, nn.Parameter):
        weight.uniform_(0.5, 1.5, generator=generator)
    if isinstance(bias, nn.Parameter):
        bias.normal_(0.0, 0.1, generator=generator)


def _wake(name: str, parameter: nn.Parameter, generator: torch.Generator) -> None:
    """Draw again what starts at one value, or so small that what it weighs would not count."""
    if not parameter.is_floating_point() or not parameter.numel():
        return
    low, high = float(parameter.min()), float(parameter.max())
    if parameter.dim() > 1 and min(parameter.shape[-2:]) > 1:
        fan_in = parameter[0].numel() if len(parameter) > 1 else parameter.shape[-1]
        if float(parameter.std()) < 0.5 / math.sqrt(fan_in):
            parameter.normal_(0.0, 1 / math.sqrt(fan_in), generator=generator)
    elif name.endswith("layer_scale") or (low == high and 0 < low < 0.2):
        parameter.uniform_(0.2, 0.8, generator=generator)
    elif low == high == 0:
        parameter.normal_(0.0, 0.1, generator=generator)
    elif low == high:
        parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5, generator=generator))


def _measure(module: nn.Module, x: torch.Tensor, generator: torch.Generator) -> None:
    assert isinstance(module, _BATCH_NORM)
    mean, var = module.running_mean, module.running_var
    assert mean is not None
    assert var is not None
    channels = x.transpose(0, 1).flatten(1)
    spread = channels.var(1, correction=0)
    noise = torch.empty_like(mean).uniform_(-0.2, 0.2, generator=generator)
    # Without all of the mean, and well above the variance of these few inputs: others would grow
    # from layer to layer, and channels that hardly vary here would blow rounding errors up.
    average = channels.mean(1)
    mean.copy_(0.3 * average + noise * spread.sqrt())
    spread = spread + (average - mean) ** 2
    spread = (spread + spread.mean()) / 2
    var.copy_(spread * torch.empty_like(var).uniform_(0.8, 1.25, generator=generator))
