"""Models with Fourier transforms: at several lengths, in half precision, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests.cases.base import f32
from tests.test_ir import assert_close


class Whisper(nn.Module):
    """Whisper's logarithmic mel spectrogram, and the first layer of its encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(400))
        self.register_buffer("filters", f32(20, 201, low=0.0))
        self.conv = nn.Conv1d(20, 8, 3, padding=1)

    def forward(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = torch.stft(audio, 400, 160, window=self.window, return_complex=True)
        mel = self.filters @ z[..., :-1].abs() ** 2
        decibels = mel.clamp(min=1e-10).log10()
        decibels = torch.maximum(decibels, decibels.max() - 8.0)
        features = (decibels + 4.0) / 4.0
        return features, self.conv(features[None])


class FNet(nn.Module):
    """A block of FNet: tokens mixed by a Fourier transform over positions and features."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(24)
        self.feed = nn.Sequential(nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 24))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x + torch.fft.fftn(x, dim=(1, 2)).real)
        return x + self.feed(x)


class FourierOperator(nn.Module):
    """A layer of a Fourier neural operator: complex weights on the lowest frequencies."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.view_as_complex(f32(4, 5, 3, 2)))
        self.skip = nn.Conv1d(4, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft(x)
        low = torch.einsum("bik,iok->bok", spectrum[..., :3], self.weight)
        out = torch.zeros(x.shape[0], 5, spectrum.shape[-1], dtype=torch.complex64)
        out[..., :3] = low
        return torch.fft.irfft(out, n=x.shape[-1]) + self.skip(x)


def test_a_whisper_front_end_at_every_length() -> None:
    torch.manual_seed(0)
    model = Whisper().eval()
    shapes = {"audio": {0: Dim("samples", min=800, max=32000)}}
    network = trtdsl.trace(model, (f32(4000, low=-1.0),), dynamic_shapes=shapes)
    for samples in (4000, 800, 9999):
        audio = f32(samples, low=-1.0)
        for ours, theirs in zip(network.evaluate(audio), model(audio), strict=True):
            assert_close(ours, theirs, 1e-4)


@pytest.mark.parametrize("model", [FNet, FourierOperator])
def test_a_model_at_several_batch_sizes(model: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module, sizes = model().eval(), (10, 24) if model is FNet else (4, 16)
    network = trtdsl.trace(
        module, (f32(2, *sizes),), dynamic_shapes={"x": {0: Dim("batch", min=1, max=8)}}
    )
    for batch in (2, 1, 5):
        x = f32(batch, *sizes)
        assert_close(network.evaluate(x), module(x), 1e-5)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_spectrum_stays_in_float32(precision: str) -> None:
    """A sum of a thousand ones has a square beyond float16."""

    class Power(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = torch.fft.rfft(x)
            return z.real * z.real + z.imag * z.imag

    x = torch.ones(2, 1000) + f32(2, 1000) * 1e-3
    network = trtdsl.trace(Power().eval(), (x,), precision=precision)
    assert_close(network.evaluate(x), Power()(x), 1e-5)


def test_transforms_by_the_names_of_their_arguments() -> None:
    """As torchaudio calls them; without padding there is no way to pad."""

    class There(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            window = torch.hann_window(32)
            given = {"n_fft": 32, "hop_length": 8, "window": window, "return_complex": True}
            bare = torch.stft(input=x, **given, center=False, pad_mode=None)
            back = torch.istft(input=torch.stft(x, **given), n_fft=32, hop_length=8, window=window)
            return torch.cat([bare.abs().flatten(1), back], 1)

    x = f32(2, 128)
    assert_close(trtdsl.trace(There().eval(), (x,)).evaluate(x), There()(x), 1e-5)


def test_a_length_that_is_not_static_is_refused() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.rfft(x).abs()

    shapes = {"x": {1: Dim("length", min=2, max=64)}}
    with pytest.raises(trtdsl.ConversionError, match=r"not static(.|\n)*fix: .*dynamic_shapes"):
        trtdsl.trace(Spectrum().eval(), (f32(2, 8),), dynamic_shapes=shapes)


def test_windows_with_a_gap_are_refused() -> None:
    class Inverse(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            window = torch.zeros(16)
            return torch.istft(torch.view_as_complex(x), 16, 16, window=window, center=False)

    with pytest.raises(trtdsl.ConversionError, match=r"add up to 0(.|\n)*fix:"):
        trtdsl.trace(Inverse().eval(), (f32(9, 4, 2),))
