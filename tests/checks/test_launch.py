from __future__ import annotations

import pytest

from tests.checks.told import says, told

DS = {"ds.json": '{"train_micro_batch_size_per_gpu": "auto", "zero_optimization": {"stage": 2}}'}
TRAIN = "train.py --output_dir o --deepspeed ds.json"
FACTORY = {"y.yaml": "model_name_or_path: m\nstage: sft\nfinetuning_type: full\ndataset: d\noutput_dir: o\n"}
CLI = "MASTER_ADDR=10.0.0.1 NPROC_PER_NODE=8 llamafactory-cli train y.yaml"


def _yaml(**keys: object) -> dict[str, str]:
    top = {"distributed_type": "DEEPSPEED", "num_machines": 2, "num_processes": 16, "machine_rank": 0, **keys}
    inner = {name: top.pop(name) for name in list(top) if name.startswith("deepspeed_")}
    text = "\n".join(f"{name}: {value}" for name, value in top.items() if value is not None)
    below = "\n".join(f"  {name}: {value}" for name, value in {"zero_stage": 2, **inner}.items())
    return {"a.yaml": f"{text}\ndeepspeed_config:\n{below}\n"}


LAUNCH = "accelerate launch --config_file a.yaml train.py --output_dir o"


def test_pdsh_without_a_hostfile() -> None:
    text = says("CK500", _yaml(), LAUNCH)
    assert text.startswith("error")
    assert "by itself with 8 processes" in text
    assert says("CK500", _yaml(deepspeed_multinode_launcher="pdsh")).startswith("warning")
    for name, value in (("deepspeed_multinode_launcher", "standard"), ("deepspeed_hostfile", "hosts")):
        assert not told("CK500", _yaml(**{name: value}), LAUNCH)
    command = LAUNCH.replace("launch ", "launch --deepspeed_multinode_launcher standard ")
    assert not told("CK500", _yaml(), command)
    assert not told("CK500", _yaml(num_machines=1), LAUNCH)
    assert not told("CK500", _yaml(distributed_type="MULTI_GPU"), LAUNCH)


def test_the_first_nodes_address() -> None:
    standard = {"deepspeed_multinode_launcher": "standard"}
    assert says("CK501", _yaml(**standard), LAUNCH).startswith("error")
    assert says("CK501", _yaml(**standard)).startswith("info")
    second = _yaml(**standard, main_process_ip="localhost", machine_rank=1)
    assert says("CK501", second, LAUNCH).startswith("error")
    assert says("CK501", _yaml(**standard, main_process_ip="localhost"), LAUNCH).startswith("info")
    assert not told("CK501", _yaml(**standard, main_process_ip="10.0.0.1"), LAUNCH)


@pytest.mark.parametrize("good", [
    "--nnodes 2 --node_rank 1 --master_addr 10.0.0.1",
    "--nnodes 2 --rdzv_backend c10d --rdzv_endpoint host:29500",
    "--nnodes 2 --node_rank 0 --master_addr localhost",
    "--nnodes $N --node_rank $R",
    "--nnodes 1",
    "--nnodes 1:4",
    "",
])  # fmt: skip
def test_torchrun_that_is_right(good: str) -> None:
    command = f"torchrun --nproc_per_node 8 {good} {TRAIN}"
    assert not told("CK501", DS, command)
    assert not told("CK502", DS, command)


def test_torchrun_that_hangs() -> None:
    alone = f"torchrun --nproc_per_node 8 --nnodes 2 {TRAIN}"
    assert "each node waits on itself" in says("CK501", DS, alone)
    assert "without --node_rank" in says("CK502", DS, alone)
    assert "does not read MASTER_ADDR" in says("CK501", DS, f"MASTER_ADDR=10.0.0.1 {alone}")
    assert not told("CK501", DS, f"PET_MASTER_ADDR=10.0.0.1 PET_NODE_RANK=1 {alone}")


