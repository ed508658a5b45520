"""Whole XTuner set-ups as users have them, valid and broken, many factors at once."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from conformance.oracle.cases._xtuner_files import (
    AUTO,
    BUILT_IN,
    GONE,
    case,
    changed,
    config,
    hf_config,
)

ENV = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
OPTIMIZERS = (
    ("", "dict(type=AdamW, lr=2e-4, betas=(0.9, 0.999), weight_decay=0)"),
    ("", "dict(type=AdamW, lr=lr)"),
    ("from torch.optim import SGD", "dict(type=SGD, lr=1e-3, momentum=0.9)"),
    ("from torch.optim import Adam", "dict(type=Adam, lr=1e-4)"),
    ("", 'dict(type="AdamW", lr=1e-4)'),
    ("from transformers import Adafactor", "dict(type=Adafactor, lr=1e-4, relative_step=False)"),
)
CLIPS = (
    "dict(max_norm=max_norm)", "dict(max_norm=max_norm, error_if_nonfinite=False)", "dict(max_norm=0.3)",
    "None", GONE, "dict(max_norm=0)", 'dict(type="value", clip_value=1.0)',
)  # fmt: skip
HEAD = "lr = 2e-5\nmax_norm = 1\nbatch_size = {batch}\naccumulative_counts = {counts}\nmax_epochs = 3"
OPTIONS = (
    "train_dataloader.batch_size=1", "optim_wrapper.accumulative_counts=16",
    "optim_wrapper.clip_grad.max_norm=0.1", "batch_size=4", "max_norm=2", "optim_wrapper.optimizer.lr=1e-5",
    "train_cfg.max_epochs=2", "randomness.seed=1", "optim_wrapper.clip_grad=None",
    "optim_wrapper.dtype=bfloat16", "sequence_parallel_size=1", "env_cfg.dist_cfg.backend=gloo",
)  # fmt: skip


def _often(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Mostly the usual value."""
    return st.sampled_from([usual] * (2 * len(others)) + list(others))


def zero() -> st.SearchStrategy[dict[str, Any]]:
    """Changes of the ZeRO block."""
    z = "zero_optimization"
    return st.fixed_dictionaries(
        {f"{z}.stage": st.sampled_from([0, 1, 2, 2, 3, 3, 3, "auto"])},
        optional={
            f"{z}.reduce_bucket_size": st.sampled_from([5e8, 200000000, "auto", "5e8"]),
            f"{z}.allgather_bucket_size": st.sampled_from([5e8, "auto"]),
            f"{z}.contiguous_gradients": st.sampled_from([True, "auto"]),
            f"{z}.overlap_comm": st.sampled_from([True, False, "auto"]),
            f"{z}.stage3_prefetch_bucket_size": st.sampled_from(["auto", 5e7]),
            f"{z}.stage3_param_persistence_threshold": st.sampled_from(["auto", 100000]),
            f"{z}.stage3_gather_16bit_weights_on_model_save": st.sampled_from([True, "auto"]),
            f"{z}.offload_optimizer": st.sampled_from(
                [{"device": "cpu", "pin_memory": True}, {"device": "none"}, {"device": "cpu"}]
            ),
            f"{z}.offload_param": st.sampled_from(
                [{"device": "none"}, {"device": "cpu", "pin_memory": True}]
            ),
            f"{z}.sub_group_size": st.just(1e9),
            f"{z}.stage3_max_live_parameters": st.sampled_from([1e9, "auto"]),
        },
    )


def precision() -> st.SearchStrategy[dict[str, Any]]:
    """Changes of the two blocks."""
    enabled = st.sampled_from([True, False, "auto", "auto"])
    both = st.fixed_dictionaries({"fp16.enabled": enabled, "bf16.enabled": enabled})
    full = st.just(
        {"fp16": {"enabled": "auto", "loss_scale": 0, "loss_scale_window": 1000, "initial_scale_power": 16,
                  "hysteresis": 2, "min_loss_scale": 1}}
    )  # fmt: skip
    one = st.sampled_from(
        [
            {"fp16": GONE, "bf16.enabled": True},
            {"bf16": GONE, "fp16.enabled": True},
            {"fp16": GONE, "bf16.enabled": "auto"},
            {"bf16": GONE, "fp16.enabled": "auto"},
            {"fp16": GONE, "bf16": GONE},
            {"bf16": {}},
            {"fp16": {"loss_scale": 0}},
        ]
    )
    return st.one_of(st.just({}), both, one, full)


