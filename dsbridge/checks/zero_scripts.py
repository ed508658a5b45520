"""Under the Trainer's ZeRO: a model that is loaded before the arguments, and evaluation without training."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, InputError, Severity
from dsbridge.formats.calls import CallSite, Script
from dsbridge.formats.script import read_script
from dsbridge.provenance import Source
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.zero import ZERO, stage, whole
from dsbridge.values import UNSET

EARLY = Code(
    "CK370", "model-before-arguments", Severity.WARNING, "The model is loaded before ZeRO-3 is known."
)
INFERENCE = Code("CK371", "evaluation-below-zero3", Severity.ERROR, "Evaluation alone needs ZeRO-3.")


def _script(subject: Subject) -> Script | None:
    found = subject.input
    if found is None or subject.framework != "trainer" or subject.told:
        return None
    name = next((word for word in found.setup.words.items if word.endswith(".py")), "")
    try:
        return read_script(found.setup.files.text(name), name) if name else None
    except InputError:
        return None


def _call(script: Script, *names: str) -> CallSite | None:
    return next((call for call in script.calls if call.short in names), None)


def _early(subject: Subject) -> Iterator[Diagnostic]:
    if subject.tree("script.model.first") is not True or stage(subject) != 3:
        return
    script = _script(subject)
    loaded = _call(script, "from_pretrained", "from_config") if script else None
    if script is None or loaded is None:
        return
    yield EARLY(
        f"{loaded.function} runs before TrainingArguments is made, so it does not know of ZeRO-3: every rank "
        "loads the whole model, and the engine splits it afterwards",
        hint="Make TrainingArguments first: then from_pretrained splits the weights as it loads them.",
        key=loaded.function,
        at=Source(script.file, loaded.line),
    )


def _inference(subject: Subject) -> Iterator[Diagnostic]:
    script = _script(subject)
    at = whole(subject.written(f"{ZERO}.stage"))
    block = subject.written(ZERO)
    at = 0 if at is None and isinstance(block, dict) and "stage" not in block else at
    if script is None or at not in (0, 1, 2) or subject.tree("script.trains") is not False:
        return
    run = _call(script, "evaluate", "predict")
    if run is None or run.maybe or not _of_trainer(run) or subject.tree("args.deepspeed") is UNSET:
        return
    yield INFERENCE(
        f"{run.short}() without train() before makes ZeRO inference, which the Trainer refuses at stage {at} "
        "with ValueError: ZeRO inference only makes sense with ZeRO Stage 3",
        hint="Leave --deepspeed out to evaluate, or use a config of stage 3.",
        key=f"{ZERO}.stage",
        at=subject.at(f"ds.{ZERO}.stage"),
    )


def _of_trainer(call: CallSite) -> bool:
    return isinstance(call.owner, CallSite) and call.owner.short.endswith("Trainer")


_DS = """{"zero_optimization": {"stage": %d, "stage3_gather_16bit_weights_on_model_save": true},
 "bf16": {"enabled": "auto"}, "train_micro_batch_size_per_gpu": "auto"}"""
_MODEL = 'model = AutoModelForCausalLM.from_pretrained("m")\n'
_ARGS = 'args = TrainingArguments("out", deepspeed="ds.json", bf16=True)\n'
_HEAD = "from transformers import AutoModelForCausalLM, Trainer, TrainingArguments\n\n"
_TAIL = "trainer = Trainer(model, args, train_dataset=data, eval_dataset=data)\ntrainer.%s()\n"
_RUN = "torchrun --nproc_per_node 2 train.py"

CHECKS = (
    Check(
        code=EARLY,
        run=_early,
        why="A model that fits when it is split does not fit whole: the job runs out of memory at loading.",
        hint="TrainingArguments tells from_pretrained of ZeRO-3; it must exist first.",
        fires=Example({"train.py": _HEAD + _MODEL + _ARGS + _TAIL % "train", "ds.json": _DS % 3}, _RUN),
        holds=Example({"train.py": _HEAD + _ARGS + _MODEL + _TAIL % "train", "ds.json": _DS % 3}, _RUN),
        evidence=(
            Evidence(
                "transformers",
                "5.23.0",
                "modeling_utils.py",
                "1435",
                "needs_zero3_init = is_deepspeed_zero3_enabled() and not _is_quantized and not "
                "_is_ds_init_called",
                "",
            ),
        ),
        pains=(19,),
    ),
    Check(
        code=INFERENCE,
        run=_inference,
        why="The job stops after the model is loaded.",
        hint="Evaluation needs no optimizer to divide; only stage 3 divides what it uses.",
        fires=Example({"train.py": _HEAD + _ARGS + _MODEL + _TAIL % "evaluate", "ds.json": _DS % 2}, _RUN),
        holds=Example({"train.py": _HEAD + _ARGS + _MODEL + _TAIL % "evaluate", "ds.json": _DS % 3}, _RUN),
        evidence=(
            Evidence(
                "transformers",
                "5.23.0",
                "integrations/deepspeed.py",
                "650",
                "ZeRO inference only makes sense with ZeRO Stage 3 - please adjust your config",
                "",
            ),
        ),
        pains=(32,),
    ),
)
