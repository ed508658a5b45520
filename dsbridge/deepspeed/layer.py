"""DeepSpeed's own layer: what parsing and the engine make of the dict, below every framework."""

from __future__ import annotations

from functools import cache
from typing import Any

from dsbridge.deepspeed.blocks import Blocks
from dsbridge.deepspeed.elasticity import elastic
from dsbridge.deepspeed.moments import MOMENTS
from dsbridge.deepspeed.rules import RULES
from dsbridge.rules import Layer, Versions, numbers

BF16_FP32_UNTIL = (0, 18, 5)
VERIFIED = ("0.16.2", "0.16.9", "0.18.4", "0.19.8")


def blocks(versions: Versions) -> Blocks:
    """The config classes of the version at hand; of the newest, if nobody knows it."""
    return _blocks(versions.get("deepspeed", VERIFIED[-1]))


@cache
def _blocks(version: str) -> Blocks:
    return Blocks(version)


def _texts(place: str) -> Any:
    def table(versions: Versions) -> dict[str, str]:
        found = blocks(versions)
        return {row["name"]: row["text"] for row in found.rows(found.known["removed"][place])}

    return table


def _names(versions: Versions) -> list[str]:
    found = blocks(versions)
    return [row["name"] for row in found.rows(found.known["optimizers"])]


def defaults(versions: Versions) -> dict[str, Any]:
    found = blocks(versions)
    return {row["name"]: row["default"] for row in found.rows(found.known["top_level"])}


def _signatures(kind: str) -> Any:
    def table(versions: Versions) -> dict[str, Any]:
        found = blocks(versions)
        known = {name: found.rows(rows) for name, rows in found.known[kind].items()}
        return {name: rows[0] for name, rows in known.items() if rows}

    return table


def _all_signatures(versions: Versions) -> dict[str, Any]:
    own = {f"deepspeed.{name}": row for name, row in _signatures("optimizer_classes")(versions).items()}
    return own | {f"torch.{name}": row for name, row in _signatures("torch_optimizers")(versions).items()}


# runtime/zero/utils.py ZERO_SUPPORTED_OPTIMIZERS, the same in all versions
_ZERO_OPTIMIZERS = [
    *("torch.Adam", "torch.AdamW", "torch.Adagrad", "deepspeed.FusedAdam", "deepspeed.DeepSpeedCPUAdam"),
    *("deepspeed.DeepSpeedCPUAdagrad", "deepspeed.DeepSpeedCPULion", "deepspeed.FusedLion"),
]


def _zero_optimizers(versions: Versions) -> list[str]:
    """Muon's import was misspelt up to 0.18.4."""
    muon = numbers(versions.get("deepspeed", VERIFIED[-1])) >= (0, 18, 5)
    return [*_ZERO_OPTIMIZERS, *(["deepspeed.MuonWithAuxAdam"] if muon else [])]


def _bf16_fp32_alone(versions: Versions) -> bool:
    """Up to 0.18.X bf16 without ZeRO could add up gradients in fp32."""
    return numbers(versions.get("deepspeed", VERIFIED[-1])) < BF16_FP32_UNTIL


LAYER = Layer(
    name="deepspeed",
    moments=MOMENTS,
    rules=RULES,
    tables={
        "deepspeed.blocks": blocks,
        "deepspeed.elasticity": lambda versions: elastic,
        "deepspeed.removed.top_level": _texts("top_level"),
        "deepspeed.removed.zero_optimization": _texts("zero_optimization"),
        "deepspeed.defaults": defaults,
        "deepspeed.zero_optimizers": _zero_optimizers,
        "deepspeed.bf16_fp32_alone": _bf16_fp32_alone,
        "deepspeed.optimizer_names": _names,
        "deepspeed.signatures": _all_signatures,
        "deepspeed.torch_optimizers": _signatures("torch_optimizers"),
        "deepspeed.schedulers": _signatures("scheduler_classes"),
        "deepspeed.torch_schedulers": _signatures("torch_schedulers"),
    },
    verified={"deepspeed": VERIFIED},
)
