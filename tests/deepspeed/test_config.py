"""The DeepSpeed config that a spec becomes, in one dialect and another."""

from __future__ import annotations

from typing import Any

import pytest

from dsbridge.deepspeed.config import ds_config, ds_key_of
from dsbridge.deepspeed.dialect import Dialect
from dsbridge.rendering import render
from dsbridge.spec.leaves import leaf_paths
from dsbridge.spec.load import load_mapping

BARE = Dialect(title="bare", owner="deepspeed", train_batch_size=True, needs_batch=True)
TAKING = Dialect(
    title="taking",
    takes={
        "train_batch_size": "-",
        "train_micro_batch_size_per_gpu": "micro",
        "gradient_accumulation_steps": "accumulation",
        "gradient_clipping": "clip",
        "bf16.enabled": "bf16",
        "fp16.enabled": "fp16",
        "optimizer.params.lr": "lr",
        "optimizer.params.betas": "betas",
        "scheduler.params.warmup_max_lr": "lr",
        "scheduler.params.total_num_steps": "-",
        "scheduler.params.warmup_num_steps": "warmup",
    },
    fills=frozenset({"zero_optimization.reduce_bucket_size"}),
)
BATCH = {"batch": {"micro_per_gpu": 2, "accumulation": 3}}


def build(dialect: Dialect, **spec: Any) -> tuple[dict[str, Any], set[str], list[str]]:
    """Config, claimed paths, codes."""
    built = ds_config(load_mapping(spec).spec, dialect)
    return built.config, set(built.claimed), [d.code for d in built.diagnostics]


def test_every_native_field_has_its_key() -> None:
    assert ds_key_of("zero.stage3_prefetch_bucket_size") == "zero_optimization.stage3_prefetch_bucket_size"
    assert ds_key_of("zero.allow_untested_optimizer") == "zero_allow_untested_optimizer"
    assert ds_key_of("aio.queue_depth") == "aio.queue_depth"
    assert ds_key_of("checkpoint.universal") == "checkpoint.load_universal"
    assert ds_key_of("precision.fp16.loss_scale") == "fp16.loss_scale"
    assert ds_key_of("precision.grad_accumulation_dtype") == "data_types.grad_accum_dtype"
    assert ds_key_of("optimizer.lr") is None, "needs a decision: who owns it"
    keys = [ds_key_of(p) for p in leaf_paths() if ds_key_of(p)]
    assert len(keys) == len(set(keys)) > 70


def test_a_bare_config_is_complete() -> None:
    config, claimed, codes = build(
        BARE,
        **BATCH,
        cluster={"gpus_per_node": 4},
        zero={"stage": 2, "offload_optimizer": {"device": "cpu"}},
        precision={"dtype": "fp16", "fp16": {"loss_scale": 0}},
        gradient_clipping=0.5,
        optimizer={"lr": 1e-4},
        scheduler={"type": "linear", "warmup_ratio": 0.1},
        training={"max_steps": 100},
    )
    assert config == {
        "train_batch_size": 24,
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 3,
        "gradient_clipping": 0.5,
        "bf16": {"enabled": False},
        "fp16": {"enabled": True, "loss_scale": 0},
        "optimizer": {"type": "AdamW", "params": {"lr": 1e-4}},
        "scheduler": {
            "type": "WarmupDecayLR",
            "params": {
                "total_num_steps": 100,
                "warmup_min_lr": 0,
                "warmup_max_lr": 1e-4,
                "warmup_num_steps": 10,
                "warmup_type": "linear",
            },
        },
        "zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}},
    }
    assert codes == []
    assert "training.max_steps" in claimed


def test_what_the_framework_takes_is_auto_and_not_claimed() -> None:
    config, claimed, codes = build(
        TAKING,
        **BATCH,
        zero={"stage": 1, "reduce_bucket_size": "auto", "allgather_bucket_size": "auto"},
        precision={"dtype": "bf16"},
        gradient_clipping=0.5,
        optimizer={"lr": 1e-4, "eps": 1e-8, "owner": "deepspeed"},
        scheduler={"type": "linear", "warmup_steps": 10, "owner": "deepspeed"},
    )
    assert config == {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "eps": 1e-8}},
        "scheduler": {
            "type": "WarmupDecayLR",
            "params": {
                "total_num_steps": "auto",
                "warmup_min_lr": "auto",
                "warmup_max_lr": "auto",
                "warmup_num_steps": "auto",
                "warmup_type": "linear",
            },
        },
        "zero_optimization": {"stage": 1, "reduce_bucket_size": "auto"},
    }
    assert codes == ["DS001"], "allgather_bucket_size: nobody fills it"
    taken = {"batch.micro_per_gpu", "gradient_clipping", "precision.dtype", "optimizer.lr"}
    assert not claimed & taken, "the framework's own table must write them"
    assert {"zero.allgather_bucket_size", "optimizer.eps", "optimizer.owner"} <= claimed


