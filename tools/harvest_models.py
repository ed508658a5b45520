"""The catalogue of open models: dsbridge/planner/models.json.

    python -m tools.harvest_models SHAPES.json LITGPT_CONFIG.py LLAMAFACTORY_CONSTANTS.py

SHAPES has the sizes of each model and its published count, LitGPT's config.py (Lightning-AI/litgpt) the same sizes by
Hugging Face name, LLaMA-Factory's constants.py the names people give it. A model whose sizes differ between the first
two is refused. That they make the count of the real model is the conformance run's to say (`conformance.shapes`).
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

OUT = Path(__file__).resolve().parent.parent / "dsbridge" / "planner" / "models.json"
_TEXT = "text part only; the vision part is not counted"
_AS_LLAMA = "counted as Llama, whose sizes it has; its own code names the matrices otherwise"
# ruff: noqa: E501
# model of SHAPES -> its names on the Hugging Face hub
NAMES = {
    "Llama-2-7B": r"meta-llama/Llama-2-7b(-chat)?-hf",
    "Llama-2-13B": r"meta-llama/Llama-2-13b(-chat)?-hf",
    "Llama-2-70B": r"meta-llama/Llama-2-70b(-chat)?-hf",
    "Llama-3/3.1-8B": r"meta-llama/Meta-Llama-3(\.1)?-8B(-Instruct)?|deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    "Llama-3/3.1/3.3-70B": r"meta-llama/(Meta-)?Llama-3(\.[13])?-70B(-Instruct)?|deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
    "Llama-3.1-405B": r"meta-llama/Meta-Llama-3.1-405B(-Instruct)?",
    "Llama-3.2-1B": r"meta-llama/Llama-3.2-1B(-Instruct)?",
    "Llama-3.2-3B": r"meta-llama/Llama-3.2-3B(-Instruct)?",
    "TinyLlama-1.1B": r"TinyLlama/TinyLlama-1.1B-.*",
    "SmolLM2-1.7B": r"HuggingFaceTB/SmolLM2-1.7B(-Instruct)?",
    "Yi-34B": r"01-ai/Yi-(1.5-)?34B(-Chat)?",
    "Qwen2.5-0.5B": r"Qwen/Qwen2(.5)?(-Coder)?-0.5B(-Instruct)?",
    "Qwen2.5-1.5B": r"Qwen/Qwen2(.5)?(-Coder|-Math)?-1.5B(-Instruct)?",
    "Qwen2.5-3B": r"Qwen/Qwen2.5(-Coder)?-3B(-Instruct)?",
    "Qwen2/2.5-7B": r"Qwen/Qwen2(.5)?(-Coder|-Math)?-7B(-Instruct)?(-1M)?|deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    "Qwen2.5-14B": r"Qwen/Qwen2.5(-Coder)?-14B(-Instruct)?(-1M)?|deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
    "Qwen2.5-32B": r"Qwen/Qwen2.5(-Coder)?-32B(-Instruct)?|Qwen/QwQ-32B(-Preview)?|deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
    "Qwen2.5-72B": r"Qwen/Qwen2.5(-Math)?-72B(-Instruct)?",
    "Qwen3-0.6B": r"Qwen/Qwen3-0.6B(-Base)?",
    "Qwen3-1.7B": r"Qwen/Qwen3-1.7B(-Base)?",
    "Qwen3-4B": r"Qwen/Qwen3-4B(-Base|-Thinking-2507|-Instruct-2507)?",
    "Qwen3-8B": r"Qwen/Qwen3-8B(-Base)?|deepseek-ai/DeepSeek-R1-0528-Qwen3-8B",
    "Qwen3-14B": r"Qwen/Qwen3-14B(-Base)?",
    "Qwen3-32B": r"Qwen/Qwen3-32B",
    "Qwen3-30B-A3B": r"Qwen/Qwen3-30B-A3B(-Base|-Thinking-2507|-Instruct-2507)?",
    "Qwen3-235B-A22B": r"Qwen/Qwen3-235B-A22B(-Thinking-2507|-Instruct-2507)?",
    "Qwen1.5-MoE-A2.7B": r"Qwen/Qwen1.5-MoE-A2.7B(-Chat)?",
    "Mistral-7B-v0.1": r"mistralai/Mistral-7B-(Instruct-)?v0.[12]",
    "Mistral-7B-v0.3": r"mistralai/Mistral-7B-(Instruct-)?v0.3|mistralai/[Mm]athstral-7B-v0.1",
    "Mistral-Nemo-12B": r"mistralai/Mistral-Nemo-(Base|Instruct)-2407",
    "Mistral-Small-24B-2501": r"mistralai/Mistral-Small-24B-(Base|Instruct)-2501",
    "Mistral-Large-2407": r"mistralai/Mistral-Large-Instruct-24(07|11)",
    "Mixtral-8x7B": r"mistralai/Mixtral-8x7B-(Instruct-)?v0.1",
    "Mixtral-8x22B": r"mistralai/Mixtral-8x22B-(Instruct-)?v0.1",
    "Gemma-2B": r"google/gemma-(1.1-)?2b(-it)?",
    "Gemma-7B": r"google/gemma-(1.1-)?7b(-it)?|google/codegemma-(1.1-)?7b(-it)?",
    "Gemma-2-2B": r"google/gemma-2-2b(-it)?",
    "Gemma-2-9B": r"google/gemma-2-9b(-it)?",
    "Gemma-2-27B": r"google/gemma-2-27b(-it)?",
    "Gemma-3-1B": r"google/gemma-3-1b-(it|pt)",
    "Gemma-3-4B (text)": r"google/gemma-3-4b-(it|pt)",
    "Gemma-3-12B (text)": r"google/gemma-3-12b-(it|pt)",
    "Gemma-3-27B (text)": r"google/gemma-3-27b-(it|pt)",
    "Phi-2": r"microsoft/phi-2",
    "Phi-3-mini": r"microsoft/Phi-3(.5)?-mini-(4k-|128k-)?instruct",
    "Phi-4": r"microsoft/[Pp]hi-4(-reasoning(-plus)?)?",
    "Phi-4-mini": r"microsoft/Phi-4-mini-(instruct|reasoning)",
    "InternLM2-1.8B": r"internlm/internlm2(_5)?-(chat-)?1_8b(-chat)?",
    "InternLM2/2.5-7B": r"internlm/internlm2(_5)?-(chat-)?7b(-chat)?(-1m)?",
    "InternLM2/2.5-20B": r"internlm/internlm2(_5)?-(chat-)?20b(-chat)?",
    "InternLM3-8B": r"internlm/internlm3-8b-instruct",
    "DeepSeek-V2-Lite": r"deepseek-ai/DeepSeek-(Coder-)?V2-Lite(-Base|-Chat|-Instruct)?",
    "DeepSeek-V2": r"deepseek-ai/DeepSeek-V2(-Chat(-0628)?|.5(-1210)?)?|deepseek-ai/DeepSeek-Coder-V2-(Base|Instruct)",
    "DeepSeek-V3/R1": r"deepseek-ai/DeepSeek-(V3(-Base|-0324)?|R1(-Zero|-0528)?)",
    "gpt-oss-20b": r"openai/gpt-oss-20b",
    "gpt-oss-120b": r"openai/gpt-oss-120b",
}
# models that neither list names
OTHERS = ("Qwen/Qwen1.5-MoE-A2.7B", "Qwen/Qwen1.5-MoE-A2.7B-Chat", "mistralai/Mistral-Large-Instruct-2407")
_NOTES = {"(text)": _TEXT, "InternLM2": _AS_LLAMA}


class Sizes(NamedTuple):
    """What LitGPT and a config.json both say of a model."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int


