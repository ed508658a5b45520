"""The account of --cfg-options: claimed, kept as they are, or without effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dsbridge.sdk import Claim
from dsbridge_xtuner.shape import MODEL_PATH
from dsbridge_xtuner.view import READ, View, key
from dsbridge_xtuner.wants import DELETE

_CURVE = "param_scheduler"
# what rendering writes beside a claimed field; elsewhere an option of the same value says nothing new
_BESIDE: dict[str, tuple[Any, ...]] = {
    "task_type": ("CAUSAL_LM",),
    "bnb_4bit_compute_dtype": ("torch.bfloat16", "torch.float16"),
    "convert_to_iter_based": (True, False),
}


class Account(NamedTuple):
    """Leaves that are dealt with, and those that reach nobody."""

    taken: set[tuple[str, ...]]
    lost: dict[tuple[str, ...], str]


def account(options: Mapping[str, Any], claims: Iterable[Claim], view: View) -> Account:
    """Each option is a field of `cfg` too: it is counted once."""
    said = {".".join(k[1:]) for claim in claims for k in claim.keys if k[0] == "cfg"}
    said |= {name.removesuffix(".name") for name in said}
    curve = any(claim.path == "scheduler.type" for claim in claims)
    taken: set[tuple[str, ...]] = set()
    lost: dict[tuple[str, ...], str] = {}
    for path, value in options.items():
        here = ("flags", "cfg_options", path)
        if _same_model(path, value, view):
            taken.add(here)
        elif path.partition(".")[0] not in READ:
            lost[here] = "changes nothing: XTuner has put the variable's value into the fields by then"
        elif path in said or (curve and path.startswith(f"{_CURVE}.")) or _aside(path, value, said):
            taken.add(here)
        else:
            taken.add(key(path.removesuffix(f".{DELETE}")))
    return Account(taken, lost)


def _same_model(path: str, value: Any, view: View) -> bool:
    """A tokenizer of the model that is trained: rendering writes the path to each."""
    name = path.rpartition(".")[2]
    return name in (MODEL_PATH, "trust_remote_code") and value == view.get(f"model.llm.{name}")


def _aside(path: str, value: Any, said: set[str]) -> bool:
    """Said beside other fields, or nothing where there was nothing."""
    parent, _, name = path.rpartition(".")
    return value in _BESIDE.get(name, ()) and any(other.startswith(f"{parent}.") for other in said)
