"""Image encoders of transformers, and models of images and text together."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tests.models.hugging import transformer
from tests.models.row import Input, Row, ids, image, mask, normal

PIXELS = {"pixel_values": image(32)}
BODY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
PATCHES = {**BODY, "image_size": 32, "patch_size": 8}
WORDS = {
    **BODY,
    "vocab_size": 99,
    "max_position_embeddings": 80,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
GROUPS = {"num_key_value_heads": 2, "head_dim": 8}
BOTH = {
    "input_ids": ids("texts", "length"),
    "pixel_values": image(32),
    "attention_mask": mask("texts", "length"),
}


def _pixels(name: str, config: str, size: int = 32, **values: Any) -> Row:
    return Row(make=transformer(name, config, **values), inputs={"pixel_values": image(size)})


class Resized(nn.Module):
    """SigLIP 2 for images of sizes that are known: what position embeddings are resized to."""

    def __init__(self) -> None:
        super().__init__()
        make = transformer("Siglip2VisionModel", "Siglip2VisionConfig", **PATCHES, num_patches=16)
        self.model = make()
        self.register_buffer("sizes", torch.tensor([[4, 4], [2, 8]]), persistent=False)

    def forward(self, patches: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        given = self.model(
            pixel_values=patches, pixel_attention_mask=seen, spatial_shapes=self.sizes
        )
        return given.last_hidden_state


class Tower(nn.Module):
    """Qwen's vision tower for images of sizes that are known: two of 4 by 4 patches, one of 2."""

    def __init__(self, name: str, config: str) -> None:
        super().__init__()
        sizes = {**BODY, "num_heads": 4, "depth": 2, "patch_size": 8, "out_hidden_size": 32}
        self.model = transformer(name, config, **sizes)()
        self.grid = torch.tensor([[2, 4, 4], [1, 2, 2]])

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return self.model(patches, self.grid)[0]


def _tower(name: str, config: str) -> Row:
    inputs = (normal(36, 3 * 2 * 8 * 8),)
    return Row(make=lambda: Tower(name, config), inputs=inputs, static="the images have sizes")


