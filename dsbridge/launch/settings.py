"""The environment that a spec asks for in so many words: `launch.env`, `launch.nccl`, `launch.interface`."""

from __future__ import annotations

from collections.abc import Mapping

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.launch.script import Word
from dsbridge.spec import ParallelSpec
from dsbridge.values import UNSET

OWN_VARIABLE = Code(
    "LN001",
    "own-variable",
    Severity.WARNING,
    "A variable of `launch.env` is one that the launch sets itself.",
)
CODES = (OWN_VARIABLE,)
SAYS = frozenset({"launch.env", "launch.nccl", "launch.interface"})
# torch 2.13 distributed: ProcessGroupNCCL and ProcessGroupGloo each read their own
_INTERFACES = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME")
_NCCL = ("NCCL_", "TORCH_NCCL_")


def environment(spec: ParallelSpec) -> dict[str, str]:
    """The variables, the more exact over the less: `env` over `nccl` over `interface`."""
    launch = spec.launch
    found: dict[str, str] = {}
    if launch.interface is not UNSET:
        found |= dict.fromkeys(_INTERFACES, str(launch.interface))
    for name, value in (launch.nccl or {}).items():
        found[name if name.startswith(_NCCL) else f"NCCL_{name}"] = value
    return found | dict(launch.env or {})


def together(asked: Mapping[str, str], own: Mapping[str, Word]) -> tuple[dict[str, Word], list[Diagnostic]]:
    """What is asked for below what the launch needs, which wins and says so."""
    found = [
        OWN_VARIABLE(
            f"`launch.env.{name}: {asked[name]}` gives way: the launch sets {name} to {own[name]}",
            hint="Say it in the spec (cluster, launch.master_addr, ...), or remove it.",
            key=f"launch.env.{name}",
        )
        for name in asked
        if name in own and str(own[name]) != asked[name]
    ]
    return {**{name: value for name, value in asked.items() if name not in own}, **own}, found