def test_a_framework_owns_what_nobody_gives_to_deepspeed() -> None:
    config, claimed, _ = build(TAKING, **BATCH, optimizer={"lr": 1e-4}, scheduler={"type": "cosine"})
    assert "optimizer" not in config
    assert "scheduler" not in config
    assert not {p for p in claimed if p.startswith(("optimizer", "scheduler"))}


def test_with_tp_deepspeed_derives_the_product_itself() -> None:
    config, _, codes = build(BARE, **BATCH, cluster={"gpus_per_node": 4}, parallelism={"tp": 2})
    assert "train_batch_size" not in config
    assert config["tensor_parallel"] == {"autotp_size": 2}
    assert codes == ["DS006", "DS005"]


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        ({"version": 1}, "DS009", "no batch size is known"),
        ({**BATCH, "optimizer": {"type": "adafactor"}}, "DS003", "no optimizer `adafactor`"),
        ({**BATCH, "optimizer": {"type": "sgd", "betas": [0.9, 0.9]}}, "DS003", "SGD takes lr, weight_decay"),
        ({**BATCH, "scheduler": {"type": "auto"}}, "DS004", "needs a type; none is given"),
        ({**BATCH, "scheduler": {"type": "linear"}}, "DS004", "the scheduler needs the number of steps"),
        (
            {**BATCH, "scheduler": {"type": "constant_with_warmup", "warmup_steps": 5}},
            "DS004",
            "needs a peak learning rate",
        ),
        (
            {**BATCH, "scheduler": {"type": "cosine_with_min_lr"}, "training": {"max_steps": 9}},
            "DS004",
            "needs both rates",
        ),
        (
            {**BATCH, "zero": {"stage": 2}, "deepspeed": {"zero_optimization": {"stage": 3}}},
            "DS002",
            "`deepspeed.zero_optimization.stage` is 3",
        ),
        (
            {**BATCH, "optimizer": {"owner": "framework"}, "deepspeed": {"optimizer": {"type": "Adam"}}},
            "DS002",
            "`deepspeed.optimizer` makes DeepSpeed build the optimizer",
        ),
        (
            {**BATCH, "deepspeed": {"train_micro_batch_size_per_gpu": 8}},
            "DS002",
            "the spec's own keys make `train_micro_batch_size_per_gpu` 2",
        ),
    ],
)
def test_what_deepspeed_cannot_take_is_refused(spec: dict[str, Any], code: str, said: str) -> None:
    found = ds_config(load_mapping(spec).spec, BARE).diagnostics
    errors = [d for d in found if d.severity.value == "error"]
    assert code in [d.code for d in errors]
    assert any(said in d.message for d in errors), [d.message for d in errors]


def test_native_keys_are_merged_and_equal_ones_are_fine() -> None:
    native = {"wall_clock_breakdown": True, "zero_optimization": {"stage": 2, "new_key": 1}}
    config, _, codes = build(BARE, **BATCH, zero={"stage": 2}, deepspeed=native)
    assert config["wall_clock_breakdown"] is True
    assert config["zero_optimization"] == {"stage": 2, "new_key": 1}
    assert codes == []


def test_a_native_stage_is_not_an_assumed_one() -> None:
    config, _, codes = build(BARE, **BATCH, deepspeed={"zero_optimization": {"stage": 3}})
    assert config["zero_optimization"] == {"stage": 3}
    assert codes == []


def test_sgd_under_zero_is_allowed_explicitly() -> None:
    config, _, _ = build(BARE, **BATCH, zero={"stage": 1}, optimizer={"type": "sgd", "lr": 0.1})
    assert config["zero_allow_untested_optimizer"] is True


def test_cosine_ends_where_the_spec_says() -> None:
    steps = {"training": {"max_steps": 100}}
    cosine, _, _ = build(BARE, **BATCH, **steps, scheduler={"type": "cosine", "warmup_steps": 10})
    assert cosine["scheduler"]["params"]["cos_min_ratio"] == 0.0
    least, _, _ = build(
        BARE,
        **BATCH,
        **steps,
        optimizer={"lr": 1e-4},
        scheduler={"type": "cosine_with_min_lr", "min_lr": 1e-5, "warmup_steps": 10},
    )
    assert least["scheduler"]["params"]["cos_min_ratio"] == pytest.approx(0.1)


def test_a_warm_up_that_deepspeed_stretches_is_said() -> None:
    _, _, codes = build(
        BARE, **BATCH, training={"max_steps": 10}, scheduler={"type": "cosine", "warmup_ratio": 0.1}
    )
    assert "DS007" in codes


