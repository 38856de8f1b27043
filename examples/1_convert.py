"""The main job: train on handwritten digits, convert, and run the result on unseen scans."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import trtdsl


def network() -> nn.Sequential:
    """``(N, 1, 8, 8)`` scans to ``(N, 10)`` scores."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 4 * 4, 10)),
    )


def train(model: nn.Module, scans: torch.Tensor, digits: torch.Tensor) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(15):
        for batch in torch.randperm(len(scans)).split(64):
            loss = nn.functional.cross_entropy(model(scans[batch]), digits[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def run(converted: trtdsl.Engine | trtdsl.Reference, x: torch.Tensor) -> torch.Tensor:
    """An engine takes numpy arrays or CUDA tensors; the reference, which needs no GPU, tensors."""
    is_engine = isinstance(converted, trtdsl.Engine)
    return torch.from_numpy(converted(x.numpy())) if is_engine else converted(x)


def main() -> None:
    torch.manual_seed(0)
    scans, digits = (torch.tensor(a) for a in load_digits(return_X_y=True))
    scans = scans.float().reshape(-1, 1, 8, 8) / 16
    parts = train_test_split(scans, digits, stratify=digits, random_state=0)  # 75 % and 25 %
    model = network()
    train(model, parts[0], parts[2])
    test_scans, test_digits = parts[1], parts[3]

    model.eval()
    shapes = {"input": {0: torch.export.Dim("batch", min=1, max=512)}}
    print(trtdsl.trace(model, (test_scans[:64],), dynamic_shapes=shapes), "\n")
    converted = trtdsl.convert(model, (test_scans[:64],), dynamic_shapes=shapes)

    expected = model(test_scans).detach()
    scores = torch.cat([run(converted, x) for x in test_scans.split(64)])
    print(f"{type(converted).__name__}: {len(test_scans)} scans that were not trained on")
    for name, y in (("PyTorch", expected), ("converted", scores)):
        print(f"accuracy of {name}: {(y.argmax(1) == test_digits).float().mean():.2%}")
    print(f"largest difference: {(scores - expected).abs().max():.1e}")
    print(f"same digit: {(scores.argmax(1) == expected.argmax(1)).float().mean():.2%}")


if __name__ == "__main__":
    main()
