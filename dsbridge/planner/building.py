"""From a config.json to a ModelShape, by the table of architectures."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from dsbridge.planner import configs
from dsbridge.planner.architecture import Architecture, architecture, blocks, known, modules
from dsbridge.planner.checks import check_sizes
from dsbridge.planner.errors import ShapeError
from dsbridge.planner.expressions import MissingKeys, Names, evaluate
from dsbridge.planner.modules import LAYERNORM, RMS, Block
from dsbridge.planner.shape import Experts, LatentAttention, ModelShape
from dsbridge.rules import numbers


def from_config(config: Mapping[str, Any], name: str = "", transformers: str | None = None) -> ModelShape:
    """The shape of the model that a config.json describes.

    `transformers` is the release that will load it (the newest we know if not given): from 5 on it holds the
    experts of a layer in one module.
    """
    release = transformers or configs.releases()[-1]
    text, _ = configs.text_part(config)
    model_type = _model_type(text, config)
    filled = configs.complete(config, model_type, release)
    found = architecture(model_type)
    keys = {**filled.keys, "release": _release(release)}
    try:
        names = Names(keys, found.names)
        check_sizes(names, model_type)
        held = blocks(found, keys, names["layers"])
        outside = modules(found.outside, names)
    except MissingKeys as error:
        raise ShapeError(
            f"the config of this {model_type} model does not say {' or '.join(error.args)}",
            "give the model's whole config.json, or the name of a model in the catalogue",
        ) from error
    kv = names["kv"]
    return ModelShape(
        name=name or str(config.get("_name_or_path") or model_type),
        model_type=model_type,
        transformers=release,
        layers=names["layers"],
        hidden=names["hidden_size"],
        intermediate=names["inner"],
        heads=names["heads"],
        kv_heads=kv,
        head_dim=names["dim"],
        vocab=names["vocab_size"],
        tied=bool(names["tie_word_embeddings"]),
        attention=_attention(names),
        latent=_latent(names),
        experts=_experts(names, held),
        sliding_window=_window(names),
        norm=_norm(found, held),
        positions=_positions(found, names),
        blocks=held,
        outside=outside,
        prefix=found.prefix,
        omitted=filled.omitted,
        assumed=filled.assumed,
    )


def _model_type(text: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    given = text.get("model_type") or config.get("model_type")
    if given is None:
        near = "give the model's whole config.json, which names it"
        raise ShapeError("the config does not say its model_type", near)
    if given in known():
        return str(given)
    if f"{given}_text" in known():
        return f"{given}_text"
    close = get_close_matches(str(given), known(), n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ShapeError(
        f"model_type {given!r} is not one we can count", f"{hint}known: {', '.join(sorted(known()))}"
    )


def _release(version: str) -> float:
    """5.6.0 as 5.06 and 5.23.1 as 5.2301, so that the table can compare it."""
    major, minor, patch = (*numbers(version), 0, 0)[:3]
    return round(major + minor / 100 + patch / 10000, 4)


def _attention(names: Names) -> str:
    if names["kv_lora_rank"]:
        return "mla"
    if names["kv"] == names["heads"]:
        return "mha"
    return "mqa" if names["kv"] == 1 else "gqa"


def _latent(names: Names) -> LatentAttention | None:
    if not names["kv_lora_rank"]:
        return None
    return LatentAttention(
        q_rank=names["q_lora_rank"],
        kv_rank=names["kv_lora_rank"],
        nope_head_dim=names["qk_nope_head_dim"],
        rope_head_dim=names["qk_rope_head_dim"],
        v_head_dim=names["v_head_dim"],
    )


def _experts(names: Names, held: tuple[Block, ...]) -> Experts | None:
    having = [block for block in held if any(module.part == "experts" for module in block.modules)]
    if not having:
        return None
    return Experts(
        routed=names["experts"],
        per_token=names["per_token"] or 1,
        shared=names["shared"],
        intermediate=names["expert_inner"],
        layers=tuple(sorted(index for block in having for index in block.layers)),
    )


def _window(names: Names) -> int | None:
    types = names["layer_types"]
    if names["use_sliding_window"] is False or (types and "sliding_attention" not in types):
        return None
    return names["sliding_window"] or None


def _norm(found: Architecture, held: tuple[Block, ...]) -> str:
    if found.norm:
        return found.norm
    kinds = {module.kind for block in held for module in block.modules if module.part == "norm"}
    return "rmsnorm" if RMS in kinds else "layernorm" if LAYERNORM in kinds else "none"


def _positions(found: Architecture, names: Names) -> str:
    if found.positions == "alibi or rotary":
        return "alibi" if evaluate("alibi", names) else "rotary"
    return found.positions
