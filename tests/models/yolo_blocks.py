"""The blocks that YOLO v3, v5, v8 and v11 are made of: ``(N, C, H, W)`` in and out."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["C3", "PSA", "SPPF", "Bottleneck", "C2f", "Conv"]


class Conv(nn.Module):
    """Convolution, batch norm and activation, padded to keep the size at stride 1."""

    def __init__(
        self,
        c: int,
        out: int,
        k: int = 1,
        s: int = 1,
        *,
        groups: int = 1,
        act: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, out, k, s, (k - 1) // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3)
        self.act = act or nn.SiLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(
        self, c: int, *, hidden: int | None = None, k: tuple[int, int] = (1, 3), add: bool = True
    ) -> None:
        super().__init__()
        hidden = hidden or c
        self.cv1, self.cv2, self.add = Conv(c, hidden, k[0]), Conv(hidden, c, k[1]), add

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


class C3(nn.Module):
    """The cross-stage block of v5: bottlenecks beside a shortcut."""

    def __init__(
        self, c: int, out: int, n: int, *, add: bool = True, k: tuple[int, int] = (1, 3)
    ) -> None:
        super().__init__()
        half = out // 2
        self.cv1, self.cv2, self.cv3 = Conv(c, half), Conv(c, half), Conv(2 * half, out)
        self.m = nn.Sequential(*(Bottleneck(half, add=add, k=k) for _ in range(n)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class C2f(nn.Module):
    """The block of v8, and with C3 inside that of v11: every bottleneck's output is kept."""

    def __init__(self, c: int, out: int, n: int, *, add: bool = True, c3: bool = False) -> None:
        super().__init__()
        self.half = out // 2
        self.cv1, self.cv2 = Conv(c, 2 * self.half), Conv((2 + n) * self.half, out)
        block = (
            (lambda: C3(self.half, self.half, 2, add=add, k=(3, 3)))
            if c3
            else (lambda: Bottleneck(self.half, add=add, k=(3, 3)))
        )
        self.m = nn.ModuleList(block() for _ in range(n))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = list(self.cv1(x).chunk(2, 1))
        y.extend(m(y[-1]) for m in self.m)
        return self.cv2(torch.cat(y, 1))


class SPPF(nn.Module):
    """Pooling over 5, 9 and 13 pixels as three poolings in a row."""

    def __init__(self, c: int, out: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(c, c // 2), Conv(2 * c, out)
        self.m = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = [self.cv1(x)]
        y.extend(self.m(y[-1]) for _ in range(3))
        return self.cv2(torch.cat(y, 1))


class PSA(nn.Module):
    """v11's attention over positions, with a depthwise convolution of the values."""

    def __init__(self, c: int) -> None:
        super().__init__()
        half = c // 2
        self.heads = max(half // 64, 1)
        self.head = half // self.heads
        self.key = self.head // 2
        self.scale = self.key**-0.5
        none = nn.Identity()
        self.cv1, self.cv2 = Conv(c, 2 * half), Conv(2 * half, c)
        self.qkv = Conv(half, half + 2 * self.key * self.heads, act=none)
        self.proj = Conv(half, half, act=none)
        self.pe = Conv(half, half, 3, groups=half, act=none)
        self.ffn = nn.Sequential(Conv(half, 2 * half), Conv(2 * half, half, act=none))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        qkv = self.qkv(x).view(n, self.heads, 2 * self.key + self.head, h * w)
        q, k, v = qkv.split([self.key, self.key, self.head], dim=2)
        weights = (q.transpose(-2, -1) @ k * self.scale).softmax(dim=-1)
        y = (v @ weights.transpose(-2, -1)).view(n, c, h, w) + self.pe(v.reshape(n, c, h, w))
        return self.proj(y)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.cv1(x).chunk(2, 1)
        b = b + self.attend(b)
        return self.cv2(torch.cat((a, b + self.ffn(b)), 1))
