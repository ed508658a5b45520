"""What PEFT and LLaMA-Factory train of a real model: python -m conformance.shapes.tuning --out FILE

With an environment's own Python. Each case is a tiny model and a method; what is recorded is the number of
parameters that take gradients, and of all that are held.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from conformance.shapes.cases import TINY
from conformance.shapes.weigh import build, knows

MODELS = (
    "llama",
    "qwen2 tie_word_embeddings=True",
    "qwen2_moe shared_expert_intermediate_size=56",
    "qwen3_moe head_dim=24",
    "mixtral",
    "deepseek_v3",
    "gpt2",
    "phi3",
    "gpt_neox attention_bias=True",
    "gemma2 head_dim=24",
    "glm4 head_dim=24",
    "gpt_oss head_dim=24",
)
LORA: tuple[dict[str, Any], ...] = (
    {"rank": 4, "targets": "all-linear"},
    {"rank": 8, "targets": ["q_proj", "v_proj"]},
    {"rank": 8, "targets": ["q_proj", "v_proj"], "bias": "lora_only"},
    {"rank": 2, "targets": "all-linear", "bias": "all"},
    {"rank": 2, "targets": "all-linear", "dora": True},
    {"rank": 16, "targets": r".*\.layers\.1\..*\.(k|v)_proj"},
    {"rank": 4, "targets": ["q_proj", "embed_tokens"], "save": ["lm_head"]},
    {"rank": 4, "targets": ["o_proj"], "save": ["embed_tokens", "lm_head"]},
    {"rank": 4, "targets": "all"},
)
FREEZE: tuple[dict[str, Any], ...] = (
    {"layers": 2, "modules": ["all"], "extra": []},
    {"layers": -1, "modules": ["all"], "extra": []},
    {"layers": 1, "modules": ["mlp"], "extra": ["embed_tokens"]},
)


def counted(model: Any) -> dict[str, int]:
    """Parameters that take gradients, and all."""
    held = list(model.parameters())
    return {
        "trainable": sum(p.numel() for p in held if p.requires_grad),
        "held": sum(p.numel() for p in held),
    }


def lora(model: Any, method: dict[str, Any]) -> dict[str, Any]:
    """What PEFT makes of it, or the reason why it refuses."""
    from peft import LoraConfig, get_peft_model

    targets = method["targets"]
    if targets == "all":
        targets = _all_of_llamafactory(model)
    config = LoraConfig(
        r=method["rank"],
        target_modules=targets,
        bias=method.get("bias", "none"),
        use_dora=method.get("dora", False),
        modules_to_save=method.get("save"),
        task_type="CAUSAL_LM",
    )
    try:
        return counted(get_peft_model(model, config))
    except (ValueError, NotImplementedError) as error:
        return {"refused": str(error).split(".")[0][:160]}


def _all_of_llamafactory(model: Any) -> list[str]:
    from llamafactory.model.model_utils.misc import find_all_linear_modules

    return sorted(find_all_linear_modules(model, freeze_vision_tower=True))


def freeze(model: Any, method: dict[str, Any]) -> dict[str, Any]:
    """What LLaMA-Factory's own set-up leaves trainable."""
    from llamafactory.model.adapter import _setup_freeze_tuning

    asked = SimpleNamespace(
        use_llama_pro=False,
        freeze_trainable_layers=method["layers"],
        freeze_trainable_modules=method["modules"],
        freeze_extra_modules=method["extra"],
        freeze_multi_modal_projector=True,
        freeze_vision_tower=True,
        freeze_language_model=False,
    )
    try:
        _setup_freeze_tuning(model, asked, is_trainable=True, cast_trainable_params_to_fp32=False)
    except ValueError as error:
        return {"refused": str(error).split(",")[0][:160]}
    return counted(model)


def main() -> None:
    """Write every case of the installed packages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    import peft
    import transformers

    try:
        import llamafactory  # noqa: F401

        factory = True
    except ImportError:
        factory = False
    rows = []
    for name in (name for name in MODELS if knows(TINY[name])):
        config = TINY[name]
        asked = [method for method in LORA if factory or method["targets"] != "all"]
        rows += [{"model": name, "lora": how, **lora(build(config, "cpu"), how)} for how in asked]
        frozen = FREEZE if factory else ()
        rows += [{"model": name, "freeze": how, **freeze(build(config, "cpu"), how)} for how in frozen]
    head = json.dumps({"transformers": transformers.__version__, "peft": peft.__version__})
    lines = ",\n".join("  " + json.dumps({**row, "config": TINY[row["model"]]}) for row in rows)
    out.write_text(f'{{\n "versions": {head},\n "cases": [\n{lines}\n ]\n}}\n', encoding="utf-8")
    print(f"{len(rows)} cases, {sum('refused' in row for row in rows)} refused")


if __name__ == "__main__":
    main()