def test_llamafactorys_node_number() -> None:
    text = says("CK502", FACTORY, f"FORCE_TORCHRUN=1 NNODES=2 RANK=1 {CLI}")
    assert "RANK=1, which LLaMA-Factory 0.9.5 does not read" in text
    assert "NODE_RANK=1" in text
    assert not told("CK502", FACTORY, f"FORCE_TORCHRUN=1 NNODES=2 NODE_RANK=1 {CLI}")
    assert not told("CK502", FACTORY, f"FORCE_TORCHRUN=1 {CLI}")
    old = {"llamafactory": "0.9.0"}
    assert not told("CK502", FACTORY, f"FORCE_TORCHRUN=1 NNODES=2 RANK=1 {CLI}", versions=old)
    bare = "FORCE_TORCHRUN=1 NNODES=2 NODE_RANK=1 NPROC_PER_NODE=8 llamafactory-cli train y.yaml"
    assert says("CK501", FACTORY, bare).startswith("warning")


def test_a_file_that_is_copied_to_each_node() -> None:
    assert says("CK502", _yaml()).startswith("info")
    assert not told("CK502", _yaml(machine_rank=1))
    assert not told("CK502", _yaml(), LAUNCH.replace("launch ", "launch --machine_rank 1 "))


def test_processes_of_all_machines() -> None:
    assert "starts 4 on each, 8 in all" in says("CK503", _yaml(num_processes=9), LAUNCH)
    assert not told("CK503", _yaml(), LAUNCH)


def test_plain_python() -> None:
    assert says("CK510", DS, f"python {TRAIN}").startswith("warning")
    for command in (f"deepspeed {TRAIN}", f"accelerate launch {TRAIN}", "python train.py --output_dir o"):
        assert not told("CK510", DS, command)
    env = "RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 MASTER_ADDR=localhost MASTER_PORT=29500"
    assert not told("CK510", DS, f"{env} python {TRAIN}")
    sets = "import os\nfrom transformers import *\nos.environ['MASTER_ADDR'] = 'localhost'\n"
    script = (
        sets + "args = TrainingArguments(output_dir='o', deepspeed='ds.json')\nTrainer(m, args).train()\n"
    )
    assert not told("CK510", {**DS, "train.py": script}, "python train.py")
    assert told("CK510", {**DS, "train.py": script.replace("MASTER_ADDR", "OTHER")}, "python train.py")


def test_devices() -> None:
    assert told("CK511", DS, f"CUDA_VISIBLE_DEVICES=0,1 torchrun --nproc_per_node 4 {TRAIN}")
    assert not told("CK511", DS, f"CUDA_VISIBLE_DEVICES=0,1,2,3 torchrun --nproc_per_node 4 {TRAIN}")
    assert not told("CK511", DS, f"CUDA_VISIBLE_DEVICES=$GPUS torchrun --nproc_per_node 4 {TRAIN}")
    assert told("CK512", DS, f"CUDA_VISIBLE_DEVICES=1 deepspeed --include localhost:0 {TRAIN}")
    assert not told("CK512", DS, f"CUDA_VISIBLE_DEVICES=1 deepspeed {TRAIN}")
    assert not told("CK512", DS, f"CUDA_VISIBLE_DEVICES=1 deepspeed --hostfile h --num_gpus 1 {TRAIN}")


def test_the_deepspeed_launcher_and_a_yaml() -> None:
    assert told("CK513", FACTORY, "deepspeed --num_gpus 4 src/train.py y.yaml")
    assert not told("CK513", FACTORY, "deepspeed --num_gpus 4 --no_local_rank src/train.py y.yaml")
    assert not told("CK513", FACTORY, "torchrun --nproc_per_node 4 src/train.py y.yaml")


@pytest.mark.parametrize(
    "start", ["mpirun -np 8", "mpiexec -n 8 --bind-to none -x NCCL_DEBUG", "mpirun --np 8"]
)
def test_mpi_tells_nobody_the_ranks(start: str) -> None:
    text = says("CK514", DS, f"{start} python {TRAIN}")
    assert text.startswith("warning")
    assert "starts 8 processes" in text
    assert not told("CK510", DS, f"{start} python {TRAIN}")
    assert not told("CK514", DS, f"{start} torchrun --nproc_per_node 8 {TRAIN}")
    assert not told("CK514", DS, f"RANK=0 {start} python {TRAIN}")


def test_deepspeed_itself_asks_mpi() -> None:
    bare = {**DS, "bare.py": "import deepspeed\ndeepspeed.initialize(model=m, config='ds.json')\n"}
    assert says("CK514", bare, "mpirun -np 8 python bare.py").startswith("info")
    own = bare["bare.py"] + "rank = os.environ['OMPI_COMM_WORLD_RANK']\n"
    assert not told("CK514", {**bare, "bare.py": own}, "mpirun -np 8 python bare.py")