def test_a_constant_rate_needs_no_block() -> None:
    config, claimed, _ = build(BARE, **BATCH, optimizer={"lr": 1e-3}, scheduler={"type": "constant"})
    assert "scheduler" not in config
    assert "scheduler.type" in claimed


ZERO_LOSS_SCALE = {"dtype": "fp16", "fp16": {"min_loss_scale": 0}}


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"zero": {"stage": 2, "offload_optimizer": {"ratio": 0.5}}}, "zero.offload_optimizer.ratio"),
        ({"zero": {"stage": "auto", "offload_optimizer": {"ratio": 0}}}, "zero.offload_optimizer.ratio"),
        ({"zero": {"stage": 3, "compute_grad_norm": False}}, "zero.compute_grad_norm"),
        ({"zero": {"compute_grad_norm": False}}, "zero.compute_grad_norm"),
        ({"precision": ZERO_LOSS_SCALE}, "precision.fp16.min_loss_scale"),
        ({"precision": {"dtype": "fp16", "fp16": {"fp16_master_weights_and_grads": True}}}, ""),
        ({"precision": {"dtype": "bf16", "bf16": {"bf16_master_weights_and_grads": True}}}, ""),
        (
            {"zero": {"stage": 2}, "precision": {"dtype": "bf16", "bf16": {"bf16_optimizer_states": True}}},
            "precision.bf16.bf16_optimizer_states",
        ),
        ({"batch": {"global": 8, "accumulation": 3}}, "batch.global"),
        ({"deepspeed": {"amp": {"enabled": True}}}, "deepspeed.amp"),
        ({"deepspeed": {"sparse_gradients": False}}, "deepspeed.sparse_gradients"),
        ({"deepspeed": {"elasticity": {"enabled": True}}}, "deepspeed.elasticity"),
        ({"deepspeed": {"communication_data_type": "float8"}}, "deepspeed.communication_data_type"),
        ({"deepspeed": {"zero_optimization": {"offload_optimizer": {"ratio": 0.5}}}}, ""),
    ],
)
def test_what_deepspeeds_parser_refuses_is_told(spec: dict[str, Any], key: str) -> None:
    dialect = BARE._replace(versions=("0.19.8",))
    found = ds_config(load_mapping({**BATCH, **spec}).spec, dialect).diagnostics
    errors = [d for d in found if d.severity.value == "error"]
    assert [d.code for d in errors] == (["DS009"] if key == "batch.global" else ["DS013"])
    assert key in (errors[0].key or "")


@pytest.mark.parametrize(
    "spec",
    [
        {"zero": {"stage": 3, "offload_optimizer": {"ratio": 0.5}}},
        {"zero": {"stage": 2, "offload_optimizer": {"ratio": 1}, "compute_grad_norm": False}},
        {"precision": {"dtype": "fp16", "fp16": {"min_loss_scale": 0, "loss_scale": 128}}},
        {
            "zero": {"stage": 1},
            "precision": {
                "dtype": "bf16",
                "bf16": {"bf16_optimizer_states": True, "bf16_master_weights_and_grads": True},
            },
        },
        {"batch": {"global": 24, "accumulation": 3}},
    ],
)
def test_what_deepspeeds_parser_takes_is_not_refused(spec: dict[str, Any]) -> None:
    found = ds_config(load_mapping({**BATCH, **spec}).spec, BARE._replace(versions=("0.19.8",))).diagnostics
    assert not [d for d in found if d.severity.value == "error"]


@pytest.mark.parametrize(("knows", "codes"), [(True, []), (False, ["DS006"])])
def test_ulysses_ranks_are_counted_apart_only_where_deepspeed_does_not_know(
    knows: bool, codes: list[str]
) -> None:
    spec = {**BATCH, "zero": {"stage": 1}, "cluster": {"gpus_per_node": 4}, "parallelism": {"ulysses": 2}}
    found = ds_config(load_mapping(spec).spec, BARE._replace(knows_ulysses=knows)).diagnostics
    assert [d.code for d in found] == codes


def test_auto_in_a_tp_option_is_told() -> None:
    tp = {"tp": 2, "tp_overlap_comm": "auto"}
    config, _, codes = build(BARE, **BATCH, zero={"stage": 1}, parallelism=tp)
    assert config["tensor_parallel"] == {"autotp_size": 2}
    assert codes == ["DS001"]


def test_fp8_is_not_lost_in_silence() -> None:
    """DeepSpeed's config has no fp8: the layers are the script's, inside bf16 training."""
    spec = {"version": 1, "batch": {"micro_per_gpu": 1, "accumulation": 1}, "precision": {"dtype": "fp8"}}
    told = render(load_mapping(spec), "deepspeed").diagnostics
    assert [(d.code, d.severity.value) for d in told if d.key == "precision.dtype"] == [("REN001", "warning")]
