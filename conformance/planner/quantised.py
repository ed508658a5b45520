"""A tiny Llama with a base packed by bitsandbytes and LoRA adapters of PEFT, and what unpacking it takes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch


def build(case: dict[str, Any], model: Any) -> torch.nn.Module:
    """Save it, load it as a user would, and put adapters on it."""
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    wanted = case["quantised"]
    options = BitsAndBytesConfig(load_in_8bit=True)
    if wanted["storage"] != "int8":
        options = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=wanted.get("double", True),
            bnb_4bit_compute_dtype=torch.bfloat16,
            bnb_4bit_quant_storage=getattr(torch, wanted["storage"]),
        )
    with tempfile.TemporaryDirectory() as folder:
        # by hand: transformers' own saving writes on the first rank alone
        model.config.to_json_file(Path(folder, "config.json"))
        weights = {name: weight.bfloat16() for name, weight in model.state_dict().items()}
        save_file(weights, Path(folder, "model.safetensors"), metadata={"format": "pt"})
        base = AutoModelForCausalLM.from_pretrained(
            folder, quantization_config=options, device_map="cpu", dtype=torch.bfloat16
        )
    if case.get("checkpointing"):
        base.gradient_checkpointing_enable({"use_reentrant": case.get("reentrant", False)})
        base.enable_input_require_grads()
    base.train()  # from_pretrained leaves it in evaluation, where nothing is checkpointed
    adapter = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(base, adapter)  # type: ignore[no-any-return]


def scales(model: Any) -> Iterator[torch.Tensor]:
    """All that unpacks the weights; of 8 bits also the copy of them that the module keeps."""
    for module in model.modules():
        if hasattr(getattr(module, "state", None), "SCB"):
            yield from (one for one in (module.state.SCB, module.state.CB) if one is not None)
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is None:
            continue
        yield from (state.absmax, state.code)
        if state.nested:
            yield from (state.offset, state.state2.absmax, state.state2.code)


def packed(model: Any) -> list[int]:
    """The places of packed weights among all parameters."""
    return [
        place
        for place, weight in enumerate(model.parameters())
        if type(weight).__name__ in ("Params4bit", "Int8Params")
    ]
