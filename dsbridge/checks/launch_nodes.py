"""Several nodes: launches after which each node trains alone, waits for itself, or has another's number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.launchers import whole
from dsbridge.rules import Evidence, numbers
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.values import UNSET

APART = Code("CK500", "nodes-train-apart", Severity.ERROR, "Each node would train by itself.")
ADDRESS = Code("CK501", "no-main-address", Severity.ERROR, "A node cannot find the first one.")
NUMBER = Code("CK502", "same-node-number", Severity.ERROR, "Every node takes itself for the same one.")
SHARE = Code(
    "CK503", "processes-per-node", Severity.ERROR, "The processes cannot be shared evenly by the machines."
)
_NODE_RANK = "0.9.1"  # of LLaMA-Factory: the first whose launcher reads NODE_RANK; 0.9.0 reads RANK
_HERE = ("localhost", "127.0.0.1", "::1", "0.0.0.0")


def _said(subject: Subject, name: str) -> Any:
    """An argument of `accelerate launch`: its flag, else the YAML's key, also below deepspeed_config."""
    for path in (f"flags.{name}", f"yaml.{name}", f"yaml.deepspeed_config.{name}"):
        value = subject.tree(path)
        if value not in (UNSET, None):
            return value
    return None


def _place(subject: Subject, *names: str) -> dict[str, Any]:
    for name in names:
        for path in (f"flags.{name}", f"yaml.deepspeed_config.{name}", f"yaml.{name}"):
            if subject.tree(path) is not UNSET:
                return {"key": name, "at": subject.at(path)}
    return {}


def _machines(subject: Subject) -> int:
    """Of `accelerate launch`; 0 for another launcher."""
    return (whole(_said(subject, "num_machines")) or 1) if subject.tree("launch.used") is True else 0


def _alone(subject: Subject) -> bool:
    """A YAML without the command that starts it: flags may complete it."""
    return not subject.launchers


def _apart(subject: Subject) -> Iterator[Diagnostic]:
    machines = _machines(subject)
    if machines < 2 or subject.tree("launch.kind") != "deepspeed":
        return
    launcher = _said(subject, "deepspeed_multinode_launcher")
    if launcher == "standard" or _said(subject, "deepspeed_hostfile"):
        return
    each = (whole(_said(subject, "num_processes")) or 0) // machines
    name = f"deepspeed_multinode_launcher: {launcher}" if launcher else "the launcher is pdsh by default"
    yield APART(
        f"num_machines {machines}, {name}, and no hostfile: the deepspeed launcher finds one machine, so "
        f"every node that runs this trains by itself{f' with {each} processes' if each else ''}",
        hint="Write deepspeed_multinode_launcher: standard (and start it on each node with its own "
        "machine_rank), or give deepspeed_hostfile and start it on one node.",
        severity=Severity.WARNING if _alone(subject) else None,
        **_place(subject, "deepspeed_multinode_launcher", "num_machines"),
    )


def _accelerate_address(subject: Subject) -> Iterator[Diagnostic]:
    machines, rank = _machines(subject), _said(subject, "machine_rank")
    if machines < 2:
        return
    launcher = _said(subject, "deepspeed_multinode_launcher")
    if subject.tree("launch.kind") == "deepspeed" and launcher != "standard":
        return
    address = _said(subject, "main_process_ip")
    if address and str(address) not in _HERE:
        return
    what = f"main_process_ip {address}: each node looks for the first one on itself"
    if not address:
        what = "no main_process_ip: Accelerate passes `None` on as the address"
    first = str(rank) == "0" and bool(address)  # the first node finds itself there
    weak = _alone(subject) or first
    yield ADDRESS(
        f"num_machines {machines}, and {what}",
        hint="Give the address of the machine with machine_rank 0, the same on every node: "
        "--main_process_ip ADDRESS.",
        severity=Severity.INFO if weak else None,
        **_place(subject, "main_process_ip", "num_machines"),
    )


def _torchrun_nodes(subject: Subject) -> int:
    """Nodes of a torchrun command that is sure to have several."""
    return whole(str(subject.tree("torchrun.nnodes")).partition(":")[0]) or 1


