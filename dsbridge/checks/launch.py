"""One node: commands that start too few processes, or too many, or the wrong GPUs."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.launchers import whole
from dsbridge.provenance import Source
from dsbridge.reading import COMMAND
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example, in_deepspeed
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.tensor import number, program

PYTHON = Code("CK510", "plain-python", Severity.WARNING, "Plain python starts DeepSpeed without a launcher.")
DEVICES = Code("CK511", "too-few-devices", Severity.ERROR, "More processes are started than GPUs are shown.")
IGNORED = Code("CK512", "devices-ignored", Severity.WARNING, "CUDA_VISIBLE_DEVICES is not what decides.")
YAML = Code("CK513", "launcher-breaks-yaml", Severity.ERROR, "The launcher puts a flag before the YAML.")
MPI = Code("CK514", "mpi-without-ranks", Severity.WARNING, "MPI starts processes that count one rank each.")
# the variables that deepspeed.init_distributed asks for, and what a script does that provides for them
_WANTED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK")
_PROVIDES = ("MASTER_ADDR", "init_process_group", "mpi4py", "spawn", "notebook_launcher", "torchrun",
             "subprocess", "os.exec", "ray.", "run_exp", "dist_init_required")  # fmt: skip


def _deepspeed_used(subject: Subject) -> bool:
    """Whether the run is known to come to deepspeed.initialize."""
    return subject.explanation is not None and subject.explanation.config is not None


def _python(subject: Subject) -> Iterator[Diagnostic]:
    if subject.launchers != ("python",) or not _deepspeed_used(subject):
        return
    if subject.framework not in ("trainer", "accelerate", "deepspeed"):
        return
    if all(name in subject.environ for name in _WANTED):
        return
    text = program(subject)
    if any(word in text for word in _PROVIDES):
        return
    yield PYTHON(
        "plain `python` sets none of RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, LOCAL_RANK: DeepSpeed asks "
        "mpi4py for them, stops with ModuleNotFoundError where it is not installed, and trains on one GPU "
        "where it is",
        hint="Write torchrun --nproc_per_node N, deepspeed --num_gpus N or accelerate launch for `python`, "
        "also for one GPU.",
        at=_word(subject, 0),
    )


def _mpi(subject: Subject) -> Iterator[Diagnostic]:
    """Several processes, and nobody but DeepSpeed, through mpi4py, who knows it."""
    if subject.launchers != ("mpirun", "python") or any(name in subject.environ for name in _WANTED):
        return
    if subject.framework not in ("trainer", "accelerate", "deepspeed"):
        return
    if any(word in program(subject) for word in (*_PROVIDES, "OMPI_", "PMI_")):
        return
    count = whole(subject.tree("mpirun.np"))
    what = f"mpirun starts {count} processes" if count else "mpirun starts the processes"
    what += " and sets none of RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, LOCAL_RANK: "
    needs = "DeepSpeed asks mpi4py for them, and stops with ModuleNotFoundError where it is not installed"
    at, hint = (
        subject.at("mpirun.np"),
        f"Write torchrun --nproc_per_node {count or 'N'} for `mpirun ... python`",
    )
    if subject.framework == "deepspeed":
        hint += ", or install mpi4py for the MPI that starts it."
        yield MPI(f"{what}{needs}", hint=hint, key="np", at=at, severity=Severity.INFO)
        return
    yield MPI(
        f"{what}each process takes itself for the only one (world size 1) in Transformers and Accelerate; "
        f"{needs}",
        hint=f"{hint}; over several nodes let MPI start one torchrun a node.",
        key="np",
        at=at,
    )


def _word(subject: Subject, index: int) -> Source | None:
    """The place of a word after the variables in front."""
    if subject.input is None:
        return None
    return Source(COMMAND, None, len(subject.environ) + 1 + index)


def _visible(subject: Subject) -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES shows; nothing where it does not say them one by one."""
    value = subject.environ.get("CUDA_VISIBLE_DEVICES", "")
    parts = [part.strip() for part in value.split(",") if part.strip()]
    plain = all(part.isdigit() or part.startswith(("GPU-", "MIG-")) for part in parts)
    return parts if plain else []


def _devices(subject: Subject) -> Iterator[Diagnostic]:
    shown, local = _visible(subject), number(subject.fact("local_world_size"))
    if not shown or not local or local <= len(shown) or "deepspeed" in subject.launchers:
        return
    if not subject.launchers or subject.launchers == ("python",):
        return
    yield DEVICES(
        f"CUDA_VISIBLE_DEVICES={','.join(shown)} shows {len(shown)} GPU{'s'[: len(shown) > 1]}, and {local} "
        f"processes are started on the node: those beyond stop with `invalid device ordinal`",
        hint=f"Start {len(shown)} processes, or show {local} GPUs.",
        at=_word(subject, 0)._replace(column=1) if subject.input else None,  # type: ignore[union-attr]
    )


