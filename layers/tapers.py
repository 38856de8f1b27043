"""Window functions of signals, which are constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from trtdsl.network import Network, Tensor
from trtdsl.registry import converter
from trtdsl.types import DType

__all__: list[str] = []

aten = torch.ops.aten

_WINDOWS = {
    aten.bartlett_window: torch.bartlett_window,
    aten.blackman_window: torch.blackman_window,
    aten.hamming_window: torch.hamming_window,
    aten.kaiser_window: torch.kaiser_window,
}
"""``hann_window`` is decomposed by PyTorch."""


def _constant(
    net: Network, window: Callable[..., torch.Tensor], dtype: DType | None, *args: Any
) -> Tensor:
    return net.constant(window(*args, dtype=(dtype or DType.FLOAT32).torch))


def _periodic(window: Callable[..., torch.Tensor]) -> Callable[..., Tensor]:
    def convert(
        net: Network,
        window_length: int,
        *,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: Any = None,
    ) -> Tensor:
        return _constant(net, window, dtype, window_length)

    return convert


def _maybe_periodic(window: Callable[..., torch.Tensor]) -> Callable[..., Tensor]:
    def convert(
        net: Network,
        window_length: int,
        periodic: bool,
        *,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: Any = None,
    ) -> Tensor:
        return _constant(net, window, dtype, window_length, periodic)

    return convert


for _packet, _window in _WINDOWS.items():
    converter(_packet.default)(_periodic(_window))
    converter(_packet.periodic)(_maybe_periodic(_window))


@converter(aten.hamming_window.periodic_alpha)
def hamming_window_alpha(
    net: Network,
    window_length: int,
    periodic: bool,
    alpha: float,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """``alpha - 0.46 * cos(2 pi t)`` for t from 0 to 1."""
    return _constant(net, torch.hamming_window, dtype, window_length, periodic, alpha)


@converter(aten.hamming_window.periodic_alpha_beta)
def hamming_window_alpha_beta(
    net: Network,
    window_length: int,
    periodic: bool,
    alpha: float,
    beta: float,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """``alpha - beta * cos(2 pi t)`` for t from 0 to 1."""
    return _constant(net, torch.hamming_window, dtype, window_length, periodic, alpha, beta)


@converter(aten.kaiser_window.beta)
def kaiser_window_beta(
    net: Network,
    window_length: int,
    periodic: bool,
    beta: float,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """``i0(beta * sqrt(1 - t ** 2)) / i0(beta)`` for t from -1 to 1."""
    return _constant(net, torch.kaiser_window, dtype, window_length, periodic, beta)
