"""Video nets, optical flow, and transformers over frames and series."""

from __future__ import annotations

from typing import Any

from tests.models.hugging import transformer
from tests.models.row import Row, normal
from tests.models.vision import flow, video

BODY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
SERIES: dict[str, Any] = {
    "d_model": 16,
    "num_attention_heads": 2,
    "ffn_dim": 32,
    "num_input_channels": 3,
    "context_length": 32,
    "patch_length": 8,
    "prediction_length": 8,
}

SMALL: dict[str, Row] = {
    "r3d": Row(make=video("r3d_18"), inputs=(normal("batch", 3, 8, 32, 32),)),
    "mc3": Row(make=video("mc3_18"), inputs=(normal("batch", 3, 8, 32, 32),)),
    "r2plus1d": Row(make=video("r2plus1d_18"), inputs=(normal("batch", 3, 8, 32, 32),)),
    "swin3d": Row(make=video("swin3d_t"), inputs=(normal("batch", 3, 4, 64, 64),)),
    "raft": Row(
        make=flow("raft_small"),
        inputs=(normal(2, 3, 128, 128), normal(2, 3, 128, 128)),
        static="it halves a doubled batch, which torch.export takes for a batch of 2",
    ),
    "timesformer": Row(
        make=transformer("TimesformerModel", "TimesformerConfig", **BODY, num_frames=4),
        inputs={"pixel_values": normal("batch", 4, 3, 32, 32)},
    ),
    "videomae": Row(
        make=transformer("VideoMAEModel", "VideoMAEConfig", **BODY, num_frames=4),
        inputs={"pixel_values": normal("batch", 4, 3, 32, 32)},
    ),
    "vivit": Row(
        make=transformer(
            "VivitModel",
            "VivitConfig",
            **{**BODY, "patch_size": None},
            num_frames=4,
            tubelet_size=[2, 8, 8],
        ),
        inputs={"pixel_values": normal("batch", 4, 3, 32, 32)},
    ),
    "patchtst": Row(
        make=transformer("PatchTSTForPrediction", "PatchTSTConfig", **SERIES, patch_stride=8),
        inputs={"past_values": normal("batch", 32, 3)},
    ),
    "patchtsmixer": Row(
        make=transformer(
            "PatchTSMixerForPrediction", "PatchTSMixerConfig", **SERIES, patch_stride=8
        ),
        inputs={"past_values": normal("batch", 32, 3)},
    ),
}
"""Small configurations, by name."""

REAL: dict[str, Row] = {
    "s3d": Row(
        make=video("s3d"),
        inputs=(normal("batch", 3, 16, 224, 224),),
        sizes={"batch": (1, 2)},
        measured=2,
    ),
    "r3d": Row(
        make=video("r3d_18"),
        inputs=(normal("batch", 3, 16, 112, 112),),
        sizes={"batch": (1, 2)},
        measured=2,
    ),
    "raft": Row(
        make=flow("raft_small"),
        inputs=(normal(1, 3, 224, 224), normal(1, 3, 224, 224)),
        static="it halves a doubled batch, which torch.export takes for a batch of 2",
    ),
    "videomae": Row(
        make=transformer("VideoMAEModel", "VideoMAEConfig"),
        inputs={"pixel_values": normal("batch", 16, 3, 224, 224)},
        sizes={"batch": (1,)},
    ),
    "mvit_v2_s": Row(
        make=video("mvit_v2_s"),
        inputs=(normal("batch", 3, 16, 224, 224),),
        sizes={"batch": (1, 2)},
        measured=1,
    ),
}
"""The published nets at their own sizes."""
