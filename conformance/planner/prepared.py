"""What DeepSpeed makes of `prepare_model_for_kbit_training`: dtypes of a packed model before and behind it.

python -m conformance.planner.prepared            # again, compared with the recording
python -m conformance.planner.prepared --write    # stored

PEFT casts all that is not packed to fp32. The engine, in bf16, casts each parameter.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "tests" / "recorded" / "planner" / "prepared-llamafactory.json"
PACKAGES = ("torch", "transformers", "peft", "deepspeed", "bitsandbytes")
KINDS = {"lora_": "adapters", "norm": "norms", "embed": "embedding", "lm_head": "head"}
ALONE = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29737",
    "DS_ACCELERATOR": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
}


def dtypes(model: Any) -> dict[str, str]:
    """Of the packed weights, and of each other kind of parameter."""
    found: dict[str, Counter[str]] = {}
    for name, parameter in model.named_parameters():
        kind = next((kind for mark, kind in KINDS.items() if mark in name), "others")
        kind = "packed" if type(parameter).__name__ == "Params4bit" else kind
        found.setdefault(kind, Counter())[str(parameter.dtype).removeprefix("torch.")] += 1
    return {kind: " and ".join(sorted(types)) for kind, types in sorted(found.items())}


def seen(stage: int) -> dict[str, Any]:
    """Of one engine."""
    import torch
    from peft import prepare_model_for_kbit_training
    from transformers import AutoConfig, AutoModelForCausalLM

    from conformance.planner import quantised

    deepspeed = importlib.import_module("deepspeed")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model("llama", num_key_value_heads=2, vocab_size=256, use_cache=False, **sizes)
    case = {"quantised": {"storage": "bfloat16" if stage == 3 else "uint8"}, "checkpointing": True}
    model = quantised.build(case, AutoModelForCausalLM.from_config(config))
    before = dtypes(model)
    base = model.get_base_model()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    prepare_model_for_kbit_training(base)
    for parameter in trained:
        parameter.requires_grad = True  # PEFT's way is to prepare first; it freezes all that it meets
    prepared = dtypes(model)
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    told: dict[str, Any] = {"train_micro_batch_size_per_gpu": 1, "zero_allow_untested_optimizer": True}
    told |= {"bf16": {"enabled": True}, "zero_optimization": {"stage": stage}}
    engine = deepspeed.initialize(model=model, optimizer=optimizer, config=told)[0]
    hidden: list[str] = []
    for layer in base.model.layers:
        layer.register_forward_pre_hook(
            lambda _, given: hidden.append(str(given[0].dtype).removeprefix("torch."))
        )
    ids = torch.randint(3, 256, (1, 16))
    engine(input_ids=ids, labels=ids)
    return {"before": before, "prepared": prepared, "engine": dtypes(model), "hidden": hidden}


def main() -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description="What DeepSpeed makes of a prepared model.")
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    options = parser.parse_args()
    os.environ.update(ALONE)
    deepspeed = importlib.import_module("deepspeed")
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed("gloo", verbose=False)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    now = {"versions": versions, "stages": {str(stage): seen(stage) for stage in range(4)}}
    if options.write:
        PATH.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    same = PATH.is_file() and json.loads(PATH.read_text(encoding="utf-8")) == now
    print(f"4 engines: {'as' if same else 'not as'} recorded")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
