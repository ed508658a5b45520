"""What is run: every example with every target of an environment, scaled to two CPU ranks."""

from __future__ import annotations

import ctypes.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "conformance" / "scripts"
RANKS = 2
PORT = 29871

TARGETS = {
    "hf": ("accelerate", "trainer", "deepspeed"),
    "llamafactory": ("llamafactory",),
    "xtuner": ("xtuner",),
}
# What a recording is filed under: the packages that have a say in the config.
PACKAGES = {
    "hf": ("deepspeed", "accelerate", "transformers"),
    "llamafactory": ("llamafactory", "deepspeed", "accelerate", "transformers"),
    "xtuner": ("xtuner", "mmengine", "deepspeed", "transformers"),
}


class Case(NamedTuple):
    """One example for one target; `variant` is empty, or "base" when a user's file is edited."""

    example: str
    target: str
    variant: str
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.example}-{self.variant}" if self.variant else self.example

    @property
    def method(self) -> str:
        return str(self.spec.get("finetuning", {}).get("method", "full"))

    @property
    def path(self) -> Path:
        return ROOT / "examples" / self.example / "dsbridge.yaml"

    def offloads_to_nvme(self) -> bool:
        return any(block.get("device") == "nvme" for block in offloads(self.spec).values())


def read_spec(path: Path) -> dict[str, Any]:
    """The example's YAML, as a mapping."""
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(spec, dict), path
    return spec


def cases(env: str, only: list[str], targets: list[str]) -> Iterator[Case]:
    """All cases of an environment, or those asked for by example and by target."""
    for path in sorted((ROOT / "examples").glob("*/dsbridge.yaml")):
        name = path.parent.name
        if only and name not in only:
            continue
        for target in TARGETS[env]:
            if targets and target not in targets:
                continue
            yield Case(name, target, "", read_spec(path))
            if target == "xtuner":
                yield Case(name, target, "base", read_spec(path))


def offloads(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Both offload blocks that the spec has."""
    zero = spec.get("zero", {})
    names = ("offload_optimizer", "offload_param")
    return {name: zero[name] for name in names if isinstance(zero.get(name), dict)}


def data_parallel(spec: dict[str, Any], ranks: int) -> int:
    """Ranks that see different data."""
    degrees = spec.get("parallelism", {})
    return ranks // (int(degrees.get("tp", 1)) * int(degrees.get("ulysses", 1)))


def batch_sets(spec: dict[str, Any]) -> list[str]:
    """A global batch shrinks with the ranks; micro batch and accumulation stay the example's own."""
    cluster, batch = spec.get("cluster", {}), spec.get("batch", {})
    if "global" not in batch:
        return []
    ranks = int(cluster.get("nodes", 1)) * int(cluster.get("gpus_per_node", 1))
    samples = int(batch["global"]) * data_parallel(spec, RANKS) // data_parallel(spec, ranks)
    return [f"batch.global={samples}"]


def zero_sets(spec: dict[str, Any]) -> list[str]:
    """A local folder for NVMe with buffers for a small model, and groups of at most two ranks."""
    sets = []
    for name, block in offloads(spec).items():
        if block.get("device") == "nvme":
            sets.append(f"zero.{name}.nvme_path=nvme")
            if name == "offload_param":
                sets += [f"zero.{name}.buffer_size=1000000", f"zero.{name}.max_in_cpu=1000000"]
    if int(spec.get("zero", {}).get("zero_hpz_partition_size", 1)) > RANKS:
        sets.append(f"zero.zero_hpz_partition_size={RANKS}")
    return sets


def fsdp_sets(spec: dict[str, Any]) -> list[str]:
    """A hybrid sharding group cannot be larger than the world."""
    size = spec.get("fsdp", {}).get("hybrid_shard_size")
    return [f"fsdp.hybrid_shard_size={RANKS}"] if isinstance(size, int) and size > RANKS else []


def target_sets(case: Case) -> list[str]:
    """Where the model, the data and the script of this target lie, seen from the rendered folder."""
    if case.target == "llamafactory":
        return ["frameworks.llamafactory.dataset_dir=../data"]
    if case.target == "xtuner":
        return [f"frameworks.xtuner.config=../{xtuner_config(case)}"]
    return [f"launch.script=../{case.target}_train.py"]


def sets(case: Case) -> list[str]:
    """All `--set` of a case: the smallest change that lets this machine train the example."""
    launch, scheduler = case.spec.get("launch", {}), case.spec.get("scheduler", {})
    return [
        "cluster.nodes=1",
        f"cluster.gpus_per_node={RANKS}",
        "model.name_or_path=../model",
        "training.max_steps=2",
        "training.sequence_length=64",
        "training.logging_steps=1",
        "training.output_dir=out",
        *batch_sets(case.spec),
        *zero_sets(case.spec),
        *fsdp_sets(case.spec),
        *(["scheduler.warmup_steps=1"] if "warmup_steps" in scheduler else []),
        *(["launch.master_addr=127.0.0.1"] if "master_addr" in launch else []),
        f"launch.master_port={PORT}",
        *target_sets(case),
    ]


def xtuner_config(case: Case) -> str:
    """The name of the user's XTuner config: as the example fine-tunes, and with NVMe or not."""
    return f"xtuner_{case.method}{'_nvme' if case.offloads_to_nvme() else ''}.py"


def xtuner_variant(text: str, method: str, nvme: bool) -> str:
    """The config without the blocks that this way of fine-tuning does not have."""
    wanted = {"lora": method in ("lora", "qlora"), "qlora": method == "qlora", "nvme": nvme}
    for tag, kept in wanted.items():
        block = re.compile(rf"^ *# <{tag}>\n(.*?)^ *# </{tag}>\n", re.DOTALL | re.MULTILINE)
        text = block.sub(r"\1" if kept else "", text)
    return text


def lay_out_scripts(work: Path) -> None:
    """Copy the user scripts beside the rendered folders, so that no path of the machine is in them."""
    for script in SCRIPTS.glob("*.py"):
        text = script.read_text(encoding="utf-8")
        if script.name == "xtuner_tiny_config.py":
            for method in ("full", "lora", "qlora"):
                for nvme in (False, True):
                    name = f"xtuner_{method}{'_nvme' if nvme else ''}.py"
                    body = xtuner_variant(text, method, nvme)
                    (work / name).write_text(body, encoding="utf-8")
        else:
            (work / script.name).write_text(text, encoding="utf-8")


def has_libaio() -> bool:
    """DeepSpeed compiles its NVMe reader against it when first used."""
    headers = [Path("/usr/include/libaio.h"), *Path("/usr/include").glob("*/libaio.h")]
    return bool(ctypes.util.find_library("aio")) and any(path.is_file() for path in headers)