def top() -> st.SearchStrategy[dict[str, Any]]:
    """Changes at the top of the file."""
    steps = st.sampled_from(["auto", 1, 4, 8, 16])
    params = {"warmup_min_lr": 0, "warmup_max_lr": 1e-4, "warmup_num_steps": 10}
    auto = {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto"}
    return st.fixed_dictionaries(
        {},
        optional={
            "gradient_accumulation_steps": steps,
            "train_micro_batch_size_per_gpu": steps,
            "gradient_clipping": st.sampled_from(["auto", 1.0, 0.3, 0, GONE]),
            "train_batch_size": st.sampled_from(["auto", 16, 32, 64, GONE, GONE]),
            "zero_allow_untested_optimizer": st.sampled_from([True, False, GONE]),
            "zero_force_ds_cpu_optimizer": st.sampled_from([False, False, True, GONE]),
            "steps_per_print": st.sampled_from([10, 2000, "auto"]),
            "wall_clock_breakdown": st.sampled_from([False, True, False, "auto"]),
            "optimizer": st.just({"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "eps": "auto"}}),
            "scheduler": st.sampled_from(
                [{"type": "WarmupLR", "params": params}, {"type": "WarmupLR", "params": auto}]
            ),
            "communication_data_type": st.sampled_from(["fp32", "bf16"]),
            "activation_checkpointing": st.just({"partition_activations": False, "cpu_checkpointing": False}),
            "amp": st.just({"enabled": False}),
        },
    )


@st.composite
def texts(draw: Any) -> tuple[str, dict[str, Any]]:
    """A config, and what else its case needs."""
    batch = draw(st.sampled_from([1, 1, 2, 4]))
    counts = draw(st.sampled_from([1, 2, 8, 16]))
    imported, optimizer = draw(st.sampled_from(OPTIMIZERS[:2] * 5 + OPTIMIZERS))
    loader = {"batch_size": draw(_often("batch_size", str(batch), "batch_size * 2", GONE))}
    clip = draw(st.sampled_from(CLIPS[:2] * 4 + CLIPS))
    wrapper = {
        "optimizer": optimizer,
        "clip_grad": clip,
        "accumulative_counts": draw(_often("accumulative_counts", GONE, "3")),
        "loss_scale": draw(_often('"dynamic"', GONE)),
        "dtype": draw(_often('"float16"', '"bfloat16"', GONE)),
        "type": draw(st.sampled_from(["AmpOptimWrapper"] * 15 + ['"DeepSpeedOptimWrapper"'])),
    }
    head = HEAD.format(batch=batch, counts=counts)
    more: dict[str, Any] = {}
    sequence = draw(_often(1, 2, 4))
    if sequence > 1:
        head += f"\nsequence_parallel_size = {sequence}"
        more["flash"] = draw(_often(True, False))
    rest: dict[str, Any] = {"train_cfg": "dict(type=TrainLoop, max_epochs=max_epochs)"}
    if draw(st.integers(0, 19)) == 13:
        rest["env_cfg"] = GONE
    tail = draw(
        _often("", "train_dataloader.update(dict(batch_size=2))", "optim_wrapper['accumulative_counts'] = 32")
    )
    imports = (imported,) if imported else ()
    return config(loader, wrapper, rest, imports=imports, head=head, tail=tail), more


@st.composite
def setups(draw: Any) -> dict[str, Any]:
    """One set-up."""
    world = draw(st.sampled_from([1, 2, 2, 4, 8]))
    gpu: dict[str, Any] = {"bf16": draw(_often(True, False)), "fp16": True}
    facts: dict[str, Any] = {}
    if draw(st.integers(0, 14)) == 9:
        text = hf_config({"bf16": draw(st.sampled_from(["True", "False"]))})
        # 64 rows, 2 a rank, 4 of those a step, 3 epochs
        facts["num_training_steps"] = 3 * (64 // (2 * world) // 4)
    else:
        text, more = draw(texts())
        if "flash" in more:
            gpu["flash_attn"] = facts["flash_attn"] = more["flash"]
    own = draw(st.integers(0, 3)) > 0
    body: Any = GONE
    name = f"deepspeed_{draw(st.sampled_from(BUILT_IN))}"
    if own:
        name = "ds.json"
        body = changed(AUTO, {**draw(zero()), **draw(precision()), **draw(top())})
        if draw(st.integers(0, 29)) == 17:
            body = json.dumps(body, indent=1).replace("\n", "\n// mine\n", 1)
    words = ["xtuner", "train", "cfg.py", "--deepspeed", name]
    chosen = draw(st.lists(st.sampled_from(OPTIONS), max_size=3, unique=True))
    if draw(st.booleans()) and chosen:
        words += ["--cfg-options", *chosen]
    if draw(st.integers(0, 4)) == 0:
        words += draw(
            st.sampled_from([["--seed", "42"], ["--work-dir", "w"], ["--seed", "1", "--work-dir", "x"]])
        )
    environ = {"NPROC_PER_NODE": str(world)}
    if world == 1:
        # each case needs one kind of fact at most: what a run knows of MPI comes last
        environ = draw(st.sampled_from([ENV, ENV, {}])) if not facts else ENV
    elif draw(st.integers(0, 3)) == 0:
        environ = {}
        words = ["torchrun", f"--nproc_per_node={world}", "-m", "xtuner.tools.train", *words[2:]]
        if draw(st.integers(0, 3)):
            words += ["--launcher", "pytorch"]
    more_fields: dict[str, Any] = {"facts": facts} if facts else {}
    return case("setup", text, body, words, world=world, environ=environ, gpu=gpu, **more_fields)
