"""What is deployed: a model in float16, saved, loaded where the model is not, and run.

    python examples/6_save_load_run.py [FOLDER]

Writes m.engine, m.engine.json and x.npy to the folder; ``examples/cpp`` runs them from C++.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

import trtdsl


class Encoder(nn.Module):
    """Images ``(batch, 3, 32, 32)`` to vectors ``(batch, 16)`` of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.SiLU()),
            *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.GELU(), nn.AdaptiveAvgPool2d(1)),
        )
        self.last = nn.Linear(32, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.last(self.features(x).flatten(1)), dim=1)


def main(folder: Path) -> None:
    torch.manual_seed(0)
    model, x = Encoder().eval(), torch.randn(4, 3, 32, 32)
    expected = model(x).detach()
    batch = torch.export.Dim("batch", min=1, max=16)
    wanted = {"dynamic_shapes": {"x": {0: batch}}, "precision": "fp16"}

    # What float16 costs, on any machine: matrix products and convolutions are in it, sums are not.
    half = trtdsl.trace(model, (x,), **wanted)
    print(f"float16 by the reference: {(half.evaluate(x) - expected).abs().max():.1e} off")
    try:
        engine = trtdsl.convert(model, (x,), backend="tensorrt", **wanted)
    except trtdsl.UnavailableError as error:
        print(f"no engine: {error}")
        return

    path = folder / "m.engine"
    engine.save(path)  # TensorRT's own plan, and m.engine.json beside it
    np.save(folder / "x.npy", x.numpy())

    engine = trtdsl.load(path)  # from here on no model is needed
    print(engine)
    y = engine(x.cuda())  # torch: no copy, on torch's current stream
    z = engine(x[:3].numpy())  # numpy: copied by pycuda, or by torch
    into = engine.run_into(torch.empty(4, 16, device="cuda"), x.cuda())  # memory of one's own
    print(f"torch: {(y.cpu() - expected).abs().max():.1e} off")
    print(f"numpy: {np.abs(z - expected[:3].numpy()).max():.1e} off")
    print(f"given memory: {(into.cpu() - expected).abs().max():.1e} off")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
