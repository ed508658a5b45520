"""Tiny configs of many architectures, each switch of theirs both ways: name -> config.json."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]
# no two sizes are equal, so that no two can be taken for each other
_DENSE: Config = {
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 211,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_HALF = {"head_dim": 24}
_TIED = {"tie_word_embeddings": True}
_UNTIED = {"tie_word_embeddings": False}
_EXPERTS: Config = {"moe_intermediate_size": 40, "num_experts": 5, "num_experts_per_tok": 2}
_LOCAL: Config = {"num_local_experts": 5, "num_experts_per_tok": 2}
_LATENT: Config = {
    "num_key_value_heads": 6,
    "kv_lora_rank": 28,
    "q_lora_rank": 44,
    "qk_nope_head_dim": 20,
    "qk_rope_head_dim": 12,
    "v_head_dim": 18,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 2,
    "moe_intermediate_size": 40,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
}
_GPT: Config = {
    "n_embd": 96,
    "n_layer": 3,
    "n_head": 6,
    "vocab_size": 211,
    "n_positions": 64,
    "n_inner": None,
}
_BIASES = ({"attention_bias": True}, {"attention_bias": False})


def _variants(model_type: str, *changes: Config, base: Config = _DENSE) -> dict[str, Config]:
    found: dict[str, Config] = {}
    for change in changes or ({},):
        told = ",".join(f"{k}={v}" for k, v in change.items())
        found[f"{model_type}{f' {told}' if told else ''}"] = {"model_type": model_type, **base, **change}
    return found


TINY: dict[str, Config] = {
    **_variants("llama", {}, _TIED, _HALF, {"attention_bias": True, "mlp_bias": True}),
    **_variants("mistral", {}, _HALF),
    **_variants("ministral3", _HALF),
    **_variants("qwen2", _UNTIED, _TIED),
    **_variants("qwen3", {**_HALF, **_UNTIED}, {**_HALF, **_TIED, "attention_bias": True}),
    **_variants(
        "qwen2_moe",
        {"shared_expert_intermediate_size": 56},
        {"shared_expert_intermediate_size": 56, "decoder_sparse_step": 2, "mlp_only_layers": [1]},
        {"shared_expert_intermediate_size": 56, "qkv_bias": False},
        base=_DENSE | _EXPERTS,
    ),
    **_variants("qwen3_moe", _HALF, {**_HALF, "mlp_only_layers": [0]}, base=_DENSE | _EXPERTS),
    **_variants(
        "qwen3_next",
        {"num_hidden_layers": 4},
        base=_DENSE
        | _EXPERTS
        | _HALF
        | {
            "shared_expert_intermediate_size": 56,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 10,
            "linear_value_head_dim": 14,
        },
    ),
    **_variants(
        "qwen3_5_text",
        {"num_hidden_layers": 5},
        base=_DENSE
        | _HALF
        | {
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 10,
            "linear_value_head_dim": 14,
        },
    ),
    **_variants("gemma", _HALF, {**_HALF, **_UNTIED}),
    **_variants("gemma2", _HALF),
    **_variants("gemma3_text", _HALF, {**_HALF, "attention_bias": True}),
    **_variants("phi", {}, {"qk_layernorm": True}, _TIED),
    **_variants("phi3", {}, _TIED, {"num_key_value_heads": 6}),
    **_variants("phimoe", *_BIASES, base=_DENSE | _LOCAL),
    **_variants("mixtral", {}, _HALF, base=_DENSE | _LOCAL),
    **_variants("minimax_m2", {}, base=_DENSE | _LOCAL | _HALF),
    **_variants("deepseek_v2", {}, {"q_lora_rank": None}, {"mlp_bias": True}, base=_DENSE | _LATENT),
    **_variants("deepseek_v3", {}, {"q_lora_rank": None}, {"attention_bias": True}, base=_DENSE | _LATENT),
    **_variants("deepseek_v32", {"index_n_heads": 3, "index_head_dim": 16}, base=_DENSE | _LATENT),
    **_variants("glm4_moe_lite", {}, base=_DENSE | _LATENT),
    **_variants("glm", _HALF, {**_HALF, "attention_bias": False}),
    **_variants("glm4", _HALF),
    **_variants(
        "glm4_moe",
        {"use_qk_norm": True, "attention_bias": True},
        {"use_qk_norm": False},
        base=_DENSE | _HALF | {k: v for k, v in _LATENT.items() if "rank" not in k and "head" not in k},
    ),
    **_variants(
        "dots1",
        {},
        base=_DENSE | _HALF | {k: v for k, v in _LATENT.items() if "rank" not in k and "head" not in k},
    ),
    **_variants("internlm3", _HALF, {"qkv_bias": True, "bias": True}),
    **_variants("olmo", {}),
    **_variants("olmo2", {}),
    **_variants("olmo3", {}),
    **_variants("olmoe", {}, base=_DENSE | {"num_experts": 5, "num_experts_per_tok": 2}),
    **_variants("exaone4", _HALF),
    **_variants("granite", _UNTIED, _TIED),
    **_variants("granitemoe", {}, base=_DENSE | _LOCAL),
    **_variants("cohere", {"use_qk_norm": False}, {"use_qk_norm": True}),
    **_variants("cohere2", {}),
    **_variants(
        "stablelm",
        {},
        {"use_qkv_bias": True, "use_parallel_residual": True},
        {"qk_layernorm": True},
    ),
    **_variants("gpt_oss", _HALF, base=_DENSE | _LOCAL),
    **_variants("smollm3", {}),
    **_variants("seed_oss", _HALF, {**_HALF, "attention_out_bias": True}),
    **_variants("ernie4_5", _HALF, {**_HALF, "use_bias": True}),
    **_variants(
        "ernie4_5_moe",
        {},
        {"moe_layer_start_index": 2, "use_bias": True},
        base=_DENSE
        | {"moe_num_experts": 6, "moe_k": 2, "moe_num_shared_experts": 2, "moe_intermediate_size": 40},
    ),
    **_variants("hunyuan_v1_dense", _HALF),
    **_variants(
        "llama4_text",
        {},
        {"interleave_moe_layer_step": 2},
        base=_DENSE | _HALF | _LOCAL | {"intermediate_size_mlp": 72},
    ),
    **_variants("nemotron", _HALF),
    **_variants("arcee", {}),
    **_variants("apertus", {}),
    **_variants("helium", _HALF),
    **_variants("bitnet", {}),
    **_variants("persimmon", {"qk_layernorm": True}, {"qk_layernorm": False}),
    **_variants("starcoder2", {}, {"use_bias": False}),
    **_variants("gpt2", {}, {"n_inner": 200}, _UNTIED, base=_GPT),
    **_variants("gpt_bigcode", {"multi_query": True}, {"multi_query": False}, base=_GPT),
    **_variants("gptj", {"rotary_dim": 8}, base=_GPT),
    **_variants(
        "gpt_neo",
        {},
        base={
            "hidden_size": 96,
            "num_layers": 4,
            "num_heads": 6,
            "attention_types": [[["global", "local"], 2]],
            "vocab_size": 211,
            "max_position_embeddings": 64,
        },
    ),
    **_variants("gpt_neox", *_BIASES, _TIED),
    **_variants(
        "falcon",
        {"multi_query": True},
        {"multi_query": False, "bias": True, "alibi": True, "parallel_attn": False},
        {"new_decoder_architecture": True, "num_kv_heads": 2},
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
    ),
    **_variants("bloom", {}, base={"hidden_size": 96, "n_layer": 3, "n_head": 6, "vocab_size": 211}),
    **_variants(
        "opt",
        {"do_layer_norm_before": True},
        {"do_layer_norm_before": False, "word_embed_proj_dim": 40},
        {"enable_bias": False, "layer_norm_elementwise_affine": False},
        base=_DENSE | {"ffn_dim": 160},
    ),
    **_variants("mpt", {}, base={"d_model": 96, "n_layers": 3, "n_heads": 6, "vocab_size": 211}),
}
