"""Training stages that need data of their own, and data that the case brings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.oracle.case import Case
from conformance.oracle.cases._llamafactory_files import AUTO, BASE, SHIPPED, case, changed

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
    broken = {**FILES, "rows/dataset_info.json": '{"plain": '}
    yield case("stage/broken-index", own(), AUTO, files=broken)
