"""Detectors' post-processing as users write it: thresholds, masks, NMS and regions, to the end."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests import standin
from tests.cases.base import f32, i64
from tests.cases.ir.nms import boxes
from tests.models import vision_operators
from tests.test_ir import assert_close
from tests.test_lowering import lowered
from trtdsl.ir.nms import NMS
from trtdsl.plugins.suppression import Suppression
from trtdsl.types import DimRange

assert vision_operators.SCHEMAS, "torchvision can be imported once its operators are declared"
pytestmark = [
    pytest.mark.usefixtures("box_ops"),
    pytest.mark.filterwarnings("ignore:`create_unbacked_symint`:FutureWarning"),
]


@pytest.fixture
def box_ops(monkeypatch: pytest.MonkeyPatch) -> Any:
    """torchvision's functions, with the operators declared here instead of its own library's."""
    pytest.importorskip("torchvision")
    module = importlib.import_module("torchvision.ops.boxes")
    if vision_operators.LIBRARY is not None:
        monkeypatch.setattr(module, "_assert_has_ops", lambda: None)
    return module


class SingleShot(nn.Module):
    """The post-processing of SSD and RetinaNet: decode, threshold, best 200, NMS, best 20."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("anchors", boxes(96) * 20)
        self.eval()

    def forward(self, deltas: torch.Tensor, logits: torch.Tensor) -> dict[str, torch.Tensor]:
        ops = importlib.import_module("torchvision.ops.boxes")
        sides = self.anchors[:, 2:] - self.anchors[:, :2]
        centres = self.anchors[:, :2] + sides / 2 + deltas[:, :2] * sides / 10
        sides = sides * (deltas[:, 2:] / 5).exp()
        decoded = torch.cat([centres - sides / 2, centres + sides / 2], 1)
        decoded = ops.clip_boxes_to_image(decoded, (64, 64))
        scores, flat = logits.softmax(-1)[:, 1:].flatten().topk(200)
        classes = logits.shape[1] - 1
        labels = flat % classes + 1
        chosen = scores > 0.3
        picked, scores, labels = decoded[flat // classes][chosen], scores[chosen], labels[chosen]
        keep = ops.batched_nms(picked, scores, labels, 0.4)[:20]
        return {"boxes": picked[keep], "scores": scores[keep], "labels": labels[keep]}


def predictions(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return f32(96, 4, seed=seed), f32(96, 4, seed=seed) * 2


def test_a_single_shot_detector_is_the_same_to_the_end() -> None:
    network = trtdsl.trace(SingleShot(), predictions(0))
    counts = set()
    for seed in range(6):
        inputs = predictions(seed)
        expected, answer = SingleShot()(*inputs), network.evaluate(*inputs)
        counts.add(len(expected["boxes"]))
        for name, value in expected.items():
            assert_close(answer[name], value, 1e-5)
    assert max(counts) <= 20
    for version in standin.VERSIONS:
        assert lowered(network, version).created


class Backbone(nn.Sequential):
    """Two maps of 8 channels, of an eighth and of a sixteenth of the image."""

    out_channels = 8

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 8, stride=8), nn.Conv2d(8, 8, 2, stride=2))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        fine = self[0](x).relu()
        return {"0": fine, "1": self[1](fine).relu()}


