""" "auto" buckets: the source's numbers, where the model's hidden size is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsbridge.migrating import Migration, migrate
from dsbridge.reading import Files
from tests.test_migrating import FULL, XTUNER

BUCKETS = ("reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold")
ZERO = {"stage": 3, **dict.fromkeys(BUCKETS, "auto")}
DS: dict[str, Any] = {
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": "auto"},
    "zero_optimization": ZERO,
}
# what accelerate 1.15.0 accelerator.py:2323-2325 computes
SIZES = {n: dict(zip(BUCKETS, (n * n, int(0.9 * n * n), 10 * n), strict=True)) for n in (64, 100)}
SETS = (*XTUNER, "cluster.gpus_per_node=8")
ACCELERATE = """\
distributed_type: DEEPSPEED
deepspeed_config: {deepspeed_config_file: ds.json}
num_machines: 1
num_processes: 4
"""


def moved(to: str, yaml: str = FULL, facts: Any = None, name: str = "train.yaml", **texts: str) -> Migration:
    ds = {**DS, "bf16": {"enabled": True}} if name == "a.yaml" else DS
    files = Files(Path(), {name: yaml, "ds.json": json.dumps(ds), **texts})
    sets = SETS if to == "xtuner" else ("batch.micro_per_gpu=2", "training.max_steps=100")
    return migrate(files, [name], target=to, facts=facts or {}, sets=sets)


def buckets(found: Migration) -> dict[str, Any]:
    assert not found.refused, [d.message for d in found.diagnostics]
    zero = json.loads(found.artifacts.files["ds_config.json"])["zero_optimization"]
    return {name: zero[name] for name in BUCKETS if name in zero}


def told(found: Migration) -> set[tuple[str, str]]:
    return {(m.status, m.reason) for m in found.mapping if m.source.endswith(BUCKETS)}


@pytest.mark.parametrize("to", ["xtuner", "deepspeed"])
@pytest.mark.parametrize("facts", [{"hidden_size": 64}, {"model": {"hidden_size": 64}}])
def test_the_sources_numbers_are_written(to: str, facts: dict[str, Any]) -> None:
    found = moved(to, facts=facts)
    assert buckets(found) == SIZES[64]
    assert told(found) == {
        ("exact", f"LLaMA-Factory fills {value} from the model's hidden size") for value in SIZES[64].values()
    }
    assert not [d for d in found.diagnostics if d.code == "DS001" and (d.key or "").endswith(BUCKETS)]


def test_a_local_model_that_the_input_names_is_enough() -> None:
    texts = {"mine/config.json": json.dumps({"hidden_size": 100})}
    yaml = FULL.replace("model_name_or_path: m\n", "model_name_or_path: mine\n")
    found = moved("deepspeed", yaml, **texts)
    assert buckets(found) == SIZES[100]


def test_from_accelerate_too() -> None:
    assert buckets(moved("deepspeed", ACCELERATE, {"hidden_size": 100}, "a.yaml")) == SIZES[100]


def test_the_trainers_rule_for_text_config_is_asked() -> None:
    """Of a model with text_config the Trainer fills two of the three under ZeRO-3 only."""
    found = moved("deepspeed", facts={"model": {"text_config": {"hidden_size": 64}}})
    assert buckets(found) == SIZES[64]


def test_without_a_hidden_size_the_hint_says_what_would_keep_them() -> None:
    found = moved("xtuner")
    assert buckets(found) == {}
    hints = {d.hint for d in found.diagnostics if d.code == "DS001" and d.key == "zero.reduce_bucket_size"}
    assert hints == {
        "DeepSpeed's own default holds. With --model PATH or --fact hidden_size=N the numbers of "
        "LLaMA-Factory are kept."
    }
    assert {status for status, _ in told(found)} == {"lossy"}


def test_a_target_that_fills_them_itself_keeps_auto() -> None:
    found = moved("trainer", facts={"hidden_size": 64})
    assert buckets(found) == dict.fromkeys(BUCKETS, "auto")


def test_a_number_of_the_users_own_stays() -> None:
    ds = json.dumps({**DS, "zero_optimization": {**ZERO, "reduce_bucket_size": 7}})
    files = Files(Path(), {"train.yaml": FULL, "ds.json": ds})
    found = migrate(files, ["train.yaml"], target="xtuner", facts={"hidden_size": 64}, sets=SETS)
    assert buckets(found) == {**SIZES[64], "reduce_bucket_size": 7}
