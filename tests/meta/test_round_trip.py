"""`parse(render(spec)) == spec`, but for what is declared here or named by a diagnostic of rendering."""

from __future__ import annotations

from collections import Counter
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings

from dsbridge.artifacts import Artifacts
from dsbridge.assumed import with_script
from dsbridge.parsing import Parsed, parse
from dsbridge.prediction import launch_words
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.spec.batch import batch_numbers
from dsbridge.spec.leaves import NOT_FOR_FRAMEWORKS, leaves
from dsbridge.spec.load import Loaded, load_file
from dsbridge.testing import loaded_specs
from dsbridge.values import AUTO
from tests.conftest import ROOT
from tests.meta.test_faithful import EXAMPLES, OWN

TARGETS = ("accelerate", "deepspeed", "llamafactory", "trainer")
# What the target's files cannot tell a reader, by path or block, with the reason.
DECLARED = {
    "accelerate": {
        "fsdp.sharding": "FSDP 2 says it by reshard_after_forward",
        "fsdp.reshard_after_forward": "it is what the sharding means to FSDP 2",
        "fsdp.auto_wrap": "the layer class or size implies it, and it is written out",
        "launch.kind": "accelerate launch starts it",
        "launch.node_rank": "the script asks the environment",
        "batch": "it is in the script, which is the user's",
        "optimizer": "it is in the script, which is the user's",
        "scheduler": "it is in the script, which is the user's",
        "training": "it is in the script, which is the user's",
        "model": "it is in the script, which is the user's",
        "finetuning": "it is in the script, which is the user's",
        "precision.fp16": "beside another number format the block is kept word for word",
        "precision.bf16": "beside another number format the block is kept word for word",
        "parallelism.ulysses": "it is in parallelism_config, kept word for word",
        "parallelism.ulysses_attention": "it is in the launch environment",
        "parallelism.ulysses_sequence_length_is_variable": "it is in the launch environment",
    },
    "deepspeed": {
        "launch.node_rank": "the script asks the environment",
        "cluster.gpus_per_node": "unset, torchrun is told `gpu`",
        "optimizer.owner": "a block says it",
        "scheduler.owner": "a block says it",
        "scheduler.warmup_ratio": "a block has steps",
        "precision.fp16": "beside another number format the block is kept word for word",
        "precision.bf16": "beside another number format the block is kept word for word",
        "training.max_steps": "it is the scheduler block's total_num_steps",
        "batch.global": "with the ranks it follows from the other two",
    },
    "llamafactory": {
        "launch.kind": "llamafactory-cli starts torchrun itself",
        "launch.node_rank": "the script asks the environment",
        "fsdp.sharding": "FSDP 2 says it by reshard_after_forward",
        "fsdp.reshard_after_forward": "it is what the sharding means to FSDP 2",
        "fsdp.auto_wrap": "unset, the usual one is written",
        "fsdp.transformer_layer_cls": "another policy does not read it",
        "fsdp.min_num_params": "another policy does not read it",
        "batch.global": "it is the product of the other two and the ranks",
        "zero.init_on_load": "the Trainer decides it by the stage",
        "precision.fp16": "beside another number format the block is kept word for word",
        "precision.bf16": "beside another number format the block is kept word for word",
        "launch.script": "LLaMA-Factory has an entry point of its own",
        "optimizer.owner": "framework is what no block says",
        "scheduler.owner": "framework is what no block says",
    },
    "trainer": {
        "launch.node_rank": "the script asks the environment",
        "model": "it is in the script, which is the user's",
        "finetuning": "it is in the script, which is the user's",
        "fsdp.sharding": "FSDP 2 says it by reshard_after_forward",
        "fsdp.reshard_after_forward": "it is what the sharding means to FSDP 2",
        "fsdp.transformer_layer_cls": "another policy does not read it",
        "fsdp.min_num_params": "another policy does not read it",
        "zero.init_on_load": "the Trainer decides it by the stage",
        "precision.fp16": "beside another number format the block is kept word for word",
        "precision.bf16": "beside another number format the block is kept word for word",
        "parallelism.ulysses": "it is in the launch environment",
        "parallelism.ulysses_attention": "it is in the launch environment",
        "parallelism.ulysses_sequence_length_is_variable": "it is in the launch environment",
        "batch.global": "it is the product of the other two and the ranks",
        "optimizer.owner": "framework is what no block says",
        "scheduler.owner": "framework is what no block says",
        "scheduler.warmup_ratio": "it may be written as steps",
        "scheduler.warmup_steps": "a ratio may be written as steps",
    },
}
# of `launch`, what the words say but a parser leaves where it stands
for declared in DECLARED.values():
    declared |= dict.fromkeys(
        [f"launch.{name}" for name in ("arguments", "env", "nccl", "interface", "hosts")],
        "a parser keeps to what decides the training",
    )
    declared["launch.rendezvous"] = "an id or a number of nodes implies it"
    declared["launch.rendezvous_id"] = "unset, a variable names the job"
    declared |= dict.fromkeys(("launch.min_nodes", "launch.max_nodes"), "unset, one follows from the other")
    declared |= {"launch.slurm": "in the sbatch script", "launch.kubernetes": "in the objects"}
    declared["launch.ray"] = "an empty mapping asks for nothing"
