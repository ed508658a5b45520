"""`llamafactory-cli train`, which starts torchrun from its environment (0.9.5 launcher.py:57-125)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dsbridge.rulebook import Setup
from dsbridge.sdk import (
    UNSET,
    Diagnostic,
    RenderRequest,
    Start,
    Word,
    by_rendezvous,
    dims,
    elastic,
    master_addr,
    master_port,
    node_rank,
    rendezvous_id,
)
from dsbridge_llamafactory import codes

NONE: Mapping[str, Word] = MappingProxyType({})
_ITSELF = "llamafactory-cli starts torchrun itself; launch.sh does it so"
STARTS = {
    "llamafactory": "",
    "torchrun": "",
    "slurm": "",
    "kubernetes": "",
    "ray": "",
    "accelerate": _ITSELF,
    "deepspeed": _ITSELF,
    "xtuner": "it starts XTuner",
}
_NO_RENDEZVOUS = "LLaMA-Factory reads MAX_RESTARTS only beside RDZV_ID (0.9.5 launcher.py:76-90)"
_NUMBERED = "with RDZV_ID the nodes number themselves"
_RAY = ("run_name", "storage_path", "placement_strategy", "resources_per_worker", "address")


def start(
    request: RenderRequest, training_file: str, command: str = "train", switches: Mapping[str, Word] = NONE
) -> Start:
    """One process a GPU on each node; the same script runs on every node.

    switches: variables of a dialect.
    """
    return _start(request, ("llamafactory-cli", command, training_file), switches)


def of_files(request: RenderRequest, setup: Setup) -> Start:
    """The user's own YAML, by the command that its reader gives it."""
    if "accelerate launch" in setup.launchers:  # FSDP: Accelerate's YAML is among the files
        from dsbridge_accelerate.launch import of_files as under_accelerate

        return under_accelerate(request, setup)
    switches = {name: value for name, value in setup.environ.items() if name.startswith("USE_")}
    return _start(request, setup.whole, switches)


def _start(request: RenderRequest, argv: tuple[str, ...], switches: Mapping[str, Word]) -> Start:
    spec, layout = request.spec, dims(request.spec)
    if spec.launch.kind == "ray":
        return _ray(request, argv, switches)
    env: dict[str, Word] = {**switches, "FORCE_TORCHRUN": "1", "NNODES": str(layout.nodes)}
    says = {"launch.master_addr", "launch.master_port", "launch.rendezvous"}
    whys = {"launch.max_restarts": _NO_RENDEZVOUS, "launch.node_rank": _NUMBERED}
    if not by_rendezvous(spec):
        env["NODE_RANK"] = node_rank(spec)
        says.add("launch.node_rank")
    if layout.local_world_size is not None:
        env["NPROC_PER_NODE"] = str(layout.local_world_size)
    env |= {"MASTER_ADDR": master_addr(spec), "MASTER_PORT": master_port(spec)}
    if by_rendezvous(spec):
        env["RDZV_ID"] = rendezvous_id(spec)
        says |= {f"launch.{name}" for name in ("rendezvous_id", "max_restarts", "min_nodes", "max_nodes")}
        if spec.launch.max_restarts is not UNSET:
            env["MAX_RESTARTS"] = str(spec.launch.max_restarts)
        span = elastic(spec)
        if span is not None:
            env |= {"MIN_NNODES": str(span[0]), "MAX_NNODES": str(span[1])}
    return Start("llamafactory-cli", argv, env, frozenset(says), whys=whys)


def _ray(request: RenderRequest, argv: tuple[str, ...], switches: Mapping[str, Word]) -> Start:
    """USE_RAY=1 makes the program itself Ray's driver; with an address it is submitted as a job of Ray's."""
    import json

    from dsbridge.sdk import launch_environment

    spec = request.spec
    env: dict[str, Word] = {**switches, "USE_RAY": "1"}
    says = {f"launch.ray.{name}" for name in _RAY} | {
        "launch.kind",
        "launch.master_addr",
        "launch.master_port",
    }
    if spec.launch.ray.address is UNSET:
        notes = ("it joins the Ray cluster of RAY_ADDRESS, or starts one of this machine alone",)
        return Start("Ray", argv, env, frozenset(says), notes=notes)
    # the job runs on the cluster: it sees what runtime_env names, and not the variables of this shell
    variables = {**launch_environment(spec), **{name: str(word) for name, word in env.items()}}
    words: tuple[Word, ...] = (
        *("ray", "job", "submit", "--address", str(spec.launch.ray.address), "--working-dir", "."),
        *("--runtime-env-json", json.dumps({"env_vars": variables}), "--", *argv),
    )
    return Start("Ray", words, {}, frozenset(says))


def ray_keys(request: RenderRequest) -> tuple[dict[str, object], list[Diagnostic]]:
    """Keys of the training YAML for `launch.kind: ray`, and which releases have them."""
    from dsbridge_llamafactory.flags import rows

    spec = request.spec
    if spec.launch.kind != "ray":
        return {}, []
    asked = spec.launch.ray
    port = spec.launch.master_port
    said: dict[str, tuple[str, object]] = {
        "ray_num_workers": ("cluster", dims(spec).world_size if dims(spec).world_size else UNSET),
        "ray_run_name": ("launch.ray.run_name", asked.run_name),
        "ray_storage_path": ("launch.ray.storage_path", asked.storage_path),
        "placement_strategy": ("launch.ray.placement_strategy", asked.placement_strategy),
        "resources_per_worker": ("launch.ray.resources_per_worker", asked.resources_per_worker),
        "master_addr": ("launch.master_addr", spec.launch.master_addr),
        "master_port": ("launch.master_port", UNSET if port is UNSET else str(port)),
    }
    given = {name: (path, value) for name, (path, value) in said.items() if value is not UNSET}
    spans = dict(rows())
    found = []
    for name, (path, _) in given.items():
        row = spans[name]
        if row.since or row.until:
            span = f"from {row.since} on" if row.since else f"before {row.until}"
            message = (
                f"`{path}` is the key `{name}`, which only LLaMA-Factory {span} has; others refuse the file"
            )
            found.append(codes.RAY_KEY(message, hint="Leave it out for another release.", key=path))
    return {name: value for name, (_, value) in given.items()}, found


def unsplittable(start: Start) -> list[Diagnostic]:
    """Values that its launcher, which joins the words and splits them again, would take apart."""
    if not start.argv or start.argv[0] != "llamafactory-cli":
        return []
    names = ("RDZV_ID", "MASTER_ADDR")
    split = [name for name in names if any(c.isspace() for c in str(start.env.get(name, "")).split(":?")[0])]
    hint = "0.9.5 launcher.py:85-119 makes one text of torchrun's words and splits it at spaces."
    return [codes.SPACES(f"{name}={start.env[name]} has a space", hint=hint, key="launch") for name in split]
