"""Language models of transformers: encoders, decoders, encoder-decoders and a decoder's step."""

from __future__ import annotations

from typing import Any

from tests.models.hugging import transformer
from tests.models.row import Row, ids, mask

FIXED = {"input_ids": ids("batch", 8), "attention_mask": mask("batch", 8)}
TEXT = {"input_ids": ids("batch", "length"), "attention_mask": mask("batch", "length")}
PAIR = {**TEXT, "decoder_input_ids": ids("batch", 6)}

ENCODER: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
}
DECODER = {**ENCODER, "use_cache": False}
GROUPED = {**DECODER, "num_key_value_heads": 2, "pad_token_id": 0}
BIASED = {**DECODER, "pad_token_id": 0}
SEQ2SEQ: dict[str, Any] = {
    "vocab_size": 99,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 80,
    "use_cache": False,
}
T5: dict[str, Any] = {
    "vocab_size": 99,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "use_cache": False,
}


def _row(name: str, config: str, values: dict[str, Any], **changes: Any) -> Row:
    return Row(make=transformer(name, config, **{**values, **changes}), inputs=TEXT)


def _fixed(name: str, config: str, values: dict[str, Any], **changes: Any) -> Row:
    """Of one length: the model steps through the words in a Python loop, or counts with them."""
    return Row(make=transformer(name, config, **{**values, **changes}), inputs=FIXED)


