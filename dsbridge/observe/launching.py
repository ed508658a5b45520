"""Run a user's command inside this process: the real launcher up to where it would start processes.

Each launcher's own code reads its flags and builds the environment. Only the last call, which would
start the training processes, is replaced: this process becomes rank 0 and runs the script itself.
"""

from __future__ import annotations

import base64
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsbridge.observe.spy import SEEN

WORLD = {"size": 1}  # of the case; for launchers that count GPUs
REAL = subprocess.Popen, subprocess.run


class Bad(SystemExit):
    """A command nothing here can follow."""


def become_rank_0(world: int, local: int | None = None) -> None:
    """What torchrun exports for the first process."""
    os.environ |= {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(local or world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": os.environ.get("MASTER_PORT", "29500"),
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "none",
    }


def run_program(words: Sequence[str]) -> None:
    """`script args`, `-m module args` or `-u script args`, as python would."""
    words = list(words)
    while words and words[0] == "-u":
        words = words[1:]
    subprocess.Popen, subprocess.run = REAL  # type: ignore[misc]
    SEEN.stage = "integration"
    if words and words[0] == "-m":
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = [words[1], *words[2:]]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    script = words[0]
    sys.argv = [script, *words[1:]]
    sys.path.insert(0, str(Path(script).resolve().parent))
    runpy.run_path(script, run_name="__main__")


def torchrun(words: Sequence[str]) -> None:
    """torch.distributed.run, whose own parser reads the words."""
    import torch.distributed.run as distributed

    distributed.run(distributed.parse_args(list(words)))


def elastic(args: Any) -> None:
    """In place of torch.distributed.run.run: also what `accelerate launch` ends in."""
    per_node = str(args.nproc_per_node)
    local = int(per_node) if per_node.isdigit() else WORLD["size"]
    nodes = int(str(args.nnodes).split(":")[0])
    become_rank_0(local * nodes, local)
    words = [args.training_script, *args.training_script_args]
    run_program(["-m", *words] if args.module else words)


def popen(command: Any, *args: Any, **kwargs: Any) -> Any:
    """In place of subprocess.Popen, while a launcher is at work."""
    started(command, kwargs.get("env"))
    return REAL[0](command, *args, **kwargs)


def run_process(command: Any, *args: Any, **kwargs: Any) -> Any:
    """In place of subprocess.run, while a launcher is at work."""
    started(command, kwargs.get("env"))
    return REAL[1](command, *args, **kwargs)


class Start(BaseException):
    """What a launcher was about to start, past its own `except Exception`."""


def start(command: Any, *args: Any, **kwargs: Any) -> Any:
    """In place of subprocess.run in a launcher that would take the training's errors for its own."""
    raise Start(command, kwargs.get("env"))


def started(command: Any, env: Mapping[str, str] | None) -> None:
    """Run the training program here; return for any other one (nvidia-smi, say)."""
    words = command.split() if isinstance(command, str) else [str(word) for word in command]
    name = Path(words[0]).name
    if name in ("pdsh", "ssh", "mpirun", "mpiexec", "srun"):
        raise Bad(f"the launcher starts {words[0]!r}, which is not followed")
    if name != "torchrun" and not name.startswith("python"):
        return
    if env is not None:
        os.environ.clear()
        os.environ.update(env)
    if name.startswith("python"):
        rest = words[1:]
        while rest and rest[0] == "-u":
            rest = rest[1:]
        if rest[:2] == ["-m", "deepspeed.launcher.launch"]:
            deepspeed_node(rest[2:])
        elif rest[:2] == ["-m", "torch.distributed.run"]:
            torchrun(rest[2:])
        else:
            if "RANK" not in os.environ:
                os.environ.setdefault("WORLD_SIZE", "1")
            run_program(rest)
    else:
        torchrun(words[1:])
    raise SystemExit(0)


def deepspeed_node(words: Sequence[str]) -> None:
    """deepspeed.launcher.launch: its world info is base64 of {host: [gpus]}."""
    from deepspeed.launcher.launch import parse_args

    old, sys.argv = sys.argv, ["launch.py", *words]
    args = parse_args()
    sys.argv = old
    info = json.loads(base64.urlsafe_b64decode(args.world_info))
    world = sum(len(gpus) for gpus in info.values())
    become_rank_0(world, len(next(iter(info.values()))))
    program = [args.training_script]
    if not getattr(args, "no_local_rank", False):
        program.append("--local_rank=0")
    program += args.training_script_args
    run_program(["-m", *program] if getattr(args, "module", False) else program)


def install() -> None:
    """Replace what would start processes. Only launchers run before the script does."""
    import torch.distributed.run as distributed

    distributed.run = elastic


class _Instead:
    """A module with some of its names replaced, for one importer alone."""

    def __init__(self, real: Any, **names: Any) -> None:
        self.__dict__.update(names)
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def run(words: Sequence[str]) -> None:
    """The user's command."""
    words = list(words)
    name = Path(words[0]).name
    if name.startswith("python") and words[1:3] == ["-m", "torch.distributed.run"]:
        torchrun(words[3:])
    elif name.startswith("python"):
        run_program(words[1:])
    elif name == "torchrun":
        torchrun(words[1:])
    elif name == "accelerate" and words[1] == "launch":
        import torch
        from accelerate.commands import launch

        subprocess.Popen = popen  # type: ignore[assignment,misc]
        # without a YAML it counts the GPUs
        cuda = _Instead(torch.cuda, is_available=lambda: True, device_count=lambda: WORLD["size"])
        launch.torch = _Instead(torch, cuda=cuda)
        parser = launch.launch_command_parser()
        args = parser.parse_args(words[2:])
        launch.launch_command(args)
    elif name == "deepspeed":
        from deepspeed.launcher import runner

        subprocess.Popen = popen  # type: ignore[assignment,misc]
        runner.main(words[1:])
    elif name in ("llamafactory-cli", "lmf"):
        from llamafactory import cli

        subprocess.run = run_process  # type: ignore[assignment]
        sys.argv = words
        cli.main()
    elif name == "xtuner":
        from xtuner import entry_point

        subprocess.run = start  # type: ignore[assignment]
        sys.argv = words
        try:
            entry_point.cli()
        except Start as command:
            started(*command.args)
    else:
        raise Bad(f"unknown command {words[0]!r}")
