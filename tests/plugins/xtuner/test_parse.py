"""XTuner's configs and commands in the spec's words, and back."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.explaining import engine_defaults, explain
from dsbridge.migrating import migrate
from dsbridge.parsing import Parsed, parse
from dsbridge.prediction import launch_words
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.spec.load import load_document, load_file
from dsbridge.trees import flat, lookup
from dsbridge.values import UNSET
from tests.conftest import ROOT
from tests.meta.test_faithful import XTUNER

HEAD = """\
import torch
from mmengine.optim import AmpOptimWrapper, CosineAnnealingLR, LinearLR
from peft import LoraConfig
from torch.optim import AdamW
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from xtuner.engine.runner import TrainLoop
from xtuner.model import SupervisedFinetune
from xtuner.parallel.sequence import SequenceParallelSampler
from mmengine.dataset import DefaultSampler
"""
CONFIG = (
    HEAD
    + """
path = "internlm/internlm2-7b"
use_varlen_attn = False
max_length = 2048
sequence_parallel_size = 2
batch_size = 1
accumulative_counts = 8
accumulative_counts *= sequence_parallel_size
max_epochs = 3
warmup_ratio = 0.03
tokenizer = dict(type=AutoTokenizer.from_pretrained, pretrained_model_name_or_path=path)
model = dict(
    type=SupervisedFinetune,
    use_varlen_attn=use_varlen_attn,
    llm=dict(
        type=AutoModelForCausalLM.from_pretrained,
        pretrained_model_name_or_path=path,
        quantization_config=dict(type=BitsAndBytesConfig, load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    ),
    lora=dict(type=LoraConfig, r=64, lora_alpha=16, lora_dropout=0.1, bias="none", task_type="CAUSAL_LM"),
)
sampler = SequenceParallelSampler if sequence_parallel_size > 1 else DefaultSampler
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    dataset=dict(type="process_hf_dataset", max_length=max_length, pack_to_max_length=True),
    sampler=dict(type=sampler, shuffle=True),
)
optim_wrapper = dict(
    type=AmpOptimWrapper,
    optimizer=dict(type=AdamW, lr=2e-4, betas=(0.9, 0.95), weight_decay=0.1),
    clip_grad=dict(max_norm=0.5, error_if_nonfinite=False),
    accumulative_counts=accumulative_counts,
    loss_scale="dynamic",
    dtype="bfloat16",
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-5, by_epoch=True, begin=0, end=warmup_ratio * max_epochs,
         convert_to_iter_based=True),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=True, begin=warmup_ratio * max_epochs,
         end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(type=TrainLoop, max_epochs=max_epochs)
