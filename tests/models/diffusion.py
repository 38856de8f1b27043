"""diffusers: the nets that denoise, and the autoencoders around them."""

from __future__ import annotations

from typing import Any

from tests.models.hugging import diffuser
from tests.models.row import Row, ids, image, normal

STEP = ids("batch", below=999, least=0)
BLOCKS: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 8,
}
CROSS: dict[str, Any] = {
    **BLOCKS,
    "sample_size": 16,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 24,
    "attention_head_dim": 8,
}
CODED: dict[str, Any] = {
    **BLOCKS,
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}
TOKENS: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2}

SMALL: dict[str, Row] = {
    "unet2d": Row(
        make=diffuser(
            "UNet2DModel",
            **BLOCKS,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
        ),
        inputs={"sample": image("8*height", "8*width"), "timestep": STEP},
    ),
    "unet2d_condition": Row(
        make=diffuser("UNet2DConditionModel", **CROSS),
        inputs={
            "sample": image("8*height", "8*width", channels=4),
            "timestep": STEP,
            "encoder_hidden_states": normal("batch", "length", 24),
        },
    ),
    "unet_sdxl": Row(
        make=diffuser(
            "UNet2DConditionModel",
            **CROSS,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=72,
            transformer_layers_per_block=(1, 2),
        ),
        inputs={
            "sample": image("8*height", "8*width", channels=4),
            "timestep": STEP,
            "encoder_hidden_states": normal("batch", "length", 24),
            "added_cond_kwargs": {
                "text_embeds": normal("batch", 24),
                "time_ids": normal("batch", 6),
            },
        },
    ),
    "controlnet": Row(
        make=diffuser(
            "ControlNetModel",
            **{k: v for k, v in CROSS.items() if k not in ("sample_size", "up_block_types")},
            conditioning_embedding_out_channels=(16, 32),
        ),
        inputs={
            "sample": image(16, channels=4),
            "timestep": STEP,
            "encoder_hidden_states": normal("batch", "length", 24),
            "controlnet_cond": image(32),
        },
    ),
    "autoencoder_kl": Row(
        make=diffuser("AutoencoderKL", **CODED), inputs={"sample": image("8*height", "8*width")}
    ),
    "vq_model": Row(
        make=diffuser("VQModel", **CODED, num_vq_embeddings=16), inputs={"sample": image(16)}
    ),
    "autoencoder_tiny": Row(
        make=diffuser(
            "AutoencoderTiny",
            encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
        ),
        inputs={"sample": image("8*height", "8*width")},
    ),
    "autoencoder_dc": Row(
        make=diffuser(
            "AutoencoderDC",
            encoder_block_out_channels=(8, 16),
            decoder_block_out_channels=(8, 16),
            encoder_block_types=("ResBlock", "EfficientViTBlock"),
            decoder_block_types=("ResBlock", "EfficientViTBlock"),
            encoder_layers_per_block=(1, 1),
            decoder_layers_per_block=(1, 1),
            encoder_qkv_multiscales=((), (5,)),
            decoder_qkv_multiscales=((), (5,)),
            attention_head_dim=8,
            latent_channels=4,
        ),
        inputs={"sample": image(16)},
    ),
    "dit": Row(
        make=diffuser(
            "DiTTransformer2DModel",
            **TOKENS,
            in_channels=4,
            sample_size=8,
            patch_size=2,
            num_embeds_ada_norm=10,
            norm_num_groups=4,
        ),
        inputs={
            "hidden_states": image(8, channels=4),
            "timestep": STEP,
            "class_labels": ids("batch", below=9, least=0),
        },
    ),
    "pixart": Row(
        make=diffuser(
            "PixArtTransformer2DModel",
            **TOKENS,
            in_channels=4,
            out_channels=8,
            sample_size=8,
            cross_attention_dim=32,
            caption_channels=24,
        ),
        inputs={
            "hidden_states": image(8, channels=4),
            "encoder_hidden_states": normal("batch", "length", 24),
            "timestep": STEP,
            "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
        },
    ),
    "sd3": Row(
        make=diffuser(
            "SD3Transformer2DModel",
            **TOKENS,
            in_channels=4,
            out_channels=4,
            sample_size=8,
            joint_attention_dim=24,
            caption_projection_dim=32,
            pooled_projection_dim=16,
            pos_embed_max_size=16,
        ),
        inputs={
            "hidden_states": image(8, channels=4),
            "encoder_hidden_states": normal("batch", "length", 24),
            "pooled_projections": normal("batch", 16),
            "timestep": STEP,
        },
    ),
    "flux": Row(
        make=diffuser(
            "FluxTransformer2DModel",
            patch_size=1,
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=24,
            pooled_projection_dim=16,
            axes_dims_rope=(4, 4, 8),
        ),
        inputs={
            "hidden_states": normal("batch", "length", 4),
            "encoder_hidden_states": normal("batch", "past", 24),
            "pooled_projections": normal("batch", 16),
            "timestep": normal("batch"),
            "img_ids": normal("length", 3),
            "txt_ids": normal("past", 3),
        },
    ),
    "sana": Row(
        make=diffuser(
            "SanaTransformer2DModel",
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=16,
            num_cross_attention_heads=2,
            cross_attention_head_dim=16,
            cross_attention_dim=32,
            caption_channels=24,
            sample_size=8,
        ),
        inputs={
            "hidden_states": image(8, channels=4),
            "encoder_hidden_states": normal("batch", "length", 24),
            "timestep": STEP,
        },
    ),
    "unet1d": Row(
        make=diffuser(
            "UNet1DModel",
            block_out_channels=(8, 16),
            in_channels=14,
            out_channels=14,
            time_embedding_type="positional",
            use_timestep_embedding=True,
            flip_sin_to_cos=False,
            freq_shift=1,
            down_block_types=("DownResnetBlock1D",) * 2,
            mid_block_type="MidResTemporalBlock1D",
            up_block_types=("UpResnetBlock1D",),
            out_block_type="OutConv1DBlock",
            act_fn="mish",
            norm_num_groups=8,
            layers_per_block=1,
        ),
        inputs={"sample": normal("batch", 14, 16), "timestep": STEP},
    ),
    "prior": Row(
        make=diffuser(
            "PriorTransformer",
            **TOKENS,
            embedding_dim=16,
            num_embeddings=7,
            additional_embeddings=4,
        ),
        inputs={
            "hidden_states": normal("batch", 16),
            "timestep": STEP,
            "proj_embedding": normal("batch", 16),
            "encoder_hidden_states": normal("batch", 7, 16),
        },
    ),
}
"""Small configurations, by name."""


REAL: dict[str, Row] = {
    "unet2d_condition": Row(
        make=diffuser("UNet2DConditionModel", cross_attention_dim=768, sample_size=64),
        inputs={
            "sample": image("32*height", "32*width", channels=4),
            "timestep": STEP,
            "encoder_hidden_states": normal("batch", 77, 768),
        },
        sizes={"batch": (1, 2), "height": (1, 2), "width": (2, 1)},
    ),
    "autoencoder_kl": Row(
        make=diffuser(
            "AutoencoderKL",
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        ),
        inputs={"sample": image("64*height", "64*width")},
        sizes={"batch": (1, 2), "height": (2, 1), "width": (1, 2)},
    ),
}
"""Stable Diffusion's, at small images."""
