"""What XTuner 0.2 cannot do, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.sdk import UNSET, Diagnostic, RenderRequest, dims
from dsbridge_xtuner import codes
from dsbridge_xtuner.shape import Shape


def refusals(request: RenderRequest, shape: Shape | None) -> Iterator[Diagnostic]:
    """Every reason against this spec. `shape` is None where no config is named."""
    yield from _layout(request)
    yield from _owners(request)
    spec = request.spec
    quantised = spec.finetuning.method == "qlora" or spec.finetuning.quantization_bits is not UNSET
    by_config = (
        spec.finetuning.method is UNSET
        and shape is not None
        and shape.known
        and shape.has("model.llm.quantization_config")
    )
    if spec.zero.stage == 3 and (quantised or by_config):
        accepts = request.own().get("accepts", ())
        accepted = isinstance(accepts, list | tuple) and codes.QLORA_ZERO3.code in accepts
        what = "the spec" if quantised else f"{shape.source if shape else ''} "
        yield codes.QLORA_ZERO3(
            f"{what.strip()} quantises the model, and ZeRO-3 cannot partition quantised weights: "
            "transformers 4.48.0 builds them outside zero.Init (modeling_utils.py:4054), whole on every GPU",
            hint="Write `zero.stage: 2`, which shards optimizer states and gradients of the adapters.",
            key="zero.stage",
            severity=codes.WARNING if accepted else codes.ERROR,
        )
    if shape is not None and shape.known:
        yield from _config(request, shape)


def _layout(request: RenderRequest) -> Iterator[Diagnostic]:
    spec = request.spec
    fsdp = next((p for p in request.values if p.startswith("fsdp.")), None)
    if fsdp:
        yield codes.NO_FSDP(
            f"`{fsdp}` asks for FSDP, but XTuner 0.2 trains with DeepSpeed or DDP only",
            hint="Write `zero:`; stage 3 is full_shard. FSDP is XTuner's V1 line, a program of its own: it "
            "takes no 0.2 config and no DeepSpeed, and dsbridge does not write for it.",
            key=fsdp,
        )
    native = spec.deepspeed if isinstance(spec.deepspeed, dict) else {}
    if dims(spec).tp > 1 or "tensor_parallel" in native:
        yield codes.NO_AUTOTP(
            "AutoTP is not in DeepSpeed 0.16.2, which XTuner 0.2 runs on: it ignores the tensor_parallel "
            "key, and every GPU would train the whole model on other data",
            hint="Use target llamafactory, trainer or accelerate for AutoTP; here ZeRO-3 shards the layers.",
            key="parallelism.tp" if dims(spec).tp > 1 else "deepspeed.tensor_parallel",
        )
    if spec.precision.dtype == "fp8":
        yield codes.NO_FP8(
            "neither XTuner 0.2 nor DeepSpeed 0.16.2 trains in fp8 here",
            hint="Write `precision.dtype: bf16`.",
            key="precision.dtype",
        )


def _owners(request: RenderRequest) -> Iterator[Diagnostic]:
    spec = request.spec
    native = spec.deepspeed if isinstance(spec.deepspeed, dict) else {}
    if spec.optimizer.owner == "deepspeed" or "optimizer" in native:
        yield codes.OWNER(
            "XTuner hands its own optimizer to deepspeed.initialize, which then ignores an `optimizer` block "
            "(mmengine 0.10.6 _strategy/deepspeed.py:393)",
            hint="Write `optimizer.owner: framework`; lr, betas, eps and weight_decay reach XTuner's.",
            key="optimizer.owner" if spec.optimizer.owner == "deepspeed" else "deepspeed.optimizer",
        )
    if spec.scheduler.owner == "deepspeed" or "scheduler" in native:
        yield codes.OWNER(
            "DeepSpeed would build its scheduler, and mmengine's param_scheduler would move the same "
            "learning rate",
            hint="Write `scheduler.owner: framework`.",
            key="scheduler.owner" if spec.scheduler.owner == "deepspeed" else "deepspeed.scheduler",
        )


def _config(request: RenderRequest, shape: Shape) -> Iterator[Diagnostic]:
    """What this config is not made for."""
    if str(shape.get("framework")).lower() == "huggingface":
        yield codes.HUGGINGFACE(
            f"{shape.source} has framework='huggingface': XTuner runs the Trainer, by other rules",
            hint="Take a config without it, or render for target trainer.",
            key="frameworks.xtuner.config",
        )
    elif not shape.has("model.llm"):
        named = [p for p in request.values if p in ("model.name_or_path", "model.attention")]
        if not shape.has("model.llm_lora"):
            named += [p for p in request.values if p.startswith("finetuning.")]
        if named:
            kind = shape.get("model.type")
            yield codes.OTHER_MODEL(
                f"the model of {shape.source} ({kind}) is not built from `model.llm`, so `{named[0]}` has no "
                "place in it",
                hint="Say it as frameworks.xtuner.cfg_options, and remove it from the spec.",
                key=named[0],
            )
