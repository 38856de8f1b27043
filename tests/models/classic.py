"""Hand-written nets of forms that the libraries' models lack: kernels, samples, graphs, points."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import rnn

from tests.models.row import Input, Row, ids, image, normal

__all__ = ["SMALL"]


class Modulated(nn.Module):
    """StyleGAN2's convolution: the style scales a kernel for each image, which is normed again."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(1, 12, 8, 3, 3))
        self.style = nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 8))
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.register_buffer("blur", (taps[:, None] * taps / 16).repeat(12, 1, 1, 1))

    def forward(self, x: torch.Tensor, z: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = x.shape
        style = self.style(z * torch.rsqrt(z.pow(2).mean(1, keepdim=True) + 1e-8))
        kernel = self.kernel * style.view(count, 1, channels, 1, 1)
        kernel = kernel * torch.rsqrt(kernel.pow(2).sum((2, 3, 4), keepdim=True) + 1e-8)
        images = x.reshape(1, count * channels, height, width)
        y = F.conv2d(images, kernel.flatten(0, 1), padding=1, groups=count)
        y = F.leaky_relu(y.view(count, 12, height, width) + 0.3 * noise, 0.2) * 2**0.5
        spread = F.pad(y.view(count, 12, height, 1, width, 1), [0, 1, 0, 0, 0, 1])
        spread = F.pad(spread.reshape(count, 12, height * 2, width * 2), [2, 1, 2, 1])
        return F.conv2d(spread, self.blur, groups=12)


class Transformer2D(nn.Module):
    """A spatial transformer: an affine map found in the image, and the image sampled by it."""

    def __init__(self) -> None:
        super().__init__()
        pooled = [nn.Conv2d(1, 4, 7), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(16, 6)]
        self.locate = nn.Sequential(*pooled)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        theta = self.locate(x).view(-1, 2, 3) * 0.3 + torch.eye(2, 3)
        grid = F.affine_grid(theta, x.size(), align_corners=False)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


class FlowNet(nn.Module):
    """FlowNetC and PWC-Net: correlation with what is near, a flow, and the image warped by it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 5, 2, 2), nn.LeakyReLU(0.1), nn.Conv2d(8, 8, 3, 2, 1)
        )
        self.flow = nn.Conv2d(25, 2, 3, padding=1)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = self.features(a), self.features(b)
        height, width = a.shape[2:]
        around = F.pad(b, (2, 2, 2, 2))
        near = [
            (a * around[:, :, i : i + height, j : j + width]).mean(1)
            for i in range(5)
            for j in range(5)
        ]
        flow = self.flow(F.leaky_relu(torch.stack(near, 1), 0.1))
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        at = torch.stack([columns, rows]).float() + flow
        x, y = (2 * at[:, i] / max(n - 1, 1) - 1 for i, n in enumerate((width, height)))
        return flow, F.grid_sample(b, torch.stack([x, y], -1), align_corners=True)


class GraphAttention(nn.Module):
    """A layer of GAT: a softmax over each node's edges, by scatters."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 8)
        self.attention = nn.Parameter(torch.randn(2, 8) / 2)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        h, n = self.linear(x), x.size(0)
        source, target = edges
        score = (h[source] * self.attention[0] + h[target] * self.attention[1]).sum(-1)
        score = F.leaky_relu(score, 0.2)
        most = torch.full((n,), -math.inf).scatter_reduce(0, target, score, "amax")
        weight = (score - most[target]).exp()
        total = torch.zeros(n).index_add(0, target, weight)
        weight = weight / (total[target] + 1e-16)
        messages = h[source] * weight.unsqueeze(-1)
        return F.elu(torch.zeros_like(h).index_add_(0, target, messages))


class CenterNet(nn.Module):
    """Objects as points: peaks of a heatmap by max pooling, the best of each class, then of all."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1)
        )
        self.enlarge = nn.ConvTranspose2d(16, 16, 4, 2, 1, bias=False)
        self.heat, self.size = nn.Conv2d(16, 3, 1), nn.Conv2d(16, 2, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.enlarge(self.features(x))
        heat = self.heat(x).sigmoid()
        heat = heat * (F.max_pool2d(heat, 3, 1, 1) == heat)
        count, _, height, width = heat.shape
        scores, places = heat.flatten(2).topk(8)
        scores, best = scores.flatten(1).topk(8)
        places = places.flatten(1).gather(1, best)
        sizes = self.size(x).permute(0, 2, 3, 1).reshape(count, height * width, 2)
        sizes = sizes.gather(1, places.unsqueeze(2).expand(-1, -1, 2))
        centres = torch.stack([places % width, places // width], -1).float()
        return torch.cat([centres - sizes / 2, centres + sizes / 2], -1), scores, best // 8


class Conformer(nn.Module):
    """Relative attention with Transformer-XL's shift, and a gated depthwise convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.qkv, self.place = nn.Linear(16, 48), nn.Linear(16, 16, bias=False)
        self.biases = nn.Parameter(torch.randn(2, 4, 1, 4))
        self.gate = nn.Conv1d(16, 32, 1)
        self.depthwise = nn.Conv1d(16, 16, 7, padding=3, groups=16)
        self.batch_norm, self.out = nn.BatchNorm1d(16), nn.Conv1d(16, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count, length, width = x.shape
        parts = self.qkv(self.norm(x)).view(count, length, 3, 4, 4).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        distance = torch.arange(length - 1, -length, -1.0)
        angle = distance[:, None] * torch.exp(torch.arange(0, 16, 2) * (-math.log(1e4) / 16))
        places = self.place(torch.cat([angle.sin(), angle.cos()], -1))
        places = places.view(2 * length - 1, 4, 4).transpose(0, 1)
        by_place = (query + self.biases[0]) @ places.transpose(1, 2)
        shifted = F.pad(by_place, (1, 0)).view(count, 4, 2 * length, length)
        by_place = shifted[:, :, 1:].reshape(by_place.shape)[..., :length]
        scores = ((query + self.biases[1]) @ key.transpose(2, 3) + by_place) / 2
        x = x + (scores.softmax(-1) @ value).transpose(1, 2).reshape(count, length, width)
        gated = self.depthwise(F.glu(self.gate(x.transpose(1, 2)), 1))
        return x + self.out(F.silu(self.batch_norm(gated))).transpose(1, 2)


class Classifier(nn.Module):
    """Sentences of given lengths: packed, an LSTM both ways, attention over its states."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm = nn.Embedding(99, 8), nn.LSTM(8, 6, 2, bidirectional=True)
        self.attention, self.out = nn.Linear(12, 1), nn.Linear(24, 3)

    def forward(self, words: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = rnn.pack_padded_sequence(self.words(words), lengths, enforce_sorted=False)
        packed, (last, _) = self.lstm(packed)
        states, lengths = rnn.pad_packed_sequence(packed)
        inside = torch.arange(states.shape[0])[:, None] < lengths
        scores = self.attention(states).squeeze(-1).masked_fill(~inside, -math.inf).softmax(0)
        pooled = torch.einsum("tn,tnc->nc", scores, states)
        return self.out(torch.cat([pooled, last[-2], last[-1]], -1))


def _lengths(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.randint(1, 6, shape, generator=generator)


class Experts(nn.Module):
    """A mixture of experts as models write it out: each expert's words by ``where``."""

    def __init__(self) -> None:
        super().__init__()
        self.route = nn.Linear(8, 3)
        experts = [nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 8)) for _ in range(3)]
        self.experts = nn.ModuleList(experts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        words = x.flatten(0, 1)
        weights, chosen = self.route(words).softmax(-1).topk(2)
        out, masks = torch.zeros_like(words), F.one_hot(chosen, 3).permute(2, 1, 0)
        for mask, expert in zip(masks, self.experts, strict=True):
            which, word = torch.where(mask)
            out.index_add_(0, word, expert(words[word]) * weights[word, which, None])
        return out.view(x.shape)


SMALL: dict[str, Row] = {
    "stylegan": Row(
        make=Modulated, inputs=(normal("batch", 8, 8, 8), normal("batch", 16), normal(8, 8))
    ),
    "spatial_transformer": Row(
        make=Transformer2D, inputs=(image("8*height", "8*width", channels=1),)
    ),
    "flownet": Row(make=FlowNet, inputs=(image("16*height", "16*width"),) * 2),
    "graph_attention": Row(
        make=GraphAttention,
        inputs=(normal("8*length", 4), ids(2, "4*past", below=8, least=0)),
        sizes={"length": (2, 3, 1)},
    ),
    "centernet": Row(make=CenterNet, inputs=(image("16*height", "16*width"),)),
    "conformer": Row(
        make=Conformer, inputs=(normal("batch", "length", 16),), ranges={"length": (2, 40)}
    ),
    "packed_lstm": Row(
        make=Classifier,
        inputs=(ids("length", "batch"), Input(shape=("batch",), draw=_lengths)),
    ),
    "experts": Row(make=Experts, inputs=(normal("batch", "length", 8),)),
}
"""Narrow nets, by name."""
