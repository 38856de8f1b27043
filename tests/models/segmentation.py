"""Segmentation, depth and other maps of an image's size."""

from __future__ import annotations

from typing import Any

from tests.models.hugging import transformer
from tests.models.row import Row, image, normal
from tests.models.vision import segmenter

VIT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 64,
    "patch_size": 16,
}
FOUR = ["stage1", "stage2", "stage3", "stage4"]
SWIN: dict[str, Any] = {
    "model_type": "swin",
    "image_size": 64,
    "embed_dim": 16,
    "depths": [1, 1, 1, 1],
    "num_heads": [2, 2, 2, 2],
    "window_size": 2,
    "out_features": FOUR,
}
SAM: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "mlp_dim": 64,
    "intermediate_size": 64,
    "image_size": 64,
    "patch_size": 8,
    "output_channels": 32,
    "window_size": 3,
    "global_attn_indexes": [1],
    "num_pos_feats": 16,
}


def _pixels(name: str, config: str, size: int = 64, **values: Any) -> Row:
    return Row(make=transformer(name, config, **values), inputs={"pixel_values": image(size)})


SMALL: dict[str, Row] = {
    "segformer": Row(
        make=transformer(
            "SegformerForSemanticSegmentation",
            "SegformerConfig",
            depths=[1, 1, 1, 1],
            hidden_sizes=[8, 16, 16, 32],
            decoder_hidden_size=32,
            num_attention_heads=[1, 2, 2, 4],
        ),
        inputs={"pixel_values": image("32*height", "32*width")},
    ),
    "upernet": _pixels(
        "UperNetForSemanticSegmentation",
        "UperNetConfig",
        128,
        backbone_config={
            "model_type": "convnext",
            "hidden_sizes": [8, 16, 24, 32],
            "depths": [1, 1, 1, 1],
            "out_features": FOUR,
        },
        hidden_size=16,
        auxiliary_in_channels=24,
        auxiliary_channels=16,
    ),
    "maskformer": _pixels(
        "MaskFormerForInstanceSegmentation",
        "MaskFormerConfig",
        backbone_config=SWIN,
        mask_feature_size=32,
        fpn_feature_size=32,
        decoder_config={
            "model_type": "detr",
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "num_queries": 5,
        },
    ),
    "mask2former": _pixels(
        "Mask2FormerForUniversalSegmentation",
        "Mask2FormerConfig",
        backbone_config=SWIN,
        hidden_dim=32,
        mask_feature_size=32,
        feature_size=32,
        encoder_layers=1,
        decoder_layers=3,
        num_attention_heads=2,
        dim_feedforward=32,
        encoder_feedforward_dim=32,
        num_queries=5,
    ),
    "dpt": _pixels(
        "DPTForDepthEstimation",
        "DPTConfig",
        **VIT,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 16, 32],
        fusion_hidden_size=16,
        is_hybrid=False,
    ),
    "depth_anything": _pixels(
        "DepthAnythingForDepthEstimation",
        "DepthAnythingConfig",
        backbone_config={
            "model_type": "dinov2",
            **{**VIT, "patch_size": 14, "image_size": 56},
            "out_indices": [1, 2, 3, 4],
            "apply_layernorm": True,
            "reshape_hidden_states": False,
        },
        size=56,
        neck_hidden_sizes=[8, 16, 16, 32],
        fusion_hidden_size=16,
        reassemble_hidden_size=32,
        head_hidden_size=8,
    ),
    "glpn": _pixels(
        "GLPNForDepthEstimation",
        "GLPNConfig",
        hidden_sizes=[8, 16, 16, 32],
        depths=[1, 1, 1, 1],
        decoder_hidden_size=16,
        num_attention_heads=[1, 2, 2, 4],
    ),
    "beit_segmentation": _pixels(
        "BeitForSemanticSegmentation",
        "BeitConfig",
        **VIT,
        out_indices=[0, 1, 2, 3],
        use_relative_position_bias=True,
    ),
    "mobilevit_segmentation": _pixels(
        "MobileViTForSemanticSegmentation", "MobileViTConfig", 128, image_size=128
    ),
    "vitmatte": Row(
        make=transformer(
            "VitMatteForImageMatting",
            "VitMatteConfig",
            backbone_config={
                "model_type": "vitdet",
                **VIT,
                "num_channels": 4,
                "out_features": ["stage4"],
                "window_block_indices": [0, 2],
                "window_size": 2,
            },
            hidden_size=32,
            fusion_hidden_sizes=[16, 8, 8, 4],
            convstream_hidden_sizes=[4, 8, 16],
        ),
        inputs={"pixel_values": image(64, channels=4)},
    ),
    "sam_encoder": _pixels("SamVisionModel", "SamVisionConfig", **SAM),
    "sam": Row(
        make=transformer(
            "SamModel",
            "SamConfig",
            vision_config=SAM,
            prompt_encoder_config={
                "hidden_size": 32,
                "image_size": 64,
                "patch_size": 8,
                "mask_input_channels": 4,
            },
            mask_decoder_config={
                "hidden_size": 32,
                "num_attention_heads": 2,
                "mlp_dim": 32,
                "iou_head_hidden_dim": 16,
                "num_hidden_layers": 2,
            },
        ),
        inputs={"pixel_values": image(64), "input_points": normal("batch", 1, 2, 2, scale=20.0)},
    ),
    "superpoint": Row(
        make=lambda: (
            transformer(
                "SuperPointForKeypointDetection",
                "SuperPointConfig",
                encoder_hidden_sizes=[8, 8, 8, 8],
                decoder_hidden_size=16,
                keypoint_decoder_dim=65,
                descriptor_decoder_dim=16,
            )().encoder
        ),
        inputs={"input": normal("batch", 1, 64, 64)},
    ),
    "deeplabv3": Row(
        make=segmenter("deeplabv3_mobilenet_v3_large"), inputs=(image("32*height", "32*width"),)
    ),
    "fcn": Row(make=segmenter("fcn_resnet50"), inputs=(image(64),)),
    "lraspp": Row(
        make=segmenter("lraspp_mobilenet_v3_large"), inputs=(image("32*height", "32*width"),)
    ),
}
"""Small configurations, by name."""


FEW = {"batch": (1, 2), "height": (7, 6), "width": (7, 8)}
REAL: dict[str, Row] = {
    "segformer": Row(
        make=transformer("SegformerForSemanticSegmentation", "SegformerConfig"),
        inputs={"pixel_values": image("32*height", "32*width")},
        sizes=FEW,
        measured=2,
    ),
    "sam_encoder": Row(
        make=transformer("SamVisionModel", "SamVisionConfig"),
        inputs={"pixel_values": image(1024)},
        sizes={"batch": (1,)},
    ),
    "deeplabv3": Row(
        make=segmenter("deeplabv3_resnet50"),
        inputs=(image("32*height", "32*width"),),
        sizes=FEW,
        measured=2,
    ),
    "fcn": Row(
        make=segmenter("fcn_resnet50"),
        inputs=(image("32*height", "32*width"),),
        sizes=FEW,
        measured=2,
    ),
}
"""Published nets, by name."""
