"""How XTuner is started: its own command, torchrun, flags, --cfg-options, its shipped configs."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.oracle.case import Case
from conformance.oracle.cases._xtuner_files import AUTO, GONE, case, changed, command, config, hf_config

MODULE = ["-m", "xtuner.tools.train"]
ONE = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
SLURM = {
    "SLURM_PROCID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_NODELIST": "n1",
    "SLURM_LOCALID": "0",
    "MASTER_ADDR": "127.0.0.1",
}
THIRD = changed(AUTO, {"zero_optimization.stage": 3})
# Names that `xtuner list-cfg` prints, made to train the tiny model by --cfg-options.
SHIPPED = (
    "internlm2_1_8b_full_alpaca_e3",
    "qwen1_5_0_5b_full_alpaca_e3",
    "llama3_8b_instruct_full_alpaca_e3",
    "qwen1_5_7b_full_alpaca_e3",
)
TINY = (
    "model.llm.pretrained_model_name_or_path=model",
    "train_dataloader.dataset._delete_=True",
)


def launched() -> Iterator[Case]:
    """Who starts the processes."""
    train = ["cfg.py", "--deepspeed", "ds.json"]
    run = ["torchrun", "--nproc_per_node=2", *MODULE, *train]
    yield case("start/torchrun", None, AUTO, [*run, "--launcher", "pytorch"], environ={})
    yield case("start/torchrun-none", None, AUTO, run, environ={})
    yield case("start/torchrun-none-stage-3", None, THIRD, run, environ={})
    whole = {"train_batch_size": 16}
    yield case("start/torchrun-none-global", None, changed(THIRD, whole), run, environ={})
    yield case("start/torchrun-none-global-stage-2", None, changed(AUTO, whole), run, environ={})
    yield case(
        "start/torchrun-nodes",
        None,
        AUTO,
        [
            "torchrun",
            "--nnodes=2",
            "--nproc_per_node",
            "2",
            "--master_addr",
            "10.0.0.1",
            *MODULE,
            *train,
            "--launcher=pytorch",
        ],
        environ={},
        world=4,
    )
    yield case(
        "start/nodes",
        None,
        AUTO,
        environ={"NPROC_PER_NODE": "4", "NNODES": "2", "NODE_RANK": "0", "ADDR": "10.0.0.1", "PORT": "29522"},
        world=8,
    )
    yield case("start/eight", None, changed(AUTO, {"train_batch_size": 64}), world=8)
    yield case("start/eight-wrong", None, changed(AUTO, {"train_batch_size": 16}), world=8)
    yield case("start/one", None, AUTO, world=1)
    yield case("start/one-stage-3", None, THIRD, world=1)
    bad = changed(THIRD, {"zero_optimization.bad": 1})
    yield case("start/one-stage-3-unknown-key", None, bad, world=1)
    yield case("start/one-unknown-key", None, changed(bad, {"zero_optimization.stage": 2}), world=1)
    yield case("start/one-env", None, AUTO, environ=ONE, world=1)
    yield case("start/one-env-stage-3", None, THIRD, environ=ONE, world=1)
    yield case("start/one-pytorch", None, AUTO, command("--launcher", "pytorch"), environ={}, world=1)
    yield case("start/one-pytorch-env", None, AUTO, command("--launcher", "pytorch"), environ=ONE, world=1)
    yield case("start/launcher-none-of-two", None, AUTO, command("--launcher", "none"))
    yield case("start/slurm", None, AUTO, command("--launcher", "slurm"), environ=SLURM, world=4)
    yield case(
        "start/slurm-nproc",
        None,
        AUTO,
        command("--launcher", "slurm"),
        environ={**SLURM, "NPROC_PER_NODE": "4"},
        world=4,
    )
    yield case("start/slurm-outside", None, AUTO, command("--launcher", "slurm"), environ={}, world=4)
    yield case("start/mpi-outside", None, AUTO, command("--launcher", "mpi"), environ={}, world=1)
    yield case("start/nproc-text", None, AUTO, environ={"NPROC_PER_NODE": "all"})
    yield case("start/mode-upper", None, AUTO, ["xtuner", "TRAIN", *train])
    yield case("start/mode-unknown", None, AUTO, ["xtuner", "tran", *train])
    yield case("start/mode-other", None, AUTO, ["xtuner", "version"])
    wrapper = config(None, {"type": '"DeepSpeedOptimWrapper"'})
    yield case("start/one-wrapper", wrapper, AUTO, environ=ONE, world=1)
    yield case("start/python", None, AUTO, ["python", *MODULE, *train], environ=ONE, world=1)


def options() -> Iterator[Case]:
    """Flags and --cfg-options."""

    def given(name: str, *words: str, ds: object = AUTO, text: str | None = None) -> Case:
        return case(f"flag/{name}", text, ds, command(*words))

    yield given("seed", "--seed", "7")
    yield given("seed-text", "--seed", "abc")
    yield given("work-dir", "--work-dir", "out")
    yield given("resume-missing", "--resume", "gone.pth")
    yield given("unknown", "--gradient-clip", "1.0")
    yield given("launcher-wrong", "--launcher", "torchrun")
    yield given("equals", "--work-dir=out", "--seed=3")
    yield case("flag/abbreviated", None, AUTO, ["xtuner", "train", "cfg.py", "--deep", "ds.json"])
    yield case("flag/no-config", None, AUTO, ["xtuner", "train", "--deepspeed", "ds.json"])
    yield case("flag/config-gone", None, AUTO, ["xtuner", "train", "gone.py", "--deepspeed", "ds.json"])
    yield case(
        "flag/name-gone", None, AUTO, ["xtuner", "train", "no_such_config_e3", "--deepspeed", "ds.json"]
    )
    yield case("flag/deepspeed-gone", None, GONE)
    yield case("flag/deepspeed-name-gone", None, GONE, command(deepspeed="deepspeed_zero4"))
    yield case("flag/deepspeed-no-value", None, AUTO, ["xtuner", "train", "cfg.py", "--deepspeed"])
    yield case("flag/deepspeed-empty", None, AUTO, ["xtuner", "train", "cfg.py", "--deepspeed="])
    yield case("flag/deepspeed-none", None, GONE, command(deepspeed=""))
    yield case("flag/deepspeed-folder", None, GONE, command(deepspeed="conf"), files={"conf/ds.json": "{}"})
    yield case("flag/config-of-config", None, GONE, command(deepspeed="cfg.py"))
    yield case("huggingface/deepspeed-gone", hf_config(), GONE)
    yield case("huggingface/comment", hf_config(), '{"zero_optimization": {"stage": 2}, // two\n}')
    yield given("huggingface-seed", "--seed", "7", "--work-dir", "w", text=hf_config())
    yield given("options-batch", "--cfg-options", "train_dataloader.batch_size=3")
    yield given("options-accumulation", "--cfg-options", "optim_wrapper.accumulative_counts=2")
    yield given("options-clip", "--cfg-options", "optim_wrapper.clip_grad.max_norm=0.1")
    yield given(
        "options-clip-new",
        "--cfg-options",
        "optim_wrapper.clip_grad.max_norm=0.1",
        text=config(None, {"clip_grad": GONE}),
    )
    yield given("options-clip-none", "--cfg-options", "optim_wrapper.clip_grad.max_norm=None")
    yield given("options-clip-off", "--cfg-options", "optim_wrapper.clip_grad=None")
    yield given(
        "options-three",
        "--cfg-options",
        "train_dataloader.batch_size=1",
        "optim_wrapper.accumulative_counts=16",
        "optim_wrapper.clip_grad.max_norm=1.0",
        ds=changed(AUTO, {"train_batch_size": 32}),
    )
    yield given("options-variables", "--cfg-options", "batch_size=8", "accumulative_counts=2", "max_norm=2.0")
    yield given("options-lr", "--cfg-options", "optim_wrapper.optimizer.lr=1e-5")
    yield given("options-betas", "--cfg-options", "optim_wrapper.optimizer.betas=(0.9,0.95)")
    yield given("options-text", "--cfg-options", "train_dataloader.batch_size=four")
    yield given("options-float", "--cfg-options", "train_dataloader.batch_size=2.5")
    yield given("options-true", "--cfg-options", "use_varlen_attn=True")
    yield given("options-no-equals", "--cfg-options", "train_dataloader.batch_size")
    yield given("options-through-number", "--cfg-options", "train_dataloader.batch_size.x=1")
    yield given("options-list", "--cfg-options", "train_dataloader.batch_size=1,2")
    yield given("options-optimizer", "--cfg-options", "optim_wrapper.optimizer.type=SGD")
    yield given("options-wrapper", "--cfg-options", "optim_wrapper.type=DeepSpeedOptimWrapper")
    yield given("options-sequence", "--cfg-options", "sequence_parallel_size=1")
    yield given("options-framework", "--cfg-options", "framework=mmengine")
    yield given("options-then-flag", "--cfg-options", "optim_wrapper.accumulative_counts=2", "--seed", "1")
    yield given(
        "options-twice",
        "--cfg-options",
        "train_dataloader.batch_size=3",
        "--cfg-options",
        "optim_wrapper.accumulative_counts=2",
    )


def shipped() -> Iterator[Case]:
    """XTuner's own configs by name, with the tiny model and data."""
    data = (
        "train_dataloader.dataset.type=datasets.load_dataset",
        "train_dataloader.dataset.path=json",
        "train_dataloader.dataset.data_files=train.json",
        "train_dataloader.dataset.split=train",
    )
    for name in SHIPPED:
        for zero in ("zero2", "zero3"):
            words = [
                "xtuner",
                "train",
                name,
                "--deepspeed",
                f"deepspeed_{zero}",
                "--cfg-options",
                *TINY,
                *data,
            ]
            yield case(f"shipped/{name}-{zero}", "", GONE, [*words, "custom_hooks=None"])
