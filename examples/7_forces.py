"""Forces of a learned potential: the gradient that a forward takes is a part of the network."""

from __future__ import annotations

import torch
from torch import nn

import trtdsl


class Potential(nn.Module):
    """Places ``(atoms, 3)`` to an energy, of distances alone, and the forces on the atoms."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(0.5, 4, 16))
        self.pair = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 1))

    def energy(self, places: torch.Tensor) -> torch.Tensor:
        apart = places[:, None] - places
        itself = torch.eye(places.shape[0])
        distance = (apart.square().sum(-1) + itself).sqrt()
        shells = torch.exp(-((distance[..., None] - self.centres) ** 2))
        return (self.pair(shells)[..., 0] * (1 - itself)).sum() / 2

    def forward(self, places: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.enable_grad():
            places = places.detach().requires_grad_()
            energy = self.energy(places)
            (slope,) = torch.autograd.grad(energy, places)
        return {"energy": energy, "forces": -slope}


def main() -> None:
    torch.manual_seed(0)
    model = Potential().eval()
    atoms = torch.export.Dim("atoms", min=2, max=64)
    converted = trtdsl.convert(
        model,
        (torch.randn(8, 3),),
        dynamic_shapes={"places": {0: atoms}},
        backend="reference",
    )
    for count in (2, 8, 50):
        places = torch.randn(count, 3)
        got, expected = converted(places), model(places)
        error = (got["forces"] - expected["forces"]).abs().max()
        total = got["forces"].sum(0).abs().max()
        print(f"{count} atoms: largest difference {error:.1e}, forces add up to {total:.1e}")


if __name__ == "__main__":
    main()