SMALL: dict[str, Row] = {
    "bert": _row("BertModel", "BertConfig", ENCODER),
    "roberta": _row("RobertaModel", "RobertaConfig", ENCODER, pad_token_id=1),
    "distilbert": _row(
        "DistilBertForQuestionAnswering",
        "DistilBertConfig",
        {"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    ),
    "albert": _row("AlbertModel", "AlbertConfig", ENCODER, embedding_size=16),
    "deberta_v2": _row(
        "DebertaV2Model",
        "DebertaV2Config",
        ENCODER,
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        conv_kernel_size=3,
    ),
    "deberta": _fixed(
        "DebertaModel",
        "DebertaConfig",
        ENCODER,
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
    ),
    "electra": _row("ElectraForTokenClassification", "ElectraConfig", ENCODER, embedding_size=16),
    "mpnet": _row("MPNetModel", "MPNetConfig", ENCODER, relative_attention_num_buckets=32),
    "squeezebert": _row("SqueezeBertModel", "SqueezeBertConfig", ENCODER, embedding_size=32),
    "mobilebert": Row(
        make=transformer(
            "MobileBertModel",
            "MobileBertConfig",
            **ENCODER,
            embedding_size=16,
            intra_bottleneck_size=16,
            true_hidden_size=16,
        ),
        inputs=TEXT,
        ranges={"length": (3, 40)},  # it concatenates neighbours
    ),
    "modernbert": _row(
        "ModernBertModel",
        "ModernBertConfig",
        ENCODER,
        global_attn_every_n_layers=2,
        local_attention=8,
        pad_token_id=0,
    ),
    "roformer": _row("RoFormerModel", "RoFormerConfig", ENCODER, embedding_size=32),
    "convbert": _row("ConvBertModel", "ConvBertConfig", ENCODER, embedding_size=32),
    "fnet": Row(
        make=transformer("FNetModel", "FNetConfig", **ENCODER),
        inputs={"input_ids": ids("batch", 12)},
    ),
    "xlnet": Row(
        make=transformer(
            "XLNetModel",
            "XLNetConfig",
            vocab_size=99,
            d_model=32,
            n_layer=2,
            n_head=4,
            d_inner=64,
            use_mems_eval=False,
        ),
        inputs=TEXT,
        ranges={"length": (2, 40)},  # it shifts positions against each other
    ),
    "gpt2": _row(
        "GPT2LMHeadModel",
        "GPT2Config",
        {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "use_cache": False},
    ),
    "gpt_neo": _row(
        "GPTNeoModel",
        "GPTNeoConfig",
        {"vocab_size": 99, "hidden_size": 32, "num_layers": 2, "num_heads": 4},
        attention_types=[[["global", "local"], 1]],
        window_size=4,
        use_cache=False,
    ),
    "gptj": _row(
        "GPTJForCausalLM",
        "GPTJConfig",
        {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
        use_cache=False,
    ),
    "gpt_neox": _row("GPTNeoXForCausalLM", "GPTNeoXConfig", DECODER),
    "opt": _row(
        "OPTForCausalLM", "OPTConfig", DECODER, ffn_dim=64, word_embed_proj_dim=16, pad_token_id=1
    ),
    "bloom": _row(
        "BloomForCausalLM",
        "BloomConfig",
        {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 4, "use_cache": False},
    ),
    "mpt": _row(
        "MptForCausalLM",
        "MptConfig",
        {"vocab_size": 99, "d_model": 32, "n_layers": 2, "n_heads": 4, "use_cache": False},
    ),
    "falcon": _row("FalconForCausalLM", "FalconConfig", DECODER),
    "llama": _row("LlamaForCausalLM", "LlamaConfig", GROUPED),
    "mistral": _row("MistralForCausalLM", "MistralConfig", GROUPED, sliding_window=4),
    "mixtral": _row("MixtralForCausalLM", "MixtralConfig", GROUPED, num_local_experts=4),
    "qwen3_moe": _row(
        "Qwen3MoeForCausalLM",
        "Qwen3MoeConfig",
        GROUPED,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        head_dim=16,
    ),
    "deepseek_v3": _row(
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        GROUPED,
        num_hidden_layers=1,
        num_key_value_heads=4,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        n_routed_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        first_k_dense_replace=0,
        n_group=2,
        topk_group=1,
    ),
    "gpt_oss": _row(
        "GptOssForCausalLM",
        "GptOssConfig",
        GROUPED,
        num_hidden_layers=1,
        head_dim=8,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=4,
    ),
    "jetmoe": _row(
        "JetMoeForCausalLM",
        "JetMoeConfig",
        GROUPED,
        num_local_experts=4,
        num_experts_per_tok=2,
        kv_channels=8,
        num_key_value_heads=2,
    ),
    "olmoe": _row("OlmoeForCausalLM", "OlmoeConfig", GROUPED, num_experts=4, num_experts_per_tok=2),
    "qwen2": _row("Qwen2ForCausalLM", "Qwen2Config", GROUPED),
    "qwen3": _row("Qwen3ForCausalLM", "Qwen3Config", GROUPED, head_dim=16),
    "gemma": _row("GemmaForCausalLM", "GemmaConfig", GROUPED, head_dim=16),
    "gemma2": _row("Gemma2ForCausalLM", "Gemma2Config", GROUPED, head_dim=16, sliding_window=4),
    "gemma3": _row("Gemma3ForCausalLM", "Gemma3TextConfig", GROUPED, head_dim=16, sliding_window=4),
    "phi": _row("PhiForCausalLM", "PhiConfig", GROUPED),
    "phi3": _row("Phi3ForCausalLM", "Phi3Config", GROUPED),
    "stablelm": _row("StableLmForCausalLM", "StableLmConfig", GROUPED),
    "cohere": _row("CohereForCausalLM", "CohereConfig", GROUPED),
    "olmo2": _row("Olmo2ForCausalLM", "Olmo2Config", GROUPED),
    "starcoder2": _row("Starcoder2ForCausalLM", "Starcoder2Config", GROUPED),
    "mamba": _fixed(
        "MambaForCausalLM",
        "MambaConfig",
        {"vocab_size": 99, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
        use_cache=False,
    ),
    "mamba2": _fixed(
        "Mamba2ForCausalLM",
        "Mamba2Config",
        {"vocab_size": 99, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
        head_dim=8,
        num_heads=4,
        n_groups=1,
        chunk_size=4,
        use_cache=False,
    ),
    "rwkv": _fixed(
        "RwkvModel",
        "RwkvConfig",
        {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "use_cache": False},
        rescale_every=0,  # it would divide its weights in the first call
    ),
    "t5_encoder": _row("T5EncoderModel", "T5Config", T5),
    "t5": Row(
        make=transformer("T5ForConditionalGeneration", "T5Config", **T5),
        inputs={**TEXT, "decoder_input_ids": ids("batch", "past")},
    ),
    "bart": Row(
        make=transformer("BartForConditionalGeneration", "BartConfig", **SEQ2SEQ), inputs=PAIR
    ),
    "mbart": Row(make=transformer("MBartModel", "MBartConfig", **SEQ2SEQ), inputs=PAIR),
    "marian": Row(
        make=transformer(
            "MarianMTModel", "MarianConfig", **SEQ2SEQ, pad_token_id=0, decoder_start_token_id=0
        ),
        inputs=PAIR,
    ),
    "pegasus": Row(make=transformer("PegasusModel", "PegasusConfig", **SEQ2SEQ), inputs=PAIR),
    "m2m_100": Row(make=transformer("M2M100Model", "M2M100Config", **SEQ2SEQ), inputs=PAIR),
}
"""Small configurations, by name."""


LONG = {"length": (32, 48, 17)}
FEW = {**LONG, "batch": (2, 1, 3)}


def _whole(name: str, config: str, inputs: dict[str, Any] | None = None, **values: Any) -> Row:
    """A published width and depth, but for fewer layers where memory asks for it."""
    return Row(
        make=transformer(name, config, **values),
        inputs=inputs or TEXT,
        sizes=FEW,
        ranges={"length": (2, 128)},
    )


WIDE: dict[str, Any] = {"use_cache": False, "vocab_size": 32000}
REAL: dict[str, Row] = {
    "bert": _whole("BertModel", "BertConfig"),
    "roberta": _whole("RobertaForMaskedLM", "RobertaConfig"),
    "distilbert": _whole("DistilBertModel", "DistilBertConfig"),
    "albert": _whole(
        "AlbertModel",
        "AlbertConfig",
        hidden_size=768,
        num_attention_heads=12,
        intermediate_size=3072,
    ),
    "deberta_v3": _whole(
        "DebertaV2Model",
        "DebertaV2Config",
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        relative_attention=True,
        position_buckets=256,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
    ),
    "modernbert": _whole("ModernBertModel", "ModernBertConfig"),
    "gpt2": _whole("GPT2LMHeadModel", "GPT2Config", use_cache=False),
    "gpt_neox": _whole(
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        use_cache=False,
    ),
    "llama": _whole(
        "LlamaForCausalLM",
        "LlamaConfig",
        hidden_size=2048,
        num_hidden_layers=6,
        num_attention_heads=32,
        num_key_value_heads=4,
        intermediate_size=5632,
        **WIDE,
    ),
    "qwen2": _whole(
        "Qwen2ForCausalLM",
        "Qwen2Config",
        hidden_size=896,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        intermediate_size=4864,
        tie_word_embeddings=True,
        **WIDE,
    ),
    "gemma": _whole(
        "GemmaForCausalLM", "GemmaConfig", num_hidden_layers=3, use_cache=False, vocab_size=32000
    ),
    "phi": _whole("PhiForCausalLM", "PhiConfig", num_hidden_layers=6, **WIDE),
    "t5": _whole(
        "T5ForConditionalGeneration",
        "T5Config",
        {**TEXT, "decoder_input_ids": ids("batch", "past")},
        use_cache=False,
    ),
    "bart": _whole(
        "BartForConditionalGeneration",
        "BartConfig",
        PAIR,
        d_model=768,
        encoder_layers=6,
        decoder_layers=6,
        encoder_ffn_dim=3072,
        decoder_ffn_dim=3072,
        encoder_attention_heads=12,
        decoder_attention_heads=12,
        use_cache=False,
    ),
    "mamba": _whole(
        "MambaForCausalLM", "MambaConfig", FIXED, num_hidden_layers=12, use_cache=False
    ),
}
"""Published widths, by name."""