for name in ("accelerate", "llamafactory"):
    DECLARED[name]["launch.max_restarts"] = "in the launch environment"
# What rendering writes out where the spec has no opinion: it comes back as one. An address that each node
# asks its environment for is read as 0.
WRITTEN_OUT = {
    "zero.stage": 0,
    "optimizer.type": "adamw",
    "cluster.nodes": 1,
    "fsdp.version": (1, 2),
    "finetuning.method": "lora",
    "finetuning.quantization_bits": 4,
    "launch.master_addr": "0",
    "launch.master_port": 29500,
    "scheduler.warmup_type": "linear",
    "scheduler.warmup_min_lr": 0,
    "scheduler.warmup_steps": 1,
    "training.gradient_checkpointing": False,
}
# Wishes that are what happens anyway: they do not come back.
NO_WISH = {
    "launch.master_port": 29500,
    "launch.master_addr": "127.0.0.1",
    "launch.script": "train.py",
    "cluster.nodes": 1,
    "launch.kind": "torchrun",
    "parallelism.tp": 1,
    "parallelism.ulysses": 1,
    "parallelism.ep": 1,
    "scheduler.type": "constant",
    "scheduler.warmup_type": "linear",
    "scheduler.warmup_min_lr": 0,
}


def parsed(loaded: Loaded, artifacts: Artifacts) -> Parsed:
    """The rendered files read back, from those files alone."""
    files, _ = with_script(artifacts, loaded.spec)
    return parse(Files(Path(), files), command=launch_words(artifacts), source=artifacts.target)


def _either(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def differing(loaded: Loaded, artifacts: Artifacts) -> dict[str, tuple[Any, Any]]:
    """Paths that came back as something else, and that nobody has announced."""
    back = parsed(loaded, artifacts)
    told = {d.key for d in artifacts.diagnostics if d.key} | set(DECLARED[artifacts.target])
    told |= set(NOT_FOR_FRAMEWORKS)
    before, after = leaves(loaded.spec), leaves(back.loaded.spec)
    if {"launch.min_nodes", "launch.max_nodes"} & before.keys():
        told.add("cluster.nodes")  # the words have a range of nodes
    if "launch.hosts" in before:
        told.add("launch.master_addr")  # the first of them
    numbers = batch_numbers(loaded.spec)
    derived = {"batch.micro_per_gpu": numbers.micro, "batch.accumulation": numbers.accumulation}
    ratio, steps = loaded.spec.scheduler.warmup_ratio, loaded.spec.training.max_steps
    if isinstance(ratio, float) and isinstance(steps, int):
        derived["scheduler.warmup_steps"] = max(1, ceil(ratio * steps))
    found = {}
    for path in {**before, **after}:
        one, other = before.get(path, derived.get(path)), after.get(path)
        excused = any(path == key or path.startswith(f"{key}.") or key.startswith(f"{path}.") for key in told)
        written_out = one in (None, AUTO) and (other is AUTO or other in _either(WRITTEN_OUT.get(path)))
        no_wish = one is AUTO or (other is None and one == NO_WISH.get(path))
        no_wish |= path == "scheduler.peak_lr" and one == before.get("optimizer.lr")
        if one != other and not (excused or written_out or no_wish):
            found[path] = (one, other)
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_come_back(name: str, target: str) -> None:
    loaded = load_file(ROOT / "examples" / name / "dsbridge.yaml")
    artifacts = render(loaded, target)
    if not artifacts.refused:
        assert differing(loaded, artifacts) == {}


@pytest.mark.parametrize("target", TARGETS)
def test_any_spec_comes_back(target: str) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=60, deadline=None)
    @given(loaded=loaded_specs(OWN))
    def check(loaded: Loaded) -> None:
        script = loaded.spec.launch.script
        assume(not script or str(script).endswith(".py"))  # what the assumed script is called
        artifacts = render(loaded, target)
        seen["refused" if artifacts.refused else "rendered"] += 1
        assume(not artifacts.refused)
        assert differing(loaded, artifacts) == {}

    check()
    assert seen["rendered"] >= 10, seen
