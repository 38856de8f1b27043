"""Audio models of transformers, and Whisper's decoder step with its past."""

from __future__ import annotations

from typing import Any

from tests.models.hugging import transformer
from tests.models.row import Row, ids, normal

WAVE = {"input_values": normal("batch", "400*frames")}
CONVS: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 3,
    "vocab_size": 40,
}
WHISPER: dict[str, Any] = {
    "vocab_size": 99,
    "num_mel_bins": 16,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_source_positions": 20,
    "max_target_positions": 40,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
    "use_cache": False,
}


def _wave(name: str, config: str, **changes: Any) -> Row:
    return Row(make=transformer(name, config, **{**CONVS, **changes}), inputs=WAVE)


SMALL: dict[str, Row] = {
    "wav2vec2": _wave("Wav2Vec2ForCTC", "Wav2Vec2Config"),
    "wav2vec2_stable": _wave(
        "Wav2Vec2Model", "Wav2Vec2Config", do_stable_layer_norm=True, feat_extract_norm="layer"
    ),
    "hubert": _wave("HubertModel", "HubertConfig"),
    "wavlm": _wave("WavLMModel", "WavLMConfig"),
    "unispeech": _wave("UniSpeechModel", "UniSpeechConfig"),
    "unispeech_sat": _wave("UniSpeechSatModel", "UniSpeechSatConfig"),
    "sew": _wave("SEWModel", "SEWConfig", squeeze_factor=2),
    "data2vec_audio": _wave("Data2VecAudioModel", "Data2VecAudioConfig", conv_pos_kernel_size=3),
    "wav2vec2_conformer": _wave("Wav2Vec2ConformerModel", "Wav2Vec2ConformerConfig"),
    "whisper_encoder": Row(
        make=lambda: transformer("WhisperModel", "WhisperConfig", **WHISPER)().get_encoder(),
        inputs={"input_features": normal("batch", 16, 40)},
    ),
    "whisper": Row(
        make=transformer("WhisperForConditionalGeneration", "WhisperConfig", **WHISPER),
        inputs={
            "input_features": normal("batch", 16, 40),
            "decoder_input_ids": ids("batch", "length"),
        },
    ),
    "audio_spectrogram": Row(
        make=transformer(
            "ASTModel",
            "ASTConfig",
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_length=64,
            num_mel_bins=32,
        ),
        inputs={"input_values": normal("batch", 64, 32)},
    ),
    "dac": Row(
        make=transformer(
            "DacModel",
            "DacConfig",
            encoder_hidden_size=8,
            decoder_hidden_size=32,
            downsampling_ratios=[2, 4],
            upsampling_ratios=[4, 2],
            n_codebooks=2,
            codebook_size=16,
        ),
        inputs={"input_values": normal("batch", 1, 320)},
    ),
    "encodec": Row(
        make=transformer(
            "EncodecModel",
            "EncodecConfig",
            num_filters=4,
            hidden_size=16,
            upsampling_ratios=[4, 2],
            codebook_size=16,
            codebook_dim=16,
            num_lstm_layers=1,
        ),
        inputs={"input_values": normal("batch", 1, 320)},
    ),
    "hifigan": Row(
        make=transformer(
            "SpeechT5HifiGan",
            "SpeechT5HifiGanConfig",
            model_in_dim=16,
            upsample_initial_channel=32,
            upsample_rates=[4, 2],
            upsample_kernel_sizes=[8, 4],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1, 3]],
        ),
        inputs={"spectrogram": normal("batch", "length", 16)},
    ),
    "speech_to_text": Row(
        make=transformer(
            "Speech2TextModel",
            "Speech2TextConfig",
            vocab_size=99,
            d_model=32,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            input_feat_per_channel=16,
            conv_channels=16,
            max_source_positions=80,
            max_target_positions=40,
            use_cache=False,
        ),
        inputs={
            "input_features": normal("batch", 40, 16),
            "decoder_input_ids": ids("batch", "length"),
        },
    ),
    "clap_audio": Row(
        make=transformer(
            "ClapAudioModel",
            "ClapAudioConfig",
            window_size=4,
            num_mel_bins=32,
            spec_size=64,
            patch_size=4,
            patch_stride=[4, 4],
            patch_embeds_hidden_size=16,
            depths=[2, 2],
            num_attention_heads=[2, 4],
            num_classes=4,
            hidden_size=32,
        ),
        inputs={"input_features": normal("batch", 1, 80, 32)},
    ),
    "univnet": Row(
        make=transformer(
            "UnivNetModel",
            "UnivNetConfig",
            model_in_channels=8,
            model_hidden_channels=8,
            num_mel_bins=16,
            kernel_predictor_hidden_channels=8,
        ),
        inputs={
            "input_features": normal("batch", 8, 16),
            "noise_sequence": normal("batch", 8, 8),
        },
    ),
}
"""Small configurations, by name."""


REAL: dict[str, Row] = {
    "wav2vec2": Row(
        make=transformer("Wav2Vec2ForCTC", "Wav2Vec2Config"),
        inputs=WAVE,
        sizes={"frames": (40, 56), "batch": (1, 2)},
    ),
    "whisper_encoder": Row(
        make=lambda: transformer("WhisperModel", "WhisperConfig")().get_encoder(),
        inputs={"input_features": normal("batch", 80, 3000)},
        sizes={"batch": (1, 2)},
    ),
    "audio_spectrogram": Row(
        make=transformer("ASTModel", "ASTConfig"),
        inputs={"input_values": normal("batch", 1024, 128)},
        sizes={"batch": (1, 2)},
    ),
}
"""Published sizes, by name."""