def _tokens(before: int, images: int, after: int) -> Input:
    """Word ids with a place for an image's tokens among them, which 98 stands for."""

    def draw(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        value = torch.randint(3, 90, shape, generator=generator)
        value[:, before : before + images] = 98
        return value

    return Input(shape=("batch", before + images + after), draw=draw)


def _boxes(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.randint(0, 60, shape, generator=generator).sort(-1).values


def _two(name: str, config: str, text: dict[str, Any], vision: dict[str, Any], **more: Any) -> Row:
    make = transformer(name, config, text_config=text, vision_config=vision, **more)
    return Row(make=make, inputs=BOTH)


IMAGES: dict[str, Row] = {
    "vit_hf": _pixels("ViTForImageClassification", "ViTConfig", **PATCHES),
    "deit_hf": _pixels("DeiTModel", "DeiTConfig", **PATCHES),
    "beit_hf": _pixels("BeitModel", "BeitConfig", **PATCHES, use_relative_position_bias=True),
    "dinov2": _pixels("Dinov2Model", "Dinov2Config", **PATCHES),
    "dinov2_registers": _pixels("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", **PATCHES),
    "dinov3": _pixels("DINOv3ViTModel", "DINOv3ViTConfig", **PATCHES),
    "vit_msn": _pixels("ViTMSNModel", "ViTMSNConfig", **PATCHES),
    "ijepa": _pixels("IJepaModel", "IJepaConfig", **PATCHES),
    "swin_hf": _pixels(
        "SwinModel",
        "SwinConfig",
        image_size=32,
        patch_size=4,
        embed_dim=16,
        depths=[2, 1],
        num_heads=[2, 4],
        window_size=4,
    ),
    "swinv2_hf": _pixels(
        "Swinv2Model",
        "Swinv2Config",
        image_size=32,
        patch_size=4,
        embed_dim=16,
        depths=[2, 1],
        num_heads=[2, 4],
        window_size=4,
    ),
    "swin2sr": _pixels(
        "Swin2SRForImageSuperResolution",
        "Swin2SRConfig",
        image_size=32,
        patch_size=1,
        embed_dim=16,
        depths=[2],
        num_heads=[2],
        window_size=8,
    ),
    "convnext_hf": _pixels(
        "ConvNextModel", "ConvNextConfig", hidden_sizes=[16, 32], depths=[1, 1], num_stages=2
    ),
    "cvt": _pixels(
        "CvtModel",
        "CvtConfig",
        64,
        embed_dim=[16, 32, 48],
        num_heads=[1, 2, 3],
        depth=[1, 2, 3],
        cls_token=[False, False, True],
    ),
    "pvt": _pixels(
        "PvtModel", "PvtConfig", hidden_sizes=[16, 32, 40, 64], depths=[1, 1, 1, 1], image_size=32
    ),
    "mobilevit_hf": _pixels("MobileViTModel", "MobileViTConfig", 64, image_size=64),
    "vit_mae": Row(
        make=transformer(
            "ViTMAEForPreTraining",
            "ViTMAEConfig",
            **PATCHES,
            decoder_hidden_size=32,
            decoder_num_hidden_layers=1,
            decoder_num_attention_heads=4,
            decoder_intermediate_size=64,
        ),
        inputs={"pixel_values": image(32), "noise": normal("batch", 16)},
    ),
}

SMALL: dict[str, Row] = {
    **IMAGES,
    "clip": _two("CLIPModel", "CLIPConfig", WORDS, PATCHES, projection_dim=16),
    "siglip": _two("SiglipModel", "SiglipConfig", WORDS, PATCHES),
    "chinese_clip": _two(
        "ChineseCLIPModel", "ChineseCLIPConfig", WORDS, PATCHES, projection_dim=16
    ),
    "blip": _two("BlipModel", "BlipConfig", WORDS, PATCHES, projection_dim=16),
    "groupvit": _two(
        "GroupViTModel",
        "GroupViTConfig",
        WORDS,
        {
            **PATCHES,
            "depths": [1, 1, 1],
            "num_group_tokens": [8, 4, 0],
            "num_output_groups": [8, 4, 4],
            "num_hidden_layers": 3,
        },
        projection_dim=16,
        projection_intermediate_dim=32,
    ),
    "clipseg": _two("CLIPSegModel", "CLIPSegConfig", WORDS, PATCHES, projection_dim=16),
    "owlvit": _two(
        "OwlViTModel",
        "OwlViTConfig",
        {**WORDS, "max_position_embeddings": 80},
        PATCHES,
        projection_dim=16,
    ),
    "flava_image": _pixels("FlavaImageModel", "FlavaImageConfig", **PATCHES),
    "siglip2": Row(
        make=Resized,
        inputs=(normal(2, 16, 192), mask(2, 16)),
        static="each image has a size of its own, a row of them for each",
    ),
    "qwen2_5_vl_vision": _tower(
        "Qwen2_5_VisionTransformerPretrainedModel", "Qwen2_5_VLVisionConfig"
    ),
    "qwen3_vl_vision": _tower("Qwen3VLVisionModel", "Qwen3VLVisionConfig"),
    "paligemma": Row(
        make=transformer(
            "PaliGemmaForConditionalGeneration",
            "PaliGemmaConfig",
            text_config={"model_type": "gemma", **WORDS, "use_cache": False, **GROUPS},
            vision_config={"model_type": "siglip_vision_model", **PATCHES},
            image_token_id=98,
            projection_dim=32,
        ),
        # Without a mask, transformers builds another one for torch.export than it does in eager.
        inputs={
            "input_ids": _tokens(2, 16, 6),
            "pixel_values": image(32),
            "attention_mask": mask("batch", 24),
        },
    ),
    "layoutlmv3": Row(
        make=transformer(
            "LayoutLMv3Model",
            "LayoutLMv3Config",
            **WORDS,
            input_size=32,
            patch_size=8,
            max_2d_position_embeddings=64,
            coordinate_size=6,
            shape_size=4,
        ),
        inputs={
            "input_ids": ids("batch", 12),
            "bbox": Input(shape=("batch", 12, 4), draw=_boxes),
            "attention_mask": mask("batch", 12),
            "pixel_values": image(32),
        },
    ),
}
"""Small configurations, by name."""


FEW = {"batch": (1, 2), "texts": (2, 1), "length": (16, 9)}


def _whole(name: str, config: str, inputs: dict[str, Any], **values: Any) -> Row:
    return Row(make=transformer(name, config, **values), inputs=inputs, sizes=FEW)


PHOTO = {"pixel_values": image(224)}
REAL: dict[str, Row] = {
    "vit_hf": _whole("ViTForImageClassification", "ViTConfig", PHOTO),
    "dinov2": _whole("Dinov2Model", "Dinov2Config", PHOTO, image_size=224),
    "swin_hf": _whole("SwinModel", "SwinConfig", PHOTO),
    "clip": _whole("CLIPModel", "CLIPConfig", {**BOTH, **PHOTO}),
    "siglip": _whole("SiglipModel", "SiglipConfig", {**BOTH, **PHOTO}),
}
"""Published sizes, by name."""