custom_hooks = [dict(type="DatasetInfoHook", tokenizer=tokenizer)]
if use_varlen_attn:
    custom_hooks += [dict(type="VarlenAttnArgsToMessageHubHook")]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=16),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=500, max_keep_ckpts=2),
)
env_cfg = dict(dist_cfg=dict(backend="nccl"))
randomness = dict(seed=7, deterministic=False)
"""
)
SHIPPED = ROOT / "plugins/dsbridge_xtuner/shipped.json"
COMMAND = ("NPROC_PER_NODE=8", "xtuner", "train", "cfg.py", "--deepspeed", "deepspeed_zero2")
# what rendering for XTuner cannot say or says otherwise, so that parsing cannot say it again
LOSSES = {
    "cluster.gpu": "XTuner's files do not say what the GPU is",
    "cluster.interconnect.intra": "nor how GPUs are linked",
    "cluster.interconnect.inter": "nor how nodes are linked",
    "zero.reduce_bucket_size": 'XTuner fills no "auto" there, and so none is written',
    "zero.stage3_prefetch_bucket_size": 'XTuner fills no "auto" there, and so none is written',
    "zero.stage3_param_persistence_threshold": 'XTuner fills no "auto" there, and so none is written',
    "batch.global": "said by micro batch and accumulation",
    "training.gradient_checkpointing": "on in XTuner unless switched off, and so not written",
    "training.save_steps": "a config that saves by epochs, and is not seen, is taken for one that does not",
    "launch.kind": "torchrun is what `xtuner train` starts anyway",
    "launch.master_port": "29500 is the port anyway",
}


def parsed(*words: str, text: str = CONFIG, **files: Any) -> Parsed:
    memory = {"cfg.py": text, **{name: json.dumps(value) for name, value in files.items()}}
    return parse(Files(memory=memory), (), words or COMMAND)


def says(found: Parsed, path: str) -> Any:
    value = lookup(found.loaded.document.value, path)
    return None if value is UNSET else value


FIELDS = {
    "model.name_or_path": "internlm/internlm2-7b",
    "finetuning.method": "qlora",
    "finetuning.rank": 64,
    "finetuning.alpha": 16,
    "finetuning.dropout": 0.1,
    "finetuning.quantization_bits": 4,
    "finetuning.quantization_type": "nf4",
    "parallelism.ulysses": 2,
    "batch.micro_per_gpu": 1,
    "batch.accumulation": 16,  # the product: micro-steps in an optimizer step
    "gradient_clipping": 0.5,
    "optimizer.type": "adamw",
    "optimizer.lr": 2e-4,
    "optimizer.betas": [0.9, 0.95],
    "optimizer.weight_decay": 0.1,
    "scheduler.type": "cosine",
    "scheduler.warmup_ratio": 0.03,
    "training.epochs": 3,
    "training.sequence_length": 2048,
    "training.packing": True,
    "training.seed": 7,
    "training.dataloader_num_workers": 4,
    "training.logging_steps": 1,
    "training.save_total_limit": 2,
    "zero.stage": 2,
    "zero.overlap_comm": True,
    "precision.dtype": "auto",
    "cluster.gpus_per_node": 8,
    "frameworks.xtuner.config": "cfg.py",
}


@pytest.mark.parametrize(("path", "value"), FIELDS.items(), ids=str)
def test_a_field(path: str, value: Any) -> None:
    assert says(parsed(), path) == value


def test_nothing_is_lost() -> None:
    found = parsed()
    assert found.unclaimed == ()
    kept = {".".join(key) for key in found.kept}
    assert {"cfg.model.lora.bias", "cfg.optim_wrapper.clip_grad.error_if_nonfinite"} <= kept
    assert not any(key.startswith(("cfg.batch_size", "cfg.sampler")) for key in kept), "variables, put in"
    silent = {"finetuning.target_modules": "all", "training.gradient_checkpointing": True}
    assert found.silent == {**silent, "precision.dtype": "bf16"}


def test_places_are_where_the_value_is_written() -> None:
    found = parsed()
    source = found.loaded.document.values[("batch", "micro_per_gpu")]
    assert (source.file, CONFIG.splitlines()[(source.line or 0) - 1]) == ("cfg.py", "batch_size = 1")


def test_steps_that_are_not_whole_are_approximate_and_come_back_exactly() -> None:
    found = parsed()
    assert says(found, "training.save_steps") == 31
    assert found.claims["training.save_steps"].reason == "500 micro-steps are 31.25 optimizer steps"
    assert "checkpoint.interval" not in render(found.loaded, "xtuner").launch.script


def test_a_config_alone_is_trained_without_deepspeed() -> None:
    found = parse(Files(memory={"cfg.py": CONFIG}), ["cfg.py"])
    assert says(found, "zero") is None
    assert says(found, "precision.dtype") == "bf16"
    assert [d.code for d in found.diagnostics] == ["XT036"]
    single = CONFIG.replace("sequence_parallel_size = 2", "sequence_parallel_size = 1")
    alone = parse(Files(memory={"cfg.py": single}), ["cfg.py"])
    artifacts = render(alone.loaded, "xtuner")
    assert "--deepspeed" not in artifacts.launch.argv
    assert "optim_wrapper.dtype=bfloat16" in artifacts.launch.argv


def test_options_and_flags() -> None:
    words = (*COMMAND, "--seed", "3", "--work-dir", "out", "--cfg-options", "max_norm=9",
             "train_dataloader.batch_size=4", "model.lora.bias=all")  # fmt: skip
    found = parsed(*words)
    assert says(found, "batch.micro_per_gpu") == 4
    assert says(found, "training.seed") == 3
    assert says(found, "training.output_dir") == "out"
    own = says(found, "frameworks.xtuner")
    assert own["cfg_options"] == {"model.lora.bias": "all"}
    (lost,) = found.unclaimed
    assert lost.key == "cfg_options.max_norm"
    assert lost.at is not None
    assert lost.at.file == "command"


def test_the_deepspeed_file() -> None:
    ds = {
        "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}},
        "bf16": {"enabled": True},
        "gradient_accumulation_steps": 5,
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_clipping": 0.5,
        "optimizer": {"type": "Adam", "params": {"lr": 1}},
        "wall_clock_breakdown": True,
    }
    text = CONFIG.replace("load_in_4bit=True", "load_in_4bit=False")
    found = parsed(*COMMAND[:-1], "ds.json", text=text, **{"ds.json": ds})
    assert says(found, "zero.offload_optimizer.device") == "cpu"
    assert says(found, "precision.dtype") == "bf16"
    assert says(found, "batch.accumulation") == 16
    assert says(found, "deepspeed") == {"wall_clock_breakdown": True}
    lost = {entry.key for entry in found.unclaimed}
    assert lost == {"gradient_accumulation_steps", "optimizer.type", "optimizer.params.lr"}


def test_a_format_that_the_gpu_chooses_is_named_for_others() -> None:
    files = Files(
        memory={"cfg.py": CONFIG.replace("sequence_parallel_size = 2", "sequence_parallel_size = 1")}
    )
    sets = ["frameworks.llamafactory.dataset=d", "frameworks.llamafactory.template=t"]
    for has, name in ((True, "bf16"), (False, "fp16")):
        found = migrate(files, (), COMMAND, target="llamafactory", sets=sets, facts={"bf16_supported": has})
        assert not found.refused
        assert f"{name}: true" in found.artifacts.files["train.yaml"]
        assert '"initial_scale_power": 16' in found.artifacts.files["ds_config.json"]


def test_to_xtuner_again_nothing_is_left_behind() -> None:
    found = migrate(Files(memory={"cfg.py": CONFIG}), (), COMMAND, target="xtuner")
    assert {move.status for move in found.mapping} == {"exact", "lossy"}
    lossy = {path for path, claim in found.parsed.claims.items() if claim.reason}
    assert lossy == {"training.save_steps"}


@pytest.mark.parametrize(
    "words",
    [("nosuch",), ("cfg.py", "--launcher", "foo"), (), ("cfg.py", "--deepspeed", "bad.json"),
     ("cfg.py", "--deepspeed", "none"), ("cfg.py", "--cfg-options", "param_scheduler.9.end=1")],
)  # fmt: skip
def test_what_xtuner_refuses_is_told(words: tuple[str, ...]) -> None:
    memory = {"cfg.py": CONFIG, "bad.json": "{"}
    found = parse(Files(memory=memory), (), ("xtuner", "train", *words))
    assert "XT037" in {finding.code for finding in found.diagnostics}
    assert set(says(found, "frameworks.xtuner") or ()) <= {"config", "shape"}


def test_slurm_says_the_ranks() -> None:
    words = ("MASTER_PORT=29501", "srun", "--nodes", "2", "--ntasks-per-node", "8", *COMMAND[1:])
    found = parsed(*words, "--launcher", "slurm")
    assert says(found, "cluster") == {"nodes": 2, "gpus_per_node": 8}
    assert says(found, "launch") == {"kind": "slurm", "master_port": 29501}


def test_commands_that_do_not_train(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("xtuner", "train", "-h"), ("xtuner", "chat", "m")):
        assert parse(Files(memory={}), (), words).loaded.document.value == {"version": 1}
    assert capsys.readouterr().out == ""


def test_what_only_a_run_knows_is_told() -> None:
    text = CONFIG.replace("lr=2e-4", "lr=float(open('lr').read())")
    found = parsed(text=text)
    assert says(found, "optimizer.lr") is None
    assert [entry.key for entry in found.unclaimed] == ["optim_wrapper.optimizer.lr"]


CURVES = [
    ("None", "constant", None),
    ("[dict(type=CosineAnnealingLR, eta_min=1e-6, by_epoch=True, end=3)]", "cosine_with_min_lr", None),
    ("[dict(type='PolyLR', power=1.0, by_epoch=True, begin=0, end=3)]", "linear", None),
    ("dict(type='LinearLR', start_factor=1e-5, end=0.3)", "constant_with_warmup", 0.1),
    ("[dict(type='MultiStepLR', milestones=[1, 2])]", None, None),
    ("[dict(type=CosineAnnealingLR, by_epoch=True, end=2)]", None, None),
    ("[dict(type=LinearLR, end=1), dict(type=CosineAnnealingLR, begin=0, end=3)]", None, None),
]


@pytest.mark.parametrize(("text", "kind", "ratio"), CURVES)
def test_curves(text: str, kind: str | None, ratio: float | None) -> None:
    found = parsed(text=CONFIG + f"\nparam_scheduler = {text}\n")
    assert says(found, "scheduler.type") == kind
    assert says(found, "scheduler.warmup_ratio") == ratio
    artifacts = render(found.loaded, "xtuner")
    assert not artifacts.refused
    again = parsed(
        *launch_words(artifacts), text=CONFIG + f"\nparam_scheduler = {text}\n", **_json(artifacts)
    )
    assert says(again, "scheduler") == says(found, "scheduler")


def test_steps_instead_of_epochs() -> None:
    text = CONFIG + "\ntrain_cfg = dict(type=TrainLoop, max_iters=320)\n"
    found = parsed(text=text)
    assert says(found, "training.max_steps") == 20
    assert says(found, "training.epochs") is None


def test_several_datasets_have_one_length_if_all_agree() -> None:
    parts = "[dict(type='process_hf_dataset', max_length={}, pack_to_max_length=True) for _ in ()]"
    one = "dict(type='process_hf_dataset', max_length={}, pack_to_max_length=True)"
    text = (
        CONFIG
        + "\ntrain_dataloader = dict(batch_size=1, dataset=dict(type='ConcatDataset', datasets=[{}]))\n"
    )
    found = parsed(text=text.format(", ".join([one.format(512)] * 2)))
    assert says(found, "training.sequence_length") == 512
    words = launch_words(render(found.loaded, "xtuner"))
    assert "train_dataloader.dataset.datasets.1.max_length=512" in words
    other = parsed(text=text.format(f"{one.format(512)}, {one.format(64)}"))
    assert says(other, "training.sequence_length") is None
    assert says(parsed(text=text.format(f"*{parts.format(1)}")), "training.packing") is None


def test_the_trainers_way() -> None:
    text = (
        HEAD
        + """
