"""Detectors: transformers' families of DETR, and torchvision's with their post-processing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from tests.models.hugging import transformer
from tests.models.row import Row, image, normal
from tests.models.two_stage import keypoint_rcnn, mask_rcnn
from tests.models.vision import detector

RESNET: dict[str, Any] = {
    "backbone_config": {
        "model_type": "resnet",
        "embedding_size": 8,
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
        "out_features": ["stage4"],
    },
    "use_timm_backbone": False,
    "use_pretrained_backbone": False,
    "backbone": None,
}
THREE = {
    **RESNET,
    "backbone_config": {
        **RESNET["backbone_config"],
        "out_features": ["stage2", "stage3", "stage4"],
    },
}
DETR: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_queries": 6,
}
RT: dict[str, Any] = {
    "backbone_config": {
        "model_type": "rt_detr_resnet",
        "embedding_size": 8,
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
        "out_features": ["stage2", "stage3", "stage4"],
    },
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [16, 24, 32],
    "encoder_ffn_dim": 64,
    "encoder_attention_heads": 4,
    "d_model": 32,
    "num_queries": 10,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 64,
    "decoder_attention_heads": 4,
    "decoder_layers": 2,
    "num_denoising": 0,
}


def _pixels(name: str, config: str, size: int = 64, **values: Any) -> Row:
    return Row(make=transformer(name, config, **values), inputs={"pixel_values": image(size)})


def _list(make: Callable[[], nn.Module], *images: tuple[int, int], **scales: float) -> Row:
    return Row(
        make=make,
        inputs=([normal(3, *size) for size in images],),
        scales=scales,
        static="torchvision's detectors take a list of images",
    )


def _boxes(name: str, size: int = 128, **scales: float) -> Row:
    return _list(detector(name, size), (size, size), **scales)


SMALL: dict[str, Row] = {
    "detr": _pixels("DetrForObjectDetection", "DetrConfig", **RESNET, **DETR),
    "conditional_detr": _pixels(
        "ConditionalDetrForObjectDetection", "ConditionalDetrConfig", **RESNET, **DETR
    ),
    "dab_detr": _pixels(
        "DabDetrForObjectDetection",
        "DabDetrConfig",
        **RESNET,
        **{("hidden_size" if k == "d_model" else k): v for k, v in DETR.items()},
    ),
    "table_transformer": _pixels(
        "TableTransformerForObjectDetection", "TableTransformerConfig", **RESNET, **DETR
    ),
    "deformable_detr": _pixels(
        "DeformableDetrForObjectDetection",
        "DeformableDetrConfig",
        **THREE,
        **DETR,
        num_feature_levels=3,
    ),
    "rt_detr": _pixels("RTDetrForObjectDetection", "RTDetrConfig", **RT),
    "rt_detr_v2": _pixels("RTDetrV2ForObjectDetection", "RTDetrV2Config", **RT),
    "d_fine": _pixels("DFineForObjectDetection", "DFineConfig", **RT),
    "yolos": _pixels(
        "YolosForObjectDetection",
        "YolosConfig",
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=[64, 64],
        patch_size=16,
        num_detection_tokens=5,
    ),
    "retinanet": _boxes("retinanet_resnet50_fpn"),
    "ssd": _boxes("ssd300_vgg16", head=0.01),  # nothing normalizes what it reads
    "ssdlite": _boxes("ssdlite320_mobilenet_v3_large"),
    "fcos": _boxes("fcos_resnet50_fpn"),
    "faster_rcnn": _boxes("fasterrcnn_mobilenet_v3_large_320_fpn"),
    "mask_rcnn": _list(mask_rcnn(96), (96, 80)),
    "keypoint_rcnn": _list(keypoint_rcnn(96), (64, 96)),
}
"""Small configurations, by name."""


FEW = {"batch": (1, 2)}
REAL: dict[str, Row] = {
    "detr": Row(
        make=transformer(
            "DetrForObjectDetection",
            "DetrConfig",
            **{
                **RESNET,
                "backbone_config": {"model_type": "resnet", "out_features": ["stage4"]},
            },
        ),
        inputs={"pixel_values": image(320)},
        sizes=FEW,
        measured=2,
    ),
    "rt_detr": Row(
        make=transformer("RTDetrForObjectDetection", "RTDetrConfig"),
        inputs={"pixel_values": image(320)},
        sizes=FEW,
        measured=2,
        tolerance=3e-4,  # PyTorch's own float32 is 2e-4 from its float64
    ),
    "retinanet": _boxes("retinanet_resnet50_fpn", 320),
    "ssd": _boxes("ssd300_vgg16", 300, head=0.01),
    "faster_rcnn": _boxes("fasterrcnn_resnet50_fpn", 320),
    "mask_rcnn": _boxes("maskrcnn_resnet50_fpn", 320, **{"roi_heads.mask_predictor": 0.1}),
    "keypoint_rcnn": _boxes("keypointrcnn_resnet50_fpn", 320),
}
"""Published nets, at smaller images."""
