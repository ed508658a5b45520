"""A dsbridge plugin in one module: PyTorch Lightning's DeepSpeedStrategy.

Lightning takes `devices`, `num_nodes`, `accumulate_grad_batches`, `gradient_clip_val`, `precision` and the
like as arguments of its Trainer, and a DeepSpeed config for the rest. This plugin writes both. It imports
`dsbridge.sdk` alone; `pip install` makes it a target of `dsbridge render`.
"""

from __future__ import annotations

from collections.abc import Iterable

from dsbridge.sdk import (
    Code,
    Codec,
    Dialect,
    Field,
    Framework,
    Rendered,
    RenderRequest,
    Severity,
    ds_config,
    hookimpl,
    make_launch,
    place,
    to_json,
)

NO_FSDP = Code("PLT001", "no-fsdp", Severity.ERROR, "This plugin renders for DeepSpeedStrategy alone.")

# Lightning writes these into the DeepSpeed config itself, from the Trainer's arguments
DIALECT = Dialect(title="Lightning")

FIELDS = (
    Field("cluster.gpus_per_node", "devices"),
    Field("cluster.nodes", "num_nodes"),
    Field("batch.accumulation", "accumulate_grad_batches"),
    Field("gradient_clipping", "gradient_clip_val"),
    Field(
        "precision.dtype",
        "precision",
        codec=Codec(words={"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}),
    ),
    Field("training.epochs", "max_epochs"),
    Field("training.max_steps", "max_steps"),
    Field("training.logging_steps", "log_every_n_steps"),
    Field("training.output_dir", "default_root_dir"),
)
TRAINER_WRITES = ("gradient_accumulation_steps", "gradient_clipping", "bf16", "fp16")


def render(request: RenderRequest) -> Rendered:
    """`trainer_args.json`, `ds_config.json`, and the command that starts a Lightning script."""
    fsdp = [path for path in request.values if path.startswith("fsdp.")]
    refused = [NO_FSDP("`fsdp:` is Lightning's FSDPStrategy, not DeepSpeed", key=p) for p in fsdp[:1]]
    placed = place(FIELDS, request.values)
    built = ds_config(request.spec, DIALECT)
    config = {key: value for key, value in built.config.items() if key not in TRAINER_WRITES}
    launch = make_launch(request.header(), {}, ("python", str(request.spec.launch.script or "train.py")))
    files = {
        "trainer_args.json": to_json(placed.document("args")),
        "ds_config.json": to_json(config),
        "launch.sh": launch.script,
    }
    claimed = placed.claimed | built.claimed | frozenset([*fsdp, "launch.script"])
    return Rendered(files, launch, claimed, (*refused, *placed.diagnostics, *built.diagnostics))


LIGHTNING = Framework(
    name="lightning",
    title="PyTorch Lightning",
    package="lightning",
    requires={"lightning": ">=2.4"},
    render=render,
    codes=(NO_FSDP,),
)


@hookimpl
def dsbridge_frameworks() -> Iterable[Framework]:
    """The one framework of this plugin."""
    return (LIGHTNING,)