class OneImage(nn.Module):
    """torchvision's own RetinaNet, its resizing and post-processing included, of one image."""

    def __init__(self) -> None:
        super().__init__()
        detection = importlib.import_module("torchvision.models.detection")
        anchors = detection.anchor_utils.AnchorGenerator(((8,), (16,)), ((0.5, 1.0, 2.0),) * 2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.model = detection.RetinaNet(
                Backbone(), 4, anchor_generator=anchors, min_size=64, max_size=64,
                score_thresh=0.95, topk_candidates=40, detections_per_img=25,
            )  # fmt: skip
            for layer in self.model.modules():
                if isinstance(layer, nn.Conv2d):  # its own weights find nothing at all
                    nn.init.kaiming_normal_(layer.weight)
                    nn.init.zeros_(layer.bias)
        self.eval()

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        answer: dict[str, torch.Tensor] = self.model([image])[0]
        return answer


def test_retinanet_of_torchvision_is_the_same_to_the_end() -> None:
    model = OneImage()
    network = trtdsl.trace(model, (f32(3, 80, 96, low=0),))
    counts = []
    for seed, scale in ((0, 1.0), (1, 0.6), (2, 1.5), (3, 0.0)):
        image = f32(3, 80, 96, seed=seed, low=0) * scale
        expected, answer = model(image), network.evaluate(image)
        counts.append(len(expected["boxes"]))
        for name, value in expected.items():
            assert_close(answer[name], value, 1e-4)
    assert len(set(counts)) > 1
    assert max(counts) > 5


class Filters(nn.Module):
    def __init__(self, most: int | None) -> None:
        super().__init__()
        self.most = most
        self.eval()

    def forward(self, corners: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        chosen = (scores > 0.5).nonzero().squeeze(1)
        if self.most is not None:
            torch._check(chosen.shape[0] <= self.most)
        keep = torch.ops.torchvision.nms(corners[chosen], scores[chosen], 0.5)
        return corners[chosen[keep]]


def test_more_boxes_than_tensorrt_considers_take_a_plugin() -> None:
    inputs = boxes(6000), f32(6000, low=0.0).round(decimals=3)
    network = trtdsl.trace(Filters(None), inputs)
    assert [type(op.layer) for op in network.operations].count(Suppression) == 1
    expected = Filters(None)(*inputs)
    assert len(expected) > 500
    assert torch.equal(network.evaluate(*inputs), expected)
    assert lowered(network, "10.16.1.11").created


def test_a_promise_of_fewer_boxes_takes_tensorrt_s_own_layer() -> None:
    inputs = boxes(6000), torch.cat([f32(300, low=0), torch.zeros(5700)])
    network = trtdsl.trace(Filters(400), inputs)
    assert [type(op.layer) for op in network.operations].count(NMS) == 1
    assert set(network.symbols.values()) == {DimRange(min=0, opt=400, max=400)}
    assert_close(network.evaluate(*inputs), Filters(400)(*inputs), 1e-6)


class TwoStage(nn.Module):
    """Proposals, then a head on the regions of those that stay."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 2 * 2, 5)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.head.reset_parameters()
        self.eval()

    def forward(self, features: torch.Tensor, corners: torch.Tensor, scores: torch.Tensor) -> Any:
        keep = torch.ops.torchvision.nms(corners, scores, 0.3)
        kept = corners[keep]
        rois = torch.cat([kept.new_zeros(kept.shape[0], 1), kept], 1)
        pooled = torch.ops.torchvision.roi_align(features, rois, 0.5, 2, 2, 2, False)
        return kept, self.head(pooled.flatten(1)).softmax(-1)


def two_stage_inputs(count: int) -> tuple[torch.Tensor, ...]:
    return f32(1, 3, 6, 7), boxes(count, seed=count) * 3, f32(count)


def test_a_two_stage_detector_pools_the_regions_that_stay() -> None:
    n = Dim("n", min=1, max=64)
    inputs = two_stage_inputs(20)
    shapes = {"features": None, "corners": {0: n}, "scores": {0: n}}
    network = trtdsl.trace(TwoStage(), inputs, dynamic_shapes=shapes)
    for count in (20, 1, 47):
        inputs = two_stage_inputs(count)
        for ours, theirs in zip(network.evaluate(*inputs), TwoStage()(*inputs), strict=True):
            assert_close(ours, theirs, 1e-5)


def test_boxes_keep_float32_in_fp16() -> None:
    network = trtdsl.trace(TwoStage(), (f32(1, 3, 6, 7), boxes(20) * 3, f32(20)), precision="fp16")
    (found,) = [op for op in network.operations if op.layer.kind == "nms"]
    assert {x.dtype for x in found.inputs} == {trtdsl.DType.FLOAT32}


def test_classes_are_moved_apart_in_float32() -> None:
    """16 bits end at 65504, and a box of class 3 at 60,000 would be moved to 240,000."""
    model, size = Classes().eval(), 60_000.0
    inputs = boxes(40) / 3 * size, f32(40, seed=2), i64(40, low=0, high=4)
    network = trtdsl.trace(model, inputs, precision="fp16")
    expected = model(*inputs)
    assert len(expected) < 40
    assert torch.equal(network.evaluate(*inputs), expected)


class Classes(nn.Module):
    """Boxes behind a matrix product, which 16 bits are meant for."""

    def forward(
        self, corners: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        ops = importlib.import_module("torchvision.ops.boxes")
        same = (corners / 2**16) @ torch.eye(4) * 2**16
        kept: torch.Tensor = ops.batched_nms(same, scores, labels, 0.3)
        return kept


def test_box_functions(box_ops: Any) -> None:
    class Functions(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> Any:
            converted = box_ops.box_convert(a, "xyxy", "cxcywh")
            back = box_ops.box_convert(converted, "cxcywh", "xyxy")
            ious = [box_ops.box_iou(a, b), box_ops.generalized_box_iou(a, b)]
            ious += [box_ops.distance_box_iou(a, b), box_ops.complete_box_iou(a, b)]
            large = box_ops.remove_small_boxes(a, 0.5)
            return converted, back, box_ops.box_area(a), *ious, large, a[large]

    inputs = boxes(7), boxes(5, seed=3)
    network = trtdsl.trace(Functions().eval(), inputs)
    for ours, theirs in zip(network.evaluate(*inputs), Functions()(*inputs), strict=True):
        assert_close(ours, theirs, 1e-5)