def _option(subject: Subject, name: str) -> str:
    """An option of torchrun, or its variable."""
    value = subject.tree(f"torchrun.{name}")
    return subject.environ.get(f"PET_{name.upper()}", "") if value in (UNSET, None) else str(value)


def _torchrun_address(subject: Subject) -> Iterator[Diagnostic]:
    nodes = _torchrun_nodes(subject)
    if nodes < 2:
        return
    endpoint, address = _option(subject, "rdzv_endpoint"), _option(subject, "master_addr")
    found = endpoint.rpartition(":")[0] or endpoint or address
    if found and found not in _HERE:
        return
    if found and _option(subject, "node_rank") == "0":
        return  # the first node finds itself there
    also = " (torchrun does not read MASTER_ADDR)" if "MASTER_ADDR" in subject.environ else ""
    yield ADDRESS(
        f"torchrun --nnodes {nodes} with {found or 'no address'}: each node waits on itself for all others"
        f"{also}",
        hint="Write --node_rank N --master_addr ADDRESS, or --rdzv_backend c10d --rdzv_endpoint HOST:PORT, "
        "with the first node's address on every node.",
        key="nnodes",
        at=subject.at("torchrun.nnodes"),
    )


def _address(subject: Subject) -> Iterator[Diagnostic]:
    yield from _accelerate_address(subject)
    yield from _torchrun_address(subject)
    nodes = _factory_nodes(subject)
    if nodes > 1 and "MASTER_ADDR" not in subject.environ:
        yield ADDRESS(
            f"NNODES={nodes} without MASTER_ADDR: LLaMA-Factory gives torchrun 127.0.0.1, each node's own",
            hint="Set MASTER_ADDR to the first node's address on every node, and MASTER_PORT to one port.",
            key="NNODES",
            severity=Severity.WARNING,
        )


def _factory_nodes(subject: Subject) -> int:
    if "llamafactory-cli" not in subject.launchers:
        return 0
    return whole(subject.environ.get("NNODES", "1")) or 0


def _number(subject: Subject) -> Iterator[Diagnostic]:
    nodes = _factory_nodes(subject)
    version = subject.versions.get("llamafactory", _NODE_RANK)
    name, other = ("NODE_RANK", "RANK") if numbers(version) >= numbers(_NODE_RANK) else ("RANK", "NODE_RANK")
    if nodes > 1 and name not in subject.environ and "RDZV_ID" not in subject.environ:
        rank = subject.environ.get(other)
        what = f"{other}={rank}, which LLaMA-Factory {version} does not read" if rank else f"no {name}"
        yield NUMBER(
            f"NNODES={nodes} with {what}: every node starts as node 0, and they wait for each other forever",
            hint=f"Write {name}={rank or 'N'}: 0 on the first node, 1 on the second, and so on.",
            key="NNODES",
        )
    count = _torchrun_nodes(subject)
    static = not _option(subject, "rdzv_endpoint") and _option(subject, "rdzv_backend") in ("", "static")
    if count > 1 and static and not _option(subject, "node_rank"):
        yield NUMBER(
            f"torchrun --nnodes {count} without --node_rank: every node starts as node 0",
            hint="Give each node its own --node_rank, or --rdzv_backend c10d --rdzv_endpoint HOST:PORT.",
            key="node_rank",
            at=subject.at("torchrun.nnodes"),
        )
    yield from _same_rank(subject)


def _same_rank(subject: Subject) -> Iterator[Diagnostic]:
    """A YAML that is copied to every node says the same rank on each."""
    machines = _machines(subject)
    if machines < 2 or subject.tree("flags.machine_rank") is not UNSET:
        return
    rank = subject.tree("yaml.machine_rank")
    if (rank in (UNSET, None) and not _alone(subject)) or rank not in (UNSET, None, 0, "0"):
        return  # a file for one of the nodes
    shown = "0 by default" if rank in (UNSET, None) else str(rank)
    yield NUMBER(
        f"num_machines {machines} and machine_rank {shown}: on the other machines it must be another number",
        hint="Start each node with its own --machine_rank N; the flag wins over the file.",
        severity=Severity.INFO,
        **_place(subject, "machine_rank", "num_machines"),
    )