framework = "huggingface"
training_args = dict(type="TrainingArguments", per_device_train_batch_size=2, learning_rate=1e-4, fp16=True)
model = dict(type=AutoModelForCausalLM.from_pretrained, pretrained_model_name_or_path="m")
lora = dict(type=LoraConfig, r=8)
optim_wrapper = None
"""
    )
    found = parsed(text=text)
    said = ("batch.micro_per_gpu", "optimizer.lr", "precision.dtype", "finetuning.rank", "model.name_or_path")
    assert [says(found, path) for path in said] == [2, 1e-4, "fp16", 8, "m"]


def test_a_shipped_config_by_name() -> None:
    found = parsed(*COMMAND[:3], "internlm2_7b_qlora_alpaca_e3", *COMMAND[4:])
    said = ("finetuning.rank", "training.sequence_length", "training.epochs", "scheduler.warmup_ratio")
    assert [says(found, path) for path in said] == [64, 2048, 3, 0.03]
    assert says(found, "frameworks.xtuner") == {"config": "internlm2_7b_qlora_alpaca_e3"}


def _json(artifacts: Any) -> dict[str, Any]:
    return {name: json.loads(text) for name, text in artifacts.files.items() if name.endswith(".json")}


@pytest.mark.parametrize("stage", ["deepspeed_zero1", "deepspeed_zero2_offload", "deepspeed_zero3"])
@pytest.mark.parametrize("bits", [True, False])
def test_rendered_back_deepspeed_receives_the_same(stage: str, bits: bool) -> None:
    files = {"cfg.py": CONFIG.replace("load_in_4bit=True", f"load_in_4bit={bits}")}
    words = (*COMMAND[:-1], stage)
    before = explain(Files(memory=files), (), words)
    found = parse(Files(memory=files), (), words)
    artifacts = render(found.loaded, "xtuner")
    assert not artifacts.refused
    after = explain(Files(memory={**files, **artifacts.files}), (), launch_words(artifacts))
    assert before.outcome == after.outcome == "ok"
    assert {**engine_defaults(before), **flat(before.config)} == {
        **engine_defaults(after),
        **flat(after.config),
    }
    again = parse(Files(memory={**files, **artifacts.files}), (), launch_words(artifacts))
    one, two = (flat(each.loaded.document.value) for each in (found, again))
    assert {path: (one.get(path), two.get(path)) for path in one | two if one.get(path) != two.get(path)} == {
        "cluster.nodes": (None, 1)
    }


@pytest.mark.parametrize("name", sorted(json.loads(SHIPPED.read_text())["configs"])[::40])
@pytest.mark.parametrize("stage", ["deepspeed_zero2", "deepspeed_zero3"])
def test_shipped_configs_come_back(name: str, stage: str) -> None:
    """All of them, as files: conformance/parsing/xtuner_configs.py --law."""
    words = (*COMMAND[:3], name, "--deepspeed", stage)
    before = explain(Files(memory={}), (), words)
    artifacts = render(parse(Files(memory={}), (), words).loaded, "xtuner")
    after = explain(Files(memory=artifacts.files), (), launch_words(artifacts))
    assert before.outcome == after.outcome == "ok"
    assert {**engine_defaults(before), **flat(before.config)} == {
        **engine_defaults(after),
        **flat(after.config),
    }


@pytest.mark.parametrize("name", sorted(path.parent.name for path in ROOT.glob("examples/*/dsbridge.yaml")))
@pytest.mark.parametrize(
    "config", ["qwen1_5_7b_chat_full_alpaca_e3", "qwen1_5_7b_chat_qlora_alpaca_e3", "c.py"]
)
def test_what_an_example_says_is_said_again(name: str, config: str) -> None:
    loaded = load_file(ROOT / f"examples/{name}/dsbridge.yaml")
    document = {**loaded.document.value, "frameworks": {"xtuner": {"config": config}}}
    given_spec = loaded.document._replace(value=document)
    loaded = load_document(given_spec)
    artifacts = render(loaded, "xtuner")
    if artifacts.refused:
        return  # tests/plugins/test_xtuner.py
    found = parse(Files(memory={"c.py": XTUNER, **artifacts.files}), (), launch_words(artifacts))
    wanted, said = flat(loaded.document.value), flat(found.loaded.document.value)
    assert {path for path, value in wanted.items() if said.get(path) != value} <= LOSSES.keys()


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=80), st.sampled_from(["model", "optim_wrapper", "param_scheduler", "train_dataloader"])
)
def test_no_text_crashes_it(text: str, name: str) -> None:
    for config in (text, f"{CONFIG}\n{text}", f"{CONFIG}\n{name} = {text}", f"{CONFIG}\n{name} = {text!r}"):
        with contextlib.suppress(InputError):
            parsed(text=config)


@pytest.mark.parametrize("line", ["model['a'] = model", "model['a'] = [model]", "model.update(a=model)",
                                  "custom_hooks += custom_hooks"])  # fmt: skip
def test_what_holds_itself_ends(line: str) -> None:
    assert says(parsed(text=f"{CONFIG}\n{line}\n"), "batch.micro_per_gpu") == 1


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.floats(allow_nan=False, width=16)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
PATHS = st.sampled_from(
    [
        "model", "model.lora", "model.lora.r", "model.llm", "model.llm.quantization_config",
        "train_dataloader", "train_dataloader.batch_size", "train_dataloader.dataset",
        "train_dataloader.dataset.max_length", "optim_wrapper", "optim_wrapper.optimizer",
        "optim_wrapper.optimizer.betas", "optim_wrapper.clip_grad", "param_scheduler",
        "optim_wrapper.accumulative_counts", "param_scheduler.0", "param_scheduler.1.end", "train_cfg",
        "train_cfg.max_epochs", "train_cfg.max_iters", "default_hooks", "default_hooks.checkpoint",
        "default_hooks.checkpoint.interval", "strategy", "sequence_parallel_size", "work_dir",
        "framework",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(PATHS, VALUES), max_size=3))
def test_no_value_crashes_it(changes: list[tuple[str, Any]]) -> None:
    lines = []
    for path, value in changes:
        head, *rest = path.split(".")
        target = head + "".join(f"[{part if part.isdigit() else repr(part)}]" for part in rest)
        lines.append(f"{target} = {value!r}")
    with contextlib.suppress(InputError):
        found = parsed(text=CONFIG + "\n".join(lines))
        render(found.loaded, "xtuner")
