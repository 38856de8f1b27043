"""Sizes that vary: batch and length are torch.export's own Dims; what does not fit is refused."""

from __future__ import annotations

import torch
from torch import nn

import trtdsl


class Tagger(nn.Module):
    """``(batch, length, 8)`` features to ``(batch, length, 4)`` tags, and their mean by length."""

    def __init__(self) -> None:
        super().__init__()
        self.tag = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        tags = self.tag(x).relu()
        return {"tags": tags, "mean": tags.mean(1)}


def main() -> None:
    torch.manual_seed(0)
    model = Tagger().eval()
    batch = torch.export.Dim("batch", min=1, max=16)
    length = torch.export.Dim("length", min=1, max=128)
    converted = trtdsl.convert(
        model,
        (torch.randn(2, 32, 8),),
        dynamic_shapes={"x": {0: batch, 1: length}},
        opt={"batch": 8},  # what TensorRT tunes for; else the example's size
        backend="reference",
    )
    for shape in ((1, 1, 8), (3, 50, 8), (16, 128, 8)):
        x = torch.randn(shape)
        got, expected = converted(x), model(x)
        error = max((got[key] - expected[key]).abs().max() for key in expected)
        print(f"{shape}: tags {tuple(got['tags'].shape)}, largest difference {error:.1e}")
    try:
        converted(torch.randn(17, 4, 8))
    except trtdsl.RunError as error:
        print(f"\nRunError: {error}")


if __name__ == "__main__":
    main()
