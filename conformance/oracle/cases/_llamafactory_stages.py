"""Training stages that need data of their own, and data that the case brings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases._llamafactory_files import (
    AUTO,
    BASE,
    GONE,
    OPTIMIZER,
    SCHEDULER,
    SHIPPED,
    case,
    changed,
)

PREFERENCES = [
    {"instruction": f"Say {n}.", "input": "", "chosen": f"Number {n}.", "rejected": "No."} for n in range(16)
]
LABELS = [{"instruction": f"Say {n}.", "output": f"Number {n}.", "tag": n % 2 == 0} for n in range(16)]
PLAIN = [{"instruction": f"Say {n}.", "input": "", "output": f"Number {n}."} for n in range(21)]
INFO = {
    "pairs": {
        "file_name": "pairs.json",
        "ranking": True,
        "columns": {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"},
    },
    "labels": {
        "file_name": "labels.json",
        "columns": {"prompt": "instruction", "response": "output", "kto_tag": "tag"},
    },
    "plain": {"file_name": "plain.json"},
    "gone": {"file_name": "gone.json"},
}
FILES = {
    "rows/dataset_info.json": json.dumps(INFO),
    "rows/pairs.json": json.dumps(PREFERENCES),
    "rows/labels.json": json.dumps(LABELS),
    "rows/plain.json": json.dumps(PLAIN),
}


def own(**changes: Any) -> dict[str, Any]:
    """BASE with rows of the case's own."""
    return changed(BASE, {"dataset_dir": "rows", "dataset": "plain", **changes})


def stages() -> Iterator[Case]:
    """Each stage; wrong data; rows that can be counted."""
    lora = {"finetuning_type": "lora"}
    for name, settings in {
        "rm": own(stage="rm", dataset="pairs"),
        "rm-lora": own(stage="rm", dataset="pairs", **lora),
        "dpo-lora": own(stage="dpo", dataset="pairs", **lora),
        "dpo": own(stage="dpo", dataset="pairs"),
        "dpo-simpo": own(stage="dpo", dataset="pairs", pref_loss="simpo"),
        "kto-lora": own(stage="kto", dataset="labels", **lora),
        "pt": own(stage="pt"),
        "rm-plain-data": own(stage="rm"),
        "sft-ranking-data": own(dataset="pairs"),
        "rows-gone": own(dataset="gone"),
        "undefined": own(dataset="identity"),
        "rm-best-model": own(stage="rm", dataset="pairs", load_best_model_at_end=True, eval_strategy="steps",
                             val_size=0.25, eval_steps=5, save_steps=5),
    }.items():  # fmt: skip
        yield case(f"stage/{name}", settings, files=FILES)
        if name in ("rm", "rm-lora", "dpo-lora", "kto-lora", "dpo"):
            yield case(f"stage/{name}-3", settings, SHIPPED["z3"], files=FILES)
    yield from referenced()
    for start in ("z2", "z3"):
        for kind, name in (("api", "http://localhost:1"), ("full", "model"), ("lora", "model")):
            for method in ("lora", "full"):
                settings = own(stage="ppo", reward_model_type=kind, reward_model=name, finetuning_type=method)
                yield case(f"stage/ppo-{start}-{kind}-{method}", settings, SHIPPED[start], files=FILES)
    broken = {**FILES, "rows/dataset_info.json": '{"plain": '}
    yield case("stage/broken-index", own(), AUTO, files=broken)


def referenced() -> Iterator[Case]:
    """DPO and KTO with a reference model, which gets an engine of its own before training starts."""
    both = {"optimizer": OPTIMIZER, "scheduler": SCHEDULER}
    explicit = {**SCHEDULER, "params": {**SCHEDULER["params"], "total_num_steps": 20, "warmup_num_steps": 2}}
    number = {"train_batch_size": 16, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 4}
    configs: dict[str, dict[str, Any]] = {
        "optimizer": {"optimizer": OPTIMIZER},
        "sgd": {"optimizer": {"type": "SGD", "params": {"lr": "auto"}}},
        "scheduler": {"scheduler": SCHEDULER},
        "both": both,
        "both-explicit": {"optimizer": OPTIMIZER, "scheduler": explicit},
        "no-zero": {"zero_optimization": GONE},
        "no-stage": {"zero_optimization": {"overlap_comm": True}},
        "unknown-key": {"zero_optimization.offload_parameters": True},
        "batch": number,
        "batch-wrong": {**number, "train_batch_size": 15},
        "offload": {"zero_optimization.offload_optimizer": {"device": "cpu"}},
        "offload-optimizer": {
            "zero_optimization.offload_optimizer": {"device": "cpu"},
            "optimizer": OPTIMIZER,
        },
    }
    dpo, kto = own(stage="dpo", dataset="pairs"), own(stage="kto", dataset="labels")
    for start in ("z2", "z3"):
        base = json.loads(SHIPPED[start])
        for name, changes in configs.items():
            yield case(f"reference/{start}-{name}", dpo, changed(base, changes), files=FILES)
        for kind, precision in {"fp16": {"bf16": GONE, "fp16": True}, "fp32": {"bf16": GONE}}.items():
            for name in ("optimizer", "both", "offload-optimizer", "sgd"):
                config = changed(base, configs[name])
                yield case(f"reference/{start}-{kind}-{name}", changed(dpo, precision), config, files=FILES)
        evaluate = {"do_train": GONE, "do_eval": True, "val_size": 0.25}
        for name, changes in {"plain": {}, "both": both}.items():
            config = changed(base, changes)
            yield case(f"reference/{start}-kto-{name}", kto, config, files=FILES)
            for kind in ("full", "lora"):
                settings = {**changed(kto, evaluate), "finetuning_type": kind}
                yield case(f"reference/{start}-kto-evaluate-{kind}-{name}", settings, config, files=FILES)
        settings = {**changed(dpo, evaluate), "finetuning_type": "lora"}
        yield case(f"reference/{start}-dpo-evaluate", settings, base, files=FILES)
        settings = {**dpo, "finetuning_type": "lora", "ref_model": "model"}
        yield case(f"reference/{start}-other-model", settings, changed(base, both), files=FILES)
        yield case(
            f"reference/{start}-steps-zero", {**dpo, "gradient_accumulation_steps": 0}, base, files=FILES
        )
        yield case(
            f"reference/{start}-mismatch",
            {**dpo, "max_grad_norm": 0.5},
            changed(base, {"gradient_clipping": 2.0, **both}),
            files=FILES,
        )