def _ignored(subject: Subject) -> Iterator[Diagnostic]:
    if "deepspeed" not in subject.launchers or not subject.environ.get("CUDA_VISIBLE_DEVICES"):
        return
    names = [name for name in ("include", "exclude", "num_gpus", "num_nodes") if _given(subject, name)]
    if not names or _given(subject, "hostfile"):
        return
    shown, name = subject.environ["CUDA_VISIBLE_DEVICES"], names[0]
    yield IGNORED(
        f"CUDA_VISIBLE_DEVICES={shown} beside --{name}: the deepspeed launcher drops the variable and counts "
        "all GPUs of the machine, from 0",
        hint=f"Leave --{name} out, then CUDA_VISIBLE_DEVICES decides; or write --include localhost:{shown} "
        "alone.",
        key=name,
        at=subject.at(f"launcher.{name}"),
    )


def _given(subject: Subject, name: str) -> bool:
    """Whether a flag of the deepspeed launcher was written, and not filled in for a variable."""
    return subject.input is not None and f"launcher.{name}" in subject.input.reading.sources


def _yaml(subject: Subject) -> Iterator[Diagnostic]:
    """LLaMA-Factory takes its first argument for a YAML or JSON, and that is --local_rank=0 then."""
    if "deepspeed" not in subject.launchers or subject.input is None or _given(subject, "no_local_rank"):
        return
    words = subject.input.setup.words.items
    if len(words) != 3 or not words[2].endswith((".yaml", ".yml")):
        return
    if not words[1].startswith("--local_rank"):
        return
    document = subject.file_value(words[2]) if subject.unit.files.has(words[2]) else None
    value = document.value if document is not None else None
    if not isinstance(value, dict) or not {"finetuning_type", "template", "dataset"} & value.keys():
        return
    yield YAML(
        f"deepspeed puts --local_rank=0 before {words[2]}: LLaMA-Factory reads a YAML only as its first "
        "argument, so it never opens this one, and stops because its settings are missing",
        hint=f"Write FORCE_TORCHRUN=1 llamafactory-cli train {words[2]}, or give deepspeed --no_local_rank.",
        key="no_local_rank",
    )


_DS = '{"train_micro_batch_size_per_gpu": "auto", "zero_optimization": {"stage": 2}}'
_TRAIN = "train.py --output_dir o --deepspeed ds.json"
_FACTORY = "model_name_or_path: m\nstage: sft\nfinetuning_type: full\ndataset: d\noutput_dir: o\n"
_MPI = "if auto_mpi_discovery and not all(map(lambda v: v in os.environ, required_env)):"
CHECKS = (
    Check(
        code=MPI,
        run=_mpi,
        why="Under Open MPI 4.1 with two ranks a Trainer and an Accelerator of Accelerate 1.15 count one "
        "process each, and DeepSpeed 0.19.8 stops at `import mpi4py`. What it does with mpi4py "
        "is told by source: it counts the ranks of MPI, and the batch is filled in for one.",
        hint="Start it with torchrun.",
        fires=Example({"ds.json": _DS}, f"mpirun -np 8 --bind-to none python {_TRAIN}"),
        holds=Example({"ds.json": _DS}, f"mpirun -np 2 torchrun --nproc_per_node 8 {_TRAIN}"),
        evidence=(
            in_deepspeed("comm/comm.py", "917", "from mpi4py import MPI"),
            Evidence(
                "accelerate",
                "1.15.0",
                "state.py",
                "202",
                'if int(os.environ.get("LOCAL_RANK", -1)) != -1:',
                "",
            ),
        ),
        pains=(4,),
    ),
    Check(
        code=PYTHON,
        run=_python,
        why="Run with DeepSpeed 0.16.9 and 0.19.8, a Trainer and a bare script stop at `import mpi4py`.",
        hint="Start it with a launcher.",
        fires=Example({"ds.json": _DS}, f"python {_TRAIN}"),
        holds=Example({"ds.json": _DS}, f"torchrun --nproc_per_node 1 {_TRAIN}"),
        evidence=(in_deepspeed("comm/comm.py", "890", _MPI),),
        pains=(4,),
    ),
    Check(
        code=DEVICES,
        run=_devices,
        why="Each process takes the GPU of its local rank, and there is none.",
        hint="As many processes as GPUs.",
        fires=Example({"ds.json": _DS}, f"CUDA_VISIBLE_DEVICES=0,1 torchrun --nproc_per_node 4 {_TRAIN}"),
        holds=Example({"ds.json": _DS}, f"CUDA_VISIBLE_DEVICES=0,1 torchrun --nproc_per_node 2 {_TRAIN}"),
        pains=(38,),
    ),
    Check(
        code=IGNORED,
        run=_ignored,
        why="The job runs on GPUs that somebody else uses.",
        hint="One way of choosing GPUs at a time.",
        fires=Example({"ds.json": _DS}, f"CUDA_VISIBLE_DEVICES=2,3 deepspeed --num_gpus 2 {_TRAIN}"),
        holds=Example({"ds.json": _DS}, f"CUDA_VISIBLE_DEVICES=2,3 deepspeed {_TRAIN}"),
        evidence=(in_deepspeed("launcher/runner.py", "460", "del os.environ[visible_devices_env]"),),
        pains=(38,),
    ),
    Check(
        code=YAML,
        run=_yaml,
        why="The run stops before it has read the YAML.",
        hint="llamafactory-cli starts torchrun itself.",
        fires=Example({"y.yaml": _FACTORY}, "deepspeed --num_gpus 4 src/train.py y.yaml"),
        holds=Example({"y.yaml": _FACTORY}, "FORCE_TORCHRUN=1 llamafactory-cli train y.yaml"),
        pains=(24,),
    ),
)
