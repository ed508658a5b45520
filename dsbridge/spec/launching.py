"""How the processes are started, and what the scheduler that starts them is told."""

from __future__ import annotations

from dsbridge.spec.kinds import Boolean, Choice, Integer, ListOf, Mapping_, Text, Variables
from dsbridge.spec.setting import Part, section, setting
from dsbridge.values import Option

KINDS = ("torchrun", "accelerate", "deepspeed", "llamafactory", "xtuner", "slurm", "ray", "kubernetes")


def _text(doc: str) -> Option[str]:
    return setting(Text(auto=False), doc, "", "")  # type: ignore[no-any-return]


class Slurm(Part):
    """Options of sbatch, for `launch.kind: slurm`."""

    job_name: Option[str] = _text("Name of the job.")
    partition: Option[str] = _text("Partition to run in.")
    account: Option[str] = _text("Account that pays.")
    qos: Option[str] = _text("Quality of service.")
    constraint: Option[str] = _text("Features that the nodes must have.")
    time: Option[str] = _text("Time limit, as 12:00:00 or 2-00:00:00.")
    output: Option[str] = _text("File for the output, as logs/%j.out.")
    requeue: Option[bool] = setting(
        Boolean(auto=False), "Start the job again when a node fails; false forbids it.", "", ""
    )
    cpus_per_task: Option[int] = setting(
        Integer(auto=False, least=1), "CPU cores for each task; torchrun is one task a node.", "", ""
    )
    gpus: Option[str] = setting(
        Choice(auto=False, options=("gpus_per_node", "gres", "none")),
        "How GPUs are asked for; none where the partition gives them anyway. gpus_per_node unless given.",
        "",
        "",
    )
    options: Option[dict[str, object]] = setting(
        Mapping_(), "Any other option of sbatch by its long name; true for one without a value.", "", ""
    )


class Kubernetes(Part):
    """Objects of Kubeflow, for `launch.kind: kubernetes`."""

    api: Option[str] = setting(
        Choice(auto=False, options=("trainjob", "pytorchjob")),
        "trainjob: Kubeflow Trainer 2 (the default). pytorchjob: the older Training Operator.",
        "",
        "",
    )
    trainer: Option[str] = setting(
        Choice(auto=False, options=("2.0", "2.1", "2.2", "2.3")),
        "Release of Kubeflow Trainer; it decides how volumes are said. 2.3 unless given.",
        "",
        "",
    )
    name: Option[str] = _text("Name of the job; dsbridge unless given.")
    namespace: Option[str] = _text("Namespace.")
    image: Option[str] = _text("Image with the framework; a TrainJob has its runtime's unless given.")
    runtime: Option[str] = _text("ClusterTrainingRuntime of a TrainJob; torch-distributed unless given.")
    folder: Option[str] = _text("Folder in the container to train in; /workspace unless given.")
    claim: Option[str] = _text(
        "PersistentVolumeClaim with the files, mounted at the folder. Without it a ConfigMap brings them."
    )
    gpu_resource: Option[str] = _text("Name of the GPU resource; nvidia.com/gpu unless given.")


class Ray(Part):
    """LLaMA-Factory's own Ray path, for `launch.kind: ray`."""

    address: Option[str] = _text("Submit as a job to this Ray head, as http://head:8265.")
    run_name: Option[str] = _text("LLaMA-Factory's ray_run_name.")
    storage_path: Option[str] = _text("LLaMA-Factory's ray_storage_path.")
    placement_strategy: Option[str] = setting(
        Choice(auto=False, options=("SPREAD", "PACK", "STRICT_SPREAD", "STRICT_PACK")),
        "LLaMA-Factory's placement_strategy.",
        "",
        "",
    )
    resources_per_worker: Option[dict[str, object]] = setting(
        Mapping_(), "LLaMA-Factory's resources_per_worker, as {GPU: 1}.", "", ""
    )


class Launch(Part):
    """How the processes are started."""

    kind: Option[str] = setting(Choice(auto=False, options=KINDS), "The launcher.", "", "")
    master_addr: Option[str] = _text("Address of node 0; needed with several nodes.")
    master_port: Option[int] = setting(Integer(auto=False, least=1, most=65535), "Port of node 0.", "", "")
    node_rank: Option[int] = setting(
        Integer(auto=False, least=0),
        "This node's number; read from NODE_RANK at launch unless given.",
        "",
        "",
    )
    script: Option[str] = _text(
        "The user's training script, for targets that have no entry point of their own."
    )
    arguments: Option[tuple[str, ...]] = setting(
        ListOf(auto=False), "Words behind the training script.", "", ""
    )
    rendezvous: Option[str] = setting(
        Choice(auto=False, options=("static", "c10d")),
        "static: every node has its number. c10d: the nodes number themselves, and may be restarted.",
        "",
        "torch/distributed/run.py",
    )
    rendezvous_id: Option[str] = _text("Name of the job at the rendezvous; the same on every node.")
    max_restarts: Option[int] = setting(
        Integer(auto=False, least=0), "How often failed processes are started again; 0 unless given.", "", ""
    )
    min_nodes: Option[int] = setting(
        Integer(auto=False, least=1),
        "Elastic: train on with so many nodes; cluster.nodes unless given.",
        "",
        "",
    )
    max_nodes: Option[int] = setting(
        Integer(auto=False, least=1), "Elastic: so many nodes at most; cluster.nodes unless given.", "", ""
    )
    interface: Option[str] = _text("Network interface of NCCL and Gloo, as eth0.")
    hosts: Option[tuple[str, ...]] = setting(
        ListOf(auto=False), "Names of the nodes, the first one first; for DeepSpeed's hostfile.", "", ""
    )
    nccl: Option[dict[str, str]] = setting(
        Variables(), "NCCL's settings, as {DEBUG: INFO}; NCCL_ is put in front where it is missing.", "", ""
    )
    env: Option[dict[str, str]] = setting(Variables(), "Environment variables of every process.", "", "")
    slurm: Slurm = section(Slurm, "Options of sbatch.")
    kubernetes: Kubernetes = section(Kubernetes, "Objects of Kubeflow.")
    ray: Ray = section(Ray, "LLaMA-Factory's Ray path.")
