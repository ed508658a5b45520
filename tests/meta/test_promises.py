"""What every target promises, whatever the spec: the compiler's own theorems, by property tests."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings

from dsbridge.artifacts import Artifacts
from dsbridge.diagnostics import Severity
from dsbridge.rendering import render
from dsbridge.spec import kinds
from dsbridge.spec.leaves import NOT_FOR_FRAMEWORKS, PASSED_THROUGH, leaf_paths
from dsbridge.spec.load import Loaded, load_mapping
from dsbridge.testing import check_promises, kind_of, loaded_specs

HASH = re.compile(r"sha256:[0-9a-f]{12}")
TARGETS = ("accelerate", "deepspeed", "llamafactory", "trainer", "xtuner")


# ---- nothing is lost in silence -------------------------------------------------------------
# One value of the spec is changed at a time. If neither a file nor a diagnostic changes with it,
# the target has dropped it without a word.

BASE: dict[str, Any] = {
    "version": 1,
    "model": {"name_or_path": "m"},
    "cluster": {"nodes": 1, "gpus_per_node": 8},
    "batch": {"micro_per_gpu": 2, "accumulation": 3},
    "zero": {"stage": 3},
    "optimizer": {"type": "adamw", "lr": 1e-4},
    "scheduler": {"type": "cosine", "warmup_steps": 10},
    "training": {"max_steps": 100},
    "precision": {"dtype": "bf16"},
    "frameworks": {"llamafactory": {"dataset": "d", "template": "t"}, "xtuner": {"config": "c.py"}},
}
# what a field needs around it to mean anything
NEEDS: dict[str, dict[str, Any]] = {
    "fsdp.": {"zero": {}, "fsdp": {"version": 2, "sharding": "full_shard"}},
    "precision.fp16.": {"precision": {"dtype": "fp16"}},
    "precision.fp8_backend": {"precision": {"dtype": "fp8"}},
    "zero.offload_optimizer.": {"zero": {"stage": 3, "offload_optimizer": {"device": "cpu"}}},
    "zero.offload_param.": {"zero": {"stage": 3, "offload_param": {"device": "cpu"}}},
    "zero.offload_optimizer.nvme_path": {"zero": {"stage": 3, "offload_optimizer": {"device": "nvme"}}},
    "zero.offload_param.nvme_path": {"zero": {"stage": 3, "offload_param": {"device": "nvme"}}},
    "finetuning.": {"finetuning": {"method": "lora", "rank": 8}, "zero": {"stage": 2}},
    "finetuning.quantization": {"finetuning": {"method": "qlora", "rank": 8}, "zero": {"stage": 2}},
    "finetuning.double": {"finetuning": {"method": "qlora", "rank": 8}, "zero": {"stage": 2}},
    "finetuning.trainable": {"finetuning": {"method": "freeze"}},
    "parallelism.tp": {"parallelism": {"tp": 2}, "zero": {"stage": 1}},
    "parallelism.tp_": {"parallelism": {"tp": 2}, "zero": {"stage": 1}},
    "parallelism.ulysses_": {"parallelism": {"ulysses": 2}},
    "scheduler.min_lr": {"scheduler": {"type": "cosine_with_min_lr"}},
    "scheduler.warmup_ratio": {"scheduler": {"type": "cosine"}},
    "launch.node_rank": {"cluster": {"nodes": 4, "gpus_per_node": 8}},
    "launch.min_nodes": {"cluster": {"nodes": 4, "gpus_per_node": 8}},
    "launch.max_nodes": {"cluster": {"nodes": 2, "gpus_per_node": 8}},
    "launch.hosts": {"cluster": {"nodes": 2, "gpus_per_node": 8}},
    "launch.slurm.": {"launch": {"kind": "slurm"}},
    "launch.kubernetes.": {"launch": {"kind": "kubernetes"}},
    "launch.kubernetes.image": {"launch": {"kind": "kubernetes", "kubernetes": {"api": "pytorchjob"}}},
    "launch.ray.": {"launch": {"kind": "ray"}},
    "batch.global": {"batch": {"micro_per_gpu": 1}},
}
# two values that differ in every framework, where the first two of the kind do not
VALUES: dict[str, tuple[Any, Any]] = {
    "batch.global": (16, 32),
    "batch.micro_per_gpu": (3, 4),
    "cluster.gpus_per_node": (4, 16),
    "cluster.nodes": (2, 3),
    "parallelism.tp": (2, 4),
    "parallelism.ulysses": (2, 4),
    "parallelism.ep": (2, 4),
    "zero.stage": (1, 2),
    "zero.offload_optimizer.device": ("none", "cpu"),
    "zero.offload_param.device": ("none", "cpu"),
    "training.max_steps": (50, 60),
    "training.epochs": (2, 3),
    "scheduler.type": ("linear", "constant_with_warmup"),
    "scheduler.min_lr": (1e-5, 2e-5),
    "scheduler.warmup_ratio": (0.1, 0.2),
    "optimizer.type": ("adam", "lion"),
    "precision.dtype": ("bf16", "fp16"),
    "fsdp.sharding": ("full_shard", "shard_grad_op"),
    "launch.hosts": (["aa", "ab"], ["ba", "bb"]),
    "launch.kubernetes.trainer": ("2.0", "2.3"),
    **{f"launch.{name}": ({"A": "1"}, {"A": "2"}) for name in ("env", "nccl")},
}
FROM_SPEC_ALONE = {
    # two ways to say one thing: with `max_steps` given, frameworks do not look at epochs
    "training.epochs": {"training": {"logging_steps": 1}, "scheduler": {"type": "constant"}},
}


def two_values(path: str) -> tuple[Any, Any]:
    if path in VALUES:
        return VALUES[path]
    kind = kind_of(path)
    if isinstance(kind, kinds.Boolean):
        return True, False
    if isinstance(kind, kinds.Choice):
        return kind.options[-1], kind.options[-2]
    if isinstance(kind, kinds.Integer):
        least = max(kind.least or 0, 0)
        return least + 2, least + 3
    if isinstance(kind, kinds.Number):
        return 0.25, 0.5
    if isinstance(kind, kinds.ListOf):
        one, two = (0.5, 0.75) if isinstance(kind.item, kinds.Number) else ("aa", "bb")
        return [one] * (kind.length or 1), [two] * (kind.length or 1)
    if isinstance(kind, kinds.Mapping_):
        return {"a": 1}, {"a": 2}
    return "aa", "bb"


def with_value(path: str, value: Any) -> dict[str, Any]:
    spec = {key: dict(part) if isinstance(part, dict) else part for key, part in BASE.items()}
    for prefix in sorted((p for p in NEEDS if path.startswith(p)), key=len):
        spec |= {key: dict(part) for key, part in NEEDS[prefix].items()}
    spec |= {key: dict(part) for key, part in FROM_SPEC_ALONE.get(path, {}).items()}
    *parents, last = path.split(".")
    node: Any = spec
    for parent in parents:
        node[parent] = dict(node.get(parent, {}))
        node = node[parent]
    node[last] = value
    return spec


def seen(artifacts: Artifacts) -> tuple[Any, ...]:
    """All that a user gets, without the hash that changes with every value."""
    files = {name: HASH.sub("", text) for name, text in artifacts.files.items()}
    told = tuple((d.code, d.message, d.hint) for d in artifacts.diagnostics)
    return files, dict(artifacts.launch.env), artifacts.launch.argv, told


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "path", [p for p in leaf_paths() if p not in NOT_FOR_FRAMEWORKS and p not in PASSED_THROUGH]
)
def test_no_value_is_dropped_without_a_word(path: str, target: str) -> None:
    one, two = (render(load_mapping(with_value(path, value)), target) for value in two_values(path))
    if one.refused and two.refused:  # then nothing trains, if the refusal is about this part of the spec
        errors = [d for d in one.diagnostics if d.severity is Severity.ERROR]
        assert path.split(".")[0] in {(d.key or "").split(".")[0] for d in errors}, errors
    else:
        assert seen(one) != seen(two), f"{target} drops {path} in silence"


@pytest.mark.parametrize("target", TARGETS)
def test_any_valid_spec_is_rendered_or_refused(target: str) -> None:
    outcomes: Counter[str] = Counter()

    @settings(max_examples=250)
    @given(loaded=loaded_specs(BASE["frameworks"]))
    def check(loaded: Loaded) -> None:
        refused = check_promises(loaded, target).refused
        outcomes["refused" if refused else "rendered"] += 1

    check()
    assert min(outcomes["rendered"], outcomes["refused"]) >= 10, f"says little: {outcomes}"
