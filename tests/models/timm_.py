"""timm's image models: transformers, convolutional nets and hybrids, in few and narrow blocks."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from tests.models import vision_operators
from tests.models.row import Row, image

assert vision_operators.SCHEMAS, "torchvision can be imported once its operators are declared"


def _timm(name: str, **changes: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        model: nn.Module = importlib.import_module("timm").create_model(name, **changes)
        return model

    return make


def _row(name: str, size: int = 64, **changes: Any) -> Row:
    return Row(make=_timm(name, num_classes=10, **changes), inputs=(image(size),))


def _sized(name: str, size: int = 64, **changes: Any) -> Row:
    """A model whose position tables are made for one size of images."""
    return _row(name, size, img_size=size, **changes)


def _class(module: str, name: str, *, block: str = "", layer: str = "", **values: Any) -> Row:
    """A class itself, where the functions that make the published models fix its arguments."""

    def make() -> nn.Module:
        found = importlib.import_module(f"timm.models.{module}")
        parts = {"block_layer": block and getattr(found, block)}
        parts["mlp_layer"] = layer and getattr(importlib.import_module("timm.layers"), layer)
        given = {k: v for k, v in parts.items() if v}
        model: nn.Module = getattr(found, name)(num_classes=10, **given, **values)
        return model

    return Row(make=make, inputs=(image(64),))


DIMS = (16, 32, 32, 64)
MLP: dict[str, Any] = {"img_size": 64, "num_blocks": 2, "embed_dim": 48}
VIT: dict[str, Any] = {"embed_dim": 48, "depth": 2, "num_heads": 4}

SMALL: dict[str, Row] = {
    "vit": _sized("vit_tiny_patch16_224", **VIT),
    "vit_register": _sized("vit_small_patch14_reg4_dinov2", 56, **VIT),
    "deit": _sized("deit_tiny_distilled_patch16_224", **VIT),
    "deit3": _sized("deit3_small_patch16_224", **VIT),
    "beit": _sized("beit_base_patch16_224", **VIT),
    "beitv2": _sized("beitv2_base_patch16_224", **VIT),
    "eva02": _sized("eva02_tiny_patch14_224", 56, **VIT),
    "cait": _sized("cait_xxs24_224", **VIT),
    "xcit": _sized("xcit_nano_12_p16_224", **VIT),
    "convit": _row("convit_tiny", img_size=64, **VIT),
    "swin": _sized("swin_tiny_patch4_window7_224", 56, embed_dim=24, depths=(2, 2, 2, 1)),
    "swinv2": _sized(
        "swinv2_tiny_window8_256", 128, window_size=4, embed_dim=24, depths=(2, 2, 2, 1)
    ),
    "swinv2_cr": _sized("swinv2_cr_tiny_224", 64, window_size=2, embed_dim=24, depths=(2, 2, 1, 1)),
    "maxvit": _row("maxvit_rmlp_pico_rw_256", 64, img_size=64),
    "maxvit_tf": _row(
        "maxvit_tiny_tf_224", 64, img_size=64, depths=(1, 1, 1, 1), embed_dim=(32, 32, 32, 64)
    ),
    "coatnet": _row(
        "coatnet_nano_rw_224", 64, img_size=64, depths=(1, 1, 1, 1), embed_dim=(16, 32, 32, 64)
    ),
    "efficientformer": _row("efficientformer_l1", 224, depths=(1, 1, 1, 2)),
    "efficientformerv2": _row("efficientformerv2_s0", 224, depths=(1, 1, 2, 2)),
    "mobilevit": _row("mobilevit_xxs"),
    "mobilevitv2": _row("mobilevitv2_050"),
    "edgenext": _row("edgenext_xx_small", 64, depths=(1, 2, 2, 2)),
    "fastvit": _row("fastvit_t8", 64, layers=(1, 1, 1, 1)),
    "efficientvit": _row("efficientvit_b0"),
    "efficientvit_msra": _row("efficientvit_m0", 224),
    "levit": _row("levit_128s", 224),
    "pit": _row("pit_ti_224", 224),
    "poolformer": _class("metaformer", "MetaFormer", depths=(1, 1, 1, 1), dims=DIMS),
    "caformer": _row("caformer_s18"),
    "tnt": _sized("tnt_s_legacy_patch16_224", 64, embed_dim=48, depth=2),
    "twins": _sized("twins_svt_small", 64, depths=(1, 1, 2, 1)),
    "pvt_v2": _row("pvt_v2_b0", 64),
    "hiera": _row("hiera_tiny_224", 224, stages=(1, 1, 1, 1)),
    "focalnet": _class("focalnet", "FocalNet", embed_dim=16, depths=(1, 1, 1, 1)),
    "davit": _row(
        "davit_tiny", 224, depths=(1, 1, 1, 1), embed_dims=(24, 48, 96, 96), num_heads=(2, 2, 4, 4)
    ),
    "gcvit": _class(
        "gcvit",
        "GlobalContextVit",
        img_size=64,
        embed_dim=16,
        depths=(1, 1, 1, 1),
    ),
    "volo": _class(
        "volo",
        "VOLO",
        img_size=64,
        layers=[1, 1, 1, 1],
        embed_dims=[16, 32, 32, 32],
        num_heads=[2, 2, 2, 2],
    ),
    "visformer": _sized("visformer_tiny", 64, depth=(1, 2, 1)),
    "nest": _class(
        "nest", "Nest", img_size=64, embed_dims=(16, 32, 32), num_heads=(2, 2, 4), depths=(1, 1, 1)
    ),
    "coat": _sized("coat_lite_tiny", 64, serial_depths=(1, 1, 1, 1)),
    "mixer": _class("mlp_mixer", "MlpMixer", **MLP),
    "resmlp": _class("mlp_mixer", "MlpMixer", block="ResBlock", mlp_ratio=4, **MLP),
    "gmlp": _class(
        "mlp_mixer", "MlpMixer", block="SpatialGatingBlock", layer="GatedMlp", mlp_ratio=6, **MLP
    ),
    "sequencer2d": _row("sequencer2d_s", 64, layers=(1, 1, 1, 1)),
    "convnextv2": _row("convnextv2_atto", 64, depths=(1, 1, 1, 1)),
    "convmixer": _class("convmixer", "ConvMixer", dim=32, depth=2),
    "inception_next": _row("inception_next_tiny", 64, depths=(1, 1, 1, 1)),
    "mambaout": _row("mambaout_femto", 64, depths=(1, 1, 1, 1)),
    "repvgg": _row("repvgg_a0", 64),
    "repvit": _row("repvit_m0_9", 64),
    "ghostnet": _row("ghostnetv2_100", 64),
    "hrnet": _row("hrnet_w18_small", 64),
    "res2net": _row("res2net50_26w_4s", 64, layers=(1, 1, 1, 1)),
    "resnest": _row("resnest14d", 64),
    "sknet": _row("skresnet18", 64),
    "nfnet": _row("dm_nfnet_f0", 64),
    "xception41": _row("xception41", 64),
    "efficientnetv2": _row("tf_efficientnetv2_b0"),
    "vovnet": _row("ese_vovnet19b_dw", 64),
    "cspdarknet": _row("cspdarknet53", 64),
    "dla": _row("dla34", 64),
    "dpn": _row("dpn48b", 64),
    "rexnet": _row("rexnet_100", 64),
    "starnet": _row("starnet_s1", 64),
    "hgnet": _row("hgnetv2_b0", 64),
    "naflexvit": _row("naflexvit_base_patch16_gap", 64, embed_dim=48, depth=2, num_heads=4),
}
"""Small configurations, by name."""


def _whole(name: str, size: int = 224) -> Row:
    return Row(make=_timm(name), inputs=(image(size),), sizes={"batch": (1, 2)}, measured=4)


REAL: dict[str, Row] = {
    name: _whole(name)
    for name in (
        "vit_base_patch16_224", "deit_base_patch16_224", "beit_base_patch16_224",
        "swin_tiny_patch4_window7_224", "maxvit_tiny_tf_224", "efficientformer_l1",
        "convnext_tiny", "mvitv2_tiny", "levit_256", "mobilevit_s", "pit_s_224",
        "tiny_vit_5m_224", "gmixer_24_224", "resmlp_12_224", "caformer_s18", "gcvit_xxtiny",
        "volo_d1_224", "nest_tiny", "hrnet_w18", "regnety_016", "efficientvit_b1",
        "xcit_tiny_12_p16_224", "eva02_tiny_patch14_224",
    )
}  # fmt: skip
"""The published models at their own sizes."""
REAL |= {
    "swinv2_tiny_window8_256": _whole("swinv2_tiny_window8_256", 256),
    "crossvit_15_240": _whole("crossvit_15_240", 240),
    "halonet26t": _whole("halonet26t", 256),
    "botnet26t_256": _whole("botnet26t_256", 256),
    "lambda_resnet26t": _whole("lambda_resnet26t", 256),
    "vit_small_patch14_dinov2": _whole("vit_small_patch14_dinov2", 518),
}