def of_config(config: dict[str, Any]) -> Sizes:
    """The sizes that a config.json gives."""
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    return Sizes(
        config["num_hidden_layers"],
        hidden,
        heads,
        config["num_key_value_heads"],
        config.get("head_dim", hidden // heads),
        config["intermediate_size"],
        config["vocab_size"],
    )


def litgpt(path: Path) -> dict[str, Sizes]:
    """LitGPT's sizes by name; it pads vocabularies, so that only a padded one equals the model's own."""
    spec = importlib.util.spec_from_file_location("litgpt_config", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found = {}
    for raw in module.configs:
        c, hub = module.Config(**raw), raw.get("hf_config") or {}
        sizes = (c.n_layer, c.n_embd, c.n_head, c.n_query_groups, c.head_size, c.intermediate_size)
        found[f"{hub.get('org')}/{hub.get('name')}"] = Sizes(*sizes, c.padded_vocab_size)
    return found


def llamafactory(path: Path) -> list[str]:
    """The Hugging Face names in LLaMA-Factory's list of models."""
    return re.findall(r'DownloadSource\.DEFAULT: "([^"]+)"', path.read_text(encoding="utf-8"))


def entries(
    shapes: list[dict[str, Any]], known: dict[str, Sizes], named: list[str]
) -> Iterator[dict[str, Any]]:
    """One entry a model: its names, its config, and what is published of its size."""
    for shape in shapes:
        names = [n for n in dict.fromkeys((*named, *known, *OTHERS)) if re.fullmatch(NAMES[shape["name"]], n)]
        for name in names:
            ours = of_config(shape["dims"])
            # the text part of a Gemma 3 pads its vocabulary by 64, which LitGPT does not hold
            if name in known and known[name] != ours and "(text)" not in shape["name"]:
                raise SystemExit(f"{name}: {ours} here, {known[name]} in LitGPT")
        assert names, shape["name"]
        note = next((text for mark, text in _NOTES.items() if mark in shape["name"]), "")
        yield {
            "name": min(names, key=len),
            "names": sorted(names),
            "published": shape["published"],
            **({"note": note} if note else {}),
            "config": {"model_type": shape["model_type"], **shape["dims"]},
        }


def main(shapes: str, litgpt_config: str, constants: str) -> None:
    """Write the catalogue."""
    found = entries(
        json.loads(Path(shapes).read_text(encoding="utf-8")),
        litgpt(Path(litgpt_config)),
        llamafactory(Path(constants)),
    )
    rows = ",\n".join("  " + json.dumps(entry) for entry in found)
    stamp = json.dumps({"by": "tools/harvest_models.py", "names": "litgpt 0.5.13, llamafactory 0.9.5"})
    OUT.write_text(f'{{\n "stamp": {stamp},\n "models": [\n{rows}\n ]\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