def _share(subject: Subject) -> Iterator[Diagnostic]:
    machines, processes = _machines(subject), whole(_said(subject, "num_processes"))
    if machines < 2 or not processes:
        return
    each = processes // machines
    started = each * machines
    if started == processes:
        return
    yield SHARE(
        f"num_processes {processes} over num_machines {machines}: Accelerate starts {each} on each, "
        f"{started} in all",
        hint=f"Write num_processes {(each + 1) * machines}" + (f" or {started}." if started else "."),
        severity=Severity.WARNING if _alone(subject) and started else None,
        **_place(subject, "num_processes"),
    )


_YAML = """distributed_type: DEEPSPEED
num_machines: 2
num_processes: %s
machine_rank: 0
main_process_ip: 10.0.0.1
deepspeed_config:
  zero_stage: 2
  deepspeed_multinode_launcher: %s
"""
_ACCELERATE = "accelerate launch --config_file a.yaml train.py --output_dir o"
_TORCHRUN = "torchrun --nnodes 2 --nproc_per_node 8 --node_rank %s train.py --output_dir o"
_FACTORY = (
    "FORCE_TORCHRUN=1 NNODES=2 %s=1 NPROC_PER_NODE=8 MASTER_ADDR=10.0.0.1 llamafactory-cli train y.yaml"
)
_TRAIN = {"y.yaml": "model_name_or_path: m\nstage: sft\nfinetuning_type: full\ndataset: d\noutput_dir: o\n"}
_HOSTFILE = 'cmd.extend(["--hostfile", str(args.deepspeed_hostfile)])'
_ENDPOINT = 'args.rdzv_endpoint = f"{main_process_ip}:{main_process_port}"'
_RANK = 'node_rank = os.getenv("NODE_RANK", "0")'
CHECKS = (
    Check(
        code=APART,
        run=_apart,
        why="Nothing fails: two jobs train half of the ranks each and write to the same place.",
        hint="deepspeed_multinode_launcher: standard starts torchrun on each node.",
        fires=Example({"a.yaml": _YAML % (16, "pdsh")}, _ACCELERATE),
        holds=Example({"a.yaml": _YAML % (16, "standard")}, _ACCELERATE),
        evidence=(Evidence("accelerate", "1.15.0", "utils/launch.py", "454", _HOSTFILE, ""),),
        pains=(23,),
    ),
    Check(
        code=ADDRESS,
        run=_address,
        why="The job hangs until its time-out, with all nodes waiting.",
        hint="Give the first node's address on every node.",
        fires=Example({}, _TORCHRUN % 1),
        holds=Example({}, _TORCHRUN % "1 --master_addr 10.0.0.1"),
        evidence=(Evidence("accelerate", "1.15.0", "utils/launch.py", "496", _ENDPOINT, ""),),
        pains=(23,),
    ),
    Check(
        code=NUMBER,
        run=_number,
        why="Two nodes with one number wait for each other, or one of them is refused.",
        hint="The first node has number 0, the second 1, and so on.",
        fires=Example(_TRAIN, _FACTORY % "RANK"),
        holds=Example(_TRAIN, _FACTORY % "NODE_RANK"),
        evidence=(Evidence("llamafactory", "0.9.5", "launcher.py", "65", _RANK, ""),),
        pains=(23, 24),
    ),
    Check(
        code=SHARE,
        run=_share,
        why="Whoever means processes of one machine trains on half of the GPUs.",
        hint="num_processes counts the processes of all machines.",
        fires=Example({"a.yaml": _YAML % (9, "standard")}, _ACCELERATE),
        holds=Example({}, _TORCHRUN % "1 --master_addr 10.0.0.1"),
        evidence=(
            Evidence(
                "accelerate",
                "1.15.0",
                "utils/launch.py",
                "489",
                "args.nproc_per_node = str(num_processes // num_machines)",
                "",
            ),
        ),
        pains=(23,),
    ),
)
