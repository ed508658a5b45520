"""How the layers of each architecture run, where the modules they hold do not tell: norms, activation, order.

Read in transformers 5.23.0 and 4.51.3 (`modeling_<model_type>.py`); that each entry keeps the bytes that were
measured is tested (`tests/planner/test_activations.py`).
"""

from __future__ import annotations

from typing import NamedTuple

# norms: of Llama; with weights from 1, in fp32 (Gemma); weights applied in fp32 (OLMo 2); Cohere's; none
# trained
LLAMA, GEMMA, LATE, COHERE, PLAIN = "llama", "gemma", "late", "cohere", "plain"
SILU, GELU_NEW, RELU, SQUARED = "silu", "gelu_new", "relu", "relu2"  # SILU: any that saves its input alone
ROTATED, JOINED, NOWHERE = "rotated", "joined", "none"
SOFTMAX, FP32, SIGMOID = (
    "softmax",
    "fp32",
    "sigmoid",
)  # routers: FP32: of tokens cast to it; SIGMOID: that too


# a layer at work over what the tape says, in every recording; and in those of some architectures alone
# (tests/recorded/planner/activations, `alive` with checkpointing)
LOOSE, CLOSE = (0.91, 1.19), (1.0, 1.03)


class Style(NamedTuple):
    """norm: of RMS norms, or those without weights. positions: `rotated` heads keep the order of their
    elements in memory, `joined` ones (rotated in part) are made anew and their context is copied.
    before_attention, before_mlp: norms in front; after_attention, after_mlp: behind. parallel: both read the
    same hidden states. capped: scores are capped, and with eager attention their tanh is kept. fp32_scores:
    eager attention takes the softmax in fp32. leaves: SDPA left queries where they are in older releases
    too. tables: bytes of angles that each layer keeps, for a position and an element of a head. masks: older
    releases give SDPA a mask in every layer. measured: recordings confirm it. work: bounds of a layer at
    work, over what the tape says."""

    norm: str = LLAMA
    act: str = SILU
    positions: str = ROTATED
    before_attention: str = "input_layernorm"
    after_attention: str = ""
    before_mlp: str = "post_attention_layernorm"
    after_mlp: str = ""
    parallel: bool = False
    capped: bool = False
    router: str = SOFTMAX
    fp32_scores: bool = True
    leaves: bool = False
    tables: int = 0
    masks: bool = False
    measured: bool = True
    work: tuple[float, float] = LOOSE


_BOTH = {
    "after_attention": "post_attention_layernorm",
    "before_mlp": "pre_feedforward_layernorm",
    "after_mlp": "post_feedforward_layernorm",
}
_AFTER = {**_BOTH, "before_attention": "", "before_mlp": ""}
_GPT = {"before_attention": "ln_1", "before_mlp": "ln_2", "positions": NOWHERE, "fp32_scores": False}
_PARALLEL = {"parallel": True, "before_mlp": ""}

STYLES: dict[str, Style] = {
    **{name: Style(work=CLOSE) for name in ("llama", "mistral", "qwen2", "qwen3")},
    "gemma": Style(norm=GEMMA),
    "gemma2": Style(norm=GEMMA, capped=True, masks=True, **_BOTH),  # type: ignore[arg-type]
    "gemma3_text": Style(norm=GEMMA, masks=True, **_BOTH),  # type: ignore[arg-type]
    "phi": Style(act=GELU_NEW, positions=JOINED, **_PARALLEL),  # type: ignore[arg-type]
    "phi3": Style(positions=JOINED),
    "glm": Style(positions=JOINED, tables=2),
    "glm4": Style(
        positions=JOINED, tables=2, after_attention="post_self_attn_layernorm", after_mlp="post_mlp_layernorm"
    ),
    "glm4_moe": Style(positions=JOINED, router=SIGMOID),
    "dots1": Style(router=SIGMOID),
    "olmo": Style(norm=PLAIN),
    "olmo2": Style(norm=LATE, **_AFTER),  # type: ignore[arg-type]
    "olmo3": Style(norm=LATE, **_AFTER),  # type: ignore[arg-type]
    "exaone4": Style(**_AFTER),  # type: ignore[arg-type]
    "cohere": Style(norm=COHERE, **_PARALLEL),  # type: ignore[arg-type]
    "cohere2": Style(norm=COHERE, masks=True, **_PARALLEL),  # type: ignore[arg-type]
    "stablelm": Style(positions=JOINED),
    "nemotron": Style(act=SQUARED, positions=JOINED),
    "arcee": Style(act=SQUARED),
    "gpt2": Style(act=GELU_NEW, **_GPT),  # type: ignore[arg-type]
    "gpt_bigcode": Style(measured=False, **_GPT),  # type: ignore[arg-type]
    "gptj": Style(act=GELU_NEW, before_attention="ln_1", positions=JOINED, parallel=True, measured=False),
    "gpt_neo": Style(act=GELU_NEW, measured=False, **_GPT),  # type: ignore[arg-type]
    "gpt_neox": Style(positions=JOINED, parallel=True),
    "opt": Style(
        act=RELU,
        leaves=True,
        positions=NOWHERE,
        before_attention="self_attn_layer_norm",
        before_mlp="final_layer_norm",
    ),
    "bloom": Style(positions=NOWHERE, measured=False),
    "falcon": Style(parallel=True, before_mlp="", measured=False),
    "mpt": Style(before_attention="norm_1", before_mlp="norm_2", positions=NOWHERE, measured=False),
    "persimmon": Style(act=SQUARED, positions=JOINED, measured=False),
    "deepseek_v2": Style(positions=JOINED, router=FP32),
    "deepseek_v3": Style(positions=JOINED, router=SIGMOID),
    "deepseek_v32": Style(positions=JOINED, router=SIGMOID, measured=False),
    "glm4_moe_lite": Style(positions=JOINED, router=SIGMOID, measured=False),
    "minimax_m2": Style(positions=JOINED),
    "gpt_oss": Style(norm=LATE),
    "qwen3_next": Style(norm=GEMMA, measured=False),
    "qwen3_5_text": Style(norm=GEMMA, measured=False),
    "llama4_text": Style(measured=False),
    "apertus": Style(
        before_attention="attention_layernorm", before_mlp="feedforward_layernorm", measured=False
    ),
    "bitnet": Style(measured=False),
    "helium": Style(measured=False),
    "ernie4_5": Style(tables=8),
    "ernie4_5_moe": Style(router=FP32, tables=8),
    "qwen2_moe": Style(leaves=True),
    "olmoe": Style(leaves=True),
    "phimoe": Style(leaves=True),
    "granitemoe": Style(leaves=True),
}


def style(model_type: str, release: tuple[int, ...] = (99,)) -> Style:
    """How an architecture runs in a release of transformers: Llama's way where nothing else is said."""
    found = STYLES.get(model_type, Style())
    # modeling_olmo2.py of 4.51.3 casts before it applies the weights, that of 4.52.4 behind
    return found._replace(norm=LLAMA) if model_type == "olmo2" and release < (4, 52) else found
