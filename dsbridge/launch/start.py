"""From what one node runs to the launch of the run: a script, an sbatch script, or objects of Kubernetes.

A plugin says how a node starts its processes (`Start`). All that does not depend on the framework is done
here, once: variables, the scheduler around it, and an account of every field of `launch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.fields import unsupported
from dsbridge.framework import Launch, RenderRequest
from dsbridge.launch.nodes import elastic
from dsbridge.launch.outer import Node, Outer
from dsbridge.launch.script import Word, make_launch
from dsbridge.launch.settings import SAYS, environment, together
from dsbridge.launch.words import EXPORTED, HOSTFILE
from dsbridge.spec.batch import dims
from dsbridge.values import UNSET

CROSSES = Code("LN002", "tp-crosses-nodes", Severity.WARNING, "A tensor-parallel group spans two nodes.")
SCHEDULER = Code("LN003", "scheduler", Severity.INFO, "What the scheduler of the launch needs from you.")
NOT_EXPORTED = Code("LN004", "not-exported", Severity.WARNING, "A variable does not reach the other nodes.")
ELASTIC = Code("LN005", "elastic-batch", Severity.INFO, "With fewer nodes the batch is another one.")
CODES = (CROSSES, SCHEDULER, NOT_EXPORTED, ELASTIC)
NOTHING: Mapping[str, Word] = MappingProxyType({})
CLAIMED = frozenset({"cluster.nodes", "cluster.gpus_per_node"})
SCRIPT = "launch.sh"
NO_RAY = "it is LLaMA-Factory's own Ray path, and no other framework has one"


class Start(NamedTuple):
    """What one node runs. title: the launcher's name. says: paths of the spec that are in it. whys: reasons
    of its own for paths that are not. each_gpu: srun starts it once a GPU, and not once a node."""

    title: str
    argv: tuple[Word, ...]
    env: Mapping[str, Word] = NOTHING
    says: frozenset[str] = frozenset()
    files: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    whys: Mapping[str, str] = MappingProxyType({})
    each_gpu: bool = False


class Started(NamedTuple):
    """The launch, the files it needs (its script among them), the paths dealt with, and what to tell."""

    launch: Launch
    files: dict[str, str]
    claimed: frozenset[str]
    diagnostics: tuple[Diagnostic, ...]


def finish(request: RenderRequest, start: Start, files: Mapping[str, str] = MappingProxyType({})) -> Started:
    """The launch of a rendered spec. files: the framework's own, which a scheduler may have to carry."""
    spec = request.spec
    env, found = together(environment(spec), start.env)
    own = {**start.files, **_exported(request, start, found)}
    kind = str(spec.launch.kind)
    if kind in ("slurm", "kubernetes"):
        node = Node(start.argv, env, start.notes, {**files, **own}, start.each_gpu)
        outer = _outer(kind, request, node)
        launch, own = outer.launch, {**own, **outer.files}
        found += [SCHEDULER(outer.told, hint=outer.hint, key="launch.kind"), *outer.diagnostics]
        says = start.says | outer.says
    else:
        launch = make_launch(request.header(), env, start.argv, start.notes)
        own[SCRIPT] = launch.script
        says = start.says
    found += [*_crossing(request), *_elastic(request, says), *_unsaid(request, start, says | SAYS | CLAIMED)]
    claimed = {path for path in request.values if path.startswith("launch.")} | CLAIMED
    return Started(
        launch, own, frozenset(claimed - {"launch.script"} | (says & {"launch.script"})), tuple(found)
    )


def _outer(kind: str, request: RenderRequest, node: Node) -> Outer:
    if kind == "slurm":
        from dsbridge.launch.slurm import batch_job

        return batch_job(request, node)
    from dsbridge.launch.kubernetes import objects

    return objects(request, node)


def _exported(request: RenderRequest, start: Start, found: list[Diagnostic]) -> dict[str, str]:
    """Over ssh DeepSpeed exports a few names of its own; `.deepspeed_env` lists others, a line each
    (deepspeed 0.16.2 launcher/runner.py:34-38, 594-601)."""
    if HOSTFILE not in start.files or "launch.hosts" not in start.says:
        return {}
    asked = environment(request.spec)
    lost = [name for name, value in asked.items() if "\n" in value]
    for name in lost:
        message = f"{name} has several lines, which {EXPORTED} cannot say: only the first node has it"
        found.append(NOT_EXPORTED(message, hint="Set it in the nodes' own environment.", key="launch.env"))
    lines = [f"{name}={value}\n" for name, value in asked.items() if name not in lost]
    return {EXPORTED: "".join(lines)} if lines else {}


def _crossing(request: RenderRequest) -> list[Diagnostic]:
    """A group within a node talks over NVLink; one over two nodes, over the network, in every layer."""
    layout = dims(request.spec)
    local, tp = layout.local_world_size, layout.tp
    if layout.nodes == 1 or tp == 1 or local is None or local % tp == 0:
        return []
    fitting = [n for n in range(1, local + 1) if local % n == 0]
    return [
        CROSSES(
            f"tp {tp} does not divide the {local} GPUs of a node: some of its groups have ranks of two "
            f"nodes, and every layer then waits for the network",
            hint=f"Within a node tp is one of {', '.join(map(str, fitting))}.",
            key="parallelism.tp",
        )
    ]


def _elastic(request: RenderRequest, says: frozenset[str]) -> list[Diagnostic]:
    """Frameworks fill the batch in for the ranks there are; DeepSpeed stops where train_batch_size is fixed
    (0.19.8 runtime/config.py _batch_assertion)."""
    span, nodes = elastic(request.spec), dims(request.spec).nodes
    if span in (None, (nodes, nodes)) or "launch.min_nodes" not in says:
        return []
    message = f"the batch is that of {nodes} nodes: with another number the global batch is another one"
    hint = "A DeepSpeed config with a fixed train_batch_size stops then."
    return [ELASTIC(message, hint=hint, key="launch.min_nodes")]


def _unsaid(request: RenderRequest, start: Start, says: frozenset[str]) -> list[Diagnostic]:
    """Every field of `launch` that is in nothing written, each with the reason."""
    found = []
    for path, value in request.values.items():
        if not path.startswith("launch.") or path in says or path in ("launch.kind", "launch.script"):
            continue
        if value == {}:
            continue  # nothing is asked for
        reason = start.whys.get(path) or _reason(request, start, path)
        found.append(unsupported(path, value, reason))
    return found


def _reason(request: RenderRequest, start: Start, path: str) -> str:
    _, part, *inner = path.split(".")
    if inner:
        return f"only `launch.kind: {part}` reads it"
    kind = request.spec.launch.kind
    if (
        kind is not UNSET
        and part in ("node_rank", "master_addr", "master_port")
        and kind in ("slurm", "kubernetes")
    ):
        return f"under {kind} the scheduler gives each node its own"
    if part == "hosts":
        return "only DeepSpeed's launcher takes the nodes' names, from its hostfile"
    return f"{start.title} has no such setting"


def refused_kind(request: RenderRequest, starts: Mapping[str, str], instead: str) -> list[Diagnostic]:
    """A kind that does not start this framework; it is rendered with the usual one."""
    kind = request.spec.launch.kind
    reason = "" if kind is UNSET else starts[str(kind)]
    if not reason:
        return []
    able = ", ".join(name for name, why in starts.items() if not why)
    return [
        unsupported("launch.kind", kind, f"{reason}; {instead} is written", f"It can be started by {able}.")
    ]
