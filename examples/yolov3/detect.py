"""YOLOv3 end to end: an image of any size in, boxes in its own pixels out, one engine between.

python examples/yolov3/detect.py                                   # learns shapes, and finds them
python examples/yolov3/detect.py dog.jpg --weights yolov3.weights  # the published net, of COCO

The second reads https://pjreddie.com/media/files/yolov3.weights. The detector is one TensorRT
engine, from the image to what suppression leaves of the boxes; without TensorRT, the reference.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from net import Detector, YOLOv3, read_weights
from shapes import NAMES, scene, train
from torch import nn
from torchvision.ops import box_iou

import trtdsl

Detections = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def letterbox(image: torch.Tensor, size: int) -> tuple[torch.Tensor, float, tuple[int, int]]:
    """``(3, H, W)`` to ``(1, 3, size, size)`` on grey; the scale, and the margins (left, top)."""
    h, w = image.shape[1:]
    scale = size / max(h, w)
    inner = (max(round(h * scale), 1), max(round(w * scale), 1))
    scaled = F.interpolate(image[None], inner, mode="bilinear", antialias=scale < 1)
    top, left = ((size - n) // 2 for n in inner)
    margins = (left, size - inner[1] - left, top, size - inner[0] - top)
    return F.pad(scaled, margins, value=0.5), scale, (left, top)


def detect(
    detector: trtdsl.Engine | trtdsl.Reference | nn.Module, image: torch.Tensor, size: int
) -> Detections:
    """Boxes ``(n, 4)`` in the image's pixels, scores ``(n,)`` and labels ``(n,)``, on the CPU."""
    x, scale, (left, top) = letterbox(image, size)
    found = detector(x.cuda() if isinstance(detector, trtdsl.Engine) else x)
    boxes, scores, labels = (y.detach().cpu() for y in found)
    boxes = (boxes - torch.tensor([left, top, left, top])) / scale
    h, w = image.shape[1:]
    return boxes.clamp(torch.zeros(4), torch.tensor([w, h, w, h])), scores, labels


def convert(model: Detector, precision: str | None) -> trtdsl.Engine | trtdsl.Reference:
    size = model.net.size
    return trtdsl.convert(model.eval(), (torch.rand(1, 3, size, size),), precision=precision)


def photo(path: Path, weights: Path, precision: str | None) -> None:
    """Detect what the published net knows in a photo."""
    from PIL import Image
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    categories = FasterRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"]
    names = [name for name in categories if name not in ("__background__", "N/A")]
    net = YOLOv3()
    read_weights(net, weights)
    pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB")))
    found = detect(convert(Detector(net), precision), pixels.permute(2, 0, 1) / 255, net.size)
    for box, score, label in zip(*found, strict=True):
        corners = ", ".join(f"{x:.0f}" for x in box.tolist())
        print(f"{names[int(label)]}: {score:.0%} at ({corners})")


def shapes(precision: str | None, steps: int) -> None:
    """Teach a narrow net shapes, and count what it finds in images of another size."""
    torch.manual_seed(0)
    net = YOLOv3(classes=len(NAMES), size=96, width=8, blocks=(1, 1, 1, 1, 1))
    train(net, steps=steps)
    model = Detector(net, score=0.3).eval()
    detector = convert(model, precision)
    generator = torch.Generator().manual_seed(1)
    right = drawn = given = agreed = 0
    for _ in range(50):
        small, corners, classes = scene(96, generator)
        image = F.interpolate(small[None], (144, 144))[0]
        boxes, _, labels = detect(detector, image, net.size)
        hit = (box_iou(corners * 1.5, boxes) > 0.5) & (classes[:, None] == labels)
        right, drawn = right + int(hit.any(1).sum()), drawn + len(classes)
        expected, _, same = detect(model, image, net.size)
        given += max(len(labels), len(same))
        alike = (box_iou(expected, boxes) > 0.9) & (same[:, None] == labels)
        agreed += int(alike.any(1).sum())
    print(f"{type(detector).__name__}: {right} of {drawn} shapes found")
    print(f"{agreed} of {given} detections are PyTorch's")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--weights", type=Path, default=Path("yolov3.weights"))
    parser.add_argument("--precision", choices=("fp32", "fp16", "bf16"))
    parser.add_argument("--steps", type=int, default=450, help="of learning shapes")
    given = parser.parse_args()
    if given.image is None:
        shapes(given.precision, given.steps)
    else:
        photo(given.image, given.weights, given.precision)


if __name__ == "__main__":
    main()
