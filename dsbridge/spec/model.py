"""The model, and which of its weights are trained."""

from __future__ import annotations

from dsbridge.spec.kinds import Boolean, Choice, Integer, ListOf, Number, Text
from dsbridge.spec.setting import Part, setting
from dsbridge.values import Option


class Model(Part):
    """What is trained. Dimensions are for planning, where no config.json is at hand."""

    name_or_path: Option[str] = setting(
        Text(auto=False), "Hub name or local folder.", "", "transformers/configuration_utils.py"
    )
    trust_remote_code: Option[bool] = setting(
        Boolean(auto=False),
        "Run code that comes with the model.",
        "",
        "transformers/configuration_utils.py",
    )
    attention: Option[str] = setting(
        Choice(auto=False, options=("eager", "sdpa", "flash_attention_2", "flash_attention_3")),
        "The attention implementation.",
        "",
        "transformers/configuration_utils.py",
    )
    hidden_size: Option[int] = setting(
        Integer(auto=False, least=1),
        "Width of the residual stream.",
        "",
        "transformers/configuration_utils.py",
    )
    num_hidden_layers: Option[int] = setting(
        Integer(auto=False, least=1),
        "Transformer blocks.",
        "",
        "transformers/configuration_utils.py",
    )
    num_attention_heads: Option[int] = setting(
        Integer(auto=False, least=1),
        "Query heads; tp and ulysses must divide them.",
        "",
        "transformers/configuration_utils.py",
    )
    num_key_value_heads: Option[int] = setting(
        Integer(auto=False, least=1),
        "Key and value heads.",
        "",
        "transformers/configuration_utils.py",
    )
    intermediate_size: Option[int] = setting(
        Integer(auto=False, least=1), "Width of the MLP.", "", "transformers/configuration_utils.py"
    )
    vocab_size: Option[int] = setting(
        Integer(auto=False, least=1),
        "Rows of the embedding.",
        "",
        "transformers/configuration_utils.py",
    )


class Finetuning(Part):
    """Which weights are trained."""

    method: Option[str] = setting(
        Choice(auto=False, options=("full", "freeze", "lora", "qlora")),
        "All weights, the last layers, low-rank adapters, or adapters on a quantised model.",
        "",
        "peft/tuners/lora/config.py",
    )
    rank: Option[int] = setting(
        Integer(auto=False, least=1),
        "LoRA: rank of the adapters.",
        "",
        "peft/tuners/lora/config.py",
    )
    alpha: Option[float] = setting(
        Number(auto=False, least=0),
        "LoRA: scaling numerator; the update is scaled by alpha / rank.",
        "",
        "peft/tuners/lora/config.py",
    )
    dropout: Option[float] = setting(
        Number(auto=False, least=0, most=1),
        "LoRA: dropout before the adapter.",
        "",
        "peft/tuners/lora/config.py",
    )
    target_modules: Option[tuple[str, ...] | str] = setting(
        ListOf(auto=False, words=("all",)),
        "LoRA: names of the layers that get adapters, or all linear ones.",
        "",
        "peft/tuners/lora/config.py",
    )
    use_rslora: Option[bool] = setting(
        Boolean(auto=False), "LoRA: scale by alpha / sqrt(rank).", "", "peft/tuners/lora/config.py"
    )
    use_dora: Option[bool] = setting(
        Boolean(auto=False),
        "LoRA: train magnitude and direction apart (DoRA).",
        "",
        "peft/tuners/lora/config.py",
    )
    quantization_bits: Option[int] = setting(
        Choice(auto=False, options=(4, 8)),
        "Bits of the frozen base weights; 4 for qlora unless given.",
        "",
        "peft/tuners/lora/config.py",
    )
    quantization_type: Option[str] = setting(
        Choice(auto=False, options=("nf4", "fp4")),
        "4-bit number format.",
        "",
        "peft/tuners/lora/config.py",
    )
    double_quantization: Option[bool] = setting(
        Boolean(auto=False),
        "Quantise the scales of 4-bit weights too.",
        "",
        "peft/tuners/lora/config.py",
    )
    trainable_layers: Option[int] = setting(
        Integer(auto=False),
        "freeze: how many last layers are trained; negative counts the first ones.",
        "",
        "peft/tuners/lora/config.py",
    )
    trainable_modules: Option[tuple[str, ...] | str] = setting(
        ListOf(auto=False, words=("all",)),
        "freeze: which parts of those layers.",
        "",
        "peft/tuners/lora/config.py",
    )
